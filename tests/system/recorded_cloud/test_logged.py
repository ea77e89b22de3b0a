"""What the steps write in the local cloud, measured by the filters of the alerts and the runbook."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from catalog import object_names, retry_policy
from catalog.contract import load_all
from catalog.records import ResendRecord
from functions.sweep.resend import MAX_RESENDS
from infra_pulumi.log_metrics import LOG_METRICS
from infra_pulumi.steps import STEPS
from local_cloud.generators.wifi.layouts import LABELS as HEADER
from tests.support.bad_files import by_column, rows, table
from tests.support.house import (
    APRIL,
    APRIL_CHANGED,
    MAY,
    SLOTS,
    SYSTEM,
    USAGE,
    House,
    export,
    month,
)
from tests.support.logging_filter import Entry, entry, matches
from tests.unit.infra_pulumi.test_watch import runbook_filters

pytestmark = pytest.mark.timeout(900)

STEP_OF = {"batch": "sweep"}
"""Events' step → the function that writes them, where it is another."""


def spoilt() -> bytes:
    """Good sessions of April, and one of June with a word for a count: its slot is held, not the run."""
    line = rows(month(datetime(2024, 6, 2, tzinfo=UTC), 1, seed=4))[0]
    line[11] = "many"
    return table([HEADER, *rows(APRIL_CHANGED), *rows(MAY), line])


def happens(house: House) -> None:
    """All that an alert or an entry of the runbook is for, once."""
    house.cloud.dataproc.fail_next(1, "made to fail")
    house.fetch(export(APRIL, MAY))
    house.sweep()
    house.sweep()
    assert set(house.ledger()) == set(SLOTS)
    house.fetch(by_column(lambda line: [*line, f"new {line[0]}"]))
    house.fetch(b"<!DOCTYPE html><html><title>Maintenance</title></html>")
    house.fetch(spoilt())
    for name in house.objects("landing", f"parts/{USAGE}/"):
        house.cloud.bucket("landing").blob(name).delete()
    house.cloud.bucket("landing").blob(
        object_names.replay_marker(USAGE, SLOTS[0], 1)
    ).upload_from_string(b"")
    house.seal()
    _give_up(house)
    for topic in {step.topic for step in STEPS}:
        house.cloud.pubsub.publish(
            topic, b'{"system": "nowhere", "dataset": "nowhere"}', {"kind": "?"}
        )
    house.cloud.settle()
    house.later(hours=2)
    house.sweep()


def _give_up(house: House) -> None:
    """Leave a run whose last resend is dead, a folder made in the console, a slot of no unit."""
    with house.losing("runs/"):
        run = house.fetch(export(APRIL))
    name = object_names.resend("split", object_names.claim(USAGE, run), MAX_RESENDS)
    body = ResendRecord(
        at=(run.time - retry_policy.redelivery_window()).isoformat(), call="c"
    ).encode()
    house.cloud.bucket("quarantine").blob(name).upload_from_string(body)
    house.cloud.bucket("landing").blob(f"dirty/{USAGE}/x/").upload_from_string(b"")
    house.cloud.bucket("landing").blob(f"dirty/{USAGE}/x/{run.name}").upload_from_string(b"")


def test_every_filter_finds_what_is_written_in_the_local_cloud(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    happens(house)
    lines = [json.loads(each) for each in capsys.readouterr().out.splitlines() if each[:1] == "{"]
    written: list[Entry] = [
        entry(json.dumps(line), STEP_OF.get(line["step"], line["step"])) for line in lines
    ]
    for metric in LOG_METRICS:
        counted = [each for each in written if matches(metric.filter, each)]
        assert counted, metric.name
        assert any(each["jsonPayload"].get(metric.label) for each in counted), metric.name
    assert {text for text in STEPS_OWN if not found(text, written)} == set()


STEPS_OWN = [text for text in runbook_filters() if "logName:" not in text]
"""The runbook's filters on what steps write; what names a log is on the platform's own entries."""


def found(text: str, written: list[Entry]) -> bool:
    """Whether a filter takes a line, its words filled in with a data set, system and step that there is."""
    words = {
        "DATASET": sorted(load_all()),
        "SYSTEM": [SYSTEM],
        "STEP": [step.name for step in STEPS],
    }
    asked = [text]
    for word, values in words.items():
        asked = [one.replace(word, value) for one in asked for value in values]
    return any(matches(one, each) for one in set(asked) for each in written)
