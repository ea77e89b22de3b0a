"""The mutations, at least two for each invariant of the pipeline.

To add one, write a function that takes the value of its target and returns the replacement. Its
docstring names the mistake; `mutation` says where the code looks the target up and which test fails.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from google.api_core.exceptions import NotFound

from catalog import object_names
from catalog.slots import Unit
from functions.core import records
from functions.core.bigquery import parameter
from functions.parsing.header import RunRefusedError
from functions.validation.slot_codes import _FIRST_DAY, DAY_SECONDS
from infra_pulumi import archive
from tests.mutants.mutation import Mutation, mutation

INVARIANTS = {
    1: "An event delivered any number of times, in any order, gives the same objects and tables.",
    2: "A crash after any side effect, then redelivery, ends in the same state.",
    3: "A reply that is lost after a commit has no second effect.",
    4: "No object that a step writes matches the trigger of that step.",
    5: "Every input is loaded, quarantined or ignored with a reason; rows in = out + rejected.",
    6: "Memory is bounded by the size of a chunk, not by the size of a file.",
    7: "A step ends before the time limit of its function, by construction.",
    8: "The same tree gives the same archive; one changed byte gives another name.",
    9: "SQL run twice, and with late rows, gives the same table and reads what it declares.",
    10: "A changed header, a page, an empty or a cut file gives a named error, no empty success.",
    11: "A point on an edge or a vertex, or with exchanged coordinates, counts once or is rejected.",
    12: "The days of 23 and 25 hours in Paris have the right slots and partitions.",
}
"""Number of an invariant → what always holds."""

INTEGRATION = "integration/functions"
PLACES = "unit/functions/test_places.py"
SLOTS = "unit/catalog/test_slots.py"


@mutation(
    1,
    "functions.core.gcs.create",
    f"{INTEGRATION}/test_download.py::test_a_try_that_loses_the_claim_deletes_its_own",
)
def objects_are_overwritten(_: Any) -> Any:
    """Create an object without the condition that its name is free."""

    def create(
        bucket: Any, name: str, body: bytes, content_type: str = "application/json",
        metadata: Any = None,
    ) -> bytes:  # fmt: skip
        blob = bucket.blob(name)
        blob.metadata = metadata
        blob.upload_from_string(body, content_type=content_type, checksum="crc32c")
        return body

    return create


@mutation(
    1,
    "functions.load.swap._FRESH",
    f"{INTEGRATION}/test_load.py::test_an_older_receipt_after_a_newer",
)
def older_receipts_replace_newer_slots(sql: str) -> str:
    """Swap in every slot of a receipt, whatever version is loaded."""
    return sql.replace("WHERE o.slot IS NULL OR n.version > o.version;", "WHERE TRUE;")


@mutation(
    2,
    "functions.seal.manifest.manifest_id",
    f"{INTEGRATION}/test_seal.py::test_a_seal_that_died_after_its_manifest_makes_the_same_again",
)
def manifests_are_numbered(manifest_id: Any) -> Any:
    """Give a manifest another id at each call of seal."""
    numbers = itertools.count()
    return lambda system, slots: manifest_id(system, [*slots, ("", "", str(next(numbers)))])


@mutation(
    2,
    "functions.split.part_writer.Parts.abandon",
    f"{INTEGRATION}/test_split.py::test_a_crash_before_the_record_leaves_nothing_that_counts",
)
def failed_splits_leave_parts(_: Any) -> Any:
    """Leave the parts of a try that fails before its record."""
    return lambda self: None


@mutation(
    2,
    "functions.split.step.run",
    f"{INTEGRATION}/test_split.py::test_again_changes_nothing_and_seals_again",
)
def redelivered_splits_do_not_seal(run: Any) -> Any:
    """Publish to seal only in the call that writes the split's record."""

    def mutated(message: Any, clients: Any, settings: Any) -> Any:
        dataset, asked = object_names.claim_of(message.object)
        landing = clients.storage.bucket(settings.landing)
        if records.read_split(landing, dataset, object_names.SplitKey(asked)):
            clients = copy.copy(clients)
            clients.publish = lambda *_: None
        return run(message, clients, settings)

    return mutated


@mutation(
    3,
    "functions.split.attempt.SplitAttempt.record",
    f"{INTEGRATION}/test_split.py::test_a_lost_reply_deletes_nothing_that_the_record_names",
    errors=(NotFound,),
)
def lost_replies_delete_parts(record: Any) -> Any:
    """Delete the parts of a split whose record was written, because the reply was lost."""

    def mutated(self: Any) -> Any:
        try:
            return record(self)
        except ConnectionError:
            self._parts.abandon()
            raise

    return mutated


