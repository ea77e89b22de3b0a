"""The API over a warehouse stand-in: rows in their forms, conditions, pages, what never gets through."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask import Request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema.exceptions import ValidationError
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from werkzeug.test import EnvironBuilder

from functions.serve.api.query_params import parse_query_params
from functions.serve.value_codec import ORDERED
from functions.serve.warehouse.report_store import BYTES_BILLED
from local_cloud.gateway.proxy import Intervention, Phase
from tests.support.serve_site import AS_OF, COLUMNS, Row, Site
from tests.support.step_cloud import Servers

ROWS = (
    Row("Châtelet", "2024-05-01"),
    Row("Bastille", "2024-05-01", n=None, share=None, exact=None, ok=None, seen=None),
    Row("=1+1", "2024-05-02", n=-(2**63), share=float("nan"), exact="-0.000000001", ok=False),
    Row(
        "<script>alert(1)</script>",
        "2024-05-03",
        n=2**62,
        share=1e300,
        exact="12345678901234567890",
    ),
)


@pytest.fixture(scope="session")
def shared_site(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The site, its table filled anew by each test that asks."""
    servers.warehouse.query("CREATE SCHEMA IF NOT EXISTS reports").result()
    return Site(servers, tmp_path_factory.mktemp("declared"))


@pytest.fixture
def site(shared_site: Site) -> Iterator[Site]:
    """The site with the rows above."""
    if shared_site.published != (ROWS, AS_OF):
        shared_site.publish(ROWS)
    shared_site.pop_queries()
    yield shared_site
    shared_site.servers.gate.intercept = None


def places(answer: Any) -> list[str]:
    """The places of a page's rows, in order."""
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return [row["place"] for row in answer.json["rows"]]


def test_a_row_has_its_types_and_the_page_what_it_rests_on(site: Site) -> None:
    told = site.rows("place=Châtelet&place=Bastille").json
    assert told["rows"] == [
        {
            "place": "Bastille", "day": "2024-05-01", "n": None, "share": None, "exact": None,
            "ok": None, "seen": None, "sample_size": 3, "data_as_of": "2024-05-02T00:00:00Z",
            "origin": "sample",
        },
        {
            "place": "Châtelet", "day": "2024-05-01", "n": 1, "share": 0.5, "exact": "1.5",
            "ok": True, "seen": "2024-05-01T12:00:00.000001Z", "sample_size": 3,
            "data_as_of": "2024-05-02T00:00:00Z", "origin": "sample",
        },
    ]  # fmt: skip
    assert (told["data_as_of"], told["origin"]) == ("2024-05-02T00:00:00Z", "sample")
    assert told["licence"] == ["ODbL-1.0", "etalab-2.0"]
    assert (
        told["attribution"][0] == "Source: Ville de Paris / opendata.paris.fr (Paris Wi-Fi), ODbL"
    )
    assert told["next"] is None


def test_a_page_is_what_its_description_says(site: Site) -> None:
    told = site.http.get("/api/v1/openapi.json").json
    path = told["paths"]["/reports/toy_days/rows"]["get"]["responses"]["200"]
    schema = {
        **path["content"]["application/json"]["schema"], "components": told["components"],
    }  # fmt: skip
    page = site.rows().json
    OAS31Validator(schema, format_checker=oas31_format_checker).validate(page)
    page["rows"][0]["n"] = "1"
    with pytest.raises(ValidationError):
        OAS31Validator(schema).validate(page)


def test_what_no_json_number_can_be_is_null(site: Site) -> None:
    (row,) = site.rows(f"place={quote('=1+1')}").json["rows"]
    assert (row["n"], row["share"], row["exact"]) == (-(2**63), None, "-0.000000001")


