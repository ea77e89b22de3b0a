"""A query for a report's rows, parsed from the parameters of an address.

`<column>=<value>` (repeated: any of the values), `<column>.from=` and `<column>.to=` (both included),
`columns=a,b`, `sort=a,-b`, `limit=`, `cursor=`, `format=`. An empty value is ignored, because forms send
them. Names come from the declaration; a reader's text only becomes the value of a query parameter.
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
    """Format of the rows in an answer."""

    JSON = "json"
    CSV = "csv"
    NDJSON = "ndjson"
    HTML = "html"


FILES = (ResponseFormat.CSV, ResponseFormat.NDJSON)
"""Formats that hold all rows of a query, not a page."""


class Operator(StrEnum):
    """How a column is compared with a condition's values."""

    ANY_OF = "any of"
    FROM = "from"
    TO = "to"


@dataclass(frozen=True)
class FilterCondition:
    """A condition on rows; rows must meet all conditions."""

    column: ReportColumn
    operator: Operator
    values: tuple[Value, ...]
    """One value; for `any of` one or more."""


@dataclass(frozen=True)
class SortOrder:
    """A column to sort by; nulls come last in both directions."""

    column: ReportColumn
    descending: bool = False


@dataclass(frozen=True)
class ReportQuery:
    """A valid query for rows of a report."""

    report: ReportDefinition
    columns: tuple[ReportColumn, ...]
    where: tuple[FilterCondition, ...]
    order: tuple[SortOrder, ...]
    """Ends with the key, so that the order of any two rows is defined."""
    limit: int
    cursor: str = ""
    response_format: ResponseFormat = ResponseFormat.JSON


def parse_query_params(
    report: ReportDefinition, parameters: Iterable[tuple[str, str]], *, limit: int = LIMIT
) -> ReportQuery:
    """Parse request parameters to a query; `limit` is the default number of rows.

    Raises BadRequestError that names the parameter and the allowed values.
    """
    texts_by_name = _by_name(parameters)
    reserved = {name: _single(name, texts_by_name.pop(name, [])) for name in _RESERVED_PARAMETERS}
    response_format = _form(reserved["format"])
    if response_format in FILES and (reserved["limit"] or reserved["cursor"]):
        raise BadRequestError(f"limit and cursor are for pages: {response_format} has all rows")
    return ReportQuery(
        report=report,
        columns=_columns(report, reserved["columns"]),
        where=tuple(
            _condition(report, name, texts) for name, texts in sorted(texts_by_name.items())
        ),
        order=_order(report, reserved["sort"]),
        limit=_limit(reserved["limit"], limit),
        cursor=reserved["cursor"],
        response_format=response_format,
    )


_RESERVED_PARAMETERS = ("columns", "sort", "limit", "cursor", "format")


def allowed(report: ReportDefinition) -> tuple[str, ...]:
    """List the names of all parameters that a report takes."""
    names = list(_RESERVED_PARAMETERS)
    for name in report.filters:
        names.append(name)
        if report.column(name).type in value_codec.ORDERED:
            names += [f"{name}.from", f"{name}.to"]
    return tuple(names)


def default_order(report: ReportDefinition) -> tuple[SortOrder, ...]:
    """Build the declared order of rows, completed by the key."""
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
    by_name = {column.name: column for column in report.columns}
    _refuse_unknown(by_name, names, "columns")
    return tuple(by_name[name] for name in names)


def _order(report: ReportDefinition, text: str) -> tuple[SortOrder, ...]:
    if not text:
        return default_order(report)
    names = text.split(",")
    if len({name.removeprefix("-") for name in names}) < len(names):
        raise BadRequestError("sort names a column twice: name each once")
    return _ordered(report, names)


def _ordered(report: ReportDefinition, names: Iterable[str]) -> tuple[SortOrder, ...]:
    by_name = {column.name: column for column in report.columns if column.type != "GEOGRAPHY"}
    pairs = [(name.removeprefix("-"), name.startswith("-")) for name in names]
    _refuse_unknown(by_name, [name for name, _ in pairs], "sort")
    order = [SortOrder(by_name[name], descending) for name, descending in pairs]
    named = {each.column.name for each in order}
    return (*order, *(SortOrder(by_name[key]) for key in report.declared.key if key not in named))


def _refuse_unknown(
    allowed_columns: Mapping[str, ReportColumn], names: Iterable[str], parameter: str
) -> None:
    """Raise BadRequestError if names are unknown; its text lists the first few of them."""
    wrong = [repr(name[:80]) for name in names if name not in allowed_columns]
    if wrong:
        more = f" and {len(wrong) - _WRONG_MOST} more" if len(wrong) > _WRONG_MOST else ""
        preview = ", ".join(wrong[:_WRONG_MOST]) + more
        raise BadRequestError(f"{parameter} names {preview}: it takes {', '.join(allowed_columns)}")


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
    """Raise BadRequestError if a text is a day, which is not one instant."""
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


def _limit(text: str, default: int) -> int:
    if not text:
        return default
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
