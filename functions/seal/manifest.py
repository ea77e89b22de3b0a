"""Write the manifest of the slots that a batch works on."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from google.cloud.storage import Bucket

from catalog import object_names
from catalog.contract import Contract
from catalog.records import Manifest, Origin, SlotParts
from catalog.versions import manifest_id
from functions.core import gcs
from functions.core.message import Message
from functions.core.settings import Settings
from functions.seal.decision import Candidate, with_newer_version


def write_manifest(
    landing: Bucket,
    system: str,
    contracts: dict[str, Contract],
    candidates: list[Candidate],
    message: Message,
    settings: Settings,
) -> Manifest | None:
    """Create the manifest of the candidates, only if absent.

    If a manifest of the same id has other content, these slots get newer versions, and
    with them an id of their own.
    """
    if not candidates:
        return None
    slots = [one.parts for one in sorted(candidates, key=lambda one: one.marked.order)]
    used = {s.dataset: contracts[s.dataset] for s in slots}
    manifest = Manifest(
        id=_identity(system, slots),
        system=system,
        sealed_at=message.published.isoformat(),
        lake=f"gs://{settings.lake}",
        bytes=sum(one.counted.bytes for one in candidates),
        slots=tuple(slots),
        tables=tuple(table for contract in used.values() for table in contract.lake_tables()),
        contracts={dataset: contract.for_job() for dataset, contract in used.items()},
    )
    existing = Manifest.decode(_create(landing, manifest))
    ours = set(map(_content, slots))
    others = {(s.dataset, s.slot) for s in existing.slots if _content(s) not in ours}
    if others:
        slots = [
            with_newer_version(s, message) if (s.dataset, s.slot) in others else s for s in slots
        ]
        manifest = msgspec.structs.replace(
            manifest, id=_identity(system, slots), slots=tuple(slots)
        )
        _create(landing, manifest)
    return manifest


def _create(landing: Bucket, manifest: Manifest) -> bytes:
    """Create a manifest only if absent; return the one that now has its name."""
    return gcs.create(
        landing, object_names.manifest(manifest.system, manifest.id), manifest.encode()
    )


def _identity(system: str, slots: Iterable[SlotParts]) -> str:
    """Return the id of the manifest of these slots."""
    return manifest_id(system, ((s.dataset, s.slot, s.version) for s in slots))


def _content(parts: SlotParts) -> tuple[str, str, str, Origin]:
    """Return a slot and the names of its content, whatever its version."""
    return parts.dataset, parts.slot, parts.revision, parts.origin
