"""The API under `/api/v1`: reports, their rows in four forms, and what describes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlencode

import msgspec
from flask import Request, Response

from catalog.contract import Contract
from functions.serve.api import exports
from functions.serve.api.openapi import document
from functions.serve.api.query_params import (
    FILES,
    QUERY_BYTES,
    ReportQuery,
    ResponseFormat,
    allowed,
    default_order,
    parse_query_params,
)
from functions.serve.attribution import headers, sources
from functions.serve.errors import BadRequestError
from functions.serve.report_catalog import ReportDefinition
from functions.serve.value_codec import to_json_value
from functions.serve.warehouse.report_store import STATE_SECONDS, ReportStore, ReportVersion
from functions.serve.warehouse.result import ResultTable, Value

BASE = "/api/v1"
_TYPES = {
    ResponseFormat.JSON: "application/json",
    ResponseFormat.CSV: "text/csv; charset=utf-8; header=present",
    ResponseFormat.NDJSON: "application/x-ndjson",
    ResponseFormat.HTML: "text/html; charset=utf-8",
}


class Api:
    """Answers requests; one for all threads. `release` tells two releases' answers apart."""

    def __init__(
        self, answers: ReportStore, contracts: Mapping[str, Contract], release: str = ""
    ) -> None:
        self._answers = answers
        self._contracts = contracts
        self._release = release

    def reports(self, request: Request) -> Response:
        """All reports with their declarations."""
        listed = [self._described(report) for report in self._answers.shown.values()]
        return self._fixed(request, {"reports": listed})

    def report(self, request: Request, report: ReportDefinition) -> Response:
        """One report with its declaration."""
        return self._fixed(request, self._described(report))

    def openapi(self, request: Request) -> Response:
        """The description of this API."""
        return self._fixed(request, document(self._answers.shown.values(), BASE))

    def rows(self, request: Request, report: ReportDefinition) -> Response:
        """Rows of a report; raises BadRequest and NotPublished."""
        question = parse_query_params(report, request.args.items(multi=True))
        state = self._answers.state(report)
        tag = self._tag(question, state.version)
        if request.if_none_match.contains_weak(tag) and not question.cursor:
            return self._unchanged(tag)
        if question.form in FILES:
            return self._export(request, question, state)
        table = self._answers.table(question)
        tag = self._tag(question, table.version)
        if request.if_none_match.contains_weak(tag):
            return self._unchanged(tag)
        return self._page(request, question, table, tag)

    def _page(
        self, request: Request, question: ReportQuery, table: ResultTable, tag: str
    ) -> Response:
        """A page of rows as JSON or HTML."""
        own = sources(question.report, self._contracts)
        onward = _onward(request, table)
        if question.form is ResponseFormat.HTML:
            body: str | bytes = exports.html_page(table, own, onward)
        else:
            names = [column.name for column in table.columns]
            body = msgspec.json.encode(
                {
                    "report": table.name,
                    "title": table.declared.title,
                    "data_as_of": to_json_value(table.data_as_of),
                    "origin": table.origin,
                    "licence": own.licences,
                    "attribution": own.attributions,
                    "sources": own.document(),
                    "next": onward or None,
                    "rows": [exports.record(names, row) for row in table.rows],
                }
            )
        answer = Response(body, content_type=_TYPES[question.form])
        return _tagged(_carrying(answer, headers(own, table)), tag)

    def _export(self, request: Request, question: ReportQuery, state: ReportVersion) -> Response:
        """All rows as a file; who asks for the head alone has no query made."""
        rows: Iterable[tuple[Value, ...]] = ()
        if request.method != "HEAD":
            state, rows = self._answers.rows(question)
        table = ResultTable(
            name=question.report.name,
            declared=question.report.declared,
            columns=question.columns,
            rows=(),
            data_as_of=state.data_as_of,
            origin=state.origin,
        )
        pieces = _pieces(question, rows)
        answer = Response(pieces, content_type=_TYPES[question.form])
        named = f'attachment; filename="{table.name}.{question.form}"'
        own = headers(sources(question.report, self._contracts), table)
        return _tagged(
            _carrying(answer, (*own, ("Content-Disposition", named))),
            self._tag(question, state.version),
        )

    def _described(self, report: ReportDefinition) -> dict[str, object]:
        """A report's declaration and where its rows are."""
        declared = report.declared
        own = sources(report, self._contracts)
        return {
            "name": report.name,
            "system": report.system,
            "title": declared.title,
            "description": declared.description,
            "grain": declared.grain,
            "key": declared.key,
            "columns": report.columns,
            "filters": report.filters,
            "parameters": allowed(report),
            "sort": [
                f"{'-' if o.descending else ''}{o.column.name}" for o in default_order(report)
            ],
            "default_date": declared.default_date,
            "licence": own.licences,
            "attribution": own.attributions,
            "sources": own.document(),
            "rows": f"{BASE}/reports/{report.name}/rows",
        }

    def _fixed(self, request: Request, told: object) -> Response:
        """What changes with a release alone."""
        body = msgspec.json.encode(told)
        tag = hashlib.sha256(body).hexdigest()[:32]
        if request.if_none_match.contains_weak(tag):
            return self._unchanged(tag)
        return _tagged(Response(body, content_type=_TYPES[ResponseFormat.JSON]), tag)

    def _tag(self, question: ReportQuery, version: str) -> str:
        """The ETag of a question's answer: question, state of the report, release."""
        told = (repr(question), version, self._release)
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:32]

    def _unchanged(self, tag: str) -> Response:
        return _tagged(Response(status=304), tag)


def _pieces(question: ReportQuery, rows: Iterable[tuple[Value, ...]]) -> Iterator[bytes]:
    form = exports.csv_pieces if question.form is ResponseFormat.CSV else exports.ndjson_pieces
    return form(question.columns, rows)


def _onward(request: Request, table: ResultTable) -> str:
    """The address of the next page, a path alone: whose `Host` was asked is no matter.

    Raises BadRequest for one that would be refused: what rows are sorted by stands in it.
    """
    if not table.cursor:
        return ""
    kept = [(name, text) for name, text in request.args.items(multi=True) if name != "cursor"]
    query = urlencode([*kept, ("cursor", table.cursor)])
    if len(query) > QUERY_BYTES:
        raise BadRequestError(
            f"the address of the next page has {len(query)} bytes, {QUERY_BYTES} at most: sort by "
            f"columns with shorter values, or take all rows by format=csv or ndjson"
        )
    return f"{BASE}/reports/{table.name}/rows?{query}"


def _carrying(answer: Response, carried: Iterable[tuple[str, str]]) -> Response:
    for name, text in carried:
        answer.headers[name] = text
    return answer


def _tagged(answer: Response, tag: str) -> Response:
    answer.set_etag(tag)
    answer.headers["Cache-Control"] = f"private, max-age={STATE_SECONDS}"
    return answer
