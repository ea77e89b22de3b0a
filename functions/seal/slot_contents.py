"""Read which parts of a slot count: those that exist and that an accepted split record names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from google.cloud.storage import Bucket

from catalog import object_names
from catalog.contract import Contract
from catalog.object_names import SplitKey
from catalog.records import Origin, Outcome, Part, SlotParts, SplitRecord
from catalog.runs import Run
from catalog.versions import Version, revision
from functions.core import gcs
from functions.core.records import recorded_splits
from functions.core.strays import parse_names

_THREADS = 8


@dataclass(frozen=True)
class Content:
    """A slot's entry in a manifest, and the bytes that a batch reads for the slot."""

    parts: SlotParts
    bytes: int


def contents(
    bucket: Bucket, contract: Contract, replays: dict[str, int]
) -> dict[str, Content | None]:
    """Read what counts in each slot of `replays` (slot → number of its newest replay request, or 0).

    None for a slot in which no part counts. Reads the landing bucket's list of parts, then the
    records that name them.
    """
    context = {slot: _before(contract, slot) for slot in replays}
    wanted = sorted({*replays, *(each for before in context.values() for each in before)})
    objects = _objects(bucket, contract.dataset, wanted)
    runs = {run for found in objects.values() for run in found}
    splits = _Splits(bucket, contract.dataset, recorded_splits(bucket, contract.dataset, runs))
    if not contract.kind.newest_run_wins:
        splits.fetch(runs)
    counting = {slot: _counting(contract, splits, slot, objects[slot]) for slot in wanted}
    return {
        slot: _content(bucket.name, contract, slot, replay, counting, context[slot])
        for slot, replay in replays.items()
    }


@dataclass(frozen=True)
class _Counting:
    """A part that counts, the split that made it and where its rows come from."""

    key: SplitKey
    part: Part
    origin: Origin


_Objects = dict[Run, dict[str, int]]
"""Run → its parts' objects in a slot with their generations."""


class _Splits:
    """The split records of a data set's runs, each read when it is first needed."""

    def __init__(self, bucket: Bucket, dataset: str, keys: Iterable[SplitKey]) -> None:
        """Begin with the keys of the records and read none of them."""
        self._bucket = bucket
        self._dataset = dataset
        self._keys: dict[Run, list[SplitKey]] = {}
        self._found: dict[Run, SplitRecord | None] = {}
        for key in sorted(keys, reverse=True):
            self._keys.setdefault(key.run, []).append(key)

    def accepted(self, run: Run) -> SplitRecord | None:
        """Return the accepted record of a run's newest replay, or None."""
        if run not in self._found:
            self._found[run] = self._read(run)
        return self._found[run]

    def fetch(self, runs: Iterable[Run]) -> None:
        """Read the records of many runs at once."""
        missing = sorted(set(runs) - set(self._found))
        with ThreadPoolExecutor(_THREADS) as pool:
            self._found.update(zip(missing, pool.map(self._read, missing), strict=True))

    def _read(self, run: Run) -> SplitRecord | None:
        for key in self._keys.get(run, []):
            body = gcs.read(self._bucket, object_names.split_record(self._dataset, key))
            record = SplitRecord.decode(body) if body else None
            if record and record.outcome is Outcome.ACCEPTED:
                return record
        return None


def _before(contract: Contract, slot: str) -> list[str]:
    """List the slots that are read as the context of `slot`, oldest first."""
    return [contract.calendar.shift(slot, -back) for back in range(contract.lookback, 0, -1)]


def _objects(bucket: Bucket, dataset: str, slots: Sequence[str]) -> dict[str, _Objects]:
    """List the objects of parts in each slot, by run."""

    def listed(slot: str) -> dict[str, int]:
        """List the generations of one slot's objects, by name."""
        found = bucket.list_blobs(
            prefix=f"parts/{dataset}/slot={slot}/", fields="items(name,generation),nextPageToken"
        )
        return {blob.name: int(blob.generation) for blob in found}

    with ThreadPoolExecutor(_THREADS) as pool:
        generations = dict(zip(slots, pool.map(listed, slots), strict=True))
    return {slot: _by_run(bucket, found) for slot, found in generations.items()}


def _by_run(bucket: Bucket, generations: dict[str, int]) -> _Objects:
    """Group the objects of one slot by run."""
    found: _Objects = {}
    for name, (_, _, key) in parse_names(bucket, generations, object_names.part_of):
        found.setdefault(key.run, {})[name] = generations[name]
    return found


def _counting(contract: Contract, splits: _Splits, slot: str, objects: _Objects) -> list[_Counting]:
    """Select the parts of a slot that count, in run order: the newest run's if it replaces."""
    found: list[_Counting] = []
    for run in sorted(objects, reverse=True):
        parts = list(_of_run(splits.accepted(run), slot, objects[run]))
        found = parts + found
        if parts and contract.kind.newest_run_wins:
            break
    return found


def _of_run(record: SplitRecord | None, slot: str, objects: dict[str, int]) -> Iterator[_Counting]:
    """Select the parts of one run in one slot that count."""
    if record is None:
        return
    for part in record.parts:
        if part.slot == slot and not part.held and objects.get(part.object) == part.generation:
            yield _Counting(SplitKey(Run(record.run), record.replay), part, record.origin)


def _content(
    bucket: str,
    contract: Contract,
    slot: str,
    replay: int,
    counting: dict[str, list[_Counting]],
    before: list[str],
) -> Content | None:
    """Build a slot's parts with version, revision and sums; None if it has no parts."""
    own = counting[slot]
    if not own:
        return None
    context = [each for earlier in before for each in counting[earlier]]
    every = [*context, *own]
    newest_run = max(each.key.run for each in every)
    replayed = max(replay, *(each.key.replay for each in every))
    parts = SlotParts(
        dataset=contract.dataset,
        slot=slot,
        slot_start=contract.calendar.slot_start(slot),
        version=str(Version(newest_run.name, len(every), replayed)),
        revision=revision(_hashes(slot, before, counting)),
        origin=Origin.worst(each.origin for each in every),
        parts=tuple(f"gs://{bucket}/{each.part.object}" for each in own),
        context=tuple(f"gs://{bucket}/{each.part.object}" for each in context),
        rows_in=sum(each.part.rows + sum(each.part.rejected.values()) for each in own),
        rejected=_sums(each.part.rejected for each in own),
        newest=max((each.part.newest for each in own if each.part.newest), default=None),
        run=newest_run.name,
    )
    return Content(parts, sum(each.part.bytes for each in every))


def _hashes(slot: str, before: list[str], counting: dict[str, list[_Counting]]) -> Iterator[str]:
    """List the hashes that a revision is made of; a context's carry the name of their slot."""
    for earlier in before:
        yield earlier
        yield from (each.part.hash for each in counting[earlier])
    if before:
        yield slot
    yield from (each.part.hash for each in counting[slot])


def _sums(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Add up counts by reason, in order of reason."""
    total: dict[str, int] = {}
    for each in counts:
        for reason, count in each.items():
            total[reason] = total.get(reason, 0) + count
    return dict(sorted(total.items()))
