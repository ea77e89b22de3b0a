"""Checks of the services for what the steps rely on; the local cloud passes them, too."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from google.api_core.exceptions import BadRequest, NotFound
from google.cloud.dataproc_v1 import GetBatchRequest

from functions.core import bigquery, dataproc, gcs
from functions.core.clients import Clients

FOLDER = "smoke/"
"""Folder of the test objects in the quarantine zone; they are deleted again."""


class BrokenServiceError(AssertionError):
    """A service does not behave as the steps rely on."""


def created_only_if_absent(clients: Clients) -> None:
    """Check that the first of two writers wins, and that the second gets the first one's bytes."""
    with _Folder(clients) as folder:
        first = gcs.create(folder.bucket, folder.name("claim"), b"one")
        second = gcs.create(folder.bucket, folder.name("claim"), b"two")
        _hold((first, second) == (b"one", b"one"), f"the writers got {first!r} and {second!r}")


def absent_is_none(clients: Clients) -> None:
    """Check that a missing object is read as None, and that deleting it is no error."""
    with _Folder(clients) as folder:
        gcs.delete(folder.bucket, folder.name("gone"))
        _hold(gcs.read(folder.bucket, folder.name("gone")) is None, "it is there")


def listed_in_order(clients: Clients) -> None:
    """Check that a listing is complete at once, in order, and begins at its offset."""
    with _Folder(clients) as folder:
        created = [folder.name(each) for each in ("b", "a", "c")]
        for name in created:
            gcs.create(folder.bucket, name, b"")
        listed = list(gcs.names(folder.bucket, folder.prefix))
        offset = folder.bucket.list_blobs(prefix=folder.prefix, start_offset=folder.name("b"))
        _hold(listed == sorted(created), f"listed are {listed}")
        _hold([blob.name for blob in offset] == sorted(created)[1:], "the offset is ignored")


def metadata_is_listed(clients: Clients) -> None:
    """Check that a listing includes the metadata of an object."""
    with _Folder(clients) as folder:
        gcs.create(folder.bucket, folder.name("claim"), b"", metadata={"outcome": "accepted"})
        (blob,) = folder.bucket.list_blobs(
            prefix=folder.prefix, fields="items(name,generation,metadata),nextPageToken"
        )
        _hold(blob.metadata == {"outcome": "accepted"}, f"listed is {blob.metadata}")


def failed_check_stops_a_script(clients: Clients) -> None:
    """Check that a failed ASSERT fails the script with its own text, also through a handler."""
    sql = """
    DECLARE failure STRING;
    BEGIN
      ASSERT 1 > 2 AS 'one is not more than two';
    EXCEPTION WHEN ERROR THEN
      SET failure = @@error.message;
      RAISE;
    END;
    """
    try:
        list(bigquery.query(clients, sql, []))
    except BadRequest as error:
        _hold("one is not more than two" in str(error), f"it says {error}")
        return
    raise BrokenServiceError("the script ended well")


def rows_changed_are_counted(clients: Clients) -> None:
    """Check that `@@row_count` is that of the last statement, 0 included."""
    sql = """
    CREATE TEMP TABLE locks AS SELECT 'a' AS system, 1 AS holder;
    UPDATE locks SET holder = 2 WHERE system = 'b';
    IF @@row_count = 0 THEN
      RAISE USING MESSAGE = 'no row changed';
    END IF;
    """
    try:
        list(bigquery.query(clients, sql, []))
    except BadRequest as error:
        _hold("no row changed" in str(error), f"it says {error}")
        return
    raise BrokenServiceError("the script ended well")


def absent_batch_is_not_found(clients: Clients) -> None:
    """Check that a batch that was never created is not found: `submit` counts attempts by it."""
    name = f"{dataproc.parent(clients.settings)}/batches/smoke-{uuid.uuid4().hex[:20]}"
    try:
        clients.batches.get_batch(GetBatchRequest(name=name))
    except NotFound:
        return
    raise BrokenServiceError(f"{name} is there")


def batches_are_listed(clients: Clients) -> None:
    """Check that batches are listed by label and state: an unknown system has none."""
    found = dataproc.unfinished(clients, clients.settings, "nobody")
    _hold(found == 0, f"{found} are unfinished")


CHECKS: tuple[Callable[[Clients], None], ...] = (
    created_only_if_absent,
    absent_is_none,
    listed_in_order,
    metadata_is_listed,
    failed_check_stops_a_script,
    rows_changed_are_counted,
    absent_batch_is_not_found,
    batches_are_listed,
)


def _hold(held: bool, otherwise: str) -> None:
    if not held:
        raise BrokenServiceError(otherwise)


class _Folder:
    """A folder of its own in the quarantine zone, emptied at the end."""

    def __init__(self, clients: Clients) -> None:
        self.bucket = clients.storage.bucket(clients.settings.quarantine)
        self.prefix = f"{FOLDER}{uuid.uuid4().hex}/"

    def __enter__(self) -> _Folder:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(gcs.names(self.bucket, self.prefix)):
            gcs.delete(self.bucket, name)

    def name(self, last: str) -> str:
        """Return the name of an object in the folder."""
        return self.prefix + last