CONDITIONS = {
    "": ["<script>alert(1)</script>", "=1+1", "Bastille", "Châtelet"],
    "day=2024-05-02&day=2024-05-03": ["<script>alert(1)</script>", "=1+1"],
    "day.from=2024-05-02": ["<script>alert(1)</script>", "=1+1"],
    "day.to=2024-05-01": ["Bastille", "Châtelet"],
    "day.from=2024-05-02&day.to=2024-05-02": ["=1+1"],
    "n=1": ["Châtelet"],
    "n.from=1&sort=n": ["Châtelet", "<script>alert(1)</script>"],
    "exact=1.50": ["Châtelet"],
    "exact.to=0": ["=1+1"],
    "share.from=0.5&share.to=0.5": ["Châtelet"],
    "ok=false": ["=1+1"],
    "seen=2024-05-01T14:00:00.000001%2B02:00&place=Châtelet": ["Châtelet"],
    "seen.from=2024-05-01&seen.to=2024-05-01&place=Châtelet": ["Châtelet"],
    "seen.from=2024-05-02": [],
    "place=Ch%C3%A2telet&day=&format=&limit=": ["Châtelet"],
    "place=nowhere": [],
    "sort=place": ["<script>alert(1)</script>", "=1+1", "Bastille", "Châtelet"],
    "sort=-place": ["Châtelet", "Bastille", "=1+1", "<script>alert(1)</script>"],
    "sort=-n": ["<script>alert(1)</script>", "Châtelet", "=1+1", "Bastille"],
    "sort=share,place": ["Châtelet", "<script>alert(1)</script>", "=1+1", "Bastille"],
}


@pytest.mark.parametrize("question", CONDITIONS)
def test_rows_are_those_asked_for_in_the_order_asked_for(site: Site, question: str) -> None:
    assert places(site.rows(question)) == CONDITIONS[question]


def test_columns_are_those_asked_for_whatever_orders_them(site: Site) -> None:
    told = site.rows("columns=n,place&sort=-exact&limit=2").json
    assert told["rows"] == [
        {"n": 2**62, "place": "<script>alert(1)</script>"}, {"n": 1, "place": "Châtelet"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("plaice=x", "it takes columns, sort, limit, cursor, format, n, n.from"),
        ("sample_size=3", "is no parameter of toy_days"),
        ("day.like=x", "is no parameter"),
        ("place.from=a", "is no parameter"),
        ("n=one", "n is 'one': it must be a whole number of 64 bits"),
        ("n=9223372036854775808", "64 bits"),
        ("share=nan", "must be a number"),
        ("share=1e999", "must be a number"),
        ("exact=1.0000000001", "9 decimals"),
        ("day=2024-02-30", "a day such as"),
        ("day.from=2024-01-01&day.from=2024-01-02", "give it once"),
        ("seen=2024-05-01", "seen.from and seen.to"),
        ("seen.from=yesterday", "an instant such as"),
        ("ok=yes", "true or false"),
        ("place=%00", "must be text"),
        ("columns=place,secret", "it takes place, day, n"),
        ("columns=place,place", "once"),
        ("sort=nothing", "it takes place, day"),
        ("sort=n,-n", "twice"),
        ("limit=0", "1 to 1000"),
        ("limit=1001", "1 to 1000"),
        ("limit=ten", "1 to 1000"),
        ("limit=000000001999999", "1 to 1000"),
        ("limit=00100", "1 to 1000"),
        ("format=xml", "json, csv, ndjson, html"),
        ("format=csv&limit=10", "all rows"),
        ("&".join(f"place={n}" for n in range(101)), "100 at most"),
    ],
)
def test_what_is_not_allowed_is_named_with_what_is(site: Site, question: str, said: str) -> None:
    answer = site.rows(question)
    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")
    assert said in answer.json["detail"]
    assert site.pop_queries() == []


@pytest.mark.parametrize("path", ["toy_dayz", "toy_dayz/rows", "TOY_DAYS/rows?format=csv"])
def test_an_unknown_report_is_named_with_those_there_are(site: Site, path: str) -> None:
    answer = site.get(path)
    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")
    name = path.partition("/")[0]
    assert answer.json["detail"] == f"there is no report '{name}'; there are: toy_loads, toy_days"
    assert site.pop_queries() == []


WHERE_PLACE = """WHERE r.`place` IN UNNEST(@p0)
ORDER BY r.`day` IS NULL, r.`day` DESC, r.`place` IS NULL, r.`place` ASC
LIMIT 101"""
SQL = (
    "' OR '1'='1",
    "x'); DROP TABLE reports.toy_days; --",
    "`",
    "\\",
    "UNION SELECT",
    "@now",
    "/*",
)


RANGES = [
    f"{name}.{end}" for name, kind in COLUMNS.items() if kind in ORDERED for end in ("from", "to")
]


