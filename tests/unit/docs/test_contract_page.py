"""docs/contract.md has every facet of a contract, each with a meaning, and every type."""

from __future__ import annotations

import msgspec
import pytest

from catalog.contract import TYPES, model
from docs.generate.contract_page import DOCUMENT, PLACES, document

TEXT = DOCUMENT.read_text(encoding="utf-8")


def test_the_document_is_that_of_the_contract() -> None:
    told = "docs/contract.md is not that of catalog/contract/model.py: renew it by `.venv/bin/nox -s renew`"
    assert document() == TEXT, told


@pytest.mark.parametrize("name", PLACES)
def test_every_facet_has_a_meaning(name: str) -> None:
    fields = [field.name for field in msgspec.structs.fields(getattr(model, name))]
    section = TEXT.split(f"\n## {PLACES[name][0].upper()}{PLACES[name][1:]}\n")[1].split("\n## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    assert [row[0].strip("|` ") for row in rows] == fields
    assert [row[0] for row in rows if not row[-1].strip("| ")] == []


def test_no_struct_is_left_out() -> None:
    made = {
        name
        for name, each in vars(model).items()
        if isinstance(each, type) and issubclass(each, model._Strict)
    }
    assert made - {"_Strict", "TableColumn"} == set(PLACES)


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_is_told(kind: str) -> None:
    assert f"\n| {kind} | " in TEXT
