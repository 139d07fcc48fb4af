"""syncd keeps Tuya meeting reservations in step with calendars."""

import sys
from types import ModuleType
from typing import cast

__version__ = "0.1.0"

# httpx brings a command line of its own, with megabytes that draw it; it copes when that is missing.
cast(dict[str, ModuleType | None], sys.modules).setdefault("httpx._main", None)
