"""Pages as HTML: `/`, `/<page>` and the files under `/assets`, compressed, checked and locked down.

A page's filters are a form by GET, so a choice is an address. Nothing on a page comes from another
origin, and its policy forbids inline script and style; data lie in blocks of JSON.
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
from functions.serve.pages.view_models import PageView, page_view
from functions.serve.warehouse.report_store import ReportStore

DASHBOARDS = HERE.parents[2] / "dashboards"
"""Where the functions' archive keeps the pages, and the repository too."""

PAGE_SECONDS = 60
"""How long a browser may show a page again without asking."""


class Site:
    """The pages and their files; what it needs of declarations is read with the first page."""

    def __init__(self, make: Callable[[], Pages]) -> None:
        """`make` gives the pages; it raises PageError for a declaration at fault."""
        self._make = make

    def respond(self, request: Request) -> Response:
        """The answer to a request; raises NotFound where nobody is told who reads HTML."""
        name = request.path.strip("/")
        if name.startswith("assets/"):
            return static_response(name.removeprefix("assets/"), request)
        known = {"", *(path.stem for path in DASHBOARDS.glob("*.toml"))}
        if name not in known and not request.accept_mimetypes.accept_html:
            raise NotFound
        return self._pages.respond(request)

    @cached_property
    def _pages(self) -> Pages:
        """The pages, made once."""
        return self._make()


def site(answers: ReportStore, contracts: Mapping[str, Contract]) -> Site:
    """The pages over what the warehouse answers."""

    def make() -> Pages:
        """Read the pages, checked against the reports."""
        declared = {name: each.declared for name, each in answers.shown.items()}
        source = ReportFetcher(answers.shown, answers.table, answers.now)
        return Pages(load_pages(DASHBOARDS, declared), source, contracts)

    return Site(make)


class Pages:
    """All pages over one source of answers."""

    def __init__(
        self,
        dashboards: Mapping[str, Dashboard],
        source: ReportFetcher,
        contracts: Mapping[str, Contract],
        links: Links | None = None,
    ) -> None:
        """Links lead to the running function where none are given."""
        self.dashboards = dashboards
        self.links = links or Links(dashboards)
        self._source = source
        self._contracts = contracts

    def index(self) -> str:
        """The list of all pages."""
        dashboards = [(name, each.page) for name, each in self.dashboards.items()]
        return self._filled("index.html", title="All pages", current="", dashboards=dashboards)

    def page(self, name: str, parameters: Iterable[tuple[str, str]] = ()) -> str:
        """A page; raises KeyError for one that is none, BadRequest for what cannot be chosen."""
        return self.shown(self.view(name, parameters))

    def view(self, name: str, parameters: Iterable[tuple[str, str]] = ()) -> PageView:
        """What a page shows, for whoever draws it otherwise; raises as `page` does."""
        return page_view(self.dashboards[name], self._source, self._contracts, parameters)

    def shown(self, view: PageView) -> str:
        """A page as HTML."""
        return self._filled("page.html", title=view.page.title, current=view.name, view=view)

    def problem(self, title: str, detail: str) -> str:
        """A page that says what is wrong with a request."""
        return self._filled("problem.html", title=title, current="", detail=detail)

    def respond(self, request: Request) -> Response:
        """The answer to a request for a page or a file."""
        name = request.path.strip("/")
        if name.startswith("assets/"):
            return static_response(name.removeprefix("assets/"), request)
        if name and name not in self.dashboards:
            known = ", ".join(f"/{each}" for each in self.dashboards)
            return self._told(request, 404, self.problem("No such page", f"There are {known}."))
        try:
            body = self.page(name, request.args.items(multi=True)) if name else self.index()
        except BadRequestError as error:
            return self._told(request, 400, self.problem("This cannot be chosen", str(error)))
        return self._told(request, 200, body)

    def _told(self, request: Request, status: int, body: str) -> Response:
        """A page with its headers; 304 where the browser has it."""
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

    def _filled(self, template: str, **known: Any) -> str:
        """A template with what it shows."""
        return _templates().get_template(template).render(links=self.links, **known)


def in_script(document: object) -> Markup:
    """JSON that may stand in a script element: nothing in it can end the element or begin another."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - what markup is made of has just been replaced


@lru_cache(maxsize=1)
def _templates() -> Environment:
    """The templates; a name that is not given is an error, and all text is escaped."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["json"] = in_script
    return made
