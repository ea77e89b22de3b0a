"""Scheduled queries: one script per system, from its reports and checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_gcp as gcp

from catalog.reports import script
from infra_pulumi.accounts import ServiceAccounts, query_account
from infra_pulumi.config import StackConfig
from infra_pulumi.grants import Grants

SCHEDULE = "every 30 minutes from 00:07 to 23:59"
"""Not on the full hour, when the service may fire twice."""


@dataclass(frozen=True)
class ReportsArgs:
    """The systems' folders of SQL and the accounts that run them."""

    config: StackConfig
    sql: Mapping[str, Path]
    accounts: ServiceAccounts
    grants: Grants


class Reports(pulumi.ComponentResource):
    """One scheduled query per system, after the grants that it needs."""

    def __init__(
        self, name: str, args: ReportsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Create the scheduled queries."""
        super().__init__("citypulse:infra:Reports", name, None, opts)
        for system, folder in args.sql.items():
            gcp.bigquery.DataTransferConfig(
                f"reports-{system}",
                display_name=f"reports {system}",
                data_source_id="scheduled_query",
                location=args.config.region,
                schedule=SCHEDULE,
                params={"query": script(system, folder).text},
                service_account_name=args.accounts.email(query_account(system)),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[args.grants]),
            )
        self.register_outputs({})
