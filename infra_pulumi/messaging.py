"""Topics, and the two subscriptions that write their messages to BigQuery."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra_pulumi.config import StackConfig
from infra_pulumi.warehouse import BigQueryDatasets

TOPICS = ("ingest", "split", "show", "seal", "submit", "load", "sweep", "events", "dead-letters")
DEAD_LETTERS = "dead-letters"
NEVER = gcp.pubsub.SubscriptionExpirationPolicyArgs(ttl="")


@dataclass(frozen=True)
class MessagingArgs:
    """The resources that the topics need."""

    config: StackConfig
    warehouse: BigQueryDatasets
    settle: pulumi.ResourceHookBinding


class Messaging(pulumi.ComponentResource):
    """The topics by name; `agent` is Pub/Sub's own service account as IAM names it."""

    def __init__(
        self, name: str, args: MessagingArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Create topics, grants for Pub/Sub's agent, and the BigQuery subscriptions."""
        super().__init__("citypulse:infra:Messaging", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        settled = pulumi.ResourceOptions(parent=self, hooks=args.settle)
        self.agent = gcp.projects.ServiceIdentity(
            "pubsub-agent", service="pubsub.googleapis.com", opts=own
        ).member
        self.topics = {topic: gcp.pubsub.Topic(topic, name=topic, opts=own) for topic in TOPICS}
        self.dead_letter_grant = gcp.pubsub.TopicIAMMember(
            "agent-publishes-dead-letters",
            topic=self.topics[DEAD_LETTERS].name,
            role="roles/pubsub.publisher",
            member=self.agent,
            opts=settled,
        )
        writes = gcp.bigquery.DatasetIamMember(
            "agent-writes-ops",
            dataset_id=args.warehouse.datasets["ops"].dataset_id,
            role="roles/bigquery.dataEditor",
            member=self.agent,
            opts=settled,
        )
        self._to_bigquery("events", "events", args, writes)
        self._to_bigquery(DEAD_LETTERS, "dead_letters", args, writes)
        self.register_outputs({})

    def _to_bigquery(
        self, topic: str, table: str, args: MessagingArgs, grant: pulumi.Resource
    ) -> None:
        """Create a subscription into `ops.<table>`: events by its columns, dead letters unchanged.

        An event that does not fit the columns of `ops.events` goes to the dead letters. A dead letter
        goes nowhere else.
        """
        by_schema = topic == "events"
        ops = args.warehouse.ops[table]
        policy = gcp.pubsub.SubscriptionDeadLetterPolicyArgs(
            dead_letter_topic=self.topics[DEAD_LETTERS].id, max_delivery_attempts=50
        )
        subscription = gcp.pubsub.Subscription(
            f"{topic}-to-bigquery",
            name=f"{topic}-to-bigquery",
            topic=self.topics[topic].id,
            bigquery_config=gcp.pubsub.SubscriptionBigqueryConfigArgs(
                table=pulumi.Output.concat(
                    args.config.project, ".", ops.dataset_id, ".", ops.table_id
                ),
                use_table_schema=by_schema,
                drop_unknown_fields=by_schema,
                write_metadata=not by_schema,
            ),
            dead_letter_policy=policy if by_schema else None,
            expiration_policy=NEVER,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[grant, self.dead_letter_grant]),
        )
        if by_schema:  # a dead letter must first be acknowledged
            gcp.pubsub.SubscriptionIAMMember(
                f"agent-acknowledges-{topic}-to-bigquery",
                subscription=subscription.name,
                role="roles/pubsub.subscriber",
                member=self.agent,
                opts=pulumi.ResourceOptions(parent=self),
            )
