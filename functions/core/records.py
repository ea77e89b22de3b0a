"""Read manifests and split records by their names."""

from __future__ import annotations

from collections.abc import Iterable

from google.cloud.storage import Bucket

from catalog import object_names
from catalog.object_names import SplitKey
from catalog.records import Manifest, SplitRecord
from catalog.runs import Run
from functions.core import gcs
from functions.core.errors import PermanentError
from functions.core.strays import parse_names


def read_manifest(landing: Bucket, system: str, identity: str) -> Manifest:
    """Read a manifest by its id; raise PermanentError if it does not exist."""
    name = object_names.manifest(system, identity)
    body = gcs.read(landing, name)
    if body is None:
        raise PermanentError(
            f"{system}: manifest gs://{landing.name}/{name} is not there: replay its slots by name"
        )
    return Manifest.decode(body)


def read_split(landing: Bucket, dataset: str, key: SplitKey) -> SplitRecord | None:
    """Read the record of a split; return None if there is none."""
    body = gcs.read(landing, object_names.split_record(dataset, key))
    return SplitRecord.decode(body) if body else None


def recorded_splits(bucket: Bucket, dataset: str, runs: Iterable[Run]) -> set[SplitKey]:
    """List the keys of a data set's split records from the oldest to the newest of `runs`."""
    ordered = sorted(runs)
    if not ordered:
        return set()
    folder = f"splits/{dataset}/"
    listed = bucket.list_blobs(
        prefix=folder,
        start_offset=folder + ordered[0].name,
        end_offset=f"{folder}{ordered[-1].name}~",
        fields="items(name),nextPageToken",
    )
    named = parse_names(bucket, (blob.name for blob in listed), object_names.split_of)
    return {key for _, (_, key) in named}
