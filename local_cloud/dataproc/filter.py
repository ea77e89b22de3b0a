"""The filter language of Dataproc's `ListBatches`, as far as it is documented for batches.

Fields: `batch_id`, `batch_uuid`, `state`, `create_time` and `labels.KEY`; comparisons with `=`,
`!=`, `<`, `<=`, `>`, `>=` and `:` (a label is there: `labels.k:*`), joined by AND and OR, where OR
binds tighter (https://google.aip.dev/160).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

type Predicate = Callable[[Mapping[str, str]], bool]
"""Whether a batch, given as its flat fields (`state`, `labels.k`, …), is wanted."""

TOKEN = re.compile(
    r"""\s*(?:(?P<paren>[()])|(?P<op><=|>=|!=|=|<|>|:)|"(?P<quoted>(?:[^"\\]|\\.)*)\""""
    r"""|(?P<word>[^\s()"=<>!:]+))"""
)
COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "=": lambda found, wanted: found == wanted,
    "!=": lambda found, wanted: found != wanted,
    "<": lambda found, wanted: found < wanted,
    "<=": lambda found, wanted: found <= wanted,
    ">": lambda found, wanted: found > wanted,
    ">=": lambda found, wanted: found >= wanted,
    ":": lambda found, wanted: wanted in ("*", found),
}
FIELD = re.compile(r"batch_id|batch_uuid|state|create_time|labels\.[a-z0-9_-]+")


class BadFilterError(ValueError):
    """The filter cannot be read; the message names the place."""


def parse_filter(text: str) -> Predicate:
    """Give the predicate of a filter; an empty one takes all. Raises `BadFilterError`."""
    if not text.strip():
        return lambda _: True
    reader = _Reader(text)
    wanted = _conjunction(reader)
    if reader.peek() is not None:
        raise BadFilterError(f"filter {text!r}: {reader.peek()!r} was not expected")
    return wanted


class _Reader:
    """The filter's tokens, one after the other; quoted values lose their quotes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = _tokens(text)
        self._next = 0

    def peek(self) -> str | None:
        """Give the next token, None at the end."""
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def take(self) -> str:
        """Take the next token, which must be there."""
        token = self.peek()
        if token is None:
            raise BadFilterError(f"filter {self.text!r} ends too early")
        self._next += 1
        return token


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    position = 0
    text = text.strip()
    while position < len(text):
        found = TOKEN.match(text, position)
        if found is None:
            raise BadFilterError(f"filter {text!r}: cannot read {text[position:]!r}")
        quoted = found["quoted"]
        tokens.append(found[0].strip() if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        position = found.end()
    return tokens


def _conjunction(reader: _Reader) -> Predicate:
    terms = [_disjunction(reader)]
    while (reader.peek() or "").upper() == "AND":
        reader.take()
        terms.append(_disjunction(reader))
    return lambda fields: all(term(fields) for term in terms)


def _disjunction(reader: _Reader) -> Predicate:
    terms = [_term(reader)]
    while (reader.peek() or "").upper() == "OR":
        reader.take()
        terms.append(_term(reader))
    return lambda fields: any(term(fields) for term in terms)


def _term(reader: _Reader) -> Predicate:
    first = reader.take()
    if first == "(":
        inside = _conjunction(reader)
        if reader.take() != ")":
            raise BadFilterError(f"filter {reader.text!r}: a parenthesis is not closed")
        return inside
    if FIELD.fullmatch(first) is None:
        raise BadFilterError(f"filter {reader.text!r}: batches cannot be filtered by {first!r}")
    operator, wanted = reader.take(), reader.take()
    if operator not in COMPARISONS:
        raise BadFilterError(f"filter {reader.text!r}: {operator!r} is no comparison")
    compare = COMPARISONS[operator]
    return lambda fields: first in fields and compare(fields[first], wanted)
