"""Files as publishers really send them, wrong and odd ones, with what must become of each."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from local_cloud.generators.wifi.layouts import LABELS as HEADER
from tests.support.house import APRIL, MAY, export, month

WIFI = Path(__file__).parents[1] / "data" / "wifi"

SITES_2017 = WIFI / "sites_2017-05_juuljul_v1_records.json"

SITES_2023 = WIFI / "sites_2023-05_simonejw.geojson"

SITES_2024 = WIFI / "sites_2024-09_sio_v21_records.json"

REAL_USAGE = WIFI / "usage_2019-09-05_head5_from_notebook.csv"

Counts = tuple[int, int, dict[str, int], int]
"""Rows in, rows out, rejected by reason, duplicates."""


@dataclass(frozen=True)
class Refused:
    """A run that must be refused: what is wrong, and what the sentence must say."""

    name: str
    body: bytes
    said: str
    file: str = "data.csv"


@dataclass(frozen=True)
class AcceptedFile:
    """A run that must be accepted, with exact counts by slot."""

    name: str
    body: bytes
    slots: dict[str, Counts]
    encoding: str = "utf-8"
    unknown: tuple[str, ...] = ()
    same: bool = False
    """Whether its rows are those of the first run, so that nothing is loaded again."""
    file: str = "data.csv"


GOOD = export(APRIL, MAY)

BOTH: dict[str, Counts] = {"2024-04": (10, 10, {}, 0), "2024-05": (10, 10, {}, 0)}


def rows(*months: bytes) -> list[list[str]]:
    """The fields of sessions."""
    return list(csv.reader(io.StringIO(b"".join(months).decode(), newline=""), delimiter=";"))


def table(lines: Sequence[Sequence[str]], separator: str = ";", end: str = "\r\n") -> bytes:
    """A file of these lines, header included."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator=end).writerows(lines)
    return text.getvalue().encode("utf-8", "surrogateescape")


def with_header(change: Callable[[list[str]], list[str]]) -> bytes:
    """The good file under a changed header."""
    return table([change(list(HEADER)), *rows(APRIL, MAY)])


def by_column(change: Callable[[list[str]], list[str]]) -> bytes:
    """The good file, with every line changed alike."""
    return table([change(list(line)) for line in (HEADER, *rows(APRIL, MAY))])


def renamed(old: str, new: str) -> Callable[[list[str]], list[str]]:
    """A header with one name changed."""
    return lambda header: [new if name == old else name for name in header]


def started(*times: str) -> bytes:
    """A file of sessions, each at one of these times and still open."""
    lines = rows(month(datetime(2024, 3, 1, tzinfo=UTC), len(times), seed=9))
    for line, time in zip(lines, times, strict=True):
        line[1:3] = [time, ""]
    return table([HEADER, *lines])


def faulty() -> bytes:
    """Forty good sessions of February and one of every kind that cannot be taken."""
    good = rows(month(datetime(2024, 2, 2, tzinfo=UTC), 40, seed=5))
    cells = [
        (17, "Fran\udce7ais"), (17, "a\0b"), (5, "x" * 10_000_000), (5, "x" * 140_000), (0, ""),
        (1, "1987-01-01T00:00:00+02:00"), (1, "2031-06-07T00:00:00+02:00"),
        (1, "2024-02-30T10:00:00+01:00"), (11, "many"), (11, "9" * 19), (3, "1e999"),
    ]  # fmt: skip
    bad = []
    for at, (column, value) in enumerate(cells):
        line = list(good[at])
        line[column] = value
        bad.append(line)
    bad += [good[20][:-3], [*good[21], "more"]]
    body = table([HEADER, *good[:20], *bad, *good[20:]])
    unclosed = table([good[22]]).replace(b";Op", b';"Op')
    return body + unclosed + table([good[23]])


