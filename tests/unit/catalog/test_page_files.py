"""Pages: every fault of a declaration is named, and those of the repository have none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from catalog.pages import FORBIDDEN, PageError, column_of, fields, load_page, load_pages
from catalog.reports import Declaration, ReportColumn
from functions.serve.report_catalog import load_report_definitions

REPOSITORY = Path(__file__).resolve().parents[3]
DECLARED = {
    name: each.declared for name, each in load_report_definitions(REPOSITORY / "bq_sql").items()
}
PAGES = load_pages(REPOSITORY / "dashboards", DECLARED)


def column(name: str, kind: str) -> ReportColumn:
    return ReportColumn(name=name, type=kind, description=name)


REPORTS = {
    "tides": Declaration(
        title="Tides",
        description="d",
        grain="one row per day and gauge",
        key=("day", "gauge"),
        datasets=("gauges",),
        default_date="day",
        columns=(
            column("day", "DATE"), column("gauge", "STRING"), column("metres", "FLOAT64"),
            column("is_partial", "BOOL"), column("sample_size", "INT64"),
        ),
    )
}  # fmt: skip
GOOD = """
title = "Tides"
intro = "How high."
[[filters]]
column = "gauge"
label = "Gauge"
kind = "choice"
report = "tides"
[[sections]]
title = "All"
[[sections.figures]]
label = "Height"
report = "tides"
column = "metres"
at = "day"
caveats = { is_partial = "part of the day" }
[[sections.charts]]
name = "heights"
title = "Heights"
note = "Up is high."
report = "tides"
filters = ["gauge"]
columns = { day = "Day", metres = "Height" }
"""
DRAWING = {"mark": "line", "encoding": {"x": {"field": "day"}, "y": {"field": "metres"}}}


def written(folder: Path, page: str = GOOD, drawing: object = DRAWING) -> Path:
    (folder / "tides").mkdir()
    (folder / "tides" / "heights.vl.json").write_text(json.dumps(drawing), encoding="utf-8")
    (folder / "tides.toml").write_text(page, encoding="utf-8")
    return folder / "tides.toml"


def test_a_page_is_read_with_its_drawings(tmp_path: Path) -> None:
    made = load_page(written(tmp_path), REPORTS)
    assert (made.name, made.page.reports, made.drawings) == (
        "tides", ("tides",), {"heights": DRAWING}
    )  # fmt: skip


FAULTS = [
    ('title = "Tides"', 'titel = "Tides"', "unknown field `titel`"),
    ('intro = "How high."', "", "missing required field `intro`"),
    ('label = "Gauge"\nkind = "choice"', 'label = "Gauge"\nkind = "slider"', "Invalid enum value"),
    ('report = "tides"\ncolumn = "metres"', 'report = "ebbs"\ncolumn = "metres"', "is no report: tides"),
    ('column = "metres"', 'column = "feet"', "'feet' is no column of tides: day, gauge, metres"),
    ('metres = "Height" }', 'feet = "Height" }', "'feet' is no column"),
    ('filters = ["gauge"]', 'filters = ["port"]', "'port' is no filter of the page: gauge"),
    ('filters = ["gauge"]', 'where = { metres = ["1"] }', "cannot be chosen by 'metres': day, gauge"),
    ('name = "heights"', 'name = "../heights"', "lower-case letters"),
    ("{ is_partial =", "{ gauge =", "caveat 'gauge' is STRING; it must be BOOL"),
    ('at = "day"', 'at = "gauge"', "at 'gauge' is STRING"),
    ('kind = "choice"', 'kind = "dates"', "needs a DATE column; 'gauge' is none"),
    ('note = "Up is high."', 'note = "Up is high."\nrows = 9999', "rows must be 1 to 5000"),
    ('filters = ["gauge"]', 'needs = "gauge"', "needs 'gauge', which is none of its filters"),
    ("columns = {", 'sample_shared_by = "metres"\ncolumns = {', "is not in the key of tides: day, gauge"),
    ("columns = {", 'undrawn = { gauge = "none" }\ncolumns = {', "undrawn 'gauge' is none of its columns: day, metres"),
    ("columns = {", 'sample_shared_by = "gauge"\ncolumns = {', "needs the whole key: gauge"),
    ('name = "heights"', 'name = "depths"', "no chart of tides.toml has this name"),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "said"), FAULTS)
def test_a_fault_of_a_page_names_file_and_way_out(
    good: str, bad: str, said: str, tmp_path: Path
) -> None:
    assert good in GOOD
    path = written(tmp_path, GOOD.replace(good, bad, 1))
    with pytest.raises(PageError) as told:
        load_page(path, REPORTS)
    assert said in str(told.value)
    assert str(told.value).startswith("tides")


DRAWING_FAULTS = [
    ({"mark": "bar"}, "with a mark and an encoding"),
    ([], "with a mark and an encoding"),
    ({**DRAWING, "data": {"url": "https://elsewhere.example/x.json"}}, "'data' is not allowed"),
    ({**DRAWING, "transform": [{"calculate": "1", "as": "b"}]}, "not allowed"),
    ({"mark": "bar", "encoding": {"y": {"aggregate": "sum", "field": "metres"}}}, "'aggregate'"),
    ({"mark": "bar", "encoding": {"y": {"field": "gauge"}}}, "'gauge' is none of the chart's columns"),
    ({"mark": {"type": "bar", "href": {"expr": "x"}}, "encoding": {}}, "is not allowed"),
]  # fmt: skip


@pytest.mark.parametrize(("drawing", "said"), DRAWING_FAULTS)
def test_a_fault_of_a_drawing_names_file_and_way_out(
    drawing: object, said: str, tmp_path: Path
) -> None:
    with pytest.raises(PageError) as told:
        load_page(written(tmp_path, drawing=drawing), REPORTS)
    assert said in str(told.value)
    assert "tides/heights.vl.json" in str(told.value)


@pytest.mark.parametrize(("body", "said"), [(None, "is missing: write"), ("{", "not JSON")])
def test_a_drawing_that_cannot_be_read_is_named(
    body: str | None, said: str, tmp_path: Path
) -> None:
    path = written(tmp_path)
    drawing = tmp_path / "tides" / "heights.vl.json"
    drawing.unlink() if body is None else drawing.write_text(body, encoding="utf-8")
    with pytest.raises(PageError, match=said):
        load_page(path, REPORTS)


def test_the_repositorys_pages_are_read() -> None:
    assert {"paris_wifi", "velib"} <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_every_drawing_shows_columns_and_computes_nothing(name: str) -> None:
    for chart, drawing in PAGES[name].drawings.items():
        assert set(fields(drawing)), chart
        assert not FORBIDDEN & set(drawing)


@pytest.mark.parametrize("name", PAGES)
def test_every_chart_says_how_to_read_it(name: str) -> None:
    assert [chart.name for chart in PAGES[name].page.charts if len(chart.note) < 40] == []


TILES = {
    "wifi_session_length": {"year", "sessions", "minutes_per_session"},
    "wifi_district_use": {
        "open_sites_per_day", "sessions_per_open_site_day", "minutes_per_open_site_day",
    },
    "wifi_languages": {"language", "share_percent"},
    "wifi_day_types": {"day_type", "minutes_per_session", "sessions_per_day", "minutes_per_day"},
}  # fmt: skip
"""Report → what the original's tile of it drew, by the names that the numbers have here."""


