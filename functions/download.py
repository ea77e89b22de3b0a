"""The step `download`: a run of a data set fetched from its publisher; the claim is written last.

Claimed once, a run is never fetched again. A try that loses the claim deletes its own bytes.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

import msgspec

from catalog import names
from catalog.contract import Contract, Kind, Url
from catalog.records import Claim, Event, Outcome, RawFile
from catalog.runs import TICK_TOLERANCE, Run, tick
from functions import history, store
from functions.bodies import is_page, may_be_data
from functions.boundary import event
from functions.clients import Clients
from functions.contracts import contract_of, own_slot
from functions.errors import Later, Permanent
from functions.fetch import FetchFailed, FetchRefused, Limits, Response, Validators, fetch
from functions.messages import Message
from functions.settings import Settings
from functions.uploads import Upload
from functions.zones import Zones

_CHUNK_BYTES = 4 << 20
_HEAD_BYTES = 4_096
_KEPT_HEADERS = ("etag", "last-modified", "content-type", "content-length", "date")


class Ingest(msgspec.Struct, frozen=True):
    """A request to fetch: a past `run` or `slot` only where the data set can be fetched again."""

    dataset: str
    run: str | None = None
    slot: str | None = None


def run(message: Message, clients: Clients, settings: Settings) -> Iterable[Event]:
    """Fetch the run that the message asks for, unless it is claimed.

    Raises Permanent for a run that may not be asked for, and Later where no source could be read
    this time. A run that is refused is no error: its claim says why, and an event at ERROR.
    """
    begin = time.monotonic()
    request = message.body(Ingest)
    contract = contract_of(request.dataset)
    if contract.kind is Kind.STREAM:
        raise Permanent(
            f"{contract.dataset}: a stream is not fetched, its messages come by the topic "
            f"{names.stream_topic(contract.dataset)}; publish there, or replay one of its files: "
            "split {dataset, run, replay}"
        )
    asked = _run(request, contract, message)
    if contract.retired:
        yield _event(message, "retired", contract, asked)
        return
    zones = Zones.of(clients, settings)
    if store.exists(zones.raw, names.claim(contract.dataset, asked)):
        yield _event(message, "claimed", contract, asked)
        return
    claim, won = Try(contract, asked, message, zones, settings).claim()
    yield _event(
        message, str(claim.outcome) if won else "claimed", contract, asked,
        severity="ERROR" if claim.outcome is Outcome.REFUSED and won else "INFO",
        message=claim.reason or "", bytes=sum(file.bytes for file in claim.files),
        seconds=round(time.monotonic() - begin, 3), detail=claim.source,
    )  # fmt: skip


def _run(request: Ingest, contract: Contract, message: Message) -> Run:
    """The run that a request names, else that of the schedule's tick."""
    named = request.run or request.slot
    if named and not contract.refetchable:
        raise Permanent(
            f"{contract.dataset} {named}: a {contract.kind} cannot be fetched again, its publisher "
            "shows the present only; ask without run and slot"
        )
    if request.slot and not contract.source.past_slots:
        raise Permanent(
            f"{contract.dataset} {request.slot}: its URLs name no slot; ask without one, and the "
            "whole is fetched"
        )
    try:
        if request.slot:
            contract.calendar.parse(request.slot)
        found = Run(request.run) if request.run else None
    except ValueError as error:
        raise Permanent(f"{contract.dataset}: {error}") from error
    if found is None:
        return Run.at(tick(contract.schedule, message.published), request.slot)
    if found.time > message.published + TICK_TOLERANCE:
        raise Permanent(
            f"{contract.dataset} {found.name}: the run lies in the future of the request, every "
            "later one would count as older; ask for a time that has passed, or for none"
        )
    return Run.at(found.time, request.slot) if request.slot else found


class _NotTheDataError(Exception):
    """A source answered with something else than the data; the next one is tried."""


