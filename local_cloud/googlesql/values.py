"""Values between Python and ZetaSQL's service, by BigQuery's types."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from zetasql.wasi._pb2.zetasql.public import type_pb2, value_pb2

_FIRST_DAY = date(1970, 1, 1)
_FIRST_INSTANT = datetime(1970, 1, 1, tzinfo=UTC)
_NUMERIC_DIGITS = 9


def to_proto(kind: str, value: Any) -> value_pb2.ValueProto:
    """Convert a value, or the JSON that `insertAll` takes for it.

    Args:
        kind: BigQuery's name of the type, such as `INT64` or `ARRAY<STRING>`.
        value: The value; None is NULL.
    """
    proto = value_pb2.ValueProto()
    if value is None:
        return proto
    if kind.startswith("ARRAY<"):
        elements = [to_proto(kind[len("ARRAY<") : -1], each) for each in value]
        proto.array_value.SetInParent()
        proto.array_value.element.extend(elements)
        return proto
    match kind:
        case "INT64":
            proto.int64_value = int(value)
        case "FLOAT64":
            proto.double_value = float(value)
        case "BOOL":
            proto.bool_value = str(value).lower() == "true"
        case "STRING":
            proto.string_value = str(value)
        case "DATE":
            proto.date_value = (_day(value) - _FIRST_DAY).days
        case "TIMESTAMP":
            passed = _instant(value) - _FIRST_INSTANT
            proto.timestamp_value.seconds = passed // timedelta(seconds=1)
            proto.timestamp_value.nanos = (passed % timedelta(seconds=1)).microseconds * 1000
        case "NUMERIC":
            scaled = int(Decimal(str(value)).scaleb(_NUMERIC_DIGITS))
            size = (scaled.bit_length() + 8) // 8
            proto.numeric_value = scaled.to_bytes(size, "little", signed=True)
        case _:
            raise NotImplementedError(f"values of type {kind}: add it to values.py")
    return proto


def from_proto(kind: type_pb2.TypeProto, value: value_pb2.ValueProto) -> Any:
    """Convert a value to what BigQuery's client returns for its type."""
    field = value.WhichOneof("value")
    if field is None:
        return None
    match kind.type_kind:
        case type_pb2.TYPE_ARRAY:
            element = kind.array_type.element_type
            return [from_proto(element, each) for each in value.array_value.element]
        case type_pb2.TYPE_STRUCT:
            pairs = zip(kind.struct_type.field, value.struct_value.field, strict=True)
            return {each.field_name: from_proto(each.field_type, part) for each, part in pairs}
        case type_pb2.TYPE_DATE:
            return _FIRST_DAY + timedelta(days=value.date_value)
        case type_pb2.TYPE_TIMESTAMP:
            stamp = value.timestamp_value
            passed = timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
            return _FIRST_INSTANT + passed
        case type_pb2.TYPE_NUMERIC:
            whole = int.from_bytes(value.numeric_value, "little", signed=True)
            return Decimal(whole).scaleb(-_NUMERIC_DIGITS)
    return getattr(value, field)


def _day(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(value)


def _instant(value: Any) -> datetime:
    text = str(value).replace(" UTC", "+00:00")
    instant = value if isinstance(value, datetime) else datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
