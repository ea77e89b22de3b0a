"""Bad input through the whole chain: `try` and the functions, on one local cloud.

Every run ends accepted or refused with one sentence, every row loaded, duplicate or quarantined,
and what was loaded before a refused run stands after it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from catalog.contract import Contract, load_all
from local_cloud import trial
from local_cloud.cloud import LocalCloud
from local_cloud.trial import Served
from tests.system import bad_files
from tests.system.bad_files import ACCEPTED, REFUSED, Counts, Refused, Taken
from tests.system.house import House

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(600)]

USAGE = load_all()["paris_wifi_usage"]
SITES = load_all()["paris_wifi_sites"]
Document = dict[str, Any]


@pytest.fixture(scope="module")
def house(system_cloud: LocalCloud) -> House:
    """The house of the whole module, emptied once."""
    made = House(system_cloud)
    made.fresh()
    return made


def standing(house: House) -> list[str]:
    """Every row of lake, ledger and reports, as text."""
    found = house.cloud.rows(house._state_sql())
    return sorted(f"{row['what']} {row['told']}" for row in found)


def tried(
    house: House,
    contract: Contract,
    files: Sequence[tuple[str, bytes]],
    folder: Path,
    *,
    step: timedelta,
    queries: Sequence[str] = (),
) -> Document:
    """What `try` says of files (name, body) that are served one after the other."""
    runs = []
    moment = house.cloud.clock.now().replace(microsecond=0)
    for at, (name, body) in enumerate(files):
        path = folder / str(at) / name
        path.parent.mkdir()
        path.write_bytes(body)
        moment += step
        runs.append(Served((path,), moment))
    return trial.try_files(house.cloud, contract, runs, queries)


def counts(file: Document) -> dict[str, Counts]:
    """The counts of a file by slot, as the tables write them."""
    return {
        slot: (told["rows_in"], told["rows_out"], told["rejected"], told["duplicates"])
        for slot, told in file["slots"].items()
    }


def by_name(cases: Sequence[Refused | Taken], document: Document) -> dict[str, Document]:
    """What `try` says of each case."""
    told = [file for file in document["files"]]
    assert len(told) == len(cases)
    return {case.name: file for case, file in zip(cases, told, strict=True)}


@pytest.fixture(scope="module")
def taken(house: House, tmp_path_factory: pytest.TempPathFactory) -> Document:
    """What `try` says of the good and of the odd files."""
    files = [(case.file, case.body) for case in ACCEPTED]
    folder = tmp_path_factory.mktemp("taken")
    return tried(house, USAGE, files, folder, step=timedelta(minutes=11), queries=QUERIES)


@pytest.fixture(scope="module")
def refused(
    house: House, taken: Document, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Document, list[str], list[str]]:
    """What `try` says of the bad files, and the warehouse before and after them."""
    before = standing(house)
    files = [(case.file, case.body) for case in REFUSED]
    folder = tmp_path_factory.mktemp("refused")
    document = tried(house, USAGE, files, folder, step=timedelta(minutes=11))
    return document, before, standing(house)


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_what_is_odd_is_taken(taken: Document, case: Taken) -> None:
    file = by_name(ACCEPTED, taken)[case.name]
    assert (file["outcome"], file["reason"]) == ("accepted", None)
    assert counts(file) == case.slots
    assert file["encoding"] == case.encoding
    assert tuple(file["unknown_columns"]) == case.unknown


QUERIES = (
    "SELECT DISTINCT site_name FROM lake.wifi_sessions WHERE slot_start = '2023-06-01'"
    " AND STRPOS(site_name, 'PONT;') > 0",
    "SELECT COUNT(*) FROM lake.wifi_sessions WHERE slot_start = '2023-07-01'"
    " AND REGEXP_CONTAINS(postal_code, '^750[0-9]{2}$') AND district BETWEEN 1 AND 20",
    "SELECT FORMAT_TIMESTAMP('%m-%d %H:%M', started_at), CAST(local_hour AS INT64)"
    " FROM lake.wifi_sessions WHERE slot_start IN ('2024-03-01', '2023-10-01', '2023-11-01')"
    " ORDER BY started_at",
    "SELECT COUNT(*), COUNTIF(ended_at IS NULL) FROM lake.wifi_sessions"
    " WHERE slot_start BETWEEN '2023-01-01' AND '2023-03-01'",
)
ANSWERS: tuple[list[list[Any]], ...] = (
    [['PONT;\r\nNOTRE "DAME"\nX\rY']],
    [[10]],
    [["10-29 00:30", 2], ["10-29 00:32", 2], ["10-29 01:31", 2], ["10-31 23:30", 0],
     ["03-31 00:59", 1], ["03-31 01:00", 3], ["03-31 01:30", 3]],
    [[24, 12]],
)  # fmt: skip


def test_what_was_taken_says_what_it_said(taken: Document) -> None:
    assert [query["rows"] for query in taken["queries"]] == list(ANSWERS)


def test_the_same_rows_in_another_form_load_nothing(house: House, taken: Document) -> None:
    """The manifests are those of the first run, and of the runs whose rows differ."""
    runs = {file["run"]: case for case, file in zip(ACCEPTED, taken["files"], strict=True)}
    batches = {runs[slot.run].name for m in house.manifests() for slot in m.slots}
    assert batches == {case.name for case in ACCEPTED if not case.same}


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_is_bad_is_refused_in_one_sentence(
    refused: tuple[Document, list[str], list[str]], case: Refused
) -> None:
    file = by_name(REFUSED, refused[0])[case.name]
    assert file["outcome"] == "refused"
    assert_says(file["reason"], f"paris_wifi_usage {file['run']} {case.file}: ", case.said)
    assert file["slots"] == {}


def assert_says(sentence: str, begin: str, said: str) -> None:
    """A sentence names data set, run and thing, says what it must, and ends with the way out."""
    assert sentence.startswith(begin)
    assert said in sentence
    assert re.search(
        r"[;(].*\b(fetch|ask|open|add|raise|see|correct|wait|look|name|unpack)\b", sentence
    )
    assert "\n" not in sentence


def test_a_refused_run_leaves_everything_standing(
    refused: tuple[Document, list[str], list[str]],
) -> None:
    _, before, after = refused
    assert len(before) > 100
    assert after == before
