"""A column may be added to the lake, never lost: refused before anything is changed."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from catalog.contract import load_all
from infra_pulumi.config import ConfigError
from infra_pulumi.lake_schema import refuse_loss, schemas
from tests.support.stacks import register
from tests.unit.infra_pulumi.conftest import DEMO

BEFORE = {"rides": {"slot_start": "DATE REQUIRED", "fare": "INT64 NULLABLE"}}

REFUSED: dict[str, tuple[Any, str]] = {
    "a column is gone": (
        {"rides": {"slot_start": "DATE REQUIRED"}},
        "lake.rides: column fare (INT64 NULLABLE) is gone",
    ),
    "a column has another type": (
        {"rides": {**BEFORE["rides"], "fare": "FLOAT64 NULLABLE"}},
        "column fare was INT64 NULLABLE and is now FLOAT64 NULLABLE",
    ),
    "a column is required of old rows": (
        {"rides": {**BEFORE["rides"], "fare": "INT64 REQUIRED"}},
        "is now INT64 REQUIRED",
    ),
    "a new column is required": (
        {"rides": {**BEFORE["rides"], "tip": "INT64 REQUIRED"}},
        "new column tip must be NULLABLE",
    ),
    "a table is gone": ({}, "lake.rides is in no contract any more"),
}

TAKEN: dict[str, Any] = {
    "nothing changed": BEFORE,
    "a column is added": {"rides": {**BEFORE["rides"], "tip": "INT64 NULLABLE"}},
    "a column may be empty now": {"rides": {**BEFORE["rides"], "slot_start": "DATE NULLABLE"}},
    "a table is added": {**BEFORE, "taps": {"slot_start": "DATE REQUIRED"}},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_loss_is_refused_with_the_way_out(case: str) -> None:
    now, said = REFUSED[case]
    with pytest.raises(ConfigError) as raised:
        refuse_loss(BEFORE, now)
    assert said in str(raised.value)
    assert "declare a new one next to it" in str(raised.value)
    refuse_loss(BEFORE, now, rebuilt=["lake.rides"])


@pytest.mark.parametrize("case", TAKEN)
def test_what_loses_nothing_is_taken(case: str) -> None:
    refuse_loss(BEFORE, TAKEN[case])
    refuse_loss({}, TAKEN[case])


def test_the_program_compares_with_its_own_last_outputs() -> None:
    now = schemas(t for c in load_all().values() for t in c.lake_tables())
    tables = {
        r.name for r in register(DEMO, before={"lake": now}).resources if r.type.endswith(":Table")
    }
    assert {f"lake.{name}" for name in now} <= tables

    table = next(iter(now))
    before = copy.deepcopy(now)
    before[table]["gone"] = "STRING NULLABLE"
    with pytest.raises(ConfigError, match=rf"lake\.{table}: column gone"):
        register(DEMO, before={"lake": before})
    allowed = {"citypulse:disposable": "true", "citypulse:rebuilt": f'["lake.{table}"]'}
    assert register(DEMO | allowed, before={"lake": before}).resources
