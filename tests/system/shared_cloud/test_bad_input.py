"""Bad input through the whole chain: `try` and the functions, on one local cloud.

Every run ends accepted or refused with one sentence, every row loaded, duplicate or quarantined,
and what was loaded before a refused run stands after it.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from catalog import object_names
from catalog.contract import Contract, load_all
from catalog.object_names import SplitKey
from catalog.records import Claim, Event, Outcome, SplitRecord
from catalog.runs import Run, tick
from functions.core import handler
from functions.core.clients import Clients
from functions.core.settings import settings
from local_cloud.cli import trial
from local_cloud.cli.trial import Served
from local_cloud.cloud import LocalCloud
from local_cloud.generators.wifi.layouts import LABELS as HEADER
from local_cloud.publishers import Answer, PublisherFault, SeenRequest
from tests.support import bad_files
from tests.support.bad_files import (
    ACCEPTED,
    GOOD,
    REFUSED,
    TOGETHER,
    AcceptedFile,
    Counts,
    Refused,
    rows,
    table,
)
from tests.support.house import House, export, month

pytestmark = pytest.mark.timeout(600)

USAGE = load_all()["paris_wifi_usage"]
SITES = load_all()["paris_wifi_sites"]
SITES_2017 = bad_files.SITES_2017.read_bytes()
SITES_2023 = bad_files.SITES_2023.read_bytes()
SITES_2024 = bad_files.SITES_2024.read_bytes()
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


@contextmanager
def no_seal() -> Iterator[None]:
    """Drop the messages by which `split` starts `seal`: what is marked waits for the next seal."""
    publish = Clients.publish

    def drop(clients: Clients, topic: str, data: bytes, attributes: dict[str, str]) -> None:
        if topic != "seal":
            publish(clients, topic, data, attributes)

    with patch.object(Clients, "publish", drop):
        yield


def served(
    house: House, runs: Sequence[Sequence[Refused | AcceptedFile]], folder: Path, step: timedelta
) -> list[Served]:
    """Write the files of runs; return the runs, each a step after the one before."""
    made = []
    moment = house.cloud.clock.now().replace(microsecond=0)
    for run, files in enumerate(runs):
        paths = []
        for at, case in enumerate(files):
            paths.append(folder / f"{run}" / f"{at}" / case.file)
            paths[-1].parent.mkdir(parents=True)
            paths[-1].write_bytes(case.body)
        moment += step
        made.append(Served(tuple(paths), moment))
    return made


def loaded_together(house: House, contract: Contract, runs: Sequence[Served]) -> list[Document]:
    """Report what `try` says of runs of different slots, which one batch loads."""
    offered = []
    batches = len(house.cloud.dataproc.batches())
    with no_seal():
        for each in runs:
            offered.append((each, trial.offer(house.cloud, contract, each)))
            until_split(house, contract, offered[-1][1])
    house.seal()
    settled(house)
    assert len(house.cloud.dataproc.batches()) == batches + 1
    return [trial.file_report(house.cloud, contract, *each) for each in offered]


def until_split(house: House, contract: Contract, run: Run) -> None:
    """Wait for the split record of a run; an unchanged one has none."""
    record = object_names.split_record(contract.dataset, SplitKey(run))
    house.cloud.settle()
    if house.cloud.read("landing", record) is None:
        settled(house)


def counts(file: Document) -> dict[str, Counts]:
    """The counts of a file by slot, as the tables write them."""
    return {
        slot: (told["rows_in"], told["rows_out"], told["rejected"], told["duplicates"])
        for slot, told in file["slots"].items()
    }


DIFFERENT = [case for case in ACCEPTED if not case.same]
SAME = [case for case in ACCEPTED if case.same]
STEP = timedelta(minutes=11)


@pytest.fixture(scope="module")
def taken(house: House, tmp_path_factory: pytest.TempPathFactory) -> Document:
    """Report what `try` says of the good and of the odd files, by name, and of `TOGETHER`.

    One batch loads what is of different months; the other forms of the same rows need none.
    """
    folder = tmp_path_factory.mktemp("taken")
    runs = [*([case] for case in DIFFERENT), TOGETHER]
    *different, together = loaded_together(
        house, USAGE, served(house, runs, folder / "different", STEP)
    )
    again = served(house, [[case] for case in SAME], folder / "same", STEP)
    document = trial.try_files(house.cloud, USAGE, again, QUERIES)
    files = zip((*DIFFERENT, *SAME), (*different, *document["files"]), strict=True)
    return document | {
        "files": {case.name: file for case, file in files},
        "together": together,
    }


@pytest.fixture(scope="module")
def refused(
    house: House, taken: Document, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Document], list[str], list[str]]:
    """Report what `try` says of the bad files, and the warehouse before and after them."""
    assert taken["files"]
    before = standing(house)
    runs = served(house, [[case] for case in REFUSED], tmp_path_factory.mktemp("refused"), STEP)
    offered = [(each, trial.offer(house.cloud, USAGE, each)) for each in runs]
    settled(house)
    files = [trial.file_report(house.cloud, USAGE, *each) for each in offered]
    told = {case.name: file for case, file in zip(REFUSED, files, strict=True)}
    return told, before, standing(house)


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_what_is_odd_is_taken(taken: Document, case: AcceptedFile) -> None:
    file = taken["files"][case.name]
    assert (file["outcome"], file["reason"]) == ("accepted", None)
    assert counts(file) == case.slots
    assert file["encoding"] == case.encoding
    assert tuple(file["unknown_columns"]) == case.unknown


def test_files_of_one_run_are_told_apart(taken: Document) -> None:
    file = taken["together"]
    assert (file["outcome"], file["reason"]) == ("accepted", None)
    assert counts(file) == {slot: told for case in TOGETHER for slot, told in case.slots.items()}
    assert file["unknown_columns"] == {}
    assert file["aliases"]["started_at"] == "datetime"


QUERIES = (
    (
        "SELECT DISTINCT site_name FROM lake.wifi_sessions WHERE slot_start = '2023-06-01'"
        " AND STRPOS(site_name, 'PONT;') > 0"
    ),
    (
        "SELECT COUNT(*) FROM lake.wifi_sessions WHERE slot_start = '2023-07-01'"
        " AND REGEXP_CONTAINS(postal_code, '^750[0-9]{2}$') AND district BETWEEN 1 AND 20"
    ),
    (
        "SELECT FORMAT_TIMESTAMP('%m-%d %H:%M', started_at), CAST(local_hour AS INT64)"
        " FROM lake.wifi_sessions WHERE slot_start IN ('2024-03-01', '2023-10-01', '2023-11-01')"
        " ORDER BY started_at"
    ),
    (
        "SELECT COUNT(*), COUNTIF(ended_at IS NULL) FROM lake.wifi_sessions"
        " WHERE slot_start BETWEEN '2023-01-01' AND '2023-03-01'"
    ),
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
    batches = {slot.run for manifest in house.manifests() for slot in manifest.slots}
    files = taken["files"]
    assert {name for name, file in files.items() if file["run"] in batches} == {
        case.name for case in ACCEPTED if not case.same
    }


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_is_bad_is_refused_in_one_sentence(
    refused: tuple[dict[str, Document], list[str], list[str]], case: Refused
) -> None:
    file = refused[0][case.name]
    assert file["outcome"] == "refused"
    assert_says(file["reason"], f"paris_wifi_usage {file['run']} {case.file}: ", case.said)
    assert file["slots"] == {}


def assert_says(sentence: str, begin: str, said: str) -> None:
    """A sentence names data set, run and thing, says what it must, and ends with the way out."""
    assert sentence.startswith(begin)
    assert said in sentence
    assert re.search(
        r"[;:(].*\b(fetch|ask|open|add|raise|see|correct|wait|look|name|unpack|check|mend)\b",
        sentence,
    )
    assert "\n" not in sentence


def test_a_refused_run_leaves_everything_standing(
    refused: tuple[dict[str, Document], list[str], list[str]],
) -> None:
    _, before, after = refused
    assert len(before) > 100
    assert after == before


SITE_RUNS = [
    ("2017", [("a.json", SITES_2017)], "accepted"),
    ("2017 again", [("b.json", SITES_2017)], "unchanged"),
    ("2023", [("b.geojson", SITES_2023)], "accepted"),
    ("2017 after 2023", [("a.json", SITES_2017)], "accepted"),
    ("2023 and 2024", [("sites.json", SITES_2023), ("sites.json", SITES_2024)], "accepted"),
    ("labels", [("sites.csv", bad_files.label_export())], "accepted"),
    ("labels with floats", [("sites.csv.gz", gzip.compress(bad_files.label_export(codes="{}.0")))], "accepted"),
    ("lines", [("sites.jsonl", bad_files.sites_lines())], "accepted"),
    ("few codes spoilt", [("sites.json", bad_files.sites_without_codes(20))], "accepted"),
    ("many codes spoilt", [("sites.json", bad_files.sites_without_codes(21))], "refused"),
    ("one of two bad", [("sites.json", SITES_2023), ("more.json", b"[]x")], "refused"),
    ("cut", [("sites.geojson", SITES_2023[:5_000])], "refused"),
    ("empty array", [("sites.json", b"[]")], "refused"),
    ("error", [("sites.json", b'{"error_code": "ODSQLError", "message": "no"}')], "refused"),
    ("renamed", [("sites.json", SITES_2024.replace(b'"nom_site"', b'"nom"'))], "refused"),
]  # fmt: skip
SITE_REASONS = {
    "2017 again": "the same bytes as run",
    "many codes spoilt": "21 of 277 rows are rejected, more than the contract allows (a share of 0.05): postal_code: not of the pattern (21); see the rows in quarantine",
    "one of two bad": "more.json: the JSON is broken or cut at character 2 of 3: something follows its end; fetch it again",
    "cut": "sites.geojson: the JSON is cut at character 5000",
    "empty array": "sites.json: the file has 0 rows of data, the contract expects at least 1; wait",
    "error": "an object without records (error_code: ODSQLError; message: no)",
    "renamed": 'column "nom_site" (name) is missing; the header has',
}  # fmt: skip


@pytest.fixture(scope="module")
def sites(house: House, tmp_path_factory: pytest.TempPathFactory) -> Document:
    """Report what `try` says of the listings of sites, a day each, which one batch loads."""
    runs = [
        [AcceptedFile(name, body, {}, file=name) for name, body in files]
        for _, files, _ in SITE_RUNS
    ]
    days = served(house, runs, tmp_path_factory.mktemp("sites"), timedelta(days=1))
    files = loaded_together(house, SITES, days)
    return trial.try_files(house.cloud, SITES, [], SITE_QUERIES) | {"files": files}


SITE_QUERIES = (
    (
        "SELECT slot_start, COUNT(*), COUNT(DISTINCT postal_code), COUNTIF(district IS NOT NULL),"
        " COUNT(latitude), SUM(access_points) FROM lake.wifi_sites"
        " WHERE slot_start >= '2012-01-01' GROUP BY slot_start ORDER BY slot_start"
    ),
    "SELECT listed_on, SUM(sites) FROM reports.wifi_sites_by_district GROUP BY listed_on",
)


@pytest.mark.parametrize(
    ("at", "name", "outcome"),
    [(i, r[0], r[2]) for i, r in enumerate(SITE_RUNS)],
    ids=lambda v: str(v),
)
def test_listings_of_sites(sites: Document, at: int, name: str, outcome: str) -> None:
    file = sites["files"][at]
    assert file["outcome"] == outcome, file["reason"]
    assert SITE_REASONS.get(name, "") in (file["reason"] or "")
    if outcome == "refused":
        assert_says(file["reason"], f"paris_wifi_sites {file['run']} ", SITE_REASONS[name])
    if outcome == "accepted":
        assert len(file["slots"]) == 1
        [told] = counts(file).values()
        assert told == SITE_COUNTS[name]


SITE_COUNTS: dict[str, Counts] = {
    "2017": (316, 316, {}, 0), "2023": (277, 277, {}, 0), "2017 after 2023": (316, 316, {}, 0),
    "2023 and 2024": (285, 277, {}, 8), "labels": (277, 277, {}, 0),
    "labels with floats": (277, 277, {}, 0), "lines": (277, 277, {}, 0),
    "few codes spoilt": (277, 257, {"postal_code: not of the pattern": 20}, 0),
}  # fmt: skip


def test_sites_say_the_same_in_every_form(sites: Document) -> None:
    days = sites["queries"][0]["rows"]
    assert [row[1] for row in days] == [told[1] for told in SITE_COUNTS.values()]
    whole = [row[2:] for row in days]
    assert whole[1] == whole[3] == whole[4] == whole[5] == whole[6]
    [[_, listed]] = sites["queries"][1]["rows"]
    assert listed == 257


ELSEWHERE = {"Location": "https://example.org/usage.csv"}
METADATA = {"Location": "https://169.254.169.254/computeMetadata/v1/"}
PLAIN = {"Location": "http://www.data.gouv.fr/usage.csv"}
GZIPPED = {"Content-Encoding": "gzip"}
BOMB = gzip.compress(b"0" * 40_000_000, 9)
ANSWERED = [
    ("another host", Answer(status=302, headers=ELSEWHERE), "host example.org is not among the contract's hosts"),
    ("a private address", Answer(status=301, headers=METADATA), "169.254.169.254 is not an address of the public internet"),
    ("to http", Answer(status=307, headers=PLAIN), "only https is fetched; ask the publisher"),
    ("nowhere", Answer(status=302), "redirects without saying where to; look at"),
    ("304 unasked", Answer(status=304), "the publisher answered 304; open the publisher's page"),
    ("403", Answer(b"no", status=403), "the publisher answered 403; open the publisher's page"),
    ("404", Answer(b"no", status=404), "the publisher answered 404; open the publisher's page"),
    ("ten times the bound", Answer(GOOD, fault=PublisherFault.wrong_length(8_000_000_000)), "is over the 800000000 bytes allowed; raise the bound"),
    ("a gzip bomb", Answer(BOMB, headers=GZIPPED), "over the ratio of 200; look at the file"),
    ("a gzip bomb in the body", Answer(BOMB), "over the ratio of 200; look at the file"),
    ("not gzip", Answer(GOOD, headers=GZIPPED), "says Content-Encoding gzip and is not gzip"),
    ("brotli", Answer(GOOD, headers={"Content-Encoding": "br"}), "Content-Encoding 'br' was not asked for"),
    ("nothing", Answer(b""), "the body has 0 bytes, the contract expects at least 1; wait"),
    ("a page", Answer(b"<html><title>Busy</title>"), 'an HTML page ("Busy") instead of data; open'),
]  # fmt: skip


@dataclass(frozen=True)
class Fetched:
    """The runs of `ANSWERED`, and the warehouse before and after them."""

    runs: Mapping[str, Run]
    before: list[str]
    after: list[str]


@pytest.fixture(scope="module")
def fetched(house: House, taken: Document) -> Fetched:
    """Every bad answer fetched once, the warehouse looked at before and after."""
    assert taken["files"]
    before = standing(house)
    runs = {}
    for name, answer, _ in ANSWERED:
        house.serve(answer)
        runs[name] = house.ingest()
        house.cloud.pubsub.wait_idle(60)
    settled(house)
    return Fetched(runs, before, standing(house))


@pytest.mark.parametrize(("name", "said"), [(n, s) for n, _, s in ANSWERED])
def test_a_bad_answer_is_refused_in_one_sentence(
    house: House, fetched: Fetched, name: str, said: str
) -> None:
    run = fetched.runs[name]
    claim = claim_of(house, USAGE, run)
    assert claim is not None
    reason = claim.reason
    if claim.outcome is Outcome.ACCEPTED:
        key = SplitKey(run)
        body = house.cloud.read("landing", object_names.split_record(USAGE.dataset, key))
        record = SplitRecord.decode(body or b"")
        assert record.outcome is Outcome.REFUSED
        reason = record.reason
    else:
        assert house.objects("raw", f"data/{USAGE.dataset}/{run.name}/") == []
    assert_says(reason or "", f"paris_wifi_usage {run.name}", said)


def settled(house: House) -> None:
    """Wait until everything has come home; the storage server tells of its objects late."""
    house.cloud.settle()
    house.cloud.pubsub.wait_idle(60, quiet=0.3)
    house.cloud.settle()


def claim_of(house: House, contract: Contract, run: Run) -> Claim | None:
    """The claim of a run, None where there is none."""
    body = house.cloud.read("raw", object_names.claim(contract.dataset, run))
    return Claim.decode(body) if body else None


def test_bad_answers_leave_everything_standing(fetched: Fetched) -> None:
    assert fetched.after == fetched.before


def test_ten_times_the_bound_for_real(house: House) -> None:
    """Fifty megabytes where the contract allows five, at both of the data set's sources."""
    large = Answer(bytes(10 * SITES.bounds.bytes_max), framing="chunked", etag=False)
    for source in SITES.source.fetch:
        house.cloud.publishers.serve(source.urls[0], large)
    run = Run.at(tick(SITES.schedule, house.later(days=1)))
    body = json.dumps({"dataset": SITES.dataset}).encode()
    house.cloud.pubsub.publish("ingest", body, {"dataset": SITES.dataset, "kind": "daily_drop"})
    settled(house)
    claim = claim_of(house, SITES, run)
    assert claim is not None
    assert claim.outcome is Outcome.REFUSED
    assert (claim.reason or "").count("the body is over the 5000000 bytes allowed") == 2
    assert house.objects("raw", f"data/{SITES.dataset}/{run.name}/") == []


