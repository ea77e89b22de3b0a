"""Pages as files: every chart has its picture, and nothing on a page needs a function behind it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from catalog.contract import load_all
from functions.serve.pages.data import ReportFetcher
from functions.serve.pages.site import Pages
from local_cloud.cli import pictures
from tests.support.page_rows import DASHBOARDS, DEFINITIONS, NOW, Warehouse

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the repository's pages are written, over made-up rows."""
    source = ReportFetcher(DEFINITIONS, Warehouse().table, lambda: NOW)
    links = pictures._DiskLinks(DASHBOARDS)
    folder = tmp_path_factory.mktemp("pages")
    pictures._written(Pages(DASHBOARDS, source, load_all(), links), folder)
    return folder


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_chart_is_a_picture(folder: Path, name: str) -> None:
    pictures = {path.name for path in folder.glob("*.png") if path.read_bytes().startswith(PNG)}
    assert {f"{name}_{chart.name}.png" for chart in DASHBOARDS[name].page.charts} <= pictures


@pytest.mark.parametrize("name", ["index", *DASHBOARDS])
def test_a_page_leads_to_files_that_are_there(folder: Path, name: str) -> None:
    text = (folder / f"{name}.html").read_text(encoding="utf-8")
    files = re.findall(r'(?:src|href)="(?!#|https://)([^"]+)"', text)
    assert files
    assert [file for file in files if not (folder / file).is_file()] == []
    assert "<form" not in text


def test_a_chart_of_one_station_is_that_of_a_station_it_names(folder: Path) -> None:
    text = (folder / "velib.html").read_text(encoding="utf-8")
    assert "A station&#39;s week: station 0" in text
    assert "Nothing is chosen" not in text


@pytest.mark.parametrize("name", DASHBOARDS)
def test_nobody_is_asked_to_choose_where_there_is_no_form(folder: Path, name: str) -> None:
    text = (folder / f"{name}.html").read_text(encoding="utf-8")
    assert re.findall(r"[^.>]*\bchoose\b[^.<]*", text, re.IGNORECASE) == []
    assert text.count("its filters work where <code>serve</code> answers") == 1


def test_a_chart_without_rows_for_any_choice_says_so(tmp_path: Path) -> None:
    source = ReportFetcher(DEFINITIONS, Warehouse(empty=["velib_station_week"]).table, lambda: NOW)
    links = pictures._DiskLinks(DASHBOARDS)
    only = {"velib": DASHBOARDS["velib"]}
    pictures._written(Pages(only, source, load_all(), links), tmp_path)
    text = (tmp_path / "velib.html").read_text(encoding="utf-8")
    assert "No rows for the first 9 choices of station." in text
    assert "hoose a station" not in text
