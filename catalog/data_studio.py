"""`python -m catalog.data_studio`: renew docs/data-studio.md, our pages field by field for Data Studio.

No API makes a Data Studio report, so a person builds it from this page: which table a source is,
what each chart is called there, and for each field its type and how it may be aggregated. A row of a
report is a figure already: what is not additive must never be summed or averaged once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from catalog.pages import Chart, Dashboard, Filter, Listing, Page, column_of, load_pages
from catalog.reports import Declaration, ReportColumn, declaration

_ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = _ROOT / "docs" / "data-studio.md"

_HEAD = """\
# The pages in Data Studio

Each page of `serve`, to be built in Data Studio (the former Looker Studio) on the same report tables.
Written by `.venv/bin/nox -s renew` from `dashboards/` and the declarations; do not edit it.

1. `pulumi -C infra_pulumi stack output reports` has a link for each data source: it opens a new report on that table or
   custom query, with your own credentials. Add the page's others by *Resource → Manage added data sources*.
2. Set each field's type and default aggregation as told below (*Resource → Manage → Edit*). *Sum* is for
   additive columns alone. *Max* stands where one row is one figure: with all of a chart's dimensions in
   place and its single-select controls set there is one row behind each mark, so Max shows it as it is;
   never choose Sum or Average there.
3. Make charts and controls. A control acts on the charts whose source has its field: group it with those
   that are told to follow it. One that is told as *single select* must never stand at *all*: it would add up
   rows of several of its values, or show the greatest of them.
4. Say on the page what the tables say: `data_as_of` and `origin` are columns of every table.

A stack's `templates` setting and `pulumi -C infra_pulumi stack output` `pages` copy a report once it is built
([deploy.md](deploy.md)). Nothing of this was tried in Data Studio where it was written.
"""

_TYPES = {
    "STRING": "Text",
    "INT64": "Number",
    "FLOAT64": "Number",
    "NUMERIC": "Number",
    "BOOL": "Boolean",
    "DATE": "Date",
    "TIMESTAMP": "Date & Time",
    "GEOGRAPHY": "Geospatial",
}
_CHARTS = {
    "bar": "bar chart",
    "line": "line chart, or time series where the dimension is a date",
    "point": "scatter chart",
    "circle": "scatter chart",
    "rect": "pivot table with heat map",
    "area": "area chart",
    "tick": "bar chart",
}
_MAP = (
    'Google Maps bubble map; its location is a calculated field `CONCAT(lat, ",", lon)` of type '
    "Latitude, Longitude"
)


def document(
    pages: Mapping[str, Dashboard], reports: Mapping[str, Declaration], queries: Mapping[str, str]
) -> str:
    """The whole document; `queries` are the reports that are no table, by the path of their SELECT."""
    parts = [_HEAD]
    for name, dashboard in pages.items():
        parts += ["\n".join(_page(name, dashboard, reports, queries)) + "\n"]
    return "\n".join(parts)


def declarations(folder: Path = _ROOT / "bq_sql") -> dict[str, Declaration]:
    """Every declared report by its name."""
    paths = (*folder.glob("*/tables/*.toml"), *folder.glob("*/live/*.toml"))
    return {path.stem: declaration(path) for path in sorted(paths)}


def live_queries(folder: Path = _ROOT / "bq_sql") -> dict[str, str]:
    """The reports that are a SELECT and no table: name → path of the SELECT."""
    paths = sorted(folder.glob("*/live/*.sql"))
    return {path.stem: f"bq_sql/{path.relative_to(folder).as_posix()}" for path in paths}


def aggregation(declared: Declaration, column: ReportColumn) -> str:
    """How Data Studio may add up a column: Sum of what is additive, else the one value there is."""
    if column.type not in ("INT64", "FLOAT64", "NUMERIC") or column.name in declared.key:
        return "None (dimension)"
    if not column.unit or column.unit == "degrees":
        return "None (dimension)"
    additive = "Additive." in column.definition and "Not additive" not in column.definition
    return "Sum" if additive else "Max"


def _page(
    name: str, dashboard: Dashboard, reports: Mapping[str, Declaration], queries: Mapping[str, str]
) -> Iterator[str]:
    """A page: its sources, its controls, its parts."""
    page = dashboard.page
    yield f"## {page.title}\n"
    yield f"`/{name}`. {page.intro}\n"
    yield from _sources(page, reports, queries)
    if page.filters:
        yield "**Controls**\n"
        yield from (_control(each) for each in page.filters)
        yield ""
    for section in page.sections:
        yield f"### {page.title}: {section.title}\n"
        for figure in section.figures:
            declared = reports[figure.report]
            column = column_of(declared, figure.column)
            yield (
                f"- **{figure.label}**: scorecard on `{figure.report}`, metric `{figure.column}`"
                f"{_unit(column)}, {aggregation(declared, column)}, of the newest `{figure.at}`"
                f"{_where(figure.where)}; comparison: the `{figure.at}` before."
            )
        for chart in section.charts:
            yield from _chart(chart, dashboard.drawings[chart.name], reports)
        for table in section.tables:
            yield from _fields(table, "table", reports)
        yield ""


def _sources(
    page: Page, reports: Mapping[str, Declaration], queries: Mapping[str, str]
) -> Iterator[str]:
    """What a page needs as data sources: tables, or custom queries."""
    yield "| data source | title | default date | rows are |"
    yield "|---|---|---|---|"
    for name in page.reports:
        declared = reports[name]
        date = f"`{declared.default_date}`" if declared.default_date else "none"
        told = f"`reports.{name}`"
        if name in queries:
            told = f"custom query: `{queries[name]}` with `CURRENT_TIMESTAMP()` for `@now`"
        yield f"| {told} | {declared.title} | {date} | {declared.grain} |"
    yield ""


def _control(each: Filter) -> str:
    """A filter as Data Studio's control."""
    kind = "date range control" if each.kind == "dates" else "drop-down list"
    if each.first:
        kind += ", single select, default: the newest value,"
    return f"- {each.label}: {kind} on `{each.column}` of `{each.report}`."