@pytest.mark.parametrize("report", TILES)
def test_the_originals_tiles_are_drawn(report: str) -> None:
    made = PAGES["paris_wifi"]
    charts = [chart.name for chart in made.page.charts if chart.report == report]
    drawn = {column for chart in charts for column in fields(made.drawings[chart])}
    assert drawn >= TILES[report]


def scales(node: Any) -> Iterator[tuple[str, list[Any]]]:
    """Column and domain of every scale that names its values."""
    if isinstance(node, dict):
        domain = (node.get("scale") or {}).get("domain") if "field" in node else None
        if domain and isinstance(domain[0], str):
            yield node["field"], domain
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from scales(each)


DOMAINS = [
    (report, column, domain)
    for made in PAGES.values()
    for chart in made.page.charts
    for report, (column, domain) in product([chart.report], scales(made.drawings[chart.name]))
]


@pytest.mark.parametrize(("report", "column", "domain"), DOMAINS)
def test_a_scale_that_names_its_values_has_those_of_the_report(
    report: str, column: str, domain: list[str]
) -> None:
    told = column_of(DECLARED[report], column).description
    assert sorted(re.split(", | or ", told)) == sorted(domain)
    [path] = (REPOSITORY / "bq_sql").glob(f"*/*/{report}.sql")
    made = re.search(rf"CASE((?:(?!CASE).)*?)END AS {column}\b", path.read_text("utf-8"), re.DOTALL)
    words = re.findall(r"(?:THEN|ELSE) '([^']+)'", made[1]) if made else domain
    assert set(words) <= set(domain)


def test_the_pages_have_scales_that_name_their_values() -> None:
    assert {("health_slots", "state"), ("health_batches", "state")} <= {d[:2] for d in DOMAINS}


@pytest.mark.parametrize("name", PAGES)
def test_a_table_that_is_cut_off_has_the_newest_days(name: str) -> None:
    dated = {table.report: DECLARED[table.report] for table in PAGES[name].page.tables}
    begins = {
        report: (each.order[0], f"{each.default_date} DESC")
        for report, each in dated.items()
        if each.default_date and each.default_date in each.key
    }
    assert {report: pair for report, pair in begins.items() if pair[0] != pair[1]} == {}


def test_stations_that_do_not_report_do_not_look_current() -> None:
    page = PAGES["velib"]
    assert "velib_now" in page.page.reports
    scale = page.drawings["map"]["encoding"]["opacity"]["scale"]
    looks = dict(zip(scale["domain"], scale["range"], strict=True))
    silent = {looks.pop(state) for state in ("closed", "stale", "not shown", "no counts")}
    assert max(silent) < min(looks.values()) / 2


def test_the_map_of_sites_says_what_a_circle_is() -> None:
    [sites] = (chart for chart in PAGES["paris_wifi"].page.charts if chart.name == "map")
    assert DECLARED[sites.report].key == ("year", "site")
    assert "One circle a site, at its place" in sites.note
