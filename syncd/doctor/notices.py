"""Checks of the notices: whether anybody would be told, and whether what was told arrived."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Protocol

from syncd.core.amounts import some
from syncd.doctor.configuration import GOOD
from syncd.doctor.finding import Check, Finding, as_sentence, note, well, when, wrong
from syncd.doctor.patient import Patient
from syncd.doctor.state import USABLE
from syncd.ledger.notices import ChannelName, NoticeStore
from syncd.notices.channel import Undelivered

_TRY = "syncd notify --test"


class _Knocking(Protocol):
    """What can be looked for without telling it anything."""

    where: str

    def knock(self) -> None: ...


def _is_anybody_told(patient: Patient) -> Iterator[Finding]:
    if patient.config.notices.is_anybody_told:
        yield well("There is a channel for notices.")
        return
    yield note(
        "No channel for notices is configured: nobody is told when something needs a person.",
        "let your monitoring run: syncd status --check",
    )


def _is_command_there(patient: Patient) -> Iterator[Finding]:
    command = patient.config.notices.command
    if not command:
        return
    if shutil.which(command[0]) is None:
        yield wrong(
            f"notices.command names {command[0]}, which cannot be run here.",
            "write the whole path of a program that the user of the service may run",
        )
        return
    yield well(f"{command[0]}, which notices are given to, can be run.")


def _can_be_reached(patient: Patient) -> Iterator[Finding]:
    from syncd.notices.mail import MailChannel
    from syncd.notices.ping import Pinger
    from syncd.notices.webhook import WebhookChannel

    notices = patient.config.notices
    if notices.webhook is not None:
        webhook = WebhookChannel(notices.webhook, notices, lambda: patient.now)
        yield _reached(ChannelName.WEBHOOK, webhook)
    if notices.mail is not None:
        zone = patient.config.calendar.timezone
        yield _reached(ChannelName.MAIL, MailChannel(notices.mail, zone))
    if notices.ping is not None:
        pinger = Pinger(notices.ping, notices.allow_hosts)
        yield _reached(ChannelName.PING, pinger)


def _reached(name: ChannelName, channel: _Knocking) -> Finding:
    try:
        channel.knock()
    except Undelivered as error:
        return wrong(as_sentence(f"notices.{name}: {error}"), _TRY)
    return well(f"The receiver of notices.{name}, {channel.where}, can be reached.")


def _did_arrive(patient: Patient) -> Iterator[Finding]:
    store = patient.ledger.notices
    late = list(_late(store, patient))
    if late:
        yield from late
    else:
        yield well("All that was told arrived.")


def _late(store: NoticeStore, patient: Patient) -> Iterator[Finding]:
    """Yield what was given up, and what waits for another try."""
    for name in (ChannelName.WEBHOOK, ChannelName.MAIL, ChannelName.COMMAND):
        given_up = store.given_up(name)
        if given_up:
            were = "was" if given_up == 1 else "were"
            yield wrong(
                f"{some(given_up, 'notice')} through {name} {were} given up within the last 30 days.",
                _TRY,
            )
        failed = [one for one in store.pending(name) if one.tries]
        if failed:
            first = failed[0]
            yield wrong(
                f"{some(len(failed), 'notice')} through {name} did not arrive yet, the first of "
                f"{when(first.made_at, patient.now)}: {as_sentence(first.error)}",
                _TRY,
            )


CHECKS_OF_NOTICES = (
    Check(
        "notices",
        "channel",
        "whether anybody is told",
        _is_anybody_told,
        needs=(GOOD,),
    ),
    Check(
        "notices",
        "command",
        "whether the program for notices can be run",
        _is_command_there,
        needs=(GOOD,),
    ),
    Check(
        "notices",
        "receivers",
        "whether who is told can be reached",
        _can_be_reached,
        needs=(GOOD,),
        connects=True,
    ),
    Check(
        "notices",
        "delivery",
        "whether what was told arrived",
        _did_arrive,
        needs=(GOOD, USABLE),
    ),
)
