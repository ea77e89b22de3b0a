"""The distributions of made-up sessions: when, where, how long, device, language.

The shares follow what the dashboard of an earlier pipeline on this export showed (its yearly
volumes, its ranking of districts, its pie of languages), so that reports meet the shape they were
made for. They are no finding about Paris. The sites alone are real: they are the publisher's lists
of 2023 and 2024.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from local_cloud.generators.rng import Fractions, Integers, Quantiles, wheel

PARIS = ZoneInfo("Europe/Paris")

VOLUMES = {
    2019: 55_000, 2020: 110_000, 2021: 170_000, 2022: 340_000, 2023: 1_265_000, 2024: 970_000,
}  # fmt: skip
"""Sessions a year; a year before or after these has the volume of the nearest."""

LIMIT_SECONDS = 7200
"""The portal ends a session after two hours: the real rows crowd just above it."""

LONGEST_SECONDS = LIMIT_SECONDS + 60
"""The longest session without a fault."""

_SAMPLES = Path(__file__).parents[3] / "tests" / "data" / "wifi"

_YEARS = tuple(VOLUMES)

_MONDAY_TO_THURSDAY, _FRIDAY, _WEEKEND = range(3)

_SESSIONS_A_DAY = (185, 200, 160)
"""Monday to Thursday, Friday, a day of the weekend, to each other."""

_HOURS = (
    (9, 5, 3, 2, 2, 4, 10, 22, 40, 60, 78, 90, 105, 104, 100, 102, 106, 108, 96, 70, 46, 32, 22, 14),
    (10, 6, 4, 3, 2, 4, 10, 21, 38, 58, 77, 90, 106, 106, 102, 105, 110, 112, 102, 78, 56, 42, 32, 20),
    (16, 11, 8, 5, 3, 3, 5, 9, 18, 38, 66, 88, 96, 100, 112, 120, 122, 116, 98, 70, 48, 36, 28, 20),
)  # fmt: skip
"""Sessions by the local hour they start in, by kind of day."""

_YEAR_MINUTES = (39.3, 42.1, 35.0, 34.3, 37.6, 43.3)

_KIND_MINUTES = (1.037, 1.016, 0.912)

_SHORT_SECONDS = Quantiles(
    ((0, 1), (0.05, 20), (0.25, 180), (0.5, 480), (0.75, 1500), (0.9, 3600), (1, LIMIT_SECONDS))
)

BYTES_IN = Quantiles(
    (
        (0, 200), (0.05, 50_000), (0.25, 1_500_000), (0.5, 9_000_000), (0.75, 55_000_000),
        (0.95, 400_000_000), (1, 3_000_000_000),
    )
)  # fmt: skip
"""Bytes that a session receives."""

_SITE_RATES = {
    "75001": 15.2, "75002": 5.1, "75003": 4.4, "75004": 6.3, "75005": 5.6, "75006": 4.8,
    "75007": 7.9, "75008": 3.6, "75009": 3.1, "75010": 5.0, "75011": 4.2, "75012": 3.3,
    "75013": 4.9, "75014": 3.4, "75015": 3.8, "75016": 2.2, "75017": 2.9, "75018": 5.9,
    "75019": 4.6, "75020": 3.0,
}  # fmt: skip

_SITE_RATE_OUTSIDE = 0.8
"""Sessions per site and day by postal code, to each other."""

_PLANNED = ("En étude", "En déploiement")

_FRENCH = (0.662, 0.718, 0.726, 0.668, 0.624, 0.611)

_OTHERS = (
    ("Anglais", 195), ("Espagnol", 32), ("Russe", 19), ("Portugais", 18), ("Allemand", 17),
    ("Italien", 16), ("Chinois simplifié", 13), ("Arabe", 11), ("Néerlandais", 5), ("Polonais", 4),
    ("Coréen", 4), ("Japonais", 4), ("Turc", 3), ("Roumain", 3), ("Chinois traditionnel", 3),
    ("Ukrainien", 2), ("Suédois", 1), ("Hébreu", 1), ("inconnu", 2),
)  # fmt: skip

LANGUAGES = ("Français", *(name for name, _ in _OTHERS))
"""Languages as the export names them."""

_SYSTEMS = (
    ("Mobile", "Apple", "iOS 12.4", 2019, 2021, 14), ("Mobile", "Apple", "iOS 14.6", 2021, 2023, 15),
    ("Mobile", "Apple", "iOS 16.3", 2023, 9999, 18), ("Mobile", "Samsung", "Android 8.0.0", 2019, 2022, 10),
    ("Mobile", "Samsung", "Android 11", 2021, 9999, 12), ("Mobile", "Xiaomi", "Android 10", 2020, 9999, 6),
    ("Mobile", "Huawei", "Android 9", 2019, 9999, 6), ("Mobile", "autre", "Android 7.1.1", 2019, 2023, 8),
    ("Mobile", "autre", "Android 13", 2023, 9999, 9), ("Mobile", "autre", "inconnu", 2019, 9999, 7),
    ("Ordinateur", "Apple", "Mac OS X 10.14.3", 2019, 9999, 8),
    ("Ordinateur", "Apple", "Mac OS X 10.15.7", 2020, 9999, 9),
    ("Ordinateur", "autre", "Windows 10", 2019, 9999, 19), ("Ordinateur", "autre", "Windows 7", 2019, 2023, 4),
    ("Ordinateur", "autre", "Linux", 2019, 9999, 2),
)  # fmt: skip
"""Device, maker, system, the years it is seen from and before, weight."""

_BROWSERS = (
    ("Chrome", 76, 9, 8),
    ("Firefox", 69, 11, 3),
    ("Safari", 12, 1, 4),
    ("inconnu", 0, 0, 3),
)
"""Browser, its major version in 2019, versions a year, weight."""


@dataclass(frozen=True)
class WifiSite:
    """A site as the publisher's list has it."""

    code: str
    name: str
    address: str
    postal_code: str
    access_points: int
    state: str
    latitude: float
    longitude: float


