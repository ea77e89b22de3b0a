"""A small lake of Paris Wi-Fi: a dozen sessions and three lists, in the tables the job makes of them.

The additive parts are summed here from the sessions, so that every layer says the same; what the
reports must make of them is calculated by hand in the tests.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.warehouse import Warehouse

type Row = dict[str, Any]

_SITE_DAY = ("slot_start", "local_day", "site_code", "district", "district_class", "place")
_LENGTHS = {
    "sessions_missing_length": "missing",
    "sessions_zero": "zero",
    "sessions_negative": "negative",
    "sessions_over_limit": "over_limit",
}


@dataclass(frozen=True)
class Session:
    """A session; a place is a district's number or the class of a postal code that is none."""

    day: str
    hour: int
    site: str
    place: int | str
    seconds: float | None
    length_class: str = "counted"
    language: str | None = "Français"
    device: str | None = "Mobile"
    volumes: tuple[int, int] | None = None
    repaired: bool = False

    @property
    def counted(self) -> int:
        """The length that counts, in milliseconds, else zero."""
        return round(1000 * (self.seconds or 0)) if self.length_class == "counted" else 0

    @property
    def slot_start(self) -> str:
        """First day of its month."""
        return f"{self.day[:7]}-01"

    @property
    def district(self) -> Row:
        """The columns of its place."""
        return placed(self.place)

    def parts(self) -> dict[str, int]:
        """What it adds to every sum."""
        counts = self.length_class == "counted"
        return {"sessions": 1, "sessions_counted": int(counts), "milliseconds": self.counted}

    def wide_parts(self) -> dict[str, int]:
        """What else it adds to a sum of `wifi_site_days`."""
        lengths = {name: int(self.length_class == c) for name, c in _LENGTHS.items()}
        received, sent = self.volumes or (0, 0)
        return lengths | {
            "bytes_in": received,
            "bytes_out": sent,
            "sessions_with_bytes": int(self.volumes is not None),
            "postal_codes_repaired": int(self.repaired),
        }

    def row(self) -> Row:
        """Its row of `wifi_sessions`."""
        volumes = self.volumes or (None, None)
        return self.district | {
            "slot_start": self.slot_start,
            "started_at": f"{self.day}T{self.hour:02}:00:00Z",
            "local_day": self.day,
            "local_hour": self.hour,
            "duration_s": self.seconds,
            "minutes": self.counted / 60_000 if self.length_class == "counted" else None,
            "milliseconds": self.counted if self.length_class == "counted" else None,
            "length_class": self.length_class,
            "site_code": self.site,
            "postal_code_repaired": self.repaired,
            "device": self.device,
            "language": self.language,
            "bytes_in": volumes[0],
            "bytes_out": volumes[1],
            "run": "r",
        }


def placed(place: int | str) -> Row:
    """The columns of a place: a district's number, or the class of what is none."""
    is_district = isinstance(place, int)
    return {
        "district": place if is_district else None,
        "district_class": "known" if is_district else place,
        "place": str(place),
    }


def fill_sessions(warehouse: Warehouse, sessions: Sequence[Session]) -> None:
    """Fill the four tables of `paris_wifi_usage`."""
    warehouse.fill("lake.wifi_sessions", *(each.row() for each in sessions))
    site_days = _summed(sessions, _SITE_DAY, wide=True)
    warehouse.fill("lake.wifi_site_days", *site_days)
    languages = _summed(sessions, ("slot_start", "language", "device"))
    warehouse.fill("lake.wifi_language_devices", *languages)
    hours = _summed(sessions, ("slot_start", "local_day", "local_hour"))
    warehouse.fill("lake.wifi_hours", *hours)


def fill_sites(warehouse: Warehouse, lists: Mapping[str, Iterable[Row]]) -> None:
    """Fill `wifi_sites` with the lists of some days."""
    rows = [
        {"slot_start": day, "name": row.get("site_code") or "KIOSK", "run": "r"} | row
        for day, listed in lists.items()
        for row in listed
    ]
    warehouse.fill("lake.wifi_sites", *rows)


def loaded(dataset: str, slot: str, rows: int, **more: Any) -> Row:
    """A row of the ledger."""
    return {
        "dataset": dataset,
        "slot": slot,
        "system": "paris_wifi",
        "version": "v1",
        "revision": "r1",
        "manifest": "m1",
        "run": "20240901T041700Z",
        "rows_in": rows,
        "rows_out": rows,
        "rejected": 0,
        "duplicates": 0,
        "origin": "publisher",
        "loaded_at": "2024-09-01T04:20:00Z",
    } | more


def _summed(sessions: Iterable[Session], keys: tuple[str, ...], *, wide: bool = False) -> list[Row]:
    """One row per distinct value of the keys, with the sums of what each session adds."""
    sums: dict[tuple[Any, ...], dict[str, int]] = {}
    for each in sessions:
        row = each.row()
        total = sums.setdefault(tuple(row[key] for key in keys), defaultdict(int))
        for name, value in (each.parts() | (each.wide_parts() if wide else {})).items():
            total[name] += value
    return [dict(zip(keys, key, strict=True)) | dict(total) for key, total in sums.items()]
