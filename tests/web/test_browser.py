"""The page in a real browser: for every eye and hand, in both schemes, whatever stands in the calendars."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page

from syncd.core.occurrence import event_key
from tests.conftest import Office, event
from tests.daemon.running import Daemon, running, until
from tests.web.browsing import Look, axe, browser, looking
from tests.web.serving import Client, let_serve, read, served
from tests.web.staged import HOSTILE, at, shown_day, stage

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Staged:
    """An office with a staged day, its daemon, and where its page is."""

    office: Office
    daemon: Daemon
    address: str
    rooms: dict[str, str]

    @property
    def paths(self) -> tuple[str, ...]:
        """One page of each kind, and the page for what there is not."""
        return (
            "/",
            shown_day(),
            f"/room/{self.rooms['small']}?day={shown_day().removeprefix('/day/')}",
            f"/event/{event_key('late')}",
            f"/event/{event_key('doubt')}",
            f"/event/{event_key('hr1')}",
            f"/event/{event_key('bad')}",
            "/source/office",
            "/source/gone",
            "/plan",
            "/history",
            "/room/7",
        )


@pytest.fixture(scope="module")
def staged(shared_office: Office) -> Iterator[Staged]:
    """The staged day, with a running daemon that serves its page."""
    office = shared_office
    address = let_serve(office)
    rooms = stage(office)
    with running(office) as daemon:
        client = Client(address)
        daemon.until(client.answers, "the page is served")
        daemon.until(lambda: "6 things" in client.ask("/").text, "all is staged")
        yield Staged(office, daemon, address, rooms)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests."""
    with browser() as launched:
        yield launched


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(chromium: Browser, staged: Staged, scheme: str) -> None:
    """No page breaks a rule of accessibility, in either scheme, on a wide and a narrow window."""
    script = axe()
    for width in (1280, 390):
        with looking(
            chromium, staged.address, width=width, color_scheme=scheme, bypass_csp=True
        ) as look:
            for path in staged.paths:
                look.open(path)
                assert look.violations(script) == [], (path, width)


@pytest.mark.parametrize("width", [1280, 700, 640, 390, 320])
def test_nothing_is_wider_than_the_window(
    chromium: Browser, staged: Staged, width: int
) -> None:
    """Neither at the widths of people nor at 200 % zoom, which makes 640 of 1280; and no text is cut off."""
    with looking(chromium, staged.address, width=width) as look:
        for path in staged.paths:
            page = look.open(path)
            assert look.overflow() <= 0, (path, width)
            assert _cut(page) == [], (path, width)


def _cut(page: Page) -> list[str]:
    """Commands, sentences and headings of which a part cannot be seen."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("h1, h2, h3, p, code, .chip, dd")]
            .filter(one => one.offsetParent && one.scrollWidth > one.clientWidth + 1
                && getComputedStyle(one).overflow === "hidden"
                && !one.closest(".hidden") && !one.classList.contains("hidden"))
            .map(one => one.textContent.trim())"""
    )
    return found


def test_nothing_is_asked_of_another_host(chromium: Browser, staged: Staged) -> None:
    """All that pages load is from where they are; nothing that they do is forbidden to them."""
    with looking(chromium, staged.address) as look:
        for path in staged.paths[:-1]:
            look.open(path)
        own = f"http://{staged.address}/"
        assert [url for url in look.asked if not url.startswith(own)] == []
        assert look.complaints == []


def test_the_keyboard_reaches_everything(chromium: Browser, staged: Staged) -> None:
    """Each link, button and region takes its turn with Tab, is seen then, and the first leads to the content."""
    with looking(chromium, staged.address) as look:
        for path in ("/", shown_day(), "/plan", "/history"):
            page = look.open(path)
            expected = page.evaluate(
                """() => [...document.querySelectorAll(
                    "a[href], button, input, select, summary, [tabindex='0']")]
                    .filter(one => one.checkVisibility()).length"""
            )
            reached = _tabbed(page, expected)
            assert reached == expected, path
        page = look.open("/")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"


def _tabbed(page: Page, most: int) -> int:
    """How many elements Tab reaches, each of which can be seen and shows that it is meant."""
    for number in range(9 * most):
        page.keyboard.press("Tab")
        told = page.evaluate(
            """number => { const one = document.activeElement;
                if (one.type === "date" && one.dataset.reached) return true;
                if (one === document.body || one.dataset.reached) return null;
                one.dataset.reached = number;
                const box = one.getBoundingClientRect(), style = getComputedStyle(one);
                return box.width > 0 && box.height > 0 && style.outlineStyle !== "none"; }""",
            number,
        )
        if told is None:
            break
        assert told, page.evaluate("document.activeElement.outerHTML")
    # A date has several parts that Tab stops at.
    return int(page.evaluate("document.querySelectorAll('[data-reached]').length"))


