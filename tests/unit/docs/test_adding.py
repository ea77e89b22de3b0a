"""What the page on adding a data set tells to put into a contract is one."""

from __future__ import annotations

import re
from pathlib import Path

from catalog.contract import DATASETS, Times, load
from catalog.reports import load_reports

PAGE = Path(__file__).parents[3] / "docs" / "adding-a-data-set.md"
WHOLE = re.compile(r"\[\[source\.fetch\]\]\n(?:.+\n)+")


def block(language: str, having: str) -> str:
    """The page's one block of a language that has a text in it."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    [found] = [each for each in blocks if having in each]
    return str(found)


def test_the_trees_are_a_data_set(tmp_path: Path) -> None:
    """Contract, transform and report of the page, as they stand there."""
    contract = tmp_path / "lyon_trees.toml"
    contract.write_text(block("toml", 'dataset = "lyon_trees"'), encoding="utf-8")
    compile(block("python", "batch.run"), "lyon_green.py", "exec")
    tables = tmp_path / load(contract).system / "tables"
    tables.mkdir(parents=True)
    (tables / "trees_by_month.sql").write_text(block("sql", "lake.lyon_trees"), encoding="utf-8")
    told = block("toml", 'title = "Lyon: trees by month"')
    (tables / "trees_by_month.toml").write_text(told, encoding="utf-8")
    [report] = load_reports(tables.parent)
    assert set(report.declared.datasets) == {load(contract).dataset}


def test_the_sessions_in_slices(tmp_path: Path) -> None:
    """The page's fragment in place of the contract's one source."""
    fragment = block("toml", "opendata.paris.fr")
    shipped = (DATASETS / "paris_wifi_usage.toml").read_text(encoding="utf-8")
    made, changes = WHOLE.subn(lambda _: fragment, shipped)
    path = tmp_path / "paris_wifi_usage.toml"
    path.write_text(made, encoding="utf-8")
    contract = load(path)
    assert changes == 1
    assert contract.source.slices is not None
    assert (contract.source.slices.first, contract.source.slices.times) == ("2019-01", Times.UTC)
    [source] = contract.source.fetch
    [url] = source.urls
    address = contract.address(url, "2024-07")
    assert "where=datetime%20%3E%3D%20date'2024-06-30T22:00:00Z'%20and" in address
    assert "date'2024-07-31T22:00:00Z'" in address
    [start] = [column for column in contract.columns if column.name == contract.time_column]
    assert "datetime" in start.aliases
