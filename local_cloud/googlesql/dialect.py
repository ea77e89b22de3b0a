"""BigQuery's dialect of GoogleSQL: language options, types, system variables, catalogs."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service_pb2
from zetasql.wasi._pb2.zetasql.proto import function_pb2, options_pb2, simple_catalog_pb2
from zetasql.wasi._pb2.zetasql.public import function_pb2 as function_enums_pb2
from zetasql.wasi._pb2.zetasql.public import options_pb2 as public_options_pb2
from zetasql.wasi._pb2.zetasql.public import type_pb2

from local_cloud.googlesql.engine import Service

type Columns = Sequence[tuple[str, str]]
"""Name and type of each column, in order."""

_OPTIONS = Path(__file__).with_name("bigquery.textproto")
"""`BigQueryLanguageOptions.get()` of Google's zetasql-toolkit-bigquery 0.5.1 (Apache 2.0), printed."""
_FEATURES = ("FEATURE_V_1_1_FOR_SYSTEM_TIME_AS_OF",)
"""Features of BigQuery that the toolkit's list lacks."""

_KINDS = {
    "BOOL": type_pb2.TYPE_BOOL,
    "INT64": type_pb2.TYPE_INT64,
    "FLOAT64": type_pb2.TYPE_DOUBLE,
    "STRING": type_pb2.TYPE_STRING,
    "BYTES": type_pb2.TYPE_BYTES,
    "DATE": type_pb2.TYPE_DATE,
    "TIMESTAMP": type_pb2.TYPE_TIMESTAMP,
    "DATETIME": type_pb2.TYPE_DATETIME,
    "TIME": type_pb2.TYPE_TIME,
    "NUMERIC": type_pb2.TYPE_NUMERIC,
    "BIGNUMERIC": type_pb2.TYPE_BIGNUMERIC,
    "GEOGRAPHY": type_pb2.TYPE_GEOGRAPHY,
    "JSON": type_pb2.TYPE_JSON,
    "INTERVAL": type_pb2.TYPE_INTERVAL,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}

_SYSTEM_VARIABLES = {
    ("row_count",): "INT64",
    ("error", "message"): "STRING",
    ("error", "statement_text"): "STRING",
    ("error", "formatted_stack_trace"): "STRING",
    ("script", "job_id"): "STRING",
    ("time_zone",): "STRING",
    ("project_id",): "STRING",
}
"""https://cloud.google.com/bigquery/docs/reference/system-variables"""


def type_proto(name: str) -> type_pb2.TypeProto:
    """Convert BigQuery's name of a type, such as `INT64` or `ARRAY<STRING>`."""
    if name.startswith("ARRAY<"):
        element = type_pb2.ArrayTypeProto(element_type=type_proto(name[len("ARRAY<") : -1]))
        return type_pb2.TypeProto(type_kind=type_pb2.TYPE_ARRAY, array_type=element)
    return type_pb2.TypeProto(type_kind=_KINDS[name])


def type_name(proto: type_pb2.TypeProto) -> str:
    """Name a type as BigQuery does."""
    if proto.type_kind == type_pb2.TYPE_ARRAY:
        return f"ARRAY<{type_name(proto.array_type.element_type)}>"
    if proto.type_kind == type_pb2.TYPE_STRUCT:
        fields = proto.struct_type.field
        texts = (f"{field.field_name} {type_name(field.field_type)}".strip() for field in fields)
        return f"STRUCT<{', '.join(texts)}>"
    return _NAMES.get(proto.type_kind) or str(type_pb2.TypeKind.Name(proto.type_kind))


@functools.cache
def language() -> options_pb2.LanguageOptionsProto:
    """Read BigQuery's language options."""
    options = text_format.Parse(
        _OPTIONS.read_text(encoding="utf-8"), options_pb2.LanguageOptionsProto()
    )
    for name in _FEATURES:
        options.enabled_language_features.append(public_options_pb2.LanguageFeature.Value(name))
    return options


