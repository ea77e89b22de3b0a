"""The warehouse: data sets, the tables of `lake` from contracts and of `ops` from records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_gcp as gcp

from catalog.contract import Contract
from infra_pulumi.config import StackConfig
from infra_pulumi.lake_schema import Schemas, fields, refuse_loss, schemas
from infra_pulumi.ops_tables import OPS_TABLES

DATASETS = {
    "lake": "Typed facts, a partition per slot",
    "reports": "Small tables that pages and exports read",
    "ops": "Ledger, locks, telemetry: what ran and what is loaded",
    "staging": "What load jobs leave for the swap; expires",
}


@dataclass(frozen=True)
class WarehouseArgs:
    """The inputs of the warehouse."""

    config: StackConfig
    contracts: Mapping[str, Contract]
    before: pulumi.Input[Schemas]
    """The lake as the last deployment left it; nothing for a new stack."""


class BigQueryDatasets(pulumi.ComponentResource):
    """The data sets and the tables that SQL does not create itself."""

    def __init__(
        self, name: str, args: WarehouseArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Create the data sets, then the tables."""
        super().__init__("citypulse:infra:Warehouse", name, None, opts)
        self._disposable = args.config.disposable
        self.datasets = {
            dataset: self._dataset(dataset, text, args.config) for dataset, text in DATASETS.items()
        }
        self.ops = {
            table.name: self._table(
                "ops",
                table.name,
                table.description,
                table.fields(),
                table.cluster,
                (table.partition, table.partition_field) if table.partition_field else None,
            )
            for table in OPS_TABLES
        }
        now = schemas(t for c in args.contracts.values() for t in c.lake_tables())
        self._safe = pulumi.Output.from_input(args.before).apply(
            lambda before: refuse_loss(before or {}, now, args.config.rebuilt)
        )
        self.lake = {
            name: table
            for contract in args.contracts.values()
            for name, table in self._lake_tables(contract)
        }
        # An output only after the tables exist: else a refused deployment would make the next one pass.
        tables = pulumi.Output.all(*(table.id for table in self.lake.values()))
        self.schemas: pulumi.Output[Schemas] = tables.apply(lambda _: now)
        self.register_outputs({})

    def _dataset(self, name: str, text: str, config: StackConfig) -> gcp.bigquery.Dataset:
        return gcp.bigquery.Dataset(
            name,
            dataset_id=name,
            location=config.region,
            description=text,
            default_table_expiration_ms=86_400_000 if name == "staging" else None,
            delete_contents_on_destroy=config.disposable,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _lake_tables(self, contract: Contract) -> Iterable[tuple[str, gcp.bigquery.Table]]:
        declared = {table.name: table for table in contract.tables}
        for lake_table in contract.lake_tables():
            table = declared.get(lake_table.name)
            text = table.description if table else f"Rows of {contract.dataset} that were rejected"
            columns = fields(lake_table.columns)
            partition = (table.partition if table else "MONTH", "slot_start")
            cluster = table.cluster if table else ()
            name = lake_table.name
            yield name, self._table("lake", name, text, columns, cluster, partition)

    def _table(
        self,
        dataset: str,
        name: str,
        description: str,
        columns: list[dict[str, Any]],
        cluster: tuple[str, ...],
        partition: tuple[str, str] | None,
    ) -> gcp.bigquery.Table:
        partitioning = partition and gcp.bigquery.TableTimePartitioningArgs(
            type=partition[0], field=partition[1]
        )
        schema: pulumi.Input[str] = json.dumps(columns)
        if dataset == "lake":  # only once it is known that no column is lost
            schema = self._safe.apply(lambda _: json.dumps(columns))
        return gcp.bigquery.Table(
            f"{dataset}.{name}",
            dataset_id=self.datasets[dataset].dataset_id,
            table_id=name,
            description=description,
            schema=schema,
            clusterings=list(cluster) or None,
            time_partitioning=partitioning,
            deletion_protection=not self._disposable,
            opts=pulumi.ResourceOptions(parent=self, protect=not self._disposable),
        )
