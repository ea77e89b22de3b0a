"""The page that docs/adding-a-page.md shows is one."""

from __future__ import annotations

import re
from pathlib import Path

from catalog.pages import load_page
from docs.generate.data_studio import declarations
from tests.unit.docs.test_docs import REPOSITORY

TEXT = (REPOSITORY / "docs" / "adding-a-page.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The only block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return str(found)


def test_the_example_is_a_page(tmp_path: Path) -> None:
    (tmp_path / "bikes").mkdir()
    (tmp_path / "bikes" / "neighbourhoods.vl.json").write_text(block("json"), encoding="utf-8")
    (tmp_path / "bikes.toml").write_text(block("toml"), encoding="utf-8")
    assert load_page(tmp_path / "bikes.toml", declarations()).page.title == "Vélib' at a glance"


def test_what_is_commented_out_is_taken_too(tmp_path: Path) -> None:
    (tmp_path / "bikes").mkdir()
    (tmp_path / "bikes" / "neighbourhoods.vl.json").write_text(block("json"), encoding="utf-8")
    whole = re.sub(r"^# (first|named)", r"\1", block("toml"), flags=re.MULTILINE)
    whole = whole.replace('named = "name"', 'named = "neighbourhood"')
    (tmp_path / "bikes.toml").write_text(whole, encoding="utf-8")
    assert load_page(tmp_path / "bikes.toml", declarations()).page.filters[0].first
