"""Checks of the API: whether it can be reached, knows us, and lets us do what we have to."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial

from syncd.core.amounts import some
from syncd.core.mark import Mark
from syncd.core.reservation import Reservation
from syncd.doctor.configuration import GOOD
from syncd.doctor.finding import Check, Finding, as_sentence, note, unclear, well, wrong
from syncd.doctor.patient import Patient
from syncd.doctor.state import USABLE
from syncd.errors import ApiUnusable, Unanswered
from syncd.reconciler import forecast

REACHABLE = "API: reachable"
TOKEN = "API: token"  # noqa: S105
RESERVATIONS = "API: reservations"
ROOMS = "API: rooms"
USERS = "API: users"
RULES = "API: rules"

UNUSABLE = frozenset({REACHABLE, TOKEN, "API: data centre", RESERVATIONS})
"""The checks without which nothing can be booked: a problem of them is that the API cannot be used."""

_LOOK_AHEAD = timedelta(days=7)
_APART = timedelta(minutes=5)
_SERVICE_API = "open Tuya console > Cloud > Development > your project > Service API"
_SUBSCRIPTIONS = "open Tuya console > Cloud > Cloud Services > My Subscriptions"
_OVERVIEW = "open Tuya console > Cloud > Development > your project > Overview"

_CONSOLE = {
    28841001: (
        "the project is not authorised: no cloud plan is bound to it",
        f"{_SERVICE_API} > Go to Authorize, and choose the service with this API",
    ),
    28841002: (
        "the subscription of the cloud plan is over",
        f"{_SUBSCRIPTIONS} > the plan > Renew (or Extend Trial Period)",
    ),
    28841003: (
        "the cloud plan has an unpaid bill",
        "open Tuya console > Billing Center > Unpaid Orders, and pay",
    ),
    28841004: (
        "the month's quota of the cloud plan is used up",
        f"{_SUBSCRIPTIONS} > the plan > Usage: buy a larger one, or wait for the first of the month",
    ),
    28841101: (
        "the project is not subscribed to this API",
        f"{_SERVICE_API} > Go to Subscribe, then Authorize",
    ),
    28841102: ("the subscription to this API is over", f"{_SUBSCRIPTIONS} > Renew"),
    28841103: (
        "the subscription to this API has an unpaid bill",
        "open Tuya console > Billing Center > Unpaid Orders, and pay",
    ),
    28841104: (
        "the quota of this API is used up",
        f"{_SUBSCRIPTIONS} > this API > Usage: buy more, or wait for the first of the month",
    ),
    28841105: (
        "the project is not authorised for this API",
        f"{_SERVICE_API} > Go to Authorize",
    ),
    28841106: (
        "the project is not subscribed to this API",
        f"{_SERVICE_API} > Go to Subscribe, then Authorize",
    ),
    28841107: (
        "the data centre is suspended for this project",
        f"{_OVERVIEW} > Data Center > Enable",
    ),
    1106: (
        "the project may not use this API or this data",
        f"{_SERVICE_API} > Go to Authorize",
    ),
    1114: (
        "the IP allow-list of the project does not hold the address of this machine",
        f"{_OVERVIEW} > IP Allowlist, and add it (curl -s https://ifconfig.me shows it)",
    ),
    40001900: (
        "the project has no permission for this space",
        "open Tuya console > Cloud > Development > your project > Space, and grant it",
    ),
}
"""What the codes mean for which something has to be opened in the console, and what that is."""

_OF_THE_CLIENT = frozenset({1005, 2009})
_OF_THE_SECRET = frozenset({1001, 1004})
_OF_THE_REGION = frozenset({2007, 28841107})


def _is_reachable(patient: Patient) -> Iterator[Finding]:
    try:
        patient.api.ask_time()
    except ApiUnusable as error:
        if error.code is None:
            yield wrong(as_sentence(str(error)), _cure_of_the_network(patient))
            return
    yield well(f"{_where(patient)} answers.")


def _cure_of_the_network(patient: Patient) -> str:
    return f"curl -sS -o /dev/null -w '%{{http_code}}\\n' {_endpoint(patient)}"


def _endpoint(patient: Patient) -> str:
    from syncd.tuya import REGIONS

    settings = patient.config.api
    return settings.endpoint or REGIONS[settings.region or ""]


def _where(patient: Patient) -> str:
    region = patient.config.api.region
    endpoint = _endpoint(patient)
    return (
        f"The API of region {region} ({endpoint})"
        if region
        else f"The API at {endpoint}"
    )


def _is_known_here(patient: Patient) -> Iterator[Finding]:
    """Look whether the data centre is that of the project."""
    try:
        patient.api.time()
    except ApiUnusable as error:
        if error.code in _OF_THE_REGION:
            words = "the data centre does not serve this project"
            cure = f'region = "…"  # [api]; {_OVERVIEW} > Data Center shows which'
            if error.code in _CONSOLE:
                words, cure = _CONSOLE[error.code]
            yield wrong(f"{_where(patient)}: {words} (code {error.code}).", cure)
            return
        if error.code is None:
            yield unclear(as_sentence(str(error)))
            return
    yield well(f"{_where(patient)} serves this project, as far as it says.")


def _gives_a_token(patient: Patient) -> Iterator[Finding]:
    try:
        patient.api.ask_time()
    except ApiUnusable as error:
        yield refusal(error, "a token", _cure_of_credentials(patient, error.code))
        return
    yield well("The API gives a token for api.client_id and api.client_secret.")


def _cure_of_credentials(patient: Patient, code: int | None) -> str:
    secret = patient.config.api.client_secret
    place = f"the environment variable {secret.env}"
    if secret.file is not None:
        place = f"install -m 600 /dev/stdin {shlex.quote(str(secret.file))}"
    if code in _OF_THE_CLIENT:
        return f'client_id = "…"  # [api]; {_OVERVIEW} > Access ID'
    if code in _OF_THE_SECRET:
        return f"{place}  # {_OVERVIEW} > Access Secret"
    if code == 1013:
        return "timedatectl set-ntp true"
    return "syncd check --show"


def refusal(error: ApiUnusable | Unanswered, what: str, otherwise: str) -> Finding:
    """Return the problem that the API refuses something, with what to open in the console."""
    code = error.code if isinstance(error, ApiUnusable) else None
    if code in _CONSOLE:
        words, cure = _CONSOLE[code]
        return wrong(f"The API refuses {what}: {words} (code {code}).", cure)
    return wrong(f"The API refuses {what}: {str(error).rstrip('.')}.", otherwise)


def _is_clock_right(patient: Patient) -> Iterator[Finding]:
    offset_s = patient.api.clock_offset_s
    if offset_s is None:
        yield unclear("The API did not tell its time.")
        return
    apart = abs(offset_s)
    if apart > _APART.total_seconds():
        way = "behind" if offset_s > 0 else "ahead of"
        yield wrong(
            f"The clock of this machine is {apart:.0f} s {way} that of the API.",
            "timedatectl set-ntp true",
        )
        return
    yield well(
        f"The clock of this machine is that of the API, within {apart + 1:.0f} s."
    )


def _may_use(
    what: str, ask: Callable[[Patient], object], patient: Patient
) -> Iterator[Finding]:
    try:
        ask(patient)
    except (ApiUnusable, Unanswered) as error:
        yield refusal(error, what, f"{_SERVICE_API}, and look whether it is authorised")
        return
    yield well(f"The project may ask for {what}.")


def _ask_for_reservations(patient: Patient) -> object:
    listing = patient.api.find(patient.now, patient.now + timedelta(days=1))
    if listing.trouble:
        raise Unanswered(listing.trouble.rstrip("."))
    return listing


def _are_calls_left(patient: Patient) -> Iterator[Finding]:
    allowed = patient.config.api.monthly_calls
    used = patient.ledger.calls.in_month(patient.now)
    if not allowed:
        yield well(f"{used} calls this month; they are not metered.")
        return
    expected = forecast(used, patient.now)
    told = f"{used} of {allowed} calls of the month are made, {expected} at its end if it goes on so."
    slower = 'drift_check = "3h"  # [schedule]; or a larger plan and api.monthly_calls'
    if used >= allowed * 0.95:
        yield wrong(f"Nearly no calls are left: {told}", slower)
    elif expected > allowed:
        yield note(told, slower)
    else:
        yield well(told)


def _is_alone_with_its_name(patient: Patient) -> Iterator[Finding]:
    """Look at the marks of the next days: which are of other installations, and which of nobody known."""
    instance = patient.config.reservation.instance
    ours = Mark.instance_code(instance)
    listing = patient.api.find(patient.now, patient.now + _LOOK_AHEAD)
    marked = [one for one in listing if one.mark is not None and one.live]
    own = [one for one in marked if one.mark is not None and one.mark.instance == ours]
    unknown = _count_unknown(patient, own)
    if unknown and not patient.ledger.bookings.fresh:
        yield wrong(
            f"{some(unknown, 'reservation')} of the next 7 days with the mark of {instance!r} are unknown to "
            "this state: another syncd on this project seems to have the same reservation.instance.",
            "syncd adopt  # shows them; then give one of the two another name: "
            'instance = "…"  # in [reservation]',
        )
        return
    others = len(marked) - len(own)
    if others:
        yield note(
            f"{some(others, 'reservation')} of the next 7 days are of another installation on this project; "
            "they are left alone."
        )
        return
    yield well(
        f"No other installation has the name {instance!r}, as far as Tuya shows."
    )


def _count_unknown(patient: Patient, own: Sequence[Reservation]) -> int:
    """Return how many reservations with a mark of ours no booking has or is about to have."""
    bookings = patient.ledger.bookings
    recorded = bookings.recorded([one.reservation_id for one in own])
    # The daemon may be making some at this moment.
    wanted = bookings.concerned((), {str(one.mark) for one in own})
    marks = {booking.mark for booking in wanted}
    unknown = [one for one in own if one.reservation_id not in recorded]
    return sum(str(one.mark) not in marks for one in unknown)


def _right(name: str, what: str, ask: Callable[[Patient], object]) -> Check:
    return Check(
        "API",
        name,
        f"whether the project may ask for {what}",
        partial(_may_use, what, ask),
        needs=(GOOD, REACHABLE, TOKEN),
        connects=True,
    )


CHECKS_OF_API = (
    Check("API", "reachable", "whether it answers", _is_reachable, (GOOD,), True),
    Check(
        "API",
        "data centre",
        "whether the project is in this one",
        _is_known_here,
        (GOOD, REACHABLE),
        True,
    ),
    Check(
        "API", "token", "whether it knows us", _gives_a_token, (GOOD, REACHABLE), True
    ),
    Check(
        "API",
        "clock",
        "whether our clock is its clock",
        _is_clock_right,
        (GOOD, REACHABLE),
        True,
    ),
    _right("reservations", "reservations", _ask_for_reservations),
    _right("rooms", "rooms", lambda patient: patient.tuya_rooms),
    _right("users", "users", lambda patient: patient.tuya_users),
    _right("rules", "booking rules", lambda patient: patient.rules),
    Check(
        "API",
        "instance",
        "whether another installation has our name",
        _is_alone_with_its_name,
        (GOOD, USABLE, REACHABLE, TOKEN, RESERVATIONS),
        True,
    ),
    Check(
        "API",
        "quota",
        "whether calls of the month are left",
        _are_calls_left,
        (GOOD, USABLE),
    ),
)
