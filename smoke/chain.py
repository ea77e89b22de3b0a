"""One message to `ingest`, followed through claim, split and ledger to the reports."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from catalog import object_names
from catalog.contract import Contract
from catalog.object_names import SplitKey
from catalog.records import Claim, Outcome, SplitRecord
from catalog.runs import Run, tick
from functions.core import bigquery, gcs, ledger
from functions.core.bigquery import parameter
from functions.core.clients import Clients

SECONDS = 7200.0
"""How long each wait may last: a slot of an hour is sealed once it and its grace have ended."""
_PAUSE = 10.0


class SmokeError(RuntimeError):
    """A result is missing or wrong: the text names it and where to look."""


@dataclass(frozen=True)
class Waiting:
    """How to wait: the pause between two checks, and the longest wait in seconds."""

    pause: Callable[[float], object] = time.sleep
    seconds: float = SECONDS
    clock: Callable[[], float] = time.monotonic

    def until[T](self, what: str, look: Callable[[], T | None]) -> T:
        """Wait until `look` finds something and return it; raise SmokeError naming `what`."""
        begin = self.clock()
        while (found := look()) is None:
            if self.clock() - begin >= self.seconds:
                raise SmokeError(f"{what} did not come in {self.seconds:g} s: see docs/runbook.md")
            self.pause(_PAUSE)
        return found


def follow(
    clients: Clients, contract: Contract, waiting: Waiting, now: datetime | None = None
) -> Iterator[str]:
    """Fetch a data set and follow it; yield a line for each result. Raises SmokeError.

    The run is that of the schedule's last tick, because few data sets can fetch another one. If it was
    fetched already, its existing results are followed.
    """
    run = Run.at(tick(contract.schedule, now or datetime.now(UTC)))
    ask(clients, contract)
    yield f"ingest   {contract.dataset} published, to be run {run.name}"
    claim = waiting.until(f"the claim of {run.name}", lambda: _claim(clients, contract, run))
    yield f"download {claim.outcome} {claim.reason or claim.source}"
    if claim.outcome is Outcome.REFUSED:
        raise SmokeError(f"{contract.dataset} {run.name} was refused: {claim.reason}")
    slots: set[str] = set()
    if claim.outcome is Outcome.ACCEPTED:
        record = waiting.until(f"the split of {run.name}", lambda: _record(clients, contract, run))
        yield f"split    {record.outcome} {record.reason or f'{len(record.parts)} parts'}"
        if record.outcome is not Outcome.ACCEPTED:
            raise SmokeError(f"{contract.dataset} {run.name} was refused: {record.reason}")
        slots = {part.slot for part in record.parts if not part.held}
    loaded = waiting.until(
        f"the ledger of {contract.dataset}", lambda: _loaded(clients, contract, run, slots)
    )
    yield f"ledger   {loaded} slots of {contract.dataset}"
    published = waiting.until(
        f"reports of {contract.system} on the present ledger", lambda: _reports(clients, contract)
    )
    yield f"reports  {published}"


def ask(clients: Clients, contract: Contract) -> None:
    """Publish the message that the schedule of a data set publishes."""
    attributes = {
        "dataset": contract.dataset,
        "system": contract.system,
        "kind": str(contract.kind),
    }
    data = json.dumps({"dataset": contract.dataset}).encode()
    clients.publish("ingest", data, attributes)


def _claim(clients: Clients, contract: Contract, run: Run) -> Claim | None:
    bucket = clients.storage.bucket(clients.settings.raw)
    body = gcs.read(bucket, object_names.claim(contract.dataset, run))
    return Claim.decode(body) if body else None


def _record(clients: Clients, contract: Contract, run: Run) -> SplitRecord | None:
    bucket = clients.storage.bucket(clients.settings.landing)
    body = gcs.read(bucket, object_names.split_record(contract.dataset, SplitKey(run)))
    return SplitRecord.decode(body) if body else None


def _loaded(clients: Clients, contract: Contract, run: Run, slots: set[str]) -> int | None:
    """Return the number of slots in the ledger once these are as new as the run; else None."""
    found = {
        slot: loaded.version.run
        for (dataset, slot), loaded in ledger.read(clients, contract.system).items()
        if dataset == contract.dataset
    }
    new = all(found.get(slot, "") >= run.name for slot in slots)
    return len(found) if found and new else None


_REPORTS = """\
SELECT
  r.outcome,
  r.error,
  CAST(r.data_as_of AS STRING) AS data_as_of
FROM ops.report_runs AS r
WHERE r.system = @system
  AND r.versions = (
    SELECT TO_HEX(SHA256(STRING_AGG(
      CONCAT(dataset, ' ', slot, ' ', version, ' ', manifest), '\\n' ORDER BY dataset, slot
    )))
    FROM ops.loads
    WHERE system = @system
  )
ORDER BY r.run_time DESC
LIMIT 1;
"""
"""The newest run of a system's scheduled query that read the present ledger."""


def _reports(clients: Clients, contract: Contract) -> str | None:
    """Return the result of the scheduled query on the present ledger; None before it ran."""
    rows = list(bigquery.query(clients, _REPORTS, [parameter("system", "STRING", contract.system)]))
    if not rows:
        return None
    if rows[0].outcome != "published":
        raise SmokeError(f"reports of {contract.system}: {rows[0].error}")
    return f"published, data as of {rows[0].data_as_of}"
