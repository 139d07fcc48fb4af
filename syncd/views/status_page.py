"""The front page of the terminal: whether syncd works, how the sources stand, and what needs a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from syncd.core.booking import CLOSED_STATES
from syncd.ledger.operation import CycleRecord, DaemonRecord
from syncd.reconciler import DONE, missing_told
from syncd.views.alike import FEW, few_of_each
from syncd.views.booking_table import print_bookings
from syncd.views.concerns import CONCERN_WORDS, Concern, ConcernKind, sameness_of
from syncd.views.members import LeaseStatus, MemberStatus, role_of
from syncd.views.moments import NO_AGE, age
from syncd.views.rows import Row, SheetColumn, print_beneath, print_rows
from syncd.views.screen import words
from syncd.views.sheet import Sheet
from syncd.views.status import SourceStatus, Status

_MANY_SOURCES = 20


def print_status(
    sheet: Sheet, status: Status, *, everything: bool = False, with_ids: bool = False
) -> None:
    """Print whether syncd works, the sources, and what needs a person; `everything`: sum up nothing."""
    _print_head(sheet, status)
    _print_members(sheet, status)
    _print_sources(sheet, status, everything=everything)
    _print_concerns(sheet, status, everything=everything)
    _print_remarks(sheet, status, everything=everything)
    counts = [f"{number} {state.value}" for state, number in status.counts.items()]
    sheet.say(f"Bookings: {', '.join(counts) or 'none'}.")
    sheet.say(_calls_told(status))
    if everything:
        sheet.say()
        _print_bookings(sheet, status, closed_too=False, with_ids=with_ids)


def print_chosen(
    sheet: Sheet,
    status: Status,
    sources: Collection[str],
    *,
    closed_too: bool,
    with_ids: bool,
) -> None:
    """Print whether syncd works, how these sources stand, and the bookings that were asked for."""
    _print_head(sheet, status)
    chosen = [source for source in status.sources if source.name in sources]
    sheet.say()
    if chosen:
        _print_source_rows(sheet, status, chosen)
        for source in chosen:
            if source.error:
                sheet.tell(f"Source {source.name}: {source.error}.", style="red")
        sheet.say()
    _print_bookings(sheet, status, closed_too=closed_too, with_ids=with_ids)
    if status.concerns:
        need = "thing needs" if len(status.concerns) == 1 else "things need"
        sheet.say(f"{len(status.concerns)} {need} a person: syncd status")


def _print_bookings(
    sheet: Sheet, status: Status, *, closed_too: bool, with_ids: bool
) -> None:
    """Print the bookings of a status; of those that are over or cancelled only how many, unless `closed_too`."""
    bookings = status.bookings or ()
    closed = [one for one in bookings if one.state in CLOSED_STATES]
    if not closed_too:
        bookings = tuple(one for one in bookings if one.state not in CLOSED_STATES)
    print_bookings(sheet, bookings, with_ids=with_ids)
    if not bookings:
        sheet.say("No booking is as asked for.")
    if closed and not closed_too:
        are = "is" if len(closed) == 1 else "are"
        sheet.say(
            f"{len(closed)} more {are} over or cancelled; --day or --state shows them.",
            style="dim",
        )


# The head


def _print_head(sheet: Sheet, status: Status) -> None:
    style = "" if status.is_running else "red"
    sheet.tell(running_told(sheet, status), style=style)
    if not status.is_running:
        print_beneath(sheet, (), [words("systemctl status syncd")])
    as_of = f"As of {sheet.moment(status.now)}, times in {sheet.zone_name}"
    sheet.tell(f"{as_of}; mode {status.mode}.")
    trouble = status.api_trouble
    if trouble is None:
        return
    next_try = ""
    if trouble.next_try_at is not None:
        next_try = f"; next try {age(trouble.next_try_at, status.now)}"
    since = sheet.moment_and_age(trouble.since, status.now)
    sheet.tell(f"The API cannot be used since {since}{next_try}:", style="red")
    print_beneath(sheet, [trouble.sentence], [words("syncd doctor", style="bold")])


def running_told(sheet: Sheet, status: Status) -> str:
    """Return since when syncd runs or does not, and its last cycle."""
    daemon = status.daemon
    if daemon is None:
        return f"syncd is NOT RUNNING: no daemon has used this state yet{_cycle_told(status)}."
    if status.is_running:
        since = sheet.moment_and_age(daemon.started_at, status.now)
        return f"syncd is running since {since}{_cycle_told(status)}."
    return f"syncd is NOT RUNNING since {_gone_told(sheet, daemon, status)}{_cycle_told(status)}."


def _gone_told(sheet: Sheet, daemon: DaemonRecord, status: Status) -> str:
    gone_since = daemon.gone_since
    if gone_since > status.now:
        return f"the clock of this machine was set back (its last sign is of {sheet.moment(gone_since)})"
    since = sheet.moment_and_age(gone_since, status.now)
    if daemon.stopped_at is not None:
        return f"{since}, when it was stopped"
    return f"{since}, without having been stopped: it was killed, or it hangs"


def _cycle_told(status: Status) -> str:
    cycle = status.last_cycle
    if cycle is None:
        return "; no cycle has ended yet"
    return f"; last cycle {age(cycle.ended_at, status.now)}: {_outcome(cycle)}"


def _outcome(cycle: CycleRecord) -> str:
    if cycle.outcome == "failed":
        return "failed"
    done = [f"{cycle.counts[name]} {name}" for name in DONE if cycle.counts.get(name)]
    return ", ".join(done) or "nothing to do"


# Members


def _print_members(sheet: Sheet, status: Status) -> None:
    """Print the daemons that share the ledger, the writer first; nothing of a ledger in a file."""
    members = status.sharing.members
    if not members:
        return
    columns = (
        SheetColumn("daemon", rest=True),
        SheetColumn("does", whole=True),
        SheetColumn("sources", whole=True),
        SheetColumn("last sign", whole=True),
        SheetColumn("version", whole=True),
    )
    sheet.say()
    print_rows(sheet, columns, [_member_row(member, status) for member in members])
    lease = status.sharing.lease
    if lease is not None and not any(one.is_writer for one in members):
        sheet.tell(_lease_told(lease), style="" if lease.expires_in_s else "yellow")


def _lease_told(lease: LeaseStatus) -> str:
    """Return who writes that is no daemon, or that nobody does."""
    if lease.expires_in_s:
        return f"{lease.daemon} writes, a command that ends soon (term {lease.epoch})."
    return (
        f"Nobody writes at this moment; {lease.daemon} did last (term {lease.epoch})."
    )


def _member_row(member: MemberStatus, status: Status) -> Row:
    does, style = role_of(member), ""
    if not member.lives:
        style = "dim"
    elif member.is_behind:
        style = "red"
    cells = (
        words(member.name),
        words(does, style=style),
        words(member.reads if member.lives else ""),
        words(age(member.beat_at, status.now), style=style),
        words(member.version),
    )
    return Row(cells)


# Sources


def _print_sources(sheet: Sheet, status: Status, *, everything: bool) -> None:
    """Print the sources, failing ones first; of very many the first ones."""
    in_order = sorted(status.sources, key=lambda source: source.error is None)
    shown = in_order if everything else in_order[:_MANY_SOURCES]
    sheet.say()
    _print_source_rows(sheet, status, shown)
    if not in_order:
        sheet.say("No source is configured.")
    left_out = in_order[len(shown) :]
    if left_out:
        failing = sum(source.error is not None for source in left_out)
        sheet.say(
            f"… and {len(left_out)} more, {failing} of them failing; --all has all.",
            style="dim",
        )


def _print_source_rows(
    sheet: Sheet, status: Status, sources: Iterable[SourceStatus]
) -> None:
    columns = (
        SheetColumn("source", rest=True),
        SheetColumn("state", whole=True),
        SheetColumn("last good", whole=True),
        SheetColumn("next", whole=True),
        SheetColumn("events", whole=True),
        SheetColumn("quarantined", whole=True),
    )
    print_rows(sheet, columns, [_source_row(source, status) for source in sources])


def _source_row(source: SourceStatus, status: Status) -> Row:
    last_good = "never"
    if source.last_ok_at is not None:
        last_good = age(source.last_ok_at, status.now)
    upcoming = ""
    if source.next_run_at is not None and status.is_running:
        upcoming = "due"
        if source.next_run_at - status.now >= NO_AGE:
            upcoming = age(source.next_run_at, status.now)
    state = source.state
    if source.failures > 1:
        state = f"{state}, {source.failures} in a row"
    style = "red" if source.error else ""
    cells = (
        words(source.name),
        words(state, style=style),
        words(last_good, style=style),
        words(upcoming),
        words(source.events),
        words(source.quarantined),
    )
    return Row(cells)


# What needs a person


def _print_concerns(sheet: Sheet, status: Status, *, everything: bool) -> None:
    """Print what needs a person, one entry each; of many alike the first ones and how many more."""
    concerns = [one for one in status.concerns if one.kind is not ConcernKind.API]
    sheet.say()
    if not status.concerns:
        nothing = "Nothing" if status.is_running else "Nothing else"
        sheet.say(f"{nothing} needs a person.", style="green")
    elif concerns:
        numbers = Counter(CONCERN_WORDS[concern.kind] for concern in concerns)
        each = ", ".join(f"{number} {word}" for word, number in numbers.items())
        sheet.tell(f"Needs a person: {each}", style="bold")
    shown, alike = (concerns, []) if everything else few_of_each(concerns, sameness_of)
    for concern in shown:
        _print_concern(sheet, status, concern)
    for (kind, _, source), number in alike:
        where = f" in source {source}" if source else ""
        sheet.say(
            f"… and {number} more {CONCERN_WORDS[kind]}{where}; syncd status --all has all.",
            style="dim",
        )
    _print_seen(sheet, status, everything=everything)


def _print_seen(sheet: Sheet, status: Status, *, everything: bool) -> None:
    """Print what somebody acknowledged, a line each; of many the first ones and how many more."""
    shown = status.seen if everything else status.seen[:FEW]
    for concern in shown:
        told = f"acknowledged by {concern.seen_by}"
        if concern.seen_at is not None:
            told += f" {age(concern.seen_at, status.now)}"
        sheet.tell(words(f"{told}: {_title(sheet, concern)}", "dim"), hanging=2)
    left_out = len(status.seen) - len(shown)
    if left_out:
        sheet.say(
            f"… and {left_out} more acknowledged; see syncd ack.",
            style="dim",
        )


def _title(sheet: Sheet, concern: Concern) -> str:
    """Return what a concern is about: its kind, time, room and title."""
    parts = [f"{CONCERN_WORDS[concern.kind]}:"]
    if concern.start is not None and concern.end is not None:
        parts.append(f"{sheet.span(concern.start, concern.end)},")
    if concern.room_id is not None:
        parts.append(f"{sheet.room(concern.room_id)},")
    parts.append(concern.title)
    return " ".join(parts)


def _print_concern(sheet: Sheet, status: Status, concern: Concern) -> None:
    title = _title(sheet, concern)
    if concern.start is None and concern.since is not None:
        title += f", since {sheet.moment_and_age(concern.since, status.now)}"
    sheet.tell(words(title, "red"), hanging=2)
    names = [words(concern.command, style="bold")]
    if concern.key and concern.key not in concern.command:
        names.append(words(f"KEY {concern.key}"))
    held = [
        f"{sheet.span(one.spec.start, one.spec.end)}, {sheet.room(one.room_id)}: {one.spec.topic}"
        for one in concern.meetings
    ]
    print_beneath(sheet, [_why(concern), *held], names)


def _why(concern: Concern) -> str:
    """Return the reason of a concern, with the place of an event in its calendar."""
    if concern.line is None or not concern.source:
        return concern.detail
    document = f", {concern.document}" if concern.document else ""
    return f"Source {concern.source}{document}, line {concern.line}: {concern.detail}"


# The rest


def _print_remarks(sheet: Sheet, status: Status, *, everything: bool) -> None:
    """Print what is to be said besides, and needs nobody."""
    told = list(_missing_files(status))
    shown = told if everything else told[:FEW]
    for sentence in shown:
        sheet.tell(sentence, style="yellow")
    left_out = len(told) - len(shown)
    if left_out:
        sheet.say(f"… and {left_out} more files are gone; --all has all.", style="dim")
    if status.clock and not status.clock_wrong:
        sheet.tell(status.clock, style="yellow")


def _missing_files(status: Status) -> Iterable[str]:
    for source, files in status.missing_files.items():
        for file in files:
            yield f"Source {source}: {missing_told(file)}"


def _calls_told(status: Status) -> str:
    allowed = f" of {status.monthly_calls}" if status.monthly_calls else ""
    return (
        f"API calls this month: {status.calls_this_month}{allowed}; "
        f"{status.calls_forecast} at its end if it goes on so."
    )
