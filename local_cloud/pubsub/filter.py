"""The filter language of Pub/Sub's subscriptions: tests of a message's attributes."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping

from local_cloud.pubsub.specs import RefusedError, invalid

type Filter = Callable[[Mapping[str, str]], bool]
"""Whether a message with these attributes is delivered."""

_FILTER_TOKEN = re.compile(
    r"\s*(?:(?P<text>\"(?:[^\"\\]|\\.)*\")|(?P<word>[A-Za-z_][A-Za-z0-9_\-]*)|(?P<mark>!=|[()=:,.]))"
)


def parse_filter(text: str) -> Filter:
    """Read a filter: comparisons of attributes, hasPrefix, NOT, AND, OR and parentheses.

    AND and OR may be mixed with parentheses only, as Pub/Sub requires. Raises RefusedError.
    """
    if len(text.encode()) > 256:
        raise invalid(f"filter {text!r}: longer than 256 bytes")
    reader = _FilterReader(text)
    test = reader.either()
    if reader.tokens:
        raise reader.refuse("the end")
    return test


class _FilterReader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: deque[str] = deque()
        at = 0
        while at < len(text.rstrip()):
            token = _FILTER_TOKEN.match(text, at)
            if not token:
                raise invalid(f"filter {text!r}: cannot read {text[at:]!r}")
            self.tokens.append(token[0].strip())
            at = token.end()

    def refuse(self, wanted: str) -> RefusedError:
        """Make the error that says what was wanted here."""
        found = self.tokens[0] if self.tokens else "nothing"
        return invalid(f"filter {self.text!r}: expected {wanted}, found {found}")

    def took(self, token: str) -> bool:
        """Take a token if it comes next."""
        if self.tokens and self.tokens[0] == token:
            self.tokens.popleft()
            return True
        return False

    def need(self, token: str) -> None:
        """Take a token that must come next."""
        if not self.took(token):
            raise self.refuse(repr(token))

    def either(self) -> Filter:
        """Read terms joined by AND or by OR."""
        tests = [self.negation()]
        joint = self.tokens[0] if self.tokens else ""
        if joint not in ("AND", "OR"):
            return tests[0]
        while self.took(joint):
            tests.append(self.negation())
        if self.tokens and self.tokens[0] in ("AND", "OR"):
            raise invalid(f"filter {self.text!r}: put parentheses where AND and OR meet")
        if joint == "AND":
            return lambda attributes: all(test(attributes) for test in tests)
        return lambda attributes: any(test(attributes) for test in tests)

    def negation(self) -> Filter:
        """Read a term that may be negated."""
        if self.took("NOT"):
            inner = self.negation()
            return lambda attributes: not inner(attributes)
        if self.took("("):
            inner = self.either()
            self.need(")")
            return inner
        return self.comparison()

    def comparison(self) -> Filter:
        """Read a comparison or a group in parentheses."""
        if self.took("hasPrefix"):
            self.need("(")
            key = self.attribute()
            self.need(",")
            prefix = self.string()
            self.need(")")
            return lambda attributes: (
                attributes.get(key, "").startswith(prefix) and (key in attributes)
            )
        self.need("attributes")
        if self.took(":"):
            key = self.key()
            return lambda attributes: key in attributes
        self.need(".")
        key = self.key()
        if self.took("="):
            value = self.string()
            return lambda attributes: attributes.get(key) == value
        self.need("!=")
        value = self.string()
        # An attribute that is not there is unequal to every value.
        return lambda attributes: attributes.get(key) != value

    def attribute(self) -> str:
        """Read `attributes.key`."""
        self.need("attributes")
        self.need(".")
        return self.key()

    def key(self) -> str:
        """Read an attribute's key."""
        if not self.tokens or not (self.tokens[0][0].isalpha() or self.tokens[0][0] in '_"'):
            raise self.refuse("an attribute's key")
        return self.string() if self.tokens[0][0] == '"' else self.tokens.popleft()

    def string(self) -> str:
        """Read a quoted string."""
        if not self.tokens or self.tokens[0][0] != '"':
            raise self.refuse('a "quoted" value')
        return re.sub(r"\\(.)", r"\1", self.tokens.popleft()[1:-1])
