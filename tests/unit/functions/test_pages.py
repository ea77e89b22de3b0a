"""Pages: rows, none of them, hostile ones; what is told beside them; and what a browser may do."""

from __future__ import annotations

import gzip
import itertools
import json
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
import vl_convert
from flask import Request
from google.api_core.exceptions import ServiceUnavailable
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from catalog.records import Origin
from catalog.reports import ReportColumn
from functions.core.clients import Clients
from functions.core.settings import Settings
from functions.serve.app import App
from functions.serve.errors import BadRequestError
from functions.serve.pages import charts, notices, rows
from functions.serve.pages.assets import static_files
from functions.serve.pages.charts import PALETTE, sample
from functions.serve.pages.data import ReportFetcher
from functions.serve.pages.notices import fresh_until
from functions.serve.pages.site import Pages, in_script
from functions.serve.report_catalog import ReportDefinition
from functions.serve.warehouse.result import ResultTable
from functions.serve.warehouse.sql import rows_query
from local_cloud.cli import vega
from tests.support.page_rows import (
    AS_OF,
    CONTRACTS,
    DASHBOARDS,
    DEFINITIONS,
    NOW,
    REPOSITORY,
    Warehouse,
    pages,
    saying,
    unpublished,
)

CHARTS = [
    (name, chart.name) for name, dashboard in DASHBOARDS.items() for chart in dashboard.page.charts
]
SETTINGS = Settings(
    project="demo", region="europe-west1", raw="raw", landing="landing", lake="lake", quarantine="q"
)
PAGE_BYTES = 400_000
"""Most bytes of a page, compressed, without the bundle that draws."""


