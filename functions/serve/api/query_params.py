"""A question about a report, read from the parameters of an address.

`<column>=<value>` (given again: any of them), `<column>.from=` and `<column>.to=` (both included),
`columns=a,b`, `sort=a,-b`, `limit=`, `cursor=`, `format=`. An empty value asks nothing, as forms send
it. Names come from the declaration; what a reader writes only ever becomes a parameter's value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from catalog.reports import ReportColumn
from functions.serve import value_codec
from functions.serve.errors import BadRequestError
from functions.serve.report_catalog import ReportDefinition
from functions.serve.warehouse.result import Value

QUERY_BYTES = 8_192
"""Most bytes of a query string."""

LIMIT = 100

LIMIT_MOST = 1_000

_LIMIT = re.compile(r"\d{1,4}", re.ASCII)

_WRONG_MOST = 10

VALUES_MOST = 100
"""Most values of one condition."""


class ResponseFormat(StrEnum):
    """What rows are given as."""

    JSON = "json"
    CSV = "csv"
    NDJSON = "ndjson"
    HTML = "html"


FILES = (ResponseFormat.CSV, ResponseFormat.NDJSON)
"""Forms that have all rows of a question."""


class Operator(StrEnum):
    """How a column is compared with a condition's values."""

    ANY_OF = "any of"
    FROM = "from"
    TO = "to"


@dataclass(frozen=True)
class FilterCondition:
    """What rows must keep to; of several conditions, all."""

    column: ReportColumn
    operator: Operator
    values: tuple[Value, ...]
    """One, or for `any of` one or more."""


@dataclass(frozen=True)
class SortOrder:
    """A column to sort by; empty values come last either way."""

    column: ReportColumn
    descending: bool = False


@dataclass(frozen=True)
class ReportQuery:
    """A question that can be answered."""

    report: ReportDefinition
    columns: tuple[ReportColumn, ...]
    where: tuple[FilterCondition, ...]
    order: tuple[SortOrder, ...]
    """Ends with the key, so that no two rows stand alike."""
    limit: int
    cursor: str = ""
    form: ResponseFormat = ResponseFormat.JSON


def parse_query_params(
    report: ReportDefinition, parameters: Iterable[tuple[str, str]], *, limit: int = LIMIT
) -> ReportQuery:
    """The question that the parameters ask; `limit` is how many rows where they do not say.

    Raises BadRequest naming the parameter and what is allowed.
    """
    given = _by_name(parameters)
    words = {name: _single(name, given.pop(name, [])) for name in _RESERVED_PARAMETERS}
    form = _form(words["format"])
    if form in FILES and (words["limit"] or words["cursor"]):
        raise BadRequestError(f"limit and cursor are for pages: {form} has all rows")
    return ReportQuery(
        report=report,
        columns=_columns(report, words["columns"]),
        where=tuple(_condition(report, name, texts) for name, texts in sorted(given.items())),
        order=_order(report, words["sort"]),
        limit=_limit(words["limit"], limit),
        cursor=words["cursor"],
        form=form,
    )


_RESERVED_PARAMETERS = ("columns", "sort", "limit", "cursor", "format")


def allowed(report: ReportDefinition) -> tuple[str, ...]:
    """The names of all parameters that a report takes."""
    names = list(_RESERVED_PARAMETERS)
    for name in report.filters:
        names.append(name)
        if report.column(name).type in value_codec.ORDERED:
            names += [f"{name}.from", f"{name}.to"]
    return tuple(names)


def default_order(report: ReportDefinition) -> tuple[SortOrder, ...]:
    """The order that the declaration shows rows by, completed by the key."""
    names = [
        f"-{each.removesuffix(' DESC')}" if each.endswith(" DESC") else each
        for each in report.declared.order
    ]
    return _ordered(report, names)


