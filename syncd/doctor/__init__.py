"""Every check that can be made before and during operation, for a person who asks whether all is well.

A check looks at one thing and yields findings; it runs only where what it rests on is well, and otherwise it
is *unknown* and names that.
`examine` makes them in order, `CHECKS` has those that concern no single source.
Nothing is written: the API is asked by GET alone behind the gate that lets nothing else through, and the
ledger is opened as by any command that looks.
"""

from syncd.doctor.api import UNUSABLE
from syncd.doctor.checks import examine, known_checks
from syncd.doctor.finding import Check, Finding, Health, Result
from syncd.doctor.patient import Patient
from syncd.doctor.report import (
    checks_document,
    print_checks,
    print_results,
    results_document,
)

__all__ = [
    "UNUSABLE",
    "Check",
    "Finding",
    "Health",
    "Patient",
    "Result",
    "checks_document",
    "examine",
    "known_checks",
    "print_checks",
    "print_results",
    "results_document",
]
