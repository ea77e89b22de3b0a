"""Reports: their declarations, and the one script per system that builds and publishes them.

A system's folder holds `tables/<report>.sql` (one SELECT), `tables/<report>.toml` (its declaration),
`checks/*.sql` (ASSERT statements on the reports and on `ledger`) and, if reports build on each
other, `system.toml` with their order. `live/<report>.toml` declares what no script builds: a table of
`reports` that a step fills, or, with a SELECT on `ops` next to it, a query that runs on request.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from string import Template

import msgspec

TYPES = ("STRING", "INT64", "FLOAT64", "NUMERIC", "BOOL", "DATE", "TIMESTAMP", "GEOGRAPHY")
"""Types that a column of a report may have."""


class ReportError(ValueError):
    """A report has a fault: the text names the file, the fault and the fix."""


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a declaration: an unknown key is an error, never ignored."""


class ReportColumn(_Strict, frozen=True, kw_only=True):
    """A column of a report."""

    name: str
    type: str
    description: str
    unit: str = ""
    definition: str = ""
    """How the figure is calculated, in words; the formula itself is in the SQL."""
    required: bool = False
    """Never null; a key column always is."""


class Declaration(_Strict, frozen=True, kw_only=True):
    """The declaration of a report in `tables/<report>.toml`."""

    title: str
    description: str
    grain: str
    key: tuple[str, ...]
    datasets: tuple[str, ...]
    """Data sets that it is built from: they give `data_as_of`, and with `joined` the `origin`."""
    joined: tuple[str, ...] = ()
    """Data sets that it is only compared with: their newest data does not date the report."""
    columns: tuple[ReportColumn, ...]
    window_days: int | None = None
    """Days of slots before its run that it reads from the lake; None for all."""
    default_date: str | None = None
    """The DATE column of date controls; the table is partitioned by its month."""
    filters: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    """Columns to sort rows by, each with ` DESC` if the largest comes first."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A report of a system: its name, its declaration and its SELECT."""

    name: str
    declared: Declaration
    select: str

    @property
    def columns(self) -> tuple[ReportColumn, ...]:
        """Every column of the published table: the declared ones, `data_as_of`, `origin`."""
        return (*self.declared.columns, *ADDED)


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """The scheduled query of a system; `@run_time` is its only parameter."""

    system: str
    text: str
    hash: str
    """Hash of the script, 16 hex digits: a changed script runs even without new data."""
    reports: tuple[Report, ...]
    checks: int
    """Number of ASSERT statements in it."""


ADDED = (
    ReportColumn(
        name="data_as_of",
        type="TIMESTAMP",
        description="How far the data reaches: the newest event of the data sets, else their "
        "newest fetch; of several data sets the one that lags",
    ),
    ReportColumn(
        name="origin",
        type="STRING",
        description="publisher, sample or synthetic: where the rows come from; "
        "the furthest from the publisher where they are mixed",
    ),
)
"""Columns that the script adds to every report."""

SAMPLE_SIZE = "sample_size"
"""The column that every report must declare: the number of lake rows behind a figure."""


def script(system: str, folder: Path) -> Script:
    """Return the script that builds and publishes the reports in `folder` (`bq_sql/<system>`).

    It returns at once if neither the ledger nor the script has changed since the last good
    run. Reports and `ledger` are read from one snapshot. A failed check leaves the published
    tables as they are, writes a failed row and raises. Raises ReportError.
    """
    reports = load_reports(folder)
    stated = [_statement(path) for path in sorted((folder / "checks").glob("*.sql"))]
    checks = [check for report in reports for check in _generated(report)]
    checks += [text for text in stated if text]
    pieces = {
        "system": _literal(system),
        "build": "\n".join(_build(report) for report in reports),
        "checks": "\n".join(f"{check.rstrip().removesuffix(';')};" for check in checks),
        "publish": "\n".join(_publish(report) for report in reports),
        "count": str(sum(len(_ASSERT.findall(_bare(check))) for check in checks)),
    }
    value = hashlib.sha256(_filled(pieces, "").encode()).hexdigest()[:16]
    return Script(
        system=system,
        text=_filled(pieces, value),
        hash=value,
        reports=reports,
        checks=int(pieces["count"]),
    )


