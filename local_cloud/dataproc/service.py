"""Dataproc Serverless on a laptop: the batches' REST interface over one warm Spark session.

Batches live in memory and run one after the other. Names, states and errors are those of
https://cloud.google.com/dataproc-serverless/docs/reference/rest; sizing properties are ignored.
"""

from __future__ import annotations

import itertools
import math
import re
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from google.cloud.dataproc_v1 import Batch, RuntimeInfo
from google.protobuf.json_format import MessageToDict, ParseError

from local_cloud.dataproc.filter import BadFilterError, parse_filter
from local_cloud.dataproc.session import SparkFailedError
from local_cloud.dataproc.worker import BatchRequest, BatchResult

BATCHES = re.compile(r"/v1/(projects/[^/]+/locations/[^/]+)/batches")
BATCH = re.compile(r"/v1/(projects/[^/]+/locations/[^/]+/batches/[^/:]+)")
OPERATION = re.compile(r"/v1/(projects/[^/]+/(?:locations|regions)/[^/]+/operations/[^/:]+)")
BATCH_ID = re.compile(r"[a-z0-9-]{4,63}")
REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
PAGE_SIZE, MAX_PAGE_SIZE = 20, 1000
DCU = 12
DEFAULT_TTL = timedelta(hours=4)
MIN_TTL, MAX_TTL = timedelta(minutes=10), timedelta(days=14)
QUOTA_TEXT = "Insufficient 'CPUS' quota. Requested 12.0, available 11.0."
USAGE_NOTE = "computed by the stand-in: seconds of the driver x 12 DCU"
RESULT_STATES = {
    "SUCCEEDED": Batch.State.SUCCEEDED,
    "FAILED": Batch.State.FAILED,
    "CANCELLED": Batch.State.CANCELLED,
}
TYPE_PREFIX = "type.googleapis.com/google.cloud.dataproc.v1"
CODES = {
    "INVALID_ARGUMENT": (400, 3),
    "FAILED_PRECONDITION": (400, 9),
    "NOT_FOUND": (404, 5),
    "ALREADY_EXISTS": (409, 6),
    "RESOURCE_EXHAUSTED": (429, 8),
    "UNIMPLEMENTED": (501, 12),
}


class Clock(Protocol):
    """The clock that gives the batches' times."""

    def now(self) -> datetime:
        """Give the time, in UTC and aware."""
        ...


class BatchRunner(Protocol):
    """Runs a batch and waits for its end: `SparkServer`, or a fake in a test."""

    def run(self, batch: BatchRequest, timeout: float | None = None) -> BatchResult:
        """Run the batch for `timeout` seconds at most."""
        ...


class BatchServer(BatchRunner, Protocol):
    """A runner that is started before the first batch and stopped after the last."""

    def start(self) -> None:
        """Begin to start and return at once."""
        ...

    def wait_ready(self) -> None:
        """Wait until a batch can run."""
        ...

    def stop(self) -> None:
        """Stop; a running batch fails."""
        ...


class DataprocError(Exception):
    """A refusal in Google's terms: a status such as `NOT_FOUND` and a sentence."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class _Entry:
    batch: Batch
    number: int
    seconds: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether the batch is in a state it will not leave."""
        return self.batch.state in RESULT_STATES.values()


