"""A batch without Spark: it replays the storage requests that the real job was recorded making.

The recording has the requests that change something, with the files they write. Reads are left
out, except those on which the job's course depends: its manifest, its parts and its receipt.
"""

from __future__ import annotations

import io
import json
import logging
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
import urllib3

from local_cloud.cloud import BATCH_ACCOUNT
from local_cloud.dataproc.worker import BatchRequest, BatchResult
from local_cloud.iam.accounts import access_token
from tests.support.crash_list import RENEW
from tests.support.recording import RECEIPT, Contents, Recording, StoredRequest, content_of

_BOUNDARY = "__END_OF_PART__recorded__"


class BatchFailedError(RuntimeError):
    """The batch ends here, as the real one would."""


class RecordedBatch:
    """Runs every batch by the recording, for the contents of slots that the recording has.

    A request that is refused ends the batch, as it ends the real one.
    """

    def __init__(self, gate_url: str) -> None:
        self._url = gate_url
        self._recording = Recording.read()

    def start(self) -> None:
        """Do nothing: there is no process."""

    def wait_ready(self) -> None:
        """Do nothing: there is no process."""

    def stop(self) -> None:
        """Do nothing: there is no process."""

    def run(self, batch: BatchRequest, timeout: float | None = None) -> BatchResult:
        """Replay the requests for the manifest and the attempt that the batch's arguments name."""
        started = time.monotonic()
        state, message = "SUCCEEDED", ""
        try:
            with _Storage(self._url) as storage:
                self._work(storage, dict(zip(batch.args[::2], batch.args[1::2], strict=True)))
        except (BatchFailedError, urllib3.exceptions.HTTPError) as error:
            state, message = "FAILED", f"Job failed with message [{error}]"
            logging.getLogger(__name__).warning("%s: %s", batch.batch_id, message)
        return BatchResult(batch.batch_id, state, message, round(time.monotonic() - started, 3))

    def _work(self, storage: _Storage, arguments: dict[str, str]) -> None:
        manifest = json.loads(storage.read(arguments["--manifest"]))
        receipt = f"gs://demo-lake/receipts/{manifest['system']}/{manifest['id']}.json"
        if storage.exists(receipt):
            return
        contents = self._contents(storage, manifest["slots"])
        runs = {slot["slot"]: slot["run"] for slot in manifest["slots"]}
        values = {"{manifest}": manifest["id"], "{attempt}": arguments["--attempt"]}
        recording = self._recording.of(contents)
        for request in recording.requests:
            body = recording.files.get(request.file_of(contents), b"")
            if request.file == RECEIPT:
                body = _receipt(_replaced(body.decode(), values), int(arguments["--attempt"]))
            elif request.file:
                body = _with_run(body, runs[request.slot or ""])
            storage.send(_filled(request, values), body)

    def _contents(self, storage: _Storage, slots: list[dict[str, Any]]) -> Contents:
        """Read the parts, as the job does; fail the batch if their rows are not recorded."""
        contents = []
        for slot in slots:
            found = slot["slot"], content_of(map(storage.read, slot["parts"]))
            if found not in self._recording.contents():
                raise BatchFailedError(
                    f"slot {found[0]}: no recording of its content {found[1]}; recorded are "
                    f"{self._recording.contents()}. Add the export to EXPORTS in "
                    f"tests/support/crashes.py, then run {RENEW}"
                )
            contents.append(found)
        return contents


class _Storage:
    """Cloud Storage as the batch's account asks it, through the gate, each request once."""

    def __init__(self, url: str) -> None:
        headers = {"Authorization": f"Bearer {access_token(BATCH_ACCOUNT)}"}
        self._url = url
        self._pool = urllib3.PoolManager(headers=headers, retries=False, timeout=60.0)
        self._generations: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.clear()

    def read(self, uri: str) -> bytes:
        """Read an object by its gs:// URI."""
        return self._answered(
            self._pool.request("GET", f"{self._url}/download{_path(uri)}?alt=media")
        )

    def exists(self, uri: str) -> bool:
        """Report whether there is an object at a gs:// URI."""
        answer = self._pool.request("GET", f"{self._url}{_path(uri)}")
        return answer.status != 404 and bool(self._answered(answer))

    def send(self, request: StoredRequest, body: bytes) -> None:
        """Send a request that changes something."""
        generation = self._generations.get(request.name, "")
        url = self._url + request.target.replace("{generation}", generation)
        if not request.metadata:
            self._answered(self._pool.request(request.method, url))
            return
        kind = {**self._pool.headers, "Content-Type": f"multipart/related; boundary={_BOUNDARY}"}
        form = _multipart(request.metadata, body)
        reply = self._answered(self._pool.request(request.method, url, body=form, headers=kind))
        self._generations[request.name] = str(json.loads(reply)["generation"])

    def _answered(self, answer: urllib3.BaseHTTPResponse) -> bytes:
        if answer.status >= 400:
            raise BatchFailedError(f"{answer.status} {answer.data[:300]!r}")
        return answer.data


def _filled(request: StoredRequest, values: Mapping[str, str]) -> StoredRequest:
    target, metadata = (_replaced(text, values) for text in (request.target, request.metadata))
    return replace(request, target=target, metadata=metadata)


def _replaced(text: str, values: Mapping[str, str]) -> str:
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text


def _receipt(text: str, attempt: int) -> bytes:
    """A receipt as the job writes it: without contents."""
    receipt = json.loads(text)
    receipt["attempt"] = attempt
    for key in ("written", "counts"):
        for each in receipt[key]:
            del each["content"]
    return json.dumps(receipt).encode()


def _with_run(body: bytes, run: str) -> bytes:
    """A recorded file with the run of the batch at hand in its rows, where they have one."""
    table = pq.read_table(io.BytesIO(body))
    if "run" not in table.column_names:
        return body
    place = table.column_names.index("run")
    runs = pa.array([run] * table.num_rows)
    target = io.BytesIO()
    pq.write_table(table.set_column(place, "run", runs), target, compression="zstd")
    return target.getvalue()


def _multipart(metadata: str, body: bytes) -> bytes:
    parts = (
        f"--{_BOUNDARY}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{metadata}\r\n",
        f"--{_BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\r\n",
        f"\r\n--{_BOUNDARY}--\r\n",
    )
    first, second, end = (part.encode() for part in parts)
    return first + second + body + end


def _path(uri: str) -> str:
    """The path of an object in the JSON API."""
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    return f"/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}"