@pytest.mark.parametrize(
    "name", [*COLUMNS, *RANGES, "columns", "sort", "limit", "cursor", "format"]
)
@pytest.mark.parametrize("text", SQL)
def test_sql_in_a_parameter_is_refused_or_a_value(site: Site, name: str, text: str) -> None:
    answer = site.http.get("/api/v1/reports/toy_days/rows", query_string={name: text})
    assert answer.status_code == (200 if name == "place" else 400)
    for told in site.pop_queries():
        if "UNNEST" in told["query"]:
            assert told["query"].endswith(WHERE_PLACE)
    answer = site.http.get("/api/v1/reports/toy_days/rows", query_string={text: "1"})
    assert answer.status_code == 400


def test_a_value_is_a_parameter_and_every_query_is_capped_and_labelled(site: Site) -> None:
    site.publish(ROWS)
    site.rows("place=x'y&n.from=7")
    queries = site.pop_queries()
    assert len(queries) == 2
    for told in queries:
        assert told["maximumBytesBilled"] == str(BYTES_BILLED)
        assert told["labels"] == {"step": "serve", "report": "toy_days"}
        assert 0 < told["timeoutMs"] < 15_000
        assert "x'y" not in told["query"]
    given_values = json.dumps(queries[1]["queryParameters"])
    assert "x'y" in given_values
    assert '"7"' in given_values


QUERIES = {
    "toy_days/rows?limit=1": 2, "toy_days/rows?format=csv": 2, "toy_days/rows?format=ndjson": 2,
    "toy_days/rows?format=html": 2, "toy_loads/rows?limit=1": 1, "toy_loads/rows?format=csv": 1,
}  # fmt: skip
"""Address → its queries: a table is also asked how far it reaches."""


@pytest.mark.parametrize("path", QUERIES)
def test_every_form_of_rows_is_capped(site: Site, path: str) -> None:
    site.publish(ROWS)
    site.now -= timedelta(hours=1)
    answer = site.get(path)
    assert answer.status_code == 200
    queries = site.pop_queries()
    if onward := (answer.json or {}).get("next") if answer.is_json else None:
        assert site.http.get(onward).status_code == 200
        queries += site.pop_queries()
    site.now += timedelta(hours=1)
    assert len(queries) == QUERIES[path] + bool(onward)
    assert {told.get("maximumBytesBilled") for told in queries} == {str(BYTES_BILLED)}


def pages(site: Site, question: str, limit: int) -> list[dict[str, Any]]:
    """All rows, page by page, as `next` leads."""
    found: list[dict[str, Any]] = []
    path = f"/api/v1/reports/toy_days/rows?{question}&limit={limit}"
    while path:
        answer = site.http.get(path)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        assert len(answer.json["rows"]) <= limit
        found += answer.json["rows"]
        path = answer.json["next"]
        assert not path or path.startswith("/api/v1/")
    return found


MANY = [
    Row(
        f"p{number % 7}",
        f"2024-05-{1 + number // 7:02}",
        n=None if number % 5 == 0 else number % 3,
        share=float("inf") if number % 11 == 0 else number / 3,
        exact=None if number % 4 == 0 else f"{number % 2}.5",
        ok=None if number % 3 == 0 else number % 2 == 0,
        seen=None if number % 6 == 0 else f"2024-05-01T00:00:0{number % 5}.00000{number % 2}Z",
    )
    for number in range(40)
]


@pytest.fixture(scope="module")
def many(shared_site: Site) -> Site:
    """The site with forty rows, full of nulls and equals."""
    shared_site.publish(MANY)
    return shared_site


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    sort=st.lists(st.sampled_from(list(COLUMNS)), max_size=3, unique=True),
    down=st.lists(st.booleans(), min_size=3, max_size=3),
    condition=st.sampled_from(["", "day.from=2024-05-03", "n=1&n=2", "share.to=4", "exact=0.5"]),
    limit=st.integers(6, 21),
)
def test_pages_have_each_row_once_and_in_order(
    many: Site, sort: list[str], down: list[bool], condition: str, limit: int
) -> None:
    names = [f"{'-' if d else ''}{name}" for name, d in zip(sort, down, strict=False)]
    question = "&".join(filter(None, (condition, f"sort={','.join(names)}" if names else "")))
    whole = many.rows(f"{question}&limit=1000").json["rows"]
    paged = pages(many, question, limit)
    assert paged == whole
    assert len({(row["place"], row["day"]) for row in paged}) == len(paged)


FORGED = (
    "x", "e30.00000000000000000000000000000000", "../../etc/passwd", "a" * 5000, "é", "=", "W10.x",
)  # fmt: skip


