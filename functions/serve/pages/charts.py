"""A chart's Vega-Lite specification, with the data, titles and look that no page declares.

The result is plain Vega-Lite. The browser draws it from the page's own JSON, and the local cloud draws
the same document as a picture without a browser.
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
"""Look of all charts; colours of text and lines follow the reader's light or dark mode."""

TIMES: dict[str, Any] = {
    "format": {
        "year": "%Y", "quarter": "%b", "month": "%b", "week": "%-d %b", "date": "%-d %b",
        "day": "%-d %b", "hours": "%H:%M", "minutes": "%H:%M",
    }
}  # fmt: skip
"""Axis of times: each label is as precise as its tick, on a clock of 24 hours."""

_LEGEND_OFFSET = 36
"""Pixels between a legend and a drawing, if the axis title is between the two."""

_SMALL_BELOW = 10
"""Numbers below this have three digits in a tooltip."""

_ONE_PLACE_HEIGHT = 60

_FRAME = {
    "width": "container",
    "height": 300,
    "autosize": {"type": "fit-x", "contains": "padding"},
}


def render_vega_spec(
    drawing: Mapping[str, Any], chart: Chart, table: ResultTable
) -> dict[str, Any]:
    """Build a chart's specification with rows, tooltips and titles with units.

    A map has only the rows that have a place, which may be none.
    """
    columns = {column.name: column for column in table.columns}
    labels = {name: _label(text, columns[name]) for name, text in chart.columns.items()}
    rows = [
        {column.name: _chart_value(value) for column, value in zip(table.columns, row, strict=True)}
        for row in table.rows
    ]
    coordinates = _coordinate_columns(drawing)
    rows = [row for row in rows if all(row[name] is not None for name in coordinates)]
    tips = [
        _tip(name, columns[name], text, [row[name] for row in rows])
        for name, text in labels.items()
        if name not in coordinates
    ]
    spec = _FRAME | _add_titles(drawing, labels, tips)
    spec["height"] = _height(spec, rows)
    return {
        "$schema": SCHEMA,
        "description": f"{chart.title}. {chart.note}",
        **spec,
        "data": {"values": rows},
        "config": _look(spec),
        "usermeta": {"locale": LOCALE},
    }


def sample(chart: Chart, table: ResultTable) -> int:
    """Sum the sample sizes of all rows; a sample that several rows share counts once."""
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


def _add_titles(node: Any, labels: Mapping[str, str], tips: list[dict[str, Any]]) -> Any:
    """Add titles, labels of times and tooltips to a part of a specification."""
    if isinstance(node, list):
        return [_add_titles(each, labels, tips) for each in node]
    if not isinstance(node, dict):
        return node
    titled = {key: _add_titles(each, labels, tips) for key, each in node.items()}
    if isinstance(titled.get("field"), str) and "title" not in titled:
        titled["title"] = labels.get(titled["field"], titled["field"])
    if titled.get("type") == "temporal":
        titled["axis"] = TIMES | titled.get("axis", {})
    if "mark" in titled and "encoding" in titled:
        titled["encoding"] = {"tooltip": tips, **titled["encoding"]}
    return titled


def _coordinate_columns(drawing: Mapping[str, Any]) -> tuple[str, ...]:
    """List the columns with the coordinates of a map's marks; none for other charts."""
    encoding = drawing.get("encoding", {})
    return tuple(encoding[name]["field"] for name in ("longitude", "latitude") if name in encoding)


def _look(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Build the look; the legend leaves room for the title of the y axis."""
    parts = [spec, *spec.get("layer", ())]
    titles = [part.get("encoding", {}).get("y", {}).get("title") for part in parts]
    legend = CONFIG["legend"] | ({"offset": _LEGEND_OFFSET} if any(titles) else {})
    return CONFIG | {"legend": legend}


def _height(spec: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> int:
    """Compute a chart's height in pixels; with a step for each value of y, all steps together.

    A map with one place has no neighbours to show, so it is one line high.
    """
    height = spec["height"]
    if "projection" in spec and len(rows) == 1:
        return _ONE_PLACE_HEIGHT
    if not isinstance(height, dict):
        return int(height)
    field = spec["encoding"]["y"]["field"]
    return int(height["step"]) * max(1, len({row[field] for row in rows}))


def _label(text: str, column: ReportColumn) -> str:
    """Build a column's label, with its unit if the text does not name it.

    The label is one line: Vega's expressions accept no name with a line's end such as U+2028.
    """
    text = " ".join(text.split())
    unit_is_named = not column.unit or column.unit.lower() in text.lower()
    return text if unit_is_named else f"{text}, {column.unit}"


def _tip(
    name: str, column: ReportColumn, label: str, values: Sequence[str | float | None]
) -> dict[str, Any]:
    """Build one line of a mark's tooltip."""
    tip: dict[str, Any] = {"field": name, "title": label, "type": "nominal"}
    if column.type in ("FLOAT64", "NUMERIC"):
        return tip | {"type": "quantitative", "format": ",.3~r" if _is_small(values) else ",.1~f"}
    if column.type == "INT64" and column.unit:
        return tip | {"type": "quantitative", "format": ",d"}
    return tip


def _is_small(values: Sequence[str | float | None]) -> bool:
    """Return whether all numbers are too small to differ in one digit after the point."""
    return all(abs(each) < _SMALL_BELOW for each in values if isinstance(each, (int, float)))


def _chart_value(value: Value) -> str | int | float | bool | None:
    """Convert a value for a chart; numbers are rounded to six digits, which looks the same."""
    if isinstance(value, (float, Decimal)):
        return float(f"{value:.6g}")
    return value_codec.to_json_value(value)
