"""Write the rows that break the contract to quarantine."""

from __future__ import annotations

import json

from google.cloud.storage import Bucket

from catalog import object_names
from catalog.object_names import SplitKey
from functions.core.gcs import Upload

_REJECT_CHARACTERS = 2_000

_SAMPLES = 20

_SAMPLE_CHARACTERS = 200


class Rejects:
    """The rejected rows of one attempt to split, in the bucket `quarantine`, one JSON line each."""

    def __init__(self, bucket: Bucket, dataset: str, key: SplitKey, attempt: str) -> None:
        """Create no object before a row is rejected."""
        name = object_names.rejects(dataset, key, attempt)
        self.count = 0
        self.reasons: dict[str, int] = {}
        self.samples: dict[str, str] = {}
        """Reason → line and beginning of its first row, for up to `_SAMPLES` reasons."""
        self._upload = Upload(bucket, name, "application/x-ndjson")

    def add(self, line: int, reason: str, slot: str | None, text: str, file: str) -> None:
        """Store a row with its line and reason; its text is cut at 2,000 characters."""
        self.count += 1
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        if reason not in self.samples and len(self.samples) < _SAMPLES:
            self.samples[reason] = f"{file} {line}: {_sample_text(text)}"
        body = {
            "line": line, "reason": reason, "slot": slot, "file": file,
            "row": text[:_REJECT_CHARACTERS].rstrip("\r\n"),
        }  # fmt: skip
        row = json.dumps(body, ensure_ascii=False) + "\n"
        self._upload.write(row.encode("utf-8", "backslashreplace"))

    def finish(self) -> str | None:
        """Create the object; return its name, or None if no row was rejected."""
        if not self.count:
            return None
        self._upload.finish()
        return self._upload.name

    def abandon(self) -> None:
        """Delete what was written."""
        self._upload.abandon()


def _sample_text(text: str) -> str:
    """Return the beginning of a row in a form that a record can store."""
    cut = text[:_SAMPLE_CHARACTERS].rstrip("\r\n")
    return cut.encode("utf-8", "backslashreplace").decode()
