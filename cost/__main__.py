"""`python -m cost`: print the table; `--write` renews the one in docs/deploy.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cost.prices import load
from cost.table import table
from cost.workload import read_stack

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "deploy.md"
BEGIN, END = "<!-- cost: renewed by nox -s cost -- --write -->", "<!-- cost: end -->"


def main() -> None:
    """Print the cost of a month, or write it into the page."""
    parser = argparse.ArgumentParser(prog="nox -s cost --", description=__doc__)
    parser.add_argument(
        "--share",
        type=float,
        default=1.0,
        help="share of the most bytes that contracts admit (1)",
    )
    parser.add_argument("--write", action="store_true", help="renew the table in docs/deploy.md")
    options = parser.parse_args()
    text = table(read_stack(ROOT), load(), options.share)
    if options.write:
        PAGE.write_text(quoted(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    else:
        sys.stdout.write(text + "\n")


def quoted(page: str, text: str) -> str:
    """Return the page with the table between its marks; raise ValueError without them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN!r} … {END!r}: put them where the table belongs")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


if __name__ == "__main__":
    main()
