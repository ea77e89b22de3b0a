"""One attempt to fetch a run: try its sources, then claim the best."""

from __future__ import annotations

import time
import uuid
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING

from catalog import object_names
from catalog.contract import Contract, FetchSpec, Kind
from catalog.records import Claim, Outcome
from catalog.runs import Run
from functions.core import gcs, run_history
from functions.core.clients import Buckets
from functions.core.contracts import own_slot
from functions.core.errors import RetryLaterError
from functions.core.gcs import Upload
from functions.core.message import Message
from functions.core.settings import Settings
from functions.download import feed_index, source_selection
from functions.download.http import FetchFailedError, FetchRefusedError, Limits, Validators, fetch
from functions.download.source_selection import FetchedSource, freshest

if TYPE_CHECKING:
    from functions.download.probe import SourceProbe
from functions.download.body import DownloadedBody, NotTheDataError, refusals_as_source_errors

_CHUNK_BYTES = 16 << 20
"""Of an upload: each waits for an answer, so small ones make a large file slow."""


class DownloadAttempt:
    """One try at fetching a run."""

    def __init__(
        self, contract: Contract, run: Run, message: Message, zones: Buckets, settings: Settings,
        next_slice: str | None = None,
    ) -> None:  # fmt: skip
        """Nothing is fetched yet; the time allowed begins. The claim names the `next_slice`."""
        self._contract = contract
        self._next_slice = next_slice
        self._run = run
        self._message = message
        self._zones = zones
        self._origin = settings.origin(contract.dataset)
        self._key = settings.key_headers(contract.source.key)
        self._end = self._source_end = time.monotonic() + settings.download_seconds
        self._attempt = uuid.uuid4().hex[:12]
        self._compares = len(contract.source.fetch) > 1
        self._passed: dict[str, str] = {}
        last, split = run_history.last_accepted(zones.raw, zones.landing, contract.dataset, run) or (
            None, False,
        )  # fmt: skip
        # The same bytes on a new day are that day's: only in one slot are they nothing new.
        same = last and own_slot(contract, Run(last.run)) == own_slot(contract, run)
        self._last = last if same and contract.kind is not Kind.SNAPSHOT else None
        self._standing = self._last if split else None

    def claim(self) -> tuple[Claim, bool]:
        """The claim that now stands, and whether it is this try's.

        Raises RetryLaterError where a source failed in a way that may pass, and none could be read.
        """
        with ExitStack() as undo:
            made = self._made(undo)
            # From here on an error may hide a claim that stands and names what was written.
            written = undo.pop_all()
        name = object_names.claim(self._contract.dataset, self._run)
        standing = gcs.create(self._zones.raw, name, made.encode(), metadata=made.metadata)
        won = standing == made.encode()
        if not won or made.outcome is not Outcome.ACCEPTED:
            written.close()
        return Claim.decode(standing), won

    def _made(self, undo: ExitStack) -> Claim:
        """The claim of this try: by the first source that gives fresh data, else by the freshest.

        Never by one that is older than the last accepted: it would roll slots back.
        """
        failures: dict[str, str] = {}
        stale: list[FetchedSource] = []
        sources = self._contract.source.fetch
        for left, source in zip(range(len(sources), 0, -1), sources, strict=True):
            number = len(sources) - left + 1
            attempt = self._attempt if number == 1 else f"{self._attempt}.{number}"
            found = FetchedSource(source.name, attempt)
            self._source_end = time.monotonic() + (self._end - time.monotonic()) / left
            undo.callback(found.abandon)
            try:
                # The last one is taken whatever it is: split refuses it, and raw has the bytes.
                self._fetch(source, found, judged=left > 1 or bool(stale))
            except (FetchRefusedError, NotTheDataError) as refused:
                self._passed[source.name] = str(refused)
            except FetchFailedError as failed:
                self._passed[source.name] = failures[source.name] = _failure(failed)
            else:
                old = self._old(found)
                if old is None:
                    return self._chosen(found, stale)
                self._passed[source.name] = old
                stale.append(found)
                continue
            found.abandon()
        if stale and not self._behind(best := freshest(stale)):
            return self._chosen(best, stale)
        refusals = [
            f"{name}: {told}" if self._compares else told
            for name, told in self._passed.items()
            if name not in failures
        ]
        if failures:
            raise RetryLaterError(f"{self._where}: {'; '.join([*failures.values(), *refusals])}")
        if stale:
            refusals.append(source_selection.REMEDIATION)
        return self._claim(Outcome.REFUSED, reason=f"{self._where}: {'; '.join(refusals)}")

    def _chosen(self, found: FetchedSource, stale: list[FetchedSource]) -> Claim:
        """The claim for what a source gave; of the stale ones that are not it nothing is left."""
        self._passed.pop(found.source, None)
        for other in stale:
            if other is not found:
                other.abandon()
        return self._taken(found)

    def _old(self, found: FetchedSource) -> str | None:
        """Why a source is passed over for the age of its newest report; None where it is not."""
        if not self._compares:
            return None
        return self._behind(found) or source_selection.staleness(
            self._contract, self._run, found.newest
        )

    def _behind(self, found: FetchedSource) -> str | None:
        """Why a source is older than the last accepted run; None where it is not."""
        return source_selection.regression(found.newest, self._last) if self._last else None

    def _fetch(self, source: FetchSpec, found: FetchedSource, *, judged: bool) -> None:
        """Fetch every file of a source; raise FetchRefusedError, FetchFailedError and NotTheDataError."""
        look = self._look() if self._compares else None
        for at, address in enumerate(source.urls or self._indexed(source)):
            url = self._contract.address(address, self._run.requested_slot)
            file = source.files[at] if at < len(source.files) else f"file{at}"
            with fetch(
                url,
                hosts=frozenset(self._contract.source.hosts),
                limits=self._limits(),
                validators=self._validators(source, url),
                headers=self._key,
            ) as response:
                if response.status == 304:
                    found.unchanged = True
                    found.newest = source_selection.newest_report(self._standing)
                    return
                upload = self._upload(file, found)
                body = DownloadedBody(response, upload, url, self._contract if judged else None)
                found.files.append(body.stored(look))
        if look is not None:
            with refusals_as_source_errors(judged):
                found.newest = look.end()

    def _indexed(self, source: FetchSpec) -> list[str]:
        """The URLs that a source's index has for its feeds; raises what `_fetch` does."""
        if source.index is None:
            return []
        limits = self._limits(feed_index.MOST_BYTES)
        hosts = frozenset(self._contract.source.hosts)
        with fetch(source.index, hosts=hosts, limits=limits, headers=self._key) as response:
            body = b"".join(response.chunks())
        try:
            return feed_index.feeds(body, source.feeds, source.index)
        except feed_index.NoFeedError as missing:
            raise NotTheDataError(str(missing)) from missing

    def _look(self) -> SourceProbe:
        """A look through a source; what reads files is imported by data sets with fallbacks alone."""
        from functions.download.probe import SourceProbe

        return SourceProbe(self._contract, self._run, self._end, self._rows_before, self._origin)

    @cached_property
    def _rows_before(self) -> int:
        """Rows of the accepted run before, where the contract bounds a fall; else 0."""
        if self._contract.bounds.drop_max is None:
            return 0
        before = run_history.accepted_split(self._zones.landing, self._contract.dataset, self._run)
        return before.rows_in if before else 0

    def _limits(self, most: int | None = None) -> Limits:
        bounds = self._contract.bounds
        return Limits(
            max_bytes=most or bounds.bytes_max,
            max_decoded_bytes=most or bounds.bytes_max,
            max_ratio=bounds.ratio_max,
            seconds=max(self._source_end - time.monotonic(), 0.001),
        )

    def _validators(self, source: FetchSpec, url: str) -> Validators | None:
        """What the publisher said of the bytes that stand, for a source of one file."""
        standing = self._standing
        if standing is None or standing.source != source.name or len(source.urls) != 1:
            return None
        if standing.files[0].url != url:
            return None
        headers = standing.files[0].headers
        found = Validators(headers.get("etag"), headers.get("last-modified"))
        return found if found.etag or found.last_modified else None

    def _upload(self, file: str, found: FetchedSource) -> Upload:
        name = object_names.raw_data(self._contract.dataset, self._run, found.attempt, file)
        upload = Upload(self._zones.raw, name, "application/octet-stream", _CHUNK_BYTES)
        found.uploads.append(upload)
        return upload

    def _taken(self, found: FetchedSource) -> Claim:
        """The claim for what a source gave."""
        standing = self._standing
        same = standing is not None and [f.sha256 for f in standing.files] == [
            f.sha256 for f in found.files
        ]
        if (found.unchanged or same) and standing:
            return self._claim(Outcome.UNCHANGED, found, same_as=standing.run)
        short = [f for f in found.files if f.bytes < self._contract.bounds.bytes_min]
        if short:
            reason = (
                f"{self._where} {short[0].object.rpartition('/')[2]}: the body has "
                f"{short[0].bytes} bytes, the contract expects at least "
                f"{self._contract.bounds.bytes_min}; wait for the next run, or ask the publisher"
            )
            return self._claim(Outcome.REFUSED, found, reason=reason)
        return self._claim(Outcome.ACCEPTED, found)

    def _claim(
        self, outcome: Outcome, found: FetchedSource | None = None, *, reason: str | None = None,
        same_as: str | None = None,
    ) -> Claim:  # fmt: skip
        taken = found is not None and outcome is Outcome.ACCEPTED
        return Claim(
            dataset=self._contract.dataset, run=self._run.name, outcome=outcome,
            origin=self._origin, source=found.source if found else "",
            fetched_at=self._message.published.isoformat(),
            files=tuple(found.files) if found and taken else (), attempt=self._attempt,
            reason=reason, same_as=same_as, next_slice=self._next_slice,
            newest=found.newest.isoformat() if found and found.newest else None,
            passed_over=self._passed,
        )  # fmt: skip

    @property
    def _where(self) -> str:
        return f"{self._contract.dataset} {self._run.name}"


def _failure(failed: FetchFailedError) -> str:
    """The sentence of a failure, with the wait that the publisher asks for."""
    wait = "" if failed.retry_after is None else f" (it asks to wait {failed.retry_after:g} s)"
    return f"{failed}{wait}"
