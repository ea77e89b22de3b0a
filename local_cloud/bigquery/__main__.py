"""Start local-bigquery with faster look-ups: `python -m local_cloud.bigquery … serve`."""

from __future__ import annotations

import sys

from local_bigquery.cli import main

from local_cloud.bigquery.overrides import install

install()
sys.exit(main())
