"""A page as its template shows it: words, links and drawings, made from tables and declarations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from catalog.contract import Contract
from catalog.pages import Chart, Dashboard, Figure, Filter, Listing, Page
from catalog.records import Origin
from catalog.reports import SAMPLE_SIZE, ReportColumn
from functions.serve.pages import charts, formatting
from functions.serve.pages.data import (
    FailedQuestion,
    FilterSelection,
    Question,
    ReportFetcher,
    of_figure,
    of_filter,
    of_rows,
    parse_filter_selection,
)
from functions.serve.report_catalog import ReportDefinition
from functions.serve.warehouse.result import ResultTable, Value

ROWS_SHOWN = 200
"""Most rows of the table under a chart; the download has all."""

PUBLISHED_WITHIN = timedelta(hours=1)
"""Most time from a slot's load to the scheduled query that shows it."""

_SHORT, _LONG, _CODE = 12, 60, 24
"""Characters above which a text needs some room, or much; up to which one without blanks is a code."""

_NAMED_MOST = 3
"""Most reports that a notice names; of more it tells how many."""

Answers = Mapping[Question, ResultTable | FailedQuestion]


@dataclass(frozen=True)
class Notice:
    """Something that must be known before the page is read."""

    kind: str
    """origin, stale or failed."""
    text: str


@dataclass(frozen=True)
class Choice:
    """One value of a filter."""

    value: str
    text: str
    selected: bool


@dataclass(frozen=True)
class FilterView:
    """A filter as a part of a form."""

    column: str
    label: str
    kind: str
    choices: tuple[Choice, ...] = ()
    optional: bool = True
    begin: str = ""
    end: str = ""


@dataclass(frozen=True)
class FigureView:
    """A key figure: its value with unit, which row it is, and what was before."""

    label: str
    text: str
    at: str
    before: str = ""
    caveats: tuple[str, ...] = ()
    anchor: str = ""
    state: str = ""
    origin: str = ""
    ignored_filters_note: str = ""
    """Which of the reader's choices it does not follow."""


@dataclass(frozen=True)
class Cell:
    """A field of a table."""

    text: str
    kind: str
    """The class of its look: `n` for numbers, `d` for days, times and codes, `s` and `t` for texts, else none."""


@dataclass(frozen=True)
class RowsView:
    """A table: headings, rows, what is said under it and where all of it can be had."""

    anchor: str
    title: str
    note: str
    headings: tuple[tuple[str, str, str], ...]
    """Label with unit, anchor of its definition, kind as of its cells."""
    rows: tuple[tuple[Cell, ...], ...]
    as_of_note: str
    """Sample size, data as of, rows."""
    state: str
    """Why there is nothing to see; empty where there is."""
    origin: str
    report: str
    csv: str
    ndjson: str
    drawing: Mapping[str, Any] | None = None
    """None for a table alone, and for a map of rows of which none has a place."""
    ignored_filters_note: str = ""
    """Which of the reader's choices it does not follow; empty where it follows or shows all."""
    hint: str = ""
    """What a reader may choose to see more."""
    empty_chart_note: str = "None of these rows has a place."
    """What is said where there are rows and no drawing."""

    @property
    def row_count_text(self) -> str:
        """How many rows the table has, or that it has the first of them."""
        count = formatting.count_of(len(self.rows), "row")
        return f"the first {count}" if len(self.rows) == ROWS_SHOWN else count


@dataclass(frozen=True)
class SectionView:
    """A part of a page."""

    title: str
    intro: str
    hint: str
    figures: tuple[FigureView, ...]
    charts: tuple[RowsView, ...]
    tables: tuple[RowsView, ...]


@dataclass(frozen=True)
class Definition:
    """What a column means."""

    anchor: str
    column: ReportColumn


@dataclass(frozen=True)
class ReportView:
    """A report that a page shows: where its figures are defined."""

    report: ReportDefinition
    definitions: tuple[Definition, ...]


