"""Pages and reports of further roots: found where those of the repository are, and checked before a run."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from catalog.contract import ContractError
from catalog.pages import PageError
from catalog.reports import ReportError
from local_cloud import __main__ as command
from local_cloud.cli.declarations import read_declarations
from local_cloud.cloud import REPOSITORY

TOY = REPOSITORY / "tests" / "system" / "toy"
PAGE = TOY / "dashboards" / "harbour.toml"
GAUGES = TOY / "catalog" / "datasets" / "harbour_gauges.toml"
TIDE = TOY / "bq_sql" / "harbour" / "tables" / "tide_by_hour.toml"


def test_pages_reports_and_contracts_of_all_roots_stand_together() -> None:
    alone, both = read_declarations([REPOSITORY]), read_declarations([REPOSITORY, TOY, TOY])
    assert set(both.pages) - set(alone.pages) == {"harbour"}
    assert set(both.reports) - set(alone.reports) == {"tide_by_hour"}
    assert set(both.contracts) - set(alone.contracts) == {"harbour_gauges"}
    assert set(both.pages["harbour"].drawings) == {"tide"}


def test_a_page_of_one_root_shows_the_reports_of_another(tmp_path: Path) -> None:
    _copied(PAGE, tmp_path / "dashboards" / "gauges.toml")
    shutil.copytree(PAGE.with_suffix(""), tmp_path / "dashboards" / "gauges")
    for order in ([TOY, tmp_path], [tmp_path, TOY]):
        assert "gauges" in read_declarations([REPOSITORY, *order]).pages


@pytest.mark.parametrize(
    ("source", "place", "error", "said"),
    [
        (GAUGES, "catalog/datasets", ContractError, "data set harbour_gauges"),
        (TIDE, "bq_sql/port/tables", ReportError, "report tide_by_hour"),
        (PAGE, "dashboards", PageError, "page harbour"),
    ],
)
def test_what_two_roots_have_is_named(
    tmp_path: Path, source: Path, place: str, error: type[Exception], said: str
) -> None:
    _copied(source, tmp_path / place / source.name)
    shutil.copytree(PAGE.with_suffix(""), tmp_path / "dashboards" / "harbour")
    with pytest.raises(
        error, match=f"{said} is declared in two roots: rename the one in {tmp_path}"
    ):
        read_declarations([REPOSITORY, TOY, tmp_path])


def test_a_page_that_names_no_report_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _copied(PAGE, tmp_path / "dashboards" / "harbour.toml")
    monkeypatch.setattr(command, "LocalCloud", None)
    assert command.main(["try", "velib_stations", __file__, "--root", str(tmp_path)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "harbour.toml: filter 'Gauge': 'tide_by_hour' is no report: " in output.err


def test_pages_that_cannot_lie_where_they_are_wanted_are_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "LocalCloud", None)
    assert command.main(["try", "velib_stations", __file__, "--pages", __file__]) == 2
    assert f"--pages {__file__}: File exists; give a folder" in capsys.readouterr().err


def test_the_document_is_told_before_pages_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"files": [], "failures": [], "tables": {}, "queries": []}
    running = SimpleNamespace(
        bigquery=None,
        clock=SimpleNamespace(now=lambda: None),
        pubsub=SimpleNamespace(on_publish=lambda *_: None),
    )

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(command, "LocalCloud", lambda **_: nullcontext(running))
    monkeypatch.setattr(command.trial, "try_files", lambda *_: said)
    monkeypatch.setattr(command, "write_pages", full)
    with pytest.raises(OSError, match="no space"):
        command.main(["try", "velib_stations", __file__, "--pages", str(tmp_path)])
    assert json.loads(capsys.readouterr().out) == said


def _copied(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