class Html(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.blocks: dict[str, Any] = {}
        self.words: list[str] = []
        self._inside: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self._inside.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.words.append(data)
        elif place := self._inside[-1][1].get("data-chart"):
            self.blocks[place] = json.loads(data)

    @property
    def text(self) -> str:
        """What a reader reads."""
        return " ".join(" ".join(self.words).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]


def page(name: str, warehouse: Warehouse | None = None, *chosen: tuple[str, str]) -> Html:
    """A page; what the usual rows give is rendered once, so no test may change it."""
    return Html(pages(warehouse).page(name, chosen)) if warehouse else usual(name, chosen)


@cache
def usual_pages() -> Pages:
    """The pages of the usual rows."""
    return pages(Warehouse())


@cache
def usual(name: str, chosen: tuple[tuple[str, str], ...] = ()) -> Html:
    """A page of the usual rows; the list of all pages by the empty name."""
    made = usual_pages()
    return Html(made.page(name, chosen) if name else made.index())


@cache
def usual_sql(name: str, parameter: str) -> list[str]:
    """The SQL of a page whose filter is set to a harmless text; raises BadRequest as a page does."""
    return asked_sql(name, parameter, "x")


def asked_sql(name: str, parameter: str, text: str) -> list[str]:
    """The SQL that a page asks where a filter is set to a text."""
    warehouse = Warehouse(rows_each=3)
    pages(warehouse).view(name, [(parameter, text)])
    return sorted(rows_query(each, NOW).sql for each in warehouse.queries)


@cache
def app() -> App:
    """The function over the usual rows."""
    made = App(Clients(SETTINGS), declarations=REPOSITORY / "bq_sql")
    made.store.table = Warehouse().table  # type: ignore[method-assign]
    return made


def answered(path: str, headers: tuple[tuple[str, str], ...] = ()) -> Any:
    """The function's answer."""
    return app().answer(Request(EnvironBuilder(path=path, headers=dict(headers)).get_environ()))


@cache
def usually_answered(path: str) -> Any:
    """The function's answer to a reader of HTML."""
    return answered(path, (("Accept", "text/html"),))


def whole(name: str) -> Html:
    """A page with what must be chosen for all its charts to be there."""
    needed = {chart.needs for chart in DASHBOARDS[name].page.charts if chart.needs}
    return page(name, None, *((column, f"{column} 3") for column in needed))


def get(path: str, query: str = "", **headers: str) -> Any:
    builder = EnvironBuilder(path=path, query_string=query, headers=headers)
    return usual_pages().respond(Request(builder.get_environ()))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_chart_has_its_rows_a_table_and_what_must_be_known(name: str) -> None:
    html = whole(name)
    drawn = [block for block in html.blocks.values() if block["data"]["values"]]
    assert len(drawn) == len(DASHBOARDS[name].page.charts)
    assert len(html.of("table")) == len(drawn) + len(DASHBOARDS[name].page.tables)
    assert html.text.count("Sample size") == len(drawn)
    assert "Data as of 2024-06-01 04:17 UTC" in html.text
    for chart in DASHBOARDS[name].page.charts:
        assert " ".join(chart.note.split()) in html.text


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_figure_leads_to_its_definition(name: str) -> None:
    html = page(name)
    anchors = {attributes["id"] for _, attributes in html.tags if attributes.get("id")}
    links = [a["href"] for a in html.of("a") if str(a.get("href")).startswith("#")]
    assert links
    assert {str(link).removeprefix("#") for link in links} <= anchors
    ids = [attributes["id"] for _, attributes in html.tags if attributes.get("id")]
    assert sorted(ids) == sorted(set(ids))


PUBLISHED = [
    name
    for name, dashboard in DASHBOARDS.items()
    if any(DEFINITIONS[report].declared.datasets for report in dashboard.page.reports)
]
"""The pages of publishers' data: the pipeline's own health is nobody else's."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_licence_and_attribution_stand_on_the_page(name: str) -> None:
    html = page(name)
    assert "Source: " in html.text
    assert any("opendatacommons.org" in str(a.get("href")) for a in html.of("a"))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_report_without_rows_says_so_and_since_when(name: str) -> None:
    html = page(name, Warehouse(rows_each=0))
    assert not html.blocks
    asked = "at 2024-06-01 04:17 UTC, when it was asked."
    changed = "since 2024-06-01 04:17 UTC, when it last changed."
    told = {
        f"{part.report} has no {'rows of what is shown here' if part.where else 'rows'} "
        f"{asked if DEFINITIONS[part.report].select else changed}"
        for part in (*DASHBOARDS[name].page.charts, *DASHBOARDS[name].page.tables)
        if not {"year", "stationcode"} & set(part.filters)
    }
    assert told
    assert [text for text in told if text not in html.text] == []
    assert "for this choice" not in html.text


def test_a_choice_without_rows_says_how_far_there_are() -> None:
    html = page("paris_wifi", None, ("day.from", "2031-01-01"))
    told = "No rows for this choice. wifi_days reaches to 2024-06-01 04:17 UTC."
    assert html.text.count("No rows for this choice.") == html.text.count(told) == 1
    other = page(
        "velib", Warehouse(empty={"velib_quality_days"}), ("neighbourhood", "neighbourhood 3")
    )
    assert "velib_quality_days has no rows since 2024-06-01 04:17 UTC" in other.text


HOSTILE = (
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "<!--<script>", "]]>",
    '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "a\u2028b",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_is_text_everywhere(text: str) -> None:
    plain, hostile = page("velib"), page("velib", Warehouse(text=text))
    for tag in ("script", "img", "iframe", "svg"):
        assert len(hostile.of(tag)) == len(plain.of(tag)), tag
    assert not [a for _, a in hostile.tags if any(key.startswith("on") for key in a)]
    names = {row["name"] for row in hostile.blocks["chart-map"]["data"]["values"]}
    assert names == {text}
    assert " ".join(text.split()) in hostile.text


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_nothing_in_a_block_can_end_it(document: object) -> None:
    text = str(in_script(document))
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == document


@pytest.mark.parametrize(("origin", "said"), [
    (Origin.SYNTHETIC, "made up by a generator"), (Origin.SAMPLE, "real files of other days"),
])  # fmt: skip
def test_other_origins_than_the_publisher_are_marked(origin: Origin, said: str) -> None:
    html = page("paris_wifi", Warehouse(origin=origin))
    assert said in html.text
    marks = [a for a in html.of("span") if a.get("class") == "mark"]
    part = DASHBOARDS["paris_wifi"].page
    assert len(marks) == len(part.figures) + len(part.charts) + len(part.tables)
    assert not [a for a in page("paris_wifi").of("span") if a.get("class") == "mark"]


@pytest.mark.parametrize(("now", "said"), [
    ("03:37", ""), ("04:06", ""), ("04:36", ""), ("05:06", ""), ("06:11", ""),
    ("06:30", "Stale since 2024-06-01 06:12 UTC"),
])  # fmt: skip
def test_data_older_than_their_objective_are_called_stale_and_since_when(
    now: str, said: str
) -> None:
    # The hour from 02:00: its last report of 02:57 is fetched at 02:59, the hour closes at 03:15,
    # the reports run at 03:37 and, after a batch that was slow, next at 04:37 or 05:07.
    minute = datetime.fromisoformat(f"2024-06-01T{now}+00:00")
    fetched = minute - timedelta(minutes=20)
    hour = Warehouse(
        as_of=datetime(2024, 6, 1, 2, 57, tzinfo=UTC),
        reaches={name: fetched for name, each in DEFINITIONS.items() if each.live},
    )
    text = Html(pages(hour, minute).page("velib")).text
    assert ("Old data" in text) is bool(said)
    assert said in text


def test_what_no_data_set_dates_is_never_old_by_a_clock_that_moves() -> None:
    ticks = (NOW + timedelta(seconds=second) for second in itertools.count())
    source = ReportFetcher(DEFINITIONS, Warehouse(as_of=NOW).table, lambda: next(ticks))
    text = Html(Pages(DASHBOARDS, source, CONTRACTS).page("health")).text
    assert "Old data" not in text
    assert "Stale since" not in text


def test_a_live_report_is_stale_by_the_objective_alone() -> None:
    assert not _fresh(DEFINITIONS["velib_now"], timedelta(minutes=61))
    assert _fresh(DEFINITIONS["velib_now"], timedelta(minutes=59))
    assert _fresh(DEFINITIONS["velib_coverage"], timedelta(minutes=61))


def _fresh(report: ReportDefinition, age: timedelta) -> bool:
    """Whether a report of such an age is fresh."""
    return fresh_until(CONTRACTS["velib_stations"], NOW - age, report.live) > NOW


@pytest.mark.parametrize(("error", "said"), [
    (unpublished("velib_coverage"), "velib_coverage has not been published yet"),
    (ServiceUnavailable("secret detail"), "velib_coverage could not be read since 2024-06-01 04:47 UTC"),
    (TimeoutError("secret detail"), "velib_coverage could not be read since 2024-06-01 04:47 UTC"),
])  # fmt: skip
def test_a_report_that_fails_does_not_take_the_page_with_it(error: Exception, said: str) -> None:
    html = page("velib", Warehouse(gone={"velib_coverage": error}))
    assert said in html.text
    assert "Parts of this page are missing" in html.text
    assert "secret detail" not in html.text
    assert set(html.blocks) == {
        f"chart-{chart.name}"
        for chart in DASHBOARDS["velib"].page.charts
        if chart.name != "coverage" and not chart.needs
    }


def test_a_failing_report_tells_since_when_it_fails() -> None:
    warehouse = Warehouse(gone={"velib_coverage": TimeoutError()})
    clock = [NOW]
    made = pages(warehouse)
    made._source.now = lambda: clock[0]
    made.page("velib")
    clock[0] = NOW + timedelta(hours=1)
    assert "since 2024-06-01 04:47 UTC" in Html(made.page("velib")).text
    warehouse.gone = {}
    made.page("velib")
    warehouse.gone = {"velib_coverage": TimeoutError()}
    assert "since 2024-06-01 05:47 UTC" in Html(made.page("velib")).text


def test_a_choice_narrows_what_follows_it_and_its_downloads() -> None:
    warehouse = Warehouse()
    html = page("velib", warehouse, ("neighbourhood", "neighbourhood 3"))
    rows = html.blocks["chart-map"]["data"]["values"]
    assert rows
    assert {row["neighbourhood"] for row in rows} == {"neighbourhood 3"}
    links = [
        str(a["href"]) for a in html.of("a") if "velib_stations_now/rows" in str(a.get("href"))
    ]
    assert links
    assert all("neighbourhood=neighbourhood+3" in link for link in links)
    assert [a["value"] for a in html.of("option") if "selected" in a] == ["neighbourhood 3"]


def test_what_does_not_follow_a_choice_says_so() -> None:
    assert "Does not follow" not in page("velib").text
    parts = DASHBOARDS["velib"].page
    one = page("velib", None, ("neighbourhood", "neighbourhood 3")).text
    others = [
        part
        for part in (*parts.figures, *parts.charts, *parts.tables)
        if "neighbourhood" not in part.filters and not getattr(part, "needs", "")
    ]
    assert one.count("Does not follow the choice of neighbourhood.") == len(others)
    both = page(
        "velib", None, ("neighbourhood", "neighbourhood 3"), ("day.from", "2024-05-01")
    ).text
    told = "Does not follow the choice of neighbourhood, period of the daily figures."
    assert told in both
    years = page("paris_wifi", None, ("year", "2023")).text
    assert years.count("Does not follow the choice of year.") == 2, "by day, and by month"


def test_a_figure_is_that_of_the_chosen_year_beside_the_year_before() -> None:
    each_year_once = Warehouse(rows_each=6)
    told = r"(up from|down from|as before:) [\d\u202f]+.sessions in"
    assert re.search(rf"2024, {told} 2023", page("paris_wifi", each_year_once).text)
    html = page("paris_wifi", each_year_once, ("year", "2022"))
    assert re.search(rf"2022, {told} 2021", html.text)


def test_a_sample_that_rows_share_counts_once() -> None:
    report = DEFINITIONS["velib_kind_days"]
    columns = tuple(report.column(name) for name in ("day", "kind", "sample_size"))
    [kinds] = (each for each in DASHBOARDS["velib"].page.charts if each.name == "kinds")
    rows = (("1", "electric", 70), ("1", "mechanical", 70), ("2", "electric", 5))
    table = ResultTable(report.name, report.declared, columns, rows, AS_OF, Origin.SYNTHETIC)
    assert sample(kinds, table) == 75
    assert sample(msgspec.structs.replace(kinds, sample_shared_by=""), table) == 145


@pytest.mark.parametrize(("name", "rows", "said"), [
    ("paris_wifi", 6, "2023: Only a part of the year is covered."),
    ("velib", 40, "2024-05-28: Only a part of the day is loaded."),
    ("velib", 39, "% in 2024-05-27 Only a part of the day is loaded."),
])  # fmt: skip
def test_a_caveat_is_said_of_both_rows_that_are_compared(name: str, rows: int, said: str) -> None:
    text = page(name, Warehouse(rows_each=rows)).text
    assert said in text
    assert text.count("Only a part of the ") == len(DASHBOARDS[name].page.figures)


@pytest.mark.parametrize(("parameter", "text", "said"), [
    ("colour", "red", "'colour' is no filter of this page: it takes year, district, day.from, day.to"),
    ("year", "1 OR 1=1", "must be a whole number"),
    ("day.from", "' OR ''='", "must be a day"),
])  # fmt: skip
def test_what_cannot_be_chosen_is_refused_by_name(parameter: str, text: str, said: str) -> None:
    with pytest.raises(BadRequestError, match=re.escape(said)):
        page("paris_wifi", None, (parameter, text))


@pytest.mark.parametrize("chosen", [
    ("year", "2023", "2024"), ("district", "1", "2"), ("day.from", "2024-01-01", "2024-02-01"),
])  # fmt: skip
def test_two_values_of_a_filter_are_refused(chosen: tuple[str, str, str]) -> None:
    name, *values = chosen
    with pytest.raises(BadRequestError, match=f"'{name}' is there twice"):
        page("paris_wifi", None, *((name, value) for value in values))
    page("paris_wifi", None, (name, ""), (name, values[0]), ("day.to", "2024-03-01"))


@pytest.mark.parametrize("missing", [
    Warehouse(without_choices=ServiceUnavailable("no")), Warehouse(rows_each=0),
])  # fmt: skip
def test_without_choices_years_are_not_drawn_as_one(missing: Warehouse) -> None:
    html = page("paris_wifi", missing)
    follow = [c.name for c in DASHBOARDS["paris_wifi"].page.charts if "year" in c.filters]
    assert "map" in follow
    assert not {f"chart-{name}" for name in follow} & set(html.blocks)
    assert html.text.count("Nothing is chosen: there was no year to choose from.") > len(follow)
    assert not [a for a in missing.queries if a.report.name == "wifi_top_sites"]
    told = page("paris_wifi", missing, ("year", "2023")).text
    assert "there was no year" not in told


def test_choices_that_cannot_be_read_are_told() -> None:
    html = page("paris_wifi", Warehouse(without_choices=ServiceUnavailable("no")))
    told = "Could not be read since 2024-06-01 04:47 UTC by this server's own account"
    assert f"Parts of this page are missing. {told}" in html.text
    assert "chart-annual_sessions" in html.blocks


def test_a_choice_of_no_row_is_no_error() -> None:
    assert "No rows for this choice." in page("velib", None, ("neighbourhood", "'; DROP")).text


def test_rows_without_a_place_stand_in_the_table_of_a_map_alone() -> None:
    some, none = Warehouse(placed=0.5), Warehouse(placed=0.0)
    drawn = page("velib", some).blocks["chart-map"]["data"]["values"]
    assert 0 < len(drawn) < some.rows_each
    assert all(row["lat"] is not None for row in drawn)
    html = page("velib", none)
    assert "chart-map" not in html.blocks
    assert "None of these rows has a place." in html.text
    assert len(html.of("table")) == len(page("velib").of("table"))


def test_rows_of_which_none_is_ranked_are_told_not_drawn() -> None:
    told = "No station here has 24 open hours"
    assert told not in page("velib").text
    html = page("velib", Warehouse(nulls=("rank",)))
    assert told in html.text
    assert "chart-failures" not in html.blocks
    assert len(html.of("table")) == len(page("velib").of("table"))


def test_a_chart_of_one_station_waits_until_one_is_chosen() -> None:
    warehouse = Warehouse()
    text = page("velib", warehouse).text
    assert "Nothing is chosen: choose a station above." in text
    assert "Choose a period that ends yesterday" in text
    assert "velib_station_week" not in {asked.report.name for asked in warehouse.queries}
    assert "chart-station_week" in whole("velib").blocks


def test_each_question_is_asked_once() -> None:
    warehouse = Warehouse()
    page("paris_wifi", warehouse)
    asked = [(a.report.name, a.columns, a.where, a.order, a.limit) for a in warehouse.queries]
    assert len(asked) == len(set(asked))


def test_a_page_in_http() -> None:
    told = get("/velib", "neighbourhood=neighbourhood+3", **{"Accept-Encoding": "gzip"})
    policy = told.headers["Content-Security-Policy"]
    assert told.status_code == 200
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert b"neighbourhood 3" in gzip.decompress(told.data)
    again = get(
        "/velib", "neighbourhood=neighbourhood+3", **{"If-None-Match": told.headers["ETag"]}
    )
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize(("path", "query", "status"), [
    ("/", "", 200), ("/velib", "colour=red", 400), ("/nothing", "", 404),
    ("/assets/nothing.js", "", 404), ("/assets/../pages.py", "", 404), ("/assets/vega.js", "", 404),
    ("/<script>", "", 404),
])  # fmt: skip
def test_every_address_has_its_answer(path: str, query: str, status: int) -> None:
    told = get(path, query)
    assert told.status_code == status
    assert b"<script>" not in told.data


def test_files_are_kept_a_year_under_the_name_of_their_content() -> None:
    for plain, each in static_files().items():
        told = get(f"/assets/{each.name}", **{"Accept-Encoding": "gzip"})
        assert told.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert gzip.decompress(told.data) == each.body, plain


@pytest.mark.parametrize("name", DASHBOARDS)
def test_nothing_is_asked_of_another_origin_and_nothing_is_inline(name: str) -> None:
    html = page(name)
    loaded = [a.get("src") or "" for tag in ("script", "img") for a in html.of(tag)]
    loaded += [a.get("href") or "" for a in html.of("link")]
    assert [address for address in loaded if address and not address.startswith("/assets/")] == []
    assert [a for _, a in html.tags if "style" in a or any(k.startswith("on") for k in a)] == []
    assert not html.of("style")
    assert [
        a for a in html.of("script") if not a.get("src") and a.get("type") != "application/json"
    ] == []


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_page_is_light(name: str) -> None:
    body = pages(Warehouse(rows_each=1_500)).page(name).encode()
    others = sum(len(each.packed) for key, each in static_files().items() if key != "vega.js")
    assert len(gzip.compress(body, 6)) + others < PAGE_BYTES


@pytest.mark.parametrize(("name", "chart"), CHARTS)
def test_every_chart_draws_marks(name: str, chart: str) -> None:
    drawing = whole(name).blocks[f"chart-{chart}"]
    svg = vl_convert.vegalite_to_svg(drawing | {"width": 600}, allowed_base_urls=[])
    marks = re.findall(r'class="mark-(?:rect|symbol|line|text|rule)[^"]*role-mark', svg)
    assert marks, svg[:300]
    bare = drawing | {"width": 600, "data": {"values": []}}
    assert svg.count("<path") > vl_convert.vegalite_to_svg(bare).count("<path")


def test_the_bundle_is_that_of_the_locked_package() -> None:
    told = "functions/serve/pages/static/vega.js is another: renew it by `.venv/bin/nox -s renew`"
    assert vega.BUNDLE.read_text(encoding="utf-8") == vega.bundle(), told
    assert "BSD 3-Clause" in vega.BUNDLE.with_suffix(".LICENCE.txt").read_text(encoding="utf-8")


def test_the_script_brightens_the_colours_of_the_drawings() -> None:
    script = static_files()["charts.js"].body.decode()
    light, bright = (
        re.search(rf"const {name} = (\[.*\]);", script) for name in ("light", "bright")
    )
    assert light
    assert bright
    assert json.loads(light[1]) == list(PALETTE)
    assert len(json.loads(bright[1])) == len(PALETTE)


@pytest.mark.parametrize(("name", "chart", "offset"), [
    ("paris_wifi", "daily_sessions", 36), ("paris_wifi", "languages_over_years", 36),
    ("paris_wifi", "annual_length", 36), ("paris_wifi", "week_hours", 14), ("paris_wifi", "map", 14),
    ("velib", "failures", 14),
])  # fmt: skip
def test_a_legend_leaves_room_for_a_title_and_no_more(name: str, chart: str, offset: int) -> None:
    assert whole(name).blocks[f"chart-{chart}"]["config"]["legend"]["offset"] == offset


def test_a_tip_tells_small_numbers_apart_and_no_place() -> None:
    html = page("velib")
    tips = {tip["field"]: tip for tip in html.blocks["chart-map"]["encoding"]["tooltip"]}
    assert not {"lon", "lat"} & set(tips)
    assert tips["fill_percent"]["format"] == ",.1~f"
    assert charts._is_small([0.012, None, -9.9])
    assert not charts._is_small([0.012, 10.0])


def test_a_map_of_one_place_is_low() -> None:
    lone = Warehouse(rows_each=1)
    assert page("velib", lone).blocks["chart-map"]["height"] == 60
    assert page("velib").blocks["chart-map"]["height"] == 520


@pytest.mark.parametrize(("text", "unit", "kind"), [
    ("2024-09-09T03", "", "d"), ("in use", "", ""), ("Quai de l'Horloge - Pont Neuf", "", "s"),
    ("the publisher answered with a page, an error or nothing instead of data", "", "t"),
])  # fmt: skip
def test_a_field_has_the_room_that_its_text_needs(text: str, unit: str, kind: str) -> None:
    column = ReportColumn(name="a", type="STRING", description="", unit=unit)
    assert rows._cell(text, column).kind == kind


@pytest.mark.parametrize(("label", "unit", "told"), [
    ("Sessions", "sessions", "Sessions"), ("Free docks", "docks", "Free docks"), ("In", "rows", "In [rows]"),
    ("Mean length", "min", "Mean length [min]"), ("Hour", "h", "Hour [h]"), ("State", "", "State"),
])  # fmt: skip
def test_a_heading_names_its_unit_once(label: str, unit: str, told: str) -> None:
    column = ReportColumn(name="a", type="INT64", description="", unit=unit)
    assert rows._heading(label, column) == told


def test_a_notice_names_few_reports_and_counts_many() -> None:
    assert notices._which({"b", "a"}, 5) == "(a; b)"
    assert notices._which({"a", "b", "c", "d"}, 5) == "(4 of the 5 reports here)"
    assert notices._which({"a", "b"}, 2) == "(the whole page)"


@pytest.mark.parametrize("name", DASHBOARDS)
@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_a_dashboard_file_says_is_text(name: str, text: str) -> None:
    made = pages(Warehouse(), **{name: saying(DASHBOARDS[name], text)})
    for told, harmless in ((made.index(), usual("")), (made.page(name), usual(name))):
        hostile = Html(told)
        for tag in ("script", "img", "iframe", "svg", "style"):
            assert len(hostile.of(tag)) == len(harmless.of(tag)), tag
        assert not [a for _, a in hostile.tags if any(key.startswith("on") for key in a)]
        assert " ".join(text.split()) in hostile.text
        assert hostile.blocks.keys() == harmless.blocks.keys()


@pytest.mark.parametrize("text", HOSTILE)
def test_words_of_a_dashboard_file_are_text_in_a_drawing(text: str) -> None:
    made = pages(Warehouse(), paris_wifi=saying(DASHBOARDS["paris_wifi"], text))
    drawing = Html(made.page("paris_wifi")).blocks["chart-districts"]
    svg = vl_convert.vegalite_to_svg(drawing | {"width": 600}, allowed_base_urls=[])
    tags = {each.tag.rpartition("}")[2] for each in ElementTree.fromstring(svg).iter()}
    assert not tags & {"script", "img", "image", "iframe", "foreignObject", "a"}


SQL = (
    "' OR '1'='1",
    "x'); DROP TABLE reports.wifi_days; --",
    "`",
    "\\",
    "UNION SELECT",
    "@now",
    "/*",
)
FILTERS = [
    (name, parameter)
    for name, dashboard in DASHBOARDS.items()
    for each in dashboard.page.filters
    for parameter in (
        [f"{each.column}.from", f"{each.column}.to"] if each.kind == "dates" else [each.column]
    )
]


@pytest.mark.parametrize(("name", "parameter"), FILTERS)
@pytest.mark.parametrize("text", SQL)
def test_sql_in_a_filter_is_refused_or_a_value(name: str, parameter: str, text: str) -> None:
    with suppress(BadRequestError):
        assert asked_sql(name, parameter, text) == usual_sql(name, parameter)
        return
    assert parameter in ("year", "day.from", "day.to")


def test_the_function_answers_with_pages() -> None:
    index, velib = answered("/"), answered("/velib")
    assert (index.status_code, velib.status_code) == (200, 200)
    assert b'href="/velib"' in index.data
    script = re.search(rb'src="(/assets/charts[^"]+)"', velib.data)
    assert script
    assert answered(script[1].decode()).data == static_files()["charts.js"].body
    assert "script-src 'self'" in velib.headers["Content-Security-Policy"]
    assert answered("/nothing").status_code == 404


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"}, {"Host": "evil.example:1/x"}, {"X-Forwarded-Host": "evil.example"},
    {"Forwarded": "host=evil.example"}, {"X-Original-URL": "/evil.example"}, {"Range": "bytes=0-1"},
    {"Range": "bytes=9-1,-5", "If-Range": "x"},
])  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/velib", "/nothing", *(
    f"/assets/{each.name}" for key, each in static_files().items() if key != "vega.js"
)])  # fmt: skip
def test_host_and_range_of_the_asker_change_nothing(path: str, headers: dict[str, str]) -> None:
    plain = usually_answered(path)
    told = answered(path, (("Accept", "text/html"), *headers.items()))
    assert (told.status_code, told.data) == (plain.status_code, plain.data)
    assert "evil" not in str(told.headers)


def test_what_is_shown_is_declared() -> None:
    assert {report for each in DASHBOARDS.values() for report in each.page.reports} <= set(
        DEFINITIONS
    )
    assert AS_OF < NOW
