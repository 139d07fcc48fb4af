"""A local server that behaves like the Tuya meeting reservation API: for tests, trials and the demo.

It is an independent reading of the API's documentation, and shares no code with the client: what both
agree on is worth something.
What the documentation leaves open is a switch (`SWITCHES`), what can go wrong is a fault (`KINDS`), and
tests look behind it on the control side (see `control`).
It must never be taken for the real API: codes that the documentation does not publish are 99xxxx here.
"""

from syncd.sandbox.faults import KINDS, Fault, parse_fault
from syncd.sandbox.server import Running, Sandbox, SandboxSettings, serve
from syncd.sandbox.store import SandboxUnusable
from syncd.sandbox.switches import SWITCHES, parse_switch

__all__ = [
    "KINDS",
    "SWITCHES",
    "Fault",
    "Running",
    "Sandbox",
    "SandboxSettings",
    "SandboxUnusable",
    "parse_fault",
    "parse_switch",
    "serve",
]
