"""The interview from which a first configuration comes: each answer is judged when it is given.

What is given with the command is not asked, and wrong there is the end; what a person types is asked again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from syncd import streams
from syncd.core.amounts import some
from syncd.errors import ApiUnusable, Unanswered
from syncd.setup import answers as judge
from syncd.setup.answers import NewSource
from syncd.setup.first_configuration import FirstAnswers, read_calendars
from syncd.setup.people_suggestions import Directory
from syncd.setup.questions import Interviewer, Left, Wrong
from syncd.tuya import REGIONS, Room, TuyaApi

_TIMEOUT_S = 10.0
_PACE = 5.0  # requests a second while somebody waits
_MOST_PAGES = 200
_FEW_USERS = 8


@dataclass(frozen=True, slots=True)
class Given:
    """What was said with the command; None or nothing is to be asked."""

    region: str | None = None
    endpoint: str | None = None
    client_id: str | None = None
    secret_file: Path | None = None
    sources: tuple[str, ...] = ()
    timezone: str | None = None
    creator: str | None = None
    instance: str | None = None

    @property
    def missing(self) -> list[str]:
        """Return the options that are needed where nobody can be asked."""
        wanted = {
            "--region R or --endpoint URL": self.region or self.endpoint,
            "--client-id ID": self.client_id,
            "--secret-file F": self.secret_file,
            "--timezone Z": self.timezone,
            "--source PATH_OR_URL": self.sources,
            "--creator ID": self.creator,
        }
        return [option for option, value in wanted.items() if not value]


@dataclass(slots=True)
class Tenant:
    """What the API says of a tenant; `directory` is None if it does not tell of users."""

    rooms: tuple[Room, ...] = ()
    directory: Directory | None = None
    remarks: list[str] = field(default_factory=list)


class Interview:
    """Asks for what is not given, and finds out whether it works; `questions` is None where nobody is asked.

    Raises `Wrong` for what was given and cannot be used, `Left` if the person goes away, and `ApiUnusable`.
    """

    def __init__(
        self, given: Given, output: Path, questions: Interviewer | None
    ) -> None:
        self._given = given
        self._questions = questions
        self._answers = FirstAnswers(output)
        self.tenant = Tenant()
        self._api: TuyaApi | None = None

    def run(self) -> FirstAnswers:
        """Return answers with which everything was tried."""
        self._access()
        self._ask_tenant()
        self._zone()
        self._sources()
        self._creator()
        instance = self._given.instance
        if instance is None:
            instance = judge.fresh_instance()
            if self._questions is not None:
                instance = self._questions.ask_until(
                    "Name of this installation, unique in the cloud project",
                    judge.instance_of,
                    instance,
                )
        return replace(
            self._answers,
            instance=judge.instance_of(instance),
            remarks=tuple(self.tenant.remarks),
        )

    @property
    def api(self) -> TuyaApi:
        """Return the API with the access that was answered."""
        assert self._api is not None  # `run` comes first
        return self._api

    def close(self) -> None:
        """Close the connections."""
        if self._api is not None:
            self._api.close()

    # Access

    def _access(self) -> None:
        """Ask for the access to the API until it answers; raise `ApiUnusable` if nobody can be asked."""
        while True:
            self._ask_access()
            try:
                self.tenant.rooms = self._connect().rooms()
            except Unanswered as error:
                self.tenant.remarks.append(f"Rooms are not known: {error}.")
            except ApiUnusable as error:
                if self._questions is None or not self._is_any_asked:
                    raise
                self._questions.say(f"  {error}. Please answer again.")
                continue
            return

    @property
    def _is_any_asked(self) -> bool:
        """Tell whether some of the access is asked, so that asking again can help."""
        given = self._given
        is_centre_given = bool(given.region or given.endpoint)
        return not (is_centre_given and given.client_id and given.secret_file)

    def _ask_access(self) -> None:
        given = self._given
        if given.region is not None:
            region, endpoint = judge.region_of(given.region), ""
        elif given.endpoint is not None:
            region, endpoint = "", judge.endpoint_of(given.endpoint)
        else:
            names = " ".join(REGIONS)
            region, endpoint = self._asking.ask_until(
                f"Data centre of the cloud project ({names}, or a URL)",
                judge.data_centre_of,
            )
        if given.client_id is not None:
            client_id = judge.client_id_of(given.client_id)
        else:
            client_id = self._asking.ask_until(
                "Access ID of the cloud project", judge.client_id_of
            )
        file, secret = self._secret()
        self._answers = replace(
            self._answers,
            region=region,
            endpoint=endpoint,
            client_id=client_id,
            secret_file=file,
            secret=secret,
        )

    def _secret(self) -> tuple[Path, str]:
        """Return the file of the Access Secret with what is in it, or is to be written into it."""
        if self._given.secret_file is not None:
            file = self._given.secret_file
            if os.path.lexists(file) or self._questions is None:
                return file, judge.secret_in(file)
            return file, self._typed_secret(file)
        default = self._answers.output.absolute().parent / "tuya-secret"
        while True:
            file = Path(self._asking.ask("File with the Access Secret", str(default)))
            try:
                if os.path.lexists(file):
                    return file, judge.secret_in(file)
                return file, self._typed_secret(file)
            except Wrong as wrong:
                self._asking.say(f"  {wrong}")

    def _typed_secret(self, file: Path) -> str:
        """Return a secret that is typed; its file is made at the end, readable by its owner alone."""
        self._asking.say(f"  {file} does not exist; it will be made with mode 600.")
        while True:
            secret = self._asking.ask_hidden("Access Secret (not shown)")
            if secret.isprintable() and secret:
                return secret
            self._asking.say("  The secret is one line of text, and not empty.")

    @property
    def _asking(self) -> Interviewer:
        if self._questions is None:
            raise Left  # what is missing was told before
        return self._questions

    def _connect(self) -> TuyaApi:
        self.close()
        answers = self._answers
        self._api = TuyaApi(
            endpoint=answers.endpoint or REGIONS[answers.region],
            client_id=answers.client_id,
            client_secret=lambda: answers.secret,
            timeout_s=_TIMEOUT_S,
            requests_per_second=_PACE,
        )
        return self._api

    def _ask_tenant(self) -> None:
        tenant = self.tenant
        try:
            users, is_whole = self.api.users(_MOST_PAGES)
        except Unanswered as error:
            tenant.remarks.append(f"Users are not known: {error}.")
            self._tell(f"{error}; people are left out for now: syncd people suggest.")
            return
        tenant.directory = Directory(users, is_whole, self.api.find_user)
        self._tell(f"Tuya answers: rooms {len(tenant.rooms)}, users {len(users)}.")

    def _tell(self, sentence: str) -> None:
        if self._questions is not None:
            self._questions.say(f"  {sentence}")
        else:
            streams.complain(sentence)

    # Calendars

    def _zone(self) -> None:
        zone = self._given.timezone
        if zone is not None:
            zone = judge.zone_of(zone)
        else:
            zone = self._asking.ask_until(
                "Time zone of the office", judge.zone_of, judge.machine_zone()
            )
        self._answers = replace(self._answers, timezone=zone)

    def _sources(self) -> None:
        for text in self._given.sources:
            self._take_source(self._tried(text))
        if self._given.sources:
            return
        question = "Calendar: a file, a directory, or a URL"
        self._take_source(self._asking.ask_until(question, self._tried))
        while True:
            text = self._asking.ask("Another one (Enter: no more)")
            if not text:
                return
            try:
                self._take_source(self._tried(text))
            except Wrong as wrong:
                self._asking.say(f"  {wrong}")

    def _take_source(self, source: NewSource) -> None:
        self._answers = self._answers.with_source(source)

    def _tried(self, text: str) -> NewSource:
        """Return a source that can be read; raise `Wrong`."""
        known = {source.name for source in self._answers.sources}
        source = judge.source_of(text, known)
        problem = self._problem_of(source)
        if problem and "allow_hosts" in problem and self._allows(source):
            source = source.allowing()
            problem = self._problem_of(source)
        if problem:
            raise Wrong(f"The calendar {source.name} cannot be read: {problem}.")
        return source

    def _allows(self, source: NewSource) -> bool:
        """Tell whether a feed on a private network may be read; who names it with the command means it."""
        sentence = f"{source.host} is on a private network"
        if self._questions is None:
            streams.complain(f"{sentence}; allow_hosts of {source.name} names it.")
            return True
        return self._questions.agrees(f"  {sentence}. Read it?", default=True)

    def _problem_of(self, source: NewSource) -> str:
        """Return why a source cannot be read; empty if it can."""
        _, calendars = read_calendars(self._answers, [source])
        report = calendars.sources[0]
        if report.error is None:
            self._tell(f"{source.name}: {some(report.events, 'event')}.")
        return report.error or ""

    # The creator

    def _creator(self) -> None:
        creator = self._given.creator
        if creator is not None:
            creator = judge.creator_of(creator)
            if not self._is_user(creator):
                sentence = f"No enabled user {creator} is in the directory of Tuya"
                self._tell(f"{sentence}; check --creator.")
                self.tenant.remarks.append(f"{sentence}: check reservation.creator.")
        else:
            for line in self._few_users():
                self._asking.say(f"  {line}")
            creator = self._asking.ask_until(
                "User id or e-mail address of who books where no organizer is known",
                self._known_creator,
            )
        self._answers = replace(self._answers, creator=creator)

    def _few_users(self) -> Iterator[str]:
        directory = self.tenant.directory
        users: Sequence[object] = ()
        if directory is not None:
            users = directory.users
            for user in directory.users[:_FEW_USERS]:
                if user.enabled:
                    yield f"{user.user_id}  {user.name}  {user.email}".rstrip()
        if len(users) > _FEW_USERS:
            yield f"and {len(users) - _FEW_USERS} more"

    def _known_creator(self, text: str) -> str:
        """Return the user id that a person typed, or the one of an address; raise `Wrong`."""
        if "@" in text:
            user_id = self._user_of(text)
            if user_id is None:
                raise Wrong("Not exactly one enabled user has this address.")
            return user_id
        creator = judge.creator_of(text)
        if self._is_user(creator):
            return creator
        question = "  The directory has no such enabled user. Take it all the same?"
        if not self._asking.agrees(question, default=False):
            raise Wrong("Then please another one.")
        return creator

    def _user_of(self, address: str) -> str | None:
        try:
            return self.api.find_user(address)
        except Unanswered as error:
            raise Wrong(f"{error}; please give the user id.") from None

    def _is_user(self, user_id: str) -> bool:
        """Tell whether a user is in the directory; one that does not tell has everybody."""
        directory = self.tenant.directory
        if directory is None:
            return True
        for user in directory.users:
            if user.user_id == user_id:
                return user.enabled
        if directory.is_whole:
            return False
        try:
            return self.api.has_user(user_id)
        except Unanswered:
            return True
