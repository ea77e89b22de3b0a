"""Routes of the function `serve`, and the headers of all its answers.

Only the path selects a route; `Host`, `Range` and similar headers are not read. Each address outside the
API is a page or a file of the pages, and `functions.serve.pages.site` answers it. Those files are under
`/assets/`, because Flask uses `/static/` itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from flask import Request, Response
from google.api_core.exceptions import GoogleAPICallError, RetryError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestURITooLarge
from werkzeug.routing import Map, Rule

from catalog.contract import Contract, load_all
from functions.core.clients import Clients
from functions.core.handler import clients
from functions.core.settings import settings
from functions.serve.api.handlers import BASE, Api
from functions.serve.api.query_params import QUERY_BYTES
from functions.serve.errors import BadRequestError, NotPublishedError, Problem
from functions.serve.report_catalog import DECLARATIONS, ReportDefinition, load_report_definitions
from functions.serve.warehouse.report_store import ReportStore, request_deadline

if TYPE_CHECKING:
    from functions.serve.pages.site import Site

HOST = "here"
"""Host name for the router; no route depends on the request's `Host`."""

_ROUTES = Map(
    [
        Rule(f"{BASE}/reports", endpoint="reports"),
        Rule(f"{BASE}/reports/<name>", endpoint="report"),
        Rule(f"{BASE}/reports/<name>/rows", endpoint="rows"),
        Rule(f"{BASE}/openapi.json", endpoint="openapi"),
        Rule("/", endpoint="page"),
        Rule("/<name>", endpoint="page"),
        Rule("/assets/<name>", endpoint="page"),
    ],
    strict_slashes=False,
    merge_slashes=False,
    redirect_defaults=False,
)

_ERROR_HINTS = {
    404: f"there is no such address; there are {BASE}/reports, {BASE}/reports/<report>, "
    f"{BASE}/reports/<report>/rows and {BASE}/openapi.json; pages are listed at /",
    405: "nothing can be changed here: ask by GET or HEAD",
}
"""Detail of the problem for an unknown address or a method that is not allowed."""

_DEFAULT_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Accept-Ranges": "none",
}
"""Headers of every answer that does not set its own."""


class App:
    """Answers every request; all threads of an instance share one.

    `declarations` is the folder of the reports. `clock` returns seconds, `now` the time in UTC.
    """

    def __init__(
        self,
        clients: Clients,
        release: str = "",
        declarations: Path = DECLARATIONS,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clients = clients
        self._release = release
        self._declarations = declarations
        self._clock, self._now = clock, now

    def answer(self, request: Request) -> Response:
        """Answer a request; an error of the request becomes a problem document."""
        try:
            with request_deadline():
                return _with_safe_headers(self._route(request))
        except (BadRequestError, NotPublishedError, HTTPException) as error:
            return _problem_response(_problem(error))

    def failed(self, error: Exception) -> Response:
        """Answer for an error that is not the reader's; the cause is not in the answer."""
        if isinstance(error, (GoogleAPICallError, RetryError, TimeoutError)):
            detail = "the warehouse does not answer: try again"
            return _problem_response(
                Problem(503, "Service Unavailable", detail, (("Retry-After", "30"),))
            )
        return _problem_response(Problem(500, "Internal Server Error"))

    def _route(self, request: Request) -> Response:
        if len(request.query_string) > QUERY_BYTES:
            raise RequestURITooLarge(f"the query string is longer than {QUERY_BYTES} bytes")
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(["GET", "HEAD"])
        adapter = _ROUTES.bind(HOST, url_scheme="https")
        endpoint, arguments = adapter.match(request.path, "GET")
        handler: Callable[..., Response] = getattr(self, f"_{endpoint}")
        return handler(request, **arguments)

    @cached_property
    def store(self) -> ReportStore:
        """Reads reports from the warehouse."""
        reports = load_report_definitions(self._declarations)
        return ReportStore(self._clients, reports, clock=self._clock, now=self._now)

    @cached_property
    def _contracts(self) -> dict[str, Contract]:
        return load_all()

    @cached_property
    def _api(self) -> Api:
        return Api(self.store, self._contracts, self._release)

    @cached_property
    def _site(self) -> Site:
        from functions.serve.pages.site import build_site

        return build_site(self.store, self._contracts)

    def _reports(self, request: Request) -> Response:
        return self._api.reports(request)

    def _report(self, request: Request, name: str) -> Response:
        return self._api.report(request, self._find(name))

    def _rows(self, request: Request, name: str) -> Response:
        return self._api.rows(request, self._find(name))

    def _openapi(self, request: Request) -> Response:
        return self._api.openapi(request)

    def _page(self, request: Request, **_: str) -> Response:
        return self._site.respond(request)

    def _find(self, name: str) -> ReportDefinition:
        reports = self.store.reports
        if name not in reports:
            raise BadRequestError(
                f"there is no report {name[:80]!r}; there are: {', '.join(reports)}"
            )
        return reports[name]


@cache
def app() -> App:
    """Return the app of this process."""
    return App(clients(), settings().revision)


def _problem(error: BadRequestError | NotPublishedError | HTTPException) -> Problem:
    match error:
        case BadRequestError():
            return Problem(400, "Bad Request", str(error))
        case NotPublishedError():
            return Problem(404, "Not Published", str(error))
        case HTTPException():
            detail = _ERROR_HINTS.get(error.code or 500, error.description or "")
            extra_headers = tuple(
                (name, text) for name, text in error.get_headers() if name != "Content-Type"
            )
            return Problem(error.code or 500, error.name, detail, extra_headers)


def _problem_response(problem: Problem) -> Response:
    body = msgspec.json.encode(problem.document())
    response = Response(body, problem.status, content_type="application/problem+json")
    for name, text in problem.headers:
        response.headers[name] = text
    return _with_safe_headers(response)


def _with_safe_headers(response: Response) -> Response:
    for name, text in _DEFAULT_HEADERS.items():
        response.headers.setdefault(name, text)
    return response
