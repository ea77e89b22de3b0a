"""Read from an HTTP request what it asks of Google Cloud: account, service, method, name."""

from __future__ import annotations

import json
import re
import urllib.parse
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from local_cloud.gateway.http1 import Head
from local_cloud.iam.accounts import account_of

BODY_START = 4096
"""Bytes of a request's body that a `Call` has."""
JSON_BODY = 2**20
"""As many for BigQuery and Dataproc, whose bodies are JSON, for example a script."""

MUTATING = frozenset(
    {
        "objects.insert",
        "objects.rewrite",
        "objects.compose",
        "objects.delete",
        "objects.patch",
        "jobs.insert",
        "jobs.query",
        "tabledata.insertAll",
        "tables.insert",
        "tables.patch",
        "tables.delete",
        "batches.create",
        "batches.delete",
    }
)
"""Actions that change what a later call sees, named as in Google's REST references."""


@dataclass(frozen=True)
class Call:
    """One request as the gate sees it.

    `service` is "storage", "bigquery", "dataproc", "token" or "outside" (a client that takes the
    gate for its proxy and asks for another host); `action` the REST method
    ("objects.insert"), a resumable upload being "uploads.start" and "uploads.chunk" up to its last
    chunk, which is the "objects.insert"; `name` is bucket/object, a job, dataset.table or batch id.
    """

    account: str
    service: str
    method: str
    path: str
    name: str
    body_start: bytes
    action: str = ""
    upload_id: str = ""

    @property
    def mutating(self) -> bool:
        """Whether the call changes anything that another can see."""
        return self.action in MUTATING


def body_bytes_read(head: Head) -> int:
    """Return how many bytes of a request's body a `Call` has."""
    path = head.start.split(" ", 2)[1]
    is_json = path.startswith(("/bigquery/v2/", "/v1/projects/"))
    return JSON_BODY if is_json else BODY_START


def read_call(head: Head, body_start: bytes, uploads: Mapping[str, str]) -> Call:
    """Read a request's head and first bytes; `uploads` maps the upload ids in progress to names."""
    method, target, _ = head.start.split(" ", 2)
    method = head.get("x-http-method-override") or method
    path, _, query_text = target.partition("?")
    query = {key: values[0] for key, values in urllib.parse.parse_qs(query_text).items()}
    rule, match = _rule_of(method, path)
    start = _inflated(head, body_start, body_bytes_read(head))
    upload_id = query.get("upload_id", "")
    return Call(
        account=account_of(head.get("authorization")),
        service=rule.service,
        method=method,
        path=target,
        name=uploads.get(upload_id) or _name(rule, match, query, start),
        body_start=start,
        action=_upload_step(rule.action, method, head, query),
        upload_id=upload_id,
    )


@dataclass(frozen=True)
class _Rule:
    service: str
    methods: str
    path: re.Pattern[str]
    action: str
    named_by: str = ""
    """Where the rest of the name is when the path has it not: a query parameter and JSON key."""


def _rule(service: str, methods: str, path: str, action: str, named_by: str = "") -> _Rule:
    return _Rule(service, methods, re.compile(path), action, named_by)


_O = r"(?:/storage/v1)?/b/(?P<a>[^/]+)/o"
_P = r"/bigquery/v2/projects/[^/]+"
_T = _P + r"/datasets/(?P<a>[^/]+)/tables"
_R = r"/v1/projects/[^/]+/(?:locations|regions)/[^/]+"
_B = _R + r"/batches"

