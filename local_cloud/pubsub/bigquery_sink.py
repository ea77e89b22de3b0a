"""BigQuery subscriptions: messages turned into rows and appended to their table in batches."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import grpc
from google.api_core.exceptions import GoogleAPIError

from local_cloud.pubsub.backlog import Backlog, Pending, Subscription
from local_cloud.pubsub.specs import ReceivedMessage, RefusedError, SubscriptionSpec, rfc3339

type WriteRows = Callable[[str, list[dict[str, Any]]], Sequence[str]]
"""Appends rows to a table and gives the texts of what was refused; empty means all were written."""


type TableSchema = Callable[[str], Sequence[tuple[str, str, str]]]
"""Gives a table's columns as (name, type, mode); raises LookupError when there is no such table."""


class Exporter:
    """Writes what the BigQuery subscriptions of `backlog` owe.

    A subscription is refused when the callables it needs, `write_rows` and, to know the table's
    columns, `table_schema`, were not given.
    """

    def __init__(
        self,
        backlog: Backlog,
        write_rows: WriteRows | None,
        table_schema: TableSchema | None,
    ) -> None:
        """Write with `write_rows` into tables that `table_schema` describes."""
        self._backlog = backlog
        self._write_rows = write_rows
        self._table_schema = table_schema

    def columns(self, spec: SubscriptionSpec) -> tuple[tuple[str, str, str], ...]:
        """Return the columns of a subscription's table; none where it has no table.

        Raises RefusedError when the table is not there, ValueError when a callable is missing.
        """
        if not spec.bigquery_table:
            return ()
        if self._write_rows is None:
            raise ValueError(f"{spec.name} writes to BigQuery: give PubSub(write_rows=…)")
        if self._table_schema is None:
            if spec.use_table_schema:
                raise ValueError(
                    f"{spec.name} uses the table's schema: give PubSub(table_schema=…)"
                )
            return (("data", "STRING", "NULLABLE"),)
        try:
            return tuple(self._table_schema(spec.bigquery_table))
        except LookupError as missing:
            raise RefusedError(
                grpc.StatusCode.NOT_FOUND, f"{spec.name}: no table {spec.bigquery_table}"
            ) from missing

    def export_batch(self, subscription: Subscription) -> bool:
        """Wait for one batch of rows and write it; False when the subscription is at an end.

        A refused batch is written row by row to find the culprit.
        """
        batch = self._collect(subscription)
        if not batch:
            return False
        began = time.monotonic()
        if any(pending.attempt > 1 for pending in batch):
            # The table may have been altered since: Pub/Sub notices within minutes, we on retry.
            with suppress(RefusedError, OSError, GoogleAPIError):
                subscription.columns = self.columns(subscription.spec)
        errors: dict[int, str] = {}
        rows: dict[int, dict[str, Any]] = {}
        for pending in batch:
            try:
                rows[pending.lease] = _row(subscription.spec, subscription.columns, pending.message)
            except ValueError as unfit:
                errors[pending.lease] = str(unfit)
        errors |= self._write(subscription.spec.bigquery_table or "", rows)
        seconds = time.monotonic() - began
        for pending in batch:
            error = errors.get(pending.lease, "")
            self._backlog.settle(subscription, pending, None, error, seconds)
        return True

    def _collect(self, subscription: Subscription, most: int = 500) -> list[Pending]:
        """Wait for due messages, 50 ms more for company, and lease them; empty when at an end."""
        with self._backlog.lock:
            while self._backlog.running:
                now = time.monotonic()
                if not subscription.is_due(now):
                    due = subscription.waiting[0].due - now if subscription.waiting else None
                    subscription.ready.wait(due)
                    continue
                company_until = now + 0.05
                while (left := company_until - time.monotonic()) > 0 and self._backlog.running:
                    subscription.ready.wait(left)
                batch = self._backlog.take_due(subscription, most)
                if batch:
                    return batch
        return []

    def _write(self, table: str, rows: Mapping[int, dict[str, Any]]) -> dict[int, str]:
        if not rows:
            return {}
        refused = self._append(table, list(rows.values()))
        if not refused:
            return {}
        if len(rows) == 1:
            return dict.fromkeys(rows, refused)
        singly = {lease: self._append(table, [row]) for lease, row in rows.items()}
        return {lease: text for lease, text in singly.items() if text}

    def _append(self, table: str, rows: list[dict[str, Any]]) -> str:
        if self._write_rows is None:
            return "no write_rows was given"
        try:
            return "; ".join(self._write_rows(table, rows))
        except (OSError, GoogleAPIError) as failure:
            return f"{type(failure).__name__}: {failure}"


class _UnfitError(ValueError):
    """A message that its table's columns do not take."""


_METADATA = frozenset({"subscription_name", "message_id", "publish_time", "attributes"})


