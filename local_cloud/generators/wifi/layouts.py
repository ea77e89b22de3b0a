"""The two layouts of the publisher's usage export: French labels, and the names of its API.

The layout with labels is that of the five real rows in `tests/data/wifi`: local time with its
offset, CRLF, no byte order mark, MiB, two names that occur twice. The API's layout (version 2.1)
says UTC, prints a dash while a session is open, GiB, each name once, and begins with a byte order
mark. No real export in it was at hand, so its columns follow the order in which others list them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from local_cloud.generators.rng import Integers
from local_cloud.generators.wifi.population import (
    LANGUAGES,
    LONGEST_SECONDS,
    PARIS,
    Hours,
    Population,
    WifiSite,
)

END = "\r\n"
"""What ends a line, in both layouts."""

LABELS = (
    "Code Site", "Date heure début", "Date heure fin", "Temps de session en secondes",
    "Temps de sessions en minutes", "Nom du site", "Code postal", "Type d'appareil",
    "Constructeur appareil", "Version système exploitation", "Version navigateur",
    "Donnée entrante (Octet)", "Donnée entrante (MégaOctet)", "Donnée sortante (Octet)",
    "Donnée sortante (MégaOctet)", "Paquets entrants", "Paquets sortants", "Langue utilisateur",
    "geo_shape", "geo_point_2d", "Etat du site", "Nom du site", "Adresse", "Nombre de bornes",
    "Code postal",
)  # fmt: skip
"""The publisher's labels; two of them occur twice."""

API_NAMES = (
    "code_site", "datetime", "endtime_or_dash", "duration", "temps_de_sessions_en_minutes",
    "nom_site", "incomingzonelabel", "incomingnetworklabel", "cp", "arc_adresse",
    "device_portal_format", "device_constructor_name", "device_operating_system_name_version",
    "device_browser_name_version", "bytesin", "donnee_entrante_go", "bytesout",
    "donnee_sortante_gigaoctet", "packetsin", "packetsout", "userlanguage", "geo_point_2d",
    "geo_shape", "nombre_de_borne_wifi", "etat2",
)  # fmt: skip
"""The names of version 2.1 of the publisher's API."""


