"""What a page asks of reports, for the choices that its reader made, and what came back."""

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
"""Queries of a page that run side by side."""

CHOICES_MOST = 3_000
"""Most rows that choices are read from."""

Parameters = tuple[tuple[str, str], ...]
"""Names and texts as an address has them."""


@dataclass(frozen=True)
class FailedQuestion:
    """A report that could not be shown."""

    report: str
    published: bool
    """False where it has no table yet; else asking for it went wrong."""
    since: datetime
    """When this instance first saw it fail, UTC."""


@dataclass(frozen=True)
class Question:
    """Some rows of a report, as a page and its downloads ask for them."""

    report: str
    where: Parameters
    """Conditions, in the words of the API."""
    columns: tuple[str, ...] = ()
    """Empty for all."""
    sort: str = ""
    rows: int = 2

    @property
    def parameters(self) -> Parameters:
        """All of it as parameters, without the number of rows."""
        told = (("columns", ",".join(self.columns)), ("sort", self.sort))
        return (*self.where, *(pair for pair in told if pair[1]))


@dataclass(frozen=True)
class FilterSelection:
    """What a reader chose: parameters by the filter that they belong to."""

    by_filter: Mapping[str, Parameters] = field(default_factory=dict)

    def of(self, filters: Iterable[str]) -> Parameters:
        """The parameters of some filters."""
        return tuple(pair for name in filters for pair in self.by_filter.get(name, ()))

    def last(self, name: str) -> str:
        """The value, or the end of the period, that one filter asks for; empty where it does not."""
        pairs = self.by_filter.get(name, ())
        return next((text for key, text in pairs if not key.endswith(".from")), "")


def parse_filter_selection(page: Page, parameters: Iterable[tuple[str, str]]) -> FilterSelection:
    """The reader's choices; raises BadRequest for a parameter that is no filter, or is there twice.

    Two values of a filter would be drawn as one: a bar of two years is of neither.
    """
    names = {name: each.column for each in page.filters for name in _names(each)}
    found: dict[str, Parameters] = {}
    for name, text in parameters:
        if name not in names:
            raise BadRequestError(
                f"{name[:80]!r} is no filter of this page: it takes {', '.join(names) or 'none'}"
            )
        if text and any(name == known for known, _ in found.get(names[name], ())):
            raise BadRequestError(
                f"{name!r} is there twice: a page shows one at a time, choose one"
            )
        if text:
            found[names[name]] = (*found.get(names[name], ()), (name, text))
    return FilterSelection(found)


def of_filter(each: Filter) -> Question:
    """The rows that a filter's choices are read from."""
    columns = tuple(dict.fromkeys(filter(None, (each.column, each.named))))
    return Question(each.report, _pairs(each.where), columns, rows=CHOICES_MOST)


def of_figure(figure: Figure, choice: FilterSelection) -> Question:
    """The row of a key figure and the one before it."""
    last = choice.last(figure.at)
    others = tuple(name for name in figure.filters if name != figure.at)
    until = ((f"{figure.at}.to", last),) if last and figure.at in figure.filters else ()
    where = (*_pairs(figure.where), *choice.of(others), *until)
    return Question(figure.report, where, sort=f"-{figure.at}")


def of_rows(part: Chart | Listing, choice: FilterSelection, added: Iterable[str] = ()) -> Question:
    """The rows of a chart or a table; `added` are columns beside those that it shows."""
    columns = tuple(dict.fromkeys((*part.columns, *added)))
    where = (*_pairs(part.where), *choice.of(part.filters))
    return Question(part.report, where, columns, rows=part.rows)


class ReportFetcher:
    """Asks several questions at once; remembers since when a report fails."""

    def __init__(
        self,
        shown: Mapping[str, ReportDefinition],
        table: Callable[[ReportQuery], ResultTable],
        now: Callable[[], datetime],
    ) -> None:
        """`table` answers one question; it raises NotPublished or an error of Google's clients."""
        self.shown = shown
        self.now = now
        self._table = table
        self._failing: dict[str, datetime] = {}

    def answers(
        self, questions: Iterable[Question]
    ) -> dict[Question, ResultTable | FailedQuestion]:
        """What each question brings, each asked once; raises BadRequest for a wrong value."""
        told = {
            q: parse_query_params(self.shown[q.report], q.parameters, limit=q.rows)
            for q in questions
        }
        # A thread has what its caller has: the deadline of the request.
        calls = [(copy_context(), question) for question in told.values()]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = pool.map(lambda call: call[0].run(self._answer, call[1]), calls)
            return dict(zip(told, found, strict=True))

    def _answer(self, question: ReportQuery) -> ResultTable | FailedQuestion:
        """One answer; a report that fails does not take the page with it."""
        name = question.report.name
        try:
            table = self._table(question)
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
    """The parameters of a filter."""
    column = each.column
    return (f"{column}.from", f"{column}.to") if each.kind == "dates" else (column,)


def _pairs(where: Mapping[str, Iterable[str]]) -> Parameters:
    """Conditions of a page as parameters."""
    return tuple((column, text) for column, texts in where.items() for text in texts)
