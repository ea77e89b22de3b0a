"""Pages as `dashboards/<page>.toml` declares them, and the drawing of each chart.

A page names reports and their columns and computes nothing: a chart's specification
(`dashboards/<page>/<chart>.vl.json`, Vega-Lite) has marks and encodings, and no transform.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from catalog.reports import ADDED, SAMPLE_SIZE, Declaration, ReportColumn

ROWS_MOST = 5_000
"""Most rows that a chart or a table of a page may ask for."""

FORBIDDEN = frozenset(
    ("data", "datasets", "transform", "aggregate", "bin", "timeUnit", "calculate", "expr",
     "signal", "labelExpr", "test", "filter", "href", "url", "usermeta", "params", "config")
)  # fmt: skip
"""Keys that a specification may not have: they compute, run, fetch, or are set for all charts."""


class PageError(ValueError):
    """A page has a fault: the text names the file, the fault and the fix."""


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a page: an unknown key is an error, never ignored."""


class _Rows(_Strict, frozen=True, kw_only=True):
    """The rows of a report that a part of a page shows."""

    report: str
    where: dict[str, tuple[str, ...]] = {}
    """Column → the values that a row may have."""
    filters: tuple[str, ...] = ()
    """The page's filters that these rows follow."""


class Filter(_Rows, frozen=True, kw_only=True):
    """A choice of the reader; the URL has it as `<column>=<value>`, or `.from` and `.to`."""

    column: str
    label: str
    kind: Literal["choice", "dates"]
    named: str = ""
    """Column with the reader's name for a value, if the value is a code."""
    first: bool = False
    """Whether the first choice applies if the reader makes none; else all of them apply."""


class Figure(_Rows, frozen=True, kw_only=True):
    """One number, with its unit and its previous value."""

    label: str
    column: str
    at: str
    """Column that orders the rows, such as `year`. The figure is that of the last row, or of the last
    row up to the value of the filter with this name; it is compared with the previous row."""
    caveats: dict[str, str] = {}
    """BOOL column → the caveat to show if it is true."""


class Chart(_Rows, frozen=True, kw_only=True):
    """A drawing, and the table of the same rows under it."""

    name: str
    title: str
    note: str
    """How to read it."""
    hint: str = ""
    """What a reader may choose to see more; left out if the page has no form."""
    columns: dict[str, str]
    """Column → what it is called on the page, in the order of the table."""
    rows: int = ROWS_MOST
    needs: str = ""
    """The filter that the chart requires, such as that of a single station."""
    sample_shared_by: str = ""
    """Key column whose values share one sample, such as kinds of bikes in the same reports: the sample
    size is that of one value, not their sum."""
    undrawn: dict[str, str] = {}
    """Column → the text that replaces the drawing if no row has a value in it."""


class Listing(_Rows, frozen=True, kw_only=True):
    """A table without a chart."""

    title: str
    note: str = ""
    hint: str = ""
    columns: dict[str, str]
    rows: int = 50


class Section(_Strict, frozen=True, kw_only=True):
    """A part of a page under its own heading."""

    title: str
    intro: str = ""
    hint: str = ""
    figures: tuple[Figure, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Listing, ...] = ()


