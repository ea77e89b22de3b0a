"""What a recorded batch does with rows that it has no recording of."""

from __future__ import annotations

from tests.support.crash_list import RENEW
from tests.support.house import APRIL, MAY, SLOTS, House, export


def test_rows_without_a_recording_fail_the_batch(house: House) -> None:
    house.fetch(export(APRIL, MAY.partition(b"\r\n")[2]))
    (batch,) = house.cloud.dataproc.batches()
    assert batch.state.name == "FAILED"
    assert f"slot {SLOTS[1]}: no recording of its content " in batch.state_message
    assert RENEW in batch.state_message
    assert house.ledger() == {}