def _row(
    spec: SubscriptionSpec, columns: Sequence[tuple[str, str, str]], message: ReceivedMessage
) -> dict[str, Any]:
    """Turn a message into a row that `insertAll` takes.

    Raises ValueError when the message does not fit (not JSON, not UTF-8) and _UnfitError, a
    ValueError, when it breaks the table's columns.

    With `use_table_schema` the keys of the JSON message are the columns. This cannot show what the
    real service converts beyond JSON's own types (numbers given as text), the fields inside a
    RECORD, change data capture, or a row too large for the Storage Write API.
    """
    metadata: dict[str, Any] = {}
    if spec.write_metadata:
        metadata = {
            "subscription_name": spec.name,
            "message_id": message.message_id,
            "publish_time": rfc3339(message.publish_time),
            "attributes": json.dumps(dict(message.attributes), ensure_ascii=False),
        }
    if spec.use_table_schema:
        return _fields(spec, columns, message.data) | metadata
    kind = next((kind for name, kind, _ in columns if name == "data"), None)
    if kind is None:
        raise _UnfitError(f"table {spec.bigquery_table} has no column data: set use_table_schema")
    return {"data": _data_column(kind, message.data)} | metadata


def _data_column(kind: str, data: bytes) -> str:
    if kind.upper() == "BYTES":
        return base64.b64encode(data).decode()
    text = data.decode()
    if kind.upper() == "JSON":
        json.loads(text)
    return text


def _fields(
    spec: SubscriptionSpec, columns: Sequence[tuple[str, str, str]], data: bytes
) -> dict[str, Any]:
    document = json.loads(data)
    if not isinstance(document, dict):
        raise _UnfitError("the message is JSON but no object, so it has no columns")
    own = [c for c in columns if not (spec.write_metadata and c[0] in _METADATA)]
    unknown = sorted(set(document) - {name for name, _, _ in own})
    if unknown and not spec.drop_unknown_fields:
        raise _UnfitError(f"fields {unknown} are not columns of {spec.bigquery_table}")
    row: dict[str, Any] = {}
    for name, kind, mode in own:
        value = document.get(name)
        if value is not None:
            row[name] = _cells(name, kind, mode, value)
        elif mode.upper() == "REQUIRED":
            raise _UnfitError(f"REQUIRED column {name} of {spec.bigquery_table} is missing")
    return row


def _cells(name: str, kind: str, mode: str, value: object) -> object:
    if mode.upper() != "REPEATED":
        return _cell(name, kind, value)
    if not isinstance(value, list):
        raise _UnfitError(f"column {name} is REPEATED, {value!r} is no list")
    return [_cell(name, kind, each) for each in value]


def _cell(name: str, kind: str, value: object) -> object:
    read = _CELLS.get(kind.upper())
    if read is None:
        raise _UnfitError(f"column {name}: type {kind} is not known here")
    try:
        return read(value)
    except (ValueError, TypeError, ArithmeticError) as unfit:
        raise _UnfitError(f"column {name}: {value!r} is no {kind}") from unfit


def _exactly(*types: type) -> Callable[[object], object]:
    def read(value: object) -> object:
        """Return the value as the column wants it; raise an error where it does not fit."""
        if type(value) not in types:
            raise TypeError
        return value

    return read


def _text(check: Callable[[str], object]) -> Callable[[object], object]:
    def read(value: object) -> object:
        """Return the value as the column wants it; raise an error where it does not fit."""
        if not isinstance(value, str):
            raise TypeError
        check(value)
        return value

    return read


def _timestamp(value: object) -> str:
    if type(value) is int:
        return rfc3339(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value))
    moment = datetime.fromisoformat(str(value)) if isinstance(value, str) else None
    if moment is None or moment.tzinfo is None:
        raise TypeError
    return rfc3339(moment.astimezone(UTC))


def _decimal(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError
    return str(Decimal(str(value)))


def _base64(value: str) -> bytes:
    return base64.b64decode(value, validate=True)


_CELLS: Mapping[str, Callable[[object], object]] = MappingProxyType(
    {
        "STRING": _exactly(str),
        **dict.fromkeys(("INTEGER", "INT64"), _exactly(int)),
        **dict.fromkeys(("FLOAT", "FLOAT64"), _exactly(int, float)),
        **dict.fromkeys(("BOOLEAN", "BOOL"), _exactly(bool)),
        **dict.fromkeys(("NUMERIC", "BIGNUMERIC"), _decimal),
        **dict.fromkeys(("RECORD", "STRUCT"), _exactly(dict)),
        "TIMESTAMP": _timestamp,
        "DATE": _text(date.fromisoformat),
        "TIME": _text(time_of_day.fromisoformat),
        "DATETIME": _text(datetime.fromisoformat),
        # A JSON column takes JSON text inside a string, not the object itself.
        "JSON": _text(json.loads),
        "BYTES": _text(_base64),
        "GEOGRAPHY": _exactly(str),
    }
)
