"""A slot whose newest run has no good row: Spark writes no file for it, and the lake loses its rows."""

from __future__ import annotations

import msgspec
import pytest

from catalog.contract import load_all
from functions.split import step as split
from tests.support.house import APRIL, MAY, USAGE, House, export


def test_a_slot_becomes_empty(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    contract = load_all()[USAGE]
    lenient = msgspec.structs.replace(
        contract, bounds=msgspec.structs.replace(contract.bounds, rejected_share=1.0)
    )
    monkeypatch.setattr(split, "contract_of", {USAGE: lenient}.__getitem__)
    house.fetch(export(APRIL, MAY))
    bad = b"".join(
        b";".join([*line.split(b";")[:11], b"much", *line.split(b";")[12:]]) + b"\r\n"
        for line in APRIL.splitlines()
    )
    house.fetch(export(bad))
    april = house.ledger()["2024-04"]
    assert (april["rows_in"], april["rows_out"], april["rejected"]) == (10, 0, 10)
    assert {slot for slot, _ in house.sessions()} == {"2024-05"}
    assert len(house.sessions()) == 10