@dataclass(frozen=True)
class PageView:
    """All of a page."""

    name: str
    page: Page
    filters: tuple[FilterView, ...]
    notices: tuple[Notice, ...]
    sections: tuple[SectionView, ...]
    reports: tuple[ReportView, ...]
    sources: tuple[Contract, ...]
    as_of: str


def page_view(
    dashboard: Dashboard,
    source: ReportFetcher,
    contracts: Mapping[str, Contract],
    parameters: Iterable[tuple[str, str]],
) -> PageView:
    """A page for what its reader chose; raises BadRequest for what cannot be chosen."""
    page = dashboard.page
    choice = parse_filter_selection(page, parameters)
    offered = source.fetch_all(of_filter(each) for each in page.filters if each.kind == "choice")
    filters = tuple(_filter(each, choice, offered) for each in page.filters)
    made, choice = choice, _effective_selection(choice, filters)
    answers = source.fetch_all(_questions(page, choice))
    build = _PageBuilder(dashboard, source, contracts, made, choice, answers)
    tables = [found for found in answers.values() if isinstance(found, ResultTable)]
    asked = (*offered.values(), *answers.values())
    failures = [found for found in asked if isinstance(found, FailedQuestion)]
    return PageView(
        name=dashboard.name,
        page=page,
        filters=filters,
        notices=(
            *_origin_notices(tables),
            *build.stale_notices(tables),
            *_failure_notices(failures, source.reports, len(page.reports)),
        ),
        sections=build.sections(),
        reports=tuple(_report(source.reports[name], page) for name in page.reports),
        sources=_sources(page, source.reports, contracts),
        as_of=build.as_of(tables),
    )


def _questions(page: Page, choice: FilterSelection) -> list[Question]:
    """Everything that a page asks."""
    charts = (each for each in page.charts if not _missing_filter(each, page, choice))
    tables = (each for each in page.tables if not _missing_filter(each, page, choice))
    return [
        *(
            of_figure(each, choice)
            for each in page.figures
            if not _missing_filter(each, page, choice)
        ),
        *(of_rows(each, choice, (SAMPLE_SIZE,)) for each in charts),
        *(of_rows(each, choice) for each in tables),
    ]


def _missing_filter(
    part: Figure | Chart | Listing, page: Page, choice: FilterSelection
) -> Filter | None:
    """The filter that a part waits for, as nothing is chosen there; else None.

    It is the one that a chart needs, or one of which there is always one choice, had its choices been
    there: without it the rows of all would be shown as those of one.
    """
    own = part.at if isinstance(part, Figure) else ""
    needed = part.needs if isinstance(part, Chart) else ""
    for each in page.filters:
        follows = each.column in part.filters and each.column != own
        if follows and (each.first or each.column == needed) and not choice.of((each.column,)):
            return each
    return None


def _filter(each: Filter, choice: FilterSelection, offered: Answers) -> FilterView:
    """A filter with its choices, and what is chosen."""
    given = dict(choice.of((each.column,)))
    if each.kind == "dates":
        begin, end = (given.get(f"{each.column}.{suffix}", "") for suffix in ("from", "to"))
        return FilterView(each.column, each.label, each.kind, begin=begin, end=end)
    options = _options(each, offered[of_filter(each)])
    taken = given.get(each.column) or (next(iter(options), "") if each.first else "")
    if taken:
        options.setdefault(taken, taken)
    choices = tuple(Choice(value, text, value == taken) for value, text in options.items())
    return FilterView(each.column, each.label, each.kind, choices, optional=not each.first)


def _options(each: Filter, found: ResultTable | FailedQuestion) -> dict[str, str]:
    """Value → text of a filter's choices; in the report's order where the first is taken."""
    if isinstance(found, FailedQuestion):
        return {}
    names = [column.name for column in found.columns]
    at, told = names.index(each.column), names.index(each.named or each.column)
    options = {str(row[at]): str(row[told] or row[at]) for row in found.rows if row[at] is not None}
    return options if each.first else dict(sorted(options.items(), key=_natural))