def declaration(path: Path) -> Declaration:
    """Read the declaration in a TOML file, or raise ReportError naming file and fault."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Declaration)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ReportError(f"{path.name}: {error}") from error


def load_reports(folder: Path) -> tuple[Report, ...]:
    """Read the reports of a system in build order, or raise ReportError naming the fault."""
    selects = {path.stem: path for path in sorted((folder / "tables").glob("*.sql"))}
    declared = {path.stem: path for path in sorted((folder / "tables").glob("*.toml"))}
    if not selects:
        raise ReportError(f"{folder}: no report: a report is tables/<report>.sql with its .toml")
    for name in sorted(set(selects) ^ set(declared)):
        lacking = "toml" if name in selects else "sql"
        raise ReportError(f"{folder.name}: tables/{name}.{lacking} is missing: write it")
    reports = [_load(name, selects[name], declared[name]) for name in _order(folder, selects)]
    return tuple(reports)


_ASSERT = re.compile(r"\bASSERT\b", re.IGNORECASE)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_LAKE = re.compile(r"\b(?:FROM|JOIN)\s+`?lake\.", re.IGNORECASE)
_PREDICATE = re.compile(r"\bslot_start\b\s*(?:>=?|<=?|=|BETWEEN\b|IN\b)", re.IGNORECASE)

_SCRIPT = """\
DECLARE known_versions STRING;
DECLARE new_versions STRING;
DECLARE reaches TIMESTAMP;
DECLARE failure STRING;
SET new_versions = (
  SELECT TO_HEX(SHA256(STRING_AGG(
    CONCAT(dataset, ' ', slot, ' ', version, ' ', manifest), '\\n' ORDER BY dataset, slot
  )))
  FROM ops.loads
  WHERE system = $system
);
SET known_versions = (
  SELECT CONCAT(script, ' ', versions)
  FROM ops.report_runs
  WHERE system = $system AND outcome = 'published'
  ORDER BY run_time DESC
  LIMIT 1
);
IF new_versions IS NULL OR known_versions = CONCAT($script, ' ', new_versions) THEN
  RETURN;
END IF;
BEGIN
  BEGIN
    BEGIN TRANSACTION;
    CREATE TEMP TABLE ledger AS
    SELECT * FROM ops.loads WHERE system = $system;
$build
    COMMIT TRANSACTION;
  EXCEPTION WHEN ERROR THEN
    ROLLBACK TRANSACTION;
    RAISE;
  END;
  SET new_versions = (
    SELECT TO_HEX(SHA256(STRING_AGG(
      CONCAT(dataset, ' ', slot, ' ', version, ' ', manifest), '\\n' ORDER BY dataset, slot
    )))
    FROM ledger
  );
  SET reaches = (
    SELECT MAX(LEAST(COALESCE(newest, $fetched), $fetched))
    FROM ledger
  );
$checks
$publish
$published
EXCEPTION WHEN ERROR THEN
  SET failure = @@error.message;
$failed
  RAISE;
END;
"""


_FETCHED = "PARSE_TIMESTAMP('%Y%m%dT%H%M%SZ', SUBSTR(run, 1, 16))"
"""Time at which the run of a slot was fetched; it caps event times of a wrong clock."""

_BUILD = """\
CREATE TEMP TABLE $report AS
SELECT
$columns,
  a.data_as_of,
  a.origin
FROM (
$select
) AS q
CROSS JOIN (
  SELECT
    MIN(IF(d.dataset IN ($dating), d.data_as_of, NULL)) AS data_as_of,
    MAX(d.origin) AS origin
  FROM (
    SELECT
      dataset,
      MAX(LEAST(COALESCE(newest, $fetched), $fetched)) AS data_as_of,
      MAX(origin) AS origin
    FROM ledger
    WHERE dataset IN ($read)
    GROUP BY dataset
  ) AS d
) AS a;"""

_CHECK = "ASSERT NOT EXISTS (SELECT 1 FROM $report $rest) AS $message"

_RUN = """\
  MERGE ops.report_runs AS r
  USING (SELECT $system AS system, @run_time AS run_time) AS s
  ON r.system = s.system AND r.run_time = s.run_time
  WHEN MATCHED THEN UPDATE SET
    script = $script,
    versions = new_versions,
    outcome = '$outcome',
    data_as_of = reaches,
    checks = $count,
    error = failure
  WHEN NOT MATCHED THEN INSERT
    (system, run_time, script, versions, outcome, data_as_of, checks, error)
  VALUES
    (s.system, s.run_time, $script, new_versions, '$outcome', reaches, $count, failure);"""


def _filled(pieces: dict[str, str], value: str) -> str:
    """Return the script with its pieces and its own hash in place."""
    values = pieces | {"script": _literal(value)}
    run = Template(_RUN)
    return Template(_SCRIPT).substitute(
        values,
        fetched=_FETCHED,
        published=run.substitute(values, outcome="published"),
        failed=run.substitute(values | {"count": "0"}, outcome="failed"),
    )


def _load(name: str, sql: Path, toml: Path) -> Report:
    report = Report(name=name, declared=declaration(toml), select=_statement(sql))
    faults = [*_column_faults(report), *_select_faults(report)]
    if faults:
        raise ReportError(f"{toml.name}: " + "; ".join(faults))
    return report


def _order(folder: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Return the names in the order of `system.toml`, or unchanged without that file."""
    path = folder / "system.toml"
    if not path.exists():
        return tuple(names)
    order = tuple(msgspec.toml.decode(path.read_bytes()).get("order", ()))
    if sorted(order) != sorted(names):
        raise ReportError(
            f"{folder.name}/system.toml: order must name each report once: {', '.join(names)}"
        )
    return order


