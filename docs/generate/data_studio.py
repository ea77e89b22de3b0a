"""Write docs/data-studio.md: our pages field by field for Data Studio (`nox -s renew`).

No API creates a Data Studio report, so a person builds it from this page: the table of each source,
the name of each chart there, and the type and aggregation of each field. A row of a report is a
figure already: a figure that is not additive must never be summed or averaged again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from catalog.pages import Chart, Dashboard, Figure, Filter, Listing, Page, column_of, load_pages
from catalog.reports import Declaration, ReportColumn, declaration

_ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = _ROOT / "docs" / "data-studio.md"

_HEAD = """\
# The pages in Data Studio

Each page of `serve`, to be built in Data Studio (the former Looker Studio) on the same report tables.
Written by `.venv/bin/nox -s renew` from `dashboards/` and the declarations; do not edit it.

1. `pulumi -C infra_pulumi stack output reports` has a link for each data source: it opens a new report on that table or
   custom query, with your own credentials. Add the page's others by *Resource → Manage added data sources*.
2. Set each field's type and default aggregation as listed below (*Resource → Manage → Edit*). *Sum* is for
   additive columns only. *Max* is for columns with one row per figure: if a chart has
   all its dimensions and its single-select controls are set, each mark has one row, and Max shows it.
   Never choose Sum or Average there.
3. Add charts and controls. A control acts on the charts whose source has its field: group it with the charts
   that follow it below. Never set a *single select* control to *all*: the chart would add up rows of several
   values, or show the largest of them.
4. Each field has its place in our drawing. Of `x` and `y` the text or date is the chart's dimension, the number
   its metric; `colour` is the breakdown dimension, or the colour of bubbles and cells; `size` and `location` are a
   map's; `table` is in the table under our chart alone. Data Studio has no `opacity` and `shape`: leave them out.
5. A key figure is that of the newest year or day. A calculated field sees one row and cannot find the newest, so
   the source is a custom query, listed with the figure. Its field `newest` counts back: 1 is the newest, 2 the
   one before. Data Studio compares date ranges only: for the value before, add a second scorecard with `newest`
   2. Keep both out of the group of a control on the same field, which would leave them empty. A scorecard on the
   table itself, without `newest`, shows the value of a single select.
6. Show `data_as_of` and `origin` on the page: they are columns of every table.

A stack's `templates` setting and `pulumi -C infra_pulumi stack output` `pages` copy a report once it is built
([deploy.md](deploy.md)). This page was written without access to Data Studio: its steps are untried.
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
_CHANNELS = {"color": "colour", "longitude": "location", "latitude": "location"}
"""Vega-Lite's channel → its name here, if it differs."""
_MAP = (
    'Google Maps bubble map; its location is a calculated field `CONCAT(lat, ",", lon)` of type '
    "Latitude, Longitude"
)


def document(
    pages: Mapping[str, Dashboard], reports: Mapping[str, Declaration], queries: Mapping[str, str]
) -> str:
    """Return the whole page; `queries` are the reports without a table: name → path."""
    parts = [_HEAD, *_worked(queries)]
    for name, dashboard in pages.items():
        parts += ["\n".join(_page(name, dashboard, reports, queries)) + "\n"]
    return "\n".join(parts)


def _worked(queries: Mapping[str, str]) -> Iterator[str]:
    """Yield the shortest custom query, as a person pastes it."""
    texts = {path: (_ROOT / path).read_text(encoding="utf-8") for path in queries.values()}
    if not texts:
        return
    path = min(sorted(texts), key=lambda each: len(texts[each]))
    text = texts[path].replace("@now", "CURRENT_TIMESTAMP()").strip()
    yield (
        "## A custom query\n\nReports without a table are queries on the `ops` data set. Choose *Add data*, *BigQuery*, "
        "*Custom query* and the\nstack's project to bill. Paste the text of the file with `CURRENT_TIMESTAMP()` for each "
        f"`@now`, and tick no\nparameter. For `{path}`, paste:\n\n```sql\n{text}\n```\n"
    )


def declarations(folder: Path = _ROOT / "bq_sql") -> dict[str, Declaration]:
    """Read every declared report by its name."""
    paths = (*folder.glob("*/tables/*.toml"), *folder.glob("*/live/*.toml"))
    return {path.stem: declaration(path) for path in sorted(paths)}


def live_queries(folder: Path = _ROOT / "bq_sql") -> dict[str, str]:
    """Return the reports without a table: name → path of the SELECT."""
    paths = sorted(folder.glob("*/live/*.sql"))
    return {path.stem: f"bq_sql/{path.relative_to(folder).as_posix()}" for path in paths}


def aggregation(declared: Declaration, column: ReportColumn) -> str:
    """Return how Data Studio may aggregate a column: Sum if it is additive, else Max."""
    if column.type not in ("INT64", "FLOAT64", "NUMERIC") or column.name in declared.key:
        return "None (dimension)"
    if not column.unit or column.unit == "degrees":
        return "None (dimension)"
    additive = "Additive." in column.definition and "Not additive" not in column.definition
    return "Sum" if additive else "Max"


