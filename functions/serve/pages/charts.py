"""A chart's specification with everything that the page does not declare: data, titles, look.

What comes out is plain Vega-Lite: the browser draws it from the page's own JSON, and the same
document becomes a picture without a browser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from catalog.pages import Chart
from catalog.reports import SAMPLE_SIZE, ReportColumn
from functions.serve import value_codec
from functions.serve.warehouse.result import ResultTable, Value

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"

PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#b8a600")
"""Okabe and Ito's colours (Color Universal Design, 2008), the yellow darkened for white paper."""

LOCALE = {
    "decimal": ".",
    "thousands": "\N{NARROW NO-BREAK SPACE}",
    "grouping": [3],
    "currency": ["", ""],
}
"""How d3 writes numbers, for the browser and for pictures."""

CONFIG: dict[str, Any] = {
    "background": None,
    "font": "system-ui, sans-serif",
    "range": {"category": list(PALETTE)},
    "view": {"stroke": None},
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "gridOpacity": 0.4},
    "axisX": {"grid": False, "labelOverlap": True, "labelSeparation": 5},
    "axisY": {"titleAngle": 0, "titleAlign": "left", "titleAnchor": "start", "titleX": 0,
              "titleY": -14, "domain": False, "ticks": False, "labelLimit": 260},
    "legend": {"orient": "top", "offset": 14, "titleLimit": 0, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
               "gradientOpacity": 1, "layout": {"top": {"direction": "vertical", "anchor": "start", "margin": 8}}},
    "mark": {"color": PALETTE[0]},
    "point": {"opacity": 0.95},
    "text": {"fontSize": 11},
}  # fmt: skip
"""The look of all charts; colours of text and lines follow the reader's light or dark."""

TIMES: dict[str, Any] = {
    "format": {
        "year": "%Y", "quarter": "%b", "month": "%b", "week": "%-d %b", "date": "%-d %b",
        "day": "%-d %b", "hours": "%H:%M", "minutes": "%H:%M",
    }
}  # fmt: skip
"""An axis of times: each label as fine as its tick, on a clock of 24 hours."""

_OVER_TITLE = 36
"""Pixels between a legend and a drawing whose axis has its title on top, between the two."""

_SMALL = 10
"""Below it a number has three digits in a tip."""

_LONE = 60

_FRAME = {
    "width": "container",
    "height": 300,
    "autosize": {"type": "fit-x", "contains": "padding"},
}


def render_vega_spec(
    drawing: Mapping[str, Any], chart: Chart, table: ResultTable
) -> dict[str, Any]:
    """The specification of a chart with its rows, a title with unit on every channel, and tips.

    A map has the rows that have a place; it may be left with none.
    """
    known = {column.name: column for column in table.columns}
    labels = {name: _label(text, known[name]) for name, text in chart.columns.items()}
    rows = [
        {column.name: _plain(value) for column, value in zip(table.columns, row, strict=True)}
        for row in table.rows
    ]
    places = _places(drawing)
    rows = [row for row in rows if all(row[name] is not None for name in places)]
    tips = [
        _tip(name, known[name], text, [row[name] for row in rows])
        for name, text in labels.items()
        if name not in places
    ]
    whole = _FRAME | _titled(drawing, labels, tips)
    whole["height"] = _height(whole, rows)
    return {
        "$schema": SCHEMA,
        "description": f"{chart.title}. {chart.note}",
        **whole,
        "data": {"values": rows},
        "config": _look(whole),
        "usermeta": {"locale": LOCALE},
    }


def sample(chart: Chart, table: ResultTable) -> int:
    """How many rows of the lake all rows together rest on; what several share counts once."""
    names = [column.name for column in table.columns]
    sizes = [int(str(row[names.index(SAMPLE_SIZE)] or 0)) for row in table.rows]
    if not chart.sample_shared_by:
        return sum(sizes)
    own = [names.index(name) for name in table.declared.key if name != chart.sample_shared_by]
    return sum(
        {
            tuple(row[at] for at in own): size for row, size in zip(table.rows, sizes, strict=True)
        }.values()
    )


def _titled(node: Any, labels: Mapping[str, str], tips: list[dict[str, Any]]) -> Any:
    """A part of a specification with what is not declared: titles, labels of times, tips of marks."""
    if isinstance(node, list):
        return [_titled(each, labels, tips) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: _titled(each, labels, tips) for key, each in node.items()}
    if isinstance(made.get("field"), str) and "title" not in made:
        made["title"] = labels.get(made["field"], made["field"])
    if made.get("type") == "temporal":
        made["axis"] = TIMES | made.get("axis", {})
    if "mark" in made and "encoding" in made:
        made["encoding"] = {"tooltip": tips, **made["encoding"]}
    return made


def _places(drawing: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that put the marks of a map where they are; none for other charts."""
    encoding = drawing.get("encoding", {})
    return tuple(encoding[name]["field"] for name in ("longitude", "latitude") if name in encoding)


def _look(whole: Mapping[str, Any]) -> dict[str, Any]:
    """The look, with the legend where the title of the upright axis leaves it room."""
    parts = [whole, *whole.get("layer", ())]
    titles = [part.get("encoding", {}).get("y", {}).get("title") for part in parts]
    legend = CONFIG["legend"] | ({"offset": _OVER_TITLE} if any(titles) else {})
    return CONFIG | {"legend": legend}


def _height(whole: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> int:
    """A chart's height in pixels; of one that has a step for each value of y, as many as it has.

    One place alone has no neighbours to lie beside: its map is a line high.
    """
    height = whole["height"]
    if "projection" in whole and len(rows) == 1:
        return _LONE
    if not isinstance(height, dict):
        return int(height)
    field = whole["encoding"]["y"]["field"]
    return int(height["step"]) * max(1, len({row[field] for row in rows}))


def _label(text: str, column: ReportColumn) -> str:
    """What a column is called, and its unit where that says more.

    On one line: a name with a line's end in it, as U+2028, is no key of an expression of Vega's.
    """
    text = " ".join(text.split())
    known = not column.unit or column.unit.lower() in text.lower()
    return text if known else f"{text}, {column.unit}"


def _tip(
    name: str, column: ReportColumn, label: str, shown: Sequence[str | float | None]
) -> dict[str, Any]:
    """One line of what a mark says when it is pointed at."""
    tip: dict[str, Any] = {"field": name, "title": label, "type": "nominal"}
    if column.type in ("FLOAT64", "NUMERIC"):
        return tip | {"type": "quantitative", "format": ",.3~r" if _is_small(shown) else ",.1~f"}
    if column.type == "INT64" and column.unit:
        return tip | {"type": "quantitative", "format": ",d"}
    return tip


def _is_small(shown: Sequence[str | float | None]) -> bool:
    """Whether numbers are so small that one digit after the point would tell them apart no more."""
    return all(abs(each) < _SMALL for each in shown if isinstance(each, (int, float)))


def _plain(value: Value) -> str | int | float | bool | None:
    """A value as a chart takes it: a number to six digits, which no eye tells from all of them."""
    if isinstance(value, (float, Decimal)):
        return float(f"{value:.6g}")
    return value_codec.to_json_value(value)
