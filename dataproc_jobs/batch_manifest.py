"""The manifest of a batch: its slots, their parts, and the tables and contracts of its data sets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

FORMAT = 1
"""Newest format of a manifest that this job reads, and the format of the receipts it writes."""


class BatchError(RuntimeError):
    """A batch that must not be loaded.

    The text names the table or data set, what is wrong, and how to fix it.
    """


@dataclass(frozen=True)
class Manifest:
    """A manifest's JSON document, and the questions that the steps of a batch ask."""

    document: dict[str, Any]

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """Parse a manifest; raise BatchError when a newer release wrote it."""
        document: dict[str, Any] = json.loads(text)
        if document["format"] > FORMAT:
            raise BatchError(
                f"manifest {document['id']}: format {document['format']} is newer than {FORMAT}, "
                "which this job reads: deploy the release that wrote it"
            )
        return cls(document)

    @property
    def id(self) -> str:
        """Id of the manifest, which names its receipt and the folders of its attempts."""
        return str(self.document["id"])

    @property
    def system(self) -> str:
        """System whose data sets the manifest works on."""
        return str(self.document["system"])

    @property
    def bytes(self) -> int:
        """Size of all parts in landing."""
        return int(self.document["bytes"])

    @property
    def slots(self) -> list[dict[str, Any]]:
        """Slots of all data sets, in the manifest's order."""
        return list(self.document["slots"])

    @cached_property
    def datasets(self) -> list[str]:
        """Data sets that have slots in the manifest."""
        return sorted({slot["dataset"] for slot in self.slots})

    @cached_property
    def tables(self) -> list[dict[str, Any]]:
        """Lake tables of the data sets that have slots, in the manifest's order."""
        return [table for table in self.document["tables"] if table["dataset"] in self.datasets]

    @property
    def receipt_uri(self) -> str:
        """URI of the receipt that ends the batch."""
        return f"{self._lake}/receipts/{self.system}/{self.id}.json"

    @property
    def _lake(self) -> str:
        return str(self.document["lake"]).rstrip("/")

    def contract(self, dataset: str) -> dict[str, Any]:
        """Return what a job needs to know of a data set's contract."""
        contract: dict[str, Any] = self.document["contracts"][dataset]
        return contract

    def slots_of(self, dataset: str) -> list[dict[str, Any]]:
        """Return the slots of a data set."""
        return [slot for slot in self.slots if slot["dataset"] == dataset]

    def base_table(self, dataset: str) -> dict[str, Any]:
        """Return the table of a data set that has one row per accepted row."""
        return next(t for t in self.tables if t["dataset"] == dataset and t["base"])

    def table_uri(self, table: str, attempt: int) -> str:
        """Return the URI of the folder to which an attempt writes a table."""
        return f"{self._lake}/{table}/{self.id}-a{attempt}"
