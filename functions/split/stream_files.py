"""Build the claim of a stream's run from the file that Pub/Sub wrote."""

from __future__ import annotations

from google.cloud.storage import Bucket

from catalog import object_names
from catalog.contract import Contract
from catalog.object_names import SplitKey
from catalog.records import Claim, Origin, Outcome, RawFile
from functions.core.errors import PermanentError


def claim_of(raw: Bucket, contract: Contract, key: SplitKey, origin: Origin) -> Claim:
    """Build the claim of a stream's run from its file: no other step writes one.

    The claim has no sha256, because nothing has read the file yet. Raises PermanentError if the run
    names no file, or a file that does not exist.
    """
    run = key.run
    if run.file is None:
        raise PermanentError(
            f"{contract.dataset} {run.name}: a stream's run is a file: name it as split records do, "
            "such as 20250605T021000Z_<uuid>"
        )
    name = object_names.stream_file(contract.dataset, run)
    blob = raw.get_blob(name)
    if blob is None:
        raise PermanentError(
            f"{contract.dataset} {run.name}: {name} is not in raw, and a stream cannot be fetched "
            "again; look for the file below its folder"
        )
    file = RawFile(
        object=name, generation=int(blob.generation or 0), url="", status=200,
        bytes=int(blob.size or 0), sha256="", headers={},
    )  # fmt: skip
    return Claim(
        dataset=contract.dataset, run=run.name, outcome=Outcome.ACCEPTED, origin=origin,
        source="stream", fetched_at=run.time.isoformat(), files=(file,),
    )  # fmt: skip
