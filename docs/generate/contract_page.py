"""Write docs/contract.md: every field of a contract, an example per section.

`nox -s renew` runs it. Types, defaults and whether a field is required come from the structs of
`catalog/contract/model.py`, meanings from the docstrings below their fields, examples from shipped
contracts. The table of column types is that of `functions/validation/values.py`.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import inspect as types

from catalog import records
from catalog.contract import DATASETS, TYPES, model
from catalog.contract.validation import SECRET

_ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = _ROOT / "docs" / "contract.md"
GUIDE = _ROOT / "docs" / "adding-a-data-set.md"
_VALUES = _ROOT / "functions" / "validation" / "values.py"


class Section(NamedTuple):
    """A section of a contract: its struct, its heading, and the fields that lead to it."""

    struct: type[msgspec.Struct]
    heading: str
    path: tuple[str, ...]

    @property
    def anchor(self) -> str:
        """The anchor of the heading on GitHub."""
        return re.sub(r"[^\w\- ]", "", self.heading.lower()).replace(" ", "-")


SECTIONS = (
    Section(model.Contract, "The top of the file", ()),
    Section(model.SourceSpec, "[source]", ("source",)),
    Section(model.FetchSpec, "[[source.fetch]]", ("source", "fetch")),
    Section(model.Shape, "[[source.shapes]]", ("source", "shapes")),
    Section(model.Slices, "[source.slices]", ("source", "slices")),
    Section(model.Key, "[source.key]", ("source", "key")),
    Section(model.Bounds, "[bounds]", ("bounds",)),
    Section(model.Column, "[[columns]]", ("columns",)),
    Section(model.GeoPoint, "[[geo_points]]", ("geo_points",)),
    Section(model.TableSpec, "[[tables]]", ("tables",)),
    Section(records.TableColumn, "[[tables.columns]]", ("tables", "columns")),
    Section(model.LatestTable, "[latest_table]", ("latest_table",)),
)

_ALLOWED: dict[tuple[type[msgspec.Struct], str], tuple[str, ...]] = {
    (model.Column, "type"): TYPES,
    (records.TableColumn, "mode"): ("NULLABLE", "REQUIRED"),
}
"""Allowed values that the type of a field does not express."""

_PATTERNS = {(model.Key, "secret"): SECRET.pattern}
"""Field → the regular expression that its text must match."""

_HEAD = """\
# Fields of a contract

This page lists every field of `catalog/datasets/<dataset>.toml`. [Adding a data set](adding-a-data-set.md)
explains how to use them. A field that is not listed here is an error that names it.

`.venv/bin/nox -s renew` writes this page from `catalog/contract/model.py` and from the shipped contracts.
Do not edit it.
"""
_TYPES = """\
## Which texts a column type accepts

A text of blanks is null. For `date` and `timestamp`, `-` is null too.

"""
_ZONE = """
## Zone and slots

A time without an offset is local time in `zone`. A time with an offset is used as written.

The slot of a row is the hour, day or month (`slot_unit`) of its `time_column` in `zone`: 2024-06-30T22:30Z
is in July in Europe/Paris. In a `daily_drop` and a `snapshot`, the slot is that of the run's time.

