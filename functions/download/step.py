"""The step `download`: a run of a data set fetched from its publisher; the claim is written last.

Claimed once, a run is never fetched again. A try that loses the claim deletes its own bytes. Of a
sliced data set each claim is of one slice, and once it stands the next slice is asked for.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from catalog import object_names
from catalog.contract import Contract, Kind, Url
from catalog.records import Claim, Event, Outcome, RawFile
from catalog.runs import TICK_TOLERANCE, Run, tick
from functions.core import gcs, run_history, slices
from functions.core.clients import Clients
from functions.core.contracts import contract_of, own_slot
from functions.core.errors import Later, Permanent
from functions.core.handler import event
from functions.core.message import Message
from functions.core.settings import Settings
from functions.core.uploads import Upload
from functions.core.zones import Zones
from functions.download import feed_index, source_selection
from functions.download.http import FetchFailed, FetchRefused, Limits, Response, Validators, fetch
from functions.download.source_selection import Copy, Fetched, freshest
from functions.parsing.file_format import is_page, may_be_data
from functions.parsing.header import RunRefused

if TYPE_CHECKING:
    from functions.download.probe import Look

_CHUNK_BYTES = 16 << 20
"""Of an upload: each waits for an answer, so small ones make a large file slow."""
_HEAD_BYTES = 4_096
_KEPT_HEADERS = ("etag", "last-modified", "content-type", "content-length", "date")


class Ingest(msgspec.Struct, frozen=True):
    """A request to fetch: a past `run` or `slot` only where the data set can be fetched again.

    Of a sliced data set no slot asks for every slice of the run, one alone for that slice, and with
    `onward` for those after it too.
    """

    dataset: str
    run: str | None = None
    slot: str | None = None
    onward: bool = False


def run(message: Message, clients: Clients, settings: Settings) -> Iterable[Event]:
    """Fetch the run that the message asks for, unless it is claimed; then ask for its next slice.

    Raises Permanent for a run that may not be asked for, and Later where no source could be read
    this time. A run that is refused is no error: its claim says why, and an event at ERROR.
    """
    begin = time.monotonic()
    request = message.body(Ingest)
    contract = contract_of(request.dataset)
    if contract.kind is Kind.STREAM:
        raise Permanent(
            f"{contract.dataset}: a stream is not fetched, its messages come by the topic "
            f"{object_names.stream_topic(contract.dataset)}; publish there, or replay one of its files: "
            "split {dataset, run, replay}"
        )
    asked = _run(request, contract, message)
    if contract.retired:
        yield _event(message, "retired", contract, asked)
        return
    zones = Zones.of(clients, settings)
    onward = _goes_on(request)
    following = slices.following(contract, asked) if onward else None
    found = gcs.read(zones.raw, object_names.claim(contract.dataset, asked))
    if found is not None:
        claim, won = Claim.decode(found), False
    else:
        try:
            claim, won = Try(contract, asked, message, zones, settings, following).claim()
        except Later as failure:
            if onward:
                slices.failed(clients, zones.raw, contract, asked, message, str(failure))
            raise
    # A claim that names the next slice was made by one who asks for it: twice would be for ever.
    if following and (won or claim.next_slice != following):
        slices.ask(clients, contract, asked, following)
    if not won:
        yield _event(message, "claimed", contract, asked)
        return
    yield _event(
        message, str(claim.outcome), contract, asked,
        severity=_severity(claim), message=claim.reason or _passed_over(claim), bytes=sum(file.bytes for file in claim.files),
        seconds=round(time.monotonic() - begin, 3), detail=claim.source,
    )  # fmt: skip


def _severity(claim: Claim) -> str:
    """How loud the event of a claim is: a source that was passed over wants to be looked at."""
    if claim.outcome is Outcome.REFUSED:
        return "ERROR"
    return "WARNING" if claim.passed_over else "INFO"


def _passed_over(claim: Claim) -> str:
    """Why sources were passed over for the one that was claimed, in words."""
    told = "; ".join(f"{name}: {why}" for name, why in claim.passed_over.items())
    return f"{claim.dataset} {claim.run}: {claim.source} instead of {told}" if told else ""


def _goes_on(request: Ingest) -> bool:
    """Whether the slices after the one that is fetched are asked for."""
    return request.onward or not (request.slot or (request.run and Run(request.run).asked))


def _run(request: Ingest, contract: Contract, message: Message) -> Run:
    """The run that a request names, else that of the schedule's tick; of slices the first."""
    _require_present(request.run or request.slot, contract, message)
    try:
        found = Run(request.run) if request.run else None
        slot = request.slot or (found.asked if found else None)
        if slot:
            contract.calendar.parse(slot)
    except ValueError as error:
        raise Permanent(f"{contract.dataset}: {error}") from error
    if slot and not contract.names_slots:
        raise Permanent(
            f"{contract.dataset} {slot}: its URLs name no slot; ask without one, and the "
            "whole is fetched"
        )
    if found is not None and found.time > message.published + TICK_TOLERANCE:
        raise Permanent(
            f"{contract.dataset} {found.name}: the run lies in the future of the request, every "
            "later one would count as older; ask for a time that has passed, or for none"
        )
    return _of_slot(contract, _time(found, slot, contract, message), slot)


