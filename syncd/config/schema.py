"""The tables of the configuration file as frozen models; attribute names are the keys.

Promises: what was built is whole and free of contradictions; validation reports every problem of a table
at once, those of single keys and those between keys, as sentences of ours without the offending value.
Must not: know of files other than the people list and the secrets; carry out anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import PrivateAttr, field_validator, model_validator

from syncd.config.claims import (
    Claim,
    claimed_twice,
    claims_of_rooms,
    folded_address,
    tables_of,
)
from syncd.config.files import Written
from syncd.config.network import (
    AllowedHost,
    Endpoint,
    Host,
    Listen,
    PublicUrl,
    WebUrl,
    is_loopback,
    split_listen,
    url_of,
)
from syncd.config.people import People
from syncd.config.quantities import Duration, Share
from syncd.config.secret import HOW_TO_WRITE, Secret
from syncd.config.sources import Source
from syncd.config.state_url import (
    StateUrl,
    has_password,
    is_shared,
    state_directory,
)
from syncd.config.validation import Problem, Table, both_or_neither, exactly_one, key
from syncd.config.values import (
    EXPRESSION_PREFIX,
    AccessId,
    Address,
    Extension,
    FileMode,
    FilePath,
    Flag,
    Id,
    InstanceName,
    Location,
    MailAddress,
    Number,
    RoomName,
    Text,
    Whole,
    WorkingHours,
    Zone,
    location_expressions,
    nearest,
)
from syncd.core.bounds import MAX_OCCURRENCES
from syncd.core.changes import Mode
from syncd.core.text import fold_name


class Calendar(Table):
    """`[calendar]`: what is read and booked."""

    timezone: Zone = key(..., "IANA zone of floating times and whole-day events.")
    horizon: Duration = key(
        "30d", "Meetings are booked whose start is before now + horizon."
    )
    max_occurrences: Whole = key(
        MAX_OCCURRENCES,
        "Dates of one event within the horizon; more: quarantined.",
        ge=1,
        le=100_000,
    )
    all_day: Literal["skip", "working-hours", "whole-day"] = key(
        "skip", "What whole-day events become."
    )
    working_hours: WorkingHours = key(
        ["09:00", "18:00"], "Start and end, for all_day = working-hours."
    )
    transparent: Literal["skip", "book"] = key("skip", "Events marked as free time.")
    tentative: Literal["book", "skip"] = key("book", "Events with STATUS:TENTATIVE.")
    private: Literal["mask", "book", "skip"] = key(
        "mask", "Events with CLASS:PRIVATE or CONFIDENTIAL."
    )
    roomless: Literal["book", "skip"] = key("book", "Events that name no known room.")
    timezones: Mapping[Text, Zone] = key(
        {}, "IANA zones of TZIDs that nobody can know."
    )


class Api(Table):
    """`[api]`: where the reservations are, and how gently it is asked."""

    region: Literal["cn", "us", "us-east", "eu", "eu-west", "in", "sg"] | None = key(
        None, "Data centre of the cloud project; or give endpoint."
    )
    endpoint: Endpoint | None = key(
        None, "Scheme and host of the API instead of a region."
    )
    client_id: AccessId = key(..., "Access ID of the cloud project.")
    client_secret: Secret = key(..., "Access Secret of the cloud project.")
    timeout: Duration = key("10s", "For one call.")
    requests_per_second: Number = key(2.0, "Pace of calls.", gt=0, le=100)
    monthly_calls: Whole = key(
        26000, "Calls that the subscription has in a month; 0: not metered.", ge=0
    )
    request_validity: Duration = key(
        "5m", "After this long a lost request can no longer arrive."
    )

    @classmethod
    def contradictions(
        cls,
        raw: Mapping[str, Any],
        directory: Path,  # noqa: ARG003
    ) -> Iterator[Problem]:
        """Yield a problem unless exactly one of region and endpoint is given."""
        yield from exactly_one(raw, "region", "endpoint")


class Reservation(Table):
    """`[reservation]`: what reservations look like."""

    creator: Id = key(..., "User id for events whose organizer has none.")
    notice: Flag = key(True, "Push notification; false silences all.")
    notice_time: Duration = key(
        "15m", "Lead of the notification where the event has no alarm."
    )
    marker: Flag = key(True, "Short ownership mark at the end of the description.")
    instance: InstanceName = key(
        "hq", "Part of the mark; two daemons on one project differ here."
    )

    @property
    def is_named(self) -> bool:
        """Return whether the installation has a name of its own, and not that of any without one."""
        return "instance" in self.model_fields_set


class Room(Table):
    """One of `[[rooms]]`: a room of the building and how calendars call it."""

    id: Id = key(..., "meeting_room_id in the API.")
    name: RoomName | None = key(None, "For people; also recognised as a LOCATION.")
    addresses: tuple[Address, ...] = key([], "Calendar addresses of the room.")
    locations: tuple[Location, ...] = key(
        [], "LOCATION texts, or regular expressions after re:."
    )

    @cached_property
    def texts(self) -> frozenset[str]:
        """Return the LOCATION texts of the room, its name included, folded for comparison."""
        return frozenset(map(fold_name, self.written))

    @property
    def written(self) -> tuple[str, ...]:
        """Return the LOCATION texts of the room as they are written, its name first."""
        plain = (
            text for text in self.locations if not text.startswith(EXPRESSION_PREFIX)
        )
        return (self.name, *plain) if self.name else tuple(plain)

    @cached_property
    def expressions(self) -> tuple[re.Pattern[str], ...]:
        """Return the regular expressions for LOCATION, without regard to case."""
        found: list[re.Pattern[str]] = []
        for text in self.locations:
            if text.startswith(EXPRESSION_PREFIX):
                found += location_expressions(text)
        return tuple(found)


class Schedule(Table):
    """`[schedule]`: when cycles run."""

    interval: Duration = key("5m", "Default for sources.")
    jitter: Share = key(
        "10%", "How far an interval may vary, so that feeds are not asked all at once."
    )
    drift_check: Duration = key("1h", "How often to compare with what the API holds.")


class Safety(Table):
    """`[safety]`: how much may be cancelled without a person."""

    cancel_share: Share = key(
        "30%", "Of a source's live future bookings, within cancel_window."
    )
    cancel_floor: Whole = key(
        10, "So many may be cancelled whatever the share.", ge=0, le=1_000_000
    )
    cancel_window: Duration = key("24h", "The time over which cancels are counted.")
    empty_hold: Whole = key(
        3,
        "A reading without events is held when more bookings are live.",
        ge=0,
        le=1_000_000,
    )
    told_share: Share = key(
        "50%", "What a source may tell to give up in one cycle, of its live bookings."
    )
    told_floor: Whole = key(
        20, "So many it may tell whatever the share.", ge=0, le=1_000_000
    )
    file_grace: Duration = key(
        "1m", "How long a file of a directory may be gone before that means anything."
    )
    vanish_share: Share = key(
        "30%", "Of the compared bookings, what may be gone from Tuya at one comparison."
    )
    vanish_floor: Whole = key(
        5, "So many may be gone whatever the share.", ge=0, le=1_000_000
    )


class Drift(Table):
    """`[drift]`: what to do about changes that people made in Tuya."""

    on_change: Literal["accept", "repair", "report"] = key(
        "accept", "Someone changed the reservation."
    )
    on_cancel: Literal["respect", "rebook"] = key(
        "respect", "Someone cancelled the reservation."
    )


class Attachments(Table):
    """`[attachments]`: where inline attachments are published; both keys or none."""

    publish_dir: FilePath | None = key(
        "", "Directory to write to; empty: they are left out."
    )
    base_url: PublicUrl | None = key("", "URL under which that directory is served.")
    mode: FileMode = key(
        "0644", "Of the files, whatever the umask; directories that are made fit it."
    )
    types: tuple[Extension, ...] = key(
        [
            "pdf",
            "png",
            "jpg",
            "jpeg",
            "gif",
            "webp",
            "txt",
            "csv",
            "docx",
            "xlsx",
            "pptx",
            "odt",
            "ods",
            "odp",
        ],
        "Extensions of the files that are published; others are left out, with a reason.",
    )

    @field_validator("publish_dir", "base_url", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        return None if value == "" else value

    @classmethod
    def contradictions(
        cls,
        raw: Mapping[str, Any],
        directory: Path,  # noqa: ARG003
    ) -> Iterator[Problem]:
        """Yield a problem if one of publish_dir and base_url is given without the other."""
        given = {name for name, value in raw.items() if value}
        yield from both_or_neither(given, "publish_dir", "base_url")


class State(Table):
    """`[state]`: the ledger."""

    url: StateUrl = key(
        None,
        "sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME; default: state.db in $STATE_DIRECTORY, else "
        "beside this file.",
    )
    password: Secret | None = key(
        None, "Of the user that url names, for PostgreSQL; read again at each login."
    )
    durability: Literal["local", "replicated"] = key(
        "local", "replicated: what is recorded must be on a standby as well."
    )
    retention: Duration = key("90d", "How long what is over is remembered.")

    @field_validator("url", mode="before")
    @classmethod
    def _default_url(cls, value: object) -> object:
        if value is not None:
            return value
        file = Path(state_directory()) / "state.db"
        return f"sqlite:///{file}"

    @classmethod
    def contradictions(
        cls,
        raw: Mapping[str, Any],
        directory: Path,  # noqa: ARG003
    ) -> Iterator[Problem]:
        """Yield a problem for a password or a durability that the ledger cannot have."""
        url = str(raw.get("url") or "")
        if not is_shared(url):
            for name in ("password", "durability"):
                if raw.get(name) not in (None, "local"):
                    yield Problem(
                        (name,), "is for a PostgreSQL ledger only (state.url)"
                    )
        elif "password" in raw and has_password(url):
            yield Problem(
                ("password",), "stands in state.url already; leave it out there"
            )


class Web(Table):
    """`[web]`: status page, metrics, health."""

    listen: Listen = key("127.0.0.1:8620", "Address and port; empty: off.")
    token: Secret | None = key(None, "Required when listening beyond loopback.")
    feed_token: Secret | None = key(
        None, "For the feedback feeds, as ?token=; another one than token."
    )
    hosts: tuple[Host, ...] = key([], "Further Host names that are answered.")

    @property
    def address(self) -> tuple[str, int] | None:
        """Return the host and port to listen on; None if the page is off."""
        return split_listen(self.listen)

    @property
    def url(self) -> str | None:
        """Return where the page is for whoever is on this machine; None if it is off."""
        address = self.address
        return None if address is None else url_of(*address)

    @property
    def opens_feeds(self) -> bool:
        """Return whether who sees the page may have the feeds, without another token."""
        return self.token is not None or self.feed_token is None

    @classmethod
    def contradictions(
        cls,
        raw: Mapping[str, Any],
        directory: Path,  # noqa: ARG003
    ) -> Iterator[Problem]:
        """Yield a problem if a page beyond loopback has no token, and one if two doors have the same."""
        listen = raw.get("listen")
        address = split_listen(listen) if isinstance(listen, str) else None
        if address is not None and not is_loopback(address[0]) and "token" not in raw:
            yield Problem(
                ("token",),
                f"is required when listening beyond loopback; {HOW_TO_WRITE}",
            )
        feed_token = raw.get("feed_token")
        if feed_token is not None and feed_token == raw.get("token"):
            yield Problem(
                ("feed_token",),
                "is that of the page, which would open to whoever sees the address of a feed; "
                "make another one",
            )


class Webhook(Table):
    """`notices.webhook`."""

    url: WebUrl = key(..., "Where notices are posted.")
    secret: Secret | None = key(
        None, "Signs what is posted, as Standard Webhooks say; whsec_… or any text."
    )
    allow_hosts: tuple[AllowedHost, ...] = key(
        [], "Hosts and networks on private addresses that it may be at."
    )


class Mail(Table):
    """`notices.mail`."""

    host: Host = key("127.0.0.1", "Mail server.")
    port: Whole = key(25, "Its port.", ge=1, le=65535)
    sender: MailAddress = key(..., "Sender of notices.", alias="from")
    to: tuple[MailAddress, ...] = key(..., "Recipients of notices.", min_length=1)
    tls: Literal["starttls", "tls", "none"] | None = key(
        None, "Default: none on loopback, starttls elsewhere."
    )
    username: Text | None = key(None, "Who signs in; together with password.")
    password: Secret | None = key(None, "Of that user.")

    @property
    def security(self) -> Literal["starttls", "tls", "none"]:
        """Return how the connection is secured."""
        if self.tls is not None:
            return self.tls
        return "none" if is_loopback(self.host) else "starttls"

    @classmethod
    def contradictions(
        cls,
        raw: Mapping[str, Any],
        directory: Path,  # noqa: ARG003
    ) -> Iterator[Problem]:
        """Yield a problem for a user without password, and for a password that anyone on the way could read."""
        yield from both_or_neither(raw.keys(), "username", "password")
        host = raw.get("host", "127.0.0.1")
        is_here = isinstance(host, str) and is_loopback(host)
        if "password" in raw and raw.get("tls") == "none" and not is_here:
            yield Problem(
                ("tls",),
                "must be starttls or tls where a password is sent beyond loopback",
            )


class Notices(Table):
    """`[notices]`: who is told when something needs a person."""

    webhook: Webhook | None = key(None, "Post notices to a URL.")
    mail: Mail | None = key(None, "Send notices by mail.")
    command: tuple[Text, ...] = key(
        [], "Program and arguments; the notice is JSON on its standard input."
    )
    ping: WebUrl | None = key(
        None, "Called after each good cycle, with /fail after one that failed."
    )
    private: Flag = key(False, "Topics, people and organizers in notices too.")
    allow_hosts: tuple[AllowedHost, ...] = key(
        [], "Hosts and networks on private addresses that ping and webhook may be at."
    )

    @property
    def is_anybody_told(self) -> bool:
        """Return whether there is any channel."""
        return any((self.webhook, self.mail, self.command, self.ping))


class Log(Table):
    """`[log]`: what goes to standard error."""

    format: Literal["auto", "json", "console"] = key(
        "auto", "auto: console on a terminal, JSON otherwise."
    )
    level: Literal["debug", "info", "warning", "error"] = key(
        "info", "The least that is written."
    )


def _secrets(value: object) -> Iterator[Secret]:
    """Yield all references to secrets in a table and the tables in it."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Table):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, tuple):
        for member in value:
            yield from _secrets(member)


