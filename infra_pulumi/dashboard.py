"""The dashboard: a chart for each watched metric, with the line at which an alert fires."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from infra_pulumi.alerts import Alert
from infra_pulumi.conditions import AlertCondition

COLUMNS, WIDTH, HEIGHT = 48, 16, 12
"""The columns of Cloud Monitoring's grid, and the size of a tile."""


def dashboard(watched: Iterable[Alert]) -> dict[str, Any]:
    """Return the dashboard for Cloud Monitoring's API; alerts on one metric share a chart.

    Zeros and empty lists are left out, because the API leaves them out too: otherwise each preview
    would report them as a difference.
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


def _chart(spec: AlertCondition) -> dict[str, Any]:
    summed = {"alignmentPeriod": f"{spec.period}s", "perSeriesAligner": spec.aligner}
    if spec.by:
        summed["crossSeriesReducer"] = "REDUCE_SUM"
    query = {
        "timeSeriesFilter": {
            "filter": spec.filter,
            "aggregation": summed | ({"groupByFields": [spec.by]} if spec.by else {}),
        }
    }
    chart: dict[str, Any] = {"dataSets": [{"plotType": "LINE", "timeSeriesQuery": query}]}
    return chart | ({"thresholds": [{"value": spec.threshold}]} if spec.threshold else {})
