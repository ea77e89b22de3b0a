"""Faults of real exports, put into a line on purpose."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from local_cloud.generators.wifi.layouts import ExportLayout, printed

_UNREADABLE = ("n'importe quoi", "2021-02-30T25:61:00+01:00", "0000-00-00T00:00:00+00:00", "-", "")

_WEEK_SECONDS = 7 * 86_400

_COLUMNS = {
    ExportLayout.LABELS: {
        "start": "Date heure début", "end": "Date heure fin",
        "seconds": "Temps de session en secondes", "minutes": "Temps de sessions en minutes",
        "postal_code": "Code postal", "address": "Adresse",
    },
    ExportLayout.API: {
        "start": "datetime", "end": "endtime_or_dash", "seconds": "duration",
        "minutes": "temps_de_sessions_en_minutes", "postal_code": "cp", "address": "arc_adresse",
    },
}  # fmt: skip


class Fault(StrEnum):
    """A kind of fault; a row has one at most."""

    EMPTY_POSTAL_CODE = "empty postal code"
    FLOAT_POSTAL_CODE = "postal code as a float"
    """`75001.0`, in each field with the code (W8)."""
    ZERO = "no seconds"
    NEGATIVE = "negative length"
    NULL = "no length"
    """No end (a dash in the API's layout) and no length: a session that is open."""
    WEEK = "a week or more"
    UNREADABLE_START = "start that is no time"
    """Words, a day that does not exist, a dash or nothing."""
    LINE_BREAK = "line break in quotes"
    SEPARATOR = "separator in quotes"
    DUPLICATE = "duplicate"
    """A row that stands before it in the export, again, byte for byte."""


def with_fault(line: str, fault: Fault, layout: ExportLayout, number: int) -> str:
    """Put a fault into a line; `number` picks among the forms that some faults have.

    A duplicate is no fault of a line: it is not handled here.
    """
    [fields] = csv.reader([line], delimiter=";")
    _SPOIL[fault](_Row(fields, layout), number)
    return printed(fields)


class _Row:
    """The fields of a line by what they mean."""

    def __init__(self, fields: list[str], layout: ExportLayout) -> None:
        self._fields = fields
        self._layout = layout

    def __getitem__(self, meaning: str) -> str:
        """Return the field's text; the first one where a name occurs twice."""
        return self._fields[self._layout.header.index(_COLUMNS[self._layout][meaning])]

    def __setitem__(self, meaning: str, text: str) -> None:
        """Change every field of this name."""
        for at, name in enumerate(self._layout.header):
            if name == _COLUMNS[self._layout][meaning]:
                self._fields[at] = text

    def last(self, seconds: int) -> None:
        """Make the session last so long, its end included."""
        self["seconds"] = str(seconds)
        self["minutes"] = f"{seconds / 60:.6f}"
        end = datetime.fromisoformat(self["start"]).astimezone(UTC) + timedelta(seconds=seconds)
        self["end"] = end.replace(second=0).astimezone(self._layout.zone).isoformat()

    def open(self) -> None:
        """Make the session one that has no end yet."""
        self["seconds"] = self["minutes"] = ""
        self["end"] = "-" if self._layout is ExportLayout.API else ""


def _no_postal_code(row: _Row, _: int) -> None:
    row["postal_code"] = ""


def _float_postal_code(row: _Row, _: int) -> None:
    row["postal_code"] += ".0"


def _zero(row: _Row, _: int) -> None:
    row.last(0)


def _negative(row: _Row, _: int) -> None:
    row.last(-int(row["seconds"]))


def _null(row: _Row, _: int) -> None:
    row.open()


def _week(row: _Row, _: int) -> None:
    row.last(_WEEK_SECONDS + int(row["seconds"]))


def _unreadable(row: _Row, number: int) -> None:
    row["start"] = _UNREADABLE[number % len(_UNREADABLE)]


def _line_break(row: _Row, number: int) -> None:
    row["address"] = row["address"].replace(" ", "\r\n" if number % 2 else "\n", 1) + "\n"


def _separator(row: _Row, _: int) -> None:
    row["address"] = f'ENTREE "B"; {row["address"]}'


_SPOIL: dict[Fault, Callable[[_Row, int], None]] = {
    Fault.EMPTY_POSTAL_CODE: _no_postal_code,
    Fault.FLOAT_POSTAL_CODE: _float_postal_code,
    Fault.ZERO: _zero,
    Fault.NEGATIVE: _negative,
    Fault.NULL: _null,
    Fault.WEEK: _week,
    Fault.UNREADABLE_START: _unreadable,
    Fault.LINE_BREAK: _line_break,
    Fault.SEPARATOR: _separator,
}
