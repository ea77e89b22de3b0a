"""What is watched: metrics made of the steps' log lines, and alerts with the runbook entry of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from catalog.contract import Contract

_LINES = 'resource.type="cloud_run_revision"'
_METRIC = "logging.googleapis.com/user/"
_DAY = 86_400
GIB = 1 << 30


@dataclass(frozen=True)
class LogMetric:
    """A count of log lines; `filter` names fields of `catalog.records.Event`."""

    name: str
    description: str
    filter: str
    label: str
    """The event's field that the count is told apart by."""


@dataclass(frozen=True)
class Condition:
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


@dataclass(frozen=True)
class Alert:
    """One alert; `entry` is its heading's anchor in docs/runbook.md."""

    name: str
    title: str
    severity: str
    entry: str
    condition: Condition


LOG_METRICS = (
    LogMetric(
        "citypulse-errors",
        "Lines at ERROR: refused for good, or a crash that no step could tell of",
        f'{_LINES} AND severity>=ERROR AND NOT jsonPayload.step="batch"'
        ' AND NOT jsonPayload.step="split" AND NOT jsonPayload.outcome="overdue"',
        "step",
    ),
    LogMetric(
        "citypulse-rejected",
        "Runs refused and slots held: more rows were rejected than the contract bears",
        f'{_LINES} AND jsonPayload.step="split"'
        ' AND (jsonPayload.outcome="refused" OR jsonPayload.outcome="held")',
        "dataset",
    ),
    LogMetric(
        "citypulse-drift",
        "Files with columns that the contract does not know",
        f'{_LINES} AND jsonPayload.step="split" AND jsonPayload.outcome="drift"',
        "dataset",
    ),
    LogMetric(
        "citypulse-batches-failed",
        "Spark batches that failed, as the sweep tells them",
        f'{_LINES} AND jsonPayload.step="batch" AND jsonPayload.outcome="failed"',
        "system",
    ),
    LogMetric(
        "citypulse-overdue",
        "Data sets without a good fetch within their objective, as the sweep tells them",
        f'{_LINES} AND jsonPayload.step="sweep" AND jsonPayload.outcome="overdue"',
        "dataset",
    ),
)


def counted(name: str) -> Condition:
    """That lines of a log metric were written."""
    metric = next(metric for metric in LOG_METRICS if metric.name == name)
    return Condition(
        f'metric.type="{_METRIC}{name}" AND resource.type="cloud_run_revision"',
        by=f"metric.label.{metric.label}",
    )


_SUBSCRIPTION = 'resource.type="pubsub_subscription"'
_RUNS = (
    'metric.type="bigquerydatatransfer.googleapis.com/transfer_config/completed_runs"'
    ' AND resource.type="bigquery_dts_config"'
)

ALERTS = (
    Alert("errors", "a step failed for good", "ERROR", "errors", counted("citypulse-errors")),
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
        Condition(
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
        Condition(
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
        Condition(
            f'{_RUNS} AND metric.label.completion_state="FAILED"', by="resource.label.config_id"
        ),
    ),
    Alert(
        "no-reports",
        "a scheduled query runs no more",
        "ERROR",
        "no-reports",
        Condition(
            f'{_RUNS} AND metric.label.completion_state="SUCCEEDED"',
            lasting=2 * 3600,
            by="resource.label.config_id",
            absent=True,
        ),
    ),
    Alert(
        "no-sweep",
        "nothing looks for lost work",
        "CRITICAL",
        "no-sweep",
        Condition(
            'metric.type="run.googleapis.com/request_count" AND resource.type="cloud_run_revision"'
            ' AND resource.label.service_name="sweep"',
            lasting=3600,
            absent=True,
        ),
    ),
)
"""Alerts that every stack has."""


def alerts(contracts: Iterable[Contract], scanned_gib: int) -> tuple[Alert, ...]:
    """All alerts of a stack: the common ones, the bytes billed, and one for each live data set."""
    return (*ALERTS, _billed(scanned_gib), *(_stale(c) for c in contracts if not c.retired))


def _billed(gib: int) -> Alert:
    return Alert(
        "bytes-billed",
        f"BigQuery billed more than {gib} GiB in a day",
        "WARNING",
        "bytes-billed",
        Condition(
            'metric.type="bigquery.googleapis.com/query/statement_scanned_bytes_billed"'
            ' AND resource.type="bigquery_project"',
            threshold=gib * GIB,
            period=_DAY,
        ),
    )


def _stale(contract: Contract) -> Alert:
    """That a data set is overdue, which the sweep judges by the contract."""
    overdue = counted("citypulse-overdue")
    return Alert(
        f"stale-{contract.dataset.replace('_', '-')}",
        f"{contract.dataset}: no good fetch for {contract.freshness_hours:g} hours",
        "ERROR",
        "stale",
        replace(overdue, filter=f'{overdue.filter} AND metric.label.dataset="{contract.dataset}"'),
    )
