"""A run in slices: which slice comes next, and when one that cannot be read is passed over.

A slice is a run of one slot. Its claim says which slice is to follow, and whoever made the claim
asks for that one; so a run of a sliced data set goes from its first slot to that of its time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from google.cloud.storage import Bucket

from catalog import names
from catalog.contract import Contract
from catalog.runs import Run
from functions import store
from functions.clients import Clients

TRIES = 3
"""After how many failures of a slice the next one is asked for; its own message goes on trying."""


def following(contract: Contract, run: Run) -> str | None:
    """The slot of the slice after that of `run`; None after the last, and where there are none."""
    if contract.source.slices is None or run.asked is None:
        return None
    after = contract.calendar.shift(run.asked, 1)
    return after if contract.calendar.start(after) <= run.time else None


def request(contract: Contract, run: Run, slot: str) -> tuple[bytes, dict[str, str]]:
    """The data and attributes of the message that asks for a slice and for those after it."""
    body = {
        "dataset": contract.dataset,
        "run": Run.at(run.time).name,
        "slot": slot,
        "onward": True,
    }
    attributes = {
        "dataset": contract.dataset,
        "system": contract.system,
        "kind": str(contract.kind),
    }
    return json.dumps(body).encode(), attributes


def ask(clients: Clients, contract: Contract, run: Run, slot: str) -> None:
    """Ask for the slice of `slot` in the run that `run` is a slice of."""
    data, attributes = request(contract, run, slot)
    clients.publish("ingest", data, attributes)


def failed(clients: Clients, raw: Bucket, contract: Contract, run: Run, told: str) -> None:
    """Note that a slice failed; at the third time ask for the one after it.

    Asked first and noted then: a crash between the two asks once more, which repeats no claim.
    """
    number = len(list(store.names(raw, names.failed_slices(contract.dataset, run)))) + 1
    after = following(contract, run)
    if number > TRIES:
        return
    if number == TRIES and after:
        ask(clients, contract, run, after)
    name = names.failed_slice(contract.dataset, run, number)
    store.create(raw, name, told.encode(), "text/plain")


def unasked(
    contract: Contract, claimed: set[Run], failures: dict[Run, int]
) -> Iterator[tuple[Run, str]]:
    """The slices that nobody may be at work on: (the newest claim before it, its slot).

    Of each run the first slice after its oldest claimed one that has neither a claim nor a failure;
    one that failed is in the hands of its own message, one that was passed over is like a claimed.
    Whether the claim before it says that one is to follow, its reader must see.
    """
    oldest: dict[str, Run] = {}
    for run in sorted(claimed):
        oldest.setdefault(Run.at(run.time).name, run)
    for run in oldest.values():
        claim, slot = run, following(contract, run)
        while slot is not None:
            found = Run.at(run.time, slot)
            if found not in claimed and failures.get(found, 0) < TRIES:
                break
            claim = found if found in claimed else claim
            slot = following(contract, found)
        if slot is not None and not failures.get(Run.at(run.time, slot)):
            yield claim, slot
