"""Decode the message of a step, whether Scheduler, an object event or a person sent it."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from cloudevents.http import CloudEvent

from functions.core.errors import PermanentError

T = TypeVar("T")


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A Pub/Sub message; `published` is the step's current time: no step reads a clock for data."""

    data: bytes
    attributes: dict[str, str]
    published: datetime
    id: str

    @property
    def object(self) -> str | None:
        """The name of the object whose event this is, else None."""
        return self.attributes.get("objectId")

    @property
    def milliseconds(self) -> int:
        """Publish time in milliseconds: the number of a replay request."""
        return int(self.published.timestamp() * 1000)

    def body(self, form: type[T]) -> T:
        """Decode the data as JSON of type `form`; raise PermanentError that says what is wrong."""
        try:
            return msgspec.json.decode(self.data or b"{}", type=form)
        except msgspec.MsgspecError as error:
            raise PermanentError(
                f"message {self.id} is not the JSON it must be: {error}"
            ) from error


def from_cloud_event(event: CloudEvent) -> Message:
    """Decode the message in a Pub/Sub CloudEvent; raise PermanentError if there is none."""
    content: dict[str, Any] = (event.data or {}).get("message", {})
    try:
        published = datetime.fromisoformat(content["publishTime"]).astimezone(UTC)
        data = base64.b64decode(content.get("data", ""), validate=True)
    except (KeyError, ValueError, binascii.Error) as error:
        raise PermanentError(f"event {event['id']} holds no Pub/Sub message: {error!r}") from error
    return Message(
        data=data,
        attributes=dict(content.get("attributes") or {}),
        published=published,
        id=str(content.get("messageId", event["id"])),
    )