@dataclass(frozen=True)
class Hours:
    """The hours of a span of days, a row each, in order; an hour that does not exist has none.

    Sessions may end in the hours behind the `starting` first, which lie after the span.
    """

    first: datetime
    starting: int
    before: Integers
    """Weight of all hours before each, and at last of all."""
    year: Integers
    kind: Integers
    month: Integers
    """Months since the year 0, by local time."""
    summer: Integers
    """1 where Paris is two hours ahead of UTC, else 0."""

    @property
    def weight(self) -> int:
        """The weight of all hours."""
        return int(self.before[-1])


@dataclass(frozen=True)
class Population:
    """Tables from which a session is drawn; the second index is a place on a wheel."""

    hours: Hours
    sites: tuple[WifiSite, ...]
    site: Integers
    language: Integers
    """By year."""
    devices: tuple[tuple[str, str, str, str], ...]
    """Device, maker, system, browser."""
    device: Integers
    """By year."""
    at_limit: Fractions
    """Share of sessions that run into the portal's limit, by year and kind of day."""
    short: Quantiles = _SHORT_SECONDS
    """Seconds of the others."""


@lru_cache(maxsize=4)
def population(first: date, last: date) -> Population:
    """Build the tables for sessions on the local days from `first` to `last`, both included."""
    places = sites()
    devices, device = _devices()
    return Population(
        hours=_hours(first, last),
        sites=places,
        site=wheel(_site_weight(at, place) for at, place in enumerate(places)),
        language=np.stack([_languages(share) for share in _FRENCH]),
        devices=devices,
        device=device,
        at_limit=_at_limit(),
    )


def sites() -> tuple[WifiSite, ...]:
    """List the publisher's sites that have a code and are built; the newer list counts."""
    older = json.loads((_SAMPLES / "sites_2023-05_simonejw.geojson").read_bytes())
    newer = json.loads((_SAMPLES / "sites_2024-09_sio_v21_records.json").read_bytes())
    found: dict[str, dict[str, Any]] = {}
    for each in (*(feature["properties"] for feature in older["features"]), *newer["results"]):
        if each["idpw"] and each["etat2"] not in _PLANNED:
            found[each["idpw"]] = each
    return tuple(_site(each) for _, each in sorted(found.items()))