@mutation(
    3,
    "functions.submit.step._request",
    f"{INTEGRATION}/test_submit.py::test_a_batch_made_by_another_delivery_is_left_alone",
)
def batches_are_named_by_delivery(request: Any) -> Any:
    """Name a batch by its delivery, so that a repeated CreateBatch makes another."""
    numbers = itertools.count()

    def mutated(*given: Any) -> Any:
        made = request(*given)
        made.batch_id += f"-{next(numbers)}"
        return made

    return mutated


@mutation(
    4,
    "catalog.object_names.part",
    "unit/catalog/test_runs.py::test_no_output_of_a_step_matches_the_trigger_of_the_same_step",
)
def parts_are_named_as_manifests(part: Any) -> Any:
    """Write parts below the prefix that triggers submit."""
    return lambda *given: part(*given).replace("parts/", "manifests/", 1)


@mutation(
    4,
    "catalog.object_names.lake_prefix",
    "unit/catalog/test_runs.py::test_no_output_of_a_step_matches_the_trigger_of_the_same_step",
)
def batches_write_below_receipts(lake_prefix: Any) -> Any:
    """Write the files of a batch below the prefix that triggers load."""
    return lambda *given: f"receipts/{lake_prefix(*given)}"


@mutation(
    5,
    "functions.load.step.reconcile",
    f"{INTEGRATION}/test_load.py::test_counts_that_do_not_reconcile_change_nothing",
)
def receipts_are_believed(_: Any) -> Any:
    """Load a receipt without comparing its counts with the manifest."""
    return lambda manifest, receipt: None


@mutation(
    5,
    "functions.split.part_writer.SlotPart.reject",
    f"{INTEGRATION}/test_split.py::test_rejected_rows[not a number]",
)
def rejects_of_slots_are_not_counted(_: Any) -> Any:
    """Reject a row without counting it in its slot."""
    return lambda self, reason, text: None


@mutation(
    6,
    "functions.parsing.csv.reader.CsvReader.batches",
    f"{INTEGRATION}/test_split.py::test_memory_is_bounded_by_a_chunk[one by one]",
)
def rows_wait_for_the_end_of_the_file(batches: Any) -> Any:
    """Read a whole file before its first rows are cut into parts."""
    return lambda self, pieces: iter(list(batches(self, pieces)))


@mutation(
    6,
    "functions.parsing.csv.reader._AHEAD",
    f"{INTEGRATION}/test_split.py::test_memory_is_bounded_by_a_chunk[blocks]",
)
def blocks_are_all_read_ahead(ahead: int) -> int:
    """Read any number of blocks ahead."""
    return ahead << 20


@mutation(
    7,
    "functions.load.step.SECONDS",
    "unit/functions/test_time_budgets.py::test_every_step_ends_before_its_function_does",
)
def loads_wait_ten_minutes(_: float) -> float:
    """Wait longer for BigQuery than the function lives."""
    return 600.0


@mutation(
    7,
    "functions.split.attempt.SplitAttempt._check_time",
    f"{INTEGRATION}/test_split.py::test_a_run_that_takes_too_long_is_refused",
)
def splits_read_without_limit(_: Any) -> Any:
    """Read the files of a run for as long as it takes."""
    return lambda self, where: None


