"""A publisher's own format of times, such as `%d/%m/%Y %H:%M`, and its translation to ISO."""

from __future__ import annotations

import re
from datetime import datetime

_DIRECTIVE = re.compile(r"%(.?)|([^%]+)", re.DOTALL)

_DIGITS = {"Y": 4, "y": 2, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}

_OFFSET = r"(?P<z>Z|[+-][0-9]{2}(?::?[0-9]{2})?)"

_FIGURE = re.compile(r"[0-9+]")

_WORD = re.compile(r"[^\W\d_]+")

_CLOCK_WORDS = {"z", "utc", "gmt", "am", "pm"}
"""Words that decide the hour: as letters between directives they would be ignored."""

_CENTURY_TURNS = 69
"""Two digits from here on are a year of the 1900s, as POSIX has it."""


class TimeFormat:
    """A format of times in the directives of `strptime` that are digits, and `%z`."""

    def __init__(self, text: str) -> None:
        """Parse a format; raise ValueError if it is not one or could be read in two ways."""
        pieces = [(m[1], m[2]) for m in _DIRECTIVE.finditer(text.strip())]
        names = [name for name, literal in pieces if literal is None]
        _refuse(names, [literal for _, literal in pieces if literal is not None])
        self.clock = "H" in names
        """Whether the format has a time of day."""
        self.offset = "z" in names
        """Whether the format has an offset from UTC."""
        self._pattern = re.compile("".join(_patterns(pieces)))

    def instant(self, text: str) -> str | None:
        """Return a text as ISO, with its offset if the format has one; None if it does not fit.

        A format without a time of day gives the day alone.
        """
        moment, offset = self._read(text)
        if moment is None or not self.clock:
            return None if moment is None else moment.date().isoformat()
        return moment.isoformat() + offset

    def date(self, text: str) -> str | None:
        """Return the day of a text as ISO; None if it is not such a time."""
        moment, _ = self._read(text)
        return None if moment is None else moment.date().isoformat()

    def _read(self, text: str) -> tuple[datetime | None, str]:
        """Return the local time of a text, and its offset as written."""
        found = self._pattern.fullmatch(text.strip())
        if found is None:
            return None, ""
        groups = found.groupdict()
        offset = groups.pop("z", "")
        parts = {name: int(digits) for name, digits in groups.items()}
        year = parts["Y"] if "Y" in parts else _year(parts["y"])
        hour, minute, second = (parts.get(name, 0) for name in "HMS")
        try:
            return datetime(year, parts["m"], parts["d"], hour, minute, second), offset
        except ValueError:
            return None, ""


def _refuse(names: list[str], literals: list[str]) -> None:
    """Raise ValueError where directives are unknown, too many or too few, or letters mislead."""
    for name in names:
        if name != "z" and name not in _DIGITS:
            raise ValueError(
                f"%{name} is none of %d %m %Y %y %H %M %S %z: months and days by name are not read"
            )
        if names.count(name) > 1:
            raise ValueError(f"%{name} appears twice")
    if not {"d", "m"} <= set(names) or ("Y" in names) == ("y" in names):
        raise ValueError("it must have %d, %m, and either %Y or %y")
    for name, before in (("M", "H"), ("S", "M"), ("z", "H")):
        if name in names and before not in names:
            raise ValueError(f"%{name} needs %{before}")
    if any(_FIGURE.search(literal) for literal in literals):
        raise ValueError("between the directives no digit and no + may appear")
    if misread := _CLOCK_WORDS.intersection(_WORD.findall(" ".join(literals).lower())):
        raise ValueError(
            f"{min(misread).upper()} would be ignored: an offset or a Z is %z, hours are %H, and of "
            "times in UTC zone says so"
        )
    if names[:3] == ["Y", "d", "m"] and literals[:2] == ["-", "-"]:
        raise ValueError("%Y-%d-%m looks like ISO, where the month comes first: neither is guessed")


def _patterns(pieces: list[tuple[str, str | None]]) -> list[str]:
    """Return the pieces as regular expressions; adjacent directives have all their digits."""
    patterns = []
    for at, (name, literal) in enumerate(pieces):
        if literal is not None:
            patterns.append(r"\s+".join(map(re.escape, re.split(r"\s+", literal))))
        elif name == "z":
            patterns.append(_OFFSET)
        else:
            neighbours = [*pieces[max(at - 1, 0) : at], *pieces[at + 1 : at + 2]]
            adjacent = any(other is None and each != "z" for each, other in neighbours)
            most = _DIGITS[name]
            least = most if adjacent or name in "Yy" else 1
            patterns.append(f"(?P<{name}>[0-9]{{{least},{most}}})")
    return patterns


def _year(figures: int) -> int:
    return figures + (1900 if figures >= _CENTURY_TURNS else 2000)
