"""The newest run on a real engine: what is newer is shown, whole, whatever the order of events."""

from __future__ import annotations

import io
import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import GoogleAPICallError

from catalog import latest_table, object_names
from catalog.contract import Column, Contract, LatestTable
from catalog.object_names import SplitKey
from catalog.records import Event, Origin, Outcome, Part, SplitRecord
from catalog.runs import Run
from catalog.slots import Unit
from functions.core.errors import PermanentError
from functions.publish_latest import step as show
from local_cloud.gateway.calls import Call
from local_cloud.gateway.proxy import Intervention, Phase
from tests.support.step_cloud import Toy, event_of

A, B, C = "20250605T020900Z", "20250605T021900Z", "20250605T022900Z"
SLOT = "2025-06-05"
TIME = "2025-06-05T02:05:00Z"

Given = tuple[str | None, ...]
"""A row: key, number, whether it is good, its time, as a publisher writes them."""


class Board:
    """A toy snapshot whose newest run is shown."""

    def __init__(self, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
        self.toy = toy
        columns = tuple(
            Column(name=name, type=kind, description=name, nullable=name != "k")
            for name, kind in {
                "k": "code",
                "v": "integer",
                "ok": "boolean",
                "t": "timestamp",
            }.items()
        )
        facet = LatestTable(table=f"{toy.system}_now", description="Now", key=("k",))
        self.contract: Contract = msgspec.structs.replace(
            toy.ticks, columns=columns, latest_table=facet, zone="Europe/Paris", slot_unit=Unit.DAY
        )
        self.table = f"reports.{facet.table}"
        made = ", ".join(f"{c.name} {c.type}" for c in latest_table.columns(self.contract, facet))
        toy.sql(f"CREATE TABLE {self.table} ({made})")
        monkeypatch.setattr(show, "contract_of", lambda _: self.contract)

    def split(
        self, run: str, rows: list[Given], *, replay: int = 0, held: bool = False,
        outcome: Outcome = Outcome.ACCEPTED, newest: str = TIME,
    ) -> str:  # fmt: skip
        """Leave in landing what a split leaves; its record's object."""
        key = SplitKey(Run(run), replay)
        blob = self.toy.landing.blob(object_names.part(self.contract.dataset, SLOT, key, "t1"))
        blob.upload_from_string(_parquet(rows), "application/octet-stream")
        part = Part(
            slot=SLOT, object=blob.name, generation=blob.generation, rows=len(rows),
            bytes=blob.size, hash="h", held=held, newest=newest,
        )  # fmt: skip
        record = SplitRecord(
            dataset=self.contract.dataset, run=run, replay=replay, outcome=outcome,
            origin=Origin.SAMPLE, contract="c", parts=(part,),
        )  # fmt: skip
        self.toy.record(record)
        return object_names.split_record(self.contract.dataset, key)

    def show(self, record: str) -> list[Event]:
        """Call `show` with a record's event."""
        return list(show.run(event_of(record), self.toy.clients, self.toy.settings))

    def outcome(self, record: str) -> str:
        """What `show` says of a record."""
        (told,) = self.show(record)
        return told.outcome

    def shown(self) -> list[tuple[str, int | None, str]]:
        """Key, number and run of what is shown."""
        found = self.toy.sql(f"SELECT k, v, run FROM {self.table} ORDER BY k")
        return [(row.k, row.v, row.run) for row in found]


@pytest.fixture
def board(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Board:
    """A board without a row."""
    return Board(toy, monkeypatch)


def test_rows_are_typed_and_say_where_they_are_from(board: Board) -> None:
    rows: list[Given] = [
        ("75001", "2.0", "OUI", "2025-06-05T04:05:00+02:00"),
        ("13118_relais", None, "0", "1749088800"),
        ('a"\\,é', "-3", None, "2025-06-05 04:00"),
    ]
    assert board.outcome(board.split(A, rows)) == "shown"
    found = {row.k: row for row in board.toy.sql(f"SELECT * FROM {board.table}")}
    tick = datetime(2025, 6, 5, 2, 9, tzinfo=UTC)
    assert [(found[k].v, found[k].ok, found[k].age_minutes) for k, *_ in rows] == [
        (2, True, 4.0), (None, False, 9.0), (-3, None, 9.0),
    ]  # fmt: skip
    assert found["75001"].t == datetime(2025, 6, 5, 2, 5, tzinfo=UTC)
    assert {(r.fetched_at, r.data_as_of, r.origin, r.run) for r in found.values()} == {
        (tick, datetime.fromisoformat(TIME), "sample", A)
    }
    assert [(found[k].line, found[k].sample_size) for k, *_ in rows] == [(1, 1), (2, 1), (3, 1)]
    (note,) = board.toy.sql(f"SELECT * FROM ops.shown WHERE dataset = '{board.contract.dataset}'")
    assert (note.run, note.shown_rows, note.origin) == (A, 3, "sample")


def test_of_a_key_the_newest_report_is_shown(board: Board) -> None:
    rows: list[Given] = [
        ("a", "1", None, "2025-06-05T02:00:00Z"), ("a", "2", None, "2025-06-05T02:08:00Z"),
        ("a", "3", None, "2025-06-05T02:08:00Z"), ("a", "4", None, None), ("b", "5", None, None),
    ]  # fmt: skip
    board.show(board.split(A, rows))
    assert board.shown() == [("a", 2, A), ("b", 5, A)]
    sizes = board.toy.sql(f"SELECT sample_size, age_minutes FROM {board.table} ORDER BY k")
    assert [tuple(row.values()) for row in sizes] == [(4, 1.0), (1, None)]


def test_a_wrong_clock_makes_nothing_newer(board: Board) -> None:
    rows: list[Given] = [
        ("a", "1", None, "2025-06-05T02:08:00Z"), ("a", "2", None, "2025-06-06T01:00:00Z"),
        ("b", "3", None, "2025-06-06T01:00:00Z"),
    ]  # fmt: skip
    board.show(board.split(A, rows, newest="2025-06-06T01:00:00+00:00"))
    assert board.shown() == [("a", 1, A), ("b", 3, A)]
    reach = {row.data_as_of for row in board.toy.sql(f"SELECT data_as_of FROM {board.table}")}
    assert reach == {datetime(2025, 6, 5, 2, 9, tzinfo=UTC)}


def three(board: Board) -> list[str]:
    """The records of a run, of its replay and of the next run."""
    return [
        board.split(A, [("a", "1", None, TIME), ("b", "1", None, TIME)]),
        board.split(A, [("a", "2", None, TIME)], replay=1_749_088_800_000),
        board.split(B, [("a", "3", None, TIME), ("c", "3", None, TIME)]),
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_the_newest_stands_whatever_the_order(board: Board, order: tuple[int, ...]) -> None:
    records = three(board)
    newest_yet = -1
    for at in order:
        newest_yet = max(newest_yet, at)
        assert board.outcome(records[at]) == ("shown" if newest_yet == at else "older")
        assert {v for _, v, _ in board.shown()} == {newest_yet + 1}
    assert board.shown() == [("a", 3, B), ("c", 3, B)]


def test_an_event_that_comes_twice_shows_once(board: Board) -> None:
    record = board.split(A, [("a", "1", None, TIME)])
    assert [board.outcome(record) for _ in range(2)] == ["shown", "shown"]
    assert board.shown() == [("a", 1, A)]


@pytest.mark.parametrize(
    ("what", "outcome"),
    [
        ({"outcome": Outcome.REFUSED}, "not shown"),
        ({"held": True}, "no rows"),
    ],
)
def test_what_does_not_count_leaves_the_table(
    board: Board, what: dict[str, Any], outcome: str
) -> None:
    board.show(board.split(A, [("a", "1", None, TIME)]))
    assert board.outcome(board.split(B, [("a", "2", None, TIME)], **what)) == outcome
    assert board.shown() == [("a", 1, A)]


@pytest.mark.parametrize("facet", [{"latest_table": None}, {"retired": True}])
def test_a_data_set_that_is_not_shown_is_acknowledged(board: Board, facet: dict[str, Any]) -> None:
    board.contract = msgspec.structs.replace(board.contract, **facet)
    assert board.outcome(board.split(A, [("a", "1", None, TIME)])) == "not shown"
    assert board.shown() == []


@pytest.mark.parametrize("phase", list(Phase), ids=lambda phase: phase.value)
def test_a_crash_at_the_script_converges(board: Board, phase: Phase) -> None:
    """The script is all that a call changes: its request, or its reply, is lost once."""
    first, second = (board.split(run, [("a", v, None, TIME)]) for run, v in ((A, "1"), (B, "2")))
    board.show(first)
    changing: list[Call] = []

    def lose(call: Call, at: Phase) -> Intervention:
        if call.method in ("GET", "HEAD"):
            return Intervention.PASS
        changing.append(call)
        return Intervention.REFUSE if at is phase else Intervention.PASS

    board.toy.servers.gate.intercept = lose
    with pytest.raises(GoogleAPICallError):
        board.show(second)
    board.toy.servers.gate.intercept = None
    assert {call.action for call in changing} == {"jobs.insert"}
    assert board.outcome(second) == "shown"
    assert board.outcome(first) == "older"
    assert board.shown() == [("a", 2, B)]


def test_first_events_at_once(board: Board) -> None:
    records = three(board)

    def until_done(record: str) -> None:
        for _ in range(20):
            try:
                board.show(record)
            except GoogleAPICallError:
                continue
            return
        raise AssertionError(f"{record} never went through")

    with ThreadPoolExecutor(5) as pool:
        for done in [pool.submit(until_done, record) for record in (*records, *records[:2])]:
            done.result()
    assert board.shown() == [("a", 3, B), ("c", 3, B)]


def test_what_cannot_be_shown_says_so(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("runs/x/y.json", "", f"splits/{board.contract.dataset}/{C}.json"):
        with pytest.raises(PermanentError, match=r"no split record|is not there"):
            board.show(name)
    with pytest.raises(PermanentError, match="line 1: 'many' is no integer"):
        board.show(board.split(A, [("a", "many", None, TIME)]))
    record = board.split(B, [("a", "1", None, TIME)])
    monkeypatch.setattr(show, "MOST_BYTES", 100)
    with pytest.raises(PermanentError, match="too many for one request"):
        board.show(record)
    for blob in board.toy.landing.list_blobs(prefix="parts/"):
        blob.delete()
    with pytest.raises(PermanentError, match="is gone: the next fetch"):
        board.show(record)
    assert board.shown() == []


def _parquet(rows: list[Given]) -> bytes:
    columns = {
        name: pa.array([row[at] for row in rows], pa.string())
        for at, name in enumerate(("k", "v", "ok", "t"))
    }
    columns["line"] = pa.array(range(1, len(rows) + 1), pa.int64())
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()