def test_a_cursor_holds_for_its_own_question_and_state_alone(site: Site) -> None:
    onward = site.rows("limit=1").json["next"].partition("?")[2]
    cursor = onward.partition("cursor=")[2]
    assert site.rows(f"limit=2&cursor={cursor}").status_code == 200
    changed = cursor[:-1] + ("0" if cursor[-1] != "0" else "1")
    for other in (*FORGED, changed, "A" + cursor[1:], cursor.upper()):
        assert site.rows(f"limit=1&cursor={quote(other)}").status_code == 400, other
    for other in ("n=1", "sort=place", "place=Bastille"):
        assert site.rows(f"{other}&cursor={cursor}").status_code == 400, other
    site.publish(ROWS, "2024-05-03T00:00:00Z")
    answer = site.rows(f"limit=1&cursor={cursor}")
    assert answer.status_code == 400
    assert "earlier state" in answer.json["detail"]


@pytest.mark.parametrize("form", ["json", "csv"])
def test_what_is_published_within_the_minute_is_not_taken_for_what_was(
    site: Site, form: str
) -> None:
    onward = site.rows("limit=1").json["next"]
    site.publish(ROWS, "2024-05-03T00:00:00Z")
    site.clock -= 61
    assert site.http.get(onward).status_code == 400
    site.publish(ROWS, "2024-05-04T00:00:00Z")
    site.clock -= 61
    answer = site.rows(f"format={form}&n.to=7")
    assert answer.headers["X-Data-As-Of"] == "2024-05-04T00:00:00Z"
    assert site.rows(f"format={form}&n.to=7").headers["ETag"] == answer.headers["ETag"]


@pytest.mark.parametrize("size", [4_000, 9_000])
def test_a_next_page_that_is_offered_can_be_asked_for(site: Site, size: int) -> None:
    site.publish([Row("a" * size), Row("b" * size)])
    answer = site.rows("limit=1&sort=place&columns=n")
    if size == 9_000:
        assert answer.status_code == 400
        assert "shorter values" in answer.json["detail"]
        return
    assert site.http.get(answer.json["next"]).json["rows"] == [{"n": 1}]


def test_an_answer_is_kept_while_the_data_stands(site: Site) -> None:
    site.publish(ROWS)
    first = site.rows("n=1")
    assert len(site.pop_queries()) == 2, "how far the report reaches, and the rows"
    assert site.rows("n=1").data == first.data
    assert site.pop_queries() == []
    site.clock += 61
    assert site.rows("n=1").data == first.data
    assert site.pop_queries() == [], "the table is as it was, which costs nothing to ask"
    site.publish((replace(ROWS[0], n=1, place="new"),), "2024-05-09T00:00:00Z")
    assert places(site.rows("n=1")) == ["new"]


@pytest.mark.parametrize("question", ["n=1", "format=csv", "format=ndjson", "format=html"])
def test_what_has_not_changed_is_not_sent_again(site: Site, question: str) -> None:
    first = site.rows(question)
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "private, max-age=60"
    site.pop_queries()
    again = site.get(f"toy_days/rows?{question}", If_None_Match=tag)
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    assert site.pop_queries() == []
    other = site.get(f"toy_days/rows?{question}&sort=-place", If_None_Match=tag)
    assert other.status_code == 200
    site.publish(ROWS, "2024-05-04T00:00:00Z")
    assert site.get(f"toy_days/rows?{question}", If_None_Match=tag).status_code == 200


def test_a_head_is_that_of_the_answer_and_asks_for_no_rows(site: Site) -> None:
    whole = site.rows("format=csv")
    site.pop_queries()
    head = site.http.head("/api/v1/reports/toy_days/rows?format=csv")
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["ETag"] == whole.headers["ETag"]
    assert site.pop_queries() == []


def test_files_have_all_rows_and_carry_what_they_rest_on(site: Site) -> None:
    answer = site.rows("format=csv&columns=place,n,share,exact,ok,seen,origin")
    body = answer.get_data(as_text=True)
    head, *rows = csv.reader(io.StringIO(body, newline=""))
    assert head == ["place", "n", "share", "exact", "ok", "seen", "origin"]
    assert rows[1] == [
        "'=1+1", str(-(2**63)), "", "-0.000000001", "false", "2024-05-01T12:00:00.000001Z", "sample",
    ]  # fmt: skip
    assert rows[2] == ["Bastille", "", "", "", "", "", "sample"]
    lines = site.rows("format=ndjson").get_data(as_text=True).splitlines()
    assert [json.loads(line) for line in lines] == site.rows().json["rows"]
    assert answer.headers["Content-Disposition"] == 'attachment; filename="toy_days.csv"'
    for name, wanted in (
        ("X-Data-As-Of", "2024-05-02T00:00:00Z"), ("X-Origin", "sample"),
        ("X-Licence", "ODbL-1.0, etalab-2.0"),
        ("Link", 'https://opendatacommons.org/licenses/odbl/1-0/>; rel="license"'),
        ("Link", '</api/v1/reports/toy_days>; rel="describedby"'),
    ):  # fmt: skip
        assert wanted in answer.headers[name]
    assert "France" in answer.headers["X-Attribution"]


