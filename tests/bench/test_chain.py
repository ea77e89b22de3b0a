"""Both chains of the benchmark end with the same sessions, so that their seconds can be compared."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench import chain, original
from local_cloud.processes import cache_dir

ROWS = 2_000
MONTHS = """
    SELECT FORMAT_TIMESTAMP('%Y-%m', started_at, 'UTC') AS month, COUNT(*) AS sessions
    FROM lake.wifi_sessions WHERE slot_start >= DATE '2012-01-01' GROUP BY month
"""


@pytest.mark.cloud
def test_both_chains_have_the_same_sessions_in_every_month(tmp_path: Path) -> None:
    """By months of UTC, which is what the original takes a month for (W7)."""
    export, _ = chain.made_exports(tmp_path, ROWS)
    with chain.cloud() as ours:
        chain.once(ours, 0, export)
        here = Counter({row["month"]: row["sessions"] for row in ours.rows(MONTHS)})
    server, _ = original.session(tmp_path, cache_dir())
    try:
        original.run(export, tmp_path / "original", server)
    finally:
        server.stop()
    assert here.total() == ROWS
    assert original.rows_by_month(tmp_path / "original") == here
