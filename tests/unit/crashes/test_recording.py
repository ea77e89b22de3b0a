"""The recording in tests/data/crash: files by content, requests that all contents share."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.crash_list import FOLDER, POINTS
from tests.support.recording import RECEIPT, Recording, RecordingError

RECORDED = Recording.read()
APRIL, CHANGED, MAY = sorted(RECORDED.contents())


def uncompressed(parquet: bytes) -> bytes:
    """The same rows in other bytes."""
    target = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(parquet)), target, compression="none")
    return target.getvalue()


def test_a_slot_has_the_files_of_its_content() -> None:
    changed = RECORDED.of([CHANGED, MAY])
    assert changed.contents() == [CHANGED, MAY]
    assert {tuple(name.split(".")[1:3]) for name in changed.files if name != RECEIPT} == {
        CHANGED,
        MAY,
    }


def test_a_batch_of_one_slot_has_no_request_for_another() -> None:
    assert {request.slot for request in RECORDED.of([APRIL]).requests} == {None, APRIL[0]}


def test_two_batches_share_a_recording() -> None:
    joined = RECORDED.of([APRIL, MAY]).add(RECORDED.of([CHANGED]))
    assert joined.requests == RECORDED.requests
    assert joined.content() == RECORDED.content()


def test_a_batch_that_makes_other_requests_shares_none() -> None:
    other = RECORDED.of([CHANGED])
    fewer = replace(other, requests=other.requests[1:])
    with pytest.raises(RecordingError, match=f"{CHANGED[1]}.* makes other requests"):
        RECORDED.of([APRIL, MAY]).add(fewer)


def test_a_recording_is_written_as_the_repository_has_it(tmp_path: Path) -> None:
    RECORDED.write(tmp_path)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    others = {POINTS.name, "LICENCE.md"}
    assert written == {p.name: p.read_bytes() for p in FOLDER.iterdir() if p.name not in others}


def test_a_renewed_recording_of_the_same_rows_leaves_the_files(tmp_path: Path) -> None:
    RECORDED.write(tmp_path)
    other = {n: b if n == RECEIPT else uncompressed(b) for n, b in RECORDED.files.items()}
    replace(RECORDED, files=other).write(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in other} == RECORDED.files


def test_a_content_that_is_no_longer_recorded_is_deleted(tmp_path: Path) -> None:
    RECORDED.write(tmp_path)
    RECORDED.of([APRIL, MAY]).write(tmp_path)
    assert not list(tmp_path.glob(f"*.{CHANGED[1]}.parquet"))
    assert len(list(tmp_path.glob("*.parquet"))) == 8