def _by_name(parameters: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, text in parameters:
        if text:
            found.setdefault(name, []).append(text)
    return found


def _single(name: str, texts: list[str]) -> str:
    if len(texts) > 1:
        raise BadRequestError(f"{name} is given {len(texts)} times: give it once")
    return texts[0] if texts else ""


def _columns(report: ReportDefinition, text: str) -> tuple[ReportColumn, ...]:
    if not text:
        return report.columns
    names = text.split(",")
    if len(set(names)) < len(names):
        raise BadRequestError("columns names one twice: name each once")
    known = {column.name: column for column in report.columns}
    _refuse_unknown(known, names, "columns")
    return tuple(known[name] for name in names)


def _order(report: ReportDefinition, text: str) -> tuple[SortOrder, ...]:
    if not text:
        return default_order(report)
    names = text.split(",")
    if len({name.removeprefix("-") for name in names}) < len(names):
        raise BadRequestError("sort names a column twice: name each once")
    return _ordered(report, names)


def _ordered(report: ReportDefinition, names: Iterable[str]) -> tuple[SortOrder, ...]:
    known = {column.name: column for column in report.columns if column.type != "GEOGRAPHY"}
    pairs = [(name.removeprefix("-"), name.startswith("-")) for name in names]
    _refuse_unknown(known, [name for name, _ in pairs], "sort")
    order = [SortOrder(known[name], descending) for name, descending in pairs]
    named = {each.column.name for each in order}
    return (*order, *(SortOrder(known[key]) for key in report.declared.key if key not in named))


def _refuse_unknown(
    known: Mapping[str, ReportColumn], names: Iterable[str], parameter: str
) -> None:
    """Raise BadRequest with all names that are wrong, the first few where they are many."""
    wrong = [repr(name[:80]) for name in names if name not in known]
    if wrong:
        more = f" and {len(wrong) - _WRONG_MOST} more" if len(wrong) > _WRONG_MOST else ""
        told = ", ".join(wrong[:_WRONG_MOST]) + more
        raise BadRequestError(f"{parameter} names {told}: it takes {', '.join(known)}")


def _condition(report: ReportDefinition, parameter: str, texts: list[str]) -> FilterCondition:
    if parameter not in allowed(report):
        raise BadRequestError(
            f"{parameter[:80]!r} is no parameter of {report.name}: it takes "
            f"{', '.join(allowed(report))}"
        )
    name, _, suffix = parameter.partition(".")
    operator = Operator(suffix) if suffix else Operator.ANY_OF
    column = report.column(name)
    if operator is not Operator.ANY_OF:
        texts = [_single(parameter, texts)]
    if len(texts) > VALUES_MOST:
        raise BadRequestError(f"{parameter} has {len(texts)} values: {VALUES_MOST} at most")
    if operator is Operator.ANY_OF and column.type == "TIMESTAMP":
        _refuse_days(parameter, texts)
    return FilterCondition(
        column, operator, tuple(_value(parameter, column, t, operator) for t in texts)
    )


def _refuse_days(parameter: str, texts: Iterable[str]) -> None:
    """A day is no instant: whoever means all of it asks by from and to."""
    for text in texts:
        if "T" not in text and " " not in text:
            raise BadRequestError(
                f"{parameter} is {text[:80]!r}: it takes an instant such as 2024-05-31T12:00:00Z; for "
                f"a day give {parameter}.from and {parameter}.to"
            )


def _value(parameter: str, column: ReportColumn, text: str, operator: Operator) -> Value:
    try:
        return value_codec.parse_value(column.type, text, last=operator is Operator.TO)
    except ValueError as error:
        raise BadRequestError(f"{parameter} is {text[:80]!r}: it {error}") from error


def _limit(text: str, otherwise: int) -> int:
    if not text:
        return otherwise
    if not _LIMIT.fullmatch(text) or not 1 <= int(text) <= LIMIT_MOST:
        raise BadRequestError(f"limit is {text[:80]!r}: it must lie in 1 to {LIMIT_MOST}")
    return int(text)


def _form(text: str) -> ResponseFormat:
    try:
        return ResponseFormat(text or ResponseFormat.JSON)
    except ValueError as error:
        raise BadRequestError(
            f"format is {text[:80]!r}: it takes {', '.join(ResponseFormat)}"
        ) from error
