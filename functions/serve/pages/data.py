"""The questions that a page asks of reports for a reader's choices, and their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime

from google.api_core.exceptions import GoogleAPICallError, RetryError

from catalog.pages import Chart, Figure, Filter, Listing, Page
from functions.serve.api.query_params import ReportQuery, parse_query_params
from functions.serve.errors import BadRequestError, NotPublishedError
from functions.serve.report_catalog import ReportDefinition
from functions.serve.warehouse.result import ResultTable

AT_ONCE = 8
"""Queries of a page that run at the same time."""

CHOICES_MOST = 3_000
"""Most rows that choices are read from."""

Parameters = tuple[tuple[str, str], ...]
"""Names and texts of request parameters."""


@dataclass(frozen=True)
class FailedQuestion:
    """A report that could not be read."""

    report: str
    published: bool
    """False if it has no table yet; True if reading it failed."""
    since: datetime
    """When this instance first saw it fail, UTC."""


@dataclass(frozen=True)
class Question:
    """Some rows of a report that a page needs, and its downloads too."""

    report: str
    where: Parameters
    """Conditions, as parameters of the API."""
    columns: tuple[str, ...] = ()
    """Empty for all."""
    sort: str = ""
    rows: int = 2

    @property
    def parameters(self) -> Parameters:
        """The question as parameters of the API, without the number of rows."""
        reserved = (("columns", ",".join(self.columns)), ("sort", self.sort))
        return (*self.where, *(pair for pair in reserved if pair[1]))


@dataclass(frozen=True)
class FilterSelection:
    """Chosen filter values: parameters by the filter that they belong to."""

    by_filter: Mapping[str, Parameters] = field(default_factory=dict)

    def of(self, filters: Iterable[str]) -> Parameters:
        """Return the parameters of some filters."""
        return tuple(pair for name in filters for pair in self.by_filter.get(name, ()))

    def last(self, name: str) -> str:
        """Return the value of a filter, or the end of its period; empty if not chosen."""
        pairs = self.by_filter.get(name, ())
        return next((text for key, text in pairs if not key.endswith(".from")), "")


def parse_filter_selection(page: Page, parameters: Iterable[tuple[str, str]]) -> FilterSelection:
    """Parse the reader's choices.

    Raises BadRequestError for a parameter that is no filter, and for one that occurs twice: a bar
    that sums up two years would be true for neither.
    """
    names = {name: each.column for each in page.filters for name in _names(each)}
    found: dict[str, Parameters] = {}
    for name, text in parameters:
        if name not in names:
            raise BadRequestError(
                f"{name[:80]!r} is no filter of this page: it takes {', '.join(names) or 'none'}"
            )
        if text and any(name == earlier for earlier, _ in found.get(names[name], ())):
            raise BadRequestError(
                f"{name!r} is there twice: a page shows one at a time, choose one"
            )
        if text:
            found[names[name]] = (*found.get(names[name], ()), (name, text))
    return FilterSelection(found)


def of_filter(each: Filter) -> Question:
    """Ask for the rows that hold a filter's choices."""
    columns = tuple(dict.fromkeys(filter(None, (each.column, each.named))))
    return Question(each.report, _pairs(each.where), columns, rows=CHOICES_MOST)


def of_figure(figure: Figure, choice: FilterSelection) -> Question:
    """Ask for the row of a key figure and the row before."""
    last = choice.last(figure.at)
    others = tuple(name for name in figure.filters if name != figure.at)
    until = ((f"{figure.at}.to", last),) if last and figure.at in figure.filters else ()
    where = (*_pairs(figure.where), *choice.of(others), *until)
    return Question(figure.report, where, sort=f"-{figure.at}")


def of_rows(part: Chart | Listing, choice: FilterSelection, added: Iterable[str] = ()) -> Question:
    """Ask for the rows of a chart or a table; `added` are columns that it does not show."""
    columns = tuple(dict.fromkeys((*part.columns, *added)))
    where = (*_pairs(part.where), *choice.of(part.filters))
    return Question(part.report, where, columns, rows=part.rows)


Answers = Mapping[Question, ResultTable | FailedQuestion]


class ReportFetcher:
    """Asks several questions at the same time; remembers since when a report fails."""

    def __init__(
        self,
        reports: Mapping[str, ReportDefinition],
        table: Callable[[ReportQuery], ResultTable],
        now: Callable[[], datetime],
    ) -> None:
        """Take `table` to answer a question; it raises NotPublishedError or an error of Google."""
        self.reports = reports
        self.now = now
        self._table = table
        self._failing: dict[str, datetime] = {}

    def fetch_all(
        self, questions: Iterable[Question]
    ) -> dict[Question, ResultTable | FailedQuestion]:
        """Answer each question once; raises BadRequestError for a wrong value."""
        queries = {
            q: parse_query_params(self.reports[q.report], q.parameters, limit=q.rows)
            for q in questions
        }
        # Each thread needs its caller's context, which holds the deadline of the request.
        calls = [(copy_context(), query) for query in queries.values()]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = pool.map(lambda call: call[0].run(self._fetch, call[1]), calls)
            return dict(zip(queries, found, strict=True))

    def _fetch(self, query: ReportQuery) -> ResultTable | FailedQuestion:
        """Answer one query; a failure becomes a value, so that the rest of the page works."""
        name = query.report.name
        try:
            table = self._table(query)
        except NotPublishedError:
            return FailedQuestion(
                name, published=False, since=self._failing.setdefault(name, self.now())
            )
        except (GoogleAPICallError, RetryError, TimeoutError):
            return FailedQuestion(
                name, published=True, since=self._failing.setdefault(name, self.now())
            )
        self._failing.pop(name, None)
        return table


def _names(each: Filter) -> tuple[str, ...]:
    column = each.column
    return (f"{column}.from", f"{column}.to") if each.kind == "dates" else (column,)


def _pairs(where: Mapping[str, Iterable[str]]) -> Parameters:
    return tuple((column, text) for column, texts in where.items() for text in texts)
