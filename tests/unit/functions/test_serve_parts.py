"""The parts of `serve` that need no warehouse: values, files, cursors, what is kept, what is told."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import threading
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator

from catalog.reports import ADDED, ReportColumn, ReportError
from functions.core.clients import Clients
from functions.serve import value_codec
from functions.serve.api import cursors, exports
from functions.serve.api.cursors import CursorPosition
from functions.serve.api.openapi import document
from functions.serve.api.query_params import Operator, ReportQuery, allowed, parse_query_params
from functions.serve.errors import BadRequestError
from functions.serve.pages import formatting
from functions.serve.pages.data import Question, ReportFetcher
from functions.serve.report_catalog import DECLARATIONS, load_report_definitions
from functions.serve.warehouse import report_store
from functions.serve.warehouse.cache import SingleFlightLruCache
from functions.serve.warehouse.report_store import ReportStore, request_deadline
from functions.serve.warehouse.sql import rows_query
from tests.support.serve_site import COLUMNS, declare

INSTANTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "STRING": st.text(max_size=50).filter(lambda text: "\0" not in text),
    "INT64": st.integers(-(2**63), 2**63 - 1),
    "FLOAT64": st.floats(allow_nan=False, allow_infinity=False),
    "NUMERIC": st.decimals(-(10**28), 10**28, places=9),
    "BOOL": st.booleans(),
    "DATE": st.dates(),
    "TIMESTAMP": INSTANTS,
}
TYPED = st.sampled_from(sorted(VALUES)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.none() | VALUES[kind])
)
TEXTS = st.text(st.sampled_from("=+-@\t\r\n'＝a1 \",;é"), max_size=6)


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (0.0, "0"), (-0.0, "0"), (0.5, "0.50"), (9.876, "9.88"), (12.34, "12.3"), (-123.4, "−123"),
        (12_345.6, "12\u202f346"), (0.01, "0.01"), (0.004, "0.0040"), (-0.000_31, "−0.00031"),
        (1e-9, "under\u202f0.000001"),
    ],
)  # fmt: skip
def test_a_number_has_three_digits_and_is_zero_only_where_it_is(number: float, told: str) -> None:
    assert formatting.format_decimal(number) == told


@given(TYPED)
def test_what_an_answer_says_can_be_asked_for(typed: tuple[str, Any]) -> None:
    kind, value = typed
    said = value_codec.to_json_value(value)
    if value is None or kind == "BOOL":
        assert said is value
    else:
        assert value_codec.parse_value(kind, str(said)) == value


def test_a_day_stands_for_the_whole_of_it() -> None:
    first, last = (
        value_codec.parse_value("TIMESTAMP", "2024-05-01", last=last) for last in (False, True)
    )
    assert first == datetime(2024, 5, 1, tzinfo=UTC)
    assert last == datetime(2024, 5, 1, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["=1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "'=1", "''=", "＝1", "－1"]
)
def test_what_a_spreadsheet_would_reckon_begins_with_an_apostrophe(text: str) -> None:
    assert exports.neutral(text) == f"'{text}"


PARTED = {
    "x;=1;z": "x;'=1;z", "x\t@a": "x\t'@a", "a\r\n-b": "a\r\n'-b", "=1;+2": "'=1;'+2", "a;'=1": "a;''=1",
    'a;"=1': "a;'\"=1", "\t=1": "'\t'=1",
}  # fmt: skip


@pytest.mark.parametrize("text", PARTED)
def test_what_becomes_a_cell_where_others_part_is_neutral_too(text: str) -> None:
    assert exports.neutral(text) == PARTED[text]


@given(st.lists(st.tuples(st.integers(0, 9), TEXTS), max_size=5), st.sampled_from(",;\t"))
def test_no_cell_is_a_formula_whatever_parts_it(rows: list[tuple[int, str]], mark: str) -> None:
    text = file(rows, ["INT64", "STRING"])
    for cells in csv.reader(io.StringIO(text, newline=""), delimiter=mark):
        assert not [cell for cell in cells if cell[:1] and cell[0] in "=+-@＝"]


@pytest.mark.parametrize(
    "text", ["", "a=1", "1-2", "'t Hof", "L'=", " =1", "a; =1", "a;b-1", "a\n\nb"]
)
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert exports.neutral(text) == text


ADDED_MARK = "^'(?='*[=+\\-@\t\r\n＝＋－＠])|(?<=[;\t\r\n])'(?=['\"]*[=+\\-@＝＋－＠])"
"""What `neutral` put into a text, as docs/api.md tells it."""


def file(rows: list[tuple[Any, ...]], kinds: list[str]) -> str:
    """Rows as a CSV file."""
    columns = [ReportColumn(name=f"c{n}", type=k, description="") for n, k in enumerate(kinds)]
    return b"".join(exports.csv_pieces(columns, iter(rows))).decode()


@given(st.lists(st.tuples(TEXTS | st.none(), VALUES["INT64"] | st.none()), max_size=20))
def test_csv_is_read_back_as_it_was(rows: list[tuple[str | None, int | None]]) -> None:
    text = file(rows, ["STRING", "INT64"])
    read = list(csv.reader(io.StringIO(text, newline=""), quoting=csv.QUOTE_STRINGS))[1:]
    back = [
        (
            None if a is None else re.sub(ADDED_MARK, "", a),
            None if b is None else b,
        )
        for a, b in (row for row in read)
    ]
    assert [(a, b) for a, b in back] == [(a, None if b is None else float(b)) for a, b in rows]
    for a, _ in read:
        assert not a or a[0] not in "=+-@\t\r\n＝"


@pytest.mark.parametrize("pieces", [exports.csv_pieces, exports.ndjson_pieces])
def test_a_file_of_any_length_begins_at_once(pieces: Any) -> None:
    column = ReportColumn(name="n", type="INT64", description="")
    rows = ((number,) for number in itertools.count())
    begun = b"".join(itertools.islice(pieces([column], rows), 2))
    assert b"999" in begun
    assert next(rows)[0] <= 2_000


def test_numbers_of_a_file_stay_numbers() -> None:
    row = (-1, -0.5, Decimal("-1.10"), False, date(2024, 5, 1), datetime(2024, 5, 1, tzinfo=UTC))
    text = file([row], ["INT64", "FLOAT64", "NUMERIC", "BOOL", "DATE", "TIMESTAMP"])
    assert text.splitlines()[1] == ('-1,-0.5,"-1.10","false","2024-05-01","2024-05-01T00:00:00Z"')


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The toy report with every type."""
    return declare(tmp_path_factory.mktemp("declared"))["toy_days"]