def _chart(
    chart: Chart, drawing: Mapping[str, Any], reports: Mapping[str, Declaration]
) -> Iterator[str]:
    """A chart with its fields."""
    marks = [mark for mark in _marks(drawing) if mark in _CHARTS]
    told = _CHARTS[marks[0]] if marks else "table"
    if {"lat", "lon"} <= set(chart.columns):
        told = _MAP
    yield from _fields(chart, told, reports)


def _fields(part: Chart | Listing, kind: str, reports: Mapping[str, Declaration]) -> Iterator[str]:
    """A part's fields as a table."""
    declared = reports[part.report]
    yield f"- **{part.title}**: {kind}, on `{part.report}`{_where(part.where)}{_told(part, declared)}.\n"
    yield "  | field | shown as | type | aggregation |"
    yield "  |---|---|---|---|"
    for name, label in part.columns.items():
        column = column_of(declared, name)
        yield (
            f"  | `{name}` | {label}{_unit(column)} | {_TYPES[column.type]} | "
            f"{aggregation(declared, column)} |"
        )
    yield ""


def _told(part: Chart | Listing, declared: Declaration) -> str:
    """What controls a part follows, how its rows are sorted and how many there are at most."""
    follows = ", ".join(f"`{name}`" for name in part.filters)
    sort = ", ".join(f"`{name}`" for name in declared.order)
    told = f"; follows {follows}" if follows else "; follows no control"
    return told + (f"; sort: {sort}" if sort else "") + f"; at most {part.rows} rows"


def _marks(node: object) -> Iterator[str]:
    """The kinds of mark in a specification, in their order."""
    if isinstance(node, dict):
        mark = node.get("mark")
        if mark:
            yield mark if isinstance(mark, str) else mark["type"]
        for each in node.get("layer", ()):
            yield from _marks(each)


def _unit(column: ReportColumn) -> str:
    """A column's unit in brackets."""
    return f" [{column.unit}]" if column.unit else ""


def _where(where: Mapping[str, tuple[str, ...]]) -> str:
    """A part's fixed conditions as a filter of the chart."""
    told = [f"`{column}` is {' or '.join(texts)}" for column, texts in where.items()]
    return f", filter: include {' and '.join(told)}" if told else ""


if __name__ == "__main__":
    made = declarations()
    pages = load_pages(_ROOT / "dashboards", made)
    DOCUMENT.write_text(document(pages, made, live_queries()), encoding="utf-8")
    print(DOCUMENT)