def _require_present(named: str | None, contract: Contract, message: Message) -> None:
    """Raise Permanent where a request would have a publisher's present count as its past."""
    if named and not contract.refetchable:
        raise Permanent(
            f"{contract.dataset} {named}: a {contract.kind} cannot be fetched again, its publisher "
            "shows the present only; ask without run and slot"
        )
    if contract.kind is Kind.SNAPSHOT and message.attributes.get("kind") != contract.kind:
        raise Permanent(
            f"{contract.dataset}: the message lacks the attribute kind={contract.kind}, so it would "
            "be kept for days, and what is fetched late would count as shown at its tick; run the "
            f"data set's schedule, or publish with --attribute=kind={contract.kind}, which is "
            "dropped after ten minutes"
        )


def _time(found: Run | None, slot: str | None, contract: Contract, message: Message) -> datetime:
    """The time that names the run of a request."""
    if found is not None:
        return found.time
    if slot and contract.source.slices:
        # The tick's own run of that slice is claimed, or will be.
        return message.published
    return tick(contract.schedule, message.published)


def _of_slot(contract: Contract, time: datetime, slot: str | None) -> Run:
    """The run of a time and slot; of a sliced data set without a slot its first slice."""
    cut = contract.source.slices
    asked = slot or (cut.first if cut else None)
    if cut and asked and contract.calendar.start(asked) > time:
        raise Permanent(
            f"{contract.dataset} {asked}: the slice begins after its run of {time:%Y-%m-%d %H:%M}; "
            "ask for a slot that has begun, or correct source.slices.first"
        )
    return Run.at(time, asked)


class NotTheDataError(Exception):
    """A source answered with something else than the data; the next one is tried."""