FAULTY: dict[str, Counts] = {
    "2024-02": (45, 40, {"site_code: empty": 1, "bytes_in: not an integer": 1, "bytes_in: an integer above 64 bits": 1,
                         "duration_s: not a number": 1}, 1),
    "none": (10, 0, {
        "bytes that are not of the encoding": 1, "a NUL byte": 1, "a line above the bound": 1,
        "a field above the bound": 1, "started_at: before 2012-01-01": 1,
        "started_at: in the future": 1, "started_at: not a timestamp": 1,
        "wrong number of fields": 2, "a quote never closes": 1,
    }, 0),
}  # fmt: skip


def without_language() -> bytes:
    """Sessions of August 2022, exported without the column of languages."""
    lines = [list(HEADER), *rows(month(datetime(2022, 8, 2, tzinfo=UTC), 10, seed=10))]
    return table([line[:17] + line[18:] for line in lines])


def doubled() -> bytes:
    """Sessions of October and November 2022, those of October twice."""
    october, november = (
        month(datetime(2022, number, 2, tzinfo=UTC), 10, seed=number) for number in (10, 11)
    )
    return export(october, october, november)


def quoted() -> bytes:
    """Sessions of June 2023, one at a site whose name has separators, quotes and line breaks."""
    lines = rows(month(datetime(2023, 6, 2, tzinfo=UTC), 4, seed=6))
    lines[1][5] = 'PONT;\r\nNOTRE "DAME"\nX\rY'
    return table([HEADER, *lines])


def floats() -> bytes:
    """Sessions of July 2023 as a spreadsheet saves them: codes and counts as floats."""
    lines = rows(month(datetime(2023, 7, 2, tzinfo=UTC), 10, seed=7))
    for line in lines:
        line[6], line[24], line[11] = f"{line[6]}.0", f"{line[24]}.0", f"{line[11]}.0"
    return table([HEADER, *lines])


API_NAMES = {
    "site_code": 0, "datetime": 1, "endtime_or_dash": 2, "duration": 3,
    "temps_de_sessions_en_minutes": 4, "nom_site": 5, "cp": 6, "device_portal_format": 7,
    "device_constructor_name": 8, "device_operating_system_name_version": 9,
    "device_browser_name_version": 10, "bytesin": 11, "donnee_entrante_go": 12, "bytesout": 13,
    "donnee_sortante_gigaoctet": 14, "packetsin": 15, "packetsout": 16, "userlanguage": 17,
    "etat2": 20, "arc_adresse": 22, "nombre_de_borne_wifi": 23,
}  # fmt: skip
"""Names of version 2.1 of the publisher's API → the column of its export."""


def api_rows(first: datetime, count: int) -> list[dict[str, str | None]]:
    """Sessions as version 2.1 of the API names them: instants in UTC, a dash while one is open."""
    records: list[dict[str, str | None]] = []
    for at, line in enumerate(rows(month(first, count, seed=8))):
        record: dict[str, str | None] = {name: line[column] for name, column in API_NAMES.items()}
        for name in ("datetime", "endtime_or_dash"):
            record[name] = datetime.fromisoformat(str(record[name])).astimezone(UTC).isoformat()
        if at % 2:
            record["endtime_or_dash"] = "-"
        records.append({**record, "incomingzonelabel": None, "incomingnetworklabel": None})
    return records


def api_document(first: datetime) -> bytes:
    """Eight sessions as the API answers them."""
    found: list[dict[str, object]] = []
    for record in api_rows(first, 8):
        numbers = {name: int(str(record[name])) for name in ("bytesin", "bytesout")}
        found.append({**record, **numbers, "geo_point_2d": {"lon": 2.3, "lat": 48.8}})
    return json.dumps({"total_count": 8, "results": found}, ensure_ascii=False).encode()


def api_csv(first: datetime) -> bytes:
    """Eight sessions as the API exports them to CSV."""
    found = api_rows(first, 8)
    return table(
        [list(found[0]), *([str(v or "") for v in line.values()] for line in found)], end="\n"
    )


def json_lines(first: datetime) -> bytes:
    """Eight sessions, an object a line."""
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in api_rows(first, 8)).encode()


