"""Read what `serve` answers by from the repository and further roots, without a function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from catalog.contract import Contract, ContractError, load_all
from catalog.pages import Dashboard, PageError, load_pages
from catalog.reports import ReportError
from functions.serve.report_catalog import ReportDefinition, load_report_definitions


@dataclass(frozen=True)
class Declarations:
    """Contracts, reports and pages of all roots, each by name."""

    contracts: Mapping[str, Contract]
    reports: Mapping[str, ReportDefinition]
    pages: Mapping[str, Dashboard]


def read_declarations(roots: Iterable[Path]) -> Declarations:
    """Read all roots: a page of one may show the reports of any.

    Raises ContractError, ReportError and PageError, also for what two roots have by one name: in the
    functions' archive there is one place for it.
    """
    folders = tuple(dict.fromkeys(root.resolve() for root in roots))
    contracts: dict[str, Contract] = {}
    reports: dict[str, ReportDefinition] = {}
    pages: dict[str, Dashboard] = {}
    for root in folders:
        own = load_all(root / "catalog" / "datasets")
        for name in sorted(contracts.keys() & own.keys()):
            raise ContractError(
                f"data set {name} is declared in two roots: rename the one in {root}"
            )
        contracts |= own
        found = load_report_definitions(root / "bq_sql")
        for name in sorted(reports.keys() & found.keys()):
            raise ReportError(f"report {name} is declared in two roots: rename the one in {root}")
        reports |= found
    declared = {name: each.declared for name, each in reports.items()}
    for root in folders:
        loaded = load_pages(root / "dashboards", declared)
        for name in sorted(pages.keys() & loaded.keys()):
            raise PageError(f"page {name} is declared in two roots: rename the one in {root}")
        pages |= loaded
    return Declarations(contracts, reports, pages)
