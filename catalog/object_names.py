"""Names of objects in every zone, and how to read a name back.

One bucket per zone, so that nothing can trigger itself: `raw`, `landing`, `lake`, `quarantine`,
`code`. Names are relative to their bucket.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from catalog.runs import Run


def raw_data(dataset: str, run: Run, attempt: str, file: str) -> str:
    """raw: the bytes of one file of one try of a run."""
    return f"data/{dataset}/{run.name}/{attempt}/{file}"


def claim(dataset: str, run: Run) -> str:
    """raw: the claim of a run, created only if absent."""
    return f"runs/{dataset}/{run.name}.json"


STREAMS = "streams/"
"""raw: the folder of what Pub/Sub writes, and nobody else."""

STREAM_TIMES = "YYYY-MM-DDThh_mm_ssZ"
"""How Pub/Sub writes the time, UTC, into the name of a stream's file."""

STREAM_SUFFIX = ".avro"
"""What the name of a stream's file ends in."""

_STREAM_FORM = "%Y-%m-%dT%H_%M_%SZ"


def stream_topic(dataset: str) -> str:
    """Pub/Sub: the topic by which the messages of a stream come in."""
    return f"stream-{dataset.replace('_', '-')}"


def stream_folder(dataset: str) -> str:
    """raw: the folder of a stream's files, as Pub/Sub writes them."""
    return f"{STREAMS}{dataset}/"


def stream_file(dataset: str, run: Run) -> str:
    """raw: the file that a run of a stream is; without a uuid, where those of its second begin."""
    moment = run.time.strftime(_STREAM_FORM)
    file = f"_{run.file}{STREAM_SUFFIX}" if run.file else ""
    return f"{stream_folder(dataset)}{moment}{file}"


def failed_slices(dataset: str, run: Run | None = None) -> str:
    """raw: the folder of the notes on a data set's slices that failed, or on one of them."""
    return f"slices/{dataset}/{run.name}/" if run else f"slices/{dataset}/"


def failed_slice(dataset: str, run: Run, number: int, requested_at: datetime) -> str:
    """raw: the note that a slice, requested at an instant, failed for the `number`th time."""
    return f"{failed_slices(dataset, run)}{number}.{Run.at(requested_at).name}"


def part(dataset: str, slot: str, key: SplitKey, attempt: str) -> str:
    """landing: the rows of one run in one slot, as one try of `split` wrote them."""
    return f"parts/{dataset}/slot={slot}/{key}.{attempt}.parquet"


def marker(dataset: str, slot: str, key: SplitKey) -> str:
    """landing: says that a split changed a slot, until `seal` has processed it."""
    return f"dirty/{dataset}/{slot}/{key}"


def replay_marker(dataset: str, slot: str, replay: int) -> str:
    """landing: says that a replay requested a slot, whatever its revision."""
    return f"dirty/{dataset}/{slot}/replay-{replay:014d}"


def pending_replay(dataset: str, slot: str, replay: int) -> str:
    """landing: a replay that is in a manifest and not yet in the ledger."""
    return f"replays/{dataset}/{slot}/replay-{replay:014d}"


def split_records(dataset: str) -> str:
    """landing: the folder of a data set's split records."""
    return f"splits/{dataset}/"


def split_record(dataset: str, key: SplitKey) -> str:
    """landing: the record of a split, created only if absent, written last."""
    return f"{split_records(dataset)}{key}.json"


def rejects(dataset: str, key: SplitKey, attempt: str) -> str:
    """quarantine: the rejected rows of a split, one JSON line each."""
    return f"rows/{dataset}/{key}.{attempt}.jsonl"


def manifest(system: str, manifest_id: str) -> str:
    """landing: what one Spark batch works on, created only if absent."""
    return f"manifests/{system}/{manifest_id}.json"


def receipt(system: str, manifest_id: str) -> str:
    """lake: what a batch wrote, created only if absent, written last."""
    return f"receipts/{system}/{manifest_id}.json"


def refused(step: str, object_name: str) -> str:
    """quarantine: says that a step refused an object permanently."""
    return f"refused/{step}/{object_name}"


def resends(step: str, object_name: str) -> str:
    """quarantine: the folder of the sweep's resends for one object."""
    return f"resent/{step}/{object_name}/"


def resend(step: str, object_name: str, number: int) -> str:
    """quarantine: the record that the sweep sends an object's message the `number`-th time."""
    return f"{resends(step, object_name)}{number}"


def lake_prefix(table: str, manifest_id: str, attempt: int) -> str:
    """lake: the folder of one attempt's files of a table; below it `slot=<slot>/`."""
    return f"{table}/{manifest_id}-a{attempt}/"


