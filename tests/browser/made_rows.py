"""Synthetic rows for any report, from its declaration alone: enough for a page to have all its parts.

They are no measure of anything. A text column takes the values that pages choose by or draw in an
order, so that every part finds rows; a filter's value is the same in every report.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from catalog.pages import Page
from catalog.reports import Declaration, ReportColumn

COUNT = 60
"""Rows of a report, where its key has room for so many."""

Values = Mapping[str, Sequence[Any]]
"""Column → the values that it takes in turn."""


def wanted(dashboards: Path) -> dict[str, Values]:
    """Report → column → the values that pages choose its rows by, or that a drawing orders."""
    found: defaultdict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(dashboards.glob("*.toml")):
        page = msgspec.toml.decode(path.read_bytes(), type=Page)
        for part in (*page.figures, *page.charts, *page.tables):
            for column, values in part.where.items():
                found[part.report][column] += values
        for chart in page.charts:
            drawing = path.with_suffix("") / f"{chart.name}.vl.json"
            for column, named in _drawn(json.loads(drawing.read_text(encoding="utf-8"))):
                found[chart.report][column] += named
    return {
        report: {column: list(dict.fromkeys(values)) for column, values in columns.items()}
        for report, columns in found.items()
    }


def made(declared: Declaration, columns: Sequence[ReportColumn], values: Values) -> list[Any]:
    """Rows of a report as BigQuery's client inserts them: unique keys, nothing null, synthetic."""
    chosen = {c.name: values[c.name] for c in columns if c.type == "STRING" and values.get(c.name)}
    keys = sorted(declared.key, key=lambda name: (name not in chosen, name))
    rows = []
    for number in range(COUNT):
        places, stride = {}, 1
        for name in keys:
            size = len(chosen.get(name, ())) or (5 if name != keys[-1] else COUNT)
            places[name] = number // stride % size
            stride *= size
        if number >= stride:
            break
        rows.append({c.name: _value(c, places.get(c.name, number), chosen) for c in columns})
    return rows


_TODAY = date.today()
_NEWEST = ("data_as_of", "fetched_at")
"""Columns that have one value in all rows: now."""


def _value(column: ReportColumn, at: int, chosen: Values) -> Any:
    """The value of a column in its row of this number."""
    name = column.name
    match column.type:
        case "STRING":
            return "synthetic" if name == "origin" else _text(name, at, chosen)
        case "INT64":
            return _whole(name, at)
        case "FLOAT64" | "NUMERIC":
            return _real(column, at)
        case "BOOL":
            return at % 2 == 0
        case "DATE":
            return _day(name, at).isoformat()
        case "TIMESTAMP":
            hours = 0 if name in _NEWEST else at
            return (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
    return f"POINT({2.25 + at % 10 / 50} {48.82 + at // 10 / 50})"


def _text(name: str, at: int, chosen: Values) -> str:
    own = chosen.get(name) or [f"{name} {number:02d}" for number in range(60)]
    return str(own[at % len(own)])


def _whole(name: str, at: int) -> int:
    if name == "year":
        return _TODAY.year - at
    if "hour" in name:
        return at % 24
    if name == "weekday_number":
        return at % 7 + 1
    return at + 1 if name == "rank" else _wave(name, at) + 3


def _real(column: ReportColumn, at: int) -> float:
    if column.name in ("lat", "latitude"):
        return 48.82 + at // 10 / 60
    if column.name in ("lon", "longitude"):
        return 2.25 + at % 10 / 60
    return float(_wave(column.name, at))


def _wave(name: str, at: int) -> int:
    """A number below 101 that differs by row and by column."""
    return (at * 37 + sum(name.encode())) % 101


def _day(name: str, at: int) -> date:
    if name != "month":
        return _TODAY - timedelta(days=at + 1)
    months = _TODAY.year * 12 + _TODAY.month - 2 - at
    return date(months // 12, months % 12 + 1, 1)


def _drawn(node: Any) -> Iterator[tuple[str, list[Any]]]:
    """The values in a given order, of the fields of a drawing that have one."""
    if isinstance(node, dict):
        scale, sort = node.get("scale"), node.get("sort")
        for values in ((scale or {}).get("domain") if isinstance(scale, dict) else None, sort):
            if "field" in node and isinstance(values, list):
                yield node["field"], [each for each in values if isinstance(each, str)]
        for value in node.values():
            yield from _drawn(value)
    elif isinstance(node, list):
        for value in node:
            yield from _drawn(value)
