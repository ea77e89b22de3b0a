"""Walk a JSON document without building it: yield its records one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_BLANK = re.compile(r"[ \t\n\r]*")


class BadJsonError(ValueError):
    """The document is cut or is not JSON: the text says where and why."""


class Document:
    """A JSON document as text."""

    def __init__(self, text: str) -> None:
        """Read nothing yet."""
        self.array: str | None = None
        """Path of the array whose records were yielded; None if there was none."""
        self.envelope: dict[str, str] = {}
        """The texts and numbers around the array."""
        self._text = text
        self._at = 0
        self._decoder = json.JSONDecoder(
            parse_float=str, parse_int=str, parse_constant=str, strict=False
        )

    def records(self, arrays: frozenset[str]) -> Iterator[tuple[str, Any]]:
        """Yield each record of the first array whose path is among `arrays`, with its text.

        If the document itself is an array, its path is empty; JSON Lines, one object a line, are
        read as such an array. Raises BadJsonError where the document is cut or is not JSON, after
        the records before that place.
        """
        letter = self._peek()
        if letter == "[" and "" in arrays:
            yield from self._elements("")
        elif letter == "{" and "" in arrays and self._is_lines():
            yield from self._lines()
        elif letter == "{":
            yield from self._members("", arrays)
        else:
            self._value()
        if self._peek():
            raise self._bad("something follows its end")

    def _is_lines(self) -> bool:
        """Return whether the first line is an object and the next line begins another."""
        end = self._text.find("\n", self._at)
        following = _BLANK.match(self._text, end) if end >= 0 else None
        if following is None or not self._text.startswith("{", following.end()):
            return False
        line = self._text[self._at : end].rstrip()
        try:
            return self._decoder.raw_decode(line)[1] == len(line)
        except (json.JSONDecodeError, RecursionError):
            return False

    def _lines(self) -> Iterator[tuple[str, Any]]:
        self.array = ""
        while self._peek():
            start = self._at
            value = self._value()
            yield self._text[start : self._at], value

    def _members(self, prefix: str, arrays: frozenset[str]) -> Iterator[tuple[str, Any]]:
        self._expect("{")
        if self._skip("}"):
            return
        while True:
            path = prefix + str(self._key())
            letter = self._peek()
            if letter == "[" and path in arrays and self.array is None:
                yield from self._elements(path)
            elif letter == "{" and any(array.startswith(path + ".") for array in arrays):
                yield from self._members(path + ".", arrays)
            else:
                value = self._value()
                if isinstance(value, str) and len(self.envelope) < 20:
                    self.envelope[path] = value[:200]
            if self._skip("}"):
                return
            self._expect(",")

    def _elements(self, path: str) -> Iterator[tuple[str, Any]]:
        self.array = path
        self._expect("[")
        if self._skip("]"):
            return
        while True:
            self._peek()
            start = self._at
            value = self._value()
            yield self._text[start : self._at], value
            if self._skip("]"):
                return
            self._expect(",")

    def _key(self) -> Any:
        if self._peek() != '"':
            raise self._bad("a name is expected")
        key = self._value()
        self._expect(":")
        return key

    def _value(self) -> Any:
        self._peek()
        try:
            value, self._at = self._decoder.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            # A string without its end goes on to the end of the document.
            unended = error.msg.startswith("Unterminated string")
            self._at = len(self._text) if unended else error.pos
            raise self._bad("a text has no end" if unended else error.msg) from error
        except RecursionError as error:
            raise self._bad("it is nested too deeply") from error
        return value

    def _peek(self) -> str:
        """Return the next character that is not blank; empty at the end."""
        found = _BLANK.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._text[self._at : self._at + 1]

    def _skip(self, letter: str) -> bool:
        if self._peek() != letter:
            return False
        self._at += 1
        return True

    def _expect(self, letter: str) -> None:
        if not self._skip(letter):
            raise self._bad(f"{letter!r} is expected")

    def _bad(self, what: str) -> BadJsonError:
        if self._at >= len(self._text):
            return BadJsonError(
                f"the JSON is cut at character {len(self._text)}: {what}; fetch it again"
            )
        return BadJsonError(
            f"the JSON is broken or cut at character {self._at} of {len(self._text)}: {what}; "
            "fetch it again"
        )
