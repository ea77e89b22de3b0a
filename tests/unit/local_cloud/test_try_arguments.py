"""Calls of `try` that are wrong end with 2 and say why."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_cloud.__main__ import main
from local_cloud.cloud import REPOSITORY

NEW = REPOSITORY / "tests" / "data" / "wifi" / "sites_2023-05_simonejw.geojson"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", str(NEW)], "'nowhere' is no data set; there are: french_holidays"),
        (["paris_wifi_sites", "no-such.json"], "no-such.json: no such file"),
        (["paris_wifi_sites", f"{NEW}+gone.json"], "gone.json: no such file"),
        (["paris_wifi_sites", f"{NEW}@someday"], "no such file; give FILE, A+B or FILE@2017-05-31"),
        (["paris_wifi_sites"], "the following arguments are required: FILE"),
    ],
)
def test_a_call_that_is_wrong_ends_with_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _code(["try", *arguments]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert said in found.err


def test_a_root_that_is_no_folder_of_data_sets_adds_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _code(["try", "harbour_gauges", str(NEW), "--root", str(tmp_path)]) == 2
    assert "no data set" in capsys.readouterr().err


def _code(arguments: list[str]) -> int:
    """The exit code of a call, argparse's own among them."""
    try:
        return main(arguments)
    except SystemExit as ended:
        return int(ended.code or 0)
