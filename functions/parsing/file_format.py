"""Decode the bytes of a raw file: unpack them, detect the encoding and the format.

The file is streamed: the first megabyte is examined, then at most one chunk is in memory.
"""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from catalog.contract import Bounds, Contract, Shape
from functions.parsing.header import RunRefusedError

ESCAPED = re.compile("[\ud800-\udfff]")
"""The characters that replace bytes which are not of the encoding."""

_HEAD_BYTES = 1 << 20

_PIECE_BYTES = 1 << 18

_GZIP = b"\x1f\x8b"

_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))

_PAGE = re.compile(r"<(!doctype\s+html|html|head|body|\?xml)\b", re.IGNORECASE)

_LINES = re.compile(r"\}[ \t]*\r?\n\{")

_ERROR = re.compile(r'\{\s*"error')

_PACKED = (
    (re.compile(rb"PK\x03\x04"), "a ZIP archive or a spreadsheet (xlsx, ods)"),
    (re.compile(rb"\xd0\xcf\x11\xe0"), "an old spreadsheet (xls)"),
    (re.compile(rb"PAR1"), "Parquet"),
    (re.compile(rb"BZh[1-9]1AY&SY"), "packed with bzip2"),
    (re.compile(rb"\xfd7zXZ\x00"), "packed with xz"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "packed with zstd"),
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), "a 7z archive"),
    (re.compile(rb"%PDF-"), "a PDF"),
)


class FileFormat(StrEnum):
    """The format of a file, by its first character."""

    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True)
class DecodedFile:
    """A file, unpacked and in UTF-8 without a byte order mark."""

    form: FileFormat
    encoding: str
    """The encoding of the original file, as Python names it."""
    pieces: Iterator[bytes]
    """Bytes that are not of the encoding remain unchanged, and are never valid UTF-8."""

    @property
    def texts(self) -> Iterator[str]:
        """The file as text; bytes that are not of the encoding are lone surrogates in it."""
        return _texts(self.pieces, "utf-8")


def body(chunks: Iterator[bytes], contract: Contract, where: str) -> DecodedFile:
    """Decode the bytes of a file into UTF-8, and detect its format.

    Raises RunRefusedError for an empty file, a page instead of data, an archive other than gzip, an
    encoding that the contract does not name, and, while the bytes are read, for gzip that is cut or
    is a bomb.
    """
    pieces = unpacked(chunks, contract.bounds, where)
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= _HEAD_BYTES:
            break
    if not head.strip():
        raise RunRefusedError(
            f"{where}: the file is empty; ask the publisher, or wait for the next run"
        )
    _refuse_packed(head, where)
    encoding = _encoding(head, contract, where)
    whole = _utf8(chain((head,), pieces), encoding)
    first = next(whole, b"")
    text = next(_texts(iter((first[:_PIECE_BYTES],)), "utf-8"), "")
    return DecodedFile(_form(text, contract, where), encoding, chain((first,), whole))


def is_page(head: bytes) -> bool:
    """Return whether the first bytes of a file are an HTML page or XML instead of data."""
    return bool(_PAGE.match(head.decode("utf-8-sig", "replace").lstrip()))


def may_be_data(head: bytes, shapes: Sequence[Shape], *, whole: bool) -> bool:
    """Return whether a file with this beginning may have records; False for blanks.

    JSON must have one of the shapes; if the head is not the whole file, the shape may follow.
    """
    text = head.decode("utf-8-sig", "replace").strip()
    if text[:1] not in ("{", "["):
        return bool(text)
    lists = any(not shape.array for shape in shapes)
    if text[0] == "[" or _LINES.search(text):
        return lists
    keys = [f'"{shape.array.partition(".")[0]}"' for shape in shapes if shape.array]
    return any(key in text for key in keys) or not (whole or _ERROR.match(text))


def unpacked(chunks: Iterator[bytes], bounds: Bounds, where: str) -> Iterator[bytes]:
    """Yield the bytes of a file, decompressed if it is gzip, within the contract's bounds.

    Raises RunRefusedError over the bounds on bytes and ratio, and for gzip without its end.
    """
    first = next(chunks, b"")
    whole = chain((first,), chunks)
    pieces = _gunzipped(whole, bounds, where) if first.startswith(_GZIP) else whole
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > bounds.bytes_max:
            raise RunRefusedError(
                f"{where}: the file is over the {bounds.bytes_max} bytes of the contract; raise "
                "bounds.bytes_max if the data set has grown"
            )
        yield piece


