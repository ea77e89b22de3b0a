"""Pages as HTML: `/`, `/<page>` and the files under `/assets`, with compression and ETags.

A page's filters are a form by GET, so each choice has an address. Nothing on a page comes from another
origin. Its policy forbids inline script and style; its data are in blocks of JSON.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any

from flask import Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from werkzeug.exceptions import NotFound

from catalog.contract import Contract
from catalog.pages import Dashboard, load_pages
from functions.serve.errors import BadRequestError
from functions.serve.pages.assets import HEADERS, HERE, Links, static_response
from functions.serve.pages.data import ReportFetcher
from functions.serve.pages.page_builder import page_view
from functions.serve.pages.view_models import PageView
from functions.serve.warehouse.report_store import ReportStore

DASHBOARDS = HERE.parents[2] / "dashboards"
"""Folder of the pages' declarations, in the functions' archive and in the repository."""

PAGE_SECONDS = 60
"""Seconds for which a browser may show a page again without a request."""


class Site:
    """The pages and their files; reads the declarations with the first request for a page."""

    def __init__(self, build: Callable[[], Pages]) -> None:
        """Take `build` to build the pages; it raises PageError for a wrong declaration."""
        self._build = build

    def respond(self, request: Request) -> Response:
        """Answer a request; raises NotFound if the client does not read HTML."""
        name = request.path.strip("/")
        if name.startswith("assets/"):
            return static_response(name.removeprefix("assets/"), request)
        page_names = {"", *(path.stem for path in DASHBOARDS.glob("*.toml"))}
        if name not in page_names and not request.accept_mimetypes.accept_html:
            raise NotFound
        return self._pages.respond(request)

    @cached_property
    def _pages(self) -> Pages:
        """The pages, built once."""
        return self._build()


def build_site(store: ReportStore, contracts: Mapping[str, Contract]) -> Site:
    """Return the pages over a report store."""

    def build() -> Pages:
        """Read the pages' declarations and check them against the reports."""
        declared = {name: each.declared for name, each in store.reports.items()}
        source = ReportFetcher(store.reports, store.table, store.now)
        return Pages(load_pages(DASHBOARDS, declared), source, contracts)

    return Site(build)


class Pages:
    """All pages over one source of rows."""

    def __init__(
        self,
        dashboards: Mapping[str, Dashboard],
        source: ReportFetcher,
        contracts: Mapping[str, Contract],
        links: Links | None = None,
    ) -> None:
        """Take the links of the running function by default."""
        self.dashboards = dashboards
        self.links = links or Links(dashboards)
        self._source = source
        self._contracts = contracts

    def index(self) -> str:
        """Render the list of all pages."""
        dashboards = [(name, each.page) for name, each in self.dashboards.items()]
        return self._render_template(
            "index.html", title="All pages", current="", dashboards=dashboards
        )

    def page(self, name: str, parameters: Iterable[tuple[str, str]] = ()) -> str:
        """Render a page; raises KeyError for its name, BadRequestError for a choice."""
        return self.render(self.view(name, parameters))

    def view(self, name: str, parameters: Iterable[tuple[str, str]] = ()) -> PageView:
        """Build what a page shows, without HTML; raises as `page` does."""
        return page_view(self.dashboards[name], self._source, self._contracts, parameters)

    def render(self, view: PageView) -> str:
        """Render a page as HTML."""
        return self._render_template(
            "page.html", title=view.page.title, current=view.name, view=view
        )

    def problem(self, title: str, detail: str) -> str:
        """Render a page that says what is wrong with a request."""
        return self._render_template("problem.html", title=title, current="", detail=detail)

    def respond(self, request: Request) -> Response:
        """Answer a request for a page or a file."""
        name = request.path.strip("/")
        if name.startswith("assets/"):
            return static_response(name.removeprefix("assets/"), request)
        if name and name not in self.dashboards:
            page_names = ", ".join(f"/{each}" for each in self.dashboards)
            return self._html_response(
                request, 404, self.problem("No such page", f"There are {page_names}.")
            )
        try:
            body = self.page(name, request.args.items(multi=True)) if name else self.index()
        except BadRequestError as error:
            return self._html_response(
                request, 400, self.problem("This cannot be chosen", str(error))
            )
        return self._html_response(request, 200, body)

    def _html_response(self, request: Request, status: int, body: str) -> Response:
        """Answer with a page and its headers, or with 304 if the browser has it."""
        response = Response(body, status, HEADERS, content_type="text/html; charset=utf-8")
        if status != 200:
            return response
        response.cache_control.max_age = PAGE_SECONDS
        response.set_etag(hashlib.sha256(body.encode()).hexdigest()[:32], weak=True)
        response.vary.add("Accept-Encoding")
        response.make_conditional(request)
        if response.status_code == 304:
            response.set_data(b"")
        elif request.accept_encodings["gzip"]:
            response.set_data(gzip.compress(body.encode(), 6, mtime=0))
            response.headers["Content-Encoding"] = "gzip"
        return response

    def _render_template(self, template: str, **context: Any) -> str:
        return _templates().get_template(template).render(links=self.links, **context)


def in_script(document: object) -> Markup:
    """Encode JSON for a script element: no text in it can end the element or begin another."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - all characters of markup were replaced above


@lru_cache(maxsize=1)
def _templates() -> Environment:
    """Set up the templates: an undefined name is an error, and all text is escaped."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["json"] = in_script
    return environment
