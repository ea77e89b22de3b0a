"""Delivery of events: from buckets to topics, from topics to functions.

`infra_pulumi.routing` declares which event goes where, its filter and retention;
`catalog.retry_policy` has the waits and the number of tries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import pulumi
import pulumi_gcp as gcp

from catalog import retry_policy
from catalog.contract import Contract
from infra_pulumi.accounts import PUSH, ServiceAccounts
from infra_pulumi.functions import Functions
from infra_pulumi.messaging import DEAD_LETTERS, NEVER, Messaging
from infra_pulumi.routing import NOTIFICATIONS, PUSHES, Push, latest_table_notifications
from infra_pulumi.zones import LakeBuckets


@dataclass(frozen=True)
class DeliveryArgs:
    """The resources that events connect."""

    contracts: Mapping[str, Contract]
    zones: LakeBuckets
    messaging: Messaging
    functions: Functions
    accounts: ServiceAccounts
    settle: pulumi.ResourceHookBinding


class PushDelivery(pulumi.ComponentResource):
    """Notifications and push subscriptions."""

    def __init__(
        self, name: str, args: DeliveryArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Create notifications and subscriptions, each after the grant that it needs."""
        super().__init__("citypulse:infra:Delivery", name, None, opts)
        self._args = args
        agent = gcp.storage.get_project_service_account_output()
        grants = {
            topic: self._may_notify(topic, agent) for topic in ("split", "show", "submit", "load")
        }
        signs = self._may_sign()
        for push in PUSHES:
            self._subscribe(push, signs)
        latest = latest_table_notifications(args.contracts.values())
        for zone, prefix, topic in (*NOTIFICATIONS, *latest):
            gcp.storage.Notification(
                f"{zone}-{prefix.strip('/').replace('/', '-')}",
                bucket=args.zones.name(zone),
                object_name_prefix=prefix,
                topic=args.messaging.topics[topic].id,
                event_types=["OBJECT_FINALIZE"],
                payload_format="JSON_API_V1",
                opts=pulumi.ResourceOptions(parent=self, depends_on=[grants[topic]]),
            )
        self.register_outputs({})

    def _may_notify(
        self,
        topic: str,
        agent: pulumi.Output[gcp.storage.GetProjectServiceAccountResult],
    ) -> pulumi.Resource:
        return gcp.pubsub.TopicIAMMember(
            f"storage-publishes-{topic}",
            topic=self._args.messaging.topics[topic].name,
            role="roles/pubsub.publisher",
            member=agent.member,
            opts=pulumi.ResourceOptions(parent=self, hooks=self._args.settle),
        )

    def _may_sign(self) -> pulumi.Resource:
        """Let Pub/Sub's agent sign pushes as the push account.

        The service grants its agent `roles/pubsub.serviceAgent` on the project, but not always: an
        agent that is created before its first use gets no role, and some organizations revoke such
        grants. Then no message is delivered and no log says so. This role has the same permissions,
        here on the one account that signs pushes.
        """
        return gcp.serviceaccount.IAMMember(
            "pubsub-signs-pushes",
            service_account_id=self._args.accounts.by_id[PUSH].name,
            role="roles/iam.serviceAccountTokenCreator",
            member=self._args.messaging.agent,
            opts=pulumi.ResourceOptions(parent=self, hooks=self._args.settle),
        )

    def _subscribe(self, push: Push, signs: pulumi.Resource) -> None:
        args = self._args
        url = args.functions.url(push.step)
        subscription = gcp.pubsub.Subscription(
            push.name,
            name=push.name,
            topic=args.messaging.topics[push.topic].id,
            filter=push.filter,
            ack_deadline_seconds=int(retry_policy.ACK_DEADLINE.total_seconds()),
            message_retention_duration=push.retention,
            expiration_policy=NEVER,
            push_config=gcp.pubsub.SubscriptionPushConfigArgs(
                push_endpoint=url,
                oidc_token=gcp.pubsub.SubscriptionPushConfigOidcTokenArgs(
                    service_account_email=args.accounts.email(PUSH), audience=url
                ),
            ),
            retry_policy=gcp.pubsub.SubscriptionRetryPolicyArgs(
                minimum_backoff=_seconds(retry_policy.MIN_BACKOFF),
                maximum_backoff=_seconds(retry_policy.MAX_BACKOFF),
            ),
            dead_letter_policy=gcp.pubsub.SubscriptionDeadLetterPolicyArgs(
                dead_letter_topic=args.messaging.topics[DEAD_LETTERS].id,
                max_delivery_attempts=retry_policy.MAX_TRIES,
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[
                    args.functions.invokers[push.step],
                    args.messaging.dead_letter_grant,
                    signs,
                ],
            ),
        )
        gcp.pubsub.SubscriptionIAMMember(
            f"agent-acknowledges-{push.name}",
            subscription=subscription.name,
            role="roles/pubsub.subscriber",
            member=args.messaging.agent,
            opts=pulumi.ResourceOptions(parent=self),
        )


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.0f}s"