class Page(_Strict, frozen=True, kw_only=True):
    """The declaration in `dashboards/<page>.toml`."""

    title: str
    intro: str
    filters: tuple[Filter, ...] = ()
    sections: tuple[Section, ...]

    @property
    def charts(self) -> tuple[Chart, ...]:
        """All charts, in their order."""
        return tuple(chart for section in self.sections for chart in section.charts)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All key figures, in their order."""
        return tuple(figure for section in self.sections for figure in section.figures)

    @property
    def tables(self) -> tuple[Listing, ...]:
        """All tables without a chart, in their order."""
        return tuple(table for section in self.sections for table in section.tables)

    @property
    def reports(self) -> tuple[str, ...]:
        """The reports of the page, each once."""
        parts = (*self.figures, *self.charts, *self.tables, *self.filters)
        return tuple(dict.fromkeys(part.report for part in parts))


@dataclass(frozen=True)
class Dashboard:
    """A page with the drawings of its charts."""

    name: str
    page: Page
    drawings: Mapping[str, Mapping[str, Any]]
    """Chart → its Vega-Lite specification, without data."""


def load_pages(folder: Path, reports: Mapping[str, Declaration]) -> dict[str, Dashboard]:
    """Read the pages of a folder by name and check them against the reports, or raise PageError."""
    return {path.stem: load_page(path, reports) for path in sorted(folder.glob("*.toml"))}


def load_page(path: Path, reports: Mapping[str, Declaration]) -> Dashboard:
    """Read the page of one file and its specifications, or raise PageError."""
    try:
        page = msgspec.toml.decode(path.read_bytes(), type=Page)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise PageError(f"{path.name}: {error}; the keys are those of catalog/pages.py") from error
    faults = [*_page_faults(page), *_report_faults(page, reports)]
    if faults:
        raise PageError(f"{path.name}: " + "; ".join(faults))
    folder = path.with_suffix("")
    _refuse_strays(folder, page)
    drawings = {
        chart.name: _drawing(folder / f"{chart.name}.vl.json", chart) for chart in page.charts
    }
    return Dashboard(path.stem, page, drawings)


def column_of(declared: Declaration, name: str) -> ReportColumn:
    """Return a column of a report, or one that every report has; raise KeyError without it."""
    return {column.name: column for column in (*declared.columns, *ADDED)}[name]


def filterable(declared: Declaration) -> tuple[str, ...]:
    """Return the columns that may filter rows: declared filters, the key, the default date."""
    date = (declared.default_date,) if declared.default_date else ()
    return tuple(dict.fromkeys((*declared.filters, *declared.key, *date)))


def fields(drawing: object) -> Iterator[str]:
    """Yield the columns that a specification names."""
    for key, value in _entries(drawing):
        if key == "field" and isinstance(value, str):
            yield value


_NAME = re.compile(r"[a-z][a-z0-9_]*")


def _page_faults(page: Page) -> Iterator[str]:
    """Yield the faults of a page that do not depend on the reports, each as a sentence."""
    names = [chart.name for chart in page.charts]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"chart {name!r} is there twice: a chart's name is its file's and its anchor"
    for name in names:
        if not _NAME.fullmatch(name):
            yield f"chart {name!r}: a name is lower-case letters, digits and _"
    if not page.sections:
        yield "it has no [[sections]]: say what it shows"
    declared = {each.column for each in page.filters}
    for where, part in _parts(page):
        for column in part.filters:
            if column not in declared:
                yield f"{where}: {column!r} is no filter of the page: {_list(declared)}"
    for chart in page.charts:
        if chart.needs and chart.needs not in chart.filters:
            yield f"chart {chart.name!r} needs {chart.needs!r}, which is none of its filters"
        for column in chart.undrawn:
            if column not in chart.columns:
                yield f"chart {chart.name!r}: undrawn {column!r} is none of its columns: {', '.join(chart.columns)}"
    limited: list[Chart | Listing] = [*page.charts, *page.tables]
    for each in limited:
        if not 1 <= each.rows <= ROWS_MOST:
            yield f"{each.title}: rows must be 1 to {ROWS_MOST}"


def _report_faults(page: Page, reports: Mapping[str, Declaration]) -> Iterator[str]:
    """Yield the faults of a page that depend on the reports, each as a sentence."""
    for where, part in _parts(page):
        declared = reports.get(part.report)
        if declared is None:
            yield f"{where}: {part.report!r} is no report: {_list(reports)}"
            continue
        names = [column.name for column in (*declared.columns, *ADDED)]
        yield from (
            f"{where}: {column!r} is no column of {part.report}: {', '.join(names)}"
            for column in _named(part)
            if column not in names
        )
        allowed = filterable(declared)
        yield from (
            f"{where}: {part.report} cannot be chosen by {column!r}: {', '.join(allowed)}"
            for column in _filtered_by(part)
            if column not in allowed
        )
        yield from _type_faults(where, part, declared)


def _type_faults(where: str, part: _Rows, declared: Declaration) -> Iterator[str]:
    """Yield a fault for each column whose type does not fit its use."""
    types = {column.name: column.type for column in (*declared.columns, *ADDED)}
    if isinstance(part, Figure):
        if types.get(part.at, "DATE") not in ("INT64", "DATE", "TIMESTAMP"):
            yield f"{where}: at {part.at!r} is {types[part.at]}; rows before it need numbers or times"
        for column in part.caveats:
            if types.get(column, "BOOL") != "BOOL":
                yield f"{where}: caveat {column!r} is {types[column]}; it must be BOOL"
    if isinstance(part, Chart) and part.sample_shared_by:
        if part.sample_shared_by not in declared.key:
            yield f"{where}: {part.sample_shared_by!r} is not in the key of {part.report}: {', '.join(declared.key)}"
        if unseen := [name for name in declared.key if name not in part.columns]:
            yield f"{where}: to count a shared sample once it needs the whole key: {', '.join(unseen)}"
    if isinstance(part, Filter) and part.kind == "dates" and types.get(part.column) != "DATE":
        yield f"{where}: a filter of kind dates needs a DATE column; {part.column!r} is none"


def _parts(page: Page) -> Iterator[tuple[str, _Rows]]:
    """Yield every part of a page that shows rows, with its name in error texts."""
    for each in page.filters:
        yield f"filter {each.label!r}", each
    for figure in page.figures:
        yield f"figure {figure.label!r}", figure
    for chart in page.charts:
        yield f"chart {chart.name!r}", chart
    for table in page.tables:
        yield f"table {table.title!r}", table


def _named(part: _Rows) -> tuple[str, ...]:
    match part:
        case Filter():
            return tuple(filter(None, (part.column, part.named)))
        case Figure():
            return (part.column, part.at, *part.caveats)
        case Chart() | Listing():
            return tuple(part.columns)
    return ()


def _filtered_by(part: _Rows) -> tuple[str, ...]:
    own = {Filter: "column", Figure: "at"}.get(type(part))
    return tuple(
        dict.fromkeys((*part.where, *part.filters, *([getattr(part, own)] if own else ())))
    )


def _refuse_strays(folder: Path, page: Page) -> None:
    """Raise PageError for a specification that no chart names."""
    there = {path.name.removesuffix(".vl.json") for path in folder.glob("*.vl.json")}
    strays = sorted(there - {chart.name for chart in page.charts})
    if strays:
        raise PageError(
            f"{folder.name}/{strays[0]}.vl.json: no chart of {folder.name}.toml has this name"
        )


def _drawing(path: Path, chart: Chart) -> dict[str, Any]:
    """Read a chart's specification, or raise PageError."""
    where = f"{path.parent.name}/{path.name}"
    try:
        drawing = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PageError(f"{where} is missing: write the chart's Vega-Lite specification") from error
    except ValueError as error:
        raise PageError(f"{where}: not JSON: {error}") from error
    for fault in _drawing_faults(drawing, chart):
        raise PageError(f"{where}: {fault}")
    return dict(drawing)


def _drawing_faults(drawing: object, chart: Chart) -> Iterator[str]:
    """Yield the faults of a specification, each as a sentence."""
    entries = [key for key, _ in _entries(drawing)]
    if not isinstance(drawing, dict) or "mark" not in entries or "encoding" not in entries:
        yield "a specification is an object with a mark and an encoding, or layers of them"
    for key in sorted(FORBIDDEN & set(entries)):
        yield f"{key!r} is not allowed: a chart only draws columns, the report's SQL computes"
    for name in fields(drawing):
        if name not in (*chart.columns, SAMPLE_SIZE):
            yield f"field {name!r} is none of the chart's columns: {', '.join(chart.columns)}"


def _entries(node: object) -> Iterator[tuple[str, object]]:
    """Yield every key of a JSON document with its value, at any depth."""
    match node:
        case dict():
            for key, value in node.items():
                yield key, value
                yield from _entries(value)
        case list():
            for value in node:
                yield from _entries(value)


def _list(names: Mapping[str, object] | set[str]) -> str:
    return ", ".join(sorted(names)) or "there is none"