def _natural(option: tuple[str, str]) -> tuple[bool, int, str]:
    """Sorts by text, numbers by their size and before it."""
    text = option[1]
    return (not text.isdecimal(), int(text) if text.isdecimal() else 0, text.casefold())


def _effective_selection(choice: FilterSelection, filters: Iterable[FilterView]) -> FilterSelection:
    """The choices with those that stand for a reader who made none."""
    made = dict(choice.by_filter)
    for each in filters:
        taken = [one.value for one in each.choices if one.selected]
        if taken and each.column not in made:
            made[each.column] = ((each.column, taken[0]),)
    return FilterSelection(made)


@dataclass(frozen=True)
class _PageBuilder:
    """Makes the parts of one page."""

    dashboard: Dashboard
    source: ReportFetcher
    contracts: Mapping[str, Contract]
    made: FilterSelection
    """What the reader chose; `choice` also has what stands for a choice that was not made."""
    choice: FilterSelection
    answers: Answers

    def sections(self) -> tuple[SectionView, ...]:
        """The page's sections."""
        return tuple(
            SectionView(
                title=section.title,
                intro=section.intro,
                hint=section.hint,
                figures=tuple(map(self._figure, section.figures)),
                charts=tuple(map(self._chart, section.charts)),
                tables=tuple(map(self._listing, section.tables)),
            )
            for section in self.dashboard.page.sections
        )

    def stale_notices(self, tables: Sequence[ResultTable]) -> list[Notice]:
        """A notice for each moment since which reports are older than their data sets may be."""
        late: dict[tuple[datetime, datetime], set[str]] = {}
        count = len({table.name for table in tables})
        for table in tables:
            since = self._stale_since(table)
            if since and table.data_as_of:
                late.setdefault((since, table.data_as_of), set()).add(table.declared.title)
        return [
            Notice(
                "stale",
                f"Stale since {formatting.format_instant(since, 'UTC')}: no data newer than "
                f"{formatting.format_instant(as_of, 'UTC')}, which is "
                f"{formatting.humanize_duration(self.source.now() - since)} past what the objective allows {_which(titles, count)}.",
            )
            for (since, as_of), titles in sorted(late.items())
        ]

    def as_of(self, tables: Iterable[ResultTable]) -> str:
        """How far the data of the page reach, the part that lags."""
        known = [(t.data_as_of, self._zone(t)) for t in tables if t.data_as_of]
        return formatting.format_instant(*min(known)) if known else ""

    def _stale_since(self, table: ResultTable) -> datetime | None:
        """When a table became older than its data sets' objective; None while it is not."""
        if table.data_as_of is None:
            return None
        live = self.source.reports[table.name].live
        known = [self.contracts[n] for n in table.declared.datasets if n in self.contracts]
        ends = [fresh_until(each, table.data_as_of, live) for each in known]
        return min((end for end in ends if end < self.source.now()), default=None)

    def _zone(self, table: ResultTable) -> str:
        """The zone of the data set that a report is made of."""
        zones = [self.contracts[n].zone for n in table.declared.datasets if n in self.contracts]
        return zones[0] if zones else "UTC"

    def _figure(self, figure: Figure) -> FigureView:
        """A key figure, or why there is none."""
        anchor = f"{figure.report}.{figure.column}"
        lacking = _missing_filter(figure, self.dashboard.page, self.choice)
        if lacking:
            state = _missing_filter_hint(lacking)
            return FigureView(figure.label, formatting.NO_VALUE, "", anchor=anchor, state=state)
        found = self.answers[of_figure(figure, self.choice)]
        state = self._state(figure, found)
        if state or isinstance(found, FailedQuestion):
            return FigureView(figure.label, formatting.NO_VALUE, "", anchor=anchor, state=state)
        columns = {column.name: (column, at) for at, column in enumerate(found.columns)}
        column, place = columns[figure.column]
        at, when = columns[figure.at]
        row, *earlier = found.rows
        flagged = {text: columns[name][1] for name, text in figure.caveats.items()}
        caveats = [text for text, flag in flagged.items() if row[flag]]
        caveats += [
            f"{formatting.format_value(before[when], at)}: {text}"
            for before in earlier
            for text, flag in flagged.items()
            if before[flag]
        ]
        return FigureView(
            label=figure.label,
            text=formatting.format_with_unit(row[place], column),
            at=formatting.format_value(row[when], at),
            before=_before(row[place], earlier, (column, place), (at, when)),
            caveats=tuple(caveats),
            anchor=anchor,
            origin=_origin(found),
            ignored_filters_note=_ignored_filters_note(figure, self.dashboard.page, self.made),
        )

    def _state(self, part: Figure | Chart | Listing, found: ResultTable | FailedQuestion) -> str:
        """Why a part has nothing to see; empty where it has."""
        narrowed = bool(self.choice.of(part.filters))
        rows = "rows of what is shown here" if part.where else "rows"
        return _state(found, narrowed, rows, bool(self.source.reports[part.report].select))

    def _chart(self, chart: Chart) -> RowsView:
        """A chart with its table."""
        question = of_rows(chart, self.choice, (SAMPLE_SIZE,))
        rows = self._rows(chart, question, chart.name)
        found = self.answers.get(question)
        if rows.state or not isinstance(found, ResultTable):
            return rows
        drawing = self.dashboard.drawings[chart.name]
        count = formatting.format_integer(charts.sample(chart, found))
        unit = next(c.unit for c in found.columns if c.name == SAMPLE_SIZE)
        told = f"Sample size {count}{formatting.NARROW}{unit}. {rows.as_of_note}"
        if undrawn := _empty_chart_note(chart, found):
            return replace(rows, as_of_note=told, empty_chart_note=undrawn)
        drawn = charts.render_vega_spec(drawing, chart, found)
        return replace(rows, as_of_note=told, drawing=drawn if drawn["data"]["values"] else None)

    def _unasked(
        self, part: Chart | Listing, question: Question, anchor: str, lacking: Filter
    ) -> RowsView:
        """A part that waits for a choice."""
        return RowsView(
            anchor=anchor,
            title=part.title,
            note=part.note,
            hint=part.hint,
            headings=(),
            rows=(),
            as_of_note="",
            state=_missing_filter_hint(lacking),
            origin="",
            report=part.report,
            csv=_download(question, "csv"),
            ndjson=_download(question, "ndjson"),
        )

    def _listing(self, table: Listing) -> RowsView:
        """A table alone."""
        anchor = "table_" + "_".join(table.title.lower().split())
        return self._rows(table, of_rows(table, self.choice), anchor)

    def _rows(self, part: Chart | Listing, question: Question, anchor: str) -> RowsView:
        """The table of a chart or a listing, or why there is none."""
        lacking = _missing_filter(part, self.dashboard.page, self.choice)
        if lacking:
            return self._unasked(part, question, anchor, lacking)
        found = self.answers[question]
        shown = self.source.reports[part.report]
        columns = [shown.column(name) for name in part.columns]
        table = found if isinstance(found, ResultTable) else None
        return RowsView(
            anchor=anchor,
            title=part.title,
            note=part.note,
            hint=part.hint,
            headings=tuple(
                (_heading(part.columns[c.name], c), f"{part.report}.{c.name}", _kind(c))
                for c in columns
            ),
            rows=_cells(table, columns) if table else (),
            as_of_note=self._told(table) if table else "",
            state=self._state(part, found),
            origin=_origin(found),
            report=part.report,
            csv=_download(question, "csv"),
            ndjson=_download(question, "ndjson"),
            ignored_filters_note=_ignored_filters_note(part, self.dashboard.page, self.made),
        )

    def _told(self, table: ResultTable) -> str:
        """How far a table's data reach, and how many of its rows are here."""
        if table.data_as_of is None:
            return ""
        told = f"Data as of {formatting.format_instant(table.data_as_of, self._zone(table))}."
        count = formatting.count_of(len(table.rows), "row")
        more = f" More than {count}: the first are shown." if table.cursor else f" {count}."
        return told + more


