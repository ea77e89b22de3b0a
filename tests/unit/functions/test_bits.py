"""Marks told by bits are those that a look at each byte finds."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from functions.parsing.csv import bits
from tests.support.examples import examples

TEXTS = st.text(alphabet='";\nx', max_size=200).map(str.encode)
LONG = b'a;"' + b"x" * bits._TILE + b'";\n' * 100
"""Longer than what is looked at in one go."""


def told(words: bits.Words, size: int) -> list[int]:
    """The bits of so many bytes, one by one."""
    return [int(words[at // 64]) >> at % 64 & 1 for at in range(size)]


@given(TEXTS)
@example(b"")
@example(b"x" * 64)
@example(b";" * 64)
def test_words_tell_every_mark_and_one_bit_more(text: bytes) -> None:
    separators, quotes = bits.words(np.frombuffer(text, np.uint8), (ord(";"), ord('"')))
    assert told(separators, len(text)) == [int(letter == ord(";")) for letter in text]
    assert told(quotes, len(text)) == [int(letter == ord('"')) for letter in text]
    assert 64 * len(quotes) > len(text)
    assert bits.later(quotes).tolist()[0] & 1
    assert told(bits.later(quotes), len(text))[1:] == told(quotes, len(text))[:-1]
    assert told(bits.earlier(quotes), len(text)) == told(quotes, len(text) + 1)[1:]


@examples(200)
@given(TEXTS)
@example(b'"' + b"x" * 62 + b'"')
@example(b'x"' + b"y" * 126 + b'";"')
def test_inside_is_after_an_odd_number_of_quotes(text: bytes) -> None:
    (quotes,) = bits.words(np.frombuffer(text, np.uint8), (ord('"'),))
    odd = [text.count(b'"', 0, at + 1) % 2 for at in range(len(text))]
    assert told(bits.inside(quotes), len(text)) == odd


@given(TEXTS)
@example(LONG)
def test_places_are_those_of_the_bytes(text: bytes) -> None:
    (marks,) = bits.words(np.frombuffer(text, np.uint8), (ord(";"),))
    expected = [at for at in range(len(text)) if text[at] == ord(";")]
    assert bits.places(marks).tolist() == expected
