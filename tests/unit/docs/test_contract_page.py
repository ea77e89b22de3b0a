"""docs/contract.md lists every field of a contract as its struct has it, with shipped examples."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from catalog.contract import DATASETS, TYPES, load_all, model
from catalog.records import TableColumn
from docs.generate.contract_page import DOCUMENT, GUIDE, SECTIONS, Section, cut, document

ROOT = Path(__file__).parents[3]
TEXT = DOCUMENT.read_text(encoding="utf-8")
EXAMPLE = re.compile(r"\nExample, from `(.+?)`.*:\n\n```toml\n(.*?)```", re.DOTALL)
TOML = {
    "str": "string",
    "int": "integer",
    "float": "float",
    "bool": "boolean",
    "float | str": "float or string",
    "tuple[str, ...]": "array of strings",
    "tuple[tuple[str, ...], ...]": "array of arrays of strings",
    "dict[str, str]": "table of strings",
    "Kind": "string",
    "Unit": "string",
    "Times": "string",
}
"""Annotation of a field → TOML type."""

each_section = pytest.mark.parametrize("section", SECTIONS, ids=lambda each: each.heading)


def chapter(section: Section) -> str:
    """Return the text of the page on one section."""
    return TEXT.split(f"\n## {section.heading}\n")[1].split("\n## ")[0]


def rows(section: Section) -> dict[str, list[str]]:
    """Return field → type, allowed values, required, default and meaning, as the page has them."""
    lines = (line.strip("|") for line in chapter(section).splitlines() if line.startswith("| `"))
    cells = ([cell.strip() for cell in line.split(" | ")] for line in lines)
    return {name.strip("`"): rest for name, *rest in cells}


def expected_type(annotation: str) -> str:
    """Return the TOML type of an annotation of a struct."""
    present = annotation.removesuffix(" | None")
    if present.startswith("Literal["):
        return "string"
    entries = re.fullmatch(r"tuple\[([A-Z]\w+), \.\.\.\]", present)
    return TOML.get(present, "array of tables" if entries else "table")


def example(section: Section) -> tuple[Path, str]:
    """Return the file and the text of the one example of a section."""
    [(origin, text)] = EXAMPLE.findall(chapter(section))
    return ROOT / origin, text


def entries(section: Section, text: str) -> list[dict[str, Any]]:
    """Return the tables of a section that a piece of TOML holds."""
    found: Any = tomllib.loads(text)
    for name in section.path:
        found = found.get(name, found)
    return found if isinstance(found, list) else [found]


def test_the_page_is_that_of_the_contract() -> None:
    renew = "docs/contract.md is not that of catalog/contract/model.py: renew it by `.venv/bin/nox -s renew`"
    assert document() == TEXT, renew


def test_every_struct_has_a_section() -> None:
    structs = {
        each
        for each in vars(model).values()
        if isinstance(each, type) and issubclass(each, model._Strict) and each is not model._Strict
    }
    assert structs | {TableColumn} == {section.struct for section in SECTIONS}


@each_section
def test_every_field_has_a_meaning(section: Section) -> None:
    fields = [field.encode_name for field in msgspec.structs.fields(section.struct)]
    assert list(rows(section)) == fields
    assert [name for name, cells in rows(section).items() if len(cells) != 5 or not cells[-1]] == []


@each_section
def test_types_required_and_defaults_are_those_of_the_struct(section: Section) -> None:
    for field in msgspec.structs.fields(section.struct):
        kind, _, required, default, _ = rows(section)[field.encode_name]
        assert kind == expected_type(section.struct.__annotations__[field.name]), field.name
        assert required == ("yes" if field.required else "no"), field.name
        if field.required:
            assert default == ""
        elif field.default is None:
            assert default == "not set"
        else:
            factory = field.default_factory
            value = field.default if factory is msgspec.NODEFAULT else factory()
            assert json.loads(default.strip("`")) == json.loads(json.dumps(value)), field.name


@each_section
def test_the_allowed_values_are_those_that_the_struct_reads(section: Section) -> None:
    for name, (kind, allowed, *_) in rows(section).items():
        values = re.findall(r"`([^`]+)`", allowed)
        if kind != "string" or not values or allowed.startswith("matches"):
            continue
        annotation = section.struct.__annotations__[name]
        if annotation == "str":
            assert values in (list(TYPES), ["NULLABLE", "REQUIRED"])
            continue
        [field] = [f for f in msgspec.structs.fields(section.struct) if f.name == name]
        for value in values:
            msgspec.convert(value, field.type)
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert("no such value", field.type)


@each_section
def test_the_example_is_a_piece_of_a_shipped_contract(section: Section) -> None:
    origin, text = example(section)
    assert text in origin.read_text(encoding="utf-8")
    shipped = [path for path in DATASETS.glob("*.toml") if any(cut(path.read_text(), section))]
    assert origin in shipped if shipped else origin == GUIDE


@each_section
def test_the_example_is_read_by_its_struct(section: Section) -> None:
    _, text = example(section)
    for entry in entries(section, text):
        if section.struct is model.Contract:
            assert entry["dataset"] in load_all()
        else:
            msgspec.convert(entry, section.struct)


@pytest.mark.parametrize("kind", TYPES)
def test_every_column_type_is_listed(kind: str) -> None:
    assert f"\n| {kind} | " in TEXT
