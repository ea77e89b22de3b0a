"""What a deployment gives out leads to tables that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from catalog.pages import load_pages
from catalog.reports import Report, load_reports
from docs.generate.data_studio import declarations, live_queries
from infra_pulumi.config import StackConfig
from infra_pulumi.links import first_look, live_link, live_reports, report_link, system_link
from infra_pulumi.ops_tables import OPS_TABLES
from tests.support.stacks import REPOSITORY

REPORTS = {
    folder.parent.name: load_reports(folder.parent)
    for folder in sorted((REPOSITORY / "bq_sql").glob("*/tables"))
}
ALL = [report for reports in REPORTS.values() for report in reports]
LINK_MOST = 8_000
"""Characters of a link: what browsers and servers are known to take."""
SOURCE = {"connector", "type", "projectId", "datasetId", "tableId", "billingProjectId"}


def parsed(link: str) -> dict[str, str]:
    """The parameters of a link, each there once."""
    parts = urlsplit(link)
    assert (parts.scheme, parts.path) == ("https", "/reporting/create")
    told = parse_qs(parts.query, strict_parsing=True)
    assert all(len(values) == 1 for values in told.values())
    return {key: values[0] for key, values in told.items()}


def source(told: dict[str, str], alias: str) -> dict[str, str]:
    return {k.removeprefix(f"{alias}."): v for k, v in told.items() if k.startswith(f"{alias}.")}


@pytest.mark.parametrize("report", ALL, ids=lambda report: report.name)
def test_a_reports_link_names_its_table_without_an_alias(report: Report) -> None:
    told = parsed(report_link("city-prod", report))
    one = source(told, "ds")
    assert set(one) >= SOURCE
    assert (one["connector"], one["type"]) == ("bigQuery", "TABLE")
    assert (one["projectId"], one["datasetId"], one["tableId"]) == (
        "city-prod", "reports", report.name
    )  # fmt: skip
    assert told["r.reportName"] == report.declared.title
    assert "c.reportId" not in told


LIVE = {report.name: report for report in live_reports(
    {path.relative_to(REPOSITORY).as_posix(): path for path in (REPOSITORY / "bq_sql").rglob("*.*")}
)}  # fmt: skip


def test_every_source_of_a_page_has_a_link() -> None:
    declared = declarations()
    assert {report.name for report in ALL} | set(LIVE) == set(declared)
    pages = load_pages(REPOSITORY / "dashboards", declared)
    assert {name for each in pages.values() for name in each.page.reports} <= set(declared)


@pytest.mark.parametrize("name", LIVE)
def test_a_live_reports_link_asks_as_of_now_or_names_its_table(name: str) -> None:
    link = live_link("city-prod", LIVE[name])
    one = source(parsed(link), "ds")
    if name not in live_queries():
        assert (one["type"], one["tableId"]) == ("TABLE", name)
        return
    assert (one["type"], one["billingProjectId"]) == ("CUSTOM_QUERY", "city-prod")
    assert "@now" not in one["sql"]
    assert "--" not in one["sql"]
    asked = re.sub(r"--[^\n]*", "", LIVE[name].select).replace("@now", "CURRENT_TIMESTAMP()")
    assert one["sql"].split() == asked.split()
    assert len(link) < LINK_MOST


@pytest.mark.parametrize("system", REPORTS)
def test_a_systems_link_fills_each_alias_of_the_template(system: str) -> None:
    told = parsed(system_link("city-prod", "abc-123", REPORTS[system]))
    assert told["c.reportId"] == "abc-123"
    for report in REPORTS[system]:
        assert source(told, f"ds.{report.name}")["tableId"] == report.name


def test_a_title_survives_the_link() -> None:
    titles = {report.declared.title for report in ALL}
    assert any(":" in title or " " in title for title in titles)
    assert {parsed(report_link("p-1234", r))["r.reportName"] for r in ALL} == titles


def test_the_first_look_reads_tables_that_there_are() -> None:
    config = StackConfig("city-prod", "europe-west1", Path(), Path())
    commands = first_look(config, ["ingest-b", "ingest-a"])
    assert "jobs run ingest-a " in commands["fetch a data set now"]
    tables = {f"ops.{table.name}" for table in OPS_TABLES}
    for command in commands.values():
        words = shlex.split(command)
        assert words[0] in ("gcloud", "bq")
        assert any("city-prod" in word for word in words)
        queries = [word for word in words if word.startswith("SELECT")]
        assert {q.split()[3] for q in queries} <= tables
