"""Pub/Sub's gRPC face: the Publisher and Subscriber calls that Google's clients make."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types as pb

from local_cloud.pubsub.pull import Pulled
from local_cloud.pubsub.specs import (
    FileSink,
    PublishRequestInfo,
    Refused,
    SubscriptionSpec,
    invalid,
    short_name,
)

if TYPE_CHECKING:
    from local_cloud.pubsub.service import PubSub

type _Answer = Callable[[Any], Any]


def serve(pubsub: PubSub, endpoint: str, account: str = "") -> grpc.Server:
    """Answer gRPC on `endpoint` for `pubsub`. Raises RuntimeError when the port is taken.

    With an account the endpoint is its own, as clients do not say here who they are, and offers
    what an account may be granted here: to publish.
    """
    server = grpc.server(
        ThreadPoolExecutor(4 if account else 16, thread_name_prefix="pubsub-grpc"),
        options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 20_000_000)],
    )
    publishing = _publisher_methods(pubsub, account)
    offered = (
        {"Publisher": {"Publish": publishing["Publish"]}}
        if account
        else {"Publisher": publishing, "Subscriber": _subscriber_methods(pubsub)}
    )
    for service, methods in offered.items():
        handlers = {name: _unary(*method) for name, method in methods.items()}
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(f"google.pubsub.v1.{service}", handlers),)
        )
    try:
        bound = server.add_insecure_port(endpoint)
    except RuntimeError as taken:
        raise RuntimeError(f"Pub/Sub cannot listen on {endpoint}: is the port taken?") from taken
    if not bound:
        raise RuntimeError(f"Pub/Sub cannot listen on {endpoint}: is the port taken?")
    server.start()
    return server


def _unary(answer: _Answer, request: Any, response: Any) -> Any:
    def handle(message: Any, context: grpc.ServicerContext) -> Any:
        """Answer a call; a refusal becomes its gRPC status."""
        try:
            return answer(message)
        except Refused as refused:
            context.abort(refused.code, refused.text)

    serialize = response.serialize if hasattr(response, "serialize") else _serialize_empty
    return grpc.unary_unary_rpc_method_handler(handle, request.deserialize, serialize)


def _serialize_empty(message: Empty) -> bytes:
    return bytes(message.SerializeToString())


def _publisher_methods(pubsub: PubSub, account: str) -> dict[str, tuple[_Answer, Any, Any]]:
    def create(request: pb.Topic) -> pb.Topic:
        """Create what the request names."""
        pubsub.create_topic(request.name)
        return request

    def get(request: pb.GetTopicRequest) -> pb.Topic:
        """Give what the request names."""
        if request.topic not in pubsub.topics():
            raise Refused(grpc.StatusCode.NOT_FOUND, f"topic {request.topic} is not there")
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
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, text)
        return _publish_request(pubsub, request)

    return {
        "CreateTopic": (create, pb.Topic, pb.Topic),
        "GetTopic": (get, pb.GetTopicRequest, pb.Topic),
        "ListTopics": (listed, pb.ListTopicsRequest, pb.ListTopicsResponse),
        "DeleteTopic": (delete, pb.DeleteTopicRequest, Empty),
        "Publish": (publish, pb.PublishRequest, pb.PublishResponse),
    }


def _publish_request(pubsub: PubSub, request: pb.PublishRequest) -> pb.PublishResponse:
    if any(message.ordering_key for message in request.messages):
        raise invalid(f"{request.topic}: ordering keys are not offered by this stand-in")
    messages = [(message.data, dict(message.attributes)) for message in request.messages]
    shown = tuple((data, MappingProxyType(attributes)) for data, attributes in messages)
    info = PublishRequestInfo("before", short_name(request.topic), shown, ())
    if pubsub.intercept:
        pubsub.intercept(info)
    ids = pubsub.publish_all(request.topic, messages)
    if pubsub.intercept:
        pubsub.intercept(replace(info, phase="after", message_ids=tuple(ids)))
    return pb.PublishResponse(message_ids=ids)


def _subscriber_methods(pubsub: PubSub) -> dict[str, tuple[_Answer, Any, Any]]:
    def create(request: pb.Subscription) -> pb.Subscription:
        """Create what the request names."""
        pubsub.create_subscription(_spec(request))
        return request

    def get(request: pb.GetSubscriptionRequest) -> object:
        """Give what the request names."""
        for spec in pubsub.subscriptions():
            if spec.name == request.subscription:
                return _subscription(spec)
        raise Refused(
            grpc.StatusCode.NOT_FOUND, f"subscription {request.subscription} is not there"
        )

    def delete(request: pb.DeleteSubscriptionRequest) -> Empty:
        """Delete what the request names."""
        pubsub.delete_subscription(request.subscription)
        return Empty()

    def pull(request: pb.PullRequest) -> pb.PullResponse:
        """Give messages that wait."""
        wait = 0.0 if request.return_immediately else 1.0
        pulled = pubsub.pull(request.subscription, request.max_messages, wait)
        return pb.PullResponse(received_messages=[_received(each) for each in pulled])

    def acknowledge(request: pb.AcknowledgeRequest) -> Empty:
        """Acknowledge by ack ids."""
        pubsub.acknowledge(request.subscription, request.ack_ids)
        return Empty()

    def modify(request: pb.ModifyAckDeadlineRequest) -> Empty:
        """Change ack deadlines; zero gives a message back."""
        pubsub.modify_ack_deadline(
            request.subscription, request.ack_ids, request.ack_deadline_seconds
        )
        return Empty()

    return {
        "CreateSubscription": (create, pb.Subscription, pb.Subscription),
        "GetSubscription": (get, pb.GetSubscriptionRequest, pb.Subscription),
        "DeleteSubscription": (delete, pb.DeleteSubscriptionRequest, Empty),
        "Pull": (pull, pb.PullRequest, pb.PullResponse),
        "Acknowledge": (acknowledge, pb.AcknowledgeRequest, Empty),
        "ModifyAckDeadline": (modify, pb.ModifyAckDeadlineRequest, Empty),
    }


def _received(pulled: Pulled) -> pb.ReceivedMessage:
    message = pulled.message
    return pb.ReceivedMessage(
        ack_id=pulled.ack_id,
        message=pb.PubsubMessage(
            data=message.data,
            attributes=dict(message.attributes),
            message_id=message.message_id,
            publish_time=message.publish_time,
        ),
        delivery_attempt=pulled.attempt,
    )


def _spec(request: pb.Subscription) -> SubscriptionSpec:
    """Read a CreateSubscription request; what is left out takes Pub/Sub's defaults."""
    push, export = request.push_config, request.bigquery_config
    retry, dead = request.retry_policy, request.dead_letter_policy
    retention = request.message_retention_duration
    return SubscriptionSpec(
        name=request.name,
        topic=request.topic,
        push_endpoint=push.push_endpoint or None,
        push_audience=push.oidc_token.audience or None,
        service_account=push.oidc_token.service_account_email or None,
        bigquery_table=export.table or None,
        files=_files(request) if request.cloud_storage_config.bucket else None,
        use_table_schema=export.use_table_schema,
        write_metadata=export.write_metadata,
        drop_unknown_fields=export.drop_unknown_fields,
        filter=request.filter or None,
        ack_deadline_seconds=request.ack_deadline_seconds or 10,
        retention_seconds=retention.total_seconds() if retention else 604_800,
        min_backoff=retry.minimum_backoff.total_seconds() if retry.minimum_backoff else 10,
        max_backoff=retry.maximum_backoff.total_seconds() if retry.maximum_backoff else 600,
        dead_letter_topic=dead.dead_letter_topic or None,
        max_delivery_attempts=dead.max_delivery_attempts or 5,
    )


