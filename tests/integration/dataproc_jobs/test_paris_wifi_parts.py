"""The additive tables are what anyone would add up from the rows of `wifi_sessions`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import cycle, product
from typing import Any

import paris_wifi
import pytest
from pyspark.sql import SparkSession

from tests.integration.dataproc_jobs.test_batch import NEW, USAGE, Row, Zone, usage_rows

SEPTEMBER, OCTOBER = "2019-09", "2019-10"
CLASSES = {
    "sessions_counted": "counted",
    "sessions_missing_length": "missing",
    "sessions_zero": "zero",
    "sessions_negative": "negative",
    "sessions_over_limit": "over_limit",
}
GRAINS = {
    "wifi_site_days": ("local_day", "site_code", "district", "district_class", "place"),
    "wifi_language_devices": ("language", "device"),
    "wifi_hours": ("local_day", "local_hour"),
}
"""Table → its grain within a slot."""

Rows = list[dict[str, Any]]


def hostile_rows() -> Iterator[Row]:
    """Every length beside every postal code, with volumes and languages that take turns."""
    lengths = ("7241", "0", "-60", "", "604800", "86400", "0.1003", None)
    codes = ("75002", "75002.0", "75016", "75116", "93100", "nulle part", "", None)
    volumes = cycle([("10", "20"), ("", "5"), ("-1", "5"), (str(2**63 - 1), "1"), ("7", "0")])
    tongues = cycle([("Français", "Mobile"), (None, "Ordinateur"), ("Anglais", None), (None, None)])
    starts = cycle(["2019-09-30T23:59:00+02:00", "2019-09-05T00:01:00+02:00"])
    for number, (length, code) in enumerate(product(lengths, codes)):
        received, sent = next(volumes)
        language, device = next(tongues)
        yield {
            "site_code": f"PW{number % 3}",
            "started_at": next(starts),
            "duration_s": length,
            "postal_code": code,
            "bytes_in": received,
            "bytes_out": sent,
            "packets_in": str(number),
            "language": language,
            "device": device,
        }


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Zone:
    """A lake with two months: the real sessions and hostile ones, and a month of one session."""
    made = Zone(tmp_path_factory.mktemp("zone"))
    rows = [*usage_rows(), *hostile_rows()]
    later = next(iter(usage_rows())) | {"started_at": "2019-10-01T00:00:00+02:00"}
    for slot, month in ((SEPTEMBER, rows), (OCTOBER, [later])):
        made.slot(USAGE.dataset, slot, [made.part(USAGE.dataset, slot, NEW, month)], len(month))
    made.run(paris_wifi.transform)
    return made


@pytest.mark.parametrize("slot", [SEPTEMBER, OCTOBER])
@pytest.mark.parametrize("table", GRAINS)
def test_parts_add_up_to_the_sessions(zone: Zone, table: str, slot: str) -> None:
    grain = GRAINS[table]
    sessions, parts = zone.table("wifi_sessions", slot), zone.table(table, slot)
    assert {part["slot_start"] for part in parts} == {sessions[0]["slot_start"]}
    expected = {key: _added(rows) for key, rows in _grouped(sessions, grain).items()}
    found = {
        tuple(part[name] for name in grain): {
            name: part[name] for name in part if name not in (*grain, "slot_start")
        }
        for part in parts
    }
    assert len(found) == len(parts), "two rows of one grain"
    names = set(parts[0]) - {*grain, "slot_start"}
    assert found == {key: {name: told[name] for name in names} for key, told in expected.items()}


def test_no_session_is_lost_however_absurd(zone: Zone) -> None:
    sessions = zone.table("wifi_sessions", SEPTEMBER)
    assert len(sessions) == len(usage_rows()) + len(list(hostile_rows()))
    classes = Counter(row["length_class"] for row in sessions)
    assert classes == {
        "counted": 5 + 3 * 8, "zero": 8, "negative": 8, "missing": 16, "over_limit": 8,
    }  # fmt: skip
    districts = Counter(row["district_class"] for row in sessions)
    assert districts == {"known": 5 + 4 * 8, "outside": 8, "malformed": 8, "missing": 16}
    sixteenth = [row for row in sessions if row["district"] == 16]
    assert {row["postal_code_given"] for row in sixteenth} == {"75016", "75116"}
    repaired = {row["postal_code_given"] for row in sessions if row["postal_code_repaired"]}
    assert repaired == {"75002.0"}


def test_the_real_sessions_all_count(zone: Zone) -> None:
    first, *_ = [row for row in zone.table("wifi_sessions", SEPTEMBER) if row["line"] == 2]
    assert (first["minutes"], first["length_class"]) == (pytest.approx(120.683333), "counted")
    assert first["minutes_given"] == 120.683333


def test_each_slot_of_each_table_is_one_file(zone: Zone) -> None:
    made = {(w.table, w.slot): len(w.files) for w in zone.receipt.written if w.rows}
    assert set(made.values()) == {1}
    assert len(made) == 2 * (1 + len(GRAINS))


def _grouped(rows: Iterable[dict[str, Any]], grain: tuple[str, ...]) -> dict[Any, Rows]:
    """The rows by their values of the grain."""
    groups: dict[Any, Rows] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in grain)].append(row)
    return groups


def _added(rows: Rows) -> dict[str, int]:
    """The parts of some sessions, added up one by one."""
    classes = Counter(row["length_class"] for row in rows)
    voluminous = [
        (row["bytes_in"], row["bytes_out"])
        for row in rows
        if all(0 <= (row[name] if row[name] is not None else -1) <= paris_wifi.MOST_BYTES
               for name in ("bytes_in", "bytes_out"))
    ]  # fmt: skip
    return {
        "sessions": len(rows),
        "milliseconds": sum(
            round(1000 * row["duration_s"]) for row in rows if row["length_class"] == "counted"
        ),
        "bytes_in": sum(received for received, _ in voluminous),
        "bytes_out": sum(sent for _, sent in voluminous),
        "sessions_with_bytes": len(voluminous),
        "postal_codes_repaired": sum(row["postal_code_repaired"] for row in rows),
    } | {name: classes[known] for name, known in CLASSES.items()}
