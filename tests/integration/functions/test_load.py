"""Load and swap on a real engine: what is newer stands, once, whatever the order of events."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, GoogleAPICallError

from catalog import object_names
from catalog.records import Counts
from functions.core import bigquery, ledger
from functions.core.errors import PermanentError
from functions.load import swap
from functions.load.step import run as load_run
from functions.seal.slot_contents import contents
from local_cloud.gateway.calls import Call
from local_cloud.gateway.proxy import Intervention, Phase
from tests.support.endpoint_clients import EndpointClients
from tests.support.step_cloud import NOW, Toy, event_of, outcomes

A, B, C = "20250601T021000Z", "20250602T021000Z", "20250603T021000Z"
MAY = "2024-05"


def test_rows_and_ledger_after_a_load(tabled: Toy) -> None:
    tabled.split(
        tabled.full, A, {MAY: [("a", 1), ("b", 2)], "2024-06": [("c", 3)]}, rejected={"x": 1}
    )
    receipt = tabled.job(tabled.sealed())
    assert outcomes(tabled.load(receipt)) == [(MAY, "loaded"), ("2024-06", "loaded")]
    assert tabled.rows(tabled.full) == [("a", 1), ("b", 2), ("c", 3)]
    row = tabled.ledger()[tabled.full.dataset, MAY]
    assert (row.rows_in, row.rows_out, row.rejected, row.rejects) == (3, 2, 1, '{"x":1}')
    assert (row.run, row.origin, row.slot_start) == (A, "publisher", "2024-05-01")
    assert outcomes(tabled.load(receipt)) == [(MAY, "loaded"), ("2024-06", "loaded")]
    assert len(tabled.rows(tabled.full)) == 3


def test_content_that_returns_is_the_newest(tabled: Toy) -> None:
    for run, value in ((A, 1), (B, 2), (C, 1)):
        tabled.split(tabled.full, run, {MAY: [("a", value)]})
        tabled.through()
        assert tabled.rows(tabled.full) == [("a", value)]
        assert tabled.version(tabled.full, MAY).startswith(run)


def test_content_in_flight_when_the_old_one_returns(tabled: Toy) -> None:
    tabled.split(tabled.full, A, {MAY: [("a", 1)]})
    tabled.through()
    tabled.split(tabled.full, B, {MAY: [("a", 2)]})
    in_flight = tabled.job(tabled.sealed())
    tabled.split(tabled.full, C, {MAY: [("a", 1)]})
    assert outcomes(tabled.seal()) == [(MAY, "unchanged")]
    assert tabled.version(tabled.full, MAY).startswith(C)
    assert outcomes(tabled.load(in_flight)) == [(MAY, "stale")]
    assert tabled.rows(tabled.full) == [("a", 1)]


def test_content_that_returned_after_another_was_loaded_is_loaded(
    tabled: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B is swapped in between seal's reading of the ledger and its raising of the version."""
    tabled.split(tabled.full, A, {MAY: [("a", 1)]})
    tabled.through()
    tabled.split(tabled.full, B, {MAY: [("a", 2)]})
    in_flight = tabled.job(tabled.sealed())
    tabled.split(tabled.full, C, {MAY: [("a", 1)]})

    def late(*given: Any) -> Any:
        tabled.load(in_flight)
        return contents(*given)

    monkeypatch.setattr("functions.seal.slot_contents.contents", late)
    tabled.load(tabled.job(tabled.sealed()))
    assert tabled.rows(tabled.full) == [("a", 1)]
    assert tabled.version(tabled.full, MAY).startswith(C)


def test_an_older_receipt_after_a_newer(tabled: Toy) -> None:
    tabled.split(tabled.full, A, {MAY: [("a", 1)], "2024-06": [("j", 1)]})
    older = tabled.job(tabled.sealed())
    tabled.split(tabled.full, B, {MAY: [("a", 2)]})
    newer = tabled.job(tabled.sealed())
    tabled.load(newer)
    assert outcomes(tabled.load(older)) == [(MAY, "stale"), ("2024-06", "loaded")]
    assert outcomes(tabled.load(older)) == [(MAY, "stale"), ("2024-06", "loaded")]
    assert tabled.rows(tabled.full) == [("a", 2), ("j", 1)]


def test_a_slot_that_becomes_empty(tabled: Toy) -> None:
    tabled.split(tabled.full, A, {MAY: [("a", 1)], "2024-06": [("j", 1)]})
    tabled.through()
    tabled.split(tabled.full, B, {MAY: []}, rejected={"bad": 1})
    tabled.through()
    assert tabled.rows(tabled.full) == [("j", 1)]
    row = tabled.ledger()[tabled.full.dataset, MAY]
    assert (row.rows_in, row.rows_out, row.rejected) == (1, 0, 1)


def test_a_snapshot_grows_by_runs(tabled: Toy) -> None:
    slot, late = "2025-06-01T02", {"at": NOW}
    tabled.split(tabled.ticks, "20250601T021000Z", {slot: [("a", 1)]})
    tabled.through(**late)
    tabled.split(tabled.ticks, "20250601T020000Z", {slot: [("a", 0)]})
    tabled.through(**late)
    assert tabled.rows(tabled.ticks) == [("a", 0), ("a", 1)]
    assert tabled.version(tabled.ticks, slot) == f"20250601T021000Z {2:06d} {0:014d}"