class Config(Table):
    """The whole configuration."""

    mode: Mode = key(
        ..., "What may be written: observe, create-only, no-cancel or full."
    )
    calendar: Calendar
    api: Api
    reservation: Reservation
    people: People = key({}, "Which address is which user.")
    rooms: tuple[Room, ...] = key([], "The rooms of the building.")
    sources: tuple[Source, ...] = key([], "The calendars.")
    schedule: Schedule = key({}, "When cycles run.")
    safety: Safety = key({}, "How much may be cancelled without a person.")
    drift: Drift = key({}, "What to do about changes that people made in Tuya.")
    attachments: Attachments = key({}, "Where inline attachments are published.")
    state: State = key({}, "The ledger.")
    web: Web = key({}, "Status page, metrics, health.")
    notices: Notices = key({}, "Who is told when something needs a person.")
    log: Log = key({}, "What goes to standard error.")

    _written: Written | None = PrivateAttr(default=None)

    @property
    def written(self) -> Written | None:
        """Return what its files say; None if it was not loaded from any."""
        return self._written

    def remember(self, written: Written) -> None:
        """Note what its files say."""
        self._written = written

    def secrets(self) -> Iterator[Secret]:
        """Yield all references to secrets."""
        return _secrets(self)

    @property
    def source_names(self) -> frozenset[str]:
        """Return the names of the sources."""
        return frozenset(source.name for source in self.sources)

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the files that the configuration names beside calendars: people list and secrets."""
        secrets = (found.file for found in self.secrets() if found.file is not None)
        people = (self.people.file,) if self.people.file else ()
        return tuple(dict.fromkeys((*people, *secrets)))

    @model_validator(mode="before")
    @classmethod
    def _requiredtables_of(cls, raw: Any) -> Any:
        """Take an absent table as an empty one, so that the keys missing in it are named."""
        if not isinstance(raw, dict):
            return raw
        return {"calendar": {}, "api": {}, "reservation": {}, **raw}

    @classmethod
    def contradictions(
        cls,
        raw: Mapping[str, Any],
        directory: Path,  # noqa: ARG003
    ) -> Iterator[Problem]:
        """Yield a problem for each name that stands twice, and each room that nobody knows."""
        rooms = list(tables_of(raw, "rooms"))
        sources = list(tables_of(raw, "sources"))
        names: list[Claim] = [
            (("sources", n), "name", source.get("name")) for n, source in sources
        ]
        ids: list[Claim] = [(("rooms", n), "id", room.get("id")) for n, room in rooms]
        addresses = claims_of_rooms(rooms, ["addresses"], folded_address)
        locations = claims_of_rooms(rooms, ["name", "locations"], fold_name)
        for claims in (names, ids, addresses, locations):
            yield from claimed_twice(claims)
        known = {room_id for _, _, room_id in ids if isinstance(room_id, str)}
        for n, source in sources:
            wanted = source.get("room")
            if isinstance(wanted, str) and wanted not in known:
                yield Problem(
                    ("sources", n, "room"),
                    f"is not the id of one of [[rooms]]{nearest(wanted, known)}",
                    incomplete=True,
                )

    def interval_of(self, source: Source) -> timedelta:
        """Return how long after a reading a source is read again, unless it has a `cron` that says when."""
        return source.interval or self.schedule.interval


Table.whole = Config
