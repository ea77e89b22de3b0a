"""Runs of real and of bad files through the step `split`, on the real storage server."""

from __future__ import annotations

import bz2
import gzip
import itertools
import json
import lzma
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from catalog.contract import DATASETS, load
from catalog.records import Outcome
from catalog.runs import Run
from catalog.slots import Unit
from functions.core.errors import PermanentError
from functions.parsing.file_reader import FileReader
from functions.split import attempt
from functions.split import step as split
from tests.support.split_cloud import NOW, USAGE, WIFI, Desk, changed, lose_reply, use

USAGE_CONTRACT = load(DATASETS / "paris_wifi_usage.toml")
SITES_CONTRACT = load(DATASETS / "paris_wifi_sites.toml")
HEADER, *ROWS = USAGE.read_bytes().decode().splitlines(keepends=True)
LABELS = (
    "\ufeffNom du site;Adresse;Code postal;Nombre de bornes;Etat du site;Identifiant du site;"
    "geo_point_2d;geo_shape\r\n"
    "MAIRIE;1 RUE X;75001;2.0;Opérationnel;PW0001;48.86,2.34;\r\n"
).encode()


def usage(count: int, **cells: str) -> list[str]:
    """Lines of sessions in two months, the given cells changed in the last one."""
    lines = []
    for at in range(count):
        line = ROWS[at % len(ROWS)]
        if at % 2:
            line = line.replace("2019-09-05", "2019-10-06")
        lines.append(line.replace(";7241;", f";{at};"))
    fields = lines[-1].rstrip("\r\n").split(";")
    for index, value in cells.items():
        fields[int(index.removeprefix("f"))] = value
    lines[-1] = ";".join(fields) + "\r\n"
    return lines


def body(lines: list[str], header: str = HEADER) -> bytes:
    return (header + "".join(lines)).encode()


REAL = [
    (USAGE_CONTRACT, USAGE, "csv", {"2019-09": 5}, set()),
    (SITES_CONTRACT, WIFI / "sites_2017-05_juuljul_v1_records.json", "records v1",
     {"2025-06-05": 316}, {"access_points", "state"}),
    (SITES_CONTRACT, WIFI / "sites_2023-05_simonejw.geojson", "GeoJSON", {"2025-06-05": 277}, set()),
    (SITES_CONTRACT, WIFI / "sites_2024-09_sio_v21_records.json", "records v2.1",
     {"2025-06-05": 8}, set()),
]  # fmt: skip


@pytest.mark.parametrize(("contract", "path", "shape", "slots", "missing"), REAL)
def test_real_files(desk: Desk, contract, path, shape, slots, missing):
    record = desk.run_split(contract, path.read_bytes())
    assert record.outcome is Outcome.ACCEPTED, record.reason
    assert {part.slot: part.rows for part in record.parts} == slots
    [report] = record.files
    assert report.shape == shape
    assert report.unknown_columns == {}
    assert set(report.missing_columns) == missing
    assert record.no_slot == {}
    assert record.quarantine is None


def test_label_export(desk: Desk):
    record = desk.run_split(SITES_CONTRACT, LABELS)
    [part] = record.parts
    [row] = desk.rows(part)
    assert row == {
        "site_code": "PW0001", "name": "MAIRIE", "address": "1 RUE X", "postal_code": "75001",
        "access_points": "2.0", "state": "Opérationnel", "latitude": "48.86", "longitude": "2.34",
        "run": "20250605T041700Z", "line": 2,
    }  # fmt: skip
    assert record.files[0].encoding == "utf-8-sig"


def test_points_of_json(desk: Desk):
    for path in (
        WIFI / "sites_2017-05_juuljul_v1_records.json",
        WIFI / "sites_2023-05_simonejw.geojson",
    ):
        record = desk.run_split(
            SITES_CONTRACT, path.read_bytes(), at=NOW + timedelta(days=len(path.name))
        )
        first = desk.rows(record.parts[0])[0]
        assert first["latitude"].startswith("48.8")
        assert first["longitude"].startswith("2.3")