An hour that the clocks skip is not a time. An hour that comes twice is read as the first one
([more](adding-a-data-set.md#hours-that-come-twice)).
"""


def document() -> str:
    """Return the whole page."""
    sections = ("\n".join(_section(section)) + "\n" for section in SECTIONS)
    return "\n".join((_HEAD, *sections)) + "\n" + _TYPES + _types() + _ZONE


def _section(section: Section) -> Iterator[str]:
    yield f"## {section.heading}\n"
    yield f"{inspect.getdoc(section.struct)}\n"
    yield "| field | type | allowed values | required | default | meaning |"
    yield "|---|---|---|---|---|---|"
    meanings = _meanings(section.struct)
    for field in _fields(section.struct):
        cells = (
            f"`{field.encode_name}`",
            toml_type(field.type),
            _allowed(section, field),
            "yes" if field.required else "no",
            "" if field.required else toml_default(_default(field)),
            meanings[field.name].replace("|", r"\|"),
        )
        yield f"| {' | '.join(cells)} |"
    text, origin = example(section)
    within = "" if text.startswith("[") or not section.path else f", in {_parent(section)}"
    yield f"\nExample, from `{origin.relative_to(_ROOT).as_posix()}`{within}:\n\n```toml\n{text}```"


def _parent(section: Section) -> str:
    return next(f"`{each.heading}`" for each in SECTIONS if each.path == section.path[:-1])


def _fields(struct: type[msgspec.Struct]) -> tuple[types.Field, ...]:
    return cast("types.StructType", types.type_info(struct)).fields


def toml_type(kind: types.Type) -> str:
    """Return the TOML type of a field."""
    match kind:
        case types.UnionType():
            return " or ".join(toml_type(each) for each in _present(kind))
        case types.VarTupleType(item_type=types.StructType()):
            return "array of tables"
        case types.VarTupleType():
            return f"array of {_plural(toml_type(kind.item_type))}"
        case types.DictType():
            return f"table of {_plural(toml_type(kind.value_type))}"
        case types.StructType():
            return "table"
    return _SCALARS[type(kind)]


_SCALARS: dict[type[types.Type], str] = {
    types.StrType: "string",
    types.LiteralType: "string",
    types.EnumType: "string",
    types.IntType: "integer",
    types.FloatType: "float",
    types.BoolType: "boolean",
}


def _plural(name: str) -> str:
    head, *tail = name.split(" ")
    return " ".join((f"{head}s", *tail))


def _present(kind: types.Type) -> tuple[types.Type, ...]:
    """Return the members of a union, without the None of a field that is not set."""
    members = kind.types if isinstance(kind, types.UnionType) else (kind,)
    return tuple(each for each in members if not isinstance(each, types.NoneType))


def _default(field: types.Field) -> object:
    factory = field.default_factory
    return field.default if factory is msgspec.NODEFAULT else factory()


def toml_default(default: object) -> str:
    """Return a default as TOML text; `not set` for None, which TOML does not have."""
    if default is None:
        return "not set"
    return f"`{json.dumps(default, ensure_ascii=False)}`"


def _allowed(section: Section, field: types.Field) -> str:
    key = (section.struct, field.name)
    values = _ALLOWED.get(key) or tuple(_values(field.type))
    if key in _PATTERNS:
        return f"matches `{_PATTERNS[key]}`"
    if values:
        return ", ".join(f"`{value}`" for value in values)
    below = [each for each in SECTIONS if each.path == (*section.path, field.encode_name)]
    return f"see [{below[0].path[-1]}](#{below[0].anchor})" if below else "any"


def _values(kind: types.Type) -> Iterator[str]:
    for each in _present(kind):
        match each:
            case types.EnumType():
                yield from (str(member.value) for member in each.cls)
            case types.LiteralType():
                yield from map(str, each.values)
            case types.BoolType():
                yield from ("true", "false")


@cache
def _meanings(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return field → the docstring below it, on one line."""
    body = cast("ast.ClassDef", ast.parse(inspect.getsource(struct)).body[0]).body
    return {
        ast.unparse(field.target): _text(after)
        for field, after in zip(body, [*body[1:], None], strict=True)
        if isinstance(field, ast.AnnAssign)
    }


def _text(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return " ".join(str(node.value.value).split())
    return ""


def example(section: Section) -> tuple[str, Path]:
    """Return a piece of TOML that shows a section, and the file that it is cut from.

    The shipped contracts come first; a section that none of them has is shown in the guide. Of several
    pieces the one that sets the most fields is used; of several such pieces, the shortest.
    """
    shipped = [
        (text, path) for path in sorted(DATASETS.glob("*.toml")) for text in _pieces(path, section)
    ]
    found = shipped or [(text, GUIDE) for text in _guide_pieces(section)]
    return min(found, key=lambda piece: (-_size(piece[0], section), len(piece[0])))


def _guide_pieces(section: Section) -> Iterator[str]:
    blocks = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    for block in blocks:
        yield from cut(block, section)


def _pieces(path: Path, section: Section) -> Iterator[str]:
    yield from cut(path.read_text(encoding="utf-8"), section)


def cut(text: str, section: Section) -> Iterator[str]:
    """Cut the pieces of a contract's text that hold a section, whether a table or an assignment."""
    head, *blocks = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
    if not section.path:
        yield head.rstrip() + "\n"
        return
    *parents, name = section.path
    dotted = ".".join(section.path)
    for block in blocks:
        header = block.partition("\n")[0].partition("#")[0].strip(" []")
        if header == dotted:
            yield block.rstrip() + "\n"
        elif header == ".".join(parents):
            assignment = rf"^{name} = (?:\[\n(?:    .*\n)*\]|.*)\n"
            yield from re.findall(assignment, block, re.MULTILINE)


def _size(text: str, section: Section) -> int:
    """Return how many fields of its section a piece sets."""
    document: Any = msgspec.toml.decode(text)
    names = {field.encode_name for field in _fields(section.struct)}
    for name in section.path:
        document = document.get(name, document) if isinstance(document, dict) else document
    entries = document if isinstance(document, list) else [document]
    return len(names & {key for entry in entries for key in entry})


def _types() -> str:
    """Return the table of column types from the docstring of the checks."""
    text = ast.get_docstring(ast.parse(_VALUES.read_text(encoding="utf-8"))) or ""
    return "".join(f"{line}\n" for line in text.splitlines() if line.startswith("|"))


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
    print(DOCUMENT)
