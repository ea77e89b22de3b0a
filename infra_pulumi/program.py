"""The stack: its components in the order they need each other."""

from __future__ import annotations

import pulumi

from catalog.reports import load_reports
from infra_pulumi.accounts import (
    BATCH,
    BUILD,
    PUSH,
    AccountsArgs,
    ServiceAccounts,
    function_account,
    query_account,
)
from infra_pulumi.archive import build_archive
from infra_pulumi.budget import Budget, BudgetArgs
from infra_pulumi.config import ConfigError, StackConfig
from infra_pulumi.delivery import DeliveryArgs, PushDelivery
from infra_pulumi.federation import Federation, FederationArgs
from infra_pulumi.functions import Functions, FunctionsArgs
from infra_pulumi.grants import Grants, GrantsArgs
from infra_pulumi.keys import Keys, KeysArgs, refuse_unpinned
from infra_pulumi.lake_schema import Schemas
from infra_pulumi.latest_tables import LatestTables, LatestTablesArgs
from infra_pulumi.links import first_look, live_link, live_reports, report_link, system_link
from infra_pulumi.messaging import Messaging, MessagingArgs
from infra_pulumi.reports import Reports, ReportsArgs
from infra_pulumi.schedules import Schedules, SchedulesArgs, scheduled
from infra_pulumi.services import Services, ServicesArgs
from infra_pulumi.serving import PURPOSE, SERVE, Serving, ServingArgs
from infra_pulumi.sources import Sources, read_sources
from infra_pulumi.spark import SparkArgs, SparkBatches
from infra_pulumi.steps import STEPS
from infra_pulumi.streams import Streams, StreamsArgs
from infra_pulumi.waits import settling
from infra_pulumi.warehouse import BigQueryDatasets, WarehouseArgs
from infra_pulumi.watch import Watch, WatchArgs
from infra_pulumi.zones import LakeBuckets, ZonesArgs

LAKE = "lake"
"""Output with the tables that the next deployment compares its own with."""


def build(config: StackConfig) -> None:
    """Register everything of a stack, or raise ConfigError if its sources are incomplete."""
    sources = read_sources(config)
    _refuse_unknown_names(config, sources)
    refuse_unpinned(sources.contracts.values(), config)
    archive = build_archive(
        config.repository, sources.contract_files, sources.declared, config.build
    )
    settle = settling(config.settle_seconds)
    services = Services("services", ServicesArgs(config.project, settle))
    after = pulumi.ResourceOptions(depends_on=[services])

    accounts = ServiceAccounts("accounts", AccountsArgs(_purposes(sources)), after)
    zones = LakeBuckets("zones", ZonesArgs(config, _lake_prefixes(sources)), after)
    warehouse = BigQueryDatasets(
        "warehouse", WarehouseArgs(config, sources.contracts, _last()), after
    )
    LatestTables("shown", LatestTablesArgs(sources.contracts.values(), warehouse), after)
    messaging = Messaging("messaging", MessagingArgs(config, warehouse, settle), after)
    grants = Grants(
        "grants",
        GrantsArgs(
            config,
            accounts,
            zones,
            messaging,
            warehouse,
            tuple(sources.sql),
            services.agents["bigquerydatatransfer"],
            settle,
        ),
        after,
    )
    spark = SparkBatches("spark", SparkArgs(config, sources.jobs, zones, accounts), after)
    keys = Keys("keys", KeysArgs(config, sources.contracts.values(), accounts, settle), after)
    functions = Functions(
        "functions", FunctionsArgs(config, archive, zones, accounts, spark, keys, settle), after
    )
    serving = Serving("serving", ServingArgs(config, functions, zones, accounts, warehouse), after)
    PushDelivery(
        "delivery", DeliveryArgs(sources.contracts, zones, messaging, functions, accounts, settle)
    )
    Streams("streams", StreamsArgs(sources.contracts, zones, messaging, settle), after)
    Reports("reports", ReportsArgs(config, sources.sql, accounts, grants))
    Schedules(
        "schedules",
        SchedulesArgs(config, sources.contracts, tuple(sources.systems), messaging),
    )
    watch = Watch("watch", WatchArgs(config, sources.contracts, settle), after)
    Budget("budget", BudgetArgs(config, watch.channels, services), after)
    Federation("federation", FederationArgs(config), after)
    _export(config, sources, warehouse)
    pulumi.export("serve", serving.url)


def _refuse_unknown_names(config: StackConfig, sources: Sources) -> None:
    """Raise ConfigError for a setting on an unknown data set or system: it has no effect."""
    accepted = {"origins": {"*", *sources.contracts}, "templates": set(sources.sql)}
    for key, names in accepted.items():
        for name in sorted(getattr(config, key).keys() - names):
            raise ConfigError(
                f"citypulse:{key} names {name}, which does not exist: it accepts {', '.join(sorted(names))}"
            )


def _last() -> pulumi.Output[Schemas]:
    """Return the lake of this stack's last deployment; None if there was none."""
    own = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    last = pulumi.StackReference("last", stack_name=own)
    lake: pulumi.Output[Schemas] = last.get_output(LAKE)
    return lake


def _export(config: StackConfig, sources: Sources, warehouse: BigQueryDatasets) -> None:
    """Export project, region, the lake for the next deployment, links and commands."""
    reports = {system: load_reports(folder) for system, folder in sources.sql.items()}
    built = [report for each in reports.values() for report in each]
    jobs = (f"ingest-{name}".replace("_", "-") for name in scheduled(sources.contracts))
    pulumi.export("project", config.project)
    pulumi.export("region", config.region)
    pulumi.export(LAKE, warehouse.schemas)
    links = {r.name: report_link(config.project, r) for r in built}
    links |= {r.name: live_link(config.project, r) for r in live_reports(sources.declared)}
    pulumi.export("reports", links)
    pulumi.export(
        "pages",
        {
            system: system_link(config.project, template, reports[system])
            for system, template in config.templates.items()
        },
    )
    pulumi.export("first_look", first_look(config, jobs))


def _purposes(sources: Sources) -> dict[str, str]:
    """Return every service account's id and its purpose."""
    purposes = {
        BUILD: "builds the functions",
        PUSH: "calls the functions for Pub/Sub",
        BATCH: "runs the Spark batches",
    }
    purposes |= {function_account(step.name): step.purpose for step in STEPS}
    purposes[function_account(SERVE)] = PURPOSE
    return purposes | {query_account(s): f"runs the reports of {s}" for s in sources.sql}


def _lake_prefixes(sources: Sources) -> tuple[str, ...]:
    """Return the lake's folders of table files."""
    return tuple(
        f"{table.name}/"
        for contract in sources.contracts.values()
        for table in contract.lake_tables()
    )
