"""Metrics from the log lines of the steps; alerts use them."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

_LINES = 'resource.type="cloud_run_revision"'

_FINAL = (
    ' AND NOT logName:"run.googleapis.com%2Frequests" AND NOT logName:"run.googleapis.com%2Fstderr"'
)
"""Leaves out the lines that Cloud Run itself writes about a call that is delivered again.

Each failed try is one request entry with status 500 and one traceback on standard error, both at
ERROR. Steps write to standard output; a crash of the process is in `varlog/system`.
"""


@dataclass(frozen=True)
class LogMetric:
    """A count of log lines; `filter` names fields of `catalog.records.Event`."""

    name: str
    description: str
    filter: str
    label: str
    """The event's field that labels the count."""


LOG_METRICS = (
    LogMetric(
        "citypulse-errors",
        "Lines at ERROR: refused permanently, or a process that crashed; retries are not counted",
        f'{_LINES} AND severity>=ERROR{_FINAL} AND NOT jsonPayload.step="batch"'
        ' AND NOT jsonPayload.step="split" AND NOT jsonPayload.outcome="overdue"'
        ' AND NOT (jsonPayload.step="seal" AND jsonPayload.slot:*)',
        "step",
    ),
    LogMetric(
        "citypulse-rejected",
        "Runs refused and slots held: more rows were rejected than the contract allows",
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
        "citypulse-seals-refused",
        "Slots of which fewer parts count than are loaded",
        f'{_LINES} AND jsonPayload.step="seal" AND jsonPayload.outcome="refused"'
        " AND jsonPayload.slot:*",
        "dataset",
    ),
    LogMetric(
        "citypulse-batches-failed",
        "Spark batches that failed, as the sweep reports them",
        f'{_LINES} AND jsonPayload.step="batch" AND jsonPayload.outcome="failed"',
        "system",
    ),
    LogMetric(
        "citypulse-overdue",
        "Data sets without a good fetch within their objective, as the sweep reports them",
        f'{_LINES} AND jsonPayload.step="sweep" AND jsonPayload.outcome="overdue"',
        "dataset",
    ),
)


def log_metric(metric: LogMetric, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    """Create the metric in Cloud Logging."""
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