@given(
    st.tuples(*(st.none() | VALUES[kind] for kind in list(COLUMNS.values()))),
    st.text(max_size=10),
)
def test_a_cursor_says_where_it_stands(toy: Any, row: tuple[Any, ...], state: str) -> None:
    question = parse_query_params(toy, [("sort", ",".join(COLUMNS))])
    cursor = cursors.write(question, CursorPosition(state, row))
    own = parse_query_params(toy, [("sort", ",".join(COLUMNS)), ("cursor", cursor), ("limit", "7")])
    assert cursors.read(own) == CursorPosition(state, row)
    with pytest.raises(BadRequestError):
        cursors.read(parse_query_params(toy, [("cursor", cursor)]))


def test_a_number_that_no_float_holds_is_no_cursor(toy: Any) -> None:
    question = parse_query_params(toy, [("sort", "share")])
    after = [10**400 if each.column.type == "FLOAT64" else "2024-05-01" for each in question.order]
    body = json.dumps(["state", after]).encode()
    text = cursors.base64.urlsafe_b64encode(body).decode().rstrip("=")
    cursor = f"{text}.{cursors._digest(question, body)}"
    with pytest.raises(BadRequestError, match="cannot be read"):
        cursors.read(parse_query_params(toy, [("sort", "share"), ("cursor", cursor)]))


@pytest.mark.parametrize(
    "after", [["x"], ["2024-05-01"], ["2024-05-01", 5], [5, "x"], ["2024-13-01", "x"], "x", {}]
)
def test_a_cursor_that_somebody_made_up_says_nothing(toy: Any, after: Any) -> None:
    question = parse_query_params(toy, [])
    body = msgspec.json.encode(["state", after])
    digest = cursors._digest(question, body)
    text = cursors.base64.urlsafe_b64encode(body).decode().rstrip("=")
    with pytest.raises(BadRequestError):
        cursors.read(parse_query_params(toy, [("cursor", f"{text}.{digest}")]))


def test_nothing_comes_after_a_row_of_nulls_but_its_key(toy: Any) -> None:
    question = parse_query_params(toy, [("sort", "n")])
    query = rows_query(question, None, (None, date(2024, 5, 1), "x"), 10)
    assert "(r.`n` IS NULL AND (r.`day` > @p0 OR r.`day` IS NULL))" in query.sql
    assert [each.value for each in query.parameters] == [date(2024, 5, 1), "x"]


def test_a_value_is_made_once_for_all_who_ask_at_once() -> None:
    kept: SingleFlightLruCache[int] = SingleFlightLruCache(10, 10, lambda _: 1)
    begun, go = threading.Event(), threading.Event()
    calls: list[int] = []

    def make() -> int:
        begun.set()
        go.wait(10)
        calls.append(1)
        return 7

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(kept.get("k", make))) for _ in range(5)]
    for thread in threads:
        thread.start()
    begun.wait(10)
    go.set()
    for thread in threads:
        thread.join(10)
    assert (found, calls) == ([7] * 5, [1])


