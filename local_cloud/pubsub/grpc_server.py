"""Pub/Sub over gRPC: the calls of Google's PublisherClient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol

import grpc
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types as pb

from local_cloud.pubsub.specs import PublishRequestInfo, RefusedError, invalid, short_name

type _Answer = Callable[[Any], Any]


class Topics(Protocol):
    """What the server needs of the service that it answers for; `PubSub` has more."""

    intercept: Callable[[PublishRequestInfo], None] | None
    refusal: Callable[[str, str], str | None] | None

    def create_topic(self, name: str) -> None:
        """Create a topic."""

    def delete_topic(self, name: str) -> None:
        """Delete a topic."""

    def topics(self) -> list[str]:
        """List the full names of all topics."""

    def publish_all(
        self, topic: str, messages: Sequence[tuple[bytes, Mapping[str, str]]]
    ) -> list[str]:
        """Publish (data, attributes) messages and return their ids."""


def serve(pubsub: Topics, endpoint: str, account: str = "") -> grpc.Server:
    """Answer gRPC on `endpoint` for `pubsub`. Raises RuntimeError when the port is taken.

    With an account the endpoint is its own, as clients do not say here who they are, and offers
    what an account may be granted here: to publish.
    """
    server = grpc.server(
        ThreadPoolExecutor(4 if account else 16, thread_name_prefix="pubsub-grpc"),
        options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 20_000_000)],
    )
    publishing = _publisher_methods(pubsub, account)
    offered = {"Publish": publishing["Publish"]} if account else publishing
    handlers = {name: _unary(*method) for name, method in offered.items()}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("google.pubsub.v1.Publisher", handlers),)
    )
    try:
        bound = server.add_insecure_port(endpoint)
    except RuntimeError as error:
        raise RuntimeError(f"Pub/Sub cannot listen on {endpoint}: is the port taken?") from error
    if not bound:
        raise RuntimeError(f"Pub/Sub cannot listen on {endpoint}: is the port taken?")
    server.start()
    return server


def _unary(answer: _Answer, request: Any, response: Any) -> Any:
    def handle(message: Any, context: grpc.ServicerContext) -> Any:
        """Answer a call; a refusal becomes its gRPC status."""
        try:
            return answer(message)
        except RefusedError as refused:
            context.abort(refused.code, refused.text)

    serialize = response.serialize if hasattr(response, "serialize") else _serialize_empty
    return grpc.unary_unary_rpc_method_handler(handle, request.deserialize, serialize)


def _serialize_empty(message: Empty) -> bytes:
    return bytes(message.SerializeToString())


def _publisher_methods(pubsub: Topics, account: str) -> dict[str, tuple[_Answer, Any, Any]]:
    def create(request: pb.Topic) -> pb.Topic:
        """Create what the request names."""
        pubsub.create_topic(request.name)
        return request

    def get(request: pb.GetTopicRequest) -> pb.Topic:
        """Give what the request names."""
        if request.topic not in pubsub.topics():
            raise RefusedError(grpc.StatusCode.NOT_FOUND, f"topic {request.topic} is not there")
        return pb.Topic(name=request.topic)

    def listed(request: pb.ListTopicsRequest) -> object:
        """Give every topic."""
        own = [name for name in pubsub.topics() if name.startswith(f"{request.project}/topics/")]
        return pb.ListTopicsResponse(topics=[pb.Topic(name=name) for name in own])

    def delete(request: pb.DeleteTopicRequest) -> Empty:
        """Delete what the request names."""
        pubsub.delete_topic(request.topic)
        return Empty()

    def publish(request: pb.PublishRequest) -> object:
        """Publish the request's messages."""
        refusal = pubsub.refusal(account, request.topic) if account and pubsub.refusal else None
        if refusal:
            text = f"User not authorized to perform this action. {refusal}"
            raise RefusedError(grpc.StatusCode.PERMISSION_DENIED, text)
        return _publish_request(pubsub, request)

    return {
        "CreateTopic": (create, pb.Topic, pb.Topic),
        "GetTopic": (get, pb.GetTopicRequest, pb.Topic),
        "ListTopics": (listed, pb.ListTopicsRequest, pb.ListTopicsResponse),
        "DeleteTopic": (delete, pb.DeleteTopicRequest, Empty),
        "Publish": (publish, pb.PublishRequest, pb.PublishResponse),
    }


def _publish_request(pubsub: Topics, request: pb.PublishRequest) -> pb.PublishResponse:
    if any(message.ordering_key for message in request.messages):
        raise invalid(f"{request.topic}: ordering keys are not offered by this stand-in")
    messages = [(message.data, dict(message.attributes)) for message in request.messages]
    frozen = tuple((data, MappingProxyType(attributes)) for data, attributes in messages)
    info = PublishRequestInfo("before", short_name(request.topic), frozen, ())
    if pubsub.intercept:
        pubsub.intercept(info)
    ids = pubsub.publish_all(request.topic, messages)
    if pubsub.intercept:
        pubsub.intercept(replace(info, phase="after", message_ids=tuple(ids)))
    return pb.PublishResponse(message_ids=ids)
