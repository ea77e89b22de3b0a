"""Which address is answered by what, and what every answer bears.

Addresses are matched by path alone; `Host`, `Range` and the like are not read. Every address beside the
API is a page or a file that pages need: `functions.serve.pages.site(answers, contracts)` gives what has
`respond(request)`. Such files lie under `/assets/`: Flask takes `/static/` for itself.
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
"""What is said of an address or a method that there is not."""

_SAFE = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Accept-Ranges": "none",
}
"""Headers of every answer that does not say otherwise."""


class App:
    """Answers every request; made once, used by all threads of an instance.

    `declarations` is the folder of what may be asked for; `clock` tells seconds, `now` the time in UTC.
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
        """The answer to a request; what cannot be answered is told as a problem."""
        try:
            with request_deadline():
                return _with_safe_headers(self._routed(request))
        except (BadRequestError, NotPublishedError, HTTPException) as error:
            return _problem_response(_problem(error))

    def failed(self, error: Exception) -> Response:
        """The answer where there is none, by no fault of the reader: it says nothing of why."""
        if isinstance(error, (GoogleAPICallError, RetryError, TimeoutError)):
            detail = "the warehouse does not answer: try again"
            return _problem_response(
                Problem(503, "Service Unavailable", detail, (("Retry-After", "30"),))
            )
        return _problem_response(Problem(500, "Internal Server Error"))

    def _routed(self, request: Request) -> Response:
        if len(request.query_string) > QUERY_BYTES:
            raise RequestURITooLarge(f"the query string is longer than {QUERY_BYTES} bytes")
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(["GET", "HEAD"])
        adapter = _ROUTES.bind("here", url_scheme="https")
        endpoint, given = adapter.match(request.path, "GET")
        tell: Callable[..., Response] = getattr(self, f"_{endpoint}")
        return tell(request, **given)

    @cached_property
    def answers(self) -> ReportStore:
        """What is known of the warehouse."""
        known = load_report_definitions(self._declarations)
        return ReportStore(self._clients, known, clock=self._clock, now=self._now)

    @cached_property
    def _contracts(self) -> dict[str, Contract]:
        return load_all()

    @cached_property
    def _api(self) -> Api:
        return Api(self.answers, self._contracts, self._release)

    @cached_property
    def _site(self) -> Site:
        from functions.serve.pages.site import site

        return site(self.answers, self._contracts)

    def _reports(self, request: Request) -> Response:
        return self._api.reports(request)

    def _report(self, request: Request, name: str) -> Response:
        return self._api.report(request, self._named(name))

    def _rows(self, request: Request, name: str) -> Response:
        return self._api.rows(request, self._named(name))

    def _openapi(self, request: Request) -> Response:
        return self._api.openapi(request)

    def _page(self, request: Request, **_: str) -> Response:
        return self._site.respond(request)

    def _named(self, name: str) -> ReportDefinition:
        known = self.answers.shown
        if name not in known:
            raise BadRequestError(
                f"there is no report {name[:80]!r}; there are: {', '.join(known)}"
            )
        return known[name]


@cache
def app() -> App:
    """The one of this process."""
    return App(clients(), settings().revision)


def _problem(error: BadRequestError | NotPublishedError | HTTPException) -> Problem:
    match error:
        case BadRequestError():
            return Problem(400, "Bad Request", str(error))
        case NotPublishedError():
            return Problem(404, "Not Published", str(error))
        case HTTPException():
            detail = _ERROR_HINTS.get(error.code or 500, error.description or "")
            kept = tuple((n, text) for n, text in error.get_headers() if n != "Content-Type")
            return Problem(error.code or 500, error.name, detail, kept)


def _problem_response(problem: Problem) -> Response:
    body = msgspec.json.encode(problem.document())
    given = Response(body, problem.status, content_type="application/problem+json")
    for name, text in problem.headers:
        given.headers[name] = text
    return _with_safe_headers(given)


def _with_safe_headers(given: Response) -> Response:
    for name, text in _SAFE.items():
        given.headers.setdefault(name, text)
    return given