def test_it_is_whole_without_scripts(chromium: Browser, staged: Staged) -> None:
    """What the page shows does not hang on its script; a stamp and a link to reload stand there instead."""
    with looking(chromium, staged.address, java_script_enabled=False) as look:
        page = look.open("/")
        assert "6 things need a person" in page.inner_text("h1")
        assert page.title().startswith("(6) ")
        assert page.is_visible("text=As of")
        assert page.is_visible("a:text-is('Reload')")
        assert not page.is_visible("#pause")
        page.click("a:text-is('Reload')")
        assert page.title().startswith("(6) ")


def test_states_are_told_without_colours(chromium: Browser, staged: Staged) -> None:
    """Under forced colours each state still has its glyph, its word and a border of its own."""
    with looking(chromium, staged.address, forced_colors="active") as look:
        page = look.open(shown_day())
        found = page.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll(".lanes .m")].map(one => {
                const style = getComputedStyle(one.querySelector("a"));
                return [one.querySelector(".word").textContent,
                    [style.borderTopStyle, style.borderTopWidth, style.borderLeftWidth,
                     one.querySelector(".glyph").textContent].join(" ")]; }))"""
        )
        assert set(found) == {"booked", "approval", "held", "refused", "in doubt"}
        assert len(set(found.values())) == len(found)


def test_the_refused_stand_under_what_is_in_their_way(
    chromium: Browser, staged: Staged
) -> None:
    """In the list they follow it, in the grid they are in the row beneath; of several one, and how many more."""
    with looking(chromium, staged.address) as look:
        page = look.open(shown_day())
        room = page.locator("section.room", has_text="Small meeting room")
        told = [text.split() for text in room.locator(".m a").all_inner_texts()]
        assert [words[0] for words in told] == ["✓", "✕", "✕", "✓", "✓"]
        assert (
            room.locator("ol > li").count() == room.locator("ol > li > a").count() == 5
        )
        budget, late = room.locator(".m.lane-1").first, room.locator(".m.lane-2").first
        above, beneath = budget.bounding_box(), late.bounding_box()
        assert above
        assert beneath
        assert above["y"] + above["height"] <= beneath["y"]
        # Both go on at ten.
        assert above["x"] < beneath["x"] < above["x"] + above["width"]
        assert room.locator(".m.lane-2").nth(1).is_hidden()
        more = room.locator(".more")
        assert more.inner_text().startswith("+1")
        more.click()
        assert page.locator(".m", has_text="second round").is_visible()
    with looking(chromium, staged.address, width=390) as look:
        page = look.open(shown_day())
        room = page.locator("section.room", has_text="Small meeting room")
        assert room.locator(".m.lane-2").nth(1).is_visible()
        assert room.locator(".more").is_hidden()


def test_a_stranger_finds_what_is_wrong_and_what_to_type(
    chromium: Browser, staged: Staged
) -> None:
    """From the front page alone: which meeting is not booked, why, and the command, in a place of its own."""
    expected = {
        "Supplier call": ("The room is taken", r"syncd explain late"),
        "4 cancellations are held": ("approve them", r"syncd approve [0-9a-f]{12}"),
        "Crisis call": ("its answer was lost", r"syncd resolve --retry doubt//\d+"),
        "Steering committee": ("RRULE cannot be read", r"syncd explain bad"),
        "Source gone cannot be read": ("is a web page", r"syncd doctor --source gone"),
    }
    with looking(chromium, staged.address) as look:
        page = look.open("/")
        assert "6 things need a person" in page.inner_text("h1")
        entries = page.locator(".concern")
        for title, (why, command) in expected.items():
            entry = entries.filter(has=page.locator("h3", has_text=title)).first
            assert why in entry.inner_text()
            codes = entry.locator(".command code").all_inner_texts()
            assert any(re.fullmatch(command, code) for code in codes), codes
        kinds = page.locator(".concern h3 .chip").all_inner_texts()
        order = ["in doubt", "held", "refused", "failing source", "quarantined"]
        places = [order.index(kind.split("\n")[-1].strip(" ?‖✕")) for kind in kinds]
        assert places == sorted(places)
        parts = page.locator("main h2").all_inner_texts()
        assert parts == ["Needs a person", "Today", "Sources", "Last cycles", "Plan"]


def test_what_stands_in_calendars_has_no_effect(
    chromium: Browser, other_office: Office
) -> None:
    """Markup, scripts, overrides and ten thousand letters are text in their place, on every page."""
    office = other_office
    address = let_serve(office)
    strange = "<i>&\"'/"
    uids = {name: f"uid-{name} {strange}" for name in HOSTILE}
    titles = [
        event(uids[name], at(9 + n), 45, f"SUMMARY:{title}", room="large")
        for n, (name, title) in enumerate(HOSTILE.items())
    ]
    titles.append(event(strange, at(9, day=2), 60, "SUMMARY:<hr>", "RRULE:FREQ=<hr>"))
    office.write(*titles)
    office.change(('name = "Large meeting room"', "name = '<u>Large</u> {{ 1 }}'"))
    office.change(('name = "office"', "name = '<s>office</s> & you'"))
    read(office)
    source = "/source/" + quote("<s>office</s> & you")
    events = [f"/event/{event_key(uid)}" for uid in (*uids.values(), strange)]
    paths = ("/", shown_day(), *events, source, "/plan", "/history")
    with served(office), ExitStack() as stack:
        for width in (1280, 390):
            look = stack.enter_context(looking(chromium, address, width=width))
            for path in paths:
                page = look.open(path)
                assert look.overflow() <= 0, (path, width)
                assert page.evaluate("window.struck") is None
                assert (
                    page.locator("main :is(b, i, s, u, hr):not(.present b)").count()
                    == 0
                )
                shown = page.inner_text("body")
                assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b]", shown)
            assert look.complaints == []
            shown = look.open(shown_day()).inner_text("main")
            for piece in (
                "<b>bold</b> & <script>",
                "{{ 7 * 7 }}",
                "\\u202e",
                "<u>Large",
            ):
                assert piece in shown
            assert HOSTILE["long"] in look.open(events[2]).inner_text("h1")


def test_it_is_refreshed_without_losing_the_place(
    chromium: Browser, staged: Staged
) -> None:
    """Half a minute later what changed is there, focus and scroll are where they were, the number is told."""
    office = staged.office
    with looking(chromium, staged.address) as look:
        page = look.page
        page.clock.install()
        look.open("/")
        page.locator("#legend summary").click()
        page.locator("#legend summary").focus()
        page.evaluate("window.scrollTo(0, 300)")
        asked = len(look.asked)
        before = office.calendar_file.read_bytes()
        worse = event("worse", at(9, day=2), 60, "SUMMARY:Worse", "RRULE:FREQ=NEVER")
        text = before.decode().replace("END:VCALENDAR", f"{worse}\r\nEND:VCALENDAR")
        office.calendar_file.write_bytes(text.encode())
        client = Client(staged.address)
        staged.daemon.until(lambda: "7 things" in client.ask("/").text, "it is worse")
        try:
            page.clock.fast_forward(30_000)
            until(lambda: page.title().startswith("(7) "), "it shows what changed")
            assert page.inner_text("#live") == "7 things need a person."
            assert (
                page.evaluate("document.activeElement.closest('details').id")
                == "legend"
            )
            assert page.evaluate("document.getElementById('legend').open")
            # The browser itself keeps in view what was, where something above it grew.
            assert 200 < page.evaluate("window.scrollY") < 400
            until(lambda: _is_left_alone(page), "what is the same is not sent again")
            assert len(look.asked) > asked
            _pause(look)
        finally:
            office.calendar_file.write_bytes(before)
            staged.daemon.until(
                lambda: "6 things" in client.ask("/").text, "it is as it was"
            )


def _is_left_alone(page: Page) -> bool:
    """Whether the next look brings nothing new, and what is shown is not touched; a cycle may end meanwhile."""
    page.evaluate("document.getElementById('main').dataset.mine = 1")
    with page.expect_response(lambda answer: answer.url.endswith(":8620/")) as got:
        page.clock.fast_forward(30_000)
    if got.value.status != 304:
        return False
    return bool(page.evaluate("document.getElementById('main').dataset.mine === '1'"))


def _pause(look: Look) -> None:
    """Once paused nothing is asked, and that is remembered."""
    page = look.page
    page.click("#pause")
    assert page.inner_text("#pause") == "Resume refreshing"
    asked = len(look.asked)
    page.clock.fast_forward(90_000)
    page.reload()
    page.clock.fast_forward(90_000)
    assert page.inner_text("#pause") == "Resume refreshing"
    again = [url for url in look.asked[asked:] if url.endswith(":8620/")]
    assert len(again) == 1, "the reload alone"
    page.click("#pause")
    assert page.inner_text("#pause") == "Pause refreshing"


def test_a_daemon_that_is_gone_is_said(chromium: Browser, staged: Staged) -> None:
    """While syncd does not answer, what stands there stays, with a word of warning, until it answers again."""
    with looking(chromium, staged.address) as look:
        page = look.page
        page.clock.install()
        look.open("/")
        assert page.is_hidden("#lost")
        verdict = page.inner_text("h1")
        page.context.set_offline(True)
        page.clock.fast_forward(30_000)
        page.wait_for_selector("#lost", state="visible")
        assert page.inner_text("h1") == verdict
        assert "need a person" in verdict
        page.context.set_offline(False)
        page.clock.fast_forward(30_000)
        page.wait_for_selector("#lost", state="hidden")


def test_the_line_of_now_and_the_times_are_in_one_zone(
    chromium: Browser, staged: Staged
) -> None:
    """A browser far away shows the times of the building, also after it refreshed the stamp."""
    with looking(
        chromium, staged.address, timezone_id="Pacific/Auckland", locale="de-DE"
    ) as look:
        page = look.page
        page.clock.install()
        look.open("/")
        before = page.inner_text(".stamp time")
        page.clock.fast_forward(30_000)
        until(lambda: page.inner_text(".stamp time") != before, "the stamp is new")
        after = page.inner_text(".stamp time")
        assert re.fullmatch(r"\d\d:\d\d:\d\d", after)
        apart = _seconds(after) - _seconds(before)
        day = timedelta(days=1).total_seconds()
        # The clock of the page went on by half a minute; whatever a slow machine adds stays below an hour.
        assert apart % day < 3600


def _seconds(clock: str) -> int:
    hours, minutes, seconds = map(int, clock.split(":"))
    return hours * 3600 + minutes * 60 + seconds


def test_documents_of_the_page_are_whole(staged: Staged) -> None:
    """Each page answers programs with its document, of the same number of things that need a person."""
    client = Client(staged.address)
    found = client.document("/")
    assert len(found["concerns"]) == 6
    story = client.document(f"/event/{event_key('late')}")
    assert story["needs_person"]
    assert json.dumps(client.document(shown_day()))


def test_what_is_private_stays_masked(staged: Staged) -> None:
    """The title of a private meeting is on no page and in no document, and its event's page has it masked."""
    client = Client(staged.address)
    private = f"/event/{event_key('private')}"
    for path in (*staged.paths, private, "/plan.md"):
        for accept in ("text/html", "application/json"):
            assert "Secret of Ann" not in client.ask(path, accept=accept).text, path
    assert "Private meeting" in client.ask(private).text
    assert "Private meeting" in client.ask(shown_day()).text


