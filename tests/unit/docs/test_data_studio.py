"""docs/data-studio.md is the pages that there are, and adds up nothing that is not additive."""

from __future__ import annotations

import re

import pytest
import sqlglot
from sqlglot import exp

from catalog.pages import column_of, load_pages
from docs.generate.data_studio import (
    DOCUMENT,
    _places,
    aggregation,
    declarations,
    document,
    live_queries,
)
from tests.unit.docs.test_docs import REPOSITORY

REPORTS = declarations()
PAGES = load_pages(REPOSITORY / "dashboards", REPORTS)


def test_the_document_is_that_of_the_dashboards() -> None:
    told = "docs/data-studio.md is not that of dashboards/: renew it by `.venv/bin/nox -s renew`"
    assert DOCUMENT.read_text(encoding="utf-8") == document(PAGES, REPORTS, live_queries()), told


@pytest.mark.parametrize(("report", "column", "said"), [
    ("wifi_session_length", "sessions", "Sum"),
    ("wifi_session_length", "minutes_per_session", "Max"),
    ("wifi_usage_by_year", "year", "None (dimension)"),
    ("wifi_usage_by_day", "sites", "Max"),
    ("wifi_district_use", "used_sites", "Max"),
    ("velib_stations_now", "lat", "None (dimension)"),
    ("velib_neighbourhoods", "rank", "None (dimension)"),
    ("velib_network_days", "fill_percent", "Max"),
])  # fmt: skip
def test_only_additive_columns_are_summed(report: str, column: str, said: str) -> None:
    declared = REPORTS[report]
    assert aggregation(declared, column_of(declared, column)) == said


@pytest.mark.parametrize("name", PAGES)
def test_every_part_of_a_page_is_told(name: str) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    page = PAGES[name].page
    for part in (*page.charts, *page.tables):
        assert f"**{part.title}**" in text
    for figure in page.figures:
        assert f"**{figure.label}**" in text
    queries = live_queries()
    told = [
        f"`{queries[name]}`" if name in queries else f"`reports.{name}`" for name in page.reports
    ]
    assert [source for source in told if source not in text] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_field_of_a_drawing_has_its_place(name: str) -> None:
    """A field that a drawing has and its chart's table lacks would be told nowhere."""
    for chart in PAGES[name].page.charts:
        assert set(dict(_places(PAGES[name].drawings[chart.name]))) <= set(chart.columns)


@pytest.mark.parametrize("told", [
    "  | `year` | x | Year | Number | None (dimension) |",
    "  | `day_type` | colour | ",
    "  | `lat` | location | ",
    "  | `minutes_per_open_site_day` | size | ",
    "  SELECT *, DENSE_RANK() OVER (PARTITION BY cut ORDER BY year DESC) AS newest\n  FROM reports.",
    "  SELECT *, DENSE_RANK() OVER (ORDER BY day DESC) AS newest\n  FROM reports.",
    "filter: include `newest` is 1 and `cut` is all; the `year` before: the same with `newest` is 2.",
])  # fmt: skip
def test_how_a_chart_and_a_key_figure_are_built_is_told(told: str) -> None:
    assert told in DOCUMENT.read_text(encoding="utf-8")


def test_each_query_that_is_told_can_be_pasted() -> None:
    told = re.findall(r"```sql\n(.+?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(told) > 2
    for sql in told:
        assert "@" not in sql
        (statement,) = sqlglot.parse(sql, read="bigquery")
        assert isinstance(statement, exp.Select)


@pytest.mark.parametrize("told", [
    "- Year: drop-down list, single select, default: the newest value, on `year` of",
    "- Arrondissement: drop-down list on `district` of",
    "on `wifi_top_sites`; follows `year`; sort: ",
    "; at most 20 rows.",
    "on `wifi_session_length`, filter: include `cut` is all; follows no control; sort: ",
])  # fmt: skip
def test_what_keeps_one_row_behind_a_mark_is_told(told: str) -> None:
    assert told in DOCUMENT.read_text(encoding="utf-8")
