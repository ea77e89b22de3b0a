"""A batch from manifest to receipt, on the local file system and real rows."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import batch
import batch_manifest
import batch_report
import paris_wifi
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from catalog.contract import load_all
from catalog.records import Counts, Manifest, Origin, Receipt, SlotParts

DATA = Path(__file__).parents[2] / "data" / "wifi"
LIST = DATA.parent / "holidays" / "jours_feries_metropole.csv"
CONTRACTS = load_all()
SITES, USAGE = CONTRACTS["paris_wifi_sites"], CONTRACTS["paris_wifi_usage"]
HOLIDAYS = CONTRACTS["french_holidays"]
OLD, NEW = "20250604T021000Z", "20250605T021000Z"
OUTSIDE = {"92100", "93120", "94380"}
"""Where the three sites outside Paris lie."""

Row = dict[str, str | None]


def usage_rows() -> list[Row]:
    """The five sessions of the sample under canonical names."""
    (sample,) = DATA.glob("usage_*.csv")
    with sample.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=";")
        header = next(reader)
        lines = list(reader)
    where = {
        column.name: next(header.index(alias) for alias in column.aliases if alias in header)
        for column in USAGE.columns
    }
    return [{name: line[at] for name, at in where.items()} for line in lines]


def site_rows() -> list[Row]:
    """The sites of May 2023 under canonical names."""
    (sample,) = DATA.glob("sites_2023*.geojson")
    rows = []
    for feature in json.loads(sample.read_text(encoding="utf-8"))["features"]:
        fields = feature["properties"]
        place = fields.get("geo_point_2d") or {}
        points = fields["nombre_de_borne_wifi"]
        rows.append(
            {
                "site_code": fields["idpw"],
                "name": fields["nom_site"],
                "address": fields["arc_adresse"],
                "postal_code": fields["cp"],
                "access_points": None if points is None else str(points),
                "state": fields["etat2"],
                "latitude": str(place["lat"]) if place else None,
                "longitude": str(place["lon"]) if place else None,
            }
        )
    return rows


def holiday_rows() -> list[Row]:
    """The holidays of the sample under canonical names."""
    with LIST.open(encoding="utf-8", newline="") as file:
        return [
            {"date": row["date"], "zone": row["zone"], "name": row["nom_jour_ferie"]}
            for row in csv.DictReader(file)
        ]


class Zone:
    """A landing and a lake in a folder; `size` is what its manifest says of the parts."""

    def __init__(self, folder: Path, *, size: int = 1) -> None:
        self.folder = folder
        self.size = size
        self.slots: list[SlotParts] = []

    def part(self, dataset: str, slot: str, run: str, rows: list[Row]) -> str:
        """Write a part; its URI."""
        path = self.folder / "parts" / dataset / f"slot={slot}" / f"{run}.t.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        names = [column.name for column in CONTRACTS[dataset].columns]
        columns: dict[str, Any] = {
            n: pa.array([r.get(n) for r in rows], pa.string()) for n in names
        }
        columns["run"] = pa.array([run] * len(rows), pa.string())
        columns["line"] = pa.array(range(2, len(rows) + 2), pa.int64())
        pq.write_table(pa.table(columns), path, compression="zstd")
        return f"file://{path}"

    def slot(self, dataset: str, slot: str, parts: list[str], rows_in: int, **more: Any) -> None:
        """Take a slot into the manifest."""
        self.slots.append(
            SlotParts(
                dataset=dataset,
                slot=slot,
                slot_start=CONTRACTS[dataset].calendar.slot_start(slot),
                version="v",
                revision="r",
                origin=Origin.SAMPLE,
                parts=tuple(parts),
                rows_in=rows_in,
                **more,
            )
        )

    def manifest(self) -> Manifest:
        """The manifest of the slots taken."""
        used = [CONTRACTS[d] for d in dict.fromkeys(s.dataset for s in self.slots)]
        return Manifest(
            id="m1",
            system="paris_wifi",
            sealed_at="2025-06-05T02:10:00Z",
            lake=f"file://{self.folder}/lake",
            bytes=self.size,
            slots=tuple(self.slots),
            tables=tuple(table for contract in used for table in contract.lake_tables()),
            contracts={contract.dataset: contract.for_job() for contract in used},
        )

    def run(self, transform: batch.Transform, attempt: int = 1) -> None:
        """Seal the manifest and run the batch."""
        path = self.folder / "m1.json"
        path.write_bytes(self.manifest().encode())
        asked = ["--manifest", f"file://{path}", "--attempt", str(attempt)]
        batch.run(transform, [*asked, "--batch", f"m1-a{attempt}"])

    @property
    def receipt(self) -> Receipt:
        """The receipt that the batch left."""
        path = self.folder / "lake" / "receipts" / "paris_wifi" / "m1.json"
        return Receipt.decode(path.read_bytes())

    def table(self, name: str, slot: str) -> list[dict[str, Any]]:
        """The rows that the receipt's files hold."""
        (written,) = [w for w in self.receipt.written if (w.table, w.slot) == (name, slot)]
        rows: list[dict[str, Any]] = []
        for uri in written.files:
            rows += pq.read_table(uri.removeprefix("file:"), partitioning=None).to_pylist()
        assert len(rows) == written.rows
        return rows