class Dataproc:
    """The batches of one project, their REST interface and the thread that runs them in order.

    For tests: `max_running` refuses what would exceed that many unfinished batches,
    `refuse_quota_until` refuses all before that time, `quota_hook` gets each batch and gives the
    text of a refusal or None; `ttl_scale` shortens the batches' time to live; `runner` may be
    replaced for the batches that start later; `forget_batches` empties the list.
    """

    def __init__(
        self, runner: BatchRunner, clock: Clock, *, region: str = "", ttl_scale: float = 1.0
    ) -> None:
        self.max_running: int | None = None
        self.refuse_quota_until: datetime | None = None
        self.quota_hook: Callable[[Batch], str | None] | None = None
        self.runner = runner
        self._clock = clock
        self._region = region
        self._ttl_scale = ttl_scale
        self._entries: dict[str, _Entry] = {}
        self._operations: dict[str, str] = {}
        self._requests: dict[tuple[str, str], str] = {}
        self._numbers = itertools.count(1)
        self._failures: list[str] = []
        self._closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def handle(
        self, method: str, path: str, query: Mapping[str, Any], body: bytes, account: str
    ) -> tuple[int, dict[str, Any]]:
        """Answer one REST call with (HTTP status, JSON); `query` as a flat or a `parse_qs` dict."""
        flat = {k: v if isinstance(v, str) else v[0] for k, v in query.items()}
        try:
            with self._changed:
                return 200, self._route(method, path, flat, body, account)
        except DataprocError as refusal:
            code, _ = CODES[refusal.status]
            error = {"code": code, "message": str(refusal), "status": refusal.status}
            return code, {"error": error}

    def fail_next(self, count: int, message: str) -> None:
        """Let the next `count` batches that start fail with this message, without running."""
        with self._changed:
            self._failures += [message] * count

    def busy(self) -> bool:
        """Check whether a batch is pending or running."""
        with self._changed:
            return self._unfinished() > 0

    def wait_idle(self, timeout: float) -> bool:
        """Wait until no batch is pending or running; False when that takes over `timeout` s."""
        with self._changed:
            return self._changed.wait_for(lambda: self._unfinished() == 0, timeout)

    def batches(self) -> list[Batch]:
        """Give copies of all batches, in the order of their creation."""
        with self._changed:
            return [Batch(Batch.pb(entry.batch)) for entry in self._entries.values()]

    def forget_batches(self) -> None:
        """Remove every batch, in whatever state; wait for `wait_idle` first."""
        with self._changed:
            self._entries.clear()

    def close(self) -> None:
        """Take no further batch to run; a running one is left to the runner's own end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _route(
        self, method: str, path: str, query: Mapping[str, str], body: bytes, account: str
    ) -> dict[str, Any]:
        if found := BATCHES.fullmatch(path):
            if method == "POST":
                return self._create(found[1], query, body, account)
            if method == "GET":
                return self._list(found[1], query)
        if found := BATCH.fullmatch(path):
            if method == "GET":
                return _json(self._entry(found[1]).batch)
            if method == "DELETE":
                return self._delete(found[1])
        if (found := OPERATION.fullmatch(path)) and method == "GET":
            return self._operation(found[1])
        raise DataprocError("UNIMPLEMENTED", f"the Dataproc stand-in has no {method} {path}")

    def _create(
        self, parent: str, query: Mapping[str, str], body: bytes, account: str
    ) -> dict[str, Any]:
        batch_id = query.get("batchId") or f"batch-{uuid.uuid4()}"
        request_id = query.get("requestId", "")
        batch = self._accepted(parent, batch_id, request_id, body)
        if request_id and (parent, request_id) in self._requests:
            return self._operation(self._requests[parent, request_id])
        if batch.name in self._entries:
            message = f"Already exists: Failed to create batch: Batch {batch.name}"
            raise DataprocError("ALREADY_EXISTS", message)
        self._check_quota(batch)
        self._enter(batch, account)
        if request_id:
            self._requests[parent, request_id] = batch.operation
        return self._operation(batch.operation)

    def _accepted(self, parent: str, batch_id: str, request_id: str, body: bytes) -> Batch:
        if BATCH_ID.fullmatch(batch_id) is None:
            raise _invalid(f"Batch ID '{batch_id}' must conform to pattern '{BATCH_ID.pattern}'")
        if request_id and REQUEST_ID.fullmatch(request_id) is None:
            raise _invalid(f"Request ID '{request_id}' must conform to '{REQUEST_ID.pattern}'")
        if self._region and parent.rsplit("/", 1)[1] != self._region:
            raise _invalid(f"{parent}: this stand-in is region {self._region}")
        try:
            batch: Batch = Batch.from_json(body.decode())
        except (ParseError, UnicodeDecodeError) as error:
            raise _invalid(f"Invalid JSON payload received. {error}") from error
        batch.name = f"{parent}/batches/{batch_id}"
        batch.operation = f"{parent.replace('/locations/', '/regions/')}/operations/{uuid.uuid4()}"
        _check_batch(batch)
        return batch

    def _check_quota(self, batch: Batch) -> None:
        refusal = self.quota_hook(batch) if self.quota_hook is not None else None
        if self.max_running is not None and self._unfinished() >= self.max_running:
            refusal = QUOTA_TEXT
        if self.refuse_quota_until is not None and self._clock.now() < self.refuse_quota_until:
            refusal = QUOTA_TEXT
        if refusal is not None:
            raise DataprocError("RESOURCE_EXHAUSTED", refusal)

    def _enter(self, batch: Batch, account: str) -> None:
        batch.uuid = str(uuid.uuid4())
        batch.creator = account
        batch.create_time = self._clock.now()
        self._set_state(batch, Batch.State.PENDING, "")
        self._entries[batch.name] = _Entry(batch, next(self._numbers))
        self._operations[batch.operation] = batch.name
        self._start_thread()
        self._changed.notify_all()

    def _list(self, parent: str, query: Mapping[str, str]) -> dict[str, Any]:
        try:
            wanted = parse_filter(query.get("filter", ""))
            size = min(int(query.get("pageSize") or 0) or PAGE_SIZE, MAX_PAGE_SIZE)
            before = int(query.get("pageToken") or 0) or math.inf
        except (BadFilterError, ValueError) as error:
            raise _invalid(str(error)) from error
        found = [
            entry
            for name, entry in reversed(self._entries.items())
            if name.startswith(f"{parent}/batches/")
            and entry.number < before
            and wanted(_fields(entry.batch))
        ]
        page: dict[str, Any] = {"batches": [_json(entry.batch) for entry in found[:size]]}
        if len(found) > size:
            page["nextPageToken"] = str(found[size - 1].number)
        return page

    def _delete(self, name: str) -> dict[str, Any]:
        entry = self._entry(name)
        if not entry.ended:
            message = f"Batch {name} is {entry.batch.state.name}: only ended batches can be deleted"
            raise DataprocError("FAILED_PRECONDITION", message)
        del self._entries[name]
        return {}

    def _operation(self, name: str) -> dict[str, Any]:
        entry = self._entries.get(self._operations.get(name, ""))
        if entry is None:
            raise DataprocError("NOT_FOUND", f"Not found: Operation {name}")
        batch = _json(entry.batch)
        metadata = {
            "@type": f"{TYPE_PREFIX}.BatchOperationMetadata",
            "batch": batch["name"],
            "batchUuid": batch["uuid"],
            "createTime": batch["createTime"],
            "operationType": "BATCH",
            "description": "Batch",
        }
        operation = {"name": name, "metadata": metadata, "done": entry.ended}
        if entry.batch.state == Batch.State.SUCCEEDED:
            operation["response"] = {"@type": f"{TYPE_PREFIX}.Batch", **batch}
        elif entry.ended:
            operation["error"] = {"code": 10, "message": batch.get("stateMessage", "")}
        return operation

    def _entry(self, name: str) -> _Entry:
        if name not in self._entries:
            raise DataprocError("NOT_FOUND", f"Not found: Batch {name}")
        return self._entries[name]

    def _unfinished(self) -> int:
        return sum(not entry.ended for entry in self._entries.values())

    def _start_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run_pending, name="dataproc", daemon=True)
            self._thread.start()

    def _run_pending(self) -> None:
        while (entry := self._next_pending()) is not None:
            result = self._run(entry.batch)
            with self._changed:
                entry.batch.runtime_info = _usage(result.seconds)
                self._set_state(entry.batch, RESULT_STATES[result.state], result.message)
                self._changed.notify_all()

    def _next_pending(self) -> _Entry | None:
        """Wait for a pending batch; None when the stand-in is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._first_pending() is not None)
            return None if self._closed else self._first_pending()

    def _first_pending(self) -> _Entry | None:
        pending = (e for e in self._entries.values() if e.batch.state == Batch.State.PENDING)
        return next(pending, None)

    def _run(self, batch: Batch) -> BatchResult:
        request = _request(batch)
        with self._changed:
            if self._failures:
                return BatchResult(request.batch_id, "FAILED", self._failures.pop(0), 0.0)
            self._set_state(batch, Batch.State.RUNNING, "")
            self._changed.notify_all()
        try:
            return self.runner.run(request, _ttl(batch).total_seconds() * self._ttl_scale)
        except SparkFailedError as error:
            return BatchResult(request.batch_id, "FAILED", str(error), 0.0)

    def _set_state(self, batch: Batch, state: int, message: str) -> None:
        if batch.state != Batch.State.STATE_UNSPECIFIED:
            batch.state_history.append(
                Batch.StateHistory(
                    state=batch.state,
                    state_message=batch.state_message,
                    state_start_time=batch.state_time,
                )
            )
        batch.state = Batch.State(state)
        batch.state_message = message
        batch.state_time = self._clock.now()


