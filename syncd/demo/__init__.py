"""The program, shown without an account: on a sandbox of its own, with nothing simulated.

`booked` is the main job: one cycle and a table. `page` keeps the sandbox and a daemon, and serves the page of a
day that `staged_day` brought about.
"""

from syncd.demo.booked import run_demo
from syncd.demo.page import run_page_demo

__all__ = ["run_demo", "run_page_demo"]
