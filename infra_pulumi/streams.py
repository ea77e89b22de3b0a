"""Streams: a topic for each, and the subscription that writes its messages to the raw zone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from catalog import object_names
from catalog.contract import STREAM_SECONDS, Contract, Kind
from infra_pulumi.messaging import NEVER, Messaging
from infra_pulumi.zones import RAW, LakeBuckets

CREATE = "roles/storage.objectCreator"
LOOK = "roles/storage.legacyBucketReader"
"""Second role of Pub/Sub's agent on a bucket: it looks up the bucket before it writes files."""

_RETENTION_DAYS = 31
"""Longest that Pub/Sub keeps messages that it cannot write: they cannot be fetched again."""


@dataclass(frozen=True)
class StreamsArgs:
    """The data sets that may be streams, and the resources for their messages."""

    contracts: Mapping[str, Contract]
    zones: LakeBuckets
    messaging: Messaging
    settle: pulumi.ResourceHookBinding


class Streams(pulumi.ComponentResource):
    """Topics and Cloud Storage subscriptions. A retired data set has none."""

    def __init__(
        self, name: str, args: StreamsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Create them after the grants that they need; nothing if no data set is a stream."""
        super().__init__("citypulse:infra:Streams", name, None, opts)
        self._args = args
        streams = [
            contract
            for contract in args.contracts.values()
            if contract.kind is Kind.STREAM and not contract.retired
        ]
        grants = [self._may_create(), self._may_look()] if streams else []
        for contract in streams:
            self._stream(contract, grants)
        self.register_outputs({})

    def _may_create(self) -> pulumi.Resource:
        """Let the agent create files of streams, and nothing else in the raw zone."""
        bucket = self._args.zones.name(RAW)
        below = pulumi.Output.concat(
            "projects/_/buckets/", bucket, "/objects/", object_names.STREAMS
        )
        return self._grant(
            CREATE,
            gcp.storage.BucketIAMMemberConditionArgs(
                title="streams",
                description="files of streams only",
                expression=pulumi.Output.concat('resource.name.startsWith("', below, '")'),
            ),
        )

    def _may_look(self) -> pulumi.Resource:
        """Let the agent look up the bucket; a condition on objects' names cannot cover it."""
        return self._grant(LOOK)

    def _grant(
        self, role: str, condition: gcp.storage.BucketIAMMemberConditionArgs | None = None
    ) -> pulumi.Resource:
        return gcp.storage.BucketIAMMember(
            f"agent-{RAW}-{role.rpartition('.')[2]}",
            bucket=self._args.zones.name(RAW),
            role=role,
            member=self._args.messaging.agent,
            condition=condition,
            opts=pulumi.ResourceOptions(parent=self, hooks=self._args.settle),
        )

    def _stream(self, contract: Contract, grants: list[pulumi.Resource]) -> None:
        """Create a topic, and a subscription whose files have half the contract's bytes and rows.

        Pub/Sub begins a new file when a limit is exceeded, which may be some messages late.
        """
        name = object_names.stream_topic(contract.dataset)
        topic = gcp.pubsub.Topic(name, name=name, opts=pulumi.ResourceOptions(parent=self))
        gcp.pubsub.Subscription(
            f"{name}-to-{RAW}",
            name=f"{name}-to-{RAW}",
            topic=topic.id,
            cloud_storage_config=gcp.pubsub.SubscriptionCloudStorageConfigArgs(
                bucket=self._args.zones.name(RAW),
                filename_prefix=object_names.stream_folder(contract.dataset),
                filename_suffix=object_names.STREAM_SUFFIX,
                filename_datetime_format=object_names.STREAM_TIMES,
                max_duration=f"{STREAM_SECONDS}s",
                max_bytes=contract.bounds.bytes_max // 2,
                max_messages=contract.bounds.rows_max // 2,
                avro_config=gcp.pubsub.SubscriptionCloudStorageConfigAvroConfigArgs(
                    write_metadata=True
                ),
            ),
            ack_deadline_seconds=600,
            message_retention_duration=f"{_RETENTION_DAYS * 86_400}s",
            expiration_policy=NEVER,
            opts=pulumi.ResourceOptions(parent=self, depends_on=grants),
        )
