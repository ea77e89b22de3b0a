"""Entry point of the Pulumi program."""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
if str(REPOSITORY) not in sys.path:  # Pulumi starts with this folder alone on the path
    sys.path.insert(0, str(REPOSITORY))

from infra_pulumi.config import read_config  # noqa: E402
from infra_pulumi.program import build  # noqa: E402

build(read_config(REPOSITORY))
