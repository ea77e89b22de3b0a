"""Reads manifests, for the steps that work on one."""

from __future__ import annotations

from google.cloud.storage import Bucket

from catalog import object_names
from catalog.records import Manifest
from functions.core import gcs
from functions.core.errors import Permanent


def read_manifest(landing: Bucket, system: str, identity: str) -> Manifest:
    """A manifest by its id; raises Permanent where it is not there."""
    name = object_names.manifest(system, identity)
    body = gcs.read(landing, name)
    if body is None:
        raise Permanent(
            f"{system}: manifest gs://{landing.name}/{name} is not there: replay its slots by name"
        )
    return Manifest.decode(body)
