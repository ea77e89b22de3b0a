"""`try`: a user's own files through the real steps, as if the publisher had served them.

Split, seal, Spark and load are the shipped ones; only the fetch is left out, because the files are
here already. A stream's file is one that Pub/Sub wrote, or has a message a line. Gives one document
that says of every file whether it was taken, and why not.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import storage  # type: ignore[attr-defined,unused-ignore]

from catalog import object_names
from catalog.contract import Contract, Kind
from catalog.records import Claim, FileReport, Origin, Outcome, Part, RawFile, SplitRecord
from catalog.runs import Run
from functions.parsing.header import alias_for, preview
from functions.split import stream_files
from local_cloud.cli import failures
from local_cloud.cloud import LocalCloud
from local_cloud.pubsub.gcs_sink import encode
from local_cloud.pubsub.service import ReceivedMessage

_AVRO = b"Obj\x01"

_LATE_SECONDS = 2.0

_AHEAD = timedelta(days=32)
"""How far ahead of the last run a slot may end for its rows to be counted."""

_MOST_REJECTS = 20

_REJECT = ("file", "line", "slot", "reason", "row")

_UNTOLD = "split failed on every try, which is a fault of ours: see the log, and report it"


class TrialError(ValueError):
    """The call itself is wrong: an unknown data set, a file that is not there."""


@dataclass(frozen=True)
class Served:
    """The files of one run, and its time where the user named one."""

    paths: tuple[Path, ...]
    time: datetime | None = None


def parse(argument: str) -> Served:
    """Parse one argument of `try`: `FILE`, `A+B` (one run), `FILE@2017-05-31[T04:17]`.

    If the whole argument is the name of a file, it is that file. Raises TrialError naming what is missing.
    """
    if Path(argument).is_file():
        return Served((Path(argument),))
    head, at, tail = argument.rpartition("@")
    time = _time(tail) if at else None
    text = head if time else argument
    paths = (Path(text),) if Path(text).is_file() else tuple(Path(p) for p in text.split("+"))
    for path in paths:
        if not path.is_file():
            raise TrialError(f"{path}: no such file; give FILE, A+B or FILE@2017-05-31")
    return Served(paths, time)


def _time(text: str) -> datetime | None:
    """Parse a UTC instant, noon for a date alone; None if the text is no time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if len(text) <= len("2017-05-31"):
        moment = moment.replace(hour=12)
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)


def timed(runs: Sequence[Served], now: datetime) -> list[Served]:
    """Give each run its time: a run without one follows a day after the one before.

    Where no run names a time the last one is `now`. Raises TrialError for two of the same time,
    which would be one run.
    """
    first = now - timedelta(days=len(runs) - 1)
    last: datetime | None = None
    timed_runs: list[Served] = []
    for served in runs:
        time = (served.time or (last + timedelta(days=1) if last else first)).replace(microsecond=0)
        for other in timed_runs:
            if other.time == time:
                raise TrialError(
                    f"{_paths(other)} and {_paths(served)} are both served at {time.isoformat()}: "
                    "give A+B for one run of both, or another time for one of them"
                )
        timed_runs.append(replace(served, time=time))
        last = time
    return timed_runs


def _paths(served: Served) -> str:
    """Join the files of a run as the user names them."""
    return "+".join(map(str, served.paths))


def try_files(
    cloud: LocalCloud,
    contract: Contract,
    runs: Sequence[Served],
    queries: Sequence[str],
    origin: Origin = Origin.SAMPLE,
) -> dict[str, Any]:
    """Serve the runs one after the other; return the document that `try` prints.

    `origin` is the origin that every row declares.
    """
    offered = []
    files = []
    for served in runs:
        run = offer(cloud, contract, served, origin)
        _settle(cloud, contract, run)
        offered.append((served, run))
        if contract.kind.newest_run_wins:  # reported now: the next run may replace these slots
            files.append(file_report(cloud, contract, served, run))
    if not contract.kind.newest_run_wins:
        _close(cloud, contract, [run for _, run in offered])
        files = [file_report(cloud, contract, served, run) for served, run in offered]
    failed = [
        *failures.of_batches(cloud, contract.system),
        *failures.of_reports(cloud.scheduler.run_queries()),
    ]
    return {
        "files": files,
        "failures": [asdict(each) for each in failed],
        "tables": dict(_tables(cloud, contract)),
        "queries": [_query(cloud, sql) for sql in queries],
    }


