"""The runbook's "Restore", rehearsed: the warehouse is emptied and made again as it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.house import APRIL, APRIL_CHANGED, MAY, SLOTS, SYSTEM, USAGE, House, export
from tests.support.logging_filter import Entry, entry, matches

pytestmark = pytest.mark.timeout(900)

RUNBOOK = Path(__file__).resolve().parents[3] / "docs" / "runbook.md"
_MESSAGE = re.compile(r"gcloud pubsub topics publish (\w+) --project=PROJECT --message='([^']*)'")
_REPLAY = re.compile(r'(?<="version":"RUN \d{6} )\d{14}')
_TABLES = ("ops.loads", "ops.lock", "ops.report_runs")


def section() -> str:
    """The section, with the test's system, data set and slots filled in."""
    text = RUNBOOK.read_text(encoding="utf-8").partition("## Restore")[2].partition("\n## ")[0]
    words = {"SYSTEM": SYSTEM, "DATASET": USAGE, "FIRST": "2012-01", "LAST": "2030-12"}
    for word, value in words.items():
        text = text.replace(f'"{word}"', f'"{value}"')
    return text


def said() -> list[tuple[str, dict[str, Any]]]:
    """The messages that the section tells a person to publish."""
    return [(topic, json.loads(body)) for topic, body in _MESSAGE.findall(section())]


def emptied(house: House) -> None:
    """Nothing is left of lake, ledger and what the scheduled query knows, as if tables were made anew."""
    script = "".join(f"DELETE FROM {table} WHERE TRUE;" for table in _TABLES)
    for table in house.cloud.bigquery.list_tables("lake"):
        script += f"DELETE FROM lake.{table.table_id} WHERE slot_start >= '0001-01-01';"
    house.cloud.rows(script)
    assert house.ledger() == {}
    assert house.sessions() == []


def told(state: dict[str, list[str]]) -> dict[str, list[str]]:
    """A state without what a restore may change: the replay in a version."""
    return {
        what: sorted(_REPLAY.sub("REPLAY", row) for row in rows) for what, rows in state.items()
    }


@pytest.fixture
def before(house: House) -> dict[str, list[str]]:
    """Two runs, of which the second changed April and left May as it was; the reports made."""
    house.fetch(export(APRIL, MAY))
    house.fetch(export(APRIL_CHANGED, MAY))
    assert house.query()
    return told(house.state())


def restored(house: House) -> None:
    """Publish what the runbook says, each message twice, and let the scheduled query run."""
    messages = said()
    assert [topic for topic, _ in messages] == ["seal"]
    for topic, body in [*messages, *messages]:
        house.later(minutes=1)
        house.cloud.pubsub.publish(topic, json.dumps(body).encode(), {})
        house.cloud.settle()
    assert house.query()


def logged(capsys: pytest.CaptureFixture[str]) -> list[Entry]:
    """What the steps have logged since the last time, as Cloud Logging has it."""
    printed = capsys.readouterr().out.splitlines()
    return [entry(line, "load") for line in printed if line.startswith("{")]


def test_lake_and_ledger_are_made_again_from_the_parts(
    house: House, before: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    newest = {slot: row["run"] for slot, row in house.ledger().items()}
    emptied(house)
    logged(capsys)
    restored(house)
    (seen,) = re.findall(r"gcloud logging read '([^']*)'", section())
    told_of = [each for each in logged(capsys) if matches(seen, each)]
    assert {each["jsonPayload"]["slot"] for each in told_of} == set(SLOTS)
    assert {slot: row["run"] for slot, row in house.ledger().items()} == newest
    assert told(house.state()) == before


def test_the_sweep_loads_receipts_again_and_stands_in_nobodys_way(
    house: House, before: dict[str, list[str]]
) -> None:
    sessions = house.sessions()
    emptied(house)
    house.sweep()
    assert set(house.ledger()) == set(SLOTS)
    assert house.sessions() == sessions
    restored(house)
    house.sweep()
    assert told(house.state()) == before