def staging_table(table: str, manifest_id: str) -> str:
    """staging: the table into which a receipt's files are loaded."""
    return f"{table}_{manifest_id.replace('-', '_')}"


def batch_id(manifest_id: str, attempt: int) -> str:
    """Dataproc: the id of one attempt at a manifest."""
    return f"{manifest_id}-a{attempt}"


@dataclass(frozen=True, order=True)
class SplitKey:
    """A split of a run: the first one, or the one of a replay request (milliseconds)."""

    run: Run
    replay: int = 0

    def __str__(self) -> str:
        """Return `<run>` or `<run>.r<replay>`; the letter distinguishes a replay from a slot."""
        return f"{self.run.name}.r{self.replay:014d}" if self.replay else self.run.name

    @classmethod
    def parse(cls, text: str) -> SplitKey:
        """Return the key whose text is `text`; raise ValueError if it is not one."""
        head, dot, tail = text.rpartition(".")
        if dot and tail[:1] == "r" and tail[1:].isdigit() and len(tail) == 15:
            return cls(Run(head), int(tail[1:]))
        return cls(Run(text))


@dataclass(frozen=True)
class Marker:
    """A marker's name read back: its data set, its slot, and what wrote it."""

    dataset: str
    slot: str
    name: str
    split: SplitKey | None
    replay: int

    @classmethod
    def parse(cls, name: str) -> Marker:
        """Return the marker that an object of `dirty/` or `replays/` is, or raise ValueError."""
        _, dataset, slot, tail = name.split("/")
        if tail.startswith("replay-"):
            return cls(dataset, slot, name, None, int(tail.removeprefix("replay-")))
        return cls(dataset, slot, name, SplitKey.parse(tail), 0)


def claim_of(name: str) -> tuple[str, Run]:
    """Return the data set and run of a claim's object name; raise ValueError for another."""
    _, dataset, file = name.split("/")
    run = Run(file.removesuffix(".json"))
    _require(name, claim(dataset, run))
    return dataset, run


def stream_file_of(name: str) -> tuple[str, Run]:
    """Return the data set and run of a stream's file; raise ValueError for another name.

    `<prefix><time>_<uuid><suffix>`, see "Filename prefix, suffix, and datetime" in
    cloud.google.com/pubsub/docs/create-cloudstorage-subscription.
    """
    _, dataset, file = name.split("/")
    moment, _, uuid = file.removesuffix(STREAM_SUFFIX).rpartition("_")
    run = Run.of_file(datetime.strptime(moment, _STREAM_FORM).replace(tzinfo=UTC), uuid)
    if stream_file(dataset, run) != name:
        raise ValueError(f"{file!r} is not of the form {STREAM_TIMES}_<uuid>{STREAM_SUFFIX}")
    return dataset, run


def failed_slice_of(name: str) -> tuple[Run, datetime]:
    """Return the run of a failed slice's note, and the publish time of the failed message."""
    _, _, run, note = name.split("/")
    return Run(run), Run(note.partition(".")[2]).time


def split_of(name: str) -> tuple[str, SplitKey]:
    """Return the data set and key of a split record's name; raise ValueError for another."""
    _, dataset, file = name.split("/")
    key = SplitKey.parse(file.removesuffix(".json"))
    _require(name, split_record(dataset, key))
    return dataset, key


def part_of(name: str) -> tuple[str, str, SplitKey]:
    """Return the data set, slot and key of a part's object name."""
    _, dataset, folder, file = name.split("/")
    key = file.removesuffix(".parquet").rpartition(".")[0]
    return dataset, folder.removeprefix("slot="), SplitKey.parse(key)


def resend_of(name: str) -> tuple[str, int]:
    """Return the key and number in a resend's object name; raise ValueError for another."""
    key, _, number = name.split("/", 2)[2].rpartition("/")
    if not _NUMBER.fullmatch(number):
        raise ValueError(f"{name!r}: {number!r} is not the number of a resend: expected 1, 2, …")
    return key, int(number)


def system_and_id(name: str) -> tuple[str, str]:
    """Return the system and id in a manifest's or receipt's name; raise ValueError otherwise."""
    folder, system, file = name.split("/")
    identity = file.removesuffix(".json")
    _require(name, f"{folder}/{system}/{identity}.json")
    if not _MANIFEST_ID.fullmatch(identity):
        raise ValueError(f"{name!r}: {identity!r} is not a manifest's id: expected a-z, 0-9 and -")
    return system, identity


_NUMBER = re.compile(r"[1-9][0-9]*")
_MANIFEST_ID = re.compile(r"[a-z0-9-]+")


def _require(name: str, expected: str) -> None:
    """Raise ValueError if `name` is not the name that its own parts form."""
    if name != expected:
        raise ValueError(f"{name!r} is not an object of the pipeline: expected {expected!r}")