def offer(
    cloud: LocalCloud, contract: Contract, served: Served, origin: Origin = Origin.SAMPLE
) -> Run:
    """Put the files of one run where `download` or Pub/Sub would, at its time; return the run."""
    run = _run(contract, served.time or cloud.clock.now())
    cloud.clock.advance_to(max(cloud.clock.now(), run.time))
    if contract.kind is Kind.STREAM:
        _send(cloud.bucket("raw"), contract, run, served)
    else:
        _claim_files(
            cloud.bucket("raw"), contract, run, (served, origin), _newest_accepted(cloud, contract)
        )
    return run


def _settle(cloud: LocalCloud, contract: Contract, run: Run) -> None:
    """Wait until a run has come as far as it can."""
    cloud.settle()
    if not _is_finished(cloud, contract, run):  # a busy storage server reports its objects late
        cloud.pubsub.wait_idle(_LATE_SECONDS * 10, quiet=_LATE_SECONDS)
        cloud.settle()


def _is_finished(cloud: LocalCloud, contract: Contract, run: Run) -> bool:
    """Check whether a run is finished: it is not accepted, or its slots are loaded."""
    if _claim(cloud, contract, run).outcome is not Outcome.ACCEPTED:
        return True
    record = _record(cloud, contract, run)
    if record is None:
        return cloud.dead_letter_reason(_object(contract, run)) is not None
    if record.outcome is not Outcome.ACCEPTED or not contract.kind.newest_run_wins:
        return True
    ledger = _ledger(cloud, contract)
    slots = [part.slot for part in record.parts if not part.held]
    return all(slot in ledger and ledger[slot]["run"] >= run.name for slot in slots)


def _run(contract: Contract, time: datetime) -> Run:
    """Name the run that is served at a time."""
    return Run.of_file(time, "try") if contract.kind is Kind.STREAM else Run.at(time)


def _object(contract: Contract, run: Run) -> str:
    """Name the object of raw by which `split` learns of a run."""
    name = object_names.stream_file if contract.kind is Kind.STREAM else object_names.claim
    return name(contract.dataset, run)


def _claim(cloud: LocalCloud, contract: Contract, run: Run) -> Claim:
    """Read a run's claim; for a stream, derive it from the file's name and attributes."""
    if contract.kind is Kind.STREAM:
        key = object_names.SplitKey(run)
        return stream_files.claim_of(cloud.bucket("raw"), contract, key, Origin.SAMPLE)
    return Claim.decode(cloud.read("raw", object_names.claim(contract.dataset, run)) or b"")


def _send(bucket: storage.Bucket, contract: Contract, run: Run, served: Served) -> None:
    """Put a stream's file where Pub/Sub would have written it; lines become messages, numbered.

    Raises TrialError for two files of one run.
    """
    if len(served.paths) > 1:
        raise TrialError(f"{_paths(served)}: a stream's run is one file; give them one by one")
    body = served.paths[0].read_bytes()
    if not body.startswith(_AVRO):
        topic = object_names.stream_topic(contract.dataset)
        lines = [line for line in body.splitlines() if line.strip()]
        body = encode(
            f"{topic}-try",
            (
                ReceivedMessage(topic, f"{run.name}-{number}", run.time, line, {})
                for number, line in enumerate(lines, start=1)
            ),
        )
    blob = bucket.blob(object_names.stream_file(contract.dataset, run))
    blob.upload_from_string(body, content_type="application/octet-stream")


def _claim_files(
    bucket: storage.Bucket,
    contract: Contract,
    run: Run,
    offered: tuple[Served, Origin],
    newest_accepted: dict[str, str],
) -> None:
    """Put a run's files and its claim where `download` would have put them."""
    served, origin = offered
    files = []
    for path, name in zip(served.paths, _names(served.paths), strict=True):
        blob = bucket.blob(object_names.raw_data(contract.dataset, run, "try", name))
        blob.upload_from_filename(str(path), content_type="application/octet-stream")
        body = path.read_bytes()
        files.append(
            RawFile(
                object=blob.name, generation=int(blob.generation), url=path.name, status=200,
                bytes=len(body), sha256=hashlib.sha256(body).hexdigest(), headers={},
            )
        )  # fmt: skip
    same = newest_accepted.get(_digest(files)) if contract.kind.newest_run_wins else None
    claim = Claim(
        dataset=contract.dataset, run=run.name, origin=origin, source="try", attempt="try",
        outcome=Outcome.UNCHANGED if same else Outcome.ACCEPTED, same_as=same,
        fetched_at=run.time.isoformat(), files=tuple(files),
    )  # fmt: skip
    bucket.blob(object_names.claim(contract.dataset, run)).upload_from_string(
        claim.encode(), content_type="application/json"
    )


