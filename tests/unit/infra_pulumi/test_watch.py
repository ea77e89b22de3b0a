"""Every filter, of alerts and of the runbook, takes the lines that the steps really write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from cloudevents.http import CloudEvent
from google.cloud.dataproc_v1 import Batch

from catalog.contract import load_all
from catalog.object_names import SplitKey
from catalog.records import Event, FileReport, Origin, Outcome, Part, SplitRecord
from catalog.runs import Run
from functions.core import handler, telemetry
from functions.core.errors import PermanentError, UnknownSlotError
from functions.core.message import Message
from functions.seal import decision
from functions.seal import step as seal
from functions.split import events
from functions.sweep import batch_states, freshness, resend
from functions.sweep import step as sweep
from infra_pulumi.alerts import ALERTS, alerts
from infra_pulumi.dashboard import dashboard
from infra_pulumi.log_metrics import LOG_METRICS
from infra_pulumi.steps import STEPS
from tests.support.logging_filter import Entry, crash, entry, matches, request, traceback
from tests.support.stacks import REPOSITORY

NOW = datetime(2025, 6, 5, 2, 10, tzinfo=UTC)
CONTRACT = load_all()["paris_wifi_sites"]
MESSAGE = Message(data=b"{}", attributes={}, published=NOW, id="m1")
RUN = Run.at(NOW).name


def handled(name: str, error: Exception) -> None:
    """Have the boundary run a step that ends in an error."""

    def step(*_: Any) -> Iterable[Event]:
        raise error

    made = CloudEvent(
        {"type": "google.cloud.pubsub.topic.v1.messagePublished", "source": "//pubsub"},
        {"message": {"data": "e30=", "messageId": "m1", "publishTime": NOW.isoformat()}},
    )
    handler.handle(name, made, step)


def split_told(**changed: Any) -> list[Event]:
    """The events of a split, as `split` makes them of its record."""
    record = SplitRecord(
        dataset=CONTRACT.dataset, run=RUN, replay=0, outcome=Outcome.ACCEPTED,
        origin=Origin.PUBLISHER, contract="c",
    )  # fmt: skip
    record = msgspec.structs.replace(record, **changed)
    return list(events.split_events(MESSAGE, CONTRACT, SplitKey(Run(RUN), 0), record, False, 1.0))


HELD = Part(slot="2025-06-05", object="o", generation=1, rows=1, bytes=1, hash="", held=True)
STRANGE = FileReport(
    object="o", encoding="utf-8", shape="csv", header=(), aliases={}, unknown_columns={"new": "1"}
)
FAILED = Batch(
    name="projects/p/locations/r/batches/x-a1", state=Batch.State.FAILED,
    state_time=NOW, create_time=NOW,
)  # fmt: skip
FEWER = decision.Candidate(
    marked=decision.DirtySlot(contract=CONTRACT, slot="2025-06-05", markers=(), replay=0),
    content=None, verdict=decision.Verdict.REFUSED, loaded=None,
)  # fmt: skip
LAST_RESEND = resend.Decision(
    resend.StalledWork("split", "split", f"runs/{CONTRACT.dataset}/{RUN}.json", {}),
    resend.Action.REFUSE,
    resend.Resend(resend.MAX_RESENDS, NOW),
)
BUCKET = SimpleNamespace(name="q")
NOTHING = SimpleNamespace(list_blobs=lambda **_: [])


@pytest.fixture
def lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, list[Entry]]:
    """What is logged, by what happened."""
    cloud: Any = SimpleNamespace(
        publish_events=lambda _: [], storage=SimpleNamespace(bucket=lambda _: BUCKET)
    )
    monkeypatch.setattr(handler, "clients", lambda: cloud)
    monkeypatch.setattr(handler, "settings", lambda: SimpleNamespace(quarantine="q"))
    monkeypatch.setattr(handler, "_keep", lambda *_: None)
    monkeypatch.setattr(resend, "_refuse", lambda *_: None)
    events = {
        "split accepted": split_told(),
        "split refused": split_told(outcome=Outcome.REFUSED, reason="too many"),
        "slot held": split_told(parts=(HELD,))[1:],
        "drift": split_told(files=(STRANGE,))[1:],
        "seal refused": [seal._slot_event(FEWER, None, "", MESSAGE)],
        "batch failed": [batch_states._state_event("toy", FAILED, MESSAGE)],
        "loaded": [telemetry.event("load", MESSAGE, "loaded", dataset=CONTRACT.dataset)],
        "resends used up": list(
            resend.apply([LAST_RESEND], "toy", MESSAGE, cloud, handler.settings())
        ),
        "system not swept": [sweep._fault("toy", OSError("x"), MESSAGE, again=False)],
        "no system swept": [sweep._fault("toy", OSError("x"), MESSAGE, again=True)],
        "stray": list(handler._skipped("seal", MESSAGE, {"gs://l/dirty/x/": ValueError("x")})),
        "unknown slot": list(
            handler._skipped("seal", MESSAGE, {"gs://l/x": UnknownSlotError("x")})
        ),
        "overdue": list(freshness.overdue([CONTRACT], NOTHING, MESSAGE)),  # type: ignore[arg-type]
    }
    found: dict[str, list[Entry]] = {}
    for what, told in events.items():
        for each in told:
            telemetry.log(each)
        found[what] = logged(capsys, told[0].step if told[0].step != "batch" else "sweep")
    handled("download", PermanentError("refused"))
    found["refused for good"] = logged(capsys, "download")
    with pytest.raises(OSError, match="again"):
        handled("load", OSError("again"))
    found["tried again"] = [*logged(capsys, "load"), request("load", 500), traceback("load")]
    found["timed out"] = [request("load", 504)]
    found["not authorized"] = [request("load", 403)]
    found["crash"] = [crash("load")]
    return found


def logged(capsys: pytest.CaptureFixture[str], function: str) -> list[Entry]:
    """The entries of the lines that were printed since the last time."""
    return [entry(line, function) for line in capsys.readouterr().out.splitlines()]


TAKES = {
    "citypulse-errors": {
        "refused for good",
        "crash",
        "resends used up",
        "system not swept",
        "unknown slot",
    },
    "citypulse-rejected": {"split refused", "slot held"},
    "citypulse-drift": {"drift"},
    "citypulse-seals-refused": {"seal refused"},
    "citypulse-batches-failed": {"batch failed"},
    "citypulse-overdue": {"overdue"},
}
"""Metric → what it counts, of all that is logged."""


@pytest.mark.parametrize("metric", LOG_METRICS, ids=lambda metric: metric.name)
def test_a_metric_counts_what_it_says_and_no_more(
    metric: Any, lines: dict[str, list[Entry]]
) -> None:
    assert all(lines.values())
    taken = {what for what, told in lines.items() if any(matches(metric.filter, e) for e in told)}
    assert taken == TAKES[metric.name]


def test_a_metrics_label_is_in_the_lines_it_counts(lines: dict[str, list[Entry]]) -> None:
    for metric in LOG_METRICS:
        counted = [e for told in lines.values() for e in told if matches(metric.filter, e)]
        assert any(metric.label in e.get("jsonPayload", {}) for e in counted), metric.name


def test_every_field_of_a_filter_is_one_of_an_event() -> None:
    known = {field.name for field in msgspec.structs.fields(Event)} - {"severity"}
    texts = [metric.filter for metric in LOG_METRICS] + runbook_filters()
    named = {name for text in texts for name in re.findall(r"jsonPayload\.(\w+)", text)}
    assert named <= known
    assert {"step", "outcome", "dataset"} <= named


def runbook_filters() -> list[str]:
    """The filters of `gcloud logging read` in the runbook, whose steps are ours."""
    text = (REPOSITORY / "docs" / "runbook.md").read_text(encoding="utf-8")
    found = re.findall(r"gcloud logging read '([^']*)'", text.replace("\\\n", ""))
    return [one for one in found if "cloud_dataproc_batch" not in one and "dts" not in one]


def test_every_filter_of_the_runbook_finds_what_is_logged(lines: dict[str, list[Entry]]) -> None:
    filters = runbook_filters()
    assert len(filters) >= 5
    for text in filters:
        text = text.replace("DATASET", CONTRACT.dataset).replace("SYSTEM", "toy")
        filled = [text.replace("STEP", step.name) for step in STEPS]
        assert any(matches(f, e) for f in filled for told in lines.values() for e in told), text


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ('severity>=ERROR AND jsonPayload.step="load"', False),
        ('severity>=WARNING AND jsonPayload.step="load"', True),
        ('NOT jsonPayload.step="load"', False),
        ('NOT jsonPayload.dataset="x"', True),
        ("jsonPayload.step:*", True),
        ("jsonPayload.dataset:*", False),
        ('jsonPayload.step="a" OR jsonPayload.step="load"', True),
        ('(jsonPayload.step="a" OR jsonPayload.step="load") AND severity>=ERROR', False),
    ],
)
def test_filters_are_read_as_cloud_logging_does(text: str, taken: bool) -> None:
    line = json.dumps({"step": "load", "outcome": "failed", "severity": "WARNING"})
    assert matches(text, entry(line, "load")) is taken


@pytest.mark.parametrize("text", ["jsonPayload.step=~x", "(a=b", "a=b c=d", "like this"])
def test_what_is_not_understood_of_a_filter_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"understood|expected|closed|comparison"):
        matches(text, entry("{}", "load"))


def test_the_dashboard_shows_every_metric_that_is_watched_once() -> None:
    watched = alerts(load_all().values(), 100)
    tiles = dashboard(watched)["mosaicLayout"]["tiles"]
    places = {(tile.get("xPos", 0), tile.get("yPos", 0)) for tile in tiles}
    assert len(places) == len(tiles) >= 8
    metrics = {alert.condition.filter.partition(" AND ")[0] for alert in watched}
    shown = [
        d["timeSeriesQuery"]["timeSeriesFilter"]["filter"].partition(" AND ")[0]
        for tile in tiles
        for d in tile["widget"]["xyChart"]["dataSets"]
    ]
    assert sorted(shown) == sorted(metrics)


@pytest.mark.parametrize("log", ["requests", "stderr"])
def test_a_retry_would_count_if_one_of_its_logs_were_not_left_out(
    log: str, lines: dict[str, list[Entry]]
) -> None:
    errors = next(metric for metric in LOG_METRICS if metric.name == "citypulse-errors")
    without = errors.filter.replace(f' AND NOT logName:"run.googleapis.com%2F{log}"', "")
    assert without != errors.filter
    assert any(matches(without, e) for e in lines["tried again"])


def test_a_call_that_reached_its_time_limit_has_an_alert_of_its_own() -> None:
    """The service ends such a call: no step logs a line, and `errors` leaves the request log out."""
    [timeouts] = [alert for alert in ALERTS if "response_code=" in alert.condition.filter]
    assert timeouts.condition.filter.endswith('metric.label.response_code="504"')
    assert timeouts.condition.by == "resource.label.service_name"
    assert not timeouts.condition.absent


def test_alerts_have_names_of_their_own() -> None:
    names = [alert.name for alert in alerts(load_all().values(), 100)]
    assert len(names) == len(set(names)) > len(ALERTS)


def test_what_is_missed_is_what_ended_well() -> None:
    """A sweep that fails each time is asked all the same: by its calls alone nothing would be missed."""
    missed = {alert.name: alert.condition.filter for alert in ALERTS if alert.condition.absent}
    assert set(missed) == {"no-reports", "no-sweep"}
    for text in missed.values():
        assert re.search(r'label\.\w+="(SUCCEEDED|2xx)"$', text), text


def test_absence_is_within_what_cloud_monitoring_takes() -> None:
    """A condition looks back 25 hours at most, so longer objectives are judged by the sweep."""
    for alert in alerts(load_all().values(), 100):
        assert alert.condition.period + alert.condition.lasting <= 25 * 3600, alert.name
