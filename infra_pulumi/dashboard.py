"""The dashboard: a chart for each thing that is watched, with the line at which an alert fires."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from infra_pulumi.alerts import Alert
from infra_pulumi.conditions import IamCondition

COLUMNS, WIDTH, HEIGHT = 48, 16, 12
"""The grid that Cloud Monitoring lays tiles on, and a tile's part of it."""


def dashboard(watched: Iterable[Alert]) -> dict[str, Any]:
    """The dashboard as Cloud Monitoring's API takes it; alerts on one metric share a chart.

    Zeros and empty lists are left out as the API leaves them out: otherwise each preview would
    find them missing.
    """
    by_metric: dict[str, Alert] = {}
    for alert in watched:
        by_metric.setdefault(alert.condition.filter.partition(" AND ")[0], alert)
    tiles = [_tile(number, alert) for number, alert in enumerate(by_metric.values())]
    return {
        "displayName": "citypulse",
        "mosaicLayout": {"columns": COLUMNS, "tiles": tiles},
    }


def _tile(number: int, alert: Alert) -> dict[str, Any]:
    down, across = divmod(number, COLUMNS // WIDTH)
    place = {"xPos": across * WIDTH, "yPos": down * HEIGHT}
    return {
        **{axis: value for axis, value in place.items() if value},
        "width": WIDTH,
        "height": HEIGHT,
        "widget": {"title": alert.title, "xyChart": _chart(alert.condition)},
    }


def _chart(told: IamCondition) -> dict[str, Any]:
    summed = {"alignmentPeriod": f"{told.period}s", "perSeriesAligner": told.aligner}
    if told.by:
        summed["crossSeriesReducer"] = "REDUCE_SUM"
    query = {
        "timeSeriesFilter": {
            "filter": told.filter,
            "aggregation": summed | ({"groupByFields": [told.by]} if told.by else {}),
        }
    }
    chart: dict[str, Any] = {"dataSets": [{"plotType": "LINE", "timeSeriesQuery": query}]}
    return chart | ({"thresholds": [{"value": told.threshold}]} if told.threshold else {})