def _names(paths: Sequence[Path]) -> list[str]:
    """Name the files of a run in raw: their own names, numbered where two agree."""
    names = [path.name for path in paths]
    return [
        f"{at}-{name}" if names.count(name) > 1 else name for at, name in enumerate(names, start=1)
    ]


def _digest(files: Sequence[RawFile]) -> str:
    """Join the hashes of a run's files, to compare runs."""
    return " ".join(file.sha256 for file in files)


def _newest_accepted(cloud: LocalCloud, contract: Contract) -> dict[str, str]:
    """Map the digest of the newest run whose split was accepted to its name; empty for none."""
    for run in sorted(_runs(cloud, contract), reverse=True):
        record = _record(cloud, contract, run)
        if record and record.outcome is Outcome.ACCEPTED:
            body = cloud.read("raw", object_names.claim(contract.dataset, run))
            return {_digest(Claim.decode(body or b"").files): run.name}
    return {}


def _runs(cloud: LocalCloud, contract: Contract) -> Iterator[Run]:
    """List the runs that have a claim."""
    for blob in cloud.bucket("raw").list_blobs(prefix=f"runs/{contract.dataset}/"):
        yield object_names.claim_of(blob.name)[1]


def _close(cloud: LocalCloud, contract: Contract, runs: Sequence[Run]) -> None:
    """Move the clock past the end of the runs' slots, the next month's too, and seal them.

    No later than that: reports of what is now, made of a file of today, would have no rows.
    """
    now = cloud.clock.now()
    records = (_record(cloud, contract, run) for run in runs)
    slots = {part.slot for record in records if record for part in record.parts}
    last = max([now, *map(contract.calendar.end, slots)])
    until = min(last, now + _AHEAD) + timedelta(minutes=contract.grace_minutes)
    cloud.clock.advance_to(until)
    cloud.pubsub.publish("seal", json.dumps({"system": contract.system}).encode(), {})
    cloud.settle()


def _record(cloud: LocalCloud, contract: Contract, run: Run) -> SplitRecord | None:
    """Read the split record of a run."""
    body = cloud.read(
        "landing", object_names.split_record(contract.dataset, object_names.SplitKey(run))
    )
    return SplitRecord.decode(body) if body else None


def file_report(cloud: LocalCloud, contract: Contract, served: Served, run: Run) -> dict[str, Any]:
    """Report what became of one run: its outcome, its columns, and its rows by slot."""
    claim = _claim(cloud, contract, run)
    record = _record(cloud, contract, run)
    outcome, reason = claim.outcome, claim.reason
    if record:
        outcome, reason = record.outcome, record.reason
    elif outcome is Outcome.ACCEPTED:
        outcome = Outcome.REFUSED
        reason = cloud.dead_letter_reason(_object(contract, run)) or _UNTOLD
    reports = record.files if record else ()
    slots = _slots(cloud, contract, record) if record else {}
    revised = {slot: counts.pop("revised") for slot, counts in slots.items()}
    return {
        "files": [str(path) for path in served.paths],
        "run": run.name,
        "outcome": str(outcome),
        "reason": f"the same bytes as run {claim.same_as}" if claim.same_as else reason,
        "encoding": ", ".join(dict.fromkeys(report.encoding for report in reports)) or None,
        "header": list(reports[0].header) if reports else [],
        "aliases": {k: v for report in reports for k, v in report.aliases.items()},
        "unknown_columns": {k: v for report in reports for k, v in report.unknown_columns.items()},
        "missing_columns": sorted({name for report in reports for name in report.missing_columns}),
        "repaired": record.repaired if record else {},
        "warnings": list(_warnings(contract, reports)),
        "slots": slots,
        "revised": {slot: count for slot, count in revised.items() if count},
        "rejects": _rejects(cloud, contract, record) if record else [],
    }


def _warnings(contract: Contract, reports: Sequence[FileReport]) -> Iterator[str]:
    """List optional columns that are missing in a file that has unknown ones."""
    for report in reports:
        unknown = list(report.unknown_columns)
        missing = [
            c for c in contract.columns if c.name in report.missing_columns and not c.required
        ]
        for column in missing if unknown else ():
            are = "is" if len(unknown) == 1 else "are"
            alias = alias_for(column, unknown[0] if len(unknown) == 1 else "…")
            yield (
                f"{column.name} is missing and {preview(unknown)} {are} unknown: if it was renamed, "
                f"say {alias}"
            )


