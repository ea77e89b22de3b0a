"""Find which permissions a call needs, and on what: Google's API references, as one table.

Storage: cloud.google.com/storage/docs/access-control/iam-json and …/iam-xml. A call that may replace
an object needs the permission to delete it too. A resumable upload is checked once, when it starts,
as its address alone lets a client go on. BigQuery: cloud.google.com/bigquery/docs/access-control and,
for load jobs, …/docs/batch-loading-data; an account that may start a job may ask how it ends.
Dataproc: cloud.google.com/dataproc/docs/concepts/iam/iam.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from local_cloud.bigquery.statement_tables import touched
from local_cloud.gateway.calls import Call
from local_cloud.iam.grants import Need


class UnknownCallError(LookupError):
    """A call whose permissions the table does not have."""


def needs(call: Call, project: str) -> tuple[Need, ...]:
    """List what a call needs; raise UnknownCallError."""
    needs_of = _TABLE.get((call.service, call.action))
    if needs_of is None:
        raise UnknownCallError(
            f"{call.service} {call.action} ({call.method} {call.path}): no permission is known for "
            f"it; add it to {__name__}"
        )
    return tuple(needs_of(call, project))


type _Tell = Callable[[Call, str], Iterator[Need]]

_SOURCE = re.compile(r"/b/(?P<bucket>[^/]+)/o/(?P<object>.+)/(?:rewriteTo|copyTo)/b/")


def _object(name: str) -> str:
    bucket, _, name = name.partition("/")
    return f"projects/_/buckets/{bucket}/objects/{name}"


def _on_object(*permissions: str) -> _Tell:
    def needs_of(call: Call, _: str) -> Iterator[Need]:
        """Need the same permission on the object."""
        for permission in permissions:
            yield Need(permission, _object(call.name))

    return needs_of


def _on_bucket(permission: str) -> _Tell:
    def needs_of(call: Call, _: str) -> Iterator[Need]:
        """Need the permissions on the bucket that the call names."""
        yield Need(permission, f"projects/_/buckets/{call.name.partition('/')[0]}")

    return needs_of


def _insert(call: Call, _: str) -> Iterator[Need]:
    """Need deletion too if it may replace; only `ifGenerationMatch=0` never replaces."""
    if call.upload_id:
        return
    yield Need("storage.objects.create", _object(call.name))
    if not _only_new(call):
        yield Need("storage.objects.delete", _object(call.name))


def _only_new(call: Call) -> bool:
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(call.path).query)
    return query.get("ifGenerationMatch") == ["0"]


def _copy(call: Call, project: str) -> Iterator[Need]:
    """Need to read the one object and to write the other."""
    if found := _SOURCE.search(call.path):
        bucket, name = (urllib.parse.unquote(part) for part in found.groups())
        yield Need("storage.objects.get", f"projects/_/buckets/{bucket}/objects/{name}")
    yield from _insert(call, project)


def query_of(call: Call) -> str:
    """Read the SQL of a call that starts a job; empty for a job of another kind."""
    document = _request_document(call)
    if call.action != "jobs.query":
        document = document.get("configuration", {}).get("query", {})
    return str(document.get("query", ""))


def _job(call: Call, project: str) -> Iterator[Need]:
    """Need to run it, and all that the query or the load touches."""
    configuration = _request_document(call).get("configuration", {})
    yield Need("bigquery.jobs.create", f"projects/{project}")
    if query := query_of(call):
        for permission, dataset, table in touched(query):
            yield Need(permission, _table(project, dataset, table))
    elif load := configuration.get("load"):
        yield from _load(load, project)
    else:
        raise UnknownCallError(
            f"a job of kind {sorted(configuration)}: only queries and loads are known"
        )


def _load(load: Mapping[str, Any], project: str) -> Iterator[Need]:
    """Need to write the table, also to replace it, and to read the files as the job's account."""
    into = load["destinationTable"]
    for permission in ("create", "update", "updateData"):
        thing = _table(project, into["datasetId"], into["tableId"])
        yield Need(f"bigquery.tables.{permission}", thing)
    for uri in load["sourceUris"]:
        thing = _object(uri.removeprefix("gs://"))
        yield Need("storage.objects.get", thing)
        if "*" in uri:
            yield Need("storage.objects.list", thing.partition("/objects/")[0])


def _on_table(permission: str) -> _Tell:
    def needs_of(call: Call, project: str) -> Iterator[Need]:
        """Need the permissions on the table that the call names."""
        dataset, _, table = call.name.partition(".")
        yield Need(permission, _table(project, dataset, table))

    return needs_of


def _table(project: str, dataset: str, table: str) -> str:
    return f"projects/{project}/datasets/{dataset}/tables/{table}"


def _in_region(permission: str) -> _Tell:
    def needs_of(call: Call, _: str) -> Iterator[Need]:
        """Need the permissions on the batch or operation, or on all of a region."""
        path = call.path.partition("?")[0].removeprefix("/v1/")
        yield Need(permission, path)

    return needs_of


def _batch(call: Call, project: str) -> Iterator[Need]:
    """Need to create it, and to act as the account that it runs as."""
    yield from _in_region("dataproc.batches.create")(call, project)
    ran_as = _request_document(call)["environmentConfig"]["executionConfig"]["serviceAccount"]
    yield Need("iam.serviceAccounts.actAs", f"projects/{project}/serviceAccounts/{ran_as}")


def _request_document(call: Call) -> dict[str, Any]:
    """Decode a call's JSON; raise UnknownCallError where it is none, or cut off."""
    try:
        document: dict[str, Any] = json.loads(call.body_start)
    except ValueError as error:
        raise UnknownCallError(f"{call.service} {call.action} {call.name}: {error}") from error
    return document


def _nothing(_: Call, __: str) -> Iterator[Need]:
    return iter(())


_TABLE: Mapping[tuple[str, str], _Tell] = {
    ("bigquery", "jobs.get"): _nothing,
    ("bigquery", "jobs.insert"): _job,
    ("bigquery", "jobs.query"): _job,
    ("bigquery", "tables.get"): _on_table("bigquery.tables.get"),
    ("dataproc", "batches.create"): _batch,
    ("dataproc", "batches.get"): _in_region("dataproc.batches.get"),
    ("dataproc", "batches.list"): _in_region("dataproc.batches.list"),
    ("dataproc", "operations.get"): _in_region("dataproc.operations.get"),
    ("storage", "buckets.get"): _on_bucket("storage.buckets.get"),
    ("storage", "objects.compose"): _on_object("storage.objects.create", "storage.objects.delete", "storage.objects.get"),
    ("storage", "objects.delete"): _on_object("storage.objects.delete"),
    ("storage", "objects.get"): _on_object("storage.objects.get"),
    ("storage", "objects.insert"): _insert,
    ("storage", "objects.list"): _on_bucket("storage.objects.list"),
    ("storage", "objects.patch"): _on_object("storage.objects.update"),
    ("storage", "objects.rewrite"): _copy,
    ("storage", "uploads.cancel"): _nothing,
    ("storage", "uploads.chunk"): _nothing,
    ("storage", "uploads.start"): _insert,
}  # fmt: skip
