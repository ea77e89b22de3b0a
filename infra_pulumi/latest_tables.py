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
class LatestTablesArgs:
    """The contracts that may declare such a table, and the warehouse for it."""

    contracts: Iterable[Contract]
    warehouse: BigQueryDatasets


class LatestTables(pulumi.ComponentResource):
    """A table in `reports` for each; never protected, because the next fetch fills it again."""

    def __init__(
        self, name: str, args: LatestTablesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Create the tables."""
        super().__init__("citypulse:infra:Shown", name, None, opts)
        self._reports = args.warehouse.datasets["reports"]
        for contract in args.contracts:
            if contract.latest_table is not None:
                self._table(contract, contract.latest_table)
        self.register_outputs({})

    def _table(self, contract: Contract, declared: LatestTable) -> None:
        gcp.bigquery.Table(
            f"reports.{declared.table}",
            dataset_id=self._reports.dataset_id,
            table_id=declared.table,
            description=declared.description,
            schema=json.dumps(fields(latest_table.columns(contract, declared))),
            deletion_protection=False,
            opts=pulumi.ResourceOptions(parent=self),
        )
