"""A daemon that tells what it did after other times than usual.

`python -m tests.daemon.told_often CONFIG LOOKS_S SUMS_S`: `syncd run` whose looks that found nothing are
written into the ledger every so many seconds, and whose sums are logged every so many seconds; it writes no
heartbeat but the first, so that whatever else is written can be counted.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

from syncd.daemon.life import run_daemon
from syncd.daemon.loop import Periods


def main() -> None:
    """Run the daemon."""
    config, *periods_s = sys.argv[1:]
    looks, sums = (timedelta(seconds=float(period_s)) for period_s in periods_s)
    periods = Periods(looks=looks, sums=sums, beats=timedelta(days=1))
    run_daemon(Path(config), periods)


if __name__ == "__main__":
    main()