def _column_faults(report: Report) -> list[str]:
    """List the faults of the declared columns, each as a sentence."""
    declared = report.declared
    names = [column.name for column in report.columns]
    faults = [f"column {n!r} is declared twice" for n in sorted(set(names)) if names.count(n) > 1]
    faults += [
        f"column {c.name}: type {c.type!r} is not one of {', '.join(TYPES)}"
        for c in declared.columns
        if c.type not in TYPES
    ]
    mentioned = [*declared.key, *declared.filters]
    mentioned += [column.removesuffix(" DESC") for column in declared.order]
    faults += [f"{n!r} is not a column" for n in dict.fromkeys(mentioned) if n not in names]
    dates = [column.name for column in declared.columns if column.type == "DATE"]
    if declared.default_date is not None and declared.default_date not in dates:
        faults.append(f"default_date {declared.default_date!r} is not a column of type DATE")
    if SAMPLE_SIZE not in names:
        faults.append(f"column {SAMPLE_SIZE} is missing: how many rows does a figure rest on?")
    if not declared.key or not declared.datasets:
        faults.append("key and datasets must name something")
    return faults


def _select_faults(report: Report) -> list[str]:
    """List the faults of the SELECT that its text shows."""
    bare = _bare(report.select)
    faults = []
    if not re.match(r"\s*(SELECT|WITH)\b", bare, re.IGNORECASE) or ";" in bare:
        faults.append(f"{report.name}.sql must be one SELECT")
    if len(_PREDICATE.findall(bare)) < len(_LAKE.findall(bare)):
        faults.append(f"{report.name}.sql: every read of lake needs a predicate on slot_start")
    return faults


def _build(report: Report) -> str:
    """Return the statement that builds a report's temporary table, with the added columns."""
    dating = report.declared.datasets
    return Template(_BUILD).substitute(
        report=report.name,
        columns=",\n".join(f"  q.{column.name}" for column in report.declared.columns),
        select=report.select,
        dating=", ".join(map(_literal, dating)),
        read=", ".join(map(_literal, (*dating, *report.declared.joined))),
        fetched=_FETCHED,
    )


def _generated(report: Report) -> tuple[str, ...]:
    """Return the checks of the declaration: the key is unique, required is not null."""
    key = ", ".join(report.declared.key)
    return tuple(
        Template(_CHECK).substitute(report=report.name, rest=rest, message=_literal(message))
        for rest, message in (
            (
                f"GROUP BY {key} HAVING COUNT(*) > 1",
                f"{report.name}: more than one row for the same {key}",
            ),
            (
                "WHERE " + " OR ".join(f"{name} IS NULL" for name in _required(report)),
                f"{report.name}: one of {', '.join(_required(report))} is null",
            ),
        )
    )


def _publish(report: Report) -> str:
    """Return the statement that replaces the published report."""
    required = _required(report)
    columns = ",\n".join(
        f"  {c.name} {c.type}{' NOT NULL' if c.name in required else ''}"
        f" OPTIONS (description = {_literal(_column_description(c))})"
        for c in report.columns
    )
    names = ",\n".join(f"  {column.name}" for column in report.columns)
    date = report.declared.default_date
    partition = f"PARTITION BY DATE_TRUNC({date}, MONTH)\n" if date else ""
    description = (
        f"{report.declared.title}. {report.declared.description} Grain: {report.declared.grain}."
    )
    return (
        f"CREATE OR REPLACE TABLE reports.{report.name} (\n{columns}\n)\n{partition}"
        f"OPTIONS (description = {_literal(description)})\nAS\nSELECT\n{names}\nFROM {report.name};"
    )


def _required(report: Report) -> tuple[str, ...]:
    """Return the names of columns that are never null: the key, and those declared so."""
    return tuple(
        dict.fromkeys((*report.declared.key, *(c.name for c in report.columns if c.required)))
    )


def _column_description(column: ReportColumn) -> str:
    """Return a column's description for the warehouse: meaning, definition, unit."""
    unit = f"[{column.unit}]" if column.unit else ""
    return " ".join(filter(None, (column.description, column.definition, unit)))


def _literal(text: str) -> str:
    """Return `text` as a GoogleSQL string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def _bare(sql: str) -> str:
    """Return SQL without its comments and the content of its strings."""
    return _TEXT.sub("''", _COMMENT.sub(" ", sql))


def _statement(path: Path) -> str:
    """Read the SQL of a file, without blanks around it and the last semicolon."""
    return path.read_text(encoding="utf-8").strip().removesuffix(";").rstrip()
