"""Environment variables of the functions; `functions.core.settings` reads them."""

from __future__ import annotations

import json

import pulumi

from infra_pulumi.config import StackConfig
from infra_pulumi.spark import SparkBatches
from infra_pulumi.steps import Step
from infra_pulumi.zones import LakeBuckets

ARROW_MEMORY = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
"""Arrow's own pool keeps freed memory, which costs `split` a fifth more. So do the arenas of malloc, one
per thread: 10 MB more."""


EXECUTION_ID = {"LOG_EXECUTION_ID": "true"}
"""Labels each log line with its call. The service adds the variable to a function that does not set it.
Then every preview of a provider that does not hide it would show a difference."""


def of_step(
    step: Step, config: StackConfig, zones: LakeBuckets, spark: SparkBatches
) -> dict[str, pulumi.Input[str]]:
    """Return the environment of a step."""
    variables = common(config, zones) | {
        "ORIGINS": json.dumps(config.origins, sort_keys=True),
        "MANIFEST_BYTES": str(config.manifest_bytes),
        "DOWNLOAD_SECONDS": str(config.download_seconds),
        **ARROW_MEMORY,
    }
    return variables | {"SPARK": spark.settings} if step.spark else variables


def common(config: StackConfig, zones: LakeBuckets) -> dict[str, pulumi.Input[str]]:
    """Return the variables of every function: project, region and buckets."""
    place: dict[str, pulumi.Input[str]] = {"PROJECT": config.project, "REGION": config.region}
    named = ("raw", "landing", "lake", "quarantine")
    return place | {f"{zone.upper()}_BUCKET": zones.name(zone) for zone in named} | EXECUTION_ID
