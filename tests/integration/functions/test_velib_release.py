"""A publisher renames a column: refused by its name, one alias more, released by message."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.contract import DATASETS, Contract, load
from catalog.object_names import SplitKey
from catalog.records import Outcome
from catalog.runs import Run
from functions.seal import slot_contents
from tests.integration.functions.test_velib_files import V1
from tests.support.split_cloud import NOW, Desk, use

PATH = DATASETS / "velib_stations.toml"
BEFORE = load(PATH)
RENAMED = V1.read_bytes().replace(b'"duedate"', b'"derniere_remontee"')
RUN, SLOT = Run.at(NOW), "2025-06-05T04"


def with_alias(folder: Path) -> Contract:
    """The contract with one name more in one line of it."""
    lines = PATH.read_text("utf-8").splitlines()
    (at,) = [number for number, line in enumerate(lines) if '"last_reported"' in line]
    lines[at] = lines[at].replace("]", ', "derniere_remontee"]')
    path = folder / PATH.name
    path.write_text("\n".join(lines), "utf-8")
    return load(path)


def test_a_renamed_column_is_refused_and_released_by_an_alias_and_a_message(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Until then nothing of the run counts; after it all of it, in the slot of its own tick."""
    desk.claim(BEFORE, RUN, [("stations.json", RENAMED)])
    told = desk.split(BEFORE, RUN)
    refused = desk.record(BEFORE, RUN)
    assert (refused.outcome, refused.parts) == (Outcome.REFUSED, ())
    assert [each.severity for each in told if each.outcome == "refused"] == ["ERROR"]
    assert "(duedate) is missing; the header has" in (refused.reason or "")
    assert "derniere_remontee" in (refused.reason or "")
    assert slot_contents.contents(desk.zones.landing, BEFORE, {SLOT: 0}) == {SLOT: None}

    after = with_alias(tmp_path)
    use(monkeypatch, after)
    desk.handle({}, {"dataset": after.dataset, "run": RUN.name, "replay": True})

    key = SplitKey(RUN, int(NOW.timestamp() * 1000))
    released = desk.record(after, RUN, key.replay)
    assert (released.outcome, released.rows_in, released.quarantine) == (
        Outcome.ACCEPTED,
        1398,
        None,
    )
    assert released.files[0].aliases["duedate"] == "derniere_remontee"
    content = slot_contents.contents(desk.zones.landing, after, {SLOT: 0})[SLOT]
    assert content is not None
    assert (content.parts.rows_in, len(content.parts.parts)) == (1398, 1)
    assert f"dirty/{after.dataset}/{SLOT}/{key}" in desk.names("landing", "dirty/")
