"""Conditions of alerts, and their form in Cloud Monitoring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi_gcp as gcp

from infra_pulumi.log_metrics import LOG_METRICS

_METRIC = "logging.googleapis.com/user/"

ConditionArgs = gcp.monitoring.AlertPolicyConditionArgs


@dataclass(frozen=True)
class AlertCondition:
    """A condition of an alert: a threshold that is exceeded, or lines that are absent."""

    filter: str
    threshold: float = 0
    aligner: str = "ALIGN_DELTA"
    period: int = 300
    """Seconds that one point sums up."""
    lasting: int = 0
    """Seconds that it must hold."""
    by: str = ""
    """Label that separates the time series."""
    absent: bool = False


def counted(name: str) -> AlertCondition:
    """Return the condition that lines of a log metric were written."""
    metric = next(metric for metric in LOG_METRICS if metric.name == name)
    return AlertCondition(
        f'metric.type="{_METRIC}{name}" AND resource.type="cloud_run_revision"',
        by=f"metric.label.{metric.label}",
    )


def condition(title: str, spec: AlertCondition) -> ConditionArgs:
    """Return a condition in the form of an alert policy."""
    if spec.absent:
        return ConditionArgs(
            display_name=title,
            condition_absent=gcp.monitoring.AlertPolicyConditionConditionAbsentArgs(
                filter=spec.filter,
                duration=f"{spec.lasting}s",
                aggregations=[
                    gcp.monitoring.AlertPolicyConditionConditionAbsentAggregationArgs(
                        **aggregation(spec)
                    )
                ],
            ),
        )
    return ConditionArgs(
        display_name=title,
        condition_threshold=gcp.monitoring.AlertPolicyConditionConditionThresholdArgs(
            filter=spec.filter,
            comparison="COMPARISON_GT",
            threshold_value=spec.threshold,
            duration=f"{spec.lasting}s",
            aggregations=[
                gcp.monitoring.AlertPolicyConditionConditionThresholdAggregationArgs(
                    **aggregation(spec)
                )
            ],
        ),
    )


def aggregation(spec: AlertCondition) -> dict[str, Any]:
    """Return how points are aggregated, in the terms of Cloud Monitoring."""
    reducer = "REDUCE_MAX" if spec.aligner == "ALIGN_MAX" else "REDUCE_SUM"
    groups = {"group_by_fields": [spec.by]} if spec.by else {}
    return {
        "alignment_period": f"{spec.period}s",
        "per_series_aligner": spec.aligner,
        "cross_series_reducer": reducer,
    } | groups
