"""Submit: one Dataproc Serverless batch per manifest, tried again under the next number."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from google.api_core.exceptions import Conflict, TooManyRequests
from google.cloud.dataproc_v1 import (
    Batch,
    CreateBatchRequest,
    EnvironmentConfig,
    ExecutionConfig,
    PySparkBatch,
    RuntimeConfig,
)
from google.protobuf.duration_pb2 import Duration

from catalog import object_names
from catalog.records import Event
from functions.core import dataproc, gcs
from functions.core.clients import Clients
from functions.core.errors import PermanentError, RetryLaterError
from functions.core.message import Message
from functions.core.settings import Settings, SparkSettings
from functions.core.telemetry import event

_REQUESTS = uuid.UUID("6f1d3c0e-52cf-4b1e-9a63-1f0d5a1f7c42")
"""Namespace of the ids that make a repeated request the same request."""


def run(message: Message, clients: Clients, settings: Settings) -> Iterator[Event]:
    """Submit the manifest's next attempt, unless one runs or the receipt is there.

    Raises RetryLaterError while the system's batches or the project's quota are all in use, and PermanentError
    when the attempts are used up or the manifest is gone.
    """
    system, identity = _manifest(message)
    spark = _spark(settings, system)
    lake = clients.storage.bucket(settings.lake)
    name = object_names.manifest(system, identity)
    if gcs.exists(lake, object_names.receipt(system, identity)):
        yield event("submit", message, "written already", system=system, object=name)
        return
    if not gcs.exists(clients.storage.bucket(settings.landing), name):
        raise PermanentError(f"submit: gs://{settings.landing}/{name} is gone: replay its slots")
    number = _next(clients, settings, spark, system, identity)
    if number is None:
        yield event("submit", message, "running", system=system, object=name)
        return
    if dataproc.unfinished(clients, settings, system) >= spark.max_batches:
        raise RetryLaterError(
            f"submit: {system} has {spark.max_batches} batches at work: {identity} waits"
        )
    outcome = _create(clients, _request(settings, spark, system, identity, number))
    yield event(
        "submit",
        message,
        outcome,
        system=system,
        object=name,
        message=f"batch {object_names.batch_id(identity, number)}",
    )


def _manifest(message: Message) -> tuple[str, str]:
    """Return the system and manifest id that an object event names."""
    try:
        return object_names.system_and_id(message.object or "")
    except ValueError as error:
        raise PermanentError(
            f"submit: {message.object!r} is not a manifest: expected manifests/<system>/<id>.json"
        ) from error


def _spark(settings: Settings, system: str) -> SparkSettings:
    """How batches are submitted; raises PermanentError when the system has no job."""
    if settings.spark is None:
        raise PermanentError("submit: environment variable SPARK is not set: see infra_pulumi")
    if system not in settings.spark.jobs:
        systems = ", ".join(settings.spark.jobs) or "none"
        raise PermanentError(
            f"submit: no Spark job for the system {system!r}; deployed are {systems}"
        )
    return settings.spark


def _next(
    clients: Clients, settings: Settings, spark: SparkSettings, system: str, identity: str
) -> int | None:
    """Return the number of the next attempt; None if one is at work or has a receipt.

    A batch that succeeded and left no receipt is a fault of the job, and counts as failed.
    """
    attempts = dataproc.attempts(clients, settings, identity)
    if attempts and not attempts[-1].failed:
        if not attempts[-1].succeeded:
            return None
        lake = clients.storage.bucket(settings.lake)
        if gcs.exists(lake, object_names.receipt(system, identity)):
            return None
    used = [attempt for attempt in attempts if attempt.counts]
    if len(used) >= spark.max_attempts:
        last = used[-1].batch
        raise PermanentError(
            f"submit: {identity} failed {len(used)} times, last {last.state.name} "
            f"({last.state_message[:500] or 'no receipt written'}): fix the job, then replay with "
            f'{{"system": "{system}", "manifest": "{identity}"}} to topic seal'
        )
    return attempts[-1].number + 1 if attempts else 1


def _create(clients: Clients, request: CreateBatchRequest) -> str:
    """Create the batch and return its outcome; raise RetryLaterError if the quota is used up."""
    try:
        clients.batches.create_batch(request)
    except Conflict:  # another delivery of the message made it a moment ago
        return "running"
    except TooManyRequests as error:
        raise RetryLaterError(
            f"submit: {request.batch_id}: no quota now: {error.message}"
        ) from error
    return "submitted"


def _request(
    settings: Settings, spark: SparkSettings, system: str, identity: str, number: int
) -> CreateBatchRequest:
    """Build the request that creates one attempt's batch."""
    batch_id = object_names.batch_id(identity, number)
    uri = f"gs://{settings.landing}/{object_names.manifest(system, identity)}"
    job = spark.jobs[system]
    return CreateBatchRequest(
        parent=dataproc.parent(settings),
        batch_id=batch_id,
        request_id=str(uuid.uuid5(_REQUESTS, batch_id)),
        batch=Batch(
            labels={"system": system, "manifest": identity},
            pyspark_batch=PySparkBatch(
                main_python_file_uri=job.main,
                python_file_uris=list(job.python_files),
                args=["--manifest", uri, "--attempt", str(number), "--batch", batch_id],
            ),
            runtime_config=RuntimeConfig(version=spark.version, properties=spark.properties),
            environment_config=EnvironmentConfig(
                execution_config=ExecutionConfig(
                    service_account=spark.service_account,
                    subnetwork_uri=spark.subnetwork,
                    ttl=Duration(seconds=spark.ttl_seconds),
                )
            ),
        ),
    )
