"""The alerts and the dashboard: of metrics that exist, and each alert fires when its failure is staged.

What evaluates them is Prometheus itself, from Debian's package.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HANG_S, Office, ahead, calendar, event
from tests.daemon.running import Daemon, running, until
from tests.test_readme import anchors_of, text_of
from tests.web.serving import Client, let_serve, own_address
from tests.web.test_metrics import NAMES

CONFIG = Path(__file__).parent.parent.parent / "config"
ALERTS = CONFIG / "alerts.yml"
CASES = CONFIG / "alerts_test.yml"
DASHBOARD = CONFIG / "grafana.json"

ALERT_NAMES = {
    "SyncdDown",
    "SyncdStuck",
    "SyncdSourceStale",
    "SyncdApiUnusable",
    "SyncdBudget",
    "SyncdHeld",
    "SyncdInDoubt",
    "SyncdDuplicate",
    "SyncdConfigRejected",
}

with_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="there is no promtool (Debian package prometheus)",
)
with_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None,
    reason="there is no prometheus (Debian package prometheus)",
)


def promtool(*arguments: str) -> None:
    """Run promtool, which has to be content."""
    ran = subprocess.run(
        ["promtool", *arguments],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def rules() -> dict[str, str]:
    """The text of each rule, by the name of its alert."""
    parts = re.split(r"^      - alert: (\w+)$", ALERTS.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def dashboard() -> Any:
    """The dashboard."""
    return json.loads(DASHBOARD.read_text())


def panels() -> list[Any]:
    """The panels of the dashboard that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    """What the panels of the dashboard ask for."""
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def sample_names() -> dict[str, str]:
    """The metric of each name that a sample can have."""
    names: dict[str, str] = {}
    for metric, shape in NAMES.items():
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
        for ending in endings.get(shape.split()[0], [""]):
            names[f"syncd_{metric}{ending}"] = metric
    return names


# The files


@with_promtool
def test_alerts_fire_in_their_cases() -> None:
    """Promtool finds the rules well formed, and each fires in its cases and in no other."""
    promtool("check", "rules", str(ALERTS))
    promtool("test", "rules", str(CASES))


def test_each_alert_says_what_to_do() -> None:
    """Each alert has summary, description and severity, a case in which it fires, and an entry in the manual."""
    assert rules().keys() == ALERT_NAMES
    cases = CASES.read_text()
    for name, rule in rules().items():
        assert re.search(r"severity: (critical|warning)", rule), name
        assert {"summary", "description"} <= set(re.findall(r"(\w+):", rule)), name
        (page, anchor) = re.findall(r"runbook_url: (\S+)#(\S+)$", rule, re.MULTILINE)[0]
        assert anchor == name.lower()
        assert anchor in anchors_of(page), name
        assert re.search(rf"- alertname: {name}\n", cases), name


def test_alerts_are_of_metrics_that_exist() -> None:
    """Every name in an alert, in its cases and in the dashboard is that of a sample of a metric."""
    known = sample_names()
    text = f"{ALERTS.read_text()}{CASES.read_text()}{' '.join(expressions())}"
    told = set(re.findall(r"\bsyncd_\w+", re.sub(r"#.*", "", text)))
    assert told <= known.keys()
    shown = {known[name] for name in told}
    assert shown == NAMES.keys(), "what is measured is shown"


