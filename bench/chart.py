"""The picture of docs/benchmarks.md, from the JSON that `python -m bench split` leaves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import altair as alt
import pandas as pd

_MEASURES = {"wall_seconds": "wall, s", "peak_megabytes": "peak memory, MB"}
_BLUE, _GREY = "#0072b2", "#999999"
"""Colours that colour-blind readers can distinguish, too."""
_WIDTH, _BAR = 250, 22


def draw(results: Sequence[Path], out: Path) -> None:
    """Draw bars of seconds and memory, a row per export; the suffix of `out` is the format."""
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in results]
    rows = [
        {"export": _named(each), "way": one["way"], "measure": label, "value": one[field]}
        for each in documents
        for one in each["results"]
        for field, label in _MEASURES.items()
    ]
    bars = alt.vconcat(*(_bars(pd.DataFrame(rows), _named(each)) for each in documents))
    bars.configure_view(stroke=None).configure_axis(grid=False).save(out)


def _named(document: dict[str, object]) -> str:
    """Return the name of an export in the picture."""
    size = int(str(document["bytes"])) / 1e6
    return f"{str(document['export']).removesuffix('.csv')}, {size:,.0f} MB"


def _bars(rows: pd.DataFrame, export: str) -> alt.HConcatChart:
    """Draw both measures of an export, from zero, each with its number."""
    panels = []
    for measure in _MEASURES.values():
        selected = rows[(rows["export"] == export) & (rows["measure"] == measure)]
        base = alt.Chart(selected).encode(
            x=alt.X("value:Q", title=measure, scale=alt.Scale(zero=True)),
            y=alt.Y("way:N", title=None, sort=list(selected["way"])),
        )
        colour = alt.condition(alt.datum.way == "shipped", alt.value(_BLUE), alt.value(_GREY))
        number = base.mark_text(align="left", dx=4).encode(text=alt.Text("value:Q", format=",.3~r"))
        panels.append(
            (base.mark_bar().encode(color=colour) + number).properties(
                width=_WIDTH, height=_BAR * len(selected)
            )
        )
    return alt.hconcat(*panels, title=alt.Title(export, anchor="start"))
