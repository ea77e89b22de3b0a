"""The made-up usage export: the publisher's form, the shape it was told, faults that add up.

What an earlier dashboard on the real export showed checks the generator here; it is told nowhere as
a finding.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from local_cloud.__main__ import main
from local_cloud.generators.wifi.faults import Fault
from local_cloud.generators.wifi.layouts import API_NAMES, LABELS, ExportLayout
from local_cloud.generators.wifi.population import (
    LONGEST_SECONDS,
    PARIS,
    VOLUMES,
    population,
    sites,
)
from local_cloud.generators.wifi.usage import (
    BLOCK_ROWS,
    Export,
    RowOrder,
    blocks,
    generate_rows,
    write,
)

WIFI = Path(__file__).parents[2] / "data" / "wifi"
REAL = WIFI / "usage_2019-09-05_head5_from_notebook.csv"
SESSIONS = 100_000
EACH = dict.fromkeys(Fault, 0.002)
SPRING = (date(2024, 3, 31), date(2024, 3, 31))
AUTUMN = (date(2024, 10, 27), date(2024, 10, 27))


def table(body: bytes) -> list[list[str]]:
    """The rows of an export, its header first."""
    text = body.decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=";", strict=True))


# -- form


@pytest.mark.parametrize(
    ("order", "layout", "digest"),
    [
        (RowOrder.RANDOM, ExportLayout.LABELS, "696b1b54d1765cc4"),
        (RowOrder.TIME, ExportLayout.LABELS, "c579618b2e42767b"),
        (RowOrder.RANDOM, ExportLayout.API, "07fdcaa935d60829"),
        (RowOrder.TIME, ExportLayout.API, "ab51dc309a55cf89"),
    ],
)
def test_a_seed_gives_the_same_bytes_everywhere(
    order: RowOrder, layout: ExportLayout, digest: str
) -> None:
    export = Export(9_000, 7, order=order, layout=layout, faults=EACH)
    assert hashlib.sha256(generate_rows(export)).hexdigest()[:16] == digest
    few = replace(export, rows=100)
    assert generate_rows(replace(few, seed=8)) != generate_rows(few)


FORMS = (
    r"PW\d{4}(-\d+)?", r"20\d\d-\d\d-\d\dT\d\d:\d\d:00\+0[12]:00", r"20\d\d-\d\d-\d\dT\d\d:\d\d:00\+0[12]:00",
    r"\d+", r"\d+\.\d{6}", r".+", r"\d{5}", r"Mobile|Ordinateur", r".+", r".+", r"inconnu|\w+ \d+\.0",
    r"\d+", r"\d+\.\d{6}", r"\d+", r"\d+\.\d{6}", r"\d+", r"\d+", r".+",
    r'\{"type": "Point", "coordinates": \[\d\.\d{6,11}, \d\d\.\d{6,10}\]\}', r"\d\d\.\d{6,10},\d\.\d{6,11}",
    r"Opérationnel|Fermé pour travaux", r".+", r".+", r"\d+\.0", r"\d{5}",
)  # fmt: skip


@pytest.mark.parametrize(
    "made_by", [REAL.read_bytes, lambda: generate_rows(Export(3_000))], ids=["real", "made"]
)
def test_labels_are_printed_as_the_real_rows_are(made_by: Callable[[], bytes]) -> None:
    body = made_by()
    assert body.splitlines(keepends=True)[0] == REAL.read_bytes().splitlines(keepends=True)[0]
    assert body.count(b"\r\n") == body.count(b"\n")
    header, *rows = table(body)
    assert tuple(header) == LABELS
    for row in rows:
        wrong = [
            f"{n}: {c}"
            for n, c, form in zip(header, row, FORMS, strict=True)
            if not re.fullmatch(form, c)
        ]
        assert not wrong
        assert (row[5], row[6]) == (row[21], row[24])
        assert float(row[4]) == round(int(row[3]) / 60, 6)
        assert float(row[12]) == round(int(row[11]) / 1_048_576, 6)
        assert float(row[14]) == round(int(row[13]) / 1_048_576, 6)
        length = datetime.fromisoformat(row[2]) - datetime.fromisoformat(row[1])
        assert abs(length.total_seconds() - int(row[3])) < 60


def test_a_row_is_about_as_long_as_the_real_ones() -> None:
    def mean(body: bytes) -> float:
        _, *rows = body.splitlines()
        return sum(map(len, rows)) / len(rows)

    assert mean(generate_rows(Export(5_000))) == pytest.approx(mean(REAL.read_bytes()), rel=0.05)


def test_the_api_layout_says_the_same_sessions_in_its_own_way() -> None:
    export = Export(2_000, first=AUTUMN[0], last=AUTUMN[1])
    body = generate_rows(replace(export, layout=ExportLayout.API))
    assert body.startswith(b"\xef\xbb\xbfcode_site;")
    header, *rows = table(body)
    _, *labels = table(generate_rows(export))
    assert tuple(header) == API_NAMES
    for row, label in zip(rows, labels, strict=True):
        fields = dict(zip(header, row, strict=True))
        assert fields["datetime"].endswith("+00:00")
        assert datetime.fromisoformat(fields["datetime"]) == datetime.fromisoformat(label[1])
        end = datetime.fromisoformat(label[2])
        still_open = end >= datetime(2024, 10, 28, tzinfo=PARIS)
        assert fields["endtime_or_dash"] == ("-" if still_open else end.astimezone(UTC).isoformat())
        assert (fields["code_site"], fields["duration"], fields["cp"]) == (
            label[0],
            label[3],
            label[6],
        )
        assert float(fields["donnee_entrante_go"]) == round(int(label[11]) / 2**30, 6)
        assert float(fields["nombre_de_borne_wifi"]) == float(label[23])
    assert any(row[2] == "-" for row in rows)


def test_sites_are_those_of_the_publishers_list() -> None:
    found = {site.code: site for site in sites()}
    assert len(found) == 274
    charlotte = found["PW0134"]
    assert (charlotte.name, charlotte.postal_code) == ("BIBLIOTHEQUE CHARLOTTE DELBO", "75002")
    assert charlotte.address == "2 PASSAGE DES PETITS PERES"
    for row in table(REAL.read_bytes())[1:]:
        latitude, longitude = map(float, row[19].split(","))
        site = found[row[0]]
        assert (site.latitude, site.longitude) == pytest.approx((latitude, longitude), abs=1e-9)


# -- size


@pytest.mark.parametrize("order", RowOrder)
def test_no_block_grows_with_the_export(order: RowOrder) -> None:
    small = list(blocks(Export(2 * BLOCK_ROWS, order=order, faults=EACH)))
    large = list(blocks(Export(4 * BLOCK_ROWS + 5, order=order, faults=EACH)))
    assert [block.tally.rows for block in small] == [0, BLOCK_ROWS, BLOCK_ROWS]
    assert [block.tally.rows for block in large] == [0, *[BLOCK_ROWS] * 4, 5]
    assert max(len(block.data) for block in large) < BLOCK_ROWS * 450


@pytest.mark.parametrize("rows", [0, 1, BLOCK_ROWS, BLOCK_ROWS + 1])
@pytest.mark.parametrize("order", RowOrder)
def test_rows_are_as_many_as_asked_for(rows: int, order: RowOrder) -> None:
    sink = io.BytesIO()
    tally = write(Export(rows, order=order), sink)
    assert len(table(sink.getvalue())) == 1 + rows == 1 + tally.rows
    assert tally.bytes == len(sink.getvalue())


@pytest.mark.parametrize("layout", ExportLayout)
def test_an_export_can_be_asked_for_by_its_bytes(layout: ExportLayout) -> None:
    export = Export(1, layout=layout, faults=EACH).sized(5_000_000)
    assert len(generate_rows(export)) == pytest.approx(5_000_000, rel=0.01)


WRONG = [
    ({"rows": -1}, "neither may be negative"),
    ({"seed": -1}, "neither may be negative"),
    ({"first": date(2025, 1, 1)}, "the first day comes after the last"),
    ({"faults": {Fault.ZERO: 0.6, Fault.WEEK: 0.6}}, "give 1 at most in all"),
]


@pytest.mark.parametrize(("change", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_cannot_be_made_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(Export(1), **change)


# -- time


@pytest.mark.parametrize("layout", ExportLayout)
def test_rows_in_order_of_time_are_sorted(layout: ExportLayout) -> None:
    faults = {Fault.DUPLICATE: 0.05, Fault.WEEK: 0.01}
    _, *rows = table(
        generate_rows(Export(20_000, order=RowOrder.TIME, layout=layout, faults=faults))
    )
    starts = [datetime.fromisoformat(row[1]) for row in rows]
    assert starts == sorted(starts)
    assert starts[0].astimezone(PARIS).date() == date(2019, 1, 1)
    assert starts[-1].astimezone(PARIS).date() == date(2024, 12, 31)


def test_rows_in_random_order_are_not_sorted() -> None:
    _, *rows = table(generate_rows(Export(2_000)))
    starts = [datetime.fromisoformat(row[1]) for row in rows]
    risen = sum(a <= b for a, b in pairwise(starts))
    assert 900 < risen < 1_100


def test_the_hour_that_occurs_twice_occurs_twice() -> None:
    export = Export(5_000, first=AUTUMN[0], last=AUTUMN[1], order=RowOrder.TIME)
    starts = [row[1] for row in table(generate_rows(export))[1:]]
    seen = [text[11:13] + text[-6:] for text in dict.fromkeys(starts)]
    assert list(dict.fromkeys(seen))[:5] == [
        "00+02:00", "01+02:00", "02+02:00", "02+01:00", "03+01:00",
    ]  # fmt: skip
    assert {text[:10] for text in starts} == {"2024-10-27"}


def test_the_hour_that_does_not_exist_never_occurs() -> None:
    export = Export(5_000, first=SPRING[0], last=SPRING[1])
    rows = table(generate_rows(export))[1:]
    hours = {
        text[11:13] + text[-6:] for row in rows for text in row[1:3] if text[:10] == "2024-03-31"
    }
    assert {"01+01:00", "03+02:00"} <= hours
    assert len(hours) == 23
    assert not {hour for hour in hours if hour.startswith("02")}


def test_times_carry_the_offset_of_paris() -> None:
    for row in table(generate_rows(Export(5_000)))[1:]:
        for text in row[1:3]:
            assert datetime.fromisoformat(text).astimezone(PARIS).isoformat() == text


# -- shape


@dataclass(frozen=True)
class Session:
    """What the shape is judged by."""

    start: datetime
    seconds: int
    site: str
    district: str
    language: str


@pytest.fixture(scope="module")
def sessions() -> list[Session]:
    """So many sessions that the rarest year has two thousand."""
    rows = table(generate_rows(Export(SESSIONS, 11)))[1:]
    return [
        Session(datetime.fromisoformat(row[1]), int(row[3]), row[0], row[6], row[17])
        for row in rows
    ]


def kind(day: date) -> str:
    return (
        "weekend" if day.weekday() > 4 else "friday" if day.weekday() == 4 else "monday to thursday"
    )


def test_years_have_their_share_of_the_volume(sessions: list[Session]) -> None:
    years = Counter(session.start.year for session in sessions)
    whole = sum(VOLUMES.values())
    assert years.keys() == VOLUMES.keys()
    for year, volume in VOLUMES.items():
        assert years[year] == pytest.approx(volume / whole * SESSIONS, rel=0.05)
    assert years[2023] == max(years.values()) >= 3 * years[2022]
    assert years[2024] < years[2023]


def test_kinds_of_day_differ_as_they_were_seen_to(sessions: list[Session]) -> None:
    whole = [date(2019, 1, 1) + timedelta(days=n) for n in range(2192)]
    days = Counter(map(kind, whole))
    found = Counter(kind(session.start.date()) for session in sessions)
    a_day = {name: found[name] / days[name] for name in days}
    assert a_day["friday"] > 1.04 * a_day["monday to thursday"] > 1.14 * a_day["weekend"]
    seconds: dict[str, list[int]] = defaultdict(list)
    for session in sessions:
        if session.start.year == 2023:
            seconds[kind(session.start.date())].append(session.seconds)
    minutes = {name: sum(each) / len(each) / 60 for name, each in seconds.items()}
    assert minutes["weekend"] == min(minutes.values())
    assert minutes == pytest.approx(
        {"monday to thursday": 39.0, "friday": 38.2, "weekend": 34.3}, rel=0.05
    )


def test_sessions_of_2021_and_2022_are_shorter(sessions: list[Session]) -> None:
    seconds: dict[int, list[int]] = defaultdict(list)
    for session in sessions:
        seconds[session.start.year].append(session.seconds)
    mean = {year: sum(each) / len(each) for year, each in seconds.items()}
    assert max(mean[2021], mean[2022]) < min(mean[2019], mean[2020], mean[2023])
    assert max(max(each) for each in seconds.values()) <= LONGEST_SECONDS
    assert min(min(each) for each in seconds.values()) >= 1


def test_languages_rank_as_they_were_seen_to(sessions: list[Session]) -> None:
    years: dict[int, Counter[str]] = defaultdict(Counter)
    for session in sessions:
        years[session.start.year][session.language] += 1
    for languages in years.values():
        assert [name for name, _ in languages.most_common(3)] == ["Français", "Anglais", "Espagnol"]
    french = {year: seen["Français"] / seen.total() for year, seen in years.items()}
    assert min(french[2020], french[2021]) > max(french[2019], french[2023]) + 0.03
    assert french[2019] == pytest.approx(0.662, abs=0.02)


def test_75001_is_used_most_for_its_sites(sessions: list[Session]) -> None:
    listed = Counter(site.postal_code for site in sites())
    number, seconds = Counter[str](), Counter[str]()
    for session in sessions:
        number[session.district] += 1
        seconds[session.district] += session.seconds
    for counted in (number, seconds):
        rate = {district: counted[district] / listed[district] for district in listed}
        first, second = sorted(rate, key=rate.__getitem__, reverse=True)[:2]
        assert first == "75001"
        assert rate[first] > 1.3 * rate[second]
    assert listed["75001"] == 10
    assert {session.site for session in sessions} == {site.code for site in sites()}


def test_hours_follow_the_day(sessions: list[Session]) -> None:
    hours = Counter(session.start.hour for session in sessions)
    assert set(hours) == set(range(24))
    assert min(hours, key=hours.__getitem__) in {3, 4}
    assert 12 <= max(hours, key=hours.__getitem__) <= 18


def test_every_weight_is_whole_and_every_share_a_share() -> None:
    drawn_from = population(date(2017, 12, 1), date(2026, 1, 31))
    assert 0 < drawn_from.at_limit.min() < drawn_from.at_limit.max() < 1
    assert drawn_from.hours.before.dtype == "int64"
    assert (drawn_from.hours.before[1:] > drawn_from.hours.before[:-1]).all()


# -- faults


def seen(row: list[str], layout: ExportLayout) -> Fault | None:
    """The fault that a row shows by itself."""
    names = {
        ExportLayout.LABELS: (1, 2, 3, 6, 22), ExportLayout.API: (1, 2, 3, 8, 9),
    }  # fmt: skip
    start, end, seconds, postal_code, address = (row[at] for at in names[layout])
    try:
        datetime.fromisoformat(start)
    except ValueError:
        return Fault.UNREADABLE_START
    shows = {
        Fault.EMPTY_POSTAL_CODE: postal_code == "",
        Fault.FLOAT_POSTAL_CODE: postal_code.endswith(".0"),
        Fault.NULL: seconds == "" and end in {"", "-"},
        Fault.ZERO: seconds == "0",
        Fault.NEGATIVE: seconds.startswith("-"),
        Fault.WEEK: seconds != "" and int(seconds) >= 604_800,
        Fault.LINE_BREAK: "\n" in address,
        Fault.SEPARATOR: ";" in address,
    }
    [*found] = [fault for fault, true in shows.items() if true]
    assert len(found) < 2
    return found[0] if found else None


@pytest.mark.parametrize("layout", ExportLayout)
@pytest.mark.parametrize("order", RowOrder)
def test_the_tally_is_what_a_reader_finds(order: RowOrder, layout: ExportLayout) -> None:
    sink = io.BytesIO()
    faults_each = dict.fromkeys(Fault, 0.004)
    export = Export(15_000, 5, order=order, layout=layout, faults=faults_each)
    tally = write(export, sink)
    rows = table(sink.getvalue())[1:]
    assert {len(row) for row in rows} == {25}
    faults = Counter(fault for row in rows if (fault := seen(row, layout)))
    again = sum(times - 1 for times in Counter(map(tuple, rows)).values())
    assert faults | Counter({Fault.DUPLICATE: again}) == tally.faults
    assert tally.faults.keys() == set(Fault)
    assert all(40 <= count <= 85 for count in tally.faults.values())
    months = Counter(
        f"{datetime.fromisoformat(row[1]).astimezone(PARIS):%Y-%m}"
        for row in rows
        if seen(row, layout) is not Fault.UNREADABLE_START
    )
    assert months == tally.months
    assert tally.rows == len(rows) == months.total() + faults[Fault.UNREADABLE_START]


def test_without_faults_there_is_none() -> None:
    rows = table(generate_rows(Export(10_000)))[1:]
    assert not [row for row in rows if seen(row, ExportLayout.LABELS)]
    assert len(set(map(tuple, rows))) == 10_000


def test_faults_leave_the_other_rows_as_they_are() -> None:
    plain, spoilt = (
        table(generate_rows(Export(9_000))),
        table(generate_rows(Export(9_000, faults=EACH))),
    )
    changed = sum(a != b for a, b in zip(plain, spoilt, strict=True))
    assert changed == write(Export(9_000, faults=EACH), io.BytesIO()).faults.total()


def test_both_postal_codes_of_a_row_are_spoilt_alike() -> None:
    rows = table(generate_rows(Export(500, faults={Fault.FLOAT_POSTAL_CODE: 1})))[1:]
    assert {row[6] == row[24] and row[6].endswith(".0") for row in rows} == {True}


# -- the command


def test_the_command_makes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "usage.csv"
    command = [
        "export",
        "--rows",
        "300",
        "--seed",
        "4",
        "--out",
        str(path),
        "--first",
        "2024-02-01",
    ]
    assert main([*command, "--last", "2024-02-29", "--order", "time", "--layout", "api"]) == 0
    assert path.read_bytes() == generate_rows(
        Export(300, 4, date(2024, 2, 1), date(2024, 2, 29), RowOrder.TIME, ExportLayout.API)
    )
    assert "synthetic, 300 rows" in capsys.readouterr().err


def test_the_command_says_what_it_cannot_make(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--rows", "1", "--faults", "0.2", "--out", "none.csv"]) == 2
    assert "give 1 at most in all" in capsys.readouterr().err