def test_the_dashboard_can_be_imported() -> None:
    """It has a fixed uid and no id, asks the data source that its reader chooses, and nothing overlaps."""
    board = dashboard()
    assert board["uid"] == "syncd-overview"
    assert "id" not in board
    assert "__inputs" not in board
    first, *others = board["templating"]["list"]
    assert (first["type"], first["query"]) == ("datasource", "prometheus")
    chosen = {"type": "prometheus", "uid": f"${{{first['name']}}}"}
    asking = [*panels(), *others]
    asking += [target for panel in panels() for target in panel["targets"]]
    assert all(one["datasource"] == chosen for one in asking)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    places = [panel["gridPos"] for panel in board["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = (
            one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        )
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


@with_promtool
def test_the_dashboard_asks_well(tmp_path: Path) -> None:
    """What each panel asks for is a query that Prometheus understands."""
    lines = ["groups:", "  - name: panels", "    rules:"]
    for number, expression in enumerate(expressions()):
        quoted = json.dumps(expression)
        lines += [f"      - record: panel_{number}", f"        expr: {quoted}"]
    file = tmp_path / "panels.yml"
    file.write_text("\n".join([*lines, ""]))
    promtool("check", "rules", str(file))


def test_the_manual_names_every_metric() -> None:
    """The table of metrics in the manual has each of them once, with type and labels."""
    table = text_of("config/operation.md").partition("<!-- metrics -->")[2]
    rows = re.findall(r"^\| `syncd_(\w+?)` \| (\w+) \| ([^|]*) \|", table, re.MULTILINE)
    told = [
        (name.removesuffix("_total"), f"{kind} {labels.replace(',', '')}".split())
        for name, kind, labels in rows
    ]
    expected = {
        name: [shape.split()[0], *sorted(shape.split()[1:])]
        for name, shape in NAMES.items()
    }
    assert dict(told) == expected
    assert len(told) == len(expected)


# A real run

SOON_S = {"SyncdStuck": 170, "SyncdSourceStale": 3595, "SyncdInDoubt": 595}
"""For how long an alert waits, but for a few seconds: it is judged as if the failure had lasted so much longer."""


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that scrapes one daemon and knows the alerts."""

    address: str

    def ask(self, path: str, **query: str) -> Any:
        """Return the data of an answer of its API."""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=HANG_S) as answer:
            return json.load(answer)["data"]

    def firing(self, alert: str) -> list[dict[str, str]]:
        """Return the labels of what an alert is about by what was scraped last."""
        rules = {
            rule["name"]: rule["query"]
            for group in self.ask("rules")["groups"]
            for rule in group["rules"]
        }
        now = float(self.ask("query", query="time()")["result"][1])
        soon = f"{now + SOON_S.get(alert, 0):.3f}"
        found = self.ask("query", query=rules[alert], time=soon)["result"]
        return [one["metric"] for one in found]

    def is_ready(self) -> bool:
        """Whether it answers questions."""
        client = Client(self.address)
        return client.answers() and client.ask("/-/ready").status == 200

    def scrapes(self) -> bool:
        """Whether it has the metrics of the daemon."""
        return bool(self.ask("query", query="syncd_ready == 1")["result"])


@contextmanager
def scraping(folder: Path, target: str) -> Iterator[Prometheus]:
    """A Prometheus that scrapes a daemon each second."""
    folder.mkdir()
    shutil.copy(ALERTS, folder)
    (folder / "prometheus.yml").write_text(
        "global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }\n"
        "rule_files: [alerts.yml]\n"
        "scrape_configs:\n"
        "  - job_name: syncd\n"
        f'    static_configs: [{{ targets: ["{target}"] }}]\n'
    )
    address = own_address()
    process = subprocess.Popen(
        [
            "prometheus",
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            # What was scraped last counts when an alert is judged as if it were later.
            "--query.lookback-delta=2h",
            f"--web.listen-address={address}",
            "--log.level=error",
        ],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    prometheus = Prometheus(address)
    try:
        until(prometheus.is_ready, "Prometheus is ready")
        until(prometheus.scrapes, "it has the metrics")
        yield prometheus
    finally:
        process.kill()
        process.wait(HANG_S)


def one_after_the_other(*names: str) -> list[str]:
    """Meetings of a day, each an hour."""
    return [event(name, ahead(2, 6 + hour)) for hour, name in enumerate(names)]


class Stage:
    """A daemon with all that can go wrong around it, and the Prometheus that watches it."""

    def __init__(self, office: Office, daemon: Daemon, prometheus: Prometheus) -> None:
        self.office = office
        self.daemon = daemon
        self.prometheus = prometheus

    def fires(self, alert: str, true: bool = True) -> None:
        """Wait until an alert fires, or no longer does."""
        what = f"{alert} fires" if true else f"{alert} is over"
        self.daemon.until(lambda: bool(self.prometheus.firing(alert)) is true, what)

    def calendar(self, *names: str, also: tuple[str, ...] = ()) -> None:
        """Let the calendar have meetings of these names, one after the other, and further events."""
        self.office.write(*one_after_the_other(*names), *also)


def fail_source(stage: Stage) -> None:
    """A calendar cannot be read."""
    sales = stage.office.folder / "sales.ics"
    away = sales.rename(sales.with_suffix(".away"))
    stage.fires("SyncdSourceStale")
    (about,) = stage.prometheus.firing("SyncdSourceStale")
    assert about["source"] == "sales"
    away.rename(sales)
    stage.fires("SyncdSourceStale", False)


def hold(stage: Stage) -> None:
    """So many meetings are gone that a person is asked."""
    stage.calendar()
    stage.fires("SyncdHeld")
    stage.calendar("a", "b", "c", "d", "e")
    stage.fires("SyncdHeld", False)


def reject_configuration(stage: Stage) -> None:
    """The configuration has a mistake."""
    stage.office.change(("[calendar]", "[calendar]\nhorizont = 3"))
    stage.fires("SyncdConfigRejected")
    stage.office.change(("[calendar]\nhorizont = 3", "[calendar]"))
    stage.fires("SyncdConfigRejected", False)


def exceed_budget(stage: Stage) -> None:
    """More calls were made than the month may have."""
    stage.office.change(("[reservation]", "monthly_calls = 3\n[reservation]"))
    stage.fires("SyncdBudget")
    stage.office.change(("monthly_calls = 3\n[reservation]", "[reservation]"))
    stage.fires("SyncdBudget", False)


def close_api(stage: Stage) -> None:
    """The project is not subscribed to the API any more."""
    stage.office.fault("unsubscribed")
    stage.calendar("a", "b", "c", "d", "e", "f")
    stage.fires("SyncdApiUnusable")
    stage.office.fault()
    stage.daemon.settle()
    stage.fires("SyncdApiUnusable", False)


def lose_answers(stage: Stage) -> None:
    """The answer to a booking is lost, and lists do not show it."""
    stage.office.fault("lost:on=create", "lag:seconds=3600")
    stage.calendar("a", "b", "c", "d", "e", "f", "g")
    stage.fires("SyncdInDoubt")
    stage.office.fault()
    stage.fires("SyncdInDoubt", False)


def book_twice(stage: Stage) -> None:
    """A request is delivered twice, in a mode that cancels nothing."""
    drift = '[schedule]\ndrift_check = "2s"\n[reservation]'
    stage.office.change(
        ('mode = "full"', 'mode = "no-cancel"'), ("[reservation]", drift)
    )
    stage.office.fault("duplicate:on=create,times=1")
    # In a room the second one would be a conflict.
    roomless = event("h", ahead(3), room=None)
    stage.calendar("a", "b", "c", "d", "e", "f", "g", also=(roomless,))
    stage.fires("SyncdDuplicate")
    stage.office.fault()


def hang(stage: Stage) -> None:
    """The work loop waits for one answer for longer than it may."""
    stage.office.fault("slow:on=create,seconds=50,times=1")
    stage.calendar("a", "b", "c", "d", "e", "f", "g", "i")
    stage.fires("SyncdStuck")
    stage.office.fault()


FAILURES: tuple[Callable[[Stage], object], ...] = (
    fail_source,
    hold,
    reject_configuration,
    exceed_budget,
    close_api,
    lose_answers,
    book_twice,
    hang,
)


@pytest.mark.slow
@with_prometheus
def test_each_alert_fires_in_a_real_run(office: Office, tmp_path: Path) -> None:
    """Prometheus scrapes a daemon: no alert while all is well, and each one while its failure is staged."""
    address = let_serve(office)
    sales = '[[sources]]\nname = "sales"\npath = "sales.ics"\ninterval = "1s"\n'
    office.change(
        ("[reservation]", 'timeout = "60s"\n[reservation]'),
        ("[[sources]]", f"{sales}[[sources]]"),
    )
    office.write(*one_after_the_other(*"abcde"))
    sold = event("sold", ahead(2), room="large")
    (office.folder / "sales.ics").write_bytes(calendar(sold))
    with (
        running(office) as daemon,
        scraping(tmp_path / "prometheus", address) as prometheus,
    ):
        stage = Stage(office, daemon, prometheus)
        daemon.until(lambda: len(office.reservations()) == 6, "all is booked")
        for alert in ALERT_NAMES:
            stage.fires(alert, False)
        for fail in FAILURES:
            fail(stage)
        daemon.process.kill()
        until(lambda: prometheus.firing("SyncdDown"), "SyncdDown fires")