def _page(
    name: str, dashboard: Dashboard, reports: Mapping[str, Declaration], queries: Mapping[str, str]
) -> Iterator[str]:
    """Yield a page: its sources, its controls, its parts."""
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
                f"{_unit(column)}, {aggregation(declared, column)}, filter: include `newest` is 1"
                f"{_and(figure.where)}; the `{figure.at}` before: the same with `newest` is 2."
            )
        yield from _newest(section.figures, queries)
        for chart in section.charts:
            yield from _chart(chart, dashboard.drawings[chart.name], reports)
        for table in section.tables:
            yield from _fields(table, "table", reports)
        yield ""


def _newest(figures: Iterable[Figure], queries: Mapping[str, str]) -> Iterator[str]:
    """Yield the custom query behind each report's key figures, partitioned by their filters."""
    for report, at, parts in dict.fromkeys((f.report, f.at, tuple(f.where)) for f in figures):
        within = f"PARTITION BY {', '.join(parts)} " if parts else ""
        table = f"(text of {queries[report]})" if report in queries else f"reports.{report}"
        yield f"\n  The key figures' source on `{report}`:\n\n  ```sql"
        yield f"  SELECT *, DENSE_RANK() OVER ({within}ORDER BY {at} DESC) AS newest"
        yield f"  FROM {table}\n  ```\n"


def _sources(
    page: Page, reports: Mapping[str, Declaration], queries: Mapping[str, str]
) -> Iterator[str]:
    """Yield the data sources of a page: tables, or custom queries."""
    yield "| data source | title | default date | rows are |"
    yield "|---|---|---|---|"
    for name in page.reports:
        declared = reports[name]
        date = f"`{declared.default_date}`" if declared.default_date else "none"
        source = f"`reports.{name}`"
        if name in queries:
            source = f"custom query: `{queries[name]}` with `CURRENT_TIMESTAMP()` for `@now`"
        yield f"| {source} | {declared.title} | {date} | {declared.grain} |"
    yield ""


def _control(each: Filter) -> str:
    """Return a filter as a control of Data Studio."""
    kind = "date range control" if each.kind == "dates" else "drop-down list"
    if each.first:
        kind += ", single select, default: the newest value,"
    return f"- {each.label}: {kind} on `{each.column}` of `{each.report}`."


def _chart(
    chart: Chart, drawing: Mapping[str, Any], reports: Mapping[str, Declaration]
) -> Iterator[str]:
    marks = [mark for mark in _marks(drawing) if mark in _CHARTS]
    kind = _CHARTS[marks[0]] if marks else "table"
    if {"lat", "lon"} <= set(chart.columns):
        kind = _MAP
    yield from _fields(chart, kind, reports, dict(_places(drawing)))


def _places(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each field with its place in a specification and its layers."""
    for channel, encoding in node.get("encoding", {}).items():
        for each in encoding if isinstance(encoding, list) else [encoding]:
            if "field" in each:
                yield each["field"], _CHANNELS.get(channel, channel)
    for layer in node.get("layer", ()):
        yield from _places(layer)


def _fields(
    part: Chart | Listing,
    kind: str,
    reports: Mapping[str, Declaration],
    places: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Yield a part's fields as a table; `places` are those in a drawing, None for a table."""
    declared = reports[part.report]
    yield f"- **{part.title}**: {kind}, on `{part.report}`{_where(part.where)}{_controls(part, declared)}.\n"
    yield "  | field | place | shown as | type | aggregation |"
    yield "  |---|---|---|---|---|"
    for name, label in part.columns.items():
        column = column_of(declared, name)
        place = "column" if places is None else places.get(name, "table")
        yield (
            f"  | `{name}` | {place} | {label}{_unit(column)} | {_TYPES[column.type]} | "
            f"{aggregation(declared, column)} |"
        )
    yield ""


def _controls(part: Chart | Listing, declared: Declaration) -> str:
    """Return the controls that a part follows, its sort order and its most rows."""
    follows = ", ".join(f"`{name}`" for name in part.filters)
    sort = ", ".join(f"`{name}`" for name in declared.order)
    text = f"; follows {follows}" if follows else "; follows no control"
    return text + (f"; sort: {sort}" if sort else "") + f"; at most {part.rows} rows"


def _marks(node: object) -> Iterator[str]:
    """Yield the kinds of mark in a specification, in their order."""
    if isinstance(node, dict):
        mark = node.get("mark")
        if mark:
            yield mark if isinstance(mark, str) else mark["type"]
        for each in node.get("layer", ()):
            yield from _marks(each)


def _unit(column: ReportColumn) -> str:
    return f" [{column.unit}]" if column.unit else ""


def _where(where: Mapping[str, tuple[str, ...]]) -> str:
    """Return a part's fixed conditions as a filter of the chart."""
    conditions = _and(where).removeprefix(" and ")
    return f", filter: include {conditions}" if conditions else ""


def _and(where: Mapping[str, tuple[str, ...]]) -> str:
    conditions = (f" and `{column}` is {' or '.join(texts)}" for column, texts in where.items())
    return "".join(conditions)


if __name__ == "__main__":
    reports = declarations()
    pages = load_pages(_ROOT / "dashboards", reports)
    DOCUMENT.write_text(document(pages, reports, live_queries()), encoding="utf-8")
    print(DOCUMENT)