def test_who_waits_for_another_waits_no_longer_than_may_be() -> None:
    kept: SingleFlightLruCache[int] = SingleFlightLruCache(10, 10, lambda _: 1)
    begun, go = threading.Event(), threading.Event()

    def make() -> int:
        begun.set()
        return int(go.wait(10))

    maker = threading.Thread(target=kept.get, args=("k", make))
    maker.start()
    begun.wait(10)
    with pytest.raises(TimeoutError):
        kept.get("k", make, 0.0)
    go.set()
    maker.join(10)


def test_who_waits_has_time_of_its_own() -> None:
    kept: SingleFlightLruCache[int] = SingleFlightLruCache(10, 10, lambda _: 1)
    begun, go = threading.Event(), threading.Event()

    def late() -> int:
        begun.set()
        go.wait(10)
        raise TimeoutError("the time of the first is over")

    def fails() -> None:
        with pytest.raises(TimeoutError):
            kept.get("k", late, 1.0)

    first = threading.Thread(target=fails)
    first.start()
    begun.wait(10)
    found: list[int] = []
    second = threading.Thread(target=lambda: found.append(kept.get("k", lambda: 3, 30.0)))
    second.start()
    go.set()
    first.join(10)
    second.join(10)
    assert found == [3]


def test_what_fails_is_told_to_all_and_not_kept() -> None:
    kept: SingleFlightLruCache[int] = SingleFlightLruCache(10, 10, lambda _: 1)

    def fail() -> int:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        kept.get("k", fail)
    assert kept.get("k", lambda: 3) == 3


def test_no_more_is_kept_than_fits_and_the_last_used_stays() -> None:
    kept: SingleFlightLruCache[int] = SingleFlightLruCache(3, 10, lambda value: value)
    for number in (1, 2, 3):
        kept.get(number, lambda number=number: number)
    assert kept.get(1, lambda: -1) == 1
    kept.get(4, lambda: 4)
    assert (kept.get(1, lambda: -1), kept.weight) == (1, 8)
    kept.get(9, lambda: 9)
    assert kept.weight == 10
    kept.get(11, lambda: 11)
    assert kept.weight == 0, "what is heavier than all that may be kept is not"


REPORTS = load_report_definitions(DECLARATIONS)


def test_every_report_of_the_repository_can_be_asked() -> None:
    assert {"wifi_days", "velib_coverage"} <= set(REPORTS)
    for report in REPORTS.values():
        question = parse_query_params(report, [])
        assert {each.column.name for each in question.order} >= set(report.declared.key)
        names = allowed(report)
        assert len(set(names)) == len(names), "a column must not bear the name of a parameter"
        assert not any("." in column.name for column in report.columns)
        if not report.select:
            assert {column.name for column in ADDED} <= {c.name for c in report.columns}


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    declare(tmp_path)
    (tmp_path / "other" / "tables").mkdir(parents=True)
    told = (tmp_path / "toy" / "tables" / "toy_days.toml").read_bytes()
    (tmp_path / "other" / "tables" / "toy_days.toml").write_bytes(told)
    with pytest.raises(ReportError, match="other has a report of that name"):
        load_report_definitions(tmp_path)


def test_a_declaration_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    declare(tmp_path)
    (tmp_path / "toy" / "tables" / "toy_days.toml").write_text("title = 3")
    with pytest.raises(ReportError, match=r"toy_days\.toml"):
        load_report_definitions(tmp_path)


def test_openapi_is_valid_and_tells_every_report(tmp_path: Path) -> None:
    known = {**REPORTS, **declare(tmp_path)}
    told = msgspec.json.decode(msgspec.json.encode(document(known.values(), "/api/v1")))
    OpenAPIV31SpecValidator(told).validate()
    assert told["openapi"] == "3.1.0"
    for report in known.values():
        given_names = {
            p["name"] for p in told["paths"][f"/reports/{report.name}/rows"]["get"]["parameters"]
        }
        assert given_names == set(allowed(report))


def test_operators_are_those_that_addresses_use() -> None:
    assert {each.value for each in Operator} == {"any of", "from", "to"}


def test_what_a_request_asks_has_one_deadline() -> None:
    answers = ReportStore(cast("Clients", None), REPORTS)
    with request_deadline(0.0), pytest.raises(TimeoutError, match="45 seconds"):
        answers.current_version(REPORTS["wifi_days"])


def test_what_a_page_asks_in_threads_has_the_requests_deadline() -> None:
    left: list[float] = []

    def table(_: ReportQuery) -> Any:
        left.append(report_store._seconds_left())

    source = ReportFetcher(load_report_definitions(DECLARATIONS), table, lambda: datetime.now(UTC))
    with request_deadline(5.0):
        source.fetch_all([Question("wifi_months", ()), Question("velib_coverage", ())])
    assert len(left) == 2
    assert all(0 < each <= 5 for each in left)
