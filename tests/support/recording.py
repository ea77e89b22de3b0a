"""What a real batch changed in storage, as the repository has it in tests/data/crash.

The requests are the same whatever the rows say. The files are recorded for each content of a slot.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import urllib.parse
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import pyarrow.parquet as pq

from catalog import object_names
from local_cloud.cloud import BATCH_ACCOUNT, LocalCloud
from local_cloud.gateway.calls import Call
from tests.support.crash_list import FOLDER

RECEIPT = "receipt.json"
_REQUESTS = "batch.json"
_BY_SLOT = ("written", "counts")
"""Lists of a receipt that have entries for each slot."""
_SLOT = re.compile(r"slot(?:=|%3D)([^/%]+)")
_METADATA = re.compile(rb'\r\n\r\n(\{"metadata":.*?\})\r\n--', re.DOTALL)
_ATTEMPT = re.compile(r"attempt_\d+_\d+_m_\d+_\d+")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

type Contents = Collection[tuple[str, str]]
"""Slots, each with a digest of its rows."""


class RecordingError(ValueError):
    """Two batches that cannot share a recording."""


def content_of(parts: Iterable[bytes]) -> str:
    """Digest the rows of a slot's parts, without the run that brought them."""
    digest = hashlib.sha256()
    for body in parts:
        table = pq.read_table(io.BytesIO(body)).drop_columns(["run"])
        digest.update(json.dumps(table.to_pylist()).encode())
    return digest.hexdigest()[:12]


