"""Declarations of reports: what is refused, and what a script is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.contract import load_all
from catalog.reports import ReportError, Script, load_reports, script

BQ_SQL = Path(__file__).parents[3] / "bq_sql"
SYSTEMS = sorted(path.parent.name for path in BQ_SQL.glob("*/tables"))

DECLARED = """\
title = "Toys"
description = "Toys by day."
grain = "one row per day"
key = ["day"]
datasets = ["toys"]
default_date = "day"
filters = ["kind"]
order = ["day DESC"]
columns = [
    { name = "day", type = "DATE", description = "The maker's day" },
    { name = "kind", type = "STRING", description = "Kind" },
    { name = "sample_size", type = "INT64", description = "Rows", unit = "toys", required = true },
]
"""
SELECT = """\
-- one row per day; nothing of lake.other
SELECT slot_start AS day, 'a;b' AS kind, COUNT(*) AS sample_size
FROM lake.toys
WHERE slot_start >= DATE '2020-01-01'
GROUP BY day;
"""


def folder(tmp_path: Path, declared: str = DECLARED, select: str = SELECT) -> Path:
    """A system's folder with one report and one check."""
    for name in ("tables", "checks"):
        (tmp_path / name).mkdir()
    (tmp_path / "tables" / "toys.toml").write_text(declared, encoding="utf-8")
    (tmp_path / "tables" / "toys.sql").write_text(select, encoding="utf-8")
    check = "-- ASSERT nothing here\nASSERT TRUE AS 'one';\nASSERT 1 = 1 AS 'ASSERT two';\n"
    (tmp_path / "checks" / "sums.sql").write_text(check, encoding="utf-8")
    return tmp_path


def test_a_script_builds_checks_and_publishes(tmp_path: Path) -> None:
    made = script("toy", folder(tmp_path))
    assert made.checks == 4
    build, checks, publish = (
        made.text.index(piece)
        for piece in (
            "CREATE TEMP TABLE toys",
            "ASSERT TRUE",
            "CREATE OR REPLACE TABLE reports.toys",
        )
    )
    assert build < checks < publish
    assert "PARTITION BY DATE_TRUNC(day, MONTH)" in made.text
    assert "day DATE NOT NULL OPTIONS (description = 'The maker\\'s day')" in made.text
    assert made.hash in made.text
    assert "$" not in made.text
    assert [column.name for column in made.reports[0].columns][-2:] == ["data_as_of", "origin"]


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("tables/toys.sql", "COUNT(*)", "COUNT(1)"),
        ("tables/toys.toml", "Kind", "Sort"),
        ("checks/sums.sql", "1 = 1", "2 = 2"),
    ],
)
def test_what_changes_the_script_changes_its_hash(
    tmp_path: Path, path: str, old: str, new: str
) -> None:
    place = folder(tmp_path)
    before = script("toy", place)
    assert script("toy", place) == before
    (place / path).write_text((place / path).read_text().replace(old, new), encoding="utf-8")
    assert script("toy", place).hash != before.hash


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "kind"', 'name = "day"', "column 'day' is declared twice"),
        ('name = "kind"', 'name = "origin"', "column 'origin' is declared twice"),
        ('type = "STRING"', 'type = "TEXT"', "column kind: type 'TEXT' is not one of STRING"),
        ('key = ["day"]', 'key = ["dya"]', "'dya' is not a column"),
        ('key = ["day"]', "key = []", "key and datasets must name something"),
        ('filters = ["kind"]', 'filters = ["sort"]', "'sort' is not a column"),
        ('order = ["day DESC"]', 'order = ["when DESC"]', "'when' is not a column"),
        ('default_date = "day"', 'default_date = "kind"', "'kind' is not a column of type DATE"),
        ('name = "sample_size"', 'name = "rows"', "column sample_size is missing"),
        ("grain", "grian", "unknown field `grian`|missing required field `grain`"),
        ('title = "Toys"', "title = Toys", "toys.toml"),
    ],
)
def test_a_faulty_declaration_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in DECLARED
    with pytest.raises(ReportError, match=message):
        load_reports(folder(tmp_path, DECLARED.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("WHERE slot_start >= DATE '2020-01-01'\n", "", "needs a predicate on slot_start"),
        ("FROM lake.toys", "FROM lake.toys JOIN `lake.other`", "needs a predicate on slot_start"),
        ("WHERE", "-- slot_start = x\nWHERE NOT", None),
        ("SELECT", "DELETE", "must be one SELECT"),
        ("GROUP BY day", "GROUP BY day; SELECT 1", "must be one SELECT"),
    ],
)
def test_a_faulty_select_is_refused(
    tmp_path: Path, old: str, new: str, message: str | None
) -> None:
    assert old in SELECT
    place = folder(tmp_path, select=SELECT.replace(old, new, 1))
    if message is None:
        assert load_reports(place)
        return
    with pytest.raises(ReportError, match=message):
        load_reports(place)


def test_files_that_lack_their_other_half_are_named(tmp_path: Path) -> None:
    place = folder(tmp_path)
    (place / "tables" / "toys.toml").unlink()
    with pytest.raises(ReportError, match=r"tables/toys.toml is missing"):
        load_reports(place)
    (place / "tables" / "toys.sql").unlink()
    with pytest.raises(ReportError, match="no report"):
        load_reports(place)


def test_reports_are_made_in_the_order_of_the_system(tmp_path: Path) -> None:
    place = folder(tmp_path)
    for kind in ("sql", "toml"):
        text = (place / "tables" / f"toys.{kind}").read_text(encoding="utf-8")
        (place / "tables" / f"after.{kind}").write_text(text, encoding="utf-8")
    assert [report.name for report in load_reports(place)] == ["after", "toys"]
    (place / "system.toml").write_text('order = ["toys", "after"]', encoding="utf-8")
    assert [report.name for report in load_reports(place)] == ["toys", "after"]
    (place / "system.toml").write_text('order = ["toys"]', encoding="utf-8")
    with pytest.raises(ReportError, match="order must name each report once: after, toys"):
        load_reports(place)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_names_data_sets_of_its_own(system: str) -> None:
    made: Script = script(system, BQ_SQL / system)
    known = {name for name, contract in load_all().items() if contract.system == system}
    for report in made.reports:
        assert known.issuperset((*report.declared.datasets, *report.declared.joined))
