"""Contracts: every one loads, and a broken one says what is wrong."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from catalog.contract import DATASETS, Bounds, ContractError, Kind, load, load_all, systems
from catalog.records import Claim, NewerFormatError, Origin, Outcome
from catalog.runs import Run

TAPS = (Path(__file__).parents[2] / "system/toy_stream/catalog/datasets/ferry_taps.toml").read_text(
    encoding="utf-8"
)
SITES = (DATASETS / "paris_wifi_sites.toml").read_text(encoding="utf-8")


def write(folder: Path, text: str, name: str = "paris_wifi_sites") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_contract_loads_and_belongs_to_a_system() -> None:
    contracts = load_all()
    assert {"paris_wifi_sites", "paris_wifi_usage"} <= set(contracts)
    assert sum(len(members) for members in systems(contracts).values()) == len(contracts)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('licence = "ODbL-1.0"\n', ""), "licence"),
        (('kind = "daily_drop"', 'kind = "daily"'), "daily"),
        (('schedule = "17 4 * * *"', 'schedule = "0 4 * * *"'), "on the hour"),
        (('schedule = "17 4 * * *"', 'schedule = "*/10 * * * *"'), "on the hour"),
        (('schedule = "17 4 * * *"', 'schedule = "0-59/5 * * * *"'), "on the hour"),
        (('schedule = "17 4 * * *"', 'schedule = "at noon"'), "not unix cron"),
        (('kind = "daily_drop"', 'kind = "stream"'), "leave out schedule"),
        (("[source]", '[source]\nmessage = "json"'), "a daily_drop has no messages"),
        (('zone = "Europe/Paris"', 'zone = "Europe/Lutetia"'), "Lutetia"),
        (('slot_unit = "day"', 'slot_unit = "hour"'), "use UTC"),
        (('key = ["site_code"', 'key = ["code"'), "key 'code' is not a column"),
        (('type = "code"', 'type = "zip"'), "type 'zip' is not one of"),
        (("required = true", "requierd = true"), "requierd"),
        (("base = true", "base = false"), "exactly one table must have base"),
        (("https://opendata.paris.fr/api", "http://opendata.paris.fr/api"), "https only"),
        (("https://opendata.paris.fr/api", "https://elsewhere.fr/api"), "source.hosts"),
        (
            ("[source]", '[source]\nkey = { secret = "A_KEY", header = "X-Key" }'),
            "secret 'A_KEY' must be",
        ),
        (
            ("[source]", '[source]\nkey = { secret = "key", header = "Host" }'),
            "header 'Host' is none",
        ),
        (
            ("[source]", '[source]\nkey = { secret = "key", header = "X:Y" }'),
            "header 'X:Y' is none",
        ),
        (('dataset = "paris_wifi_sites"', 'dataset = "sites"'), "must have its name"),
        (('kind = "daily_drop"', 'kind = "full_export"'), "needs time_column"),
        (
            ('description = "Name of the site"\n', 'description = "Name"\npersonal = true\n'),
            "retention",
        ),
        (('type = "text"', 'type = "text"\ndecimal = ","'), "decimal is for type float, not text"),
        (('type = "text"', 'type = "text"\ndecimal = ";"'), "decimal"),
        (
            ('type = "text"', 'type = "text"\ntime_format = "%d/%m/%Y"'),
            "time_format is for type timestamp or",
        ),
        (
            ('type = "text"', 'type = "date"\ntime_format = "%d %b %Y"'),
            "time_format '%d %b %Y': %b is none of",
        ),
        (('type = "text"', 'type = "date"\ntime_format = "%d%m%Y%H%z"'), "a date has no %z"),
        (
            ('aliases = ["idpw"', 'decimal = ","\naliases = ["a + b", "idpw"'),
            "decimal and a sum",
        ),
        (
            ('type = "float"', 'type = "float"\ndecimal = ","'),
            "decimal and an item",
        ),
        (('name = "state"', 'name = "row_slot"'), "column row_slot: the name is taken"),
        (('partition = "MONTH"', 'partition = "HOUR"'), "partition"),
    ],
)
def test_a_broken_contract_names_the_field(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    assert change[0] in SITES
    with pytest.raises(ContractError, match=said) as caught:
        load(write(tmp_path, SITES.replace(*change, 1)))
    assert "paris_wifi_sites.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('message = "json"', ""), "needs source.message"),
        (('kind = "stream"', 'kind = "increments"'), "needs source.fetch"),
        (('message = "json"', 'message = "avro"'), "Invalid enum value 'avro'"),
        (('message = "json"', 'message = "json"\nhosts = ["x.org"]'), "leave out source.hosts"),
        (
            (
                'message = "json"',
                'message = "json"\nfetch = [{ name = "x", urls = ["https://x"] }]',
            ),
            "leave out source.fetch",
        ),
        (("freshness_hours", 'schedule = "7 * * * *"\nfreshness_hours'), "leave out schedule"),
        (("late_until_hours = 1\n", ""), "needs late_until_hours"),
        (("grace_minutes = 10", "grace_minutes = 4"), "grace_minutes of at least 5"),
        (("rows_max = 100_000", "rows_max = 1999"), "rows_max of at least 2000"),
        (("bytes_max = 40_000_000", "bytes_max = 10_000_000"), "bytes_max of 40000000 to"),
        (("[bounds]", "[bounds]\ndrop_max = 0.5"), "leave out bounds.drop_max"),
        (('time_column = "tapped_at"\n', ""), "needs time_column"),
    ],
)
def test_a_broken_stream_names_the_field(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    assert change[0] in TAPS
    with pytest.raises(ContractError, match=said):
        load(write(tmp_path, TAPS.replace(*change, 1), "ferry_taps"))


def test_a_stream_says_what_a_row_needs_and_when_it_is_too_late(tmp_path: Path) -> None:
    contract = load(write(tmp_path, TAPS, "ferry_taps"))
    ten = "2025-06-05T10"
    assert not contract.refetchable
    assert not contract.closed(ten, datetime(2025, 6, 5, 11, 9, tzinfo=UTC))
    assert contract.closed(ten, datetime(2025, 6, 5, 11, 10, tzinfo=UTC))
    assert not contract.too_late(ten, Run("20250605T120000Z_0c5d"))
    assert contract.too_late(ten, Run("20250605T120001Z_0c5d"))


STATIONS = (DATASETS / "velib_stations.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('latitude = "lat"', 'latitude = "name"'), "'name' is not a column of type float"),
        (("south = 48.4", "south = 50"), "the box of lat, lon is empty"),
        (("south = 48.4", "south = 2.9"), "lat and lon share values in their box"),
        (('"mechanical"]]', '"manual"]]'), "require_one: 'manual' is not a column"),
        (
            ('"mechanical", "ebike"]\nignored', '"manual"]\nignored'),
            "revised_by: 'manual' is not a column",
        ),
        (("rows_max = 20_000", "rows_max = 200_001"), "rows_max of 200000 at most"),
        (
            ('feeds = ["station_information", "station_status"]\n', ""),
            "GBFS: name urls, or an index",
        ),
        (("\nindex = ", '\nurls = ["https://opendata.paris.fr/x"]\nindex = '), "GBFS: name urls"),
        (('index = "https', 'index = "http'), "https only"),
        (("smovengo.cloud/", "smovengo.fr/"), "source.hosts"),
        (('table = "velib_now"', 'table = "Velib now"'), "'Velib now' cannot name a table"),
        (('name = "insee"', 'name = "Insee"'), "'Insee' cannot name a table or column"),
        (('key = ["stationcode"]', 'key = ["code"]'), "latest_table.key 'code' is not a column"),
        (('key = ["stationcode"]', "key = []"), "latest_table.key must name columns"),
        (('name = "insee"', 'name = "origin"'), "column origin: latest_table.table has another"),
        (("rows_max = 20_000", "rows_max = 20_001"), "latest_table needs bounds.rows_max of 20000"),
        (('time_column = "duedate"\n', ""), "latest_table needs time_column"),
        (('kind = "snapshot"', 'kind = "increments"'), "an? increments has none"),
    ],
)
def test_a_broken_snapshot_names_the_field(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    assert change[0] in STATIONS
    with pytest.raises(ContractError, match=said):
        load(write(tmp_path, STATIONS.replace(*change, 1), "velib_stations"))


USAGE = (DATASETS / "paris_wifi_usage.toml").read_text(encoding="utf-8")
WHOLE = "https://www.data.gouv.fr/fr/datasets/r/75e68d86-6718-451d-9713-6f986e258bb1"
EXPORT = "https://opendata.paris.fr/api/explore/v2.1/catalog/datasets/usage/exports/csv"
WHERE = "?where=datetime%3E%3Ddate'{start}Z'%20and%20datetime%3Cdate'{end}Z'&delimiter=%3B"
SLICES = '[source.slices]\nfirst = "2019-03"\ntimes = "utc"\n'


def in_slices(url: str = EXPORT + WHERE, slices: str = SLICES) -> str:
    """The contract of the sessions, fetched month by month."""
    return USAGE.replace(WHOLE, url).replace("[bounds]", f"{slices}\n[bounds]")


@pytest.mark.parametrize(
    ("times", "start", "end"),
    [
        ('times = "utc"', "2019-02-28T23:00:00", "2019-03-31T22:00:00"),
        ('times = "local"', "2019-03-01T00:00:00", "2019-04-01T00:00:00"),
        ('times = "local"\ntime_format = "%d/%m %Y"', "01%2F03%202019", "01%2F04%202019"),
    ],
)
def test_a_slice_s_url_names_its_bounds(tmp_path: Path, times: str, start: str, end: str) -> None:
    text = in_slices(slices=SLICES.replace('times = "utc"', times))
    contract = load(write(tmp_path, text, "paris_wifi_usage"))
    [url] = contract.source.fetch[0].urls
    query = contract.address(url, "2019-03").partition("?")[2]
    assert f"date'{start}Z'" in query
    assert f"date'{end}Z'" in query
    assert contract.address("{slot}.csv", "2019-03") == "2019-03.csv"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (in_slices(slices=""), r"\{end\} is no placeholder; .* need \[source.slices\]"),
        (in_slices(url=EXPORT + "?month={month}"), r"\{month\} is no placeholder; known are"),
        (in_slices(url=EXPORT), "must name"),
        (in_slices(url=EXPORT + "?from={start}"), "must name"),
        (in_slices(slices=SLICES.replace("2019-03", "2019-03-01")), "first: '2019-03-01' is not"),
        (in_slices(slices=SLICES.replace("utc", "paris")), "paris"),
        (in_slices(slices=SLICES.replace('times = "utc"\n', "")), "times"),
        (
            in_slices(slices=SLICES + 'time_format = "%Y"\n'),
            "does not distinguish one month from the next",
        ),
        (in_slices(url="https://{slot}.fr/x"), "source.hosts"),
        (
            in_slices().replace("[source]", "[source]\nstale_after_hours = 9"),
            "stale_after_hours needs time_column and a second",
        ),
        (
            in_slices().replace('"full_export"', '"snapshot"'),
            "a snapshot cannot be fetched in slices",
        ),
        (
            in_slices().replace('"full_export"', '"daily_drop"'),
            "a daily_drop cannot be fetched in slices",
        ),
    ],
)
def test_slices_that_cannot_be_kept(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        load(write(tmp_path, text, "paris_wifi_usage"))


def test_the_contract_that_the_page_shows_loads(tmp_path: Path) -> None:
    page = (DATASETS.parents[1] / "docs" / "adding-a-data-set.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    [whole] = [block for block in blocks if 'dataset = "lyon_trees"' in block]
    [cut] = [block for block in blocks if "data.example.fr/api" in block]
    assert load(write(tmp_path, whole, "lyon_trees")).source.slices is None
    at, bounds = whole.index("[[source.fetch]]"), whole.index("[bounds]")
    sliced = load(write(tmp_path, whole[:at] + cut + whole[bounds:], "lyon_trees"))
    url = sliced.address(sliced.source.fetch[0].urls[0], "2019-01")
    assert "date'2018-12-31T23:00:00Z'" in url


def test_one_lake_table_has_one_owner(tmp_path: Path) -> None:
    write(tmp_path, SITES)
    write(tmp_path, SITES.replace('"paris_wifi_sites"', '"twin"'), "twin")
    with pytest.raises(ContractError, match="wifi_sites belongs to paris_wifi_sites"):
        load_all(tmp_path)


def test_one_table_of_newest_rows_has_one_owner(tmp_path: Path) -> None:
    twin = STATIONS.replace('"velib_stations"', '"twin"').replace('name = "velib_', 'name = "twin_')
    write(tmp_path, STATIONS, "velib_stations")
    write(tmp_path, twin, "twin")
    with pytest.raises(ContractError, match=r"latest_table.table velib_now belongs to twin"):
        load_all(tmp_path)


def test_which_kinds_may_be_fetched_again(tmp_path: Path) -> None:
    drop = load(write(tmp_path, SITES))
    named = load(write(tmp_path, SITES.replace("[source]", "[source]\npast_slots = true")))
    assert not drop.refetchable
    assert named.refetchable
    assert not Kind.SNAPSHOT.newest_run_wins
    assert not Kind.STREAM.newest_run_wins


def test_late_rows_and_what_is_exempt(tmp_path: Path) -> None:
    contract = load(write(tmp_path, SITES))
    assert contract.too_late("2025-06-01", Run("20250605T041700Z"))
    assert not contract.too_late("2025-06-03", Run("20250605T041700Z"))
    assert not contract.too_late("2025-06-01", Run("20250605T041700Z.2025-06-01"))


def test_a_snapshots_slot_closes_after_its_grace(tmp_path: Path) -> None:
    text = SITES.replace('kind = "daily_drop"', 'kind = "snapshot"\ngrace_minutes = 10')
    contract = load(write(tmp_path, text))
    assert not contract.closed("2025-06-05", datetime(2025, 6, 5, 22, 9, tzinfo=UTC))
    assert contract.closed("2025-06-05", datetime(2025, 6, 5, 22, 10, tzinfo=UTC))


def test_a_newer_record_is_refused_and_one_of_ours_reads_back() -> None:
    claim = Claim(
        dataset="d",
        run="20250605T041700Z",
        outcome=Outcome.REFUSED,
        origin=Origin.SAMPLE,
        source="s",
        fetched_at="2025-06-05T04:17:00+00:00",
        reason="empty body",
    )
    assert Claim.decode(claim.encode()) == claim
    with pytest.raises(NewerFormatError, match="claim: format 2 is newer than 1"):
        Claim.decode(claim.encode().replace(b'"format":1', b'"format":2'))


@pytest.mark.parametrize(
    ("rejected", "rows", "borne"),
    [
        (0, 0, True),
        (1, 10, True),
        (5, 10, True),
        (6, 10, False),
        (20, 100, True),
        (21, 100, False),
        (50, 1000, True),
        (51, 1000, False),
        (1, 1, False),
    ],
)
def test_a_share_is_strict_for_many_rows_and_mild_for_few(
    rejected: int, rows: int, borne: bool
) -> None:
    assert Bounds(bytes_max=1, rows_max=1).accepts_rejects(rejected, rows) is borne


def test_a_fall_counts_from_enough_rows_on() -> None:
    bounds = Bounds(bytes_max=1, rows_max=1, drop_max=0.5)
    assert bounds.dropped_too_far(499, 1000)
    assert not bounds.dropped_too_far(500, 1000)
    assert not bounds.dropped_too_far(8, 277)


@pytest.mark.parametrize(
    ("origin", "least"), [(Origin.PUBLISHER, 600), (Origin.SAMPLE, 2), (Origin.SYNTHETIC, 2)]
)
def test_a_piece_of_the_whole_is_refused_of_its_publisher_alone(origin: Origin, least: int) -> None:
    bounds = Bounds(bytes_max=1, rows_max=9_000, rows_min=2, min_rows_publisher=600)
    assert bounds.min_rows_for(origin) == least
    assert Bounds(bytes_max=1, rows_max=9).min_rows_for(origin) == 1
