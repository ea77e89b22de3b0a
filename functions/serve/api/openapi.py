"""The OpenAPI 3.1 document of the API, built from the declared reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from catalog.reports import ReportColumn
from functions.serve.api.query_params import LIMIT, LIMIT_MOST, ResponseFormat, default_order
from functions.serve.report_catalog import ReportDefinition
from functions.serve.value_codec import ORDERED

type Doc = dict[str, Any]
"""A part of the document."""

_SCHEMAS: dict[str, Doc] = {
    "STRING": {"type": "string"},
    "INT64": {"type": "integer", "format": "int64"},
    "FLOAT64": {"type": "number", "format": "double"},
    "NUMERIC": {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"},
    "BOOL": {"type": "boolean"},
    "DATE": {"type": "string", "format": "date"},
    "TIMESTAMP": {"type": "string", "format": "date-time"},
    "GEOGRAPHY": {"type": "string", "description": "Well-known text, WGS 84"},
}
_PROBLEMS = {
    "400": "A parameter, its value or the report is not one that there is; the detail says what is",
    "404": "The report has not been published yet",
    "414": "The query string is too long",
    "503": "The warehouse does not answer: try again",
}
_HEADERS = {
    "ETag": "Changes when the answer does",
    "Link": "Licences, and what describes the rows",
    "X-Attribution": "Whom to name, percent-encoded UTF-8",
    "X-Data-As-Of": "How far the data reaches",
    "X-Licence": "Licences by their SPDX names",
    "X-Origin": "publisher, sample or synthetic",
}


def document(reports: Iterable[ReportDefinition], base: str) -> Doc:
    """Build the document: each report has a path, its own parameters and a row schema."""
    definitions = list(reports)
    paths: Doc = {
        "/reports": _path(
            "listReports", "All reports with columns, definitions, filters, licences"
        ),
        "/reports/{name}": _path(
            "describeReport",
            "One report",
            [_name_parameter([report.name for report in definitions])],
        ),
    }
    for report in definitions:
        paths[f"/reports/{report.name}/rows"] = _rows(report)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "citypulse reports",
            "version": "1",
            "description": "Rows carry licence, attribution, origin and how far the data reaches.",
        },
        "servers": [{"url": base}],
        "paths": paths,
        "components": {
            "schemas": {
                "Problem": _PROBLEM,
                **{f"{report.name}.row": _row(report) for report in definitions},
            },
            "headers": {
                name: {"description": text, "schema": {"type": "string"}}
                for name, text in _HEADERS.items()
            },
        },
    }


_PROBLEM: Doc = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}


def _path(operation: str, summary: str, parameters: list[Doc] | None = None) -> Doc:
    """Describe a path that answers with a JSON object."""
    content = {"application/json": {"schema": {"type": "object"}}}
    return {
        "get": {
            "operationId": operation,
            "summary": summary,
            "parameters": parameters or [],
            "responses": {"200": {"description": summary, "content": content}, **_problems()},
        }
    }


def _name_parameter(names: list[str]) -> Doc:
    schema = {"type": "string", "enum": names}
    return {"name": "name", "in": "path", "required": True, "schema": schema}


def _rows(report: ReportDefinition) -> Doc:
    row = {"$ref": f"#/components/schemas/{report.name}.row"}
    page = {
        "type": "object",
        "required": ["report", "data_as_of", "origin", "licence", "attribution", "next", "rows"],
        "properties": {
            "report": {"const": report.name},
            "title": {"type": "string"},
            "data_as_of": {"type": ["string", "null"], "format": "date-time"},
            "origin": {"type": ["string", "null"], "enum": [*_ORIGINS, None]},
            "licence": {"type": "array", "items": {"type": "string"}},
            "attribution": {"type": "array", "items": {"type": "string"}},
            "sources": {"type": "array", "items": {"type": "object"}},
            "next": {"type": ["string", "null"], "description": "Path of the next page"},
            "rows": {"type": "array", "items": row},
        },
    }
    text = {"schema": {"type": "string"}}
    content = {
        "application/json": {"schema": page},
        "text/csv": text,
        "application/x-ndjson": text,
        "text/html": text,
    }
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS}
    success = {"description": report.declared.grain, "headers": headers, "content": content}
    return {
        "get": {
            "operationId": f"rows_{report.name}",
            "tags": [report.system],
            "summary": report.declared.title,
            "description": f"{report.declared.description} Grain: {report.declared.grain}.",
            "parameters": [*_common_parameters(report), *_filters(report)],
            "responses": {
                "200": success,
                "304": {"description": "Nothing has changed since the ETag that was sent"},
                **_problems(),
            },
        }
    }


_ORIGINS = ("publisher", "sample", "synthetic")


def _row(report: ReportDefinition) -> Doc:
    return {
        "type": "object",
        "description": report.declared.grain,
        "properties": {column.name: _property(report, column) for column in report.columns},
    }


def _property(report: ReportDefinition, column: ReportColumn) -> Doc:
    schema = dict(_SCHEMAS[column.type])
    if not column.required and column.name not in report.declared.key:
        schema["type"] = [str(schema["type"]), "null"]
    unit = f"[{column.unit}]" if column.unit else ""
    description = " ".join(filter(None, (column.description, column.definition, unit)))
    return {**schema, "description": description}


def _common_parameters(report: ReportDefinition) -> Iterator[Doc]:
    """Describe the parameters that every report has."""
    columns = [column.name for column in report.columns]
    sortable = [name for name in columns if report.column(name).type != "GEOGRAPHY"]
    order = [
        f"{'-' if each.descending else ''}{each.column.name}" for each in default_order(report)
    ]
    listed = {"type": "array", "items": {"type": "string", "enum": columns}}
    sorts = [*sortable, *(f"-{name}" for name in sortable)]
    sort = {"type": "array", "items": {"type": "string", "enum": sorts}, "default": order}
    limit = {"type": "integer", "minimum": 1, "maximum": LIMIT_MOST, "default": LIMIT}
    formats = {
        "type": "string",
        "enum": [str(each) for each in ResponseFormat],
        "default": str(ResponseFormat.JSON),
    }
    yield _query_parameter(
        "columns", "The columns to give, all unless said otherwise", listed, False
    )
    yield _query_parameter("sort", "Columns to sort by, `-` for the largest first", sort, False)
    yield _query_parameter("limit", "Rows of a page; files have all rows and take none", limit)
    yield _query_parameter("cursor", "What `next` of the answer before has", {"type": "string"})
    yield _query_parameter("format", "What the rows are given as", formats)


def _filters(report: ReportDefinition) -> Iterator[Doc]:
    for name in report.filters:
        column = report.column(name)
        schema = {key: value for key, value in _SCHEMAS[column.type].items() if key != "pattern"}
        several = {"type": "array", "items": schema}
        yield _query_parameter(name, f"{column.description}: any of these", several, True)
        if column.type in ORDERED:
            yield _query_parameter(f"{name}.from", f"{column.description}: this or later", schema)
            yield _query_parameter(f"{name}.to", f"{column.description}: this or earlier", schema)


def _query_parameter(name: str, description: str, schema: Doc, explode: bool | None = None) -> Doc:
    parameter: Doc = {"name": name, "in": "query", "description": description}
    if explode is not None:
        parameter |= {"style": "form", "explode": explode}
    return {**parameter, "schema": schema}


def _problems() -> Doc:
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {"description": text, "content": {"application/problem+json": schema}}
        for status, text in _PROBLEMS.items()
    }