class Try:
    """One try at fetching a run."""

    def __init__(
        self, contract: Contract, run: Run, message: Message, zones: Zones, settings: Settings,
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

        Raises Later where a source failed in a way that may pass, and none could be read.
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
        stale: list[Fetched] = []
        sources = self._contract.source.fetch
        for left, source in zip(range(len(sources), 0, -1), sources, strict=True):
            number = len(sources) - left + 1
            attempt = self._attempt if number == 1 else f"{self._attempt}.{number}"
            found = Fetched(source.name, attempt)
            self._source_end = time.monotonic() + (self._end - time.monotonic()) / left
            undo.callback(found.abandon)
            try:
                # The last one is taken whatever it is: split refuses it, and raw has the bytes.
                self._fetch(source, found, judged=left > 1 or bool(stale))
            except (FetchRefused, NotTheDataError) as refused:
                self._passed[source.name] = str(refused)
            except FetchFailed as failed:
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
            raise Later(f"{self._where}: {'; '.join([*failures.values(), *refusals])}")
        if stale:
            refusals.append(source_selection.WAY_OUT)
        return self._claim(Outcome.REFUSED, reason=f"{self._where}: {'; '.join(refusals)}")

    def _chosen(self, found: Fetched, stale: list[Fetched]) -> Claim:
        """The claim for what a source gave; of the stale ones that are not it nothing is left."""
        self._passed.pop(found.source, None)
        for other in stale:
            if other is not found:
                other.abandon()
        return self._taken(found)

    def _old(self, found: Fetched) -> str | None:
        """Why a source is passed over for the age of its newest report; None where it is not."""
        if not self._compares:
            return None
        return self._behind(found) or source_selection.stale(
            self._contract, self._run, found.newest
        )

    def _behind(self, found: Fetched) -> str | None:
        """Why a source is older than the last accepted run; None where it is not."""
        return source_selection.behind(found.newest, self._last) if self._last else None

    def _fetch(self, source: Url, found: Fetched, *, judged: bool) -> None:
        """Fetch every file of a source; raises FetchRefused, FetchFailed and NotTheDataError."""
        look = self._look() if self._compares else None
        for at, address in enumerate(source.urls or self._indexed(source)):
            url = self._contract.address(address, self._run.asked)
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
                    found.newest = source_selection.newest(self._standing)
                    return
                upload = self._upload(file, found)
                body = Body(response, upload, url, self._contract if judged else None)
                found.files.append(body.stored(look))
        if look is not None:
            with _judging(judged):
                found.newest = look.end()

    def _indexed(self, source: Url) -> list[str]:
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

    def _look(self) -> Look:
        """A look through a source; what reads files is imported by data sets with fallbacks alone."""
        from functions.download.probe import Look

        return Look(self._contract, self._run, self._end, self._rows_before, self._origin)

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

    def _validators(self, source: Url, url: str) -> Validators | None:
        """What the publisher said of the bytes that stand, for a source of one file."""
        standing = self._standing
        if standing is None or standing.source != source.name or len(source.urls) != 1:
            return None
        if standing.files[0].url != url:
            return None
        headers = standing.files[0].headers
        found = Validators(headers.get("etag"), headers.get("last-modified"))
        return found if found.etag or found.last_modified else None

    def _upload(self, file: str, found: Fetched) -> Upload:
        name = object_names.raw_data(self._contract.dataset, self._run, found.attempt, file)
        upload = Upload(self._zones.raw, name, "application/octet-stream", _CHUNK_BYTES)
        found.uploads.append(upload)
        return upload

    def _taken(self, found: Fetched) -> Claim:
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
        self, outcome: Outcome, found: Fetched | None = None, *, reason: str | None = None,
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


def _failure(failed: FetchFailed) -> str:
    """The sentence of a failure, with the wait that the publisher asks for."""
    wait = "" if failed.retry_after is None else f" (it asks to wait {failed.retry_after:g} s)"
    return f"{failed}{wait}"


@contextmanager
def _judging(judged: bool) -> Iterator[None]:
    """Make a refusal of the readers one of the source; nothing where the source is not judged."""
    try:
        yield
    except RunRefused as refused:
        if judged:
            raise NotTheDataError(str(refused)) from refused


class Body:
    """A body on its way from the publisher into raw."""

    def __init__(
        self, response: Response, upload: Upload, url: str, contract: Contract | None
    ) -> None:
        """Where a `contract` is given another source is left, and the body is judged by it."""
        self._response = response
        self._upload = upload
        self._url = url
        self._contract = contract
        self._head = b""

    def stored(self, look: Look | None) -> RawFile:
        """Store the body as it streams, and look through it where it is small enough.

        Raises NotTheDataError for a judged body that cannot be the data.
        """
        digest, copy = hashlib.sha256(), Copy()
        for chunk in self._response.chunks():
            if len(self._head) < _HEAD_BYTES:
                self._head = (self._head + chunk)[:_HEAD_BYTES]
            digest.update(chunk)
            self._upload.write(chunk)
            if look is not None:
                copy.add(chunk)
        if self._contract is not None:
            self._judge(self._contract)
        if look is not None:
            with _judging(self._contract is not None):
                look.at(self._upload.name.rpartition("/")[2], copy)
        headers = self._response.headers
        return RawFile(
            object=self._upload.name, generation=self._upload.finish(), url=self._url,
            status=self._response.status, bytes=self._upload.size, sha256=digest.hexdigest(),
            headers={name: headers[name] for name in _KEPT_HEADERS if name in headers},
        )  # fmt: skip

    def _judge(self, contract: Contract) -> None:
        """Raise NotTheDataError for a body that by its size or head cannot be the data."""
        size = self._upload.size
        if (
            size < contract.bounds.bytes_min
            or is_page(self._head)
            or not may_be_data(self._head, contract.source.shapes, whole=size <= _HEAD_BYTES)
        ):
            raise NotTheDataError(
                f"{self._url.partition('?')[0]}: the publisher answered with a page, an error or "
                "nothing instead of data"
            )


def _event(
    message: Message,
    outcome: str,
    contract: Contract,
    run: Run,
    /,
    **facts: str | int | float | None,
) -> Event:
    return event(
        "download", message, outcome, subject=run.name, dataset=contract.dataset,
        system=contract.system, run=run.name, object=object_names.claim(contract.dataset, run), **facts,
    )  # fmt: skip