@pytest.fixture
def zone(tmp_path: Path, spark: SparkSession) -> Zone:
    """An empty landing; `spark` is there for the batch to find."""
    return Zone(tmp_path)


def test_real_rows_of_three_data_sets_in_a_large_batch(
    zone: Zone, spark: SparkSession, large: None
) -> None:
    zone.size = batch.SMALL_BYTES
    adaptive: list[str | None] = []

    def transform(frames: dict[str, DataFrame], context: batch.Context) -> dict[str, DataFrame]:
        adaptive.append(spark.conf.get("spark.sql.adaptive.enabled"))
        return paris_wifi.transform(frames, context)

    usage, sites, listed_days = usage_rows(), site_rows(), holiday_rows()
    part = zone.part(HOLIDAYS.dataset, "2025-06-05", NEW, listed_days)
    zone.slot(HOLIDAYS.dataset, "2025-06-05", [part], len(listed_days))
    zone.slot(USAGE.dataset, "2019-09", [zone.part(USAGE.dataset, "2019-09", NEW, usage)], 5)
    part = zone.part(SITES.dataset, "2025-06-05", NEW, sites)
    zone.slot(SITES.dataset, "2025-06-05", [part], len(sites) + 2, rejected={"name: empty": 2})
    zone.run(transform)

    assert adaptive == ["true"]
    (first,) = [r for r in zone.table("wifi_sessions", "2019-09") if r["line"] == 2]
    assert first["started_at"].isoformat() == "2019-09-05T13:59:00+00:00"
    assert (str(first["slot_start"]), str(first["local_day"])) == ("2019-09-01", "2019-09-05")
    assert (first["local_hour"], first["duration_s"]) == (15, 7241.0)
    assert (first["postal_code"], first["district"], first["line"]) == ("75002", 2, 2)
    assert list(first) == [column.name for column in USAGE.lake_tables()[0].columns]
    listed = zone.table("wifi_sites", "2025-06-05")
    assert len(listed) == 277
    assert {row["district"] for row in listed} == {None, *range(1, 21)}
    assert {row["postal_code"] for row in listed if row["district"] is None} == OUTSIDE
    assert zone.table("paris_wifi_sites_rejects", "2025-06-05") == []
    counts = {count.dataset: count for count in zone.receipt.counts}
    assert counts[SITES.dataset].rows_out == 277
    assert counts[SITES.dataset].rejected == {"name: empty": 2}
    assert zone.receipt.batch == "m1-a1"
    assert len(zone.receipt.written) == 9
    days = zone.table("french_holidays", "2025-06-05")
    assert len(days) == len(listed_days) == 286
    assert len({row["date"] for row in days}) == 285


Seen = list[tuple[Any, ...]]
"""Slot, the slot that rows are of, whether they are context, and how many a transform was given."""


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> tuple[Zone, Seen]:
    """Run one batch over four months, each with something of its own; what its transform saw."""
    zone, seen = Zone(tmp_path_factory.mktemp("months")), Seen()
    one, two, *_ = usage_rows()

    def part(slot: str, run: str, rows: list[Row]) -> str:
        """Write a part of the usage."""
        return zone.part(USAGE.dataset, slot, run, rows)

    rows = [one, one, two | {"started_at": "yesterday"}, one | {"language": "Anglais"}]
    zone.slot(USAGE.dataset, "2019-05", [part("2019-05", NEW, rows)], 4)
    parts = [part("2019-06", OLD, [one | {"language": "Anglais"}]), part("2019-06", NEW, [one])]
    zone.slot(USAGE.dataset, "2019-06", parts, 2)
    before = part("2019-07", NEW, [two, one])
    zone.slot(USAGE.dataset, "2019-07", [before], 2)
    zone.slot(USAGE.dataset, "2019-08", [part("2019-08", NEW, [one])], 1, context=(before,))

    def transform(frames: dict[str, DataFrame], context: batch.Context) -> dict[str, DataFrame]:
        read = frames[USAGE.dataset].groupBy("slot", "row_slot", "context").count()
        seen.extend(sorted(tuple(row) for row in read.collect()))
        return paris_wifi.transform(frames, context)

    zone.run(transform)
    return zone, seen


def count_of(zone: Zone, slot: str) -> Counts:
    """Return where the receipt says that the rows of a slot went."""
    (count,) = [each for each in zone.receipt.counts if each.slot == slot]
    return count