def analyzer_options(
    service: Service, parameters: Mapping[str, str], *, system_variables: bool = True
) -> options_pb2.AnalyzerOptionsProto:
    """Build the analyser's options.

    Args:
        service: Gives the defaults.
        parameters: Name and type of each query parameter.
        system_variables: Whether `@@row_count` and the like are defined.
    """
    options = service.call("GetAnalyzerOptions", service_pb2.AnalyzerOptionsRequest())
    options.language_options.CopyFrom(language())
    options.default_timezone = "UTC"
    options.error_message_mode = public_options_pb2.ERROR_MESSAGE_ONE_LINE
    options.parse_location_record_type = public_options_pb2.PARSE_LOCATION_RECORD_FULL_NODE_SCOPE
    for name, kind in parameters.items():
        options.query_parameters.add(name=name, type=type_proto(kind))
    for path, kind in _SYSTEM_VARIABLES.items() if system_variables else ():
        options.system_variables.add(name_path=path, type=type_proto(kind))
    return options


class Catalog:
    """The tables, variables and functions that a statement may name."""

    def __init__(self, tables: Mapping[str, Columns]) -> None:
        self._tables = dict(tables)
        self._variables: dict[str, str] = {}
        self._proto: simple_catalog_pb2.SimpleCatalogProto | None = None

    def define_table(self, name: str, columns: Columns) -> None:
        """Define a table by `data set.table`, or a temporary one by its name."""
        self._tables[name] = columns
        self._proto = None

    def define_variable(self, name: str, kind: str) -> None:
        """Define a variable of a script."""
        self._variables[name] = kind
        self._proto = None

    def variable_type(self, name: str) -> str:
        """Look up the type of a variable; empty where none is declared."""
        return self._variables.get(name, "")

    def proto(self) -> simple_catalog_pb2.SimpleCatalogProto:
        """Build the catalog as the service takes it."""
        if self._proto is None:
            self._proto = empty_catalog()
            self._proto.custom_function.extend(_custom_functions())
            _add_tables(self._proto, self._tables)
            for name, kind in self._variables.items():
                constant = self._proto.constant.add(name_path=[name], type=type_proto(kind))
                _set_any_value(kind, constant.value)
        return self._proto


def empty_catalog() -> simple_catalog_pb2.SimpleCatalogProto:
    """Build a catalog that has GoogleSQL's own functions alone."""
    catalog = simple_catalog_pb2.SimpleCatalogProto(name="bigquery")
    catalog.builtin_function_options.language_options.CopyFrom(language())
    return catalog


def _custom_functions() -> Iterator[function_pb2.FunctionProto]:
    """Declare MAX_BY(x, y) and MIN_BY(x, y), which BigQuery has and the open catalog lacks."""
    x, y = function_enums_pb2.ARG_TYPE_ANY_1, function_enums_pb2.ARG_TYPE_ANY_2
    for name in ("max_by", "min_by"):
        function = function_pb2.FunctionProto(
            name_path=[name],
            group="BigQuery",
            mode=function_enums_pb2.FunctionEnums.AGGREGATE,
        )
        signature = function.signature.add()
        signature.return_type.kind = x
        for kind in (x, y):
            signature.argument.add(kind=kind, num_occurrences=-1)
        yield function


def _add_tables(root: simple_catalog_pb2.SimpleCatalogProto, tables: Mapping[str, Columns]) -> None:
    """Add tables, those of a data set to a catalog of its own."""
    folders: dict[str, simple_catalog_pb2.SimpleCatalogProto] = {"": root}
    for number, (name, columns) in enumerate(sorted(tables.items()), start=1):
        path, _, last = name.rpartition(".")
        table = _folder(folders, path).table.add(name=last, serialization_id=number, full_name=name)
        for column, kind in columns:
            table.column.add(name=column, type=type_proto(kind), is_writable_column=True)


def _folder(
    folders: dict[str, simple_catalog_pb2.SimpleCatalogProto], path: str
) -> simple_catalog_pb2.SimpleCatalogProto:
    """Look up the catalog of a path such as `ops`, or add it."""
    if path not in folders:
        parent, _, last = path.rpartition(".")
        folders[path] = _folder(folders, parent).catalog.add(name=last)
    return folders[path]


def _set_any_value(kind: str, value: Any) -> None:
    """Set some value of a type, since a constant needs one."""
    match kind:
        case "INT64":
            value.int64_value = 1
        case "FLOAT64":
            value.double_value = 1
        case "BOOL":
            value.bool_value = True
        case "TIMESTAMP":
            value.timestamp_value.seconds = 1
        case "DATE":
            value.date_value = 1
        case "STRING":
            value.string_value = "x"
        case _:
            raise NotImplementedError(f"DECLARE of type {kind}: add it to dialect.py")
