"""All checks in order, and how they are made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from syncd.doctor.api import CHECKS_OF_API
from syncd.doctor.calendars import CHECKS_OF_CALENDARS, checks_of_source
from syncd.doctor.configuration import CHECKS_OF_CONFIGURATION
from syncd.doctor.finding import Check, Finding, Result, as_sentence, unclear
from syncd.doctor.host import CHECKS_OF_HOST
from syncd.doctor.notices import CHECKS_OF_NOTICES
from syncd.doctor.patient import Patient
from syncd.doctor.people import CHECKS_OF_PEOPLE
from syncd.doctor.rooms import CHECKS_OF_ROOMS
from syncd.doctor.rules import CHECKS_OF_RULES
from syncd.doctor.state import CHECKS_OF_STATE
from syncd.doctor.told import CHECKS_OF_TOLD
from syncd.errors import SyncdError


def known_checks() -> tuple[Check, ...]:
    """Return every check there is, those of a source without its name."""
    return (
        *CHECKS_OF_CONFIGURATION,
        *CHECKS_OF_STATE,
        *checks_of_source(None),
        *CHECKS_OF_CALENDARS,
        *CHECKS_OF_API,
        *CHECKS_OF_ROOMS,
        *CHECKS_OF_PEOPLE,
        *CHECKS_OF_RULES,
        *CHECKS_OF_HOST,
        *CHECKS_OF_TOLD,
        *CHECKS_OF_NOTICES,
    )


def all_checks(patient: Patient) -> Iterator[Check]:
    """Yield the checks of an installation in order; those of each source once it is known which there are."""
    if patient.only is not None:
        yield from CHECKS_OF_CONFIGURATION[:1]
        yield from CHECKS_OF_STATE[:1]
        yield from _of_sources(patient)
        return
    yield from CHECKS_OF_CONFIGURATION
    yield from CHECKS_OF_STATE
    yield from _of_sources(patient)
    of_a_source = tuple(checks_of_source(None))
    for check in known_checks():
        is_done = check.group in {"configuration", "ledger"} or check in of_a_source
        if not is_done:
            yield check


def _of_sources(patient: Patient) -> Iterator[Check]:
    if patient.config_if_good is None:
        # Each once, so that all that cannot be known is named.
        yield from checks_of_source(None)
        return
    for source in patient.sources:
        yield from checks_of_source(source)


def examine(patient: Patient, left_out: list[Check]) -> Iterator[Result]:
    """Make all checks in order and yield what they find; put those that need a connection into `left_out`.

    That is only where the installation is looked at offline.
    """
    bad: dict[tuple[str, str], str] = {}
    for check in all_checks(patient):
        if patient.offline and check.connects:
            left_out.append(check)
            continue
        because = _missing(check, bad)
        if because:
            findings: Sequence[Finding] = [
                unclear(f'Not looked at: "{because}" has a problem.')
            ]
        else:
            findings = _findings(check, patient)
        if not all(finding.is_well for finding in findings):
            bad[check.title, check.about] = check.title
        for finding in findings:
            yield Result(check, finding, because)


def _missing(check: Check, bad: dict[tuple[str, str], str]) -> str:
    """Return the title of the first check that this one rests on and that is not well; empty if all are."""
    for title in check.needs:
        if (title, check.about) in bad or (title, "") in bad:
            return title
    return ""


def _findings(check: Check, patient: Patient) -> Sequence[Finding]:
    """Return what a check finds; whatever it raises, it could not look."""
    try:
        return tuple(check.look(patient))
    except SyncdError as error:
        return (unclear(as_sentence(str(error))),)
    except Exception as error:  # a check must not end the others
        return (
            unclear(
                f"This check met a defect of syncd ({type(error).__name__}: {error}); please report it."
            ),
        )