class ExportLayout(StrEnum):
    """How an export is printed."""

    LABELS = "labels"
    API = "api"

    @property
    def header(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return LABELS if self is ExportLayout.LABELS else API_NAMES

    @property
    def zone(self) -> ZoneInfo:
        """The zone times are printed in."""
        return PARIS if self is ExportLayout.LABELS else ZoneInfo("UTC")

    @property
    def head(self) -> str:
        """The export's first line, with the byte order mark where there is one."""
        mark = "" if self is ExportLayout.LABELS else "\ufeff"
        return mark + printed(self.header)


@dataclass(frozen=True)
class Sessions:
    """Sessions as numbers, an array a column; places are indices into a population's tables."""

    hour: Integers
    second: Integers
    """Seconds since the hour, 0 to 3599."""
    duration: Integers
    """Seconds, `LONGEST_SECONDS` at most."""
    site: Integers
    device: Integers
    language: Integers
    bytes_in: Integers
    bytes_out: Integers
    packets_in: Integers
    packets_out: Integers


class Printer:
    """Prints sessions as lines of a layout; what does not change is printed once, here."""

    def __init__(self, layout: ExportLayout, drawn_from: Population) -> None:
        self._hours = drawn_from.hours
        self._layout = layout
        self._stamps = _stamps(self._hours, layout)
        self._minutes = _minutes(layout)
        # Lengths come again and again; printing one takes longer than looking it up.
        self._lengths = [f"{n};{n / 60:.6f}" for n in range(LONGEST_SECONDS + 1)]
        self._codes = [f"{site.code};" for site in drawn_from.sites]
        middle, tail = (
            (_label_middle, _label_tail)
            if layout is ExportLayout.LABELS
            else (_api_middle, _api_tail)
        )
        self._middles = [middle(site) for site in drawn_from.sites]
        self._tails = [tail(site) for site in drawn_from.sites]
        self._devices = [";".join(device) for device in drawn_from.devices]

    def lines(self, sessions: Sessions) -> list[str]:
        """Print the sessions, one line each, with its end."""
        elapsed = sessions.second + sessions.duration
        starts = self._times(sessions.hour, sessions.second)
        ends = self._times(sessions.hour + elapsed // 3600, elapsed % 3600)
        if self._layout is ExportLayout.API:
            closed = (sessions.hour + elapsed // 3600 < self._hours.starting).tolist()
            ends = [end if done else "-" for end, done in zip(ends, closed, strict=True)]
        codes, middles, devices, tails = self._codes, self._middles, self._devices, self._tails
        lengths = self._lengths
        unit = 2**20 if self._layout is ExportLayout.LABELS else 2**30
        rows = zip(
            starts, ends, sessions.duration.tolist(), sessions.site.tolist(),
            sessions.device.tolist(), sessions.language.tolist(), sessions.bytes_in.tolist(),
            sessions.bytes_out.tolist(), sessions.packets_in.tolist(),
            sessions.packets_out.tolist(), strict=True,
        )  # fmt: skip
        return [
            f"{codes[site]}{start};{end};{lengths[seconds]}{middles[site]}"
            f"{devices[device]};{received};{received / unit:.6f};{sent};{sent / unit:.6f};"
            f"{packets_in};{packets_out};{LANGUAGES[language]}{tails[site]}"
            for start, end, seconds, site, device, language, received, sent, packets_in, packets_out in rows
        ]

    def _times(self, hour: Integers, second: Integers) -> list[str]:
        """Print times, cut to the minute."""
        stamps, minutes = self._stamps, self._minutes
        places = (second // 60 + 60 * self._hours.summer[hour]).tolist()
        return [stamps[at] + minutes[n] for at, n in zip(hour.tolist(), places, strict=True)]


def printed(fields: Sequence[str]) -> str:
    """Print fields as a line of the export, with its end; quoted only where necessary."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=";", lineterminator=END).writerow(fields)
    return text.getvalue()


def _stamps(hours: Hours, layout: ExportLayout) -> list[str]:
    """Print the times of the hours, up to the minute: `2019-09-05T15:`."""
    first = hours.first.astimezone(UTC)
    return [
        (first + timedelta(hours=n)).astimezone(layout.zone).isoformat()[: len("2019-09-05T15:")]
        for n in range(len(hours.summer))
    ]


def _minutes(layout: ExportLayout) -> list[str]:
    """Print the rest of a time by minute, of winter and then of summer: `59:00+02:00`."""
    offsets = ("+01:00", "+02:00") if layout is ExportLayout.LABELS else ("+00:00", "+00:00")
    return [f"{minute:02}:00{offset}" for offset in offsets for minute in range(60)]


def _label_middle(site: WifiSite) -> str:
    """Print what is between a session's length and its device."""
    return ";" + printed([site.name, site.postal_code]).removesuffix(END) + ";"


def _label_tail(site: WifiSite) -> str:
    """Print what follows the language; the real rows round coordinates to 12 digits."""
    lon, lat = f"{site.longitude:.12g}", f"{site.latitude:.12g}"
    shape = f'{{"type": "Point", "coordinates": [{lon}, {lat}]}}'
    return ";" + printed(
        [shape, f"{lat},{lon}", site.state, site.name, site.address, f"{site.access_points}.0",
         site.postal_code]
    )  # fmt: skip


def _api_middle(site: WifiSite) -> str:
    """Print what is between a session's length and its device; zone and network are empty."""
    fields = [site.name, "", "", site.postal_code, site.address]
    return ";" + printed(fields).removesuffix(END) + ";"


def _api_tail(site: WifiSite) -> str:
    """Print what follows the language."""
    shape = f'{{"coordinates": [{site.longitude}, {site.latitude}], "type": "Point"}}'
    point = f"{site.latitude}, {site.longitude}"
    return ";" + printed([point, shape, str(site.access_points), site.state])