class Try:
    """One try at fetching a run."""

    def __init__(
        self, contract: Contract, run: Run, message: Message, zones: Zones, settings: Settings
    ) -> None:
        """Nothing is fetched yet; the time allowed begins."""
        self._contract = contract
        self._run = run
        self._message = message
        self._zones = zones
        self._origin = settings.origin(contract.dataset)
        self._end = self._source_end = time.monotonic() + settings.download_seconds
        self._attempt = uuid.uuid4().hex[:12]
        standing = history.standing_claim(zones.raw, zones.landing, contract.dataset, run)
        # The same bytes on a new day are that day's: only in one slot are they nothing new.
        same = standing and own_slot(contract, Run(standing.run)) == own_slot(contract, run)
        self._standing = standing if same and contract.kind is not Kind.SNAPSHOT else None

    def claim(self) -> tuple[Claim, bool]:
        """The claim that now stands, and whether it is this try's.

        Raises Later where a source failed in a way that may pass, and none could be read.
        """
        with ExitStack() as undo:
            made = self._made(undo)
            # From here on an error may hide a claim that stands and names what was written.
            written = undo.pop_all()
        name = names.claim(self._contract.dataset, self._run)
        standing = store.create(self._zones.raw, name, made.encode())
        won = standing == made.encode()
        if not won or made.outcome is not Outcome.ACCEPTED:
            written.close()
        return Claim.decode(standing), won

    def _made(self, undo: ExitStack) -> Claim:
        """The claim of this try, by the first source that gives data."""
        refusals: list[str] = []
        failures: list[FetchFailed] = []
        sources = self._contract.source.fetch
        for left, source in zip(range(len(sources), 0, -1), sources, strict=True):
            found = Fetched(source.name)
            self._source_end = time.monotonic() + (self._end - time.monotonic()) / left
            undo.callback(found.abandon)
            try:
                self._fetch(source, found, last=left == 1)
            except (FetchRefused, _NotTheDataError) as refused:
                refusals.append(str(refused))
            except FetchFailed as failed:
                failures.append(failed)
            else:
                return self._taken(source, found)
            found.abandon()
        if failures:
            told = "; ".join([_failure(failed) for failed in failures] + refusals)
            raise Later(f"{self._where}: {told}")
        return self._claim(Outcome.REFUSED, reason=f"{self._where}: {'; '.join(refusals)}")

    def _fetch(self, source: Url, found: Fetched, *, last: bool) -> None:
        """Fetch every file of a source; raises FetchRefused, FetchFailed and _NotTheDataError."""
        for at, address in enumerate(source.urls):
            url = address.replace("{slot}", self._run.asked or "")
            file = source.files[at] if at < len(source.files) else f"file{at}"
            with fetch(
                url,
                hosts=frozenset(self._contract.source.hosts),
                limits=self._limits(),
                validators=self._validators(source, url),
            ) as response:
                if response.status == 304:
                    found.unchanged = True
                    return
                upload = self._upload(file, found)
                found.files.append(_stored(response, upload, url, None if last else self._contract))

    def _limits(self) -> Limits:
        bounds = self._contract.bounds
        return Limits(
            max_bytes=bounds.bytes_max,
            max_decoded_bytes=bounds.bytes_max,
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
        name = names.raw_data(self._contract.dataset, self._run, self._attempt, file)
        upload = Upload(self._zones.raw, name, "application/octet-stream", _CHUNK_BYTES)
        found.uploads.append(upload)
        return upload

    def _taken(self, source: Url, found: Fetched) -> Claim:
        """The claim for what a source gave."""
        standing = self._standing
        same = standing is not None and [f.sha256 for f in standing.files] == [
            f.sha256 for f in found.files
        ]
        if (found.unchanged or same) and standing:
            return self._claim(Outcome.UNCHANGED, source=source.name, same_as=standing.run)
        short = [f for f in found.files if f.bytes < self._contract.bounds.bytes_min]
        if short:
            reason = (
                f"{self._where} {short[0].object.rpartition('/')[2]}: the body has "
                f"{short[0].bytes} bytes, the contract expects at least "
                f"{self._contract.bounds.bytes_min}; wait for the next run, or ask the publisher"
            )
            return self._claim(Outcome.REFUSED, source=source.name, reason=reason)
        return self._claim(Outcome.ACCEPTED, source=source.name, files=tuple(found.files))

    def _claim(
        self, outcome: Outcome, *, source: str = "", files: tuple[RawFile, ...] = (),
        reason: str | None = None, same_as: str | None = None,
    ) -> Claim:  # fmt: skip
        return Claim(
            dataset=self._contract.dataset, run=self._run.name, outcome=outcome,
            origin=self._origin, source=source, fetched_at=self._message.published.isoformat(),
            files=files, attempt=self._attempt, reason=reason, same_as=same_as,
        )  # fmt: skip

    @property
    def _where(self) -> str:
        return f"{self._contract.dataset} {self._run.name}"


@dataclass
class Fetched:
    """What one source gave."""

    source: str
    files: list[RawFile] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    unchanged: bool = False

    def abandon(self) -> None:
        """Leave nothing of it in raw."""
        for upload in self.uploads:
            upload.abandon()
        self.uploads.clear()


def _failure(failed: FetchFailed) -> str:
    """The sentence of a failure, with the wait that the publisher asks for."""
    wait = "" if failed.retry_after is None else f" (it asks to wait {failed.retry_after:g} s)"
    return f"{failed}{wait}"


def _stored(response: Response, upload: Upload, url: str, contract: Contract | None) -> RawFile:
    """Store a body as it streams.

    Where a `contract` is given another source is left: raises _NotTheDataError for a body that by
    its size or head cannot be the data.
    """
    digest = hashlib.sha256()
    head = b""
    for chunk in response.chunks():
        if len(head) < _HEAD_BYTES:
            head += chunk[:_HEAD_BYTES]
        digest.update(chunk)
        upload.write(chunk)
    head, whole = head[:_HEAD_BYTES], upload.size <= _HEAD_BYTES
    if contract is not None and (
        upload.size < contract.bounds.bytes_min
        or is_page(head)
        or not may_be_data(head, contract.source.shapes, whole=whole)
    ):
        raise _NotTheDataError(
            f"{url.partition('?')[0]}: the publisher answered with a page, an error or nothing "
            "instead of data"
        )
    generation = upload.finish()
    kept = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    return RawFile(
        object=upload.name, generation=generation, url=url, status=response.status,
        bytes=upload.size, sha256=digest.hexdigest(), headers=kept,
    )  # fmt: skip


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
        system=contract.system, run=run.name, object=names.claim(contract.dataset, run), **facts,
    )  # fmt: skip
