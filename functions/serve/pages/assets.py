"""Static files of the pages, under names that change with their content."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from urllib.parse import quote

from flask import Request, Response

from catalog.pages import Dashboard

HERE = Path(__file__).parent

POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'",
        "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'",
    )
)  # fmt: skip
"""No inline script or style, no eval, nothing from another origin."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}

YEAR_SECONDS = 31_536_000

_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}


@dataclass(frozen=True)
class StaticFile:
    """A static file under a name that has the hash of its content."""

    name: str
    body: bytes

    @property
    def type(self) -> str:
        """Media type of the file."""
        return _TYPES[Path(self.name).suffix]

    @cached_property
    def packed(self) -> bytes:
        """Body of the file, compressed by gzip."""
        return gzip.compress(self.body, mtime=0)


@lru_cache(maxsize=1)
def static_files() -> Mapping[str, StaticFile]:
    """Read every file of `static/`, by its plain name such as `vega.js`."""
    return {
        path.name: _hashed(path)
        for path in sorted((HERE / "static").iterdir())
        if path.suffix in _TYPES
    }


class Links:
    """Link targets of pages in the running function; a copy on disk has other ones."""

    api = "/api/v1/"
    picture: Callable[[str, str], str] | None = None

    def __init__(self, dashboards: Mapping[str, Dashboard]) -> None:
        """List the pages for the navigation of every page."""
        self.pages = [(name, each.page.title) for name, each in dashboards.items()]

    def page(self, name: str) -> str:
        """Return the address of a page; an empty name means the list of all pages."""
        return f"/{quote(name)}"

    def static(self, name: str) -> str:
        """Return the address of a static file, by its plain name."""
        return f"/assets/{static_files()[name].name}"


def _hashed(path: Path) -> StaticFile:
    body = path.read_bytes()
    return StaticFile(f"{path.stem}.{hashlib.sha256(body).hexdigest()[:16]}{path.suffix}", body)


def static_response(name: str, request: Request) -> Response:
    """Answer with a file by the name with its hash, cached for a year; else with 404."""
    found = next((each for each in static_files().values() if each.name == name), None)
    if found is None:
        return Response("no such file\n", 404, HEADERS, content_type="text/plain; charset=utf-8")
    packed = bool(request.accept_encodings["gzip"])
    response = Response(
        found.packed if packed else found.body,
        200,
        HEADERS,
        content_type=f"{found.type}; charset=utf-8",
    )
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    response.vary.add("Accept-Encoding")
    response.headers["Cache-Control"] = f"public, max-age={YEAR_SECONDS}, immutable"
    return response
