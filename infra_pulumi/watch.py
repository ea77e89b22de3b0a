"""Watch: log metrics, alert policies with their runbook entry, channels and a dashboard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from catalog.contract import Contract
from infra_pulumi.alerts import Alert, alerts
from infra_pulumi.conditions import condition
from infra_pulumi.config import StackConfig
from infra_pulumi.dashboard import dashboard
from infra_pulumi.log_metrics import LOG_METRICS, log_metric

RUNBOOK = "docs/runbook.md"
_CLOSE = "1800s"

Strategy = gcp.monitoring.AlertPolicyAlertStrategyArgs
Documentation = gcp.monitoring.AlertPolicyDocumentationArgs


@dataclass(frozen=True)
class WatchArgs:
    """The watched contracts, and the wait until alerts can use a new log metric."""

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
        """Create them; an alert only after the metrics it may read."""
        super().__init__("citypulse:infra:Watch", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        self._config = args.config
        self.channels = [self._channel(address) for address in args.config.alert_emails]
        metrics = [
            log_metric(metric, pulumi.ResourceOptions(parent=self, hooks=args.settle))
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
        channel = gcp.monitoring.NotificationChannel(
            f"mail-{address}",
            display_name=f"citypulse: {address}",
            type="email",
            labels={"email_address": address},
            opts=pulumi.ResourceOptions(parent=self),
        )
        return channel.id

    def _policy(self, alert: Alert, opts: pulumi.ResourceOptions) -> None:
        gcp.monitoring.AlertPolicy(
            f"alert-{alert.name}",
            display_name=f"citypulse: {alert.title}",
            combiner="OR",
            severity=alert.severity,
            conditions=[condition(alert.title, alert.condition)],
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