def zipped() -> bytes:
    """The good file in a ZIP archive."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("data.csv", GOOD)
    return body.getvalue()


REFUSED = [
    Refused("an HTML page", b"<!DOCTYPE html><html><title>Maintenance</title></html>", 'an HTML page ("Maintenance") instead of data; open the URL'),
    Refused("XML", b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>', 'XML ("Access Denied") instead of data; open'),
    Refused("nothing", b"", "the file is empty; ask the publisher"),
    Refused("blanks", b"\r\n \r\n", "the file is empty; ask the publisher"),
    Refused("NUL bytes only", bytes(4_000), "begins with NUL bytes, the publisher's copy is damaged; fetch"),
    Refused("header only", export(), "has 0 rows of data, the contract expects at least 1; wait"),
    Refused("cut in a record", GOOD[:-60], "is cut: line 21, its last, has"),
    Refused("cut in quotes", GOOD[: GOOD.rindex(b'""coord')], "is cut: a quote that opens on line 21 never closes"),
    Refused("cut gzip", gzip.compress(GOOD)[:-20], "gzip is cut, it has no end after", "data.csv.gz"),
    Refused("broken gzip", gzip.compress(GOOD)[:-8] + bytes(8), "gzip is broken after", "data.csv.gz"),
    Refused("gzip bomb", gzip.compress(b"0" * 40_000_000, 9), "over the ratio of 200; look at the file", "data.csv.gz"),
    Refused("comma", table([HEADER, *rows(APRIL)], ","), "separated by a comma, the contract says a semicolon"),
    Refused("tab", table([HEADER, *rows(APRIL)], "\t"), "separated by a tab, the contract says a semicolon"),
    Refused("UTF-16 without mark", GOOD.decode().encode("utf-16-le"), "looks like UTF-16 without a byte order mark; ask"),
    Refused("doubled name", with_header(renamed("Adresse", "Code Site")), '"Code Site" more than once'),
    Refused("renamed column", with_header(renamed("Code Site", "Le Site")), 'column "Code Site" (site_code) is missing; the header has 25 columns: Le Site, Date heure début'),
    Refused("missing column", by_column(lambda line: line[:1] + line[2:]), 'column "Date heure début" (started_at) is missing; the header has 24 columns: Code Site, Date heure fin'),
    Refused("no header", table(rows(APRIL)), 'column "Code Site" (site_code) is missing'),
    Refused("cut JSON", api_document(datetime(2024, 1, 2, tzinfo=UTC))[:-700], "the JSON is cut at character"),
    Refused("error object", b'{"error_code": "ODSQLError", "message": "Too many"}', "an object without records (error_code: ODSQLError; message: Too many); expected"),
    Refused("empty array", b"[]", "has 0 rows of data"),
    Refused("no records", b'{"total_count": 0, "results": []}', "has 0 rows of data"),
    Refused("plain text", b"Service Unavailable\n", 'column "Code Site" (site_code) is missing; the header has 1 columns: Service Unavailable'),
    Refused("ZIP", zipped(), "is a ZIP archive or a spreadsheet (xlsx, ods); only text is read", "data.xlsx"),
    Refused("all in the future", GOOD.replace(b";2024-0", b";2034-0"), "20 of 20 rows are rejected, more than the contract allows (a share of 0.05): started_at: in the future (20); see the rows in quarantine"),
]  # fmt: skip

ACCEPTED = [
    AcceptedFile("as it is", GOOD, BOTH),
    AcceptedFile("BOM", b"\xef\xbb\xbf" + GOOD, BOTH, "utf-8-sig", same=True),
    AcceptedFile("line ends LF", GOOD.replace(b"\r\n", b"\n"), BOTH, same=True),
    AcceptedFile("line ends CR", GOOD.replace(b"\r\n", b"\r"), BOTH, same=True),
    AcceptedFile("no last line end", GOOD.rstrip(), BOTH, same=True),
    AcceptedFile("Latin-1", GOOD.decode().encode("latin-1"), BOTH, "cp1252", same=True),
    AcceptedFile("UTF-16", GOOD.decode().encode("utf-16"), BOTH, "utf-16", same=True),
    AcceptedFile("gzip", gzip.compress(GOOD), BOTH, same=True, file="data.csv.gz"),
    AcceptedFile("unknown extension", GOOD + b"\r\n", BOTH, same=True, file="export (1).dat"),
    AcceptedFile("reordered columns", by_column(lambda line: line[::-1]), BOTH, same=True),
    AcceptedFile("extra column", by_column(lambda line: [*line, f"new {line[0]}"]), BOTH, unknown=("new Code Site",), same=True),
    AcceptedFile("missing column", without_language(), {"2022-08": (10, 10, {}, 0)}),
    AcceptedFile("doubled rows", doubled(), {"2022-10": (20, 10, {}, 10), "2022-11": (10, 10, {}, 0)}),
    AcceptedFile("every fault once", faulty(), FAULTY),
]  # fmt: skip

TOGETHER = [
    # Months of their own, so that one run of all these files reports the outcome of each.
    AcceptedFile("clock changes", started(
        "2024-03-31T01:59:00+01:00", "2024-03-31T03:00:00+02:00", "2024-03-31T03:30:00",
        "2024-03-31T02:30:00", "2023-10-29T02:30:00+02:00", "2023-10-29T02:31:00+01:00",
        "2023-10-29T02:32:00", "2023-10-31T23:30:00Z"),
        {"2024-03": (3, 3, {}, 0), "2023-10": (3, 3, {}, 0), "2023-11": (1, 1, {}, 0),
         "none": (1, 0, {"started_at: not a timestamp": 1}, 0)}),
    AcceptedFile("quoted", quoted(), {"2023-06": (4, 4, {}, 0)}, file="quoted.csv"),
    AcceptedFile("floats", floats(), {"2023-07": (10, 10, {}, 0)}, file="floats.csv"),
    AcceptedFile("API as JSON", api_document(datetime(2023, 1, 2, tzinfo=UTC)), {"2023-01": (8, 8, {}, 0)}, file="usage.json"),
    AcceptedFile("API as CSV", api_csv(datetime(2023, 2, 2, tzinfo=UTC)), {"2023-02": (8, 8, {}, 0)}),
    AcceptedFile("JSON Lines", json_lines(datetime(2023, 3, 2, tzinfo=UTC)), {"2023-03": (8, 8, {}, 0)}, file="usage.jsonl"),
]  # fmt: skip

SITE_LABELS = {
    "Nom du site": "nom_site", "Adresse": "arc_adresse", "Code postal": "cp",
    "Nombre de bornes": "nombre_de_borne_wifi", "Etat du site": "etat2",
    "Identifiant du site": "idpw",
}  # fmt: skip
"""French labels of the publisher's CSV export → names of its GeoJSON."""