# What is wrong, the body, the contract's outcome, what the sentence or the only reject says.
GOOD = usage(40)
BAD = [
    ("an HTML page", b"<!DOCTYPE html><html><title>Sorry</title></html>", "HTML page (\"Sorry\")"),
    ("a page after blanks", b"\r\n <html>", "HTML page"),
    ("blanks", b" \r\n", "is empty"),
    ("header only", HEADER.encode(), "the file has 0 rows of data"),
    ("no header end", HEADER.rstrip().encode(), "the file has 0 rows of data"),
    ("cut in a record", body(GOOD)[:-40], "is cut: line 41, its last, has"),
    ("cut in quotes", body([GOOD[0].partition("Français")[0] + '"Fran']), "quote that opens on line 2"),
    ("cut gzip", gzip.compress(body(GOOD))[:-20], "gzip is cut"),
    ("broken gzip", gzip.compress(body(GOOD))[:40] + b"x" * 900, "gzip is broken"),
    ("gzip bomb", gzip.compress(b"0" * 60_000_000, 9), "over the ratio of 200"),
    ("comma", body(GOOD).replace(b";", b","), "separated by a comma, the contract says a semicolon"),
    ("tab", body(GOOD).replace(b";", b"\t"), "separated by a tab"),
    ("doubled name", body(GOOD, HEADER.replace("Adresse", "Code Site")), '"Code Site" more than once'),
    ("renamed", body(GOOD, HEADER.replace("Code Site", "Le Site")), 'column "Code Site" (site_code) is missing; the header has 25 columns: Le Site, Date heure'),
    ("renamed, one unknown", body(GOOD, HEADER.replace("Code Site", "Le Site")), 'if it was renamed: aliases = [..., "Le Site"] of site_code'),
    ("UTF-16 without mark", body(GOOD).decode().encode("utf-16-le"), "UTF-16 without a byte order mark"),
    ("JSON error", b'{"error_code": "Limit", "message": "come back later"}', "error_code: Limit; message: come back later"),
    ("JSON scalar", b'["a", "b"]', "not an object (2)"),
    ("all in the future", body([r.replace("2019", "2035") for r in GOOD]), "started_at: in the future (40)"),
    ("XML error", b'<?xml version="1.0"?><Error><Message>Access Denied</Message></Error>', 'XML ("Access Denied") instead of data'),
    ("spreadsheet", b"PK\x03\x04" + bytes(90), "is a ZIP archive or a spreadsheet (xlsx, ods); only text is read"),
    ("old spreadsheet", b"\xd0\xcf\x11\xe0" + b"x" * 90, "is an old spreadsheet (xls)"),
    ("Parquet", b"PAR1" + b"x" * 90, "is Parquet"),
    ("bzip2", bz2.compress(body(GOOD)), "is packed with bzip2"),
    ("xz", lzma.compress(body(GOOD)), "is packed with xz"),
    ("NUL bytes only", bytes(900), "begins with NUL bytes"),
    ("no header at all", body(GOOD, ""), 'column "Code Site" (site_code) is missing'),
    ("cut in a text of JSON", b'[{"site_code": "PW0', "the JSON is cut at character 19: a text has no end"),
    ("cut JSON Lines", b'{"a": 1}\n{"a": 2', "the JSON is cut at character 16"),
    ("plain text", b"Service Unavailable\n", 'column "Code Site"'),
]  # fmt: skip


@pytest.mark.parametrize(("given", "said"), [case[1:] for case in BAD], ids=[c[0] for c in BAD])
def test_refused_runs(desk: Desk, given: bytes, said: str):
    record = desk.run_split(USAGE_CONTRACT, given, file="usage.csv")
    assert record.outcome is Outcome.REFUSED
    assert record.reason is not None
    assert record.reason.startswith("paris_wifi_usage 20250605T041700Z usage.csv")
    assert said in record.reason
    assert record.parts == ()
    assert desk.names("landing", "parts/") == []
    assert desk.names("landing", "dirty/") == []
    assert desk.clients.published == []


TOO_MANY_SLOTS = (
    "paris_wifi_usage 20250605T041700Z: more than 2 slots, 2019-05 among them; choose a longer "
    "slot_unit, or slices ([source.slices])"
)


