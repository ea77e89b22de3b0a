"""The API under `/api/v1`: reports, their rows in four formats, and their descriptions."""

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
    """Answers API requests for all threads. `release` makes ETags of two releases differ."""

    def __init__(
        self, store: ReportStore, contracts: Mapping[str, Contract], release: str = ""
    ) -> None:
        self._store = store
        self._contracts = contracts
        self._release = release

    def reports(self, request: Request) -> Response:
        """Answer with all reports and their declarations."""
        listed = [self._describe(report) for report in self._store.reports.values()]
        return self._static_response(request, {"reports": listed})

    def report(self, request: Request, report: ReportDefinition) -> Response:
        """Answer with one report and its declaration."""
        return self._static_response(request, self._describe(report))

    def openapi(self, request: Request) -> Response:
        """Answer with the OpenAPI document."""
        return self._static_response(request, document(self._store.reports.values(), BASE))

    def rows(self, request: Request, report: ReportDefinition) -> Response:
        """Answer with rows of a report; raises BadRequestError and NotPublishedError."""
        query = parse_query_params(report, request.args.items(multi=True))
        current = self._store.current_version(report)
        tag = self._etag(query, current.version)
        if request.if_none_match.contains_weak(tag) and not query.cursor:
            return self._unchanged(tag)
        if query.response_format in FILES:
            return self._export(request, query, current)
        table = self._store.table(query)
        tag = self._etag(query, table.version)
        if request.if_none_match.contains_weak(tag):
            return self._unchanged(tag)
        return self._page(request, query, table, tag)

    def _page(self, request: Request, query: ReportQuery, table: ResultTable, tag: str) -> Response:
        attribution = sources(query.report, self._contracts)
        next_address = _next_address(request, table)
        if query.response_format is ResponseFormat.HTML:
            body: str | bytes = exports.html_page(table, attribution, next_address)
        else:
            names = [column.name for column in table.columns]
            body = msgspec.json.encode(
                {
                    "report": table.name,
                    "title": table.declared.title,
                    "data_as_of": to_json_value(table.data_as_of),
                    "origin": table.origin,
                    "licence": attribution.licences,
                    "attribution": attribution.attributions,
                    "sources": attribution.document(),
                    "next": next_address or None,
                    "rows": [exports.record(names, row) for row in table.rows],
                }
            )
        answer = Response(body, content_type=_TYPES[query.response_format])
        return _with_etag(_with_headers(answer, headers(attribution, table)), tag)

    def _export(self, request: Request, query: ReportQuery, current: ReportVersion) -> Response:
        """Answer with all rows as a file; HEAD runs no query."""
        rows: Iterable[tuple[Value, ...]] = ()
        if request.method != "HEAD":
            current, rows = self._store.rows(query)
        table = ResultTable(
            name=query.report.name,
            declared=query.report.declared,
            columns=query.columns,
            rows=(),
            data_as_of=current.data_as_of,
            origin=current.origin,
        )
        pieces = _pieces(query, rows)
        answer = Response(pieces, content_type=_TYPES[query.response_format])
        disposition = f'attachment; filename="{table.name}.{query.response_format}"'
        attribution_headers = headers(sources(query.report, self._contracts), table)
        return _with_etag(
            _with_headers(answer, (*attribution_headers, ("Content-Disposition", disposition))),
            self._etag(query, current.version),
        )

    def _describe(self, report: ReportDefinition) -> dict[str, object]:
        """Describe a report by its declaration and the address of its rows."""
        declared = report.declared
        attribution = sources(report, self._contracts)
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
            "licence": attribution.licences,
            "attribution": attribution.attributions,
            "sources": attribution.document(),
            "rows": f"{BASE}/reports/{report.name}/rows",
        }

    def _static_response(self, request: Request, content: object) -> Response:
        """Answer with a document that changes only with a release."""
        body = msgspec.json.encode(content)
        tag = hashlib.sha256(body).hexdigest()[:32]
        if request.if_none_match.contains_weak(tag):
            return self._unchanged(tag)
        return _with_etag(Response(body, content_type=_TYPES[ResponseFormat.JSON]), tag)

    def _etag(self, query: ReportQuery, version: str) -> str:
        """Compute the ETag of an answer from query, report version and release."""
        parts = (repr(query), version, self._release)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def _unchanged(self, tag: str) -> Response:
        return _with_etag(Response(status=304), tag)


def _pieces(query: ReportQuery, rows: Iterable[tuple[Value, ...]]) -> Iterator[bytes]:
    pieces = (
        exports.csv_pieces if query.response_format is ResponseFormat.CSV else exports.ndjson_pieces
    )
    return pieces(query.columns, rows)


def _next_address(request: Request, table: ResultTable) -> str:
    """Build the address of the next page, as a path without a host.

    Raises BadRequestError if it would be too long: it holds the values that rows are sorted by.
    """
    if not table.cursor:
        return ""
    parameters = [(name, text) for name, text in request.args.items(multi=True) if name != "cursor"]
    query = urlencode([*parameters, ("cursor", table.cursor)])
    if len(query) > QUERY_BYTES:
        raise BadRequestError(
            f"the address of the next page has {len(query)} bytes, {QUERY_BYTES} at most: sort by "
            f"columns with shorter values, or take all rows by format=csv or ndjson"
        )
    return f"{BASE}/reports/{table.name}/rows?{query}"


def _with_headers(answer: Response, headers_to_add: Iterable[tuple[str, str]]) -> Response:
    for name, text in headers_to_add:
        answer.headers[name] = text
    return answer


def _with_etag(answer: Response, tag: str) -> Response:
    answer.set_etag(tag)
    answer.headers["Cache-Control"] = f"private, max-age={STATE_SECONDS}"
    return answer
