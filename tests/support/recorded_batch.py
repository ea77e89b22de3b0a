"""A batch without Spark: it replays the storage requests that the real job was recorded making.

The recording has the requests that change something, with the files they write. Reads are left
out, except those on which the job's course depends: its manifest, its parts and its receipt.
"""

from __future__ import annotations

import io
import json
import re
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
import urllib3

from local_cloud.accounts import access_token
from local_cloud.calls import Call
from local_cloud.cloud import BATCH_ACCOUNT, LocalCloud
from local_cloud.spark_worker import BatchRequest, BatchResult
from tests.support.crash_list import FOLDER

_REQUESTS = "batch.json"
_RECEIPT = "receipt.json"
_BOUNDARY = "__END_OF_PART__recorded__"
_SLOT = re.compile(r"slot(?:=|%3D)([^/%]+)")
_METADATA = re.compile(rb'\r\n\r\n(\{"metadata":.*?\})\r\n--', re.DOTALL)
_ATTEMPT = re.compile(r"attempt_\d+_\d+_m_\d+_\d+")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class BatchFailedError(RuntimeError):
    """The batch ends here, as the real one would."""


@dataclass(frozen=True)
class StoredRequest:
    """A request that changes something; `{manifest}`, `{attempt}`, `{generation}` are to be filled.

    An upload has `metadata`, and in `file` the recorded file that it writes; a folder has no file.
    """

    method: str
    target: str
    metadata: str = ""
    file: str = ""

    @property
    def slot(self) -> str | None:
        """The slot it is for; None if it is for all of them."""
        found = _SLOT.search(self.name)
        return found[1] if found else None

    @property
    def name(self) -> str:
        """The object that it writes or deletes, without the bucket."""
        if self.metadata:
            return str(json.loads(self.metadata)["name"])
        return urllib.parse.unquote(self.target.partition("?")[0].rpartition("/o/")[2])


@dataclass(frozen=True)
class Recording:
    """What a batch changes in storage: requests in an order of their own, and files by name."""

    requests: tuple[StoredRequest, ...]
    files: Mapping[str, bytes]

    @classmethod
    def read(cls, folder: Path = FOLDER) -> Self:
        """Read the recording that the repository has."""
        entries = json.loads((folder / _REQUESTS).read_text(encoding="utf-8"))
        requests = tuple(StoredRequest(**entry) for entry in entries)
        names = {request.file for request in requests if request.file}
        return cls(requests, {name: (folder / name).read_bytes() for name in sorted(names)})

    @classmethod
    def of_calls(cls, cloud: LocalCloud, calls: Iterable[Call]) -> Self:
        """Give what a batch that has ended well changed: `calls` are the gate's of one attempt."""
        own = [call for call in calls if call.account == BATCH_ACCOUNT and call.mutating]
        raw = _ordered([_stored(call) for call in own])
        receipt_name = raw[-1].name
        manifest = receipt_name.rpartition("/")[2].removesuffix(".json")
        mask = _Mask(manifest)
        requests, files = [], {}
        for request in raw:
            if request.file:
                final = re.sub(r"_temporary/0/_temporary/[^/]+/", "", request.name)
                files[request.file] = cloud.read("lake", final) or b""
            requests.append(mask.request(request))
        files[_RECEIPT] = mask.receipt(files[_RECEIPT])
        return cls(tuple(requests), files)

    def write(self, folder: Path = FOLDER) -> None:
        """Write the recording in place of the one in `folder`; a file of the same rows stays."""
        before = Recording.read(folder).content() if (folder / _REQUESTS).exists() else {}
        for removed in before.keys() - self.files.keys():
            (folder / removed).unlink()
        lines = [json.dumps({k: v for k, v in asdict(r).items() if v}) for r in self.requests]
        (folder / _REQUESTS).write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
        for name, content in self.content().items():
            if content != before.get(name):
                (folder / name).write_bytes(self.files[name])

    def content(self) -> dict[str, Any]:
        """Give what the files say: rows with their types, and the receipt. Runs are left out."""
        content: dict[str, Any] = {_RECEIPT: json.loads(self.files[_RECEIPT])}
        for name in self.files.keys() - {_RECEIPT}:
            table = pq.read_table(io.BytesIO(self.files[name]))
            others = [column for column in table.column_names if column != "run"]
            columns = [f"{field.name} {field.type}" for field in table.schema]
            content[name] = columns, sorted(map(repr, table.select(others).to_pylist()))
        return content


