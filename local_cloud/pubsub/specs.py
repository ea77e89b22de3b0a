"""The inputs and records of Pub/Sub's stand-in, with the documented limits on each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import grpc

type Outcome = Literal["acked", "retried", "dead-lettered", "expired"]
"""What became of one delivery attempt."""

MAX_MESSAGE_BYTES = 10_000_000
"""The largest message and the largest publish request, in bytes."""

_DATES = {"YYYY": "%Y", "YY": "%y", "MM": "%m", "DD": "%d", "hh": "%H", "mm": "%M", "ss": "%S"}

_TIME_MATCHERS = re.compile("YYYY|YY|MM|DD|hh|mm|ss|T|Z|\\+00:00")

_RESOURCE_ID = re.compile(r"(?!goog)[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}")


@dataclass(frozen=True)
class FileSink:
    """Where a Cloud Storage subscription writes Avro files with metadata, and when one ends.

    `datetime_format` is of Google's matchers: YYYY or YY, MM, DD, hh, mm, ss, each once, T and Z or
    +00:00, and the separators `-`, `_`, `:`, `/`. `max_duration` is in seconds.
    """

    bucket: str
    prefix: str = ""
    suffix: str = ""
    datetime_format: str = "YYYY-MM-DDThh:mm:ss+00:00"
    max_duration: float = 300
    max_bytes: int | None = None
    max_messages: int | None = None


@dataclass(frozen=True)
class SubscriptionSpec:
    """One subscription: push, BigQuery or Cloud Storage by what is set, else pull.

    `push_endpoint` makes it push, `bigquery_table` BigQuery, `files` Cloud Storage.

    Names may be short (`raw-events`) or full (`projects/demo/topics/raw-events`). Times are in
    seconds. `push_audience` and `service_account` are recorded only: OIDC is not verified.
    `max_outstanding` bounds the deliveries in flight at once: a function's concurrency × instances.
    """

    name: str
    topic: str
    push_endpoint: str | None = None
    push_audience: str | None = None
    service_account: str | None = None
    bigquery_table: str | None = None
    files: FileSink | None = None
    use_table_schema: bool = False
    write_metadata: bool = False
    drop_unknown_fields: bool = False
    filter: str | None = None
    ack_deadline_seconds: float = 10
    retention_seconds: float = 604_800
    min_backoff: float = 10
    max_backoff: float = 600
    dead_letter_topic: str | None = None
    max_delivery_attempts: int = 5
    max_outstanding: int = 4


@dataclass(frozen=True)
class ReceivedMessage:
    """A published message as a consumer sees it; `publish_time` is the virtual clock's, in UTC."""

    topic: str
    message_id: str
    publish_time: datetime
    data: bytes
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class DeliveryAttempt:
    """The record of one delivery attempt.

    `attempt` counts from 1; `status` is the HTTP status where one was received; `error` says why a
    message was not acknowledged and is empty when it was; `seconds` is the attempt's real length.
    """

    subscription: str
    message_id: str
    attempt: int
    outcome: Outcome
    status: int | None
    error: str
    seconds: float


@dataclass(frozen=True)
class PublishRequestInfo:
    """One gRPC Publish request: seen before it takes effect, and after, with its ids."""

    phase: Literal["before", "after"]
    topic: str
    messages: tuple[tuple[bytes, Mapping[str, str]], ...]
    message_ids: tuple[str, ...]


class RefusedError(Exception):
    """A request Pub/Sub answers with an error; `code` is the gRPC status, `text` its details."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        """Refuse with `code` and `text`."""
        super().__init__(f"{code.name}: {text}")
        self.code = code
        self.text = text


def time_text(form: str, moment: datetime) -> str:
    """Print a UTC time in Google's matchers; raise ValueError for another format."""
    matchers = _TIME_MATCHERS.findall(form)
    dates = [matcher for matcher in matchers if matcher in _DATES]
    years = {"YYYY", "YY"} & set(dates)
    once = len(matchers) == len(set(matchers)) and len(years) == 1
    if _TIME_MATCHERS.sub("", form).strip("-_:/") or len(dates) != 6 or not once:
        raise ValueError(
            f"datetime format {form!r}: YYYY or YY, MM, DD, hh, mm and ss once each, T and Z or "
            "+00:00, and the separators - _ : /"
        )
    return _TIME_MATCHERS.sub(lambda found: moment.strftime(_DATES.get(found[0], found[0])), form)