_RULES = (
    _rule("outside", "CONNECT", r"(?P<a>[^/]+)$", "connect"),
    _rule("token", "POST", r"/token$", "token"),
    _rule("storage", "POST|PUT", rf"/upload{_O}$", "objects.insert", "name"),
    _rule("storage", "DELETE", rf"/upload{_O}$", "uploads.cancel"),
    _rule("storage", "POST", rf"{_O}/.+/(?:rewriteTo|copyTo)/b/(?P<b>[^/]+)/o/(?P<c>.+)$", "objects.rewrite"),
    _rule("storage", "POST", rf"{_O}/(?P<b>.+)/compose$", "objects.compose"),
    _rule("storage", "DELETE", rf"{_O}/(?P<b>.+)$", "objects.delete"),
    _rule("storage", "PATCH|PUT", rf"{_O}/(?P<b>.+)$", "objects.patch"),
    _rule("storage", "GET|HEAD", rf"(?:/download)?{_O}/(?P<b>.+)$", "objects.get"),
    _rule("storage", "GET", rf"{_O}/?$", "objects.list"),
    _rule("storage", "GET", r"(?:/storage/v1)?/b/(?P<a>[^/]+)$", "buckets.get"),
    _rule("storage", ".*", r"(?:/storage/v1)?/b(?:/(?P<a>[^/]+)(?:/.*)?)?$", "buckets.other"),
    _rule("storage", ".*", r"/(?:batch/|upload/)?storage/", "storage.other"),
    _rule("bigquery", "POST|PUT", rf"(?:(?:/resumable)?/upload)?{_P}/jobs$", "jobs.insert", "jobId"),
    _rule("bigquery", "POST", rf"{_P}/queries$", "jobs.query", "requestId"),
    _rule("bigquery", "POST", rf"{_T}/(?P<b>[^/]+)/insertAll$", "tabledata.insertAll"),
    _rule("bigquery", "POST", rf"{_T}$", "tables.insert", "tableId"),
    _rule("bigquery", "DELETE", rf"{_T}/(?P<b>[^/]+)$", "tables.delete"),
    _rule("bigquery", "PATCH|PUT", rf"{_T}/(?P<b>[^/]+)$", "tables.patch"),
    _rule("bigquery", "GET", rf"{_T}/(?P<b>[^/]+)$", "tables.get"),
    _rule("bigquery", "GET", rf"{_P}/(?:jobs|queries)/(?P<a>[^/]+)$", "jobs.get"),
    _rule("bigquery", ".*", r"(?:(?:/resumable)?/upload)?/bigquery/", "bigquery.other"),
    _rule("bigquery", ".*", r"/\$?discovery/", "bigquery.other"),
    _rule("dataproc", "POST", rf"{_B}$", "batches.create", "batchId"),
    _rule("dataproc", "DELETE", rf"{_B}/(?P<a>[^/]+)$", "batches.delete"),
    _rule("dataproc", "GET", rf"{_B}/(?P<a>[^/]+)$", "batches.get"),
    _rule("dataproc", "GET", rf"{_B}$", "batches.list"),
    _rule("dataproc", "GET", rf"{_R}/operations/(?P<a>[^/]+)$", "operations.get"),
    _rule("dataproc", ".*", r"/v1/projects/", "dataproc.other"),
    _rule("storage", "PUT", r"/(?P<a>[^/]+)/(?P<b>.+)$", "objects.insert"),
    _rule("storage", "DELETE", r"/(?P<a>[^/]+)/(?P<b>.+)$", "objects.delete"),
    _rule("storage", "GET|HEAD", r"/(?P<a>[^/]+)/(?P<b>.+)$", "objects.get"),
    _rule("storage", ".*", r"/", "storage.other"),
)  # fmt: skip


def _rule_of(method: str, path: str) -> tuple[_Rule, re.Match[str]]:
    for rule in _RULES:
        if re.fullmatch(rule.methods, method) and (match := rule.path.match(path)):
            return rule, match
    raise ValueError(f"{method} {path}: not a path of a Google Cloud API; ask for /…")


def _name(rule: _Rule, match: re.Match[str], query: Mapping[str, str], body: bytes) -> str:
    groups = match.groupdict()
    if "c" in groups:
        del groups["a"]  # a copy is named by what it writes, not by what it reads
    parts = [urllib.parse.unquote(part) for part in groups.values() if part]
    if rule.named_by:
        parts.append(query.get(rule.named_by) or _json_text(rule.named_by, body))
    return ("." if rule.service == "bigquery" else "/").join(part for part in parts if part)


def _json_text(key: str, body: bytes) -> str:
    """Find a key's text at the beginning of a JSON document, also in a multipart body."""
    found = re.search(rb'"%b"\s*:\s*("(?:[^"\\]|\\.)*")' % key.encode(), body)
    return str(json.loads(found[1])) if found else ""


def _upload_step(action: str, method: str, head: Head, query: Mapping[str, str]) -> str:
    if "upload_id" in query:
        return action if _is_last_chunk(head) else "uploads.chunk"
    if query.get("uploadType") == "resumable" and method == "POST":
        return "uploads.start"
    return action


def _is_last_chunk(head: Head) -> bool:
    """`bytes a-b/total` with b the last byte ends an upload; `a-b/*` does not.

    `bytes */total` asks for the state, unless it is how an empty object is finished.
    """
    sent = re.fullmatch(r"bytes (?:\d+-(\d+)|\*)/(\d+|\*)", head.get("content-range"))
    if sent is None:
        return True
    last, total = sent.groups()
    if total == "*":
        return False
    return int(last) + 1 == int(total) if last else int(total) == 0


def _inflated(head: Head, start: bytes, limit: int) -> bytes:
    if head.get("content-encoding").lower() != "gzip" or not start.startswith(b"\x1f\x8b"):
        return start
    return zlib.decompressobj(31).decompress(start, limit)
