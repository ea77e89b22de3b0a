"""The tables of snapshots' newest runs, which `show` fills."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from catalog import latest_table
from catalog.contract import Contract, LatestTable
from infra_pulumi.lake_schema import fields
from infra_pulumi.warehouse import BigQueryDatasets


@dataclass(frozen=True)
class ShownArgs:
    """The contracts that may ask for such a table, and where it stands."""

    contracts: Iterable[Contract]
    warehouse: BigQueryDatasets


class LatestTables(pulumi.ComponentResource):
    """A table in `reports` for each; never protected, as the next fetch fills it anew."""

    def __init__(
        self, name: str, args: ShownArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Make the tables."""
        super().__init__("citypulse:infra:Shown", name, None, opts)
        self._reports = args.warehouse.datasets["reports"]
        for contract in args.contracts:
            if contract.latest_table is not None:
                self._table(contract, contract.latest_table)
        self.register_outputs({})

    def _table(self, contract: Contract, told: LatestTable) -> None:
        gcp.bigquery.Table(
            f"reports.{told.table}",
            dataset_id=self._reports.dataset_id,
            table_id=told.table,
            description=told.description,
            schema=json.dumps(fields(latest_table.columns(contract, told))),
            deletion_protection=False,
            opts=pulumi.ResourceOptions(parent=self),
        )
