"""The lines of the worklist, and every statement that changes one.

On a shared ledger members tell news of UIDs while the writer looks at others: each news raises the number of
its line (`news`), and a UID is put to rest, or forgotten, only while the number is the one that stood there
before it was looked at. So what is told meanwhile is looked at once more.
Must not: put a UID to rest on a shared ledger by a statement without that condition; what makes one ready needs
none. `tests/test_agenda.py` lists them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    TextClause,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    text,
    update,
)

from syncd.core.reservation import epoch_ms
from syncd.core.totals import Skips
from syncd.ledger import tables

News: TypeAlias = Mapping[str, int]
"""How often each UID had news when it was seen to be ready; always 0 where one process does everything."""

PLANNED = datetime(9999, 12, 31, tzinfo=UTC)
"""Until then a UID is deferred whose changes wait in the process that owns the ledger."""

_LINE = tables.agenda.c
_KEPT = tables.kept.c
IS_DEFERRED = or_(_LINE.due_at > tables.EPOCH, _LINE.due_at.is_(None))
IS_PLANNED = _LINE.due_at == PLANNED

_ADD: TextClause = text(
    "INSERT INTO agenda (uid, due_at, skipped) VALUES (:uid, 0, 0) ON CONFLICT (uid) DO UPDATE SET due_at = 0"
)
_ADD_NEWS: TextClause = text(
    "INSERT INTO agenda (uid, due_at, skipped) VALUES (:uid, 0, 0) "
    "ON CONFLICT (uid) DO UPDATE SET due_at = 0, news = agenda.news + 1"
)
_EARLIER = (
    "INSERT INTO agenda (uid, due_at, skipped) VALUES (:uid, :due, 0) "
    "ON CONFLICT (uid) DO UPDATE SET due_at = CASE WHEN agenda.due_at < excluded.due_at "
    "THEN agenda.due_at ELSE excluded.due_at END"
)
_ADD_AT: TextClause = text(_EARLIER)
_ADD_NEWS_AT: TextClause = text(f"{_EARLIER}, news = agenda.news + 1")

_OF_THE_UID = update(tables.agenda).where(_LINE.uid == bindparam("of"))
_IS_AS_SEEN = _LINE.news == bindparam("seen")
_DEFER = _OF_THE_UID.values(
    due_at=bindparam("due"), skipped=bindparam("count"), skips=bindparam("why")
)
_DEFER_AS_SEEN = _DEFER.where(_IS_AS_SEEN)
_MARK_PLANNED = _OF_THE_UID.values(
    due_at=PLANNED, skipped=bindparam("count"), skips=bindparam("why")
)
_MARK_PLANNED_AS_SEEN = _MARK_PLANNED.where(_IS_AS_SEEN)
_MAKE_PLANNED_READY = (
    update(tables.agenda).where(IS_PLANNED).values(due_at=tables.EPOCH)
)
_NOTE_SKIPS = _OF_THE_UID.where(_LINE.due_at == tables.EPOCH).values(
    skipped=bindparam("count"), skips=bindparam("why")
)
_FORGET = delete(tables.agenda).where(_LINE.uid == bindparam("gone"))
_FORGET_AS_SEEN = _FORGET.where(_IS_AS_SEEN)
_FORGET_KEPT = delete(tables.kept).where(_KEPT.uid == bindparam("gone"))
_FORGET_KEPT_WITHOUT_LINE = _FORGET_KEPT.where(
    ~exists().where(_LINE.uid == bindparam("gone"))
)
_READY = select(_LINE.uid).where(_LINE.due_at <= bindparam("now"))
_READY_WITH_NEWS = _READY.add_columns(_LINE.news)
_NEVER_SEEN = -1

_Line: TypeAlias = dict[str, object]


class Agenda:
    """The lines of a ledger on which one process alone works.

    `ready` names the UIDs that need a look, `with_news` tells besides how often each had news.
    """

    ready: Select[str] = _READY
    with_news: Select[Any] = _READY
    _defer = _DEFER
    _mark_planned = _MARK_PLANNED
    _add_news = _ADD
    _add_news_at = _ADD_AT

    def news_of(self, rows: Iterable[Any]) -> News:
        """Return what `with_news` found."""
        return dict.fromkeys((row.uid for row in rows), 0)

    def add_news(self, connection: Connection, uids: Iterable[str]) -> None:
        """Make UIDs ready of which a source says something new."""
        _add(connection, self._add_news, uids)

    def add_news_at(
        self, connection: Connection, later: Mapping[str, datetime]
    ) -> None:
        """Make UIDs of which a source says something new ready at a moment of each, unless they are before."""
        lines: list[_Line] = [
            {"uid": uid, "due": epoch_ms(moment)}
            for uid, moment in sorted(later.items())
        ]
        if lines:
            connection.execute(self._add_news_at, lines)

    def hold(self, connection: Connection, uids: Collection[str]) -> None:
        """Let nobody else tell news of UIDs until the end of the transaction."""

    def make_planned_ready(self, connection: Connection) -> None:
        """Make all UIDs ready that are planned."""
        connection.execute(_MAKE_PLANNED_READY)

    def add_all(self, connection: Connection, *conditions: ColumnElement[bool]) -> int:
        """Make all UIDs ready that fulfil the conditions; return how many were not."""
        change = update(tables.agenda).where(IS_DEFERRED, *conditions)
        return connection.execute(change.values(due_at=tables.EPOCH)).rowcount

    def defer(
        self,
        connection: Connection,
        deferred: Mapping[str, tuple[datetime | None, Skips]],
        seen: News,
    ) -> None:
        """Put UIDs to rest until a moment of each (None: until it changes)."""
        lines: list[_Line] = []
        for uid, (due, skips) in deferred.items():
            lines.append(self._as_seen(_line_of(uid, skips), uid, seen) | {"due": due})
        if lines:
            connection.execute(self._defer, self._in_order(lines))

    def mark_planned(
        self, connection: Connection, planned: Mapping[str, Skips], seen: News
    ) -> None:
        """Put UIDs to rest while what was decided about them waits."""
        lines: list[_Line] = []
        for uid, skips in planned.items():
            lines.append(self._as_seen(_line_of(uid, skips), uid, seen))
        connection.execute(self._mark_planned, self._in_order(lines))

    def forget(
        self,
        connection: Connection,
        over: Iterable[str],
        seen: News,  # noqa: ARG002  # as where several work
    ) -> None:
        """Drop UIDs, and what is kept of them."""
        gone = [{"gone": uid} for uid in over]
        if gone:
            connection.execute(_FORGET, gone)
            connection.execute(_FORGET_KEPT, gone)

    def _as_seen(self, line: _Line, uid: str, seen: News) -> _Line:  # noqa: ARG002  # as where several work
        return line

    def _in_order(self, lines: list[_Line]) -> list[_Line]:
        return lines


class SharedAgenda(Agenda):
    """The lines of a ledger on which members tell news while one of them plans.

    A UID that is put to rest and was never `seen` to be ready stays as it is.
    """

    with_news = _READY_WITH_NEWS
    _defer = _DEFER_AS_SEEN
    _mark_planned = _MARK_PLANNED_AS_SEEN
    _add_news = _ADD_NEWS
    _add_news_at = _ADD_NEWS_AT

    def news_of(self, rows: Iterable[Any]) -> News:
        """Return what `with_news` found."""
        return {row.uid: row.news for row in rows}

    def hold(self, connection: Connection, uids: Collection[str]) -> None:
        """Let nobody else tell news of UIDs until the end of the transaction."""
        for some in tables.in_chunks(sorted(uids)):
            lines = select(_LINE.uid).where(_LINE.uid.in_(some)).order_by(_LINE.uid)
            connection.execute(lines.with_for_update()).all()

    def make_planned_ready(self, connection: Connection) -> None:
        """Make all UIDs ready that are planned."""
        self.add_all(connection, IS_PLANNED)

    def add_all(self, connection: Connection, *conditions: ColumnElement[bool]) -> int:
        """Make all UIDs ready that fulfil the conditions, as news of each; return how many were not."""
        # In the order in which all others lock them.
        asked = select(_LINE.uid, _LINE.due_at).where(*conditions)
        locked = asked.order_by(_LINE.uid).with_for_update().cte("locked")
        change = update(tables.agenda).where(_LINE.uid == locked.c.uid)
        changed = change.values(due_at=tables.EPOCH, news=_LINE.news + 1).cte("changed")
        were_deferred = or_(locked.c.due_at > tables.EPOCH, locked.c.due_at.is_(None))
        query = select(func.count()).select_from(locked).where(were_deferred)
        return int(connection.execute(query.add_cte(changed)).scalar() or 0)

    def forget(self, connection: Connection, over: Iterable[str], seen: News) -> None:
        """Drop UIDs, and what is kept of them, unless there is news of them."""
        lines = [self._as_seen({"gone": uid}, uid, seen) for uid in sorted(over)]
        if lines:
            connection.execute(_FORGET_AS_SEEN, lines)
            gone = [{"gone": line["gone"]} for line in lines]
            connection.execute(_FORGET_KEPT_WITHOUT_LINE, gone)

    def _as_seen(self, line: _Line, uid: str, seen: News) -> _Line:
        return line | {"seen": seen.get(uid, _NEVER_SEEN)}

    def _in_order(self, lines: list[_Line]) -> list[_Line]:
        return sorted(lines, key=_uid_of)


def add_uids(connection: Connection, uids: Iterable[str]) -> None:
    """Make UIDs ready, in the transaction of another store, for a reason that the writer itself has."""
    _add(connection, _ADD, uids)


def note_skips(connection: Connection, skips: Mapping[str, Skips]) -> None:
    """Note how many occurrences of UIDs that are ready ask for no reservation; nothing for others."""
    lines = [_line_of(uid, why) for uid, why in sorted(skips.items())]
    connection.execute(_NOTE_SKIPS, lines)


def among(sources: Collection[str]) -> ColumnElement[bool]:
    """Return the condition of the UIDs of which events of any of these sources are kept."""
    return _LINE.uid.in_(select(_KEPT.uid).where(_KEPT.source.in_(sources)))


def kept_in_none() -> ColumnElement[bool]:
    """Return the condition of the UIDs of which no events are kept."""
    return ~select(_KEPT.uid).where(_KEPT.uid == _LINE.uid).exists()


def booked() -> ColumnElement[bool]:
    """Return the condition of the UIDs that have current bookings."""
    return _LINE.uid.in_(select(tables.bookings.c.uid).where(tables.CURRENT))


def _add(connection: Connection, statement: TextClause, uids: Iterable[str]) -> None:
    lines: Sequence[_Line] = [{"uid": uid} for uid in sorted(set(uids))]
    if lines:
        connection.execute(statement, lines)


def _line_of(uid: str, skips: Skips) -> _Line:
    """Return what is stored of a UID that rests: how many of its occurrences are skipped, and why."""
    why = {reason.value: number for reason, number in skips.items()}
    told = json.dumps(why, sort_keys=True) if why else None
    return {"of": uid, "count": sum(why.values()), "why": told}


def _uid_of(line: _Line) -> str:
    return str(line["of"])