def short_name(path: str) -> str:
    """Give the last part of a full name: `raw-events` of `projects/demo/topics/raw-events`."""
    return path.rsplit("/", 1)[-1]


def rfc3339(moment: datetime) -> str:
    """Write a UTC time the way Pub/Sub's JSON has it: microseconds and a Z."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def invalid(text: str) -> RefusedError:
    """Give the refusal of a request that breaks a documented rule, for the caller to raise."""
    return RefusedError(grpc.StatusCode.INVALID_ARGUMENT, text)


def check_resource_id(path: str) -> None:
    """Raise RefusedError unless `path` is a full topic or subscription name with a lawful id."""
    if not re.fullmatch(r"projects/[^/]+/(topics|subscriptions)/[^/]+", path):
        raise invalid(f"{path}: expected projects/PROJECT/topics/ID or …/subscriptions/ID")
    if not _RESOURCE_ID.fullmatch(short_name(path)):
        raise invalid(
            f"{path}: an id has 3-255 letters, digits or -_.~+%, starts with a letter, not 'goog'"
        )


def check_spec(spec: SubscriptionSpec) -> None:
    """Raise RefusedError, naming all that is wrong, unless `spec` (names in full) is in range."""
    check_resource_id(spec.name)
    wrong = [
        text
        for bad, text in (
            (
                sum(map(bool, (spec.push_endpoint, spec.bigquery_table, spec.files))) > 1,
                "push, BigQuery and Cloud Storage exclude each other",
            ),
            (
                spec.push_endpoint and not spec.push_endpoint.startswith("http://"),
                "push_endpoint must be http://… here",
            ),
            (not 0 < spec.ack_deadline_seconds <= 600, "ack_deadline_seconds is at most 600"),
            (not 600 <= spec.retention_seconds <= 2_678_400, "retention_seconds is 600-2678400"),
            (
                not 0 <= spec.min_backoff <= spec.max_backoff <= 600,
                "0 ≤ min_backoff ≤ max_backoff ≤ 600",
            ),
            (not 5 <= spec.max_delivery_attempts <= 100, "max_delivery_attempts is 5-100"),
            (spec.max_outstanding < 1, "max_outstanding is at least 1"),
        )
        if bad
    ]
    wrong += _sink_faults(spec.files, spec.ack_deadline_seconds) if spec.files else []
    if wrong:
        raise invalid(f"{spec.name}: {'; '.join(wrong)}")


def _sink_faults(sink: FileSink, ack_deadline: float) -> list[str]:
    """List what is out of range in a Cloud Storage subscription, as its page documents it."""
    most = min(600, ack_deadline)
    faults = []
    if not 60 <= sink.max_duration <= most:
        faults.append(f"max_duration is 60-{most:g} s, no more than ack_deadline_seconds")
    if sink.max_bytes is not None and not 1_000 <= sink.max_bytes <= 10 << 30:
        faults.append("max_bytes is 1 KB-10 GiB")
    if sink.max_messages is not None and sink.max_messages < 1000:
        faults.append("max_messages is at least 1000")
    if sink.suffix.endswith("/"):
        faults.append("a filename suffix does not end in /")
    try:
        time_text(sink.datetime_format, datetime.fromtimestamp(0, UTC))
    except ValueError as error:
        faults.append(str(error))
    return faults


def check_messages(messages: Sequence[tuple[bytes, Mapping[str, str]]]) -> None:
    """Raise RefusedError unless the (data, attributes) make one lawful publish request."""
    if not 1 <= len(messages) <= 1000:
        raise invalid(f"a publish request carries 1-1000 messages, this one {len(messages)}")
    total = 0
    for data, attributes in messages:
        if not data and not attributes:
            raise invalid("a message needs data or at least one attribute")
        if len(attributes) > 100:
            raise invalid(f"a message has at most 100 attributes, this one {len(attributes)}")
        for key, value in attributes.items():
            if not 0 < len(key.encode()) <= 256 or key.startswith("goog"):
                raise invalid(f"attribute key {key!r}: 1-256 bytes, not starting with 'goog'")
            if len(value.encode()) > 1024:
                raise invalid(f"attribute {key}: its value has more than 1024 bytes")
            total += len(key.encode()) + len(value.encode())
        total += len(data)
    if total > MAX_MESSAGE_BYTES:
        raise invalid(f"a publish request is at most {MAX_MESSAGE_BYTES} bytes, this one {total}")
