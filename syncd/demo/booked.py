"""The main job, shown without an account: a sandbox, the sample calendar, one cycle, a table.

Nothing is simulated: the calendar is a file, the API is a server on a loopback port, the bookings in the
table are what the ledger recorded of its answers.
"""

from __future__ import annotations

from pathlib import Path

from syncd import log
from syncd.assembly import Service, service
from syncd.config import load
from syncd.core.booking import HOLDING_STATES, BookingState
from syncd.demo.folder import demo_folder, write_example
from syncd.reconciler import CycleReport
from syncd.sandbox import Running, Sandbox, SandboxSettings
from syncd.views.booking_table import print_reservations
from syncd.views.cycle_table import print_cycle
from syncd.views.progress import ProgressBar
from syncd.views.screen import Screen, screen
from syncd.views.sheet import sheet_of


def run_demo(keep: Path | None) -> int:
    """Run the demo; return its exit code.

    Everything goes to a temporary directory and is removed, or stays in `keep`.
    """
    console = screen()
    with demo_folder(keep) as folder:
        database = folder / "sandbox.db" if keep else None
        with Sandbox(SandboxSettings(db=database)).running() as sandbox:
            config_file = write_example(folder, sandbox)
            console.print(f"A sandbox of the reservation API listens on {sandbox.url}.")
            config = load(config_file)
            log.configure("auto", "warning")
            console.print(
                f"Calendar: sample.ics, {len(config.rooms)} rooms, mode {config.mode}, "
                f"times in {config.calendar.timezone}."
            )
            with (
                ProgressBar(shown=True) as progress,
                service(config, owner=True, progress=progress) as parts,
            ):
                done = parts.reconciler.cycle()
                _show(console, parts, done)
        if database is not None:
            _say_how_to_go_on(console, config_file, database, sandbox)
    return 0 if done.outcome == "ok" else 1


def _say_how_to_go_on(
    console: Screen, config_file: Path, database: Path, sandbox: Running
) -> None:
    folder = config_file.parent
    port = sandbox.url.rpartition(":")[2]
    serve = (
        f"  syncd sandbox --port {port} --db {database} --client-id {sandbox.client_id} "
        f"--client-secret {sandbox.client_secret}"
    )
    console.print(f"Kept in {folder}. To go on, start")
    console.print(serve, soft_wrap=True)
    console.print(f"then edit {folder / 'sample.ics'} and run", soft_wrap=True)
    console.print(f"  syncd --config {config_file} plan", soft_wrap=True)


def _show(console: Screen, parts: Service, done: CycleReport) -> None:
    sheet = sheet_of(parts.config)
    bookings = parts.ledger.bookings.current()
    held = [b for b in bookings if b.state in HOLDING_STATES]
    print_reservations(sheet, held)
    print_cycle(sheet, done)
    waiting = [b for b in bookings if b.state is BookingState.WAITING]
    if waiting:
        console.print(f"{len(waiting)} later meetings wait: {waiting[0].detail}")
    calls = ", ".join(
        f"{count} {method}" for method, count in done.calls.items() if count
    )
    console.print(f"Calls to the API: {calls}.")
