"""Record what the crash list replays, in tests/data/crash: the batches' requests and all points.

.venv/bin/nox -s crashes -- --renew
"""

from __future__ import annotations

from local_cloud.cloud import LocalCloud
from tests.support.crash_list import FOLDER, write_points
from tests.support.crashes import Witness, record_batches, replay
from tests.support.house import START, House
from tests.support.recorded_batch import RecordedBatch


def main() -> None:
    """Record the batches of two runs with Spark, then the points of a run with the recorded batch."""
    with LocalCloud(in_process=True, start=START) as cloud:
        record_batches(House(cloud), after_death=False).write()
    with (
        LocalCloud(in_process=True, start=START, batch_server=RecordedBatch) as cloud,
        Witness(cloud) as witness,
    ):
        replay(House(cloud), witness, reports=True)
        write_points(witness.seen)
    print(f"{len(witness.seen)} points, recorded in {FOLDER}")


if __name__ == "__main__":
    main()
