"""What a function must not import: each module costs start-up time and memory."""

from __future__ import annotations

import subprocess
import sys


def test_download_imports_only_what_it_uses() -> None:
    unused = {"pyarrow", "numpy", "google.cloud.bigquery", "google.cloud.dataproc_v1",
              "google.cloud.pubsub_v1", "functions.split.step"}  # fmt: skip
    script = "import functions.download.step, functions.core.handler, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert unused & set(done.stdout.decode().split()) == set()


def test_pandas_is_not_imported() -> None:
    """It would take a function half a second and 40 MB."""
    program = """
import sys
from concurrent.futures import ThreadPoolExecutor
from catalog.runs import Run
from functions.validation.block_cut import BlockCutter
from tests.unit.functions.test_blocks import HEADER, NOW, USAGE, ThreadPoolExecutor, outcome
row = 'PW1;2024-05-05T05:05:05Z;-;75001.0;\"a\"\"b\";-1;2.0;;\\r\\n'
with ThreadPoolExecutor(1) as pool:
    told = outcome(USAGE, (HEADER + row * 9 + 'x').encode(), pool, 400)
assert told.refused or told.count, told
sys.exit('pandas' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
