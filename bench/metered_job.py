"""Run a system's Spark job and measure its input: `metered_job.py JOB OUTPUT ARGUMENT…`.

JOB is the job's module in the same folder; OUTPUT is the file for bytes and rows of input, as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession


def run(job: str, output: str, arguments: list[str]) -> None:
    """Run the job; write its tasks' input, the difference of the session's sums."""
    spark = SparkSession.builder.getOrCreate()
    before = read_so_far(spark)
    module = importlib.import_module(job)
    batch = importlib.import_module("batch")
    batch.run(module.transform, arguments)
    after = read_so_far(spark)
    Path(output).write_text(json.dumps({name: after[name] - before[name] for name in after}))


def read_so_far(spark: SparkSession) -> dict[str, int]:
    """Return bytes and rows that tasks read from files, by Spark's own input metrics."""
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
    """Return Scala's default for the quantiles."""
    return getattr(store, "stageList$default$4")()


def _nothing(spark: SparkSession) -> Any:
    """Return an empty Java list."""
    java: Any = spark._jvm
    return java.java.util.ArrayList()


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], sys.argv[3:])