PASSING = [
    ("429", Answer(b"slow", status=429), "answered 429; it is tried again"),
    ("429 with Retry-After", Answer(status=429, headers={"Retry-After": "2"}), "answered 429"),
    ("500", Answer(b"oops", status=500), "answered 500"),
    ("503", Answer(status=503, headers={"Retry-After": "Sat, 01 Jun 2024 06:00:00 GMT"}), "answered 503"),
    ("reset in mid-body", Answer(GOOD, fault=PublisherFault.reset(900)), "it is tried again"),
    ("cut in mid-body", Answer(GOOD, fault=PublisherFault.cut(900)), "before its end; it is tried again"),
    ("cut without a length", Answer(GOOD, fault=PublisherFault.cut(900), framing="close"), "it is tried again"),
    ("cut gzip", Answer(gzip.compress(GOOD)[:-9], headers=GZIPPED), "gzip without its end"),
    ("a byte a second", Answer(GOOD, fault=PublisherFault.drip(1)), "not finished within"),
    ("headers a byte a second", Answer(fault=PublisherFault.drip_headers(1)), "not finished within"),
]  # fmt: skip


def test_what_passes_is_tried_again_until_it_loads(
    house: House, taken: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message: each try fails in another way and claims nothing, the last one loads."""
    assert taken["files"]
    monkeypatch.setenv("DOWNLOAD_SECONDS", "3")
    settings.cache_clear()
    told: list[Event] = []
    claims: list[Claim | None] = []
    monkeypatch.setattr(handler, "log", told.append)
    good = export(month(datetime(2022, 5, 2, tzinfo=UTC), 10, seed=22))
    house.serve(*(answer for _, answer, _ in PASSING), Answer(good))
    answer = house.cloud.publishers.answer
    run = Run.at(house.cloud.clock.now() + timedelta(minutes=1))

    def witnessed(seen: SeenRequest) -> Answer | None:
        claims.append(claim_of(house, USAGE, run))
        return answer(seen)

    monkeypatch.setattr(house.cloud.publishers, "answer", witnessed)
    assert house.ingest() == run
    settled(house)
    settings.cache_clear()
    failed = [event.message for event in told if event.outcome == "failed"]
    for (name, _, said), message in zip(PASSING, failed, strict=True):
        assert said in message, name
        assert f"paris_wifi_usage {run.name}: https://www.data.gouv.fr/" in message, name
    assert claims == [None] * (len(PASSING) + 1)
    claim = claim_of(house, USAGE, run)
    assert claim is not None
    assert claim.outcome is Outcome.ACCEPTED
    assert house.objects("raw", f"data/{USAGE.dataset}/{run.name}/") == [claim.files[0].object]
    loaded = house.ledger()["2022-05"]
    assert (loaded["run"], loaded["rows_out"]) == (run.name, 10)
    assert_unchanged_after(house, run)


def assert_unchanged_after(house: House, run: Run) -> None:
    """The publisher is asked with what it said of the run, and answers 304."""
    again = house.ingest()
    settled(house)
    claim = claim_of(house, USAGE, again)
    assert claim is not None
    assert (claim.outcome, claim.same_as) == (Outcome.UNCHANGED, run.name)
    assert "if-none-match" in house.cloud.publishers.requests[-1].headers


FAULTS: dict[str, tuple[int, str]] = {
    "site_code: empty": (0, ""),
    "bytes_in: not an integer": (11, "many"),
    "access_points: not an integer": (23, "2,5"),
    "ended_at: before 2012-01-01": (2, "1999-01-01"),
    "started_at: not a timestamp": (1, "yesterday"),
    "started_at: in the future": (1, "2031-01-01T00:00:00Z"),
    "a NUL byte": (5, "a\0b"),
    "wrong number of fields": (24, "75001;75002"),
}
"""Reason → column and the value that gives it."""


@dataclass(frozen=True)
class Mixed:
    """A file of good, doubled and bad rows of two months, and the run that fetched it."""

    run: Run
    lines: list[bytes]
    """The lines below the header."""
    reasons: dict[int, str]
    """Number of a bad line in the file → why it is bad."""


SEEDS = range(4)


@pytest.fixture(scope="module")
def mixed(house: House) -> list[Mixed]:
    """Fetch a file for each of `SEEDS`; one batch loads them all."""
    made = []
    with no_seal():
        for seed in SEEDS:
            lines, reasons = mixed_lines(seed)
            house.serve(table([HEADER]) + b"".join(lines))
            made.append(Mixed(house.ingest(), lines, reasons))
            until_split(house, USAGE, made[-1].run)
    house.seal()
    settled(house)
    return made


def mixed_lines(seed: int) -> tuple[list[bytes], dict[int, str]]:
    """Return lines of two months of their own in any order, and why the bad ones are so.

    Every fault is there once, and of each month's six good rows some come again.
    """
    chance = random.Random(seed)
    faults = chance.sample(sorted(FAULTS), len(FAULTS))
    half = len(faults) // 2
    made: list[tuple[bytes, str]] = []
    for number, own in ((2 * seed + 1, faults[:half]), (2 * seed + 2, faults[half:])):
        good = rows(month(datetime(2021, number, 2, tzinfo=UTC), 6, seed=number))
        lines = [table([cells]) for cells in good]
        made += [(line, "") for line in lines]
        made += [(line, "") for line in chance.choices(lines, k=chance.randint(1, 5))]
        made += [(spoilt(cells, reason), reason) for cells, reason in zip(good, own, strict=False)]
    chance.shuffle(made)
    reasons = {at: reason for at, (_, reason) in enumerate(made, start=2) if reason}
    return [line for line, _ in made], reasons


def spoilt(cells: list[str], reason: str) -> bytes:
    """Return the line of a good row with one of `FAULTS`."""
    column, value = FAULTS[reason]
    line = table([[*cells[:column], value, *cells[column + 1 :]]])
    return line.replace(b'"75001;75002"', b"75001;75002")


@pytest.mark.parametrize("seed", SEEDS)
def test_every_row_is_loaded_duplicate_or_quarantined(
    house: House, mixed: list[Mixed], seed: int
) -> None:
    run, lines, reasons = mixed[seed].run, mixed[seed].lines, mixed[seed].reasons
    assert set(reasons.values()) == FAULTS.keys()
    record = SplitRecord.decode(
        house.cloud.read("landing", object_names.split_record(USAGE.dataset, SplitKey(run))) or b""
    )
    assert record.outcome is Outcome.ACCEPTED, record.reason
    ledger = {slot: row for slot, row in house.ledger().items() if row["run"] == run.name}
    assert len(ledger) == 2
    for slot, row in ledger.items():
        rejected = sum(json.loads(row["rejects"]).values())
        assert row["rejected"] == rejected
        assert row["rows_in"] == row["rows_out"] + rejected + row["duplicates"], slot
    without = sum(record.no_slot.values())
    assert sum(row["rows_in"] for row in ledger.values()) + without == len(lines)
    kept = quarantined(house, record)
    assert kept == reasons
    loaded = lines_of(house, "wifi_sessions", run)
    assert len(loaded) == sum(row["rows_out"] for row in ledger.values())
    assert not loaded & kept.keys()
    assert len(loaded) == len({line for at, line in enumerate(lines, start=2) if at not in kept})
    lost = set(range(2, len(lines) + 2)) - loaded - kept.keys()
    assert len(lost) == sum(row["duplicates"] for row in ledger.values())
    assert {lines[at - 2] for at in lost} <= {lines[at - 2] for at in loaded}


def quarantined(house: House, record: SplitRecord) -> dict[int, str]:
    """Line → reason of every row of a run that was kept back, by `split` or by Spark."""
    body = house.cloud.read("quarantine", record.quarantine) if record.quarantine else b""
    kept = {row["line"]: row["reason"] for row in map(json.loads, (body or b"").splitlines())}
    found = house.cloud.rows(
        "SELECT line, reason FROM lake.paris_wifi_usage_rejects"
        f" WHERE slot_start >= '2012-01-01' AND run = '{record.run}'"
    )
    return kept | {row["line"]: row["reason"] for row in found}


def lines_of(house: House, table_name: str, run: Run) -> set[int]:
    """The lines of a run that a lake table has."""
    found = house.cloud.rows(
        f"SELECT line FROM lake.{table_name}"
        f" WHERE slot_start >= '2012-01-01' AND run = '{run.name}'"
    )
    assert len({row["line"] for row in found}) == len(found)
    return {row["line"] for row in found}