def fresh_until(contract: Contract, reach: datetime, live: bool) -> datetime:
    """Until when data that reach to some instant are as new as a data set's objective asks.

    The objective is the age of a good fetch. What was fetched shows at once in a live report; in
    another once its slot is over and its grace, where rows of several runs add up (a kind that is
    replaced does not wait, `Contract.closed`), and a scheduled query has run.
    """
    until = reach + timedelta(hours=contract.freshness_hours)
    if live:
        return until
    if not contract.kind.newest_run_wins:
        slot = contract.calendar.slot(reach)
        until += contract.calendar.end(slot) - contract.calendar.start(slot)
        until += timedelta(minutes=contract.grace_minutes)
    return until + PUBLISHED_WITHIN


def _before(
    value: Value, earlier: list[tuple[Value, ...]], column: tuple[ReportColumn, int],
    at: tuple[ReportColumn, int],
) -> str:  # fmt: skip
    """What a figure was in the row before, and which way it went."""
    if not earlier or earlier[0][column[1]] is None:
        return ""
    before = earlier[0][column[1]]
    pair = (value, before)
    way = ""
    if all(isinstance(each, (int, float)) for each in pair):
        now, then = (float(str(each)) for each in pair)
        way = "up from " if now > then else "down from " if now < then else "as before: "
    return f"{way}{formatting.format_with_unit(before, column[0])} in {formatting.format_value(earlier[0][at[1]], at[0])}"