def sites_2023() -> list[dict[str, object]]:
    """The properties of the real sites of 2023."""
    found = json.loads(SITES_2023.read_bytes())["features"]
    return [feature["properties"] for feature in found]


def label_export(*, codes: str = "{}") -> bytes:
    """The label export of the sites, derived from the real GeoJSON of 2023.

    As the publisher writes it: byte order mark, `;`, the point as text "lat,lon".
    """
    lines = [[*SITE_LABELS, "geo_point_2d", "geo_shape"]]
    for site in sites_2023():
        cells = ["" if site[name] is None else str(site[name]) for name in SITE_LABELS.values()]
        cells[2] = codes.format(cells[2])
        point = site["geo_point_2d"]
        assert isinstance(point, dict)
        lines.append([*cells, f"{point['lat']},{point['lon']}", '{"type": "Point"}'])
    return b"\xef\xbb\xbf" + table(lines)


def sites_lines() -> bytes:
    """The real sites of 2023, an object a line."""
    return "".join(json.dumps(site) + "\n" for site in sites_2023()).encode()


def sites_without_codes(count: int) -> bytes:
    """The real sites of 2023, the postal codes of the first `count` of them spoilt."""
    found = sites_2023()
    for site in found[:count]:
        site["cp"] = "Paris"
    return json.dumps(found).encode()