@pytest.mark.parametrize(("form", "streamed"), [("csv", True), ("ndjson", True), ("json", False)])
def test_a_file_is_sent_as_it_is_read(site: Site, form: str, streamed: bool) -> None:
    builder = EnvironBuilder("/api/v1/reports/toy_days/rows", query_string={"format": form})
    answer = site.app.answer(Request(builder.get_environ()))
    assert (answer.status_code, answer.is_streamed) == (200, streamed)
    assert b"Bastille" in answer.get_data()


def test_script_in_a_name_is_text_in_the_table(site: Site) -> None:
    answer = site.rows("format=html")
    body = answer.get_data(as_text=True)
    assert "<script" not in body
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in body
    assert "Toy: &lt;b&gt;days" in body
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_a_live_question_is_asked_at_the_minute_and_its_cursor_keeps_to_it(site: Site) -> None:
    site.sql("DELETE FROM ops.loads WHERE TRUE")
    site.sql(
        "INSERT INTO ops.loads (slot, rows_in, loaded_at) VALUES ('a', 1, '2025-06-05 00:00:00+00'), "
        "('b', 2, '2025-06-05 00:00:00+00'), ('c', 3, '2025-06-05 02:10:30+00')"
    )
    first = site.get("toy_loads/rows?limit=1").json
    assert first["rows"] == [{"slot": "a", "rows_in": 1, "asked_at": "2025-06-05T02:10:00Z"}]
    assert (first["data_as_of"], first["origin"]) == ("2025-06-05T02:10:00Z", None)
    site.now += timedelta(minutes=2)
    second = site.http.get(first["next"]).json
    assert [row["slot"] for row in second["rows"]] == ["b"]
    assert second["next"] is None, "c came after the first page was asked"
    assert len(site.get("toy_loads/rows").json["rows"]) == 3
    site.now += timedelta(hours=2)
    assert site.http.get(first["next"]).status_code == 400
    site.now -= timedelta(hours=2, minutes=2)


def test_a_report_without_a_table_says_so(site: Site) -> None:
    site.withdraw()
    answer = site.rows()
    assert (answer.status_code, answer.json["title"]) == (404, "Not Published")
    assert "paris_wifi_usage" in answer.json["detail"]


def test_a_report_without_rows_is_an_empty_page(site: Site) -> None:
    site.publish(())
    told = site.rows().json
    assert (told["rows"], told["data_as_of"], told["origin"], told["next"]) == (
        [],
        None,
        None,
        None,
    )
    assert site.rows("format=csv").data.startswith(b'"place",')
    assert "nothing yet" in site.rows("format=html").get_data(as_text=True)


def test_a_table_tells_since_when_it_stands(site: Site) -> None:
    site.publish(())
    answers = site.app.store
    modified = site.servers.warehouse.get_table("reports.toy_days").modified
    assert (
        answers.table(parse_query_params(answers.reports["toy_days"], [])).unchanged_since
        == modified
    )
    minute = site.now.replace(second=0, microsecond=0)
    assert (
        answers.table(parse_query_params(answers.reports["toy_loads"], [])).unchanged_since
        == minute
    )


def test_a_warehouse_that_does_not_answer_is_told_without_its_words(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(call: Any, phase: Phase) -> Intervention:
        return Intervention.REFUSE if call.action == "jobs.query" else Intervention.PASS

    site.servers.gate.intercept = refuse
    answer = site.rows("n=1&sort=seen")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert answer.json["detail"] == "the warehouse does not answer: try again"
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["step"], line["severity"], line["outcome"]) == ("serve", "ERROR", "failed")
    site.servers.gate.intercept = None
    assert site.rows("n=1&sort=seen").status_code == 200


