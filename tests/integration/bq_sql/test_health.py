"""Health from `ops` alone: each question over a recorded demo, over nothing, over what may happen."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from google.cloud import bigquery
from google.cloud.dataproc_v1 import Batch

from catalog.contract import load_all
from catalog.object_names import SplitKey
from catalog.records import FileReport, Origin, Outcome, SplitRecord
from catalog.reports import ADDED, SAMPLE_SIZE, TYPES, Declaration
from catalog.runs import Run
from cost import prices
from functions.core.clients import Clients
from functions.core.message import Message
from functions.serve.report_catalog import load_report_definitions
from functions.serve.warehouse.report_store import ReportStore
from functions.split import events
from functions.sweep import batch_states
from infra_pulumi.ops_tables import OPS_TABLES
from tests.support.health_ops import (
    LIVE,
    event,
    hours,
    keyed,
    loaded,
    recorded,
    run_check,
    slot_loaded,
    tell,
)
from tests.support.predicates import bounding, parsed, scopes, tables
from tests.support.warehouse import Warehouse

NAMES = sorted(path.stem for path in LIVE.glob("*.sql"))
DECLARED = {
    name: msgspec.toml.decode((LIVE / f"{name}.toml").read_bytes(), type=Declaration)
    for name in NAMES
}
AFTER_DEMO = datetime(2024, 9, 12, 12, tzinfo=UTC)
NOW = datetime(2025, 6, 10, 12, 30, tzinfo=UTC)
BOUND_BY = {table.name: table.partition_field for table in OPS_TABLES if table.partition_field}
"""Table of `ops` that grows with time → the column it is partitioned by, which bounds what is read."""
PYTHON = {
    "STRING": str, "INT64": int, "FLOAT64": float, "BOOL": bool, "DATE": date,
    "TIMESTAMP": datetime,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_read_is_of_ops_and_bounded(name: str) -> None:
    [statement] = parsed((LIVE / f"{name}.sql").read_text(encoding="utf-8"))
    read = [(scope, table) for scope in scopes(statement) for table in tables(scope) if table.db]
    assert {table.db for _, table in read} == {"ops"}
    unbounded = [
        table.name
        for scope, table in read
        if table.name in BOUND_BY and not bounding(scope, table, BOUND_BY[table.name])
    ]
    assert unbounded == []


@pytest.mark.parametrize("name", NAMES)
def test_a_declaration_is_whole(name: str) -> None:
    declared = DECLARED[name]
    columns = [column.name for column in declared.columns]
    assert columns[-2:] == [column.name for column in ADDED]
    assert columns[-3] == SAMPLE_SIZE
    assert {column.type for column in declared.columns} <= set(TYPES)
    mentioned = {*declared.key, *declared.filters}
    mentioned |= {column.removesuffix(" DESC") for column in declared.order}
    assert mentioned | {declared.default_date or SAMPLE_SIZE} <= set(columns)


@pytest.fixture
def ops(server: bigquery.Client) -> Warehouse:
    """The warehouse with nothing in `ops`."""
    made = Warehouse(server)
    made.empty_ops()
    return made


def test_after_the_demo_and_told_twice(ops: Warehouse) -> None:
    recorded(ops)
    once = {name: run_check(ops, name, AFTER_DEMO) for name in NAMES}
    for name, rows in once.items():
        _keeps_its_word(rows, DECLARED[name])
    assert [name for name, rows in once.items() if not rows] == ["health_dead_letters"]
    ops.run("INSERT INTO ops.events SELECT * FROM ops.events WHERE `at` > '2000-01-01'")
    for name, rows in once.items():
        twice = keyed(run_check(ops, name, AFTER_DEMO), DECLARED[name])
        assert twice == keyed(rows, DECLARED[name])


def test_what_is_served_says_how_far_it_reaches_and_whence_it_is(ops: Warehouse) -> None:
    recorded(ops)
    reports = load_report_definitions(LIVE.parents[1])
    clients = cast("Clients", SimpleNamespace(bigquery=ops.client))
    answers = ReportStore(clients, reports, now=lambda: AFTER_DEMO)
    for name in ("health_datasets", "health_dead_letters"):
        rows = run_check(ops, name, AFTER_DEMO)
        state = answers.current_version(reports[name])
        assert state.data_as_of == max((row["data_as_of"] for row in rows), default=None)
        assert state.data_as_of != AFTER_DEMO
        assert (state.origin or "") == max((row["origin"] or "" for row in rows), default="")
        assert state.now == AFTER_DEMO


def test_of_nothing_there_is_nothing(ops: Warehouse) -> None:
    assert {name: run_check(ops, name, NOW) for name in NAMES} == {name: [] for name in NAMES}


def test_data_sets_after_the_demo(ops: Warehouse) -> None:
    recorded(ops)
    rows = keyed(run_check(ops, "health_datasets", AFTER_DEMO), DECLARED["health_datasets"])
    seen = {name: (r["state"], r["last_good_fetch"], r["slots"]) for (name,), r in rows.items()}
    day = datetime(2024, 9, 11, tzinfo=UTC)
    assert seen == {
        "french_holidays": ("good", day.replace(day=9, hour=4, minute=17), 1),
        "paris_wifi_sites": ("refused", day.replace(hour=4, minute=17), 3),
        "paris_wifi_usage": ("refused", day.replace(hour=3, minute=27), 5),
        "velib_stations": ("overdue", None, 0),
    }
    assert set(load_all()) >= {name for (name,) in rows}
    usage = rows["paris_wifi_usage",]
    assert (usage["origin"], usage["newest_event"].date()) == ("synthetic", date(2024, 8, 28))
    assert usage["age_hours"] == pytest.approx(32.55)


def states(warehouse: Warehouse) -> dict[str, Any]:
    """What is said of the data set `bikes` now."""
    (row,) = run_check(warehouse, "health_datasets", NOW)
    names = ("state", "last_good_fetch", "refusals")
    return {name: row[name] for name in names}


AGO = timedelta(hours=3)
RUN = {"dataset": "bikes", "system": "town", "run": "20250610T091700Z"}


@pytest.mark.parametrize(
    ("told", "state", "good", "refusals"),
    [
        # An outage that was survived: the fetch is told at its tick, the sweep said overdue after it.
        ([("download", "accepted", 4), ("sweep", "overdue", 2), ("seal", "empty", 1)], "good", 4, 0),
        # That nothing was told since is no sign that it is over.
        ([("download", "accepted", 72), ("sweep", "overdue", 70)], "overdue", 72, 0),
        ([("download", "accepted", 4), ("sweep", "overdue", 2), ("seal", "empty", 1.6)], "overdue", 4, 0),
        ([("download", "accepted", 4), ("sweep", "overdue", 2), ("sweep", "overdue", 0.1)], "overdue", 4, 0),
        # Refused, then released by a replay.
        ([("download", "accepted", 4), ("split", "refused", 4), ("split", "accepted", 1)], "good", 4, 1),
        ([("download", "accepted", 4), ("split", "refused", 4)], "not fetched", None, 1),
        # Only the redelivery of the download was heard of, then the split.
        ([("download", "claimed", 4), ("split", "accepted", 3)], "good", 3, 0),
        # What seal refuses was fetched well.
        ([("download", "accepted", 4), ("split", "accepted", 4), ("seal", "refused", 3)], "good", 4, 0),
    ],
)  # fmt: skip
def test_the_state_of_a_data_set(
    ops: Warehouse, told: list[tuple[str, str, float]], state: str, good: float, refusals: int
) -> None:
    for step, outcome, hours_ago in told:
        facts = RUN if step != "sweep" else {"dataset": "bikes", "system": "town"}
        severity = "ERROR" if outcome == "refused" else "INFO"
        at = NOW - timedelta(hours=hours_ago)
        tell(ops, event(at, step, outcome, severity=severity, **facts))
    since = None if good is None else NOW - timedelta(hours=good)
    assert states(ops) == {"state": state, "last_good_fetch": since, "refusals": refusals}


def test_how_far_health_reaches_the_newest_event_of_any_step_tells(ops: Warehouse) -> None:
    old = NOW - timedelta(days=9)
    tell(
        ops,
        event(old, "sweep", "stuck", severity="ERROR", dataset="bikes", system="town"),
        event(old, "batch", "failed", system="town", object="batches/one"),
        event(NOW - timedelta(minutes=4), "split", "accepted", **RUN),
    )
    ops.fill("ops.dead_letters", {
        "subscription_name": "s", "message_id": "1", "publish_time": old.isoformat(),
        "attributes": "{}", "data": "x",
    })  # fmt: skip
    ops.fill("ops.report_runs", {
        "system": "town", "run_time": old.isoformat(), "script": "s",
        "outcome": "published", "checks": 1,
    })  # fmt: skip
    names = ("health_errors", "health_batches", "health_dead_letters", "health_report_runs")
    reach = {name: [row["data_as_of"] for row in run_check(ops, name, NOW)] for name in names}
    assert reach == {name: [NOW - timedelta(minutes=4)] for name in names}


def test_what_a_wrong_clock_dates_ahead_is_as_new_as_its_fetch(ops: Warehouse) -> None:
    slot_loaded(ops, "bikes", "2025-06-09T23", NOW, newest="2025-06-11T20:00:00Z")
    (row,) = run_check(ops, "health_datasets", NOW)
    assert row["newest_event"] <= NOW


def test_rejects_after_the_demo(ops: Warehouse) -> None:
    recorded(ops)
    rows = keyed(run_check(ops, "health_rejects", AFTER_DEMO), DECLARED["health_rejects"])
    named = {reason: (r["rejected"], r["runs"], r["in_slots"]) for (_, reason), r in rows.items()}
    assert named == {"started_at: not a timestamp": (12, 2, 0), "started_at: empty": (2, 2, 0)}
    row = rows["paris_wifi_usage", "started_at: not a timestamp"]
    assert row["sample"].startswith("usage.csv 108: PW0193;2021-02-30T25:61:00+01:00;")
    assert row["quarantine"].startswith("rows/paris_wifi_usage/20240911T032700Z.")


def test_the_calendar_of_hours(ops: Warehouse) -> None:
    first = datetime(2025, 6, 10, tzinfo=UTC)
    ends = timedelta(hours=1, minutes=5)
    slot_loaded(ops, "bikes", "2025-06-09T23", first + timedelta(minutes=5))
    for hour in hours(first, 10):
        at, rows = hour + ends, 100
        if hour.hour == 2:
            continue
        if hour.hour == 4:
            at = hour + timedelta(hours=2)
        if hour.hour == 5:
            rows = 0
        slot_loaded(ops, "bikes", f"{hour:%Y-%m-%dT%H}", at, rows_out=rows)
    again = event(
        first + timedelta(hours=9), "load", "loaded", dataset="bikes", slot="2025-06-10T01"
    )
    held = event(NOW, "split", "held", dataset="bikes", slot="2025-06-10T06")
    healed = event(first, "split", "held", dataset="bikes", slot="2025-06-10T07")
    back = event(first + AGO, "split", "held", dataset="bikes", slot="2025-06-10T00")
    same = event(first + 2 * AGO, "seal", "unchanged", dataset="bikes", slot="2025-06-10T00")
    tell(ops, again, held, healed, back, same)
    rows = keyed(run_check(ops, "health_slots", NOW), DECLARED["health_slots"])
    assert [day for _, day in sorted(rows)] == [date(2025, 6, 9), date(2025, 6, 10)]
    today = rows["bikes", date(2025, 6, 10)]
    counted = ("slots", "complete", "late", "without_rows", "held", "missing")
    # Hours 2 and 10 are missing; 11 ended half an hour ago, and is only awaited.
    assert {name: today[name] for name in counted} == {
        "slots": 11, "complete": 6, "late": 1, "without_rows": 1, "held": 1, "missing": 2,
    }  # fmt: skip
    assert (today["state"], today["unit"], today["sample_size"]) == ("missing", "hour", 9)


def test_a_day_is_called_by_the_worst_of_its_slots(ops: Warehouse) -> None:
    at = datetime(2025, 6, 9, 0, 5, tzinfo=UTC)
    slot_loaded(ops, "bikes", "2025-06-08T23", at, rows_out=9)
    slot_loaded(ops, "bikes", "2025-06-09T00", at + timedelta(hours=1), rows_out=0)
    slot_loaded(ops, "bikes", "2025-06-09T01", at + timedelta(hours=4), rows_out=9)
    rows = run_check(ops, "health_slots", at + timedelta(hours=3))
    states = {row["day"].day: (row["state"], row["without_rows"]) for row in rows}
    assert states == {8: ("complete", 0), 9: ("without rows", 1)}


def test_a_list_that_comes_monthly_misses_no_day(ops: Warehouse) -> None:
    for month in range(1, 6):
        at = datetime(2025, month, 9, 4, 17, tzinfo=UTC)
        slot_loaded(ops, "lists", f"2025-{month:02d}-09", at)
    rows = run_check(ops, "health_slots", datetime(2025, 6, 20, tzinfo=UTC))
    assert {row["state"] for row in rows} == {"complete"}
    late = run_check(ops, "health_slots", datetime(2025, 6, 30, tzinfo=UTC))
    assert [row["day"] for row in late if row["state"] == "missing"] == []
    tell(ops, event(datetime(2025, 6, 29, tzinfo=UTC), "sweep", "overdue", dataset="lists"))
    late = run_check(ops, "health_slots", datetime(2025, 6, 30, tzinfo=UTC))
    assert [row["day"] for row in late if row["state"] == "missing"] == [date(2025, 6, 8)]


def test_months_that_came_at_once_are_history(ops: Warehouse) -> None:
    at = datetime(2025, 6, 1, 3, 27, tzinfo=UTC)
    for month in ("2024-11", "2024-12", "2025-01", "2025-03", "2025-04"):
        slot_loaded(ops, "sessions", month, at)
    rows = keyed(run_check(ops, "health_slots", NOW), DECLARED["health_slots"])
    states = {day: row["state"] for (_, day), row in sorted(rows.items())}
    # May ended ten days ago: it is awaited until the end of June.
    assert states == {
        date(2024, 11, 1): "complete", date(2024, 12, 1): "complete",
        date(2025, 1, 1): "complete", date(2025, 2, 1): "missing",
        date(2025, 3, 1): "complete", date(2025, 4, 1): "complete",
    }  # fmt: skip


def test_rows_that_nothing_accounts_for_show(ops: Warehouse) -> None:
    rows = [
        loaded("bikes", "2025-06-10T01", NOW, rows_in=110, rejected=7, duplicates=3),
        loaded("bikes", "2025-06-10T02", NOW, rows_in=110, rejected=7),
    ]
    ops.fill("ops.loads", *rows)
    [row] = run_check(ops, "health_rows", NOW)
    assert (row["rows_in"], row["rows_out"], row["rejected"], row["duplicates"]) == (
        220,
        200,
        14,
        3,
    )
    assert (row["difference"], row["slots_off"], row["sample_size"]) == (3, 1, 2)


ODD = [
    "plain",
    'of "speech": 7, and "more": 8',
    "with {braces}, [brackets] and \\ a stroke",
    "Vélib’ – é, \u2028 and a tab\t",
    "' OR 1 = 1; --",
]


def test_reasons_are_read_whatever_is_in_them(ops: Warehouse) -> None:
    counts = {reason: number for number, reason in enumerate(ODD, 2)}
    samples = {reason: f"data.csv 1: a,{reason}" for reason in ODD}
    tell(ops, *_split(rejected=counts, samples=samples, quarantine="rejects/q"))
    told = msgspec.json.encode(dict.fromkeys(ODD, 1)).decode()
    slot = loaded("french_holidays", "2025-06-09", NOW, rejected=len(ODD), rejects=told)
    ops.fill("ops.loads", slot)
    rows = run_check(ops, "health_rejects", NOW)
    seen = {row["reason"]: (row["rejected"], row["in_slots"], row["sample"]) for row in rows}
    assert seen == {reason: (counts[reason], 1, samples[reason]) for reason in ODD}


def test_a_replay_takes_the_place_of_the_split_before(ops: Warehouse) -> None:
    tell(ops, *_split(rejected={"plain": 5, "healed": 1}, at=NOW - timedelta(days=2)))
    tell(ops, *_split(rejected={"plain": 2}, replay=1))
    tell(ops, *_split(rejected={"plain": 4}, run="20250609T041700Z"))
    [row] = run_check(ops, "health_rejects", NOW)
    assert (row["rejected"], row["runs"], row["last_run"], row["last_rejected"]) == (
        6, 2, "20250609T041700Z", 4,
    )  # fmt: skip


def test_drift_is_a_history(ops: Warehouse) -> None:
    runs = ["20250607T041700Z", "20250608T041700Z", "20250609T041700Z"]
    for number, run in enumerate(runs):
        report = FileReport(
            object="runs/x/file.csv", encoding="utf-8", shape="csv", header=("a",),
            aliases={"name": "nom"}, unknown_columns=dict.fromkeys(ODD, 'a "b": "c"')
            if number else {}, missing_columns=("state",) if number == 2 else (),
        )  # fmt: skip
        at = NOW - timedelta(days=2 - number)
        tell(ops, *_split(run=run, files=(report,), at=at))
    rows = keyed(run_check(ops, "health_drift", NOW), DECLARED["health_drift"])
    place = "french_holidays"
    assert set(rows) == {
        *((place, "unknown", name) for name in ODD),
        (place, "alias", "name"),
        (place, "missing", "state"),
    }
    unknown = rows[place, "unknown", ODD[1]]
    assert (unknown["runs"], unknown["sample_size"]) == (2, 3)
    assert unknown["sample"] == 'a "b": "c"'
    assert (unknown["first_seen"], unknown["last_seen"]) == (NOW - timedelta(days=1), NOW)
    assert rows[place, "alias", "name"]["sample"] == "nom"


def test_a_batch_stands_in_its_last_state(ops: Warehouse) -> None:
    made = NOW - timedelta(hours=1)
    running = _batch("town-1-a1", Batch.State.RUNNING, made, 60, 0)
    done = _batch("town-1-a1", Batch.State.SUCCEEDED, made, 900, 3_600_000)
    failed = _batch("town-2-a1", Batch.State.FAILED, made, 30, 0)
    tell(ops, done, running, failed, _later(done, minutes=10))
    rows = keyed(run_check(ops, "health_batches", NOW), DECLARED["health_batches"])
    batch = rows["town-1-a1",]
    assert (batch["state"], batch["seconds"], batch["sample_size"]) == ("succeeded", 900.0, 2)
    assert (batch["dcu_hours"], batch["shuffle_gb_hours"]) == (1.0, 2.0)
    price = prices.load().price
    assert batch["cost_usd"] == pytest.approx(price["dcu"].of(3600) + price["shuffle"].of(7200))
    assert (rows["town-2-a1",]["state"], rows["town-2-a1",]["message"]) == ("failed", "no more")


def test_a_dead_letter_written_twice_is_one(ops: Warehouse) -> None:
    attributes = {
        "CloudPubSubDeadLetterSourceSubscription": "split",
        "CloudPubSubDeadLetterSourceDeliveryCount": "12", "objectId": "runs/x/1/claim.json",
    }  # fmt: skip
    row = {
        "data": "{}", "subscription_name": "dead-letters", "message_id": "7",
        "publish_time": NOW.isoformat(), "attributes": json.dumps(attributes),
    }  # fmt: skip
    old = row | {"message_id": "6", "publish_time": (NOW - timedelta(days=31)).isoformat()}
    ops.fill("ops.dead_letters", row, row, old)
    [letter] = run_check(ops, "health_dead_letters", NOW)
    assert (letter["subscription"], letter["deliveries"]) == ("split", 12)
    assert letter["object"] == "runs/x/1/claim.json"


def test_what_lies_ahead_or_too_far_back_is_not_read(ops: Warehouse) -> None:
    tell(ops, *_split(at=NOW + timedelta(minutes=1), rejected={"ahead": 1}))
    tell(ops, *_split(at=NOW - timedelta(days=61), rejected={"old": 1}))
    assert {name: run_check(ops, name, NOW) for name in NAMES} == {name: [] for name in NAMES}


def _keeps_its_word(rows: list[dict[str, Any]], declared: Declaration) -> None:
    """The rows have the declared columns in their types; keys are unique, the required is there."""
    required = {*declared.key, *(c.name for c in declared.columns if c.required)}
    for row in rows:
        assert list(row) == [column.name for column in declared.columns]
        for column in declared.columns:
            value = row[column.name]
            assert value is None or type(value) is PYTHON[column.type], column.name
            assert value is not None or column.name not in required, column.name
    assert len(keyed(rows, declared)) == len(rows)


def _split(
    *, run: str = "20250608T041700Z", replay: int = 0, at: datetime = NOW, **facts: Any
) -> list[Any]:
    """The events of a split, as the step makes them of its record."""
    contract = load_all()["french_holidays"]
    record = SplitRecord(
        dataset=contract.dataset, run=run, replay=replay, outcome=Outcome.ACCEPTED,
        origin=Origin.SAMPLE, contract="c", **facts,
    )  # fmt: skip
    message = Message(data=b"", attributes={}, published=at, id=f"{at} {run}")
    told = events.split_events(message, contract, SplitKey(Run(run), replay), record, False, 1.0)
    return [each for each in told if each.outcome != "drift"]


def _batch(name: str, state: Batch.State, made: datetime, seconds: int, milli_dcu: int) -> Any:
    """The event of a batch's state, as the sweep makes it of the service's answer."""
    usage = SimpleNamespace(
        milli_dcu_seconds=milli_dcu, shuffle_storage_gb_seconds=milli_dcu // 500
    )
    batch = SimpleNamespace(
        name=f"projects/p/locations/r/batches/{name}", state=state, create_time=made,
        state_time=made + timedelta(seconds=seconds), state_message="no more",
        runtime_info=SimpleNamespace(approximate_usage=usage),
    )  # fmt: skip
    at = made + timedelta(seconds=seconds)
    message = Message(data=b"", attributes={}, published=at, id=str(at))
    return batch_states._state_event("town", batch, message)  # type: ignore[arg-type]


def _later(told: Any, minutes: int) -> Any:
    """The same event as a later sweep tells it again: under the same id."""
    at = datetime.fromisoformat(told.at) + timedelta(minutes=minutes)
    return msgspec.structs.replace(told, at=at.isoformat())