def test_a_load_that_dies_between_staging_and_swap(
    tabled: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    tabled.split(tabled.full, A, {MAY: [("a", 1)]})
    receipt = tabled.job(tabled.sealed())
    with monkeypatch.context() as broken:
        broken.setattr("functions.load.step.swap", _die)
        with pytest.raises(ConnectionError):
            tabled.load(receipt)
    assert tabled.rows(tabled.full) == []
    assert outcomes(tabled.load(receipt)) == [(MAY, "loaded")]
    assert tabled.rows(tabled.full) == [("a", 1)]


def test_a_reply_lost_after_the_commit(tabled: Toy) -> None:
    tabled.split(tabled.full, A, {MAY: [("a", 1)]})
    receipt = tabled.job(tabled.sealed())

    def lose(call: Call, phase: Phase) -> Intervention:
        swapping = b"CREATE TEMP TABLE fresh" in call.body_start
        return Intervention.REFUSE if swapping and phase is Phase.AFTER else Intervention.PASS

    tabled.servers.gate.intercept = lose
    with pytest.raises(GoogleAPICallError):
        tabled.load(receipt)
    tabled.servers.gate.intercept = None
    _until_done(tabled, receipt)
    assert tabled.rows(tabled.full) == [("a", 1)]


def test_two_first_loads_at_once(tabled: Toy) -> None:
    tabled.split(tabled.full, A, {MAY: [("a", 1)]})
    older = tabled.job(tabled.sealed())
    tabled.split(tabled.full, B, {MAY: [("a", 2)], "2024-06": [("j", 1)]})
    newer = tabled.job(tabled.sealed())
    with ThreadPoolExecutor(4) as pool:
        for receipt in (older, newer, newer, older):
            pool.submit(_until_done, tabled, receipt)
    assert tabled.rows(tabled.full) == [("a", 2), ("j", 1)]
    assert len(tabled.ledger()) == 2


def test_a_failed_load_job_is_made_again(tabled: Toy) -> None:
    tabled.split(tabled.full, A, {MAY: [("a", 1)]})
    receipt = tabled.job(tabled.sealed())
    files = list(tabled.lake.list_blobs(prefix=tabled.full.base.name))
    kept = {blob.name: blob.download_as_bytes() for blob in files}
    tabled.lake.delete_blobs(files)
    for _ in range(2):
        with pytest.raises(GoogleAPICallError):
            tabled.load(receipt)
    for name, body in kept.items():
        tabled.lake.blob(name).upload_from_string(body, "application/octet-stream")
    tabled.load(receipt)
    assert tabled.rows(tabled.full) == [("a", 1)]


def test_staging_that_expired_is_loaded_again(tabled: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    tabled.split(tabled.full, A, {MAY: [("a", 1)]})
    manifest = tabled.sealed()
    receipt = tabled.job(manifest)
    with monkeypatch.context() as broken:
        broken.setattr("functions.load.step.swap", _die)
        with pytest.raises(ConnectionError):
            tabled.load(receipt)
    staging = object_names.staging_table(
        tabled.full.base.name, object_names.system_and_id(manifest)[1]
    )
    tabled.servers.warehouse.delete_table(f"demo.staging.{staging}")
    tabled.load(receipt)
    assert tabled.rows(tabled.full) == [("a", 1)]


def test_counts_that_do_not_reconcile_change_nothing(tabled: Toy) -> None:
    tabled.split(tabled.full, A, {MAY: [("a", 1)]})
    receipt = tabled.job(tabled.sealed(), broken=1)
    with pytest.raises(PermanentError, match="read 2 rows where the parts hold 1"):
        tabled.load(receipt)
    assert tabled.rows(tabled.full) == []
    assert tabled.ledger() == {}


@pytest.mark.parametrize("name", ["receipts/toy/none.json", "receipts", "runs/x/y.json", ""])
def test_what_is_no_receipt_is_permanent(toy: Toy, name: str) -> None:
    with pytest.raises(PermanentError):
        list(load_run(event_of(name), toy.clients, toy.settings))


def test_every_statement_on_the_lake_has_a_slot_start_predicate(tabled: Toy) -> None:
    tabled.split(tabled.full, A, {MAY: [("a", 1)]})
    manifest = tabled.manifest(tabled.sealed())
    receipt_counts = [_counts(each) for each in manifest.slots]
    staged = frozenset(table.name for table in manifest.tables)
    script = swap.swap_script(manifest, receipt_counts, staged, NOW)
    on_lake = [s for s in script.sql.split(";") if "lake." in s]
    assert len(on_lake) == 2 * len(manifest.tables)
    assert all("WHERE slot_start BETWEEN" in statement for statement in on_lake)


def test_a_name_that_is_no_identifier_is_refused() -> None:
    with pytest.raises(PermanentError):
        bigquery.identifier("facts; DROP TABLE x")


def test_without_the_lock_nothing_is_swapped(tabled: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    tabled.split(tabled.full, A, {MAY: [("a", 1)]})
    receipt = tabled.job(tabled.sealed())
    monkeypatch.setattr(ledger, "LOCK", ledger.LOCK.replace("@system;", "'nobody';"))
    with pytest.raises(BadRequest, match=r"ops\.lock has no row"):
        tabled.load(receipt)
    assert (tabled.rows(tabled.full), tabled.ledger()) == ([], {})
    monkeypatch.undo()
    tabled.load(receipt)
    assert tabled.rows(tabled.full) == [("a", 1)]


def _until_done(toy: Toy, receipt: str) -> None:
    """Load a receipt as a redelivering subscription does: again while it raises."""
    clients = EndpointClients(toy.settings, toy.servers.gate.url)
    for _ in range(20):
        try:
            list(load_run(event_of(receipt), clients, toy.settings))
        except BadRequest:
            continue
        return


def _die(*_: Any) -> None:
    raise ConnectionError("the instance is gone")


def _counts(slot: Any) -> Any:
    return Counts(dataset=slot.dataset, slot=slot.slot, rows_in=1, rows_out=1)
