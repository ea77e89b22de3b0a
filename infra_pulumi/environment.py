"""What the functions' environment says: `functions.core.settings` reads it."""

from __future__ import annotations

import json

import pulumi

from infra_pulumi.config import StackConfig
from infra_pulumi.spark import SparkBatches
from infra_pulumi.steps import Step
from infra_pulumi.zones import LakeBuckets

ARROW_MEMORY = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
"""Arrow's own pool keeps what it freed: a fifth more memory for `split`. So does each arena of malloc,
of which every thread would have its own: 10 MB more."""


EXECUTION_ID = {"LOG_EXECUTION_ID": "true"}
"""Labels each log line with its call. The service adds it to a function that does not set it, so left
out it would be a difference in every preview of a provider that does not hide it."""


def of_step(
    step: Step, config: StackConfig, zones: LakeBuckets, spark: SparkBatches
) -> dict[str, pulumi.Input[str]]:
    """What a step is told."""
    given = told(config, zones) | {
        "ORIGINS": json.dumps(config.origins, sort_keys=True),
        "MANIFEST_BYTES": str(config.manifest_bytes),
        "DOWNLOAD_SECONDS": str(config.download_seconds),
        **ARROW_MEMORY,
    }
    return given | {"SPARK": spark.settings} if step.spark else given


def told(config: StackConfig, zones: LakeBuckets) -> dict[str, pulumi.Input[str]]:
    """What every function's environment says: where it is, and the zones."""
    place: dict[str, pulumi.Input[str]] = {"PROJECT": config.project, "REGION": config.region}
    named = ("raw", "landing", "lake", "quarantine")
    return place | {f"{zone.upper()}_BUCKET": zones.name(zone) for zone in named} | EXECUTION_ID