@pytest.mark.parametrize(
    ("most", "reason"),
    [
        (3, None),
        (2, TOO_MANY_SLOTS),
    ],
)
def test_a_run_has_only_so_many_slots(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, most: int, reason: str | None
):
    monkeypatch.setattr("functions.split.part_writer.MOST_SLOTS", most)
    months = [ROWS[0].replace("2019-09", f"2019-{month:02}") for month in (3, 4, 5)]
    record = desk.run_split(USAGE_CONTRACT, body(months))
    assert record.reason == reason
    assert len(desk.names("landing", "parts/")) == len(record.parts) == (0 if reason else 3)


REJECTED = [
    ("Latin-1 letter", {"f17": "Fran\udce7ais"}, "bytes that are not of the encoding"),
    ("NUL", {"f17": "a\0b"}, "a NUL byte"),
    ("no site", {"f0": ""}, "site_code: empty"),
    ("before Wi-Fi", {"f1": "1987-01-01T00:00:00+02:00"}, "started_at: before 2012-01-01"),
    ("in the future", {"f1": "2025-06-07T00:00:00+02:00"}, "started_at: in the future"),
    ("no such day", {"f1": "2019-02-30T10:00:00+02:00"}, "started_at: not a timestamp"),
    ("23-hour day", {"f1": "2019-03-31T02:30:00"}, "started_at: not a timestamp"),
    ("too few", {"f24": "75001;"}, "wrong number of fields"),
    ("not a number", {"f11": "many"}, "bytes_in: not an integer"),
    ("10 MB field", {"f5": "x" * 10_000_000}, "a line above the bound"),
    ("long field", {"f5": "x" * 140_000}, "a field above the bound"),
    ("never closed", {"f24": '"never closed'}, "a quote never closes"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("cells", "reason"), [c[1:] for c in REJECTED], ids=[c[0] for c in REJECTED]
)
def test_rejected_rows(desk: Desk, cells: dict[str, str], reason: str):
    lines = usage(100, **cells)
    given = (HEADER + "".join([*lines, *GOOD])).encode("utf-8", "surrogateescape")
    record = desk.run_split(USAGE_CONTRACT, given)
    assert record.outcome is Outcome.ACCEPTED, record.reason
    [reject] = desk.rejects(record)
    assert (reject["line"], reject["reason"]) == (101, reason)
    assert reject["row"].startswith(
        lines[-1][:20].encode("utf-8", "backslashreplace").decode()[:20]
    )
    counted = [part.rejected for part in record.parts] + [record.no_slot]
    assert {reason: 1} in counted
    assert record.rejected == {reason: 1}
    assert list(record.samples) == [reason]
    place, _, sample = record.samples[reason].partition(": ")
    assert place == f"{reject['file']} 101"
    assert 10 < len(sample) < 210
    assert reject["row"].encode("utf-8", "backslashreplace").decode().startswith(sample)
    assert sum(part.rows for part in record.parts) == 139
    assert record.rows_in == 140


TAKEN = [
    ("BOM", b"\xef\xbb\xbf" + body(GOOD), "utf-8-sig"),
    ("CR", body(GOOD).replace(b"\r\n", b"\r"), "utf-8"),
    ("LF", body(GOOD).replace(b"\r\n", b"\n"), "utf-8"),
    ("no last line end", body(GOOD).rstrip(), "utf-8"),
    ("Latin-1", body(GOOD).decode().encode("cp1252"), "cp1252"),
    ("UTF-16", body(GOOD).decode().encode("utf-16"), "utf-16"),
    ("gzip", gzip.compress(body(GOOD)), "utf-8"),
    ("gzip of members", gzip.compress(body(GOOD)[:999]) + gzip.compress(body(GOOD)[999:]), "utf-8"),
    ("blank lines", body(GOOD) + b"\r\n\r\n", "utf-8"),
    ("other case", body(GOOD, HEADER.replace("Code Site", " CODE  SITE ")), "utf-8"),
]


@pytest.mark.parametrize(("given", "encoding"), [c[1:] for c in TAKEN], ids=[c[0] for c in TAKEN])
def test_forms_that_change_nothing(desk: Desk, given: bytes, encoding: str):
    record = desk.run_split(USAGE_CONTRACT, given)
    plain = desk.run_split(USAGE_CONTRACT, body(GOOD), at=NOW + timedelta(days=1))
    assert record.outcome is Outcome.ACCEPTED, record.reason
    assert record.files[0].encoding == encoding
    assert {p.slot: p.rows for p in record.parts} == {"2019-09": 20, "2019-10": 20}
    assert [p.hash for p in record.parts] == [p.hash for p in plain.parts]


def test_order_of_columns_does_not_matter(desk: Desk):
    table = [line.rstrip().split(";") for line in (HEADER, *GOOD)]
    table = [[c for i, c in enumerate(row) if i not in (18, 21, 24)] for row in table]
    turned = "\n".join(";".join(reversed(row)) for row in table).encode()
    plain = "\n".join(";".join(row) for row in table).encode()
    first = desk.run_split(USAGE_CONTRACT, plain)
    second = desk.run_split(USAGE_CONTRACT, turned, at=NOW + timedelta(days=1))
    assert first.outcome is second.outcome is Outcome.ACCEPTED
    assert [p.hash for p in first.parts] == [p.hash for p in second.parts]


def test_unknown_column_is_reported(desk: Desk):
    given = body([f"x{n};{row}" for n, row in enumerate(GOOD)], "Nouveau;" + HEADER)
    run = Run.at(NOW)
    desk.claim(USAGE_CONTRACT, run, [("usage.csv", given)])
    events = desk.split(USAGE_CONTRACT, run)
    assert desk.record(USAGE_CONTRACT, run).files[0].unknown_columns == {"Nouveau": "x0"}
    [drift] = [event for event in events if event.outcome == "drift"]
    assert drift.severity == "WARNING"
    assert "Nouveau" in drift.message


def test_quoted_line_breaks_keep_the_first_line(desk: Desk):
    lines = usage(40)
    fields = lines[3].split(";")
    lines[3] = ";".join([*fields[:5], '"PONT;\r\nNOTRE ""DAME""\nX\rY"', *fields[6:]])
    lines.append(lines[0].replace("PW0134", ""))
    record = desk.run_split(USAGE_CONTRACT, body(lines))
    rows = {row["line"]: row for part in record.parts for row in desk.rows(part)}
    assert rows[5]["site_name"] == 'PONT;\r\nNOTRE "DAME"\nX\rY'
    assert sorted(rows) == [2, 3, 4, 5, *range(9, 45)]
    assert [(r["line"], r["reason"]) for r in desk.rejects(record)] == [(45, "site_code: empty")]


def test_slots_of_the_clock_changes(desk: Desk):
    times = {
        "2019-10-31T23:30:00+01:00": "2019-10", "2019-10-31T23:30:00+00:00": "2019-11",
        "2019-10-27T02:30:00+02:00": "2019-10", "2019-10-27T02:30:00": "2019-10",
        "1572562799": "2019-10", "1572562800": "2019-11", "2019-11-01": "2019-11",
    }  # fmt: skip
    lines = [ROWS[0].replace("2019-09-05T15:59:00+02:00", text) for text in times]
    record = desk.run_split(USAGE_CONTRACT, body(lines))
    assert {p.slot: p.rows for p in record.parts} == {"2019-10": 4, "2019-11": 3}
    newest = {p.slot: p.newest for p in record.parts}
    assert newest["2019-10"] == "2019-10-31T22:59:59+00:00"


def test_held_slot_lets_the_others_go(desk: Desk):
    lines = usage(100)
    lines[1] = lines[1].replace(";75012;", ";75012;;", 1)
    bad = ROWS[0].replace("2019-09-05", "2020-01-01").replace("844603314", "x")
    lines = [*lines, ROWS[0].replace("2019-09-05", "2020-01-01"), bad, bad]
    run = Run.at(NOW)
    desk.claim(USAGE_CONTRACT, run, [("usage.csv", body(lines))])
    events = desk.split(USAGE_CONTRACT, run)
    record = desk.record(USAGE_CONTRACT, run)
    assert {p.slot: p.held for p in record.parts} == {
        "2019-09": False,
        "2019-10": False,
        "2020-01": True,
    }
    marked = {name.split("/")[2] for name in desk.names("landing", "dirty/")}
    assert marked == {"2019-09", "2019-10"}
    assert [e.slot for e in events if e.outcome == "held"] == ["2020-01"]


def test_again_changes_nothing_and_seals_again(desk: Desk):
    run = Run.at(NOW)
    desk.claim(USAGE_CONTRACT, run, [("usage.csv", body(GOOD))])
    desk.split(USAGE_CONTRACT, run)
    before = desk.names("landing")
    [told] = desk.split(USAGE_CONTRACT, run)
    assert told.outcome == "done already"
    assert desk.names("landing") == before
    assert [(t, json.loads(b)) for t, b, _ in desk.clients.published] == [
        ("seal", {"system": "paris_wifi"})
    ] * 2


def test_a_try_that_loses_deletes_its_own(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    run = Run.at(NOW)
    claim = desk.claim(USAGE_CONTRACT, run, [("usage.csv", body(GOOD))])
    key = split.SplitKey(run)
    with ThreadPoolExecutor(attempt.THREADS) as pool:
        first = attempt.SplitAttempt(USAGE_CONTRACT, claim, key, desk.zones, pool)
        second = attempt.SplitAttempt(USAGE_CONTRACT, claim, key, desk.zones, pool)
        late = second._write_parts()
        won = first.record()
        monkeypatch.setattr(second, "_write_parts", lambda: late)
        assert second.record() == won
    assert sorted(desk.names("landing", "parts/")) == sorted(p.object for p in won.parts)


def test_replay_makes_a_record_of_its_own(desk: Desk):
    run = Run.at(NOW)
    desk.claim(USAGE_CONTRACT, run, [("usage.csv", body(GOOD))])
    desk.split(USAGE_CONTRACT, run)
    request = {"dataset": "paris_wifi_usage", "run": run.name, "replay": True}
    desk.handle({}, request)
    replayed = desk.record(USAGE_CONTRACT, run, int(NOW.timestamp() * 1000))
    plain = desk.record(USAGE_CONTRACT, run)
    assert [p.hash for p in replayed.parts] == [p.hash for p in plain.parts]
    assert {p.object for p in replayed.parts}.isdisjoint(p.object for p in plain.parts)


def test_a_replay_empties_the_slots_that_its_rows_left(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    moved = ROWS[0].replace("2019-09-05T15:59:00+02:00", "2019-10-01T00:30:00+02:00")
    run = Run.at(NOW)
    desk.claim(USAGE_CONTRACT, run, [("usage.csv", body([ROWS[0], moved]))])
    desk.split(USAGE_CONTRACT, run)
    before = desk.record(USAGE_CONTRACT, run)
    assert {p.slot: p.rows for p in before.parts} == {"2019-09": 1, "2019-10": 1}
    use(monkeypatch, changed(USAGE_CONTRACT, zone="UTC"))
    for replay in (1, 2):  # the second knows of the old slot by the first alone
        desk.handle({}, {"dataset": "paris_wifi_usage", "run": run.name, "replay": replay})
        record = desk.record(USAGE_CONTRACT, run, replay)
        assert {p.slot: p.rows for p in record.parts} == {"2019-09": 2, "2019-10": 0}
        [_, emptied] = record.parts
        assert not emptied.held
        assert desk.rows(emptied) == []
        key = split.SplitKey(run, replay)
        assert f"dirty/paris_wifi_usage/2019-10/{key}" in desk.names("landing", "dirty/")


def test_a_replay_leaves_slots_of_another_length(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    run = Run.at(NOW)
    desk.claim(USAGE_CONTRACT, run, [("usage.csv", body(GOOD))])
    desk.split(USAGE_CONTRACT, run)
    use(monkeypatch, changed(USAGE_CONTRACT, slot_unit=Unit.DAY))
    desk.handle({}, {"dataset": "paris_wifi_usage", "run": run.name, "replay": 1})
    slots = [part.slot for part in desk.record(USAGE_CONTRACT, run, 1).parts]
    assert slots == ["2019-09-05", "2019-10-06"]


def test_a_run_that_takes_too_long_is_refused(desk: Desk):
    run = Run.at(NOW)
    claim = desk.claim(USAGE_CONTRACT, run, [("usage.csv", body(GOOD))])
    clock = itertools.chain([0.0], itertools.repeat(481.0)).__next__
    key = split.SplitKey(run)
    record = attempt.split_run(USAGE_CONTRACT, claim, key, desk.zones, clock=clock)
    assert record.outcome is Outcome.REFUSED
    assert record.reason is not None
    assert "usage.csv: not split within 480 seconds" in record.reason
    assert desk.names("landing", "parts/") == []


def test_fall_in_rows_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    contract = changed(USAGE_CONTRACT, bounds__drop_from=30)
    use(monkeypatch, contract)
    desk.run_split(contract, body(GOOD))
    desk.run_split(contract, b"<html>", at=NOW + timedelta(days=1))
    record = desk.run_split(contract, body(GOOD[:10]), at=NOW + timedelta(days=40))
    assert record.outcome is Outcome.REFUSED
    assert record.reason is not None
    assert "10 rows after 40 in 20250605T041700Z" in record.reason


def test_rows_above_the_bound(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    contract = changed(USAGE_CONTRACT, bounds__rows_max=39)
    use(monkeypatch, contract)
    record = desk.run_split(contract, body(GOOD))
    assert record.reason is not None
    assert "more than the 39 rows of the contract" in record.reason


def test_lookback_marks_the_slots_after(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    contract = changed(USAGE_CONTRACT, lookback=2)
    use(monkeypatch, contract)
    desk.run_split(contract, USAGE.read_bytes())
    marked = {name.split("/")[2] for name in desk.names("landing", "dirty/")}
    assert marked == {"2019-09", "2019-10", "2019-11"}


def test_late_rows_are_rejected_by_name(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    contract = changed(
        USAGE_CONTRACT, kind="increments", late_until_hours=48.0, bounds__rejected_share=0.6
    )
    contract = changed(contract, kind=type(USAGE_CONTRACT.kind)("increments"))
    use(monkeypatch, contract)
    record = desk.run_split(contract, body(GOOD), at=datetime(2019, 10, 7, tzinfo=UTC))
    assert {p.slot: p.rows for p in record.parts} == {"2019-10": 20}
    assert record.no_slot == {"later than late_until": 20}


SITES_BAD = [
    ("cut JSON", (WIFI / "sites_2023-05_simonejw.geojson").read_bytes()[:5000], "after 14 records"),
    ("cut envelope", (WIFI / "sites_2024-09_sio_v21_records.json").read_bytes().rstrip()[:-1], "JSON is cut"),
    ("something after", b'[{"idpw":"a","nom_site":"b","cp":"75001"}] x', "something follows its end"),
    ("nested", b"[" * 100_000, "nested too deeply"),
    ("empty array", b"[]", "the file has 0 rows of data"),
    ("renamed", b'[{"idpw":"a","nom":"b","cp":"75001"}]', 'column "nom_site" (name) is missing; the header has 3 columns: idpw, nom, cp'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"), [c[1:] for c in SITES_BAD], ids=[c[0] for c in SITES_BAD]
)
def test_refused_json(desk: Desk, given: bytes, said: str):
    record = desk.run_split(SITES_CONTRACT, given)
    assert record.outcome is Outcome.REFUSED
    assert said in (record.reason or "")


def test_json_values_and_rejects(desk: Desk):
    good = [{"idpw": f"PW{n}", "nom_site": "é", "cp": "75001.0", "nombre_de_borne_wifi": n,
             "geo_point_2d": {"lon": 2.3, "lat": 48.8}, "new": {"a": 1}} for n in range(40)]  # fmt: skip
    given = json.dumps([*good, {**good[0], "cp": "7500"}]).encode()
    record = desk.run_split(SITES_CONTRACT, given)
    assert record.outcome is Outcome.ACCEPTED, record.reason
    [reject] = desk.rejects(record)
    assert (reject["line"], reject["reason"], reject["slot"]) == (
        41, "postal_code: not of the pattern", "2025-06-05",
    )  # fmt: skip
    row = desk.rows(record.parts[0])[7]
    assert (row["access_points"], row["latitude"], row["postal_code"]) == ("7", "48.8", "75001")
    assert set(record.files[0].unknown_columns) == {"new"}


def test_unknown_messages_are_permanent(desk: Desk):
    cases: list[tuple[dict[str, str], object, str]] = [
        ({"objectId": "runs/nope/20250605T041700Z.json"}, None, "no data set of this release"),
        ({"objectId": "runs/paris_wifi_usage/20250605T041700Z.json"}, None, "no such run in raw"),
        ({"objectId": "data/x"}, None, "split reads runs/ and streams/ only"),
        ({"objectId": "runs/paris_wifi_usage/x.json"}, None, "does not name a run"),
        ({}, {"dataset": "../etc", "run": "20250605T041700Z"}, "no data set"),
        ({}, {"dataset": "paris_wifi_usage", "run": "yesterday"}, "does not name a run"),
        ({}, {"run": 1}, "not the JSON it must be"),
    ]
    for attributes, request, said in cases:
        with pytest.raises(PermanentError, match=said):
            desk.handle(attributes, request)


@pytest.mark.parametrize("block_bytes", [0, 64 << 10], ids=["one by one", "blocks"])
def test_memory_is_bounded_by_a_chunk(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, block_bytes: int
):
    monkeypatch.setattr("functions.parsing.csv.reader.BATCH_ROWS", 256)
    monkeypatch.setattr("functions.split.part_writer._WAITING_BYTES", 64 << 10)
    monkeypatch.setattr("functions.split.attempt._READ_BYTES", 64 << 10)
    monkeypatch.setattr("functions.parsing.file_format._HEAD_BYTES", 64 << 10)
    monkeypatch.setattr("functions.parsing.file_format._PIECE_BYTES", 64 << 10)
    monkeypatch.setattr(
        "functions.split.attempt.FileReader", partial(FileReader, block_bytes=block_bytes)
    )

    def peak(count: int, at: datetime) -> int:
        desk.claim(USAGE_CONTRACT, Run.at(at), [("usage.csv", body(GOOD * count))])
        tracemalloc.start()
        desk.split(USAGE_CONTRACT, Run.at(at))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small, large = peak(60, NOW), peak(300, NOW + timedelta(days=1))
    assert large < small * 1.5


def test_a_lost_reply_deletes_nothing_that_the_record_names(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    run = Run.at(NOW)
    desk.claim(USAGE_CONTRACT, run, [("usage.csv", body(GOOD))])
    lose_reply(monkeypatch, "splits/")
    with pytest.raises(ConnectionError):
        desk.split(USAGE_CONTRACT, run)
    monkeypatch.undo()
    [told] = desk.split(USAGE_CONTRACT, run)
    assert told.outcome == "done already"
    record = desk.record(USAGE_CONTRACT, run)
    assert sum(len(desk.rows(part)) for part in record.parts) == 40


def test_a_crash_before_the_record_leaves_nothing_that_counts(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    run = Run.at(NOW)
    desk.claim(USAGE_CONTRACT, run, [("usage.csv", body(GOOD))])
    lose_reply(monkeypatch, "dirty/")
    with pytest.raises(ConnectionError):
        desk.split(USAGE_CONTRACT, run)
    assert desk.names("landing", "parts/") == desk.names("landing", "splits/") == []
    monkeypatch.undo()
    desk.split(USAGE_CONTRACT, run)
    parts = desk.record(USAGE_CONTRACT, run).parts
    assert sorted(p.object for p in parts) == sorted(desk.names("landing", "parts/"))


LINES = [
    ("a line each", "\n", 277),
    ("CRLF and blank lines", "\r\n\r\n", 277),
]


@pytest.mark.parametrize(("end", "count"), [c[1:] for c in LINES], ids=[c[0] for c in LINES])
def test_json_lines(desk: Desk, end: str, count: int):
    real = (WIFI / "sites_2023-05_simonejw.geojson").read_bytes()
    sites = [feature["properties"] for feature in json.loads(real)["features"]]
    record = desk.run_split(SITES_CONTRACT, "".join(json.dumps(s) + end for s in sites).encode())
    assert record.outcome is Outcome.ACCEPTED, record.reason
    [part] = record.parts
    assert [row["line"] for row in desk.rows(part)] == list(range(1, count + 1))
    plain = desk.run_split(SITES_CONTRACT, real, at=NOW + timedelta(days=1))
    assert part.hash == plain.parts[0].hash


def test_a_record_a_line_in_an_envelope_is_no_json_lines(desk: Desk):
    sites = ",\n".join(
        json.dumps({"idpw": f"PW{n}", "nom_site": "x", "cp": "75001"}) for n in range(3)
    )
    for at, given in enumerate(
        (f'{{"results": [\n{sites}]}}', f"[\n{sites}]", f'{{"results":\n[{sites}]}}')
    ):
        record = desk.run_split(SITES_CONTRACT, given.encode(), at=NOW + timedelta(days=at))
        assert record.rows_in == 3, record.reason
