"""Write a part's texts in the form that BigQuery casts, by the rules of `values`."""

from __future__ import annotations

from datetime import UTC, date
from zoneinfo import ZoneInfo

from functions.validation.values import instant


def castable(kind: str, text: str | None, zone: ZoneInfo) -> str | None:
    """Write a column's text of type `kind` in the form that BigQuery casts.

    An instant is in UTC, a number is plain, a boolean is `true` or `false`; None stays None. Expects
    values that `split` has accepted; raises ValueError for others.
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
    """Return the value of a text without surrounding blanks; None if it is invalid."""
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
