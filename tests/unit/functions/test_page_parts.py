"""Parts of pages as functions: the reader's choices, and the direction of a key figure."""

from __future__ import annotations

import pytest

from catalog.pages import Chart
from functions.serve.pages import figures
from functions.serve.pages.data import FilterSelection
from functions.serve.pages.page_builder import PageBuilder
from functions.serve.pages.selection import Selection, select
from functions.serve.pages.view_models import Choice, FilterView
from functions.serve.warehouse.result import Value
from tests.support.page_rows import CONTRACTS, DASHBOARDS, DEFINITIONS, NOW, Warehouse, pages

YEARS = FilterView(
    "year", "Year", "choice", (Choice("2024", "2024", True), Choice("2023", "2023", False))
)
DAYS = FilterView("day", "Days", "dates", begin="2024-05-01")


@pytest.mark.parametrize(("explicit", "effective"), [
    ({}, {"year": (("year", "2024"),)}),
    ({"year": (("year", "2019"),)}, {"year": (("year", "2019"),)}),
    ({"day": (("day.from", "2024-05-01"),)},
     {"day": (("day.from", "2024-05-01"),), "year": (("year", "2024"),)}),
])  # fmt: skip
def test_defaults_complete_the_readers_choices(
    explicit: dict[str, tuple[tuple[str, str], ...]],
    effective: dict[str, tuple[tuple[str, str], ...]],
) -> None:
    selection = select(FilterSelection(explicit), (YEARS, DAYS))
    assert selection == Selection(FilterSelection(explicit), FilterSelection(effective))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_default_is_no_choice_that_a_part_ignores(name: str) -> None:
    view = pages(Warehouse()).view(name)
    parts = [part for each in view.sections for part in (*each.figures, *each.charts, *each.tables)]
    assert parts
    assert [part for part in parts if part.ignored_filters_note] == []


@pytest.mark.parametrize(("value", "before", "direction"), [
    (3, 2, "up from "), (2.5, 3, "down from "), (3, 3, "as before: "), ("b", "a", ""), (None, 1, ""),
])  # fmt: skip
def test_a_figure_says_in_which_direction_it_moved(
    value: Value, before: Value, direction: str
) -> None:
    assert figures._direction(value, before) == direction


@pytest.mark.parametrize(("name", "chart"), [
    (name, chart) for name, each in DASHBOARDS.items() for chart in each.page.charts if chart.needs
])  # fmt: skip
def test_a_chart_without_its_choice_needs_no_answer(name: str, chart: Chart) -> None:
    nothing = Selection(FilterSelection(), FilterSelection())
    builder = PageBuilder(DASHBOARDS[name], DEFINITIONS, CONTRACTS, nothing, {}, NOW)
    view = builder._chart(chart)
    assert "Nothing is chosen" in view.empty_reason
    assert (view.rows, view.headings, view.drawing) == ((), (), None)
