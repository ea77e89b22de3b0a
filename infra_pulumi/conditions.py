"""What alerts fire at, and how Cloud Monitoring is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi_gcp as gcp

from infra_pulumi.log_metrics import LOG_METRICS

_METRIC = "logging.googleapis.com/user/"

ConditionArgs = gcp.monitoring.AlertPolicyConditionArgs


@dataclass(frozen=True)
class IamCondition:
    """What an alert fires at: a threshold that is exceeded, or lines that stay away."""

    filter: str
    threshold: float = 0
    aligner: str = "ALIGN_DELTA"
    period: int = 300
    """Seconds that a point sums up."""
    lasting: int = 0
    """Seconds that it must hold."""
    by: str = ""
    """Label that time series are told apart by."""
    absent: bool = False


def counted(name: str) -> IamCondition:
    """That lines of a log metric were written."""
    metric = next(metric for metric in LOG_METRICS if metric.name == name)
    return IamCondition(
        f'metric.type="{_METRIC}{name}" AND resource.type="cloud_run_revision"',
        by=f"metric.label.{metric.label}",
    )


def condition(title: str, told: IamCondition) -> ConditionArgs:
    """A condition as an alert policy takes it."""
    if told.absent:
        return ConditionArgs(
            display_name=title,
            condition_absent=gcp.monitoring.AlertPolicyConditionConditionAbsentArgs(
                filter=told.filter,
                duration=f"{told.lasting}s",
                aggregations=[
                    gcp.monitoring.AlertPolicyConditionConditionAbsentAggregationArgs(
                        **aggregation(told)
                    )
                ],
            ),
        )
    return ConditionArgs(
        display_name=title,
        condition_threshold=gcp.monitoring.AlertPolicyConditionConditionThresholdArgs(
            filter=told.filter,
            comparison="COMPARISON_GT",
            threshold_value=told.threshold,
            duration=f"{told.lasting}s",
            aggregations=[
                gcp.monitoring.AlertPolicyConditionConditionThresholdAggregationArgs(
                    **aggregation(told)
                )
            ],
        ),
    )


def aggregation(told: IamCondition) -> dict[str, Any]:
    """How points are summed up, as Cloud Monitoring names it."""
    reducer = "REDUCE_MAX" if told.aligner == "ALIGN_MAX" else "REDUCE_SUM"
    groups = {"group_by_fields": [told.by]} if told.by else {}
    return {
        "alignment_period": f"{told.period}s",
        "per_series_aligner": told.aligner,
        "cross_series_reducer": reducer,
    } | groups