def _ignored_filters_note(part: Figure | Chart | Listing, page: Page, made: FilterSelection) -> str:
    """Which choices a part does not follow: one would take its rows for the chosen ones.

    A part that shows the column says by itself which rows it has.
    """
    shown = (part.at,) if isinstance(part, Figure) else tuple(part.columns)
    labels = [
        each.label.lower()
        for each in page.filters
        if made.of((each.column,)) and each.column not in (*part.filters, *shown)
    ]
    return f"Does not follow the choice of {', '.join(labels)}." if labels else ""


def _empty_chart_note(chart: Chart, table: ResultTable) -> str:
    """What is said where no row has a value of a column that the drawing lives by; else empty."""
    places = {column.name: at for at, column in enumerate(table.columns)}
    for name, text in chart.undrawn.items():
        if all(row[places[name]] is None for row in table.rows):
            return text
    return ""


def _missing_filter_hint(lacking: Filter) -> str:
    """What is said where a choice is missing: it is to be made, or there was nothing to choose."""
    label = lacking.label.lower()
    if lacking.first:
        return f"Nothing is chosen: there was no {label} to choose from."
    return f"Nothing is chosen: choose a {label} above."


def _state(found: ResultTable | FailedQuestion, narrowed: bool, rows: str, live: bool) -> str:
    """Why there is nothing to see and since when; empty where there is something.

    `narrowed` is whether the reader's choices are among what the rows were asked by, `rows` what is
    missing then.
    """
    if isinstance(found, FailedQuestion):
        since = formatting.format_instant(found.since, "UTC")
        if found.published:
            return (
                f"{found.report} could not be read since {since}, when this server first saw it fail; "
                "the rest of the page is not touched."
            )
        return f"{found.report} has not been published yet (this server first looked at {since})."
    if found.rows:
        return ""
    if narrowed and found.data_as_of:
        reach = formatting.format_instant(found.data_as_of, "UTC")
        return f"No rows for this choice. {found.name} reaches to {reach}."
    if found.unchanged_since is None:
        return f"{found.name} has no {rows}."
    stood = formatting.format_instant(found.unchanged_since, "UTC")
    since = f"at {stood}, when it was asked" if live else f"since {stood}, when it last changed"
    return f"{found.name} has no {rows} {since}."


def _origin(found: ResultTable | FailedQuestion) -> str:
    """synthetic or sample; empty for rows of the publisher."""
    if isinstance(found, FailedQuestion) or found.origin in (None, Origin.PUBLISHER):
        return ""
    return str(found.origin)


