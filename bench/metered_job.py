"""A system's Spark job, and what Spark says it read: `metered_job.py JOB TOLD ARGUMENT…`.

JOB is the job's module, lying beside; TOLD takes bytes and rows of input, as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession


def run(job: str, told: str, arguments: list[str]) -> None:
    """Run the job and write what its tasks read, of the whole session's sums the difference."""
    spark = SparkSession.builder.getOrCreate()
    before = read_so_far(spark)
    module = importlib.import_module(job)
    batch = importlib.import_module("batch")
    batch.run(module.transform, arguments)
    after = read_so_far(spark)
    Path(told).write_text(json.dumps({name: after[name] - before[name] for name in after}))


def read_so_far(spark: SparkSession) -> dict[str, int]:
    """Bytes and rows that tasks read from files, by Spark's own input metrics."""
    context: Any = spark._jsc.sc()
    context.listenerBus().waitUntilEmpty(30_000)
    store = context.statusStore()
    stages = store.stageList(None, False, False, _no_quantiles(store), _nothing(spark))
    found = [stages.apply(at) for at in range(stages.size())]
    return {
        "bytes": sum(int(each.inputBytes()) for each in found),
        "rows": sum(int(each.inputRecords()) for each in found),
    }


def _no_quantiles(store: Any) -> Any:
    """What Scala puts in where the quantiles are not said."""
    return getattr(store, "stageList$default$4")()


def _nothing(spark: SparkSession) -> Any:
    """An empty list of Java's."""
    java: Any = spark._jvm
    return java.java.util.ArrayList()


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], sys.argv[3:])
