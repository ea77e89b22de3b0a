"""`python -m local_cloud.cli.vega`: renew the bundle that draws charts in a browser.

It is committed, so that a page needs no other origin and the functions no package for it; a test
holds that it is the one of the locked vl-convert.
"""

from __future__ import annotations

from pathlib import Path

import vl_convert

BUNDLE = Path(__file__).parents[2] / "functions" / "serve" / "pages" / "static" / "vega.js"


def bundle() -> str:
    """Build one script of Vega, Vega-Lite and Vega-Embed that sets their three globals."""
    return vl_convert.javascript_bundle()  # type: ignore[call-arg] # its stub has no default


if __name__ == "__main__":
    BUNDLE.write_text(bundle(), encoding="utf-8")
    print(f"{BUNDLE}: {BUNDLE.stat().st_size:,} bytes")