@mutation(
    8, "infra_pulumi.archive._write", "unit/infra_pulumi/test_archive.py::test_same_content_same_bytes"
)  # fmt: skip
def archives_contain_their_time(write: Any) -> Any:
    """Date the files of the archive by the time at which it is written."""
    seconds = itertools.count(0, 2)

    def mutated(path: Any, files: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(archive, "_EPOCH", (2024, 1, 1, 0, 0, next(seconds)))
            write(path, files)

    return mutated


class _FirstLines:
    """A hash of the first line of each piece."""

    def __init__(self, data: bytes = b"") -> None:
        self._hash = hashlib.sha256(data)
        self.hexdigest = self._hash.hexdigest

    def update(self, data: bytes) -> None:
        self._hash.update(data.partition(b"\n")[0])


@mutation(
    8,
    "infra_pulumi.archive.hashlib",
    "unit/infra_pulumi/test_archive.py::test_changed_source_changes_the_name",
)
def archives_are_named_by_their_list(_: Any) -> Any:
    """Name the archive by the names of its files, whatever is in them."""
    return SimpleNamespace(sha256=_FirstLines)


@mutation(
    9,
    "catalog.reports._SCRIPT",
    "integration/bq_sql/test_gate.py::test_a_run_again_does_nothing_until_something_is_new",
)
def reports_run_without_a_gate(sql: str) -> str:
    """Make the reports again although nothing was loaded since."""
    return sql.replace(" OR known_versions = CONCAT($script, ' ', new_versions) THEN", " THEN")


@mutation(
    9,
    "functions.load.swap._DELETE",
    "integration/functions/test_stored_bytes.py::test_neighbours_are_admitted_and_no_more",
)
def swaps_scan_the_whole_table(sql: str) -> str:
    """Delete the rows of a slot without a condition that selects partitions."""
    return re.sub(r"slot_start BETWEEN \S+ AND \S+\s+AND ", "", sql)


@mutation(
    9,
    "functions.load.swap._bounds",
    "integration/functions/test_stored_bytes.py::test_neighbours_are_admitted_and_no_more",
)
def swaps_admit_all_that_is_older(bounds: Any) -> Any:
    """Let a swap process every partition before its last slot."""

    def mutated(*given: Any) -> Any:
        dataset, first, last = bounds(*given)
        return [dataset, parameter(first.name, first.type_, date(1, 1, 1)), last]

    return mutated


@mutation(
    9,
    "functions.core.bigquery.QueryJobConfig",
    "unit/functions/test_ledger.py::test_a_query_has_a_cap_on_its_bytes[by default]",
)
def queries_have_no_cap(config: Any) -> Any:
    """Run a query without a cap on the bytes that it may be billed for."""
    return lambda *, query_parameters, **_: config(query_parameters=query_parameters)


@mutation(
    10,
    "functions.parsing.csv.reader.require_columns",
    f"{INTEGRATION}/test_split.py::test_refused_runs[renamed]",
)
def missing_columns_are_empty(_: Any) -> Any:
    """Take a required column that the header lacks as empty."""
    return lambda *_: None


@mutation(
    10,
    "functions.parsing.file_format._gunzipped",
    f"{INTEGRATION}/test_split.py::test_refused_runs[cut gzip]",
)
def cut_gzip_is_taken(gunzipped: Any) -> Any:
    """Take gzip without its end as a whole file."""

    def mutated(*given: Any) -> Iterator[bytes]:
        try:
            yield from gunzipped(*given)
        except RunRefusedError as refused:
            if "gzip is cut" not in str(refused):
                raise

    return mutated


@mutation(
    10,
    "functions.split.attempt.SplitAttempt._check_bounds",
    f"{INTEGRATION}/test_split.py::test_refused_runs[header only]",
)
def files_without_rows_succeed(_: Any) -> Any:
    """Accept a file that has no row."""
    return lambda self: None


@mutation(11, "catalog.contract.GeoPoint.holds", f"{PLACES}::test_the_border_stays")
def boxes_are_open(_: Any) -> Any:
    """Take the edges of a box as outside it."""
    return lambda self, north, east: (
        self.south < north < self.north and self.west < east < self.east
    )


@mutation(
    11,
    "functions.validation.repairs._swap_exchanged_coordinates",
    f"{PLACES}::test_exchanged_points_of_the_border_are_put_right_once",
)
def exchanged_points_stay(_: Any) -> Any:
    """Leave latitude and longitude exchanged."""
    return lambda north, east, place, counts: (north, east)


@mutation(
    11, "catalog.contract.GeoPoint.holds", f"{PLACES}::test_a_point_that_fits_in_either_order_stays"
)
def boxes_hold_exchanged_points(holds: Any) -> Any:
    """Take a point as inside a box in either order of its coordinates."""
    return lambda self, north, east: holds(self, north, east) or holds(self, east, north)


@mutation(
    12,
    "catalog.slots.Calendar.slot",
    f"{SLOTS}::test_the_slot_of_an_instant_in_paris[day-2024-03-30T23:00:00+00:00-2024-03-31]",
)
def slots_are_cut_in_utc(slot: Any) -> Any:
    """Cut slots in UTC, whatever the zone of the data set."""
    return lambda self, instant: slot(replace(self, zone=ZoneInfo("UTC")), instant)


@mutation(12, "catalog.slots.Calendar.end", f"{SLOTS}::test_days_of_23_and_25_hours[2024-10-27-25]")
def days_have_24_hours(end: Any) -> Any:
    """End a day 24 hours after its beginning."""

    def mutated(self: Any, slot: str) -> datetime:
        if self.unit is not Unit.DAY:
            return end(self, slot)
        return self.start(slot) + timedelta(days=1)

    return mutated


@mutation(
    12,
    "functions.validation.slot_codes.SlotCodes._learn",
    "unit/functions/test_blocks.py::test_slots_over_both_clock_changes",
)
def days_in_utc_have_one_slot(_: Any) -> Any:
    """Put all instants of a day in UTC into the slot of its first one."""

    def mutated(self: Any, day: int) -> None:
        first = datetime.fromtimestamp((day + _FIRST_DAY) * DAY_SECONDS, UTC)
        self._days[day] = self.code(self._calendar.slot(first))

    return mutated


MUTATIONS = tuple(each for each in tuple(globals().values()) if isinstance(each, Mutation))
"""All mutations, in order of their invariants."""