def _rejects(cloud: LocalCloud, contract: Contract, record: SplitRecord) -> list[dict[str, Any]]:
    """List the first rejected rows of a run: those of split, then those of Spark."""
    body = cloud.read("quarantine", record.quarantine) if record.quarantine else None
    by_split = map(json.loads, (body or b"").decode("utf-8").splitlines())
    by_spark = cloud.rows(
        f"SELECT slot_start, line, reason, row FROM lake.{contract.dataset}_rejects "  # noqa: S608 - ours
        f"WHERE run = '{record.run}' ORDER BY line LIMIT {_MOST_REJECTS}"
    )
    slotted = (row | {"slot": _slot_of(contract, row["slot_start"])} for row in by_spark)
    found = itertools.islice(itertools.chain(by_split, slotted), _MOST_REJECTS)
    return [{key: row.get(key) for key in _REJECT} for row in found]


def _slot_of(contract: Contract, start: date) -> str:
    """Find the slot with this `slot_start`: a local date, or for hours an instant."""
    zone = contract.calendar.zone
    moment = start if isinstance(start, datetime) else datetime.combine(start, time.min, zone)
    return contract.calendar.slot(moment)


def _slots(cloud: LocalCloud, contract: Contract, record: SplitRecord) -> dict[str, Any]:
    """Count where the rows of a run went, by slot; `none` for rows without one."""
    if record.outcome is Outcome.REFUSED:
        return {}
    ledger = _ledger(cloud, contract)
    own = record.run if contract.kind.newest_run_wins else None
    counts = {part.slot: _slot(part, ledger.get(part.slot), own) for part in record.parts}
    if record.no_slot:
        counts["none"] = {
            "rows_in": sum(record.no_slot.values()), "rows_out": 0,
            "rejected": record.no_slot, "duplicates": 0, "revised": 0,
        }  # fmt: skip
    return counts


def _ledger(cloud: LocalCloud, contract: Contract) -> dict[str, dict[str, Any]]:
    """Read the ledger's rows of the data set, by slot."""
    rows = cloud.rows("SELECT * FROM ops.loads")
    return {row["slot"]: row for row in rows if row["dataset"] == contract.dataset}


def _slot(part: Part, loaded: dict[str, Any] | None, run: str | None) -> dict[str, Any]:
    """Count one slot's rows, as loaded or held back; `run` is None where all runs count."""
    newer = loaded is not None and run is not None and loaded["run"] > run
    if part.held or loaded is None or newer:
        reason = "slot held: too many rejected rows" if part.held else "not loaded: see failures"
        if loaded is not None and newer:
            reason = f"a newer run counts: {loaded['run']}"
        return {
            "rows_in": part.rows + sum(part.rejected.values()), "rows_out": 0,
            "rejected": part.rejected | ({reason: part.rows} if part.rows else {}),
            "duplicates": 0, "revised": 0,
        }  # fmt: skip
    return {
        "rows_in": loaded["rows_in"], "rows_out": loaded["rows_out"],
        "rejected": json.loads(loaded["rejects"] or "{}"), "duplicates": loaded["duplicates"],
        "revised": loaded["revised"],
    }  # fmt: skip


def _tables(cloud: LocalCloud, contract: Contract) -> Iterator[tuple[str, dict[str, Any]]]:
    """Describe the data set's lake tables and every report table, with rows and schema."""
    wanted = [f"lake.{table.name}" for table in contract.lake_tables()]
    wanted += [f"reports.{name}" for name in cloud.reports()]
    for name in wanted:
        count = cloud.rows(f"SELECT COUNT(*) AS n FROM {name}")[0]["n"]  # noqa: S608 - our own names
        schema = cloud.bigquery.get_table(name).schema
        yield (
            name,
            {
                "rows": count,
                "schema": [{"name": f.name, "type": f.field_type, "mode": f.mode} for f in schema],
            },
        )


def _query(cloud: LocalCloud, sql: str) -> dict[str, Any]:
    """Run a user's query; return its columns and rows, or BigQuery's error."""
    try:
        found = cloud.bigquery.query(sql).result()
    except GoogleAPICallError as error:
        return {"sql": sql, "columns": [], "rows": [], "error": str(error)}
    columns = [field.name for field in found.schema]
    return {"sql": sql, "columns": columns, "rows": [list(row.values()) for row in found]}
