"""Which permissions a call asks for, and on what: Google's API references, as one table.

Storage: cloud.google.com/storage/docs/access-control/iam-json and …/iam-xml. What may replace an
object asks for its deletion too; a resumable upload asks once, when it starts, as its address alone
lets a client go on.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping

from local_cloud.calls import Call
from local_cloud.grants import Need


class UnknownCall(LookupError):
    """A call that the table does not tell the permissions of."""


def needs(call: Call, project: str) -> tuple[Need, ...]:
    """What a call asks for; raises UnknownCall."""
    tell = _TABLE.get((call.service, call.action))
    if tell is None:
        raise UnknownCall(
            f"{call.service} {call.action} ({call.method} {call.path}): no permission is known for "
            f"it; add it to {__name__}"
        )
    return tuple(tell(call, project))


type _Tell = Callable[[Call, str], Iterator[Need]]

_SOURCE = re.compile(r"/b/(?P<bucket>[^/]+)/o/(?P<object>.+)/(?:rewriteTo|copyTo)/b/")


def _object(name: str) -> str:
    bucket, _, name = name.partition("/")
    return f"projects/_/buckets/{bucket}/objects/{name}"


def _on_object(*permissions: str) -> _Tell:
    def tell(call: Call, _: str) -> Iterator[Need]:
        """The same object for all."""
        for permission in permissions:
            yield Need(permission, _object(call.name))

    return tell


def _on_bucket(permission: str) -> _Tell:
    def tell(call: Call, _: str) -> Iterator[Need]:
        """The bucket that the call names."""
        yield Need(permission, f"projects/_/buckets/{call.name.partition('/')[0]}")

    return tell


def _insert(call: Call, _: str) -> Iterator[Need]:
    """To replace an object takes its deletion; only `ifGenerationMatch=0` never replaces one."""
    if call.upload_id:
        return
    yield Need("storage.objects.create", _object(call.name))
    if not _only_new(call):
        yield Need("storage.objects.delete", _object(call.name))


def _only_new(call: Call) -> bool:
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(call.path).query)
    return query.get("ifGenerationMatch") == ["0"]


def _copy(call: Call, project: str) -> Iterator[Need]:
    """Read the one, write the other."""
    if found := _SOURCE.search(call.path):
        bucket, name = (urllib.parse.unquote(part) for part in found.groups())
        yield Need("storage.objects.get", f"projects/_/buckets/{bucket}/objects/{name}")
    yield from _insert(call, project)


def _nothing(_: Call, __: str) -> Iterator[Need]:
    return iter(())


_TABLE: Mapping[tuple[str, str], _Tell] = {
    ("storage", "buckets.get"): _on_bucket("storage.buckets.get"),
    ("storage", "objects.compose"): _on_object("storage.objects.create", "storage.objects.delete", "storage.objects.get"),
    ("storage", "objects.delete"): _on_object("storage.objects.delete"),
    ("storage", "objects.get"): _on_object("storage.objects.get"),
    ("storage", "objects.insert"): _insert,
    ("storage", "objects.list"): _on_bucket("storage.objects.list"),
    ("storage", "objects.patch"): _on_object("storage.objects.update"),
    ("storage", "objects.rewrite"): _copy,
    ("storage", "uploads.chunk"): _nothing,
    ("storage", "uploads.start"): _insert,
}  # fmt: skip
