"""What the gate reads from a request: action, name, account."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from local_cloud.gateway.calls import read_call
from local_cloud.gateway.http1 import Head
from local_cloud.iam.accounts import account_of, issue_token

UP = "/upload/storage/v1/b/raw/o"
O = "/storage/v1/b/raw/o"  # noqa: E741
BQ = "/bigquery/v2/projects/demo"
DP = "/v1/projects/demo/locations/europe-west9/batches"
RELATED = b'--=\r\nContent-Type: application/json\r\n\r\n{"name": "a/b\\u00e9.csv"}\r\n--=\r\n\r\n'
JOB = b'{"jobReference": {"jobId": "j1", "projectId": "demo"}, "configuration": {}}'


@pytest.mark.parametrize(
    ("request_line", "headers", "body", "action", "name"),
    [
        (f"POST {UP}?uploadType=media&name=a%2Fb.csv", {}, b"x", "objects.insert", "raw/a/b.csv"),
        (f"POST {UP}?uploadType=multipart", {}, RELATED, "objects.insert", "raw/a/bé.csv"),
        (
            f"POST {UP}?uploadType=multipart",
            {"Content-Encoding": "gzip"},
            gzip.compress(RELATED + bytes(9000)),
            "objects.insert",
            "raw/a/bé.csv",
        ),
        (f"POST {UP}?uploadType=resumable", {}, b'{"name":"big"}', "uploads.start", "raw/big"),
        (f"POST {UP}?uploadType=resumable&name=big", {}, b"", "uploads.start", "raw/big"),
        (
            f"PUT {UP}?upload_id=u1",
            {"Content-Range": "bytes 0-262143/*"},
            b"",
            "uploads.chunk",
            "raw/known",
        ),
        (
            f"PUT {UP}?upload_id=u1",
            {"Content-Range": "bytes 262144-262150/262151"},
            b"",
            "objects.insert",
            "raw/known",
        ),
        (
            f"PUT {UP}?upload_id=u1",
            {"Content-Range": "bytes 0-5/7"},
            b"",
            "uploads.chunk",
            "raw/known",
        ),
        (
            f"PUT {UP}?upload_id=u1",
            {"content-range": "bytes */7"},
            b"",
            "uploads.chunk",
            "raw/known",
        ),
        (
            f"PUT {UP}?upload_id=u1",
            {"content-range": "bytes */0"},
            b"",
            "objects.insert",
            "raw/known",
        ),
        (f"PUT {UP}?upload_id=u1", {}, b"", "objects.insert", "raw/known"),
        (f"POST {O}/a%2Fb/rewriteTo/b/lake/o/c%2Fd", {}, b"", "objects.rewrite", "lake/c/d"),
        (f"POST {O}/a/copyTo/b/lake/o/c", {}, b"", "objects.rewrite", "lake/c"),
        (f"POST {O}/a%2Fall/compose", {}, b"", "objects.compose", "raw/a/all"),
        (f"DELETE {O}/a%2Fb?generation=1", {}, b"", "objects.delete", "raw/a/b"),
        (f"PATCH {O}/a%2Fb", {}, b"", "objects.patch", "raw/a/b"),
        (
            f"POST {O}/a",
            {"X-HTTP-Method-Override": "PATCH"},
            b"",
            "objects.patch",
            "raw/a",
        ),
        (f"GET {O}/a%2Fb?alt=media", {}, b"", "objects.get", "raw/a/b"),
        ("GET /download/storage/v1/b/raw/o/a?alt=media", {}, b"", "objects.get", "raw/a"),
        (f"GET {O}?prefix=a", {}, b"", "objects.list", "raw"),
        ("GET /b/raw", {}, b"", "buckets.get", "raw"),
        ("POST /storage/v1/b?project=demo", {}, b'{"name":"raw"}', "buckets.other", ""),
        ("PUT /raw/a/b", {}, b"", "objects.insert", "raw/a/b"),
        ("DELETE /bucket/a", {}, b"", "objects.delete", "bucket/a"),
        ("GET /raw/slot%3D2024-05/x", {}, b"", "objects.get", "raw/slot=2024-05/x"),
        (f"POST {BQ}/jobs?prettyPrint=false", {}, JOB, "jobs.insert", "j1"),
        (f"POST /upload{BQ}/jobs?uploadType=multipart", {}, b"--=\r\n" + JOB, "jobs.insert", "j1"),
        (f"POST /upload{BQ}/jobs?uploadType=resumable", {}, JOB, "uploads.start", "j1"),
        (f"POST /resumable/upload{BQ}/jobs?upload_id=u1", {}, b"", "jobs.insert", "raw/known"),
        (f"POST {BQ}/queries", {}, b'{"query":"","requestId":"r"}', "jobs.query", "r"),
        (f"GET {BQ}/queries/j1?maxResults=0", {}, b"", "jobs.get", "j1"),
        (f"POST {BQ}/datasets/ops/tables/loads/insertAll", {}, b"", "tabledata.insertAll", "ops.loads"),
        (
            f"POST {BQ}/datasets/ops/tables",
            {},
            b'{"tableReference":{"tableId":"t"}}',
            "tables.insert",
            "ops.t",
        ),
        (f"DELETE {BQ}/datasets/ops/tables/t", {}, b"", "tables.delete", "ops.t"),
        (f"PATCH {BQ}/datasets/ops/tables/t", {}, b"", "tables.patch", "ops.t"),
        (f"GET {BQ}/datasets", {}, b"", "bigquery.other", ""),
        (f"POST {DP}?batchId=wifi-a1&requestId=r", {}, b"", "batches.create", "wifi-a1"),
        (f"DELETE {DP}/wifi-a1", {}, b"", "batches.delete", "wifi-a1"),
        (f"GET {DP}/wifi-a1", {}, b"", "batches.get", "wifi-a1"),
        (f"GET {DP}?filter=x", {}, b"", "batches.list", ""),
        (f"GET {DP.replace('batches', 'operations')}/o1", {}, b"", "operations.get", "o1"),
        (f"GET {BQ}/datasets/ops/tables/t", {}, b"", "tables.get", "ops.t"),
        ("POST /token", {}, b"assertion=x", "token", ""),
        ("CONNECT example.org:443", {}, b"", "connect", "example.org:443"),
    ],
)  # fmt: skip
def test_a_request_is_read(
    request_line: str, headers: dict[str, str], body: bytes, action: str, name: str
) -> None:
    head = Head(f"{request_line} HTTP/1.1", tuple(headers.items()))
    call = read_call(head, body, {"u1": "raw/known"})
    assert (call.action, call.name) == (action, name)
    reads = ("get", "list", "other", "start", "chunk", "token", "connect")
    assert call.mutating is not action.endswith(reads)


def jwt(claims: dict[str, str]) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"head.{payload}.sign"


@pytest.mark.parametrize(
    ("authorization", "account"),
    [
        (f"Bearer {jwt({'iss': 'split@demo'})}", "split@demo"),
        (f"bearer {jwt({'iss': 'x', 'email': 'load@demo'})}", "load@demo"),
        (f"Basic {jwt({'iss': 'split@demo'})}", ""),
        ("Bearer opaque", ""),
        ("Bearer a.%%%.c", ""),
        ("Bearer a.MTIz.c", ""),
        ("", ""),
    ],
)
def test_the_account_is_what_the_token_says(authorization: str, account: str) -> None:
    assert account_of(authorization) == account


def test_a_token_carries_the_account_of_the_assertion() -> None:
    token = issue_token(f"grant_type=x&assertion={jwt({'iss': 'split@demo'})}".encode())
    assert token["expires_in"] == 3600
    assert account_of(f"Bearer {token['access_token']}") == "split@demo"


@pytest.mark.parametrize("form", [b"", b"assertion=x", b"\xff", f"assertion={jwt({})}".encode()])
def test_a_form_without_an_account_is_refused(form: bytes) -> None:
    with pytest.raises(ValueError, match="send a JWT bearer grant"):
        issue_token(form)