def _cells(table: ResultTable, columns: Iterable[ReportColumn]) -> tuple[tuple[Cell, ...], ...]:
    """The fields of a table's first rows."""
    places = {column.name: at for at, column in enumerate(table.columns)}
    wanted = [(column, places[column.name]) for column in columns]
    return tuple(
        tuple(_cell(formatting.format_value(row[at], column), column) for column, at in wanted)
        for row in table.rows[:ROWS_SHOWN]
    )


def _cell(text: str, column: ReportColumn) -> Cell:
    """A field with the class of its look: a code is not broken, a long text has room."""
    kind = _kind(column)
    if kind:
        return Cell(text, kind)
    if len(text) <= _CODE and " " not in text:
        return Cell(text, "d")
    return Cell(text, "t" if len(text) > _LONG else "s" if len(text) > _SHORT else "")


def _heading(label: str, column: ReportColumn) -> str:
    """A column's heading with its unit, where it does not name that itself."""
    named = not column.unit or column.unit.lower() in label.lower().split()
    return label if named else f"{label} [{column.unit}]"


def _kind(column: ReportColumn) -> str:
    """The class of a column's fields."""
    if column.type in ("INT64", "FLOAT64", "NUMERIC"):
        return "n"
    return "d" if column.type in ("DATE", "TIMESTAMP") else ""


def _download(question: Question, form: str) -> str:
    """Where all columns of the rows of a question can be had, relative to the API's root."""
    return f"reports/{question.report}/rows?{urlencode([('format', form), *question.where])}"


def _origin_notices(tables: Sequence[ResultTable]) -> list[Notice]:
    """One notice for each origin that is not the publisher."""
    titles: dict[Origin, set[str]] = {}
    count = len({table.name for table in tables if table.rows})
    for table in tables:
        if table.rows and table.origin in formatting.ORIGINS:
            titles.setdefault(Origin(str(table.origin)), set()).add(table.declared.title)
    return [
        Notice("origin", f"These data are {formatting.ORIGINS[origin]} {_which(names, count)}.")
        for origin, names in titles.items()
    ]


def _which(titles: Iterable[str], count: int) -> str:
    """The reports that a notice is about, of so many on the page."""
    told = sorted(titles)
    if len(told) == count:
        return "(the whole page)"
    some = f"{len(told)} of the {count} reports here"
    return f"({'; '.join(told)})" if len(told) <= _NAMED_MOST else f"({some})"


def _failure_notices(
    failures: Sequence[FailedQuestion], shown: Mapping[str, ReportDefinition], count: int
) -> list[Notice]:
    """What is missing of the reports of a page, and since when: one notice for each reason."""
    told = {False: "Not published yet, first looked for at", True: "Could not be read since"}
    notices = []
    for published, reason in told.items():
        found = [each for each in failures if each.published is published]
        if found:
            titles = {shown[each.report].declared.title for each in found}
            since = formatting.format_instant(min(each.since for each in found), "UTC")
            text = (
                f"Parts of this page are missing. {reason} {since} by this server's own account "
                f"{_which(titles, count)}."
            )
            notices.append(Notice("failed", text))
    return notices


def _report(shown: ReportDefinition, page: Page) -> ReportView:
    """A report with the definitions of what the page shows of it."""
    named: list[str] = []
    for figure in page.figures:
        named += [figure.column, figure.at] if figure.report == shown.name else []
    parts: list[Chart | Listing] = [*page.charts, *page.tables]
    for part in parts:
        named += part.columns if part.report == shown.name else []
    if any(chart.report == shown.name for chart in page.charts):
        named.append(SAMPLE_SIZE)
    columns = [shown.column(name) for name in dict.fromkeys(named)]
    return ReportView(shown, tuple(Definition(f"{shown.name}.{c.name}", c) for c in columns))


def _sources(
    page: Page, shown: Mapping[str, ReportDefinition], contracts: Mapping[str, Contract]
) -> tuple[Contract, ...]:
    """The contracts of the data sets behind a page, each once."""
    declared = [shown[name].declared for name in page.reports]
    names = (name for each in declared for name in (*each.datasets, *each.joined))
    return tuple(contracts[name] for name in dict.fromkeys(names) if name in contracts)
