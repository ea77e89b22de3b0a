"""The alerts of a stack, with the runbook entry of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from catalog.contract import Contract
from infra_pulumi.conditions import AlertCondition, counted

_DAY = 86_400
GIB = 1 << 30


@dataclass(frozen=True)
class Alert:
    """One alert; `entry` is its heading's anchor in docs/runbook.md."""

    name: str
    title: str
    severity: str
    entry: str
    condition: AlertCondition


_SUBSCRIPTION = 'resource.type="pubsub_subscription"'
_CALLS = 'metric.type="run.googleapis.com/request_count" AND resource.type="cloud_run_revision"'
_RUNS = (
    'metric.type="bigquerydatatransfer.googleapis.com/transfer_config/completed_runs"'
    ' AND resource.type="bigquery_dts_config"'
)

ALERTS = (
    Alert("errors", "a step failed permanently", "ERROR", "errors", counted("citypulse-errors")),
    Alert(
        "rejected",
        "rows rejected beyond the contract's share",
        "ERROR",
        "rejected-rows",
        counted("citypulse-rejected"),
    ),
    Alert(
        "drift", "a publisher changed its columns", "WARNING", "drift", counted("citypulse-drift")
    ),
    Alert(
        "seals",
        "fewer parts count than are loaded",
        "ERROR",
        "refused-seals",
        counted("citypulse-seals-refused"),
    ),
    Alert(
        "batches",
        "a Spark batch failed",
        "ERROR",
        "failed-batches",
        counted("citypulse-batches-failed"),
    ),
    Alert(
        "backlog",
        "messages wait for hours",
        "ERROR",
        "backlog",
        AlertCondition(
            f'metric.type="pubsub.googleapis.com/subscription/oldest_unacked_message_age"'
            f" AND {_SUBSCRIPTION}",
            threshold=2 * 3600,
            aligner="ALIGN_MAX",
            lasting=600,
            by="resource.label.subscription_id",
        ),
    ),
    Alert(
        "dead-letters",
        "a message was given up",
        "CRITICAL",
        "dead-letters",
        AlertCondition(
            f'metric.type="pubsub.googleapis.com/subscription/dead_letter_message_count"'
            f" AND {_SUBSCRIPTION}",
            by="resource.label.subscription_id",
        ),
    ),
    Alert(
        "reports",
        "a scheduled query failed",
        "ERROR",
        "failed-reports",
        AlertCondition(
            f'{_RUNS} AND metric.label.completion_state="FAILED"', by="resource.label.config_id"
        ),
    ),
    Alert(
        "no-reports",
        "a scheduled query runs no more",
        "ERROR",
        "no-reports",
        AlertCondition(
            f'{_RUNS} AND metric.label.completion_state="SUCCEEDED"',
            lasting=2 * 3600,
            by="resource.label.config_id",
            absent=True,
        ),
    ),
    Alert(
        "no-sweep",
        "no look for lost work ends well",
        "CRITICAL",
        "no-sweep",
        AlertCondition(
            f'{_CALLS} AND resource.label.service_name="sweep"'
            ' AND metric.label.response_code_class="2xx"',
            lasting=3600,
            absent=True,
        ),
    ),
    Alert(
        "timeouts",
        "a call reached its time limit",
        "ERROR",
        "timeouts",
        AlertCondition(
            f'{_CALLS} AND metric.label.response_code="504"', by="resource.label.service_name"
        ),
    ),
)
"""Alerts that every stack has."""


def alerts(contracts: Iterable[Contract], scanned_gib: int) -> tuple[Alert, ...]:
    """Return all alerts: the common ones, the bytes billed, and one for each live data set."""
    return (*ALERTS, _billed(scanned_gib), *(_stale(c) for c in contracts if not c.retired))


def _billed(gib: int) -> Alert:
    return Alert(
        "bytes-billed",
        f"BigQuery billed more than {gib} GiB in a day",
        "WARNING",
        "bytes-billed",
        AlertCondition(
            'metric.type="bigquery.googleapis.com/query/statement_scanned_bytes_billed"'
            ' AND resource.type="bigquery_project"',
            threshold=gib * GIB,
            period=_DAY,
        ),
    )


def _stale(contract: Contract) -> Alert:
    """Return the alert on an overdue data set; the sweep decides by the contract."""
    overdue = counted("citypulse-overdue")
    return Alert(
        f"stale-{contract.dataset.replace('_', '-')}",
        f"{contract.dataset}: no good fetch for {contract.freshness_hours:g} hours",
        "ERROR",
        "stale",
        replace(overdue, filter=f'{overdue.filter} AND metric.label.dataset="{contract.dataset}"'),
    )