def test_bad_rows_are_a_table_and_doubled_ones_are_counted(months: tuple[Zone, Seen]) -> None:
    zone, _ = months
    (kept,) = zone.table("wifi_sessions", "2019-05")
    assert (kept["line"], kept["language"]) == (2, "Français")
    (reject,) = zone.table("paris_wifi_usage_rejects", "2019-05")
    assert (reject["line"], reject["reason"]) == (4, "started_at: not a timestamp")
    assert json.loads(reject["row"])["started_at"] == "yesterday"
    count = count_of(zone, "2019-05")
    assert (count.rows_in, count.rows_out) == (4, 1)
    assert (count.duplicates, count.revised) == (2, 1)
    assert count.rejected == {"started_at: not a timestamp": 1}
    others = [zone.table("paris_wifi_usage_rejects", f"2019-0{month}") for month in (6, 7, 8)]
    assert others == [[]] * 3


def test_the_newest_run_of_two_counts(months: tuple[Zone, Seen]) -> None:
    zone, _ = months
    (kept,) = zone.table("wifi_sessions", "2019-06")
    assert (kept["run"], kept["language"]) == (NEW, "Français")
    count = count_of(zone, "2019-06")
    assert (count.duplicates, count.revised) == (1, 1)


def test_context_is_read_and_never_written(months: tuple[Zone, Seen]) -> None:
    zone, seen = months
    assert seen == [
        ("2019-05", "2019-05", False, 1),
        ("2019-06", "2019-06", False, 1),
        ("2019-07", "2019-07", False, 2),
        ("2019-08", "2019-07", True, 2),
        ("2019-08", "2019-08", False, 1),
    ]
    assert len(zone.table("wifi_sessions", "2019-07")) == 2
    assert len(zone.table("wifi_sessions", "2019-08")) == 1
    assert [part["sessions"] for part in zone.table("wifi_language_devices", "2019-08")] == [1]


def test_a_slot_without_good_rows_is_written_as_zero(zone: Zone) -> None:
    part = zone.part(USAGE.dataset, "2019-09", NEW, [])
    zone.slot(USAGE.dataset, "2019-09", [part], 1, rejected={"site_code: empty": 1})
    zone.run(paris_wifi.transform)
    assert {(w.table, w.rows, w.files) for w in zone.receipt.written} == {
        (table.name, 0, ()) for table in USAGE.lake_tables()
    }


def test_an_existing_receipt_is_left_alone(months: tuple[Zone, Seen]) -> None:
    zone, _ = months
    before = zone.receipt
    zone.run(paris_wifi.transform)
    zone.run(paris_wifi.transform, attempt=2)
    assert zone.receipt == before
    assert not (zone.folder / "lake" / "wifi_sessions" / "m1-a2").exists()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda t: t.where(F.col("line") > 2), "5 rows in, but 4 in wifi_sessions"),
        (lambda t: t.drop("local_hour"), "gives no column local_hour"),
    ],
)
def test_a_faulty_transform_leaves_no_receipt(zone: Zone, fault: Any, message: str) -> None:
    zone.slot(USAGE.dataset, "2019-09", [zone.part(USAGE.dataset, "2019-09", NEW, usage_rows())], 5)

    def transform(frames: dict[str, DataFrame], context: batch.Context) -> dict[str, DataFrame]:
        tables = paris_wifi.transform(frames, context)
        return tables | {"wifi_sessions": fault(tables["wifi_sessions"])}

    with pytest.raises(batch.BatchError, match=message):
        zone.run(transform)
    assert not (zone.folder / "lake" / "receipts").exists()


def test_a_table_that_no_contract_has_is_refused(zone: Zone) -> None:
    zone.slot(USAGE.dataset, "2019-09", [zone.part(USAGE.dataset, "2019-09", NEW, usage_rows())], 5)
    with pytest.raises(batch.BatchError, match="tables are wifi_hours, wifi_language"):
        zone.run(lambda frames, context: {"wifi": frames[USAGE.dataset]})


def test_a_newer_manifest_is_refused() -> None:
    with pytest.raises(batch.BatchError, match="format 2 is newer than 1"):
        batch_manifest.Manifest.parse('{"format": 2, "id": "m1"}')


def test_a_receipt_names_the_job_by_the_content_of_all_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "jobs"
    shutil.copytree(Path(batch.__file__).parent, folder)
    monkeypatch.setattr(batch_report, "__file__", str(folder / "batch_report.py"))
    monkeypatch.setattr(sys, "argv", [str(folder / "velib.py")])
    files = [folder / "velib.py", *folder.glob("batch*.py")]
    names = {batch_report._job_name()}
    for path in files:
        path.write_bytes(path.read_bytes() + b"\n")
        names.add(batch_report._job_name())
    assert len(names) == 1 + len(files) >= 6
    assert all(name.startswith("velib-") for name in names)
    (folder / "paris_wifi.py").write_text("")
    assert batch_report._job_name() in names
