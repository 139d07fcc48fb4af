"""syncd keeps Tuya meeting reservations in step with calendars."""

import sys

__version__ = "0.1.0"

# httpx brings a command line of its own, with megabytes that draw it; it copes when that is missing.
# None is how Python's import system is told that a module is missing; its annotation does not say so, and
# `typing.cast` would cost most of the time before the first signal can be handled.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # see above