def test_a_fault_of_ours_is_told_without_its_words(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a secret place")

    monkeypatch.setattr(type(site.app), "_rows", fail)
    answer = site.rows()
    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert b"secret" not in answer.data
    assert "a secret place" in capsys.readouterr().out


def test_every_answer_bears_the_headers_that_keep_it_apart(site: Site) -> None:
    for path in ("reports", "reports/toy_days", "reports/toy_days/rows", "reports/x/rows", "x"):
        answer = site.http.get(f"/api/v1/{path}")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"}, {"Host": "evil.example:1/x"}, {"X-Forwarded-Host": "evil.example"},
        {"Forwarded": "host=evil.example"}, {"X-Original-URL": "/evil.example"},
    ],
)  # fmt: skip
def test_no_host_of_the_asker_s_own_comes_back(site: Site, headers: dict[str, str]) -> None:
    for path in ("reports", "reports/toy_days/rows?limit=1", "openapi.json", "nothing"):
        answer = site.http.get(f"/api/v1/{path}", headers=headers)
        assert b"evil" not in answer.data
        assert "evil" not in str(answer.headers)


@pytest.mark.parametrize("span", ["bytes=0-10", "bytes=-1", "bytes=9-1,5-", "bytes=99999999999-"])
def test_a_range_is_passed_by(site: Site, span: str) -> None:
    whole = site.rows("format=csv")
    part = site.get("toy_days/rows?format=csv", Range=span, If_Range='"x"')
    assert (part.status_code, part.data) == (200, whole.data)
    assert part.headers["Accept-Ranges"] == "none"


def test_what_is_too_long_is_refused(site: Site) -> None:
    for size in (8_193, 10_000_000):
        answer = site.http.get("/api/v1/reports", query_string="a" * size)
        assert (answer.status_code, answer.content_type) == (414, "application/problem+json")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(site: Site, method: str) -> None:
    answer = site.http.open("/api/v1/reports/toy_days/rows", method=method)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert answer.content_type == "application/problem+json"
    assert "GET or HEAD" in answer.json["detail"]


@pytest.mark.parametrize("path", ["/api/v1/nope", "/api/v1", "/api/v1/reports/toy_days/nope"])
def test_an_address_that_there_is_not_names_those_there_are(site: Site, path: str) -> None:
    answer = site.http.get(path)
    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")
    for known in ("/reports", "/reports/<report>/rows", "/openapi.json"):
        assert f"/api/v1{known}" in answer.json["detail"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("columns=day,nope,nope2", "columns names 'nope', 'nope2': it takes place, day, "),
        ("sort=-nope,day,nope2", "sort names 'nope', 'nope2': it takes place, day, "),
        (
            "columns=" + ",".join(f"n{at}" for at in range(12)),
            "'n9' and 2 more: it takes place, day, ",
        ),
    ],
)
def test_all_names_that_are_wrong_are_told(site: Site, query: str, said: str) -> None:
    answer = site.rows(query)
    assert answer.status_code == 400
    assert said in answer.json["detail"]


def test_a_value_that_no_row_has_is_no_error(site: Site) -> None:
    answer = site.rows("place=nowhere")
    assert (answer.status_code, answer.json["rows"]) == (200, [])


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/reports/../../functions/main.py", "/api/v1/reports/..%2f..%2fmain.py/rows",
        "/assets/../serve/app.py", "/assets/..%2fserve%2fapp.py", "/assets/%2e%2e/app.py",
        "/..%2f..%2fetc%2fpasswd", "//etc/passwd", "/api/v1/reports/toy_days%00/rows", "/api/v1/",
        "/api/v2/reports", "/api/v1/reports/TOY_DAYS/rows",
        "/api/v1/reports/toy_days;DROP/rows",
    ],
)  # fmt: skip
def test_a_path_leads_to_reports_alone(site: Site, path: str) -> None:
    answer = site.http.get(path)
    assert answer.status_code in (400, 404)
    assert answer.content_type == "application/problem+json"
    assert b"import" not in answer.data


def test_declarations_are_read_from_the_folder_alone(site: Site, tmp_path: Path) -> None:
    assert site.get("toy_days").json["name"] == "toy_days"
    listed = site.http.get("/api/v1/reports").json["reports"]
    assert [each["name"] for each in listed] == ["toy_loads", "toy_days"]
    assert listed[1]["sources"][0]["dataset"] == "paris_wifi_usage"
    assert listed[1]["sort"] == ["-day", "place"]
