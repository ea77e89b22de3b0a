"""What a stack gives out for `nox -s smoke`, and what is said where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.contract import load_all
from smoke import outputs
from smoke.__main__ import followed, smallest

STREAM = Path(__file__).parents[2] / "system" / "toy_stream" / "catalog" / "datasets"


def test_the_outputs_name_the_project_its_region_and_buckets() -> None:
    made = outputs.decoded("dev", '{"project": "p-1", "region": "europe-west1", "lake": {}}')
    settings = made.settings()
    assert (settings.project, settings.region) == ("p-1", "europe-west1")
    assert (settings.raw, settings.lake) == ("p-1-raw", "p-1-lake")


@pytest.mark.parametrize("text", ["{}", '{"project": "p"}', "", "error: no stack"])
def test_outputs_without_them_are_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(outputs.OutputsError, match=r"stack dev: .*pulumi up"):
        outputs.decoded("dev", text)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("#!/bin/sh\necho \"error: no stack named '$5' found\" >&2; exit 255\n", "no stack named"),
        (None, "pulumi is not on PATH"),
    ],
)
def test_what_the_cli_says_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, says: str
) -> None:
    if script:
        (tmp_path / "pulumi").write_text(script)
        (tmp_path / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(outputs.OutputsError, match=says):
        outputs.read("nowhere")


def test_the_outputs_are_asked_of_the_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = '#!/bin/sh\necho "{\\"project\\": \\"$5\\", \\"region\\": \\"$3\\"}"\n'
    (tmp_path / "pulumi").write_text(told)
    (tmp_path / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert outputs.read("prod") == outputs.Outputs(project="prod", region="--json")


def test_the_smallest_data_set_that_one_message_fetches_is_taken() -> None:
    known = followed(load_all())
    least = min(each.bounds.bytes_max for each in known.values())
    assert smallest(known).bounds.bytes_max == least
    assert all(each.schedule and each.source.slices is None for each in known.values())
    assert followed(load_all(STREAM)) == {}
