"""A small Paris Wi-Fi usage export in the publisher's label layout, made up and seeded.

For the demo and for tests. Its numbers say nothing about Paris: whoever serves it declares the
origin `synthetic`.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_LABELS = (
    "Code Site;Date heure début;Date heure fin;Temps de session en secondes;"
    "Temps de sessions en minutes;Nom du site;Code postal;Type d'appareil;Constructeur appareil;"
    "Version système exploitation;Version navigateur;Donnée entrante (Octet);"
    "Donnée entrante (MégaOctet);Donnée sortante (Octet);Donnée sortante (MégaOctet);"
    "Paquets entrants;Paquets sortants;Langue utilisateur;geo_shape;geo_point_2d;Etat du site;"
    "Nom du site;Adresse;Nombre de bornes;Code postal"
)
HEADER = tuple(_LABELS.split(";"))
"""The publisher's labels; two of them stand twice."""

_PARIS = ZoneInfo("Europe/Paris")
_SITES = (
    (
        "PW0134",
        "BIB CHARLOTTE DELBO",
        "75002",
        "2 PASSAGE DES PETITS PERES",
        2.34043449,
        48.86650758,
    ),
    ("PW0030", "MVAC 12", "75012", "181 AVENUE DAUMESNIL", 2.39250677, 48.84048781),
    ("PW0181", "PONT NOTRE DAME-BERGES RD", "75004", "QUAI DE GESVRES 2", 2.34892300, 48.85668757),
    ("PW0111", "BIB BUFFON", "75005", "15 B RUE BUFFON", 2.36186824, 48.84254660),
    (
        "PW0161",
        "ESPLANADE DES INVALIDES",
        "75007",
        "1 RUE PAUL ET JEAN LEROLLE",
        2.31289426,
        48.85818974,
    ),
)
_DEVICES = (("Mobile", "Samsung", "Android 8.0.0"), ("Ordinateur", "Apple", "Mac OS X 10.14.3"))
_LANGUAGES = ("Français", "Français", "Français", "Anglais", "Espagnol")


def usage_export(
    rows: int, first: datetime, days: int, *, seed: int = 1, bad_share: float = 0.0
) -> bytes:
    """The bytes of an export of `rows` sessions spread over `days` from the UTC instant `first`.

    A share of `bad_share` rows has a start that no one can parse. The same arguments give the same
    bytes.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=";", lineterminator="\r\n")
    writer.writerow(HEADER)
    writer.writerows(_sessions(rows, first, days, random.Random(seed), bad_share))  # noqa: S311
    return text.getvalue().encode()


def _sessions(
    rows: int, first: datetime, days: int, chance: random.Random, bad_share: float
) -> Iterator[list[str]]:
    """Sessions in order of their start."""
    starts = sorted(chance.uniform(0, days * 86_400) for _ in range(rows))
    for offset in starts:
        start = (first + timedelta(seconds=offset)).astimezone(UTC).replace(second=0, microsecond=0)
        seconds = max(1, int(chance.lognormvariate(7, 1)))
        yield _row(start, seconds, chance, bad=chance.random() < bad_share)


def _row(start: datetime, seconds: int, chance: random.Random, *, bad: bool) -> list[str]:
    """One session as the export prints it."""
    code, name, district, address, longitude, latitude = chance.choice(_SITES)
    device, maker, system = chance.choice(_DEVICES)
    received, sent = int(chance.lognormvariate(15, 2)), int(chance.lognormvariate(13, 2))
    end = (start + timedelta(seconds=seconds)).replace(second=0)
    shape = f'{{"type": "Point", "coordinates": [{longitude}, {latitude}]}}'
    return [
        code, "n'importe quoi" if bad else _local(start), _local(end), str(seconds),
        f"{seconds / 60:.6f}", name, district, device, maker, system, "inconnu", str(received),
        f"{received / 2**20:.6f}", str(sent), f"{sent / 2**20:.6f}", str(received // 1000),
        str(sent // 1000), chance.choice(_LANGUAGES), shape, f"{latitude},{longitude}",
        "Opérationnel", name, address, "2.0", district,
    ]  # fmt: skip


def _local(instant: datetime) -> str:
    """Paris time with its offset, as the export prints it."""
    return instant.astimezone(_PARIS).isoformat()