def _files(request: pb.Subscription) -> FileSink:
    """Read what a request says of its files; raises Refused for what is not written here."""
    told = request.cloud_storage_config
    if not told.avro_config.write_metadata:
        raise invalid(f"{request.name}: only Avro with metadata is written by this stand-in")
    return FileSink(
        bucket=told.bucket,
        prefix=told.filename_prefix,
        suffix=told.filename_suffix,
        datetime_format=told.filename_datetime_format or FileSink.datetime_format,
        max_duration=told.max_duration.total_seconds() if told.max_duration else 300,
        max_bytes=told.max_bytes or None,
        max_messages=told.max_messages or None,
    )


def _subscription(spec: SubscriptionSpec) -> pb.Subscription:
    described = pb.Subscription(
        name=spec.name,
        topic=spec.topic,
        filter=spec.filter or "",
        ack_deadline_seconds=round(spec.ack_deadline_seconds),
        message_retention_duration=timedelta(seconds=spec.retention_seconds),
        retry_policy=pb.RetryPolicy(
            minimum_backoff=timedelta(seconds=spec.min_backoff),
            maximum_backoff=timedelta(seconds=spec.max_backoff),
        ),
    )
    if spec.push_endpoint:
        described.push_config = pb.PushConfig(push_endpoint=spec.push_endpoint)
    if spec.bigquery_table:
        described.bigquery_config = pb.BigQueryConfig(table=spec.bigquery_table)
    if spec.dead_letter_topic:
        described.dead_letter_policy = pb.DeadLetterPolicy(
            dead_letter_topic=spec.dead_letter_topic,
            max_delivery_attempts=spec.max_delivery_attempts,
        )
    return described