def _site(each: dict[str, Any]) -> WifiSite:
    """Convert a record of the list to a site."""
    point = each["geo_point_2d"]
    return WifiSite(
        each["idpw"], each["nom_site"], each["arc_adresse"], each["cp"],
        each["nombre_de_borne_wifi"], each["etat2"], point["lat"], point["lon"],
    )  # fmt: skip


def _site_weight(at: int, site: WifiSite) -> float:
    """Draw a site's sessions a day: its district's rate, more or less by half."""
    return _SITE_RATES.get(site.postal_code, _SITE_RATE_OUTSIDE) * (50 + at * 37 % 101)


def _hours(first: date, last: date) -> Hours:
    """List the hours of a span of local days, weighted, and six more for sessions to end in."""
    begin = datetime.combine(first, time(), PARIS).astimezone(UTC)
    end = datetime.combine(last + timedelta(days=1), time(), PARIS).astimezone(UTC)
    starting = (end - begin) // timedelta(hours=1)
    local = [(begin + timedelta(hours=n)).astimezone(PARIS) for n in range(starting + 6)]
    years = np.array([min(max(t.year, _YEARS[0]), _YEARS[-1]) - _YEARS[0] for t in local])
    kinds = np.array([_kind(t.date()) for t in local])
    weights = _hour_weights()[years, kinds, [t.hour for t in local]][:starting]
    return Hours(
        first=begin,
        starting=starting,
        before=np.concatenate(([0], np.cumsum(weights))),
        year=years,
        kind=kinds,
        month=np.array([t.year * 12 + t.month - 1 for t in local]),
        summer=np.array([int(t.utcoffset() == timedelta(hours=2)) for t in local]),
    )


def _kind(day: date) -> int:
    """Return the kind of a day of the week."""
    weekday = day.isoweekday()
    return _MONDAY_TO_THURSDAY if weekday < 5 else _FRIDAY if weekday == 5 else _WEEKEND


def _hour_weights() -> Integers:
    """Calculate the weights of an hour by year, kind of day and hour of the day."""
    return np.array(
        [
            [[_hour_weight(year, kind, hour) for hour in range(24)] for kind in range(len(_HOURS))]
            for year in _YEARS
        ],
        dtype=np.int64,
    )


def _hour_weight(year: int, kind: int, hour: int) -> int:
    """Calculate one hour's weight: its share of the day, the day's of the year's volume."""
    mean_day = (4 * _SESSIONS_A_DAY[0] + _SESSIONS_A_DAY[1] + 2 * _SESSIONS_A_DAY[2]) / 7
    day = VOLUMES[year] / (366 if year % 4 == 0 else 365) * _SESSIONS_A_DAY[kind] / mean_day
    return round(1_000_000 * day * _HOURS[kind][hour] / sum(_HOURS[kind]))


def _languages(french: float) -> Integers:
    """Build the wheel of languages in a year with this share of French."""
    others = sum(weight for _, weight in _OTHERS)
    return wheel((french, *(weight / others * (1 - french) for _, weight in _OTHERS)))


def _devices() -> tuple[tuple[tuple[str, str, str, str], ...], Integers]:
    """List every device that is seen in a year, and the wheel of each year."""
    devices: list[tuple[str, str, str, str]] = []
    weights: list[list[float]] = []
    for at, year in enumerate(_YEARS):
        for device, maker, system, since, until, weight in _SYSTEMS:
            for browser, major, pace, share in _BROWSERS:
                name = f"{browser} {major + pace * at}.0" if major else browser
                devices.append((device, maker, system, name))
                weight_now = weight * share if since <= year < until else 0
                weights.append([weight_now if n == at else 0.0 for n in range(len(_YEARS))])
    return tuple(devices), np.stack([wheel(column) for column in zip(*weights, strict=True)])


def _at_limit() -> Fractions:
    """Calculate the share of sessions at the limit that gives the year's and day's mean."""
    short, long = _SHORT_SECONDS.mean, (LIMIT_SECONDS + LONGEST_SECONDS) / 2
    means = [[60 * minutes * kind for kind in _KIND_MINUTES] for minutes in _YEAR_MINUTES]
    return (np.array(means) - short) / (long - short)
