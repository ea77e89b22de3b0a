"""`serve`, the one function that people call: closed unless the stack names a group."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra_pulumi.accounts import ServiceAccounts, function_account
from infra_pulumi.config import ALL, StackConfig
from infra_pulumi.environment import common
from infra_pulumi.functions import Functions
from infra_pulumi.steps import QUERY
from infra_pulumi.warehouse import BigQueryDatasets
from infra_pulumi.zones import LakeBuckets

SERVE = "serve"
PURPOSE = "answers readers: pages, API, exports"
READS = ("reports", "ops")
"""Data sets that it may read; it may write nothing."""
SECONDS = 60
CONCURRENCY = 20
"""Concurrent requests of an instance, and its threads for them."""
MAX_INSTANCES = 3


@dataclass(frozen=True)
class ServingArgs:
    """The resources that `serve` needs."""

    config: StackConfig
    functions: Functions
    zones: LakeBuckets
    accounts: ServiceAccounts
    warehouse: BigQueryDatasets


class Serving(pulumi.ComponentResource):
    """The function, its read grants, and the group that may call it."""

    def __init__(
        self, name: str, args: ServingArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Create the function; nobody may call it if the stack names nobody."""
        super().__init__("citypulse:infra:Serving", name, None, opts)
        self._args = args
        self._member = args.accounts.member(function_account(SERVE))
        self._own = pulumi.ResourceOptions(parent=self)
        self._grants()
        self._function = self._create_function()
        if args.config.serve_to:
            self._open(args.config.serve_to)
        self.register_outputs({})

    @property
    def url(self) -> pulumi.Output[str]:
        """The address that people call."""
        return self._function.service_config.apply(lambda service: (service and service.uri) or "")

    def _grants(self) -> None:
        for dataset in READS:
            gcp.bigquery.DatasetIamMember(
                f"{function_account(SERVE)}-{dataset}",
                dataset_id=self._args.warehouse.datasets[dataset].dataset_id,
                role=QUERY,
                member=self._member,
                opts=self._own,
            )
        gcp.projects.IAMMember(
            f"{function_account(SERVE)}-jobUser",
            project=self._args.config.project,
            role="roles/bigquery.jobUser",
            member=self._member,
            opts=self._own,
        )

    def _create_function(self) -> gcp.cloudfunctionsv2.Function:
        args = self._args
        return gcp.cloudfunctionsv2.Function(
            SERVE,
            name=SERVE,
            location=args.config.region,
            description=f"citypulse: {PURPOSE}",
            build_config=args.functions.build(SERVE),
            service_config=gcp.cloudfunctionsv2.FunctionServiceConfigArgs(
                available_memory="1Gi",
                available_cpu="1",
                timeout_seconds=SECONDS,
                max_instance_count=MAX_INSTANCES,
                max_instance_request_concurrency=CONCURRENCY,
                ingress_settings="ALLOW_ALL",
                service_account_email=args.accounts.email(function_account(SERVE)),
                environment_variables=common(args.config, args.zones)
                | {"THREADS": str(CONCURRENCY)},
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=args.functions.build_needs),
        )

    def _open(self, to: str) -> None:
        gcp.cloudrunv2.ServiceIamMember(
            "readers-call-serve",
            name=self._function.name,
            location=self._args.config.region,
            role="roles/run.invoker",
            member=to if to == ALL else f"group:{to}",
            opts=self._own,
        )
