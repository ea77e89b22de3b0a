"""Fetch the files of one source into raw."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.cloud.storage import Bucket

from catalog import object_names
from catalog.contract import Contract, FetchSpec
from catalog.records import Claim, Origin
from catalog.runs import Run
from functions.core.gcs import Upload
from functions.download import feed_index
from functions.download.body import DownloadedBody, NotTheDataError, refusals_as_source_errors
from functions.download.http import Limits, Validators, fetch
from functions.download.source_selection import FetchedSource, newest_report

if TYPE_CHECKING:
    from functions.download.probe import SourceProbe

_CHUNK_BYTES = 16 << 20
"""Of an upload: each waits for an answer, so small ones make a large file slow."""


@dataclass(frozen=True)
class SourceFetcher:
    """Fetches the sources of a run, one at a time."""

    contract: Contract
    run: Run
    raw: Bucket
    headers: Mapping[str, str]
    """The publisher's key, for requests to its hosts."""
    origin: Origin
    stored: Claim | None
    """The claim whose bytes the lake holds: a source may answer that they are unchanged."""
    rows_before: int
    """Rows of the accepted run before, 0 if unknown."""
    deadline: float
    """The instant of `time.monotonic` at which a look through a source ends, finished or not."""

    def fetch(
        self, source: FetchSpec, into: FetchedSource, deadline: float, *, checked: bool
    ) -> None:
        """Fetch every file of a source until `deadline`.

        If `checked`, a body that cannot be the data is an error; otherwise it is stored.
        Raises FetchRefusedError, FetchFailedError and NotTheDataError.
        """
        probe = self._probe() if len(self.contract.source.fetch) > 1 else None
        for at, address in enumerate(source.urls or self._indexed(source, deadline)):
            url = self.contract.address(address, self.run.requested_slot)
            file = source.files[at] if at < len(source.files) else f"file{at}"
            with fetch(
                url,
                hosts=frozenset(self.contract.source.hosts),
                limits=self._limits(deadline),
                validators=self._validators(source, url),
                headers=self.headers,
            ) as response:
                if response.status == 304:
                    into.unchanged = True
                    into.newest = newest_report(self.stored)
                    return
                upload = self._upload(file, into)
                body = DownloadedBody(response, upload, url, self.contract if checked else None)
                into.files.append(body.store(probe))
        if probe is not None:
            with refusals_as_source_errors(checked):
                into.newest = probe.finish()

    def _probe(self) -> SourceProbe:
        """Make a probe; only data sets with fallbacks import the readers of files."""
        from functions.download.probe import SourceProbe

        return SourceProbe(self.contract, self.run, self.deadline, self.rows_before, self.origin)

    def _indexed(self, source: FetchSpec, deadline: float) -> list[str]:
        """Return the URLs that a source's index has for its feeds; raises what `fetch` does."""
        if source.index is None:
            return []
        limits = self._limits(deadline, feed_index.MOST_BYTES)
        hosts = frozenset(self.contract.source.hosts)
        with fetch(source.index, hosts=hosts, limits=limits, headers=self.headers) as response:
            body = b"".join(response.chunks())
        try:
            return feed_index.feeds(body, source.feeds, source.index)
        except feed_index.NoFeedError as missing:
            raise NotTheDataError(str(missing)) from missing

    def _limits(self, deadline: float, max_bytes: int | None = None) -> Limits:
        bounds = self.contract.bounds
        return Limits(
            max_bytes=max_bytes or bounds.bytes_max,
            max_decoded_bytes=max_bytes or bounds.bytes_max,
            max_ratio=bounds.ratio_max,
            seconds=max(deadline - time.monotonic(), 0.001),
        )

    def _validators(self, source: FetchSpec, url: str) -> Validators | None:
        """Return what the publisher said of the stored bytes, for a source of one file."""
        stored = self.stored
        if stored is None or stored.source != source.name or len(source.urls) != 1:
            return None
        if stored.files[0].url != url:
            return None
        headers = stored.files[0].headers
        found = Validators(headers.get("etag"), headers.get("last-modified"))
        return found if found.etag or found.last_modified else None

    def _upload(self, file: str, into: FetchedSource) -> Upload:
        name = object_names.raw_data(self.contract.dataset, self.run, into.attempt, file)
        upload = Upload(self.raw, name, "application/octet-stream", _CHUNK_BYTES)
        into.uploads.append(upload)
        return upload