def _gunzipped(chunks: Iterator[bytes], bounds: Bounds, where: str) -> Iterator[bytes]:
    decoder = zlib.decompressobj(wbits=31)
    packed = size = 0
    for chunk in chunks:
        packed += len(chunk)
        data = chunk
        while data:
            if decoder.eof:  # a further member, or the zeros some writers pad with
                data = data.lstrip(b"\0")
                if not data:
                    break
                decoder = zlib.decompressobj(wbits=31)
            try:
                piece = decoder.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise RunRefusedError(
                    f"{where}: gzip is broken after {size} bytes: {error}; fetch it again, or ask "
                    "the publisher"
                ) from error
            data = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
            size += len(piece)
            if size > max(_HEAD_BYTES, packed * bounds.ratio_max):
                raise RunRefusedError(
                    f"{where}: {packed} bytes of gzip hold {size} and more, over the ratio of "
                    f"{bounds.ratio_max:g}; look at the file before you raise bounds.ratio_max"
                )
            yield piece
    if not decoder.eof:
        raise RunRefusedError(
            f"{where}: gzip is cut, it has no end after {size} bytes; fetch it again"
        )


def _refuse_packed(head: bytes, where: str) -> None:
    """Raise RunRefusedError for a file whose first bytes show that it is not text."""
    for magic, description in _PACKED:
        if magic.match(head):
            raise RunRefusedError(
                f"{where}: the file is {description}; only text is read, plain or gzipped: name "
                "the CSV or JSON export in the contract, or unpack the file"
            )


def _encoding(head: bytes, contract: Contract, where: str) -> str:
    """Detect the encoding of a file by its first bytes, as Python names it."""
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    even, odd = head[:200:2].count(0) > 50, head[1:200:2].count(0) > 50
    if even and odd:
        raise RunRefusedError(
            f"{where}: the file begins with NUL bytes, the publisher's copy is damaged; fetch it "
            "again, or ask the publisher"
        )
    if even or odd:
        raise RunRefusedError(
            f"{where}: the file looks like UTF-16 without a byte order mark; ask the publisher for "
            "UTF-8"
        )
    text = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(head)
    invalid = len(ESCAPED.findall(text))
    valid = sum(1 for letter in text if letter > "\x7f") - invalid if invalid else 0
    if invalid <= valid or not invalid:
        return "utf-8"
    others = [name for name in contract.source.encodings if name != "utf-8"]
    if others:
        return others[0]
    raise RunRefusedError(
        f"{where}: the file is not UTF-8 ({invalid} bytes of the first megabyte); add its encoding "
        "to source.encodings of the contract"
    )


def _utf8(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Convert chunks of any encoding to UTF-8 without the byte order mark.

    A byte that is not of the encoding is passed on unchanged; valid UTF-8 never contains it.
    """
    if encoding not in ("utf-8", "utf-8-sig"):
        return (text.encode("utf-8", "surrogateescape") for text in _texts(chunks, encoding))
    head = next(chunks, b"")
    return chain((head.removeprefix(codecs.BOM_UTF8),), chunks)


def _texts(chunks: Iterator[bytes], encoding: str) -> Iterator[str]:
    errors = "replace" if encoding == "utf-16" else "surrogateescape"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    for chunk in chunks:
        for start in range(0, len(chunk), _PIECE_BYTES):
            text = decoder.decode(chunk[start : start + _PIECE_BYTES])
            if text:
                yield text
    rest = decoder.decode(b"", final=True)
    if rest:
        yield rest


def _form(text: str, contract: Contract, where: str) -> FileFormat:
    head = text.lstrip()
    if _PAGE.match(head):
        title = re.search(r"<(?:title|message)[^>]*>([^<]{1,120})", head, re.IGNORECASE)
        seen = f' ("{title[1].strip()}")' if title else ""
        what = "XML" if head.startswith("<?xml") else "an HTML page"
        raise RunRefusedError(
            f"{where}: the publisher answered with {what}{seen} instead of data; open the "
            "URL in a browser, and correct it in the contract if the data set has moved"
        )
    if head[:1] not in ("{", "["):
        return FileFormat.CSV
    if not contract.source.shapes:
        raise RunRefusedError(
            f"{where}: the file is JSON, and the contract names no shape of JSON: it begins "
            f"{head[:120]!r}"
        )
    return FileFormat.JSON