class RecordedBatch:
    """Runs every batch by the recording, for slots that the recording has.

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
        return BatchResult(batch.batch_id, state, message, round(time.monotonic() - started, 3))

    def _work(self, storage: _Storage, arguments: dict[str, str]) -> None:
        manifest = json.loads(storage.read(arguments["--manifest"]))
        receipt = f"gs://demo-lake/receipts/{manifest['system']}/{manifest['id']}.json"
        if storage.exists(receipt):
            return
        slots = {slot["slot"]: slot for slot in manifest["slots"]}
        self._check_rows(storage, slots)
        values = {"{manifest}": manifest["id"], "{attempt}": arguments["--attempt"]}
        for request in self._recording.requests:
            if request.slot is None or request.slot in slots:
                storage.send(_filled(request, values), self._body(request, slots, values))

    def _check_rows(self, storage: _Storage, slots: Mapping[str, Any]) -> None:
        """Read the parts, as the job does: the recorded rows must be as many as theirs."""
        recorded = json.loads(self._recording.files[_RECEIPT])["counts"]
        counts = {each["slot"]: each["rows_in"] for each in recorded}
        for name, slot in slots.items():
            files = [io.BytesIO(storage.read(uri)) for uri in slot["parts"]]
            rows = sum(pq.read_metadata(file).num_rows for file in files)
            if rows != counts.get(name):
                raise BatchFailedError(f"{name}: {rows} rows; recorded are {counts}")

    def _body(
        self, request: StoredRequest, slots: Mapping[str, Any], values: Mapping[str, str]
    ) -> bytes:
        """Give the file that a request uploads: with the runs, slots and names of this batch."""
        if not request.file:
            return b""
        body = self._recording.files[request.file]
        if request.file == _RECEIPT:
            return _receipt(_replaced(body.decode(), values), slots, int(values["{attempt}"]))
        return _with_run(body, slots[request.slot or ""]["run"])


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


class _Mask:
    """Replaces what differs between two batches: names of the manifest, of attempts and of files."""

    def __init__(self, manifest: str) -> None:
        self._manifest = manifest
        self._attempts: dict[str, str] = {}
        self._uuids: dict[str, str] = {}

    def request(self, request: StoredRequest) -> StoredRequest:
        """Mask a request."""
        target = re.sub(r"(ifGenerationMatch=)\d{2,}", r"\1{generation}", self.text(request.target))
        return replace(request, target=target, metadata=self.text(request.metadata))

    def receipt(self, body: bytes) -> bytes:
        """Mask a receipt: what depends on the job's release and the machine's speed is left out."""
        receipt = json.loads(self.text(body.decode()))
        receipt |= {"job": "recorded", "seconds": 0.0, "attempt": 0}
        return (json.dumps(receipt, indent=1) + "\n").encode()

    def text(self, text: str) -> str:
        """Mask the names in a text."""
        text = re.sub(rf"{self._manifest}-a\d+", "{manifest}-a{attempt}", text)
        text = text.replace(self._manifest, "{manifest}")
        text = _ATTEMPT.sub(lambda found: self._numbered(self._attempts, found[0], _attempt), text)
        return _UUID.sub(lambda found: self._numbered(self._uuids, found[0], _uuid), text)

    def _numbered(
        self, numbers: dict[str, str], name: str, number_name: Callable[[int], str]
    ) -> str:
        return numbers.setdefault(name, number_name(len(numbers) + 1))


def _attempt(number: int) -> str:
    return f"attempt_20240601000000000_{number:04}_m_000000_{number}"


def _uuid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012}"


def _stored(call: Call) -> StoredRequest:
    """A call as it is recorded, its names not yet masked."""
    found = _METADATA.search(call.body_start)
    request = StoredRequest(call.method, call.path, found[1].decode() if found else "")
    if not found or request.name.endswith("/"):
        return request
    table = request.name.partition("/")[0]
    is_receipt = table == "receipts"
    return replace(request, file=_RECEIPT if is_receipt else f"{table}.{request.slot}.parquet")


def _ordered(requests: list[StoredRequest]) -> list[StoredRequest]:
    """Order requests as if one task worked on one slot after the other.

    Two tasks of a table work at once, so that their requests come in any order. Of each table and
    slot the order is the job's own.
    """
    tables = list(dict.fromkeys(_table(request) for request in requests))
    return sorted(requests, key=lambda each: (tables.index(_table(each)), *_stage(each)))


def _table(request: StoredRequest) -> str:
    return request.name.partition("/")[0]


def _stage(request: StoredRequest) -> tuple[int, str]:
    """The driver opens the table, tasks upload and commit their slots, the driver closes it."""
    if request.slot is None:
        return (3 if request.method == "DELETE" else 0), ""
    return (1 if request.file else 2), request.slot


def _filled(request: StoredRequest, values: Mapping[str, str]) -> StoredRequest:
    target, metadata = (_replaced(text, values) for text in (request.target, request.metadata))
    return replace(request, target=target, metadata=metadata)


def _replaced(text: str, values: Mapping[str, str]) -> str:
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text


def _receipt(text: str, slots: Mapping[str, Any], attempt: int) -> bytes:
    """A receipt of these slots alone."""
    receipt = json.loads(text)
    receipt["attempt"] = attempt
    for key in ("written", "counts"):
        receipt[key] = [each for each in receipt[key] if each["slot"] in slots]
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