def _check_batch(batch: Batch) -> None:
    """Refuse what the service would refuse, and what the stand-in cannot run."""
    main = batch.pyspark_batch.main_python_file_uri
    if not (main.startswith("gs://") and main.endswith(".py")):
        raise _invalid(f"pyspark_batch.main_python_file_uri '{main}' must be a gs://….py file")
    for uri in batch.pyspark_batch.python_file_uris:
        if not (uri.startswith("gs://") and uri.endswith((".py", ".egg", ".zip"))):
            raise _invalid(f"pyspark_batch.python_file_uris '{uri}' must be .py, .egg or .zip")
    if len(batch.labels) > 32:
        raise _invalid(f"{len(batch.labels)} labels: a batch has 32 at most")
    if not MIN_TTL <= _ttl(batch) <= MAX_TTL:
        raise _invalid(f"ttl {_ttl(batch)} must be between 10 minutes and 14 days")


def _ttl(batch: Batch) -> timedelta:
    # Runtimes from 2.1 on end a batch without a ttl after four hours.
    execution = batch.environment_config.execution_config
    return execution.ttl if "ttl" in execution else DEFAULT_TTL


def _request(batch: Batch) -> BatchRequest:
    return BatchRequest(
        batch_id=batch.name.rsplit("/", 1)[1],
        main_python_file_uri=batch.pyspark_batch.main_python_file_uri,
        python_file_uris=tuple(batch.pyspark_batch.python_file_uris),
        args=tuple(batch.pyspark_batch.args),
        properties=dict(batch.runtime_config.properties),
    )


def _usage(seconds: float) -> RuntimeInfo:
    used = {"milli_dcu_seconds": math.ceil(seconds * DCU * 1000)}
    return RuntimeInfo(endpoints={"usage": USAGE_NOTE}, approximate_usage=used)


def _fields(batch: Batch) -> dict[str, str]:
    fields = {
        "batch_id": batch.name.rsplit("/", 1)[1],
        "batch_uuid": batch.uuid,
        "state": batch.state.name,
        "create_time": _json(batch)["createTime"],
    }
    return fields | {f"labels.{key}": value for key, value in batch.labels.items()}


def _json(batch: Batch) -> dict[str, Any]:
    fields: dict[str, Any] = MessageToDict(Batch.pb(batch))
    return fields


def _invalid(message: str) -> DataprocError:
    return DataprocError("INVALID_ARGUMENT", message)