@dataclass(frozen=True)
class StoredRequest:
    """A request that changes something, with placeholders for what differs between batches.

    They are `{manifest}`, `{attempt}`, `{generation}`, and in a file's name `{content}` of the slot.
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

    def file_of(self, contents: Contents) -> str:
        """The name of the recorded file that it uploads for these contents."""
        return self.file.replace("{content}", dict(contents).get(self.slot or "", ""))


@dataclass(frozen=True)
class Recording:
    """Requests in an order of their own, and files by name; the receipt has every content."""

    requests: tuple[StoredRequest, ...]
    files: Mapping[str, bytes]

    @classmethod
    def read(cls, folder: Path = FOLDER) -> Self:
        """Read the recording that the repository has."""
        entries = json.loads((folder / _REQUESTS).read_text(encoding="utf-8"))
        requests = tuple(StoredRequest(**entry) for entry in entries)
        receipt = (folder / RECEIPT).read_bytes()
        files = _file_names(json.loads(receipt))
        return cls(requests, {RECEIPT: receipt} | {f: (folder / f).read_bytes() for f in files})

    @classmethod
    def of_calls(cls, cloud: LocalCloud, calls: Iterable[Call]) -> Self:
        """Give what a batch that has ended well changed: `calls` are the gate's of one attempt."""
        own = [call for call in calls if call.account == BATCH_ACCOUNT and call.mutating]
        raw = _ordered([_stored(call) for call in own])
        _, system, receipt_name = raw[-1].name.split("/")
        manifest = receipt_name.removesuffix(".json")
        contents = _sealed_contents(cloud, object_names.manifest(system, manifest))
        mask = _Mask(manifest)
        requests, files = [], {}
        for request in raw:
            if request.file:
                final = re.sub(r"_temporary/0/_temporary/[^/]+/", "", request.name)
                files[request.file_of(contents)] = cloud.read("lake", final) or b""
            requests.append(mask.request(request))
        files[RECEIPT] = mask.receipt(files[RECEIPT], contents)
        return cls(tuple(requests), files)

    def contents(self) -> Contents:
        """List the recorded contents of all slots."""
        return [(each["slot"], each["content"]) for each in self._receipt()["counts"]]

    def of(self, contents: Contents) -> Recording:
        """Give the recording of a batch that has these contents alone."""
        slots, receipt = dict(contents), self._receipt()
        for key in _BY_SLOT:
            receipt[key] = [e for e in receipt[key] if slots.get(e["slot"]) == e["content"]]
        mask = _Mask("{manifest}")
        requests = [mask.request(r) for r in self.requests if r.slot is None or r.slot in slots]
        files = {name: self.files[name] for name in _file_names(receipt)}
        return Recording(tuple(requests), {RECEIPT: _encoded(receipt), **files})

    def add(self, other: Recording) -> Recording:
        """Give a recording with the contents of both; the other's slots are among this one's.

        Raises RecordingError if the other batch made requests of its own.
        """
        slots = dict(other.contents())
        own = [(slot, content) for slot, content in self.contents() if slot in slots]
        if other.requests != self.of(own).requests:
            raise RecordingError(
                f"the batch of {other.contents()} makes other requests than that of {own}, but "
                f"{_REQUESTS} is for both: choose rows that Spark writes in the same files"
            )
        receipt = _joined(self._receipt(), other._receipt())
        return Recording(self.requests, {**other.files, **self.files, RECEIPT: _encoded(receipt)})

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
        content: dict[str, Any] = {RECEIPT: self._receipt()}
        for name in self.files.keys() - {RECEIPT}:
            table = pq.read_table(io.BytesIO(self.files[name]))
            others = [column for column in table.column_names if column != "run"]
            columns = [f"{field.name} {field.type}" for field in table.schema]
            content[name] = columns, sorted(map(repr, table.select(others).to_pylist()))
        return content

    def _receipt(self) -> dict[str, Any]:
        receipt: dict[str, Any] = json.loads(self.files[RECEIPT])
        return receipt


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

    def receipt(self, body: bytes, contents: Contents) -> bytes:
        """Mask a receipt and add each slot's content.

        What depends on the job's release and the machine's speed is left out.
        """
        receipt = json.loads(self.text(body.decode()))
        receipt |= {"job": "recorded", "seconds": 0.0, "attempt": 0}
        for key in _BY_SLOT:
            receipt[key] = [
                {**each, "content": dict(contents)[each["slot"]]} for each in receipt[key]
            ]
        return _encoded(receipt)

    def text(self, text: str) -> str:
        """Mask the names in a text."""
        text = re.sub(rf"{re.escape(self._manifest)}-a\d+", "{manifest}-a{attempt}", text)
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
    return replace(
        request, file=RECEIPT if is_receipt else f"{table}.{request.slot}.{{content}}.parquet"
    )


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


def _sealed_contents(cloud: LocalCloud, manifest: str) -> Contents:
    """The contents of the slots that a manifest of the landing zone names."""
    slots = json.loads(cloud.read("landing", manifest) or b"")["slots"]
    return [(slot["slot"], content_of(_parts(cloud, slot["parts"]))) for slot in slots]


def _parts(cloud: LocalCloud, uris: Iterable[str]) -> Iterable[bytes]:
    for uri in uris:
        yield cloud.read("landing", uri.split("/", 3)[3]) or b""


def _file_names(receipt: Mapping[str, Any]) -> list[str]:
    """List the recorded files that a receipt with contents names."""
    return [
        f"{each['table']}.{each['slot']}.{each['content']}.parquet"
        for each in receipt["written"]
        if each["files"]
    ]


def _joined(receipt: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """A receipt with the entries of both, in the order of the job: by table, then by slot."""
    tables = list(dict.fromkeys(each["table"] for each in receipt["written"]))

    def place(each: Mapping[str, Any]) -> tuple[int, str, str]:
        return tables.index(each.get("table", tables[0])), each["slot"], each["content"]

    joined = dict(receipt)
    for key in _BY_SLOT:
        added = [each for each in other[key] if each not in receipt[key]]
        joined[key] = sorted([*receipt[key], *added], key=place)
    return joined


def _encoded(receipt: Mapping[str, Any]) -> bytes:
    return (json.dumps(receipt, indent=1) + "\n").encode()
