"""Grant roles on buckets, topics and data sets; on the project only if nothing is narrower.

A step's roles are declared in `infra_pulumi.steps`.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra_pulumi.accounts import BATCH, ServiceAccounts, function_account, query_account
from infra_pulumi.bindings import Bindings
from infra_pulumi.config import StackConfig
from infra_pulumi.messaging import Messaging
from infra_pulumi.steps import CREATE, EDIT, QUERY, READ, STEPS, WRITE, Step
from infra_pulumi.warehouse import BigQueryDatasets
from infra_pulumi.zones import LakeBuckets


@dataclass(frozen=True)
class GrantsArgs:
    """The accounts and the resources of the grants."""

    config: StackConfig
    accounts: ServiceAccounts
    zones: LakeBuckets
    messaging: Messaging
    warehouse: BigQueryDatasets
    queried_systems: tuple[str, ...]
    transfer_agent: pulumi.Input[str]
    """Account that starts scheduled queries, as IAM names it."""
    settle: pulumi.ResourceHookBinding


class Grants(pulumi.ComponentResource):
    """One member for each grant: never a binding that removes the grants of others."""

    def __init__(
        self, name: str, args: GrantsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Create the grants."""
        super().__init__("citypulse:infra:Grants", name, None, opts)
        self._args = args
        self._give = Bindings(
            args.config.project, args.accounts, args.zones, args.warehouse, self._own()
        )
        for step in STEPS:
            self._step(step)
        self._batches()
        for system in args.queried_systems:
            self._query(system)
        if args.config.readers:
            self._readers(f"group:{args.config.readers}")
        self.register_outputs({})

    def _step(self, step: Step) -> None:
        account = function_account(step.name)
        for zone, role in {"quarantine": READ, **step.buckets}.items():
            self._give.bucket(account, zone, role)
        if "quarantine" not in step.buckets:
            self._give.bucket(account, "quarantine", CREATE, "creates-in-")
        for dataset, role in step.datasets.items():
            self._give.dataset(account, dataset, role)
        for topic in ("events", *step.publishes):
            gcp.pubsub.TopicIAMMember(
                f"{account}-publishes-{topic}",
                topic=self._args.messaging.topics[topic].name,
                role="roles/pubsub.publisher",
                member=self._args.accounts.member(account),
                opts=self._own(),
            )
        for role in step.project_roles:
            self._give.project(account, role)

    def _batches(self) -> None:
        """Grant the batch account its roles, and let `submit` run batches as it."""
        for zone, role in {"code": READ, "landing": READ, "lake": WRITE}.items():
            self._give.bucket(BATCH, zone, role)
        self._give.project(BATCH, "roles/dataproc.worker")
        gcp.serviceaccount.IAMMember(
            "submit-acts-as-batch",
            service_account_id=self._args.accounts.by_id[BATCH].name,
            role="roles/iam.serviceAccountUser",
            member=self._args.accounts.member(function_account("submit")),
            opts=self._own(),
        )

    def _query(self, system: str) -> None:
        account = query_account(system)
        for dataset, role in {"lake": QUERY, "ops": EDIT, "reports": EDIT}.items():
            self._give.dataset(account, dataset, role)
        self._give.project(account, "roles/bigquery.jobUser")
        gcp.serviceaccount.IAMMember(
            f"transfers-act-as-{account}",
            service_account_id=self._args.accounts.by_id[account].name,
            role="roles/iam.serviceAccountTokenCreator",
            member=self._args.transfer_agent,
            opts=pulumi.ResourceOptions(parent=self, hooks=self._args.settle),
        )

    def _readers(self, group: str) -> None:
        """Let the group read the reports and query at the project's cost; nothing else."""
        gcp.bigquery.DatasetIamMember(
            "readers-reports",
            dataset_id=self._args.warehouse.datasets["reports"].dataset_id,
            role=QUERY,
            member=group,
            opts=self._own(),
        )
        gcp.projects.IAMMember(
            "readers-jobUser",
            project=self._args.config.project,
            role="roles/bigquery.jobUser",
            member=group,
            opts=self._own(),
        )

    def _own(self) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self)
