"""Write every page as a file that opens from disk, and every chart as a picture.

It needs no browser. A picture has in itself what the page says next to the chart: origin, sample
size, how far the data reach, and whose they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import vl_convert
from google.cloud import bigquery

from catalog.records import Origin
from functions.core.clients import Clients
from functions.serve.pages.assets import Links, static_files
from functions.serve.pages.charts import LOCALE
from functions.serve.pages.data import ReportFetcher
from functions.serve.pages.formatting import ORIGINS
from functions.serve.pages.site import Pages
from functions.serve.pages.view_models import PageView, RowsView
from functions.serve.warehouse.report_store import ReportStore
from local_cloud.cli.declarations import Declarations

_WIDTH, _SCALE = 720, 1.5

_LINE = 130
"""Characters of a line under a picture's title."""

_TRIED = 20
"""Choices that are tried until one has rows for a chart."""


def write_pages(
    client: bigquery.Client, now: datetime, declared: Declarations, folder: Path
) -> list[Path]:
    """Write all pages, their files and a PNG of each chart with rows; return the pictures.

    The pages calculate the age of the data from `now`.
    """
    return _written(_pages(client, now, declared), folder)


def _written(pages: Pages, folder: Path) -> list[Path]:
    """Write pages, their files and pictures; return the pictures."""
    (folder / "assets").mkdir(parents=True, exist_ok=True)
    for each in static_files().values():
        (folder / "assets" / each.name).write_bytes(each.body)
    (folder / "index.html").write_text(pages.index(), encoding="utf-8")
    drawn = []
    for name in pages.dashboards:
        view = _chosen(pages, name)
        (folder / f"{name}.html").write_text(pages.render(view), encoding="utf-8")
        for chart in _drawn(view):
            path = folder / _picture(name, chart.anchor)
            path.write_bytes(picture(view, chart))
            drawn.append(path)
    return drawn


def picture(view: PageView, chart: RowsView) -> bytes:
    """Draw a chart as PNG, on white, with its title and what a reader must know about it."""
    drawing: dict[str, Any] = dict(chart.drawing or {})
    drawing |= {
        "width": _WIDTH,
        "background": "#ffffff",
        "padding": 12,
        "title": _title(view, chart),
    }
    drawing["autosize"] = {"type": "pad"}
    return vl_convert.vegalite_to_png(
        drawing, scale=_SCALE, format_locale=LOCALE, allowed_base_urls=[]
    )


class _DiskLinks(Links):
    """Links of pages that lie next to each other in a folder, with no function behind them."""

    api = ""
    picture: Callable[[str, str], str] | None = staticmethod(
        lambda page, chart: _picture(page, chart)
    )

    def page(self, name: str) -> str:
        """Name a page's file."""
        return f"{name or 'index'}.html"

    def static(self, name: str) -> str:
        """Name a file's copy."""
        return f"assets/{static_files()[name].name}"


class _ExistingClients(Clients):
    """A client that exists already."""

    def __init__(self, client: bigquery.Client) -> None:
        self.bigquery = client


def _pages(client: bigquery.Client, now: datetime, declared: Declarations) -> Pages:
    """Build the pages over a warehouse, with links that work from disk."""
    answers = ReportStore(_ExistingClients(client), declared.reports, now=lambda: now)
    source = ReportFetcher(declared.reports, answers.table, lambda: now)
    return Pages(declared.pages, source, declared.contracts, _DiskLinks(declared.pages))


def _chosen(pages: Pages, name: str) -> PageView:
    """Fill each chart that needs a choice with the first choice that has rows."""
    view = pages.view(name)
    waiting = {each.name: each.needs for each in view.page.charts if each.needs}
    found = {chart: _first(pages, view, chart, column) for chart, column in waiting.items()}
    sections = (
        replace(section, charts=tuple(found.get(c.anchor, c) for c in section.charts))
        for section in view.sections
    )
    return replace(view, sections=tuple(sections))


def _first(pages: Pages, view: PageView, chart: str, column: str) -> RowsView:
    """Build a chart for the first choice that has rows, and name the choice in its title.

    If no choice has rows, the chart says so: on a page on disk nobody can choose.
    """
    [(choices, label)] = ((f.choices, f.label) for f in view.filters if f.column == column)
    for one in choices[:_TRIED]:
        rows_views = _drawn(pages.view(view.name, [(column, one.value)]))
        found = next((each for each in rows_views if each.anchor == chart), None)
        if found:
            return replace(found, title=f"{found.title}: {one.text}")
    [waiting] = (c for section in view.sections for c in section.charts if c.anchor == chart)
    count = min(len(choices), _TRIED)
    return replace(
        waiting, empty_reason=f"No rows for the first {count} choices of {label.lower()}."
    )


def _drawn(view: PageView) -> Iterator[RowsView]:
    """List the charts of a page that have rows."""
    for section in view.sections:
        yield from (chart for chart in section.charts if chart.drawing is not None)


def _picture(page: str, chart: str) -> str:
    """Name the file of a chart's picture."""
    return f"{page}_{chart}.png"


def _title(view: PageView, chart: RowsView) -> dict[str, Any]:
    """Build a picture's title, and under it what a page says around a chart."""
    marked = _mark(chart.origin)
    sources = "; ".join(dict.fromkeys(contract.attribution for contract in view.sources))
    return {
        "text": chart.title,
        "subtitle": [*_lines(marked + chart.as_of_note), *_lines(sources)],
        "anchor": "start",
        "fontSize": 17,
        "subtitleFontSize": 11,
        "subtitleColor": "#545b64",
        "offset": 14,
    }


def _mark(origin: str) -> str:
    """Build the warning on rows that are not the publisher's, its first word in capitals."""
    if not origin:
        return ""
    kind, _, explanation = ORIGINS[Origin(origin)].partition(":")
    return f"{kind.upper()} DATA:{explanation}. "


def _lines(text: str) -> Iterator[str]:
    """Break a text into lines of a picture's width."""
    line = ""
    for word in text.split(" "):
        if line and len(line) + len(word) > _LINE:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    yield line