def test_no_word_is_broken_and_the_time_stands_beside_its_glyph(
    chromium: Browser, staged: Staged
) -> None:
    """On the timeline, however short a meeting is: what has no place ends in an ellipsis."""
    with looking(chromium, staged.address, width=1200) as look:
        page = look.open(shown_day())
        broken = page.evaluate(
            """() => [...document.querySelectorAll(".lanes .m")].flatMap(one => {
                const found = [];
                if (!one.offsetParent) return found;
                const what = one.querySelector(".what");
                const walk = document.createTreeWalker(what, NodeFilter.SHOW_TEXT);
                while (walk.nextNode()) for (const word of walk.currentNode.data.matchAll(/\\S+/g)) {
                    const range = document.createRange();
                    range.setStart(walk.currentNode, word.index);
                    range.setEnd(walk.currentNode, word.index + word[0].length);
                    if (new Set([...range.getClientRects()].map(r => Math.round(r.top))).size > 1)
                        found.push(word[0]);
                }
                const when = one.querySelector(".when"), glyph = one.querySelector(".glyph");
                const [a, b] = [when, glyph].map(part => part.getBoundingClientRect());
                if (getComputedStyle(when).position !== "absolute" && (b.bottom <= a.top || a.bottom <= b.top))
                    found.push(when.textContent);
                return found; })"""
        )
        assert broken == []
