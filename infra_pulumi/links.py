"""Outputs of a deployment: links that create a report, and commands for the first look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlencode

from catalog.reports import Report, declaration
from infra_pulumi.config import StackConfig

CREATE = "https://datastudio.google.com/reporting/create"


def report_link(project: str, report: Report) -> str:
    """Return a link that opens a new Data Studio report on one report table.

    Without a template, the Linking API accepts one source and no alias.
    """
    return _link({"r.reportName": report.declared.title}, {"ds": _source(project, report)})


def live_link(project: str, report: Report) -> str:
    """Return a link as `report_link` does, for a report that no script builds.

    Such a report is a table that a step fills, or a SELECT. The SELECT runs as of now, without
    comments and indents: a link has room for some kilobytes.
    """
    if not report.select:
        return report_link(project, report)
    lines = (line.strip() for line in report.select.splitlines())
    sql = "\n".join(line for line in lines if line and not line.startswith("--"))
    source = {
        "connector": "bigQuery",
        "datasourceName": report.declared.title,
        "type": "CUSTOM_QUERY",
        "sql": sql.replace("@now", "CURRENT_TIMESTAMP()"),
        "projectId": project,
        "billingProjectId": project,
    }
    return _link({"r.reportName": report.declared.title}, {"ds": source})


def live_reports(declared: Mapping[str, Path]) -> tuple[Report, ...]:
    """Return the reports in `live/` of the declared files; `select` is empty for a table."""
    found = []
    for place, path in sorted(declared.items()):
        if Path(place).parent.name == "live" and path.suffix == ".toml":
            select = declared.get(str(Path(place).with_suffix(".sql")))
            text = select.read_text(encoding="utf-8") if select else ""
            found.append(Report(name=path.stem, declared=declaration(path), select=text))
    return tuple(found)


def system_link(project: str, template: str, reports: Iterable[Report]) -> str:
    """Return a link that copies a template's pages onto a system's report tables.

    The template's data sources must have the tables' names as aliases.
    """
    sources = {f"ds.{report.name}": _source(project, report) for report in reports}
    return _link({"c.reportId": template, "c.mode": "edit"}, sources)


def first_look(config: StackConfig, jobs: Iterable[str]) -> dict[str, str]:
    """Return the commands of the first look, by what they show."""
    place = f"--project={config.project}"
    fetch = next(iter(sorted(jobs)), "sweep")
    events = "SELECT * FROM ops.events ORDER BY `at` DESC LIMIT 20"
    ledger = "SELECT * FROM ops.loads ORDER BY loaded_at DESC LIMIT 20"
    query = f"bq query --project_id={config.project} --use_legacy_sql=false"
    return {
        "fetch a data set now": f"gcloud scheduler jobs run {fetch} {place} "
        f"--location={config.region}",
        "what the steps say": f"gcloud logging read 'jsonPayload.step:*' {place} --limit=20 "
        "--format='value(timestamp,jsonPayload.step,jsonPayload.dataset,jsonPayload.message)'",
        "batches": f"gcloud dataproc batches list {place} --region={config.region}",
        "events": f"{query} '{events}'",
        "what is loaded": f"{query} '{ledger}'",
    }


def _source(project: str, report: Report) -> dict[str, str]:
    return {
        "connector": "bigQuery",
        "datasourceName": report.declared.title,
        "type": "TABLE",
        "projectId": project,
        "datasetId": "reports",
        "tableId": report.name,
        "billingProjectId": project,
    }


def _link(parameters: Mapping[str, str], sources: Mapping[str, Mapping[str, str]]) -> str:
    flat = {f"{alias}.{key}": text for alias, own in sources.items() for key, text in own.items()}
    return f"{CREATE}?{urlencode({**parameters, **flat})}"
