"""Builds a page's content from its declaration, the reader's choices and reports' answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from catalog.contract import Contract
from catalog.pages import Chart, Dashboard, Figure, Listing, Page
from catalog.reports import SAMPLE_SIZE
from functions.serve.pages import figures, notices, rows
from functions.serve.pages.data import (
    Answers,
    FailedQuestion,
    Question,
    ReportFetcher,
    of_figure,
    of_filter,
    of_rows,
    parse_filter_selection,
)
from functions.serve.pages.selection import (
    Selection,
    filter_view,
    ignored_filters_note,
    missing_filter,
    missing_filter_hint,
    select,
)
from functions.serve.pages.view_models import (
    Definition,
    FigureView,
    Notice,
    PageView,
    ReportView,
    RowsView,
    SectionView,
)
from functions.serve.report_catalog import ReportDefinition
from functions.serve.warehouse.result import ResultTable


def page_view(
    dashboard: Dashboard,
    fetcher: ReportFetcher,
    contracts: Mapping[str, Contract],
    parameters: Iterable[tuple[str, str]],
) -> PageView:
    """Build a page for a reader's choices; raises BadRequestError for a wrong choice."""
    page = dashboard.page
    explicit = parse_filter_selection(page, parameters)
    offered = fetcher.fetch_all(of_filter(each) for each in page.filters if each.kind == "choice")
    filters = tuple(filter_view(each, explicit, offered) for each in page.filters)
    selection = select(explicit, filters)
    answers = fetcher.fetch_all(questions(page, selection))
    builder = PageBuilder(
        dashboard, fetcher.reports, contracts, selection, answers, now=fetcher.now()
    )
    tables = [each for each in answers.values() if isinstance(each, ResultTable)]
    return PageView(
        name=dashboard.name,
        page=page,
        filters=filters,
        notices=builder.build_notices(tables, _failures(offered, answers)),
        sections=builder.build_sections(),
        reports=builder.build_reports(),
        sources=builder.build_sources(),
        as_of=notices.as_of_text(tables, contracts),
    )


def questions(page: Page, selection: Selection) -> list[Question]:
    """List the questions of all parts of a page that miss no choice."""
    effective = selection.effective
    return [
        *(of_figure(each, effective) for each in page.figures if _is_ready(each, page, selection)),
        *(
            of_rows(each, effective, (SAMPLE_SIZE,))
            for each in page.charts
            if _is_ready(each, page, selection)
        ),
        *(of_rows(each, effective) for each in page.tables if _is_ready(each, page, selection)),
    ]


@dataclass(frozen=True)
class PageBuilder:
    """Builds the parts of one page; everything that they depend on is a field."""

    dashboard: Dashboard
    reports: Mapping[str, ReportDefinition]
    contracts: Mapping[str, Contract]
    selection: Selection
    answers: Answers
    """An answer to each of the page's `questions`."""
    now: datetime

    def build_sections(self) -> tuple[SectionView, ...]:
        """Build the sections with their figures, charts and tables."""
        return tuple(
            SectionView(
                title=section.title,
                intro=section.intro,
                hint=section.hint,
                figures=tuple(map(self._figure, section.figures)),
                charts=tuple(map(self._chart, section.charts)),
                tables=tuple(map(self._table, section.tables)),
            )
            for section in self.dashboard.page.sections
        )

    def build_notices(
        self, tables: Sequence[ResultTable], failures: Sequence[FailedQuestion]
    ) -> tuple[Notice, ...]:
        """Write the notices on origin, age and missing reports, in this order."""
        count = len(self.dashboard.page.reports)
        return (
            *notices.origin_notices(tables),
            *notices.stale_notices(tables, self.reports, self.contracts, self.now),
            *notices.failure_notices(failures, self.reports, count),
        )

    def build_reports(self) -> tuple[ReportView, ...]:
        """Describe each report of the page with the definitions of its shown columns."""
        page = self.dashboard.page
        return tuple(_report_view(self.reports[name], page) for name in page.reports)

    def build_sources(self) -> tuple[Contract, ...]:
        """List the contracts of the data sets that the page's reports read, each once."""
        declared = [self.reports[name].declared for name in self.dashboard.page.reports]
        names = (name for each in declared for name in (*each.datasets, *each.joined))
        return tuple(
            self.contracts[name] for name in dict.fromkeys(names) if name in self.contracts
        )

    def _figure(self, figure: Figure) -> FigureView:
        missing = missing_filter(figure, self.dashboard.page, self.selection)
        if missing:
            return figures.without_value(figure, missing_filter_hint(missing))
        found = self.answers[of_figure(figure, self.selection.effective)]
        reason = self._empty_reason(figure, found)
        if reason or isinstance(found, FailedQuestion):
            return figures.without_value(figure, reason)
        return figures.figure_view(figure, found, self._ignored_filters_note(figure))

    def _chart(self, chart: Chart) -> RowsView:
        question = of_rows(chart, self.selection.effective, (SAMPLE_SIZE,))
        view = self._rows(chart, question, chart.name)
        found = self.answers.get(question)
        if view.empty_reason or not isinstance(found, ResultTable):
            return view
        return rows.with_drawing(view, chart, found, self.dashboard.drawings[chart.name])

    def _table(self, listing: Listing) -> RowsView:
        question = of_rows(listing, self.selection.effective)
        return self._rows(listing, question, rows.table_anchor(listing))

    def _rows(self, part: Chart | Listing, question: Question, anchor: str) -> RowsView:
        missing = missing_filter(part, self.dashboard.page, self.selection)
        if missing:
            return rows.empty_rows(part, question, anchor, missing_filter_hint(missing))
        found = self.answers[question]
        columns = rows.columns_of(part, self.reports[part.report])
        view = replace(
            rows.empty_rows(part, question, anchor, self._empty_reason(part, found)),
            headings=rows.headings(part, columns),
            origin=notices.origin_mark(found),
            ignored_filters_note=self._ignored_filters_note(part),
        )
        if isinstance(found, FailedQuestion):
            return view
        zone = notices.zone_of(found, self.contracts)
        return replace(
            view, rows=rows.cells(found, columns), as_of_note=rows.as_of_note(found, zone)
        )

    def _empty_reason(
        self, part: Figure | Chart | Listing, found: ResultTable | FailedQuestion
    ) -> str:
        return notices.empty_reason(
            found,
            narrowed=bool(self.selection.effective.of(part.filters)),
            rows="rows of what is shown here" if part.where else "rows",
            live=bool(self.reports[part.report].select),
        )

    def _ignored_filters_note(self, part: Figure | Chart | Listing) -> str:
        return ignored_filters_note(part, self.dashboard.page, self.selection.explicit)


def _is_ready(part: Figure | Chart | Listing, page: Page, selection: Selection) -> bool:
    return missing_filter(part, page, selection) is None


def _failures(*answers: Answers) -> list[FailedQuestion]:
    found = (each for part in answers for each in part.values())
    return [each for each in found if isinstance(each, FailedQuestion)]


def _report_view(report: ReportDefinition, page: Page) -> ReportView:
    """Describe a report with the definitions of the columns that the page shows."""
    names: list[str] = []
    for figure in page.figures:
        names += [figure.column, figure.at] if figure.report == report.name else []
    parts: list[Chart | Listing] = [*page.charts, *page.tables]
    for part in parts:
        names += part.columns if part.report == report.name else []
    if any(chart.report == report.name for chart in page.charts):
        names.append(SAMPLE_SIZE)
    columns = [report.column(name) for name in dict.fromkeys(names)]
    return ReportView(report, tuple(Definition(f"{report.name}.{c.name}", c) for c in columns))
