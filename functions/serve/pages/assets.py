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
"""No inline script or style, no eval, nothing from elsewhere."""

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
    """A file of ours under the name that its content gives it."""

    name: str
    body: bytes

    @property
    def type(self) -> str:
        """Its media type."""
        return _TYPES[Path(self.name).suffix]

    @cached_property
    def packed(self) -> bytes:
        """Its body, compressed."""
        return gzip.compress(self.body, mtime=0)


@lru_cache(maxsize=1)
def static_files() -> Mapping[str, StaticFile]:
    """Every file of `static/` by its plain name, as `vega.js`; its own name bears its hash."""
    return {
        path.name: _hashed(path)
        for path in sorted((HERE / "static").iterdir())
        if path.suffix in _TYPES
    }


class Links:
    """Where a page's links lead in the running function; a copy on disk has links of its own."""

    api = "/api/v1/"
    picture: Callable[[str, str], str] | None = None

    def __init__(self, dashboards: Mapping[str, Dashboard]) -> None:
        """The pages stand in every page's head."""
        self.pages = [(name, each.page.title) for name, each in dashboards.items()]

    def page(self, name: str) -> str:
        """A page; the empty name is the list of all."""
        return f"/{quote(name)}"

    def static(self, name: str) -> str:
        """A file by its plain name."""
        return f"/assets/{static_files()[name].name}"


def _hashed(path: Path) -> StaticFile:
    """A file under a name with its hash."""
    body = path.read_bytes()
    return StaticFile(f"{path.stem}.{hashlib.sha256(body).hexdigest()[:16]}{path.suffix}", body)


def static_response(name: str, request: Request) -> Response:
    """A file by the name with its hash, for a year; any other name is not there."""
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
