"""Watch: log metrics, alert policies that name their runbook entry, whom they tell, a dashboard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_gcp as gcp

from catalog.contract import Contract
from infra_pulumi.alerts import LOG_METRICS, Alert, Condition, LogMetric, alerts
from infra_pulumi.config import StackConfig
from infra_pulumi.dashboard import dashboard

RUNBOOK = "docs/runbook.md"
_CLOSE = "1800s"

Strategy = gcp.monitoring.AlertPolicyAlertStrategyArgs
ConditionArgs = gcp.monitoring.AlertPolicyConditionArgs
Documentation = gcp.monitoring.AlertPolicyDocumentationArgs


@dataclass(frozen=True)
class WatchArgs:
    """What is watched, and from when a log metric is known to alerts."""

    config: StackConfig
    contracts: Mapping[str, Contract]
    settle: pulumi.ResourceHookBinding


class Watch(pulumi.ComponentResource):
    """Metrics, alerts, channels and the dashboard."""

    channels: list[pulumi.Output[str]]
    """Ids of the notification channels."""

    def __init__(
        self, name: str, args: WatchArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Make them; an alert only after the metrics it may read."""
        super().__init__("citypulse:infra:Watch", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        self._config = args.config
        self.channels = [self._channel(address) for address in args.config.alert_emails]
        metrics = [
            _log_metric(metric, pulumi.ResourceOptions(parent=self, hooks=args.settle))
            for metric in LOG_METRICS
        ]
        watched = alerts(args.contracts.values(), args.config.scanned_gib_per_day)
        for alert in watched:
            self._policy(alert, pulumi.ResourceOptions(parent=self, depends_on=metrics))
        gcp.monitoring.Dashboard(
            "dashboard", dashboard_json=json.dumps(dashboard(watched), sort_keys=True), opts=own
        )
        self.register_outputs({})

    def _channel(self, address: str) -> pulumi.Output[str]:
        made = gcp.monitoring.NotificationChannel(
            f"mail-{address}",
            display_name=f"citypulse: {address}",
            type="email",
            labels={"email_address": address},
            opts=pulumi.ResourceOptions(parent=self),
        )
        return made.id

    def _policy(self, alert: Alert, opts: pulumi.ResourceOptions) -> None:
        gcp.monitoring.AlertPolicy(
            f"alert-{alert.name}",
            display_name=f"citypulse: {alert.title}",
            combiner="OR",
            severity=alert.severity,
            conditions=[_condition(alert)],
            alert_strategy=Strategy(auto_close=_CLOSE),
            notification_channels=self.channels,
            documentation=Documentation(
                subject=f"citypulse {self._config.project}: {alert.title}",
                content=f"What shows the cause and what repairs it: {self._runbook(alert)}",
                mime_type="text/markdown",
            ),
            opts=opts,
        )

    def _runbook(self, alert: Alert) -> str:
        page = f"{RUNBOOK}#{alert.entry}"
        if not self._config.github:
            return page
        return f"https://github.com/{self._config.github}/blob/{self._config.branch}/{page}"


def _log_metric(metric: LogMetric, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    label = gcp.logging.MetricMetricDescriptorLabelArgs(key=metric.label, value_type="STRING")
    return gcp.logging.Metric(
        metric.name,
        name=metric.name,
        description=metric.description,
        filter=metric.filter,
        metric_descriptor=gcp.logging.MetricMetricDescriptorArgs(
            metric_kind="DELTA", value_type="INT64", labels=[label]
        ),
        label_extractors={metric.label: f"EXTRACT(jsonPayload.{metric.label})"},
        opts=opts,
    )


def _condition(alert: Alert) -> ConditionArgs:
    told = alert.condition
    if told.absent:
        return ConditionArgs(
            display_name=alert.title,
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
        display_name=alert.title,
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


def aggregation(told: Condition) -> dict[str, Any]:
    """How points are summed up, as Cloud Monitoring names it."""
    reducer = "REDUCE_MAX" if told.aligner == "ALIGN_MAX" else "REDUCE_SUM"
    groups = {"group_by_fields": [told.by]} if told.by else {}
    return {
        "alignment_period": f"{told.period}s",
        "per_series_aligner": told.aligner,
        "cross_series_reducer": reducer,
    } | groups
