"""The value of a part's text as a CAST of BigQuery reads it, by the rules of `functions/validation/values.py`."""

from __future__ import annotations

from datetime import UTC, date
from zoneinfo import ZoneInfo

from functions.validation.values import instant


def castable(kind: str, text: str | None, zone: ZoneInfo) -> str | None:
    """The text of a value of a column of type `kind`: an instant in UTC, a plain number, true.

    Of what `split` has accepted; None for None. Raises ValueError for what is no such value.
    """
    if text is None or kind in ("text", "code"):
        return text
    found = _value(kind, text.strip(), zone)
    if found is None:
        raise ValueError(f"{text[:80]!r} is no {kind}")
    return found


_BOOLEANS = dict.fromkeys(("oui", "true", "1"), "true") | dict.fromkeys(
    ("non", "false", "0"), "false"
)


def _value(kind: str, text: str, zone: ZoneInfo) -> str | None:
    """The value of a text without blanks around it, or None where it is none."""
    if kind == "timestamp":
        moment = instant(text, zone)
        return moment.astimezone(UTC).isoformat() if moment else None
    if kind == "boolean":
        return _BOOLEANS.get(text.lower())
    try:
        if kind == "integer":
            return str(int(text.partition(".")[0]))
        return repr(float(text)) if kind == "float" else date.fromisoformat(text).isoformat()
    except ValueError:
        return None
