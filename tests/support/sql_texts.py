"""Every SQL text that the project sends or gives to people, built by the project's own code.

`nox -s sql` analyses them as BigQuery would; tests of the whole chain hold what they see sent against them.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from google.cloud.bigquery import ArrayQueryParameter, ScalarQueryParameter

from catalog import latest_table, object_names, reports
from catalog.contract import Contract, load_all, systems
from catalog.object_names import SplitKey
from catalog.pages import load_pages
from catalog.records import Counts, Manifest, Origin, SlotParts
from catalog.runs import Run
from catalog.versions import Version
from docs.generate.data_studio import _newest, declarations, live_queries
from functions.core import bigquery, ledger
from functions.load import swap
from functions.publish_latest.rows import LatestSnapshot as ShownRun
from functions.publish_latest.step import show_script
from functions.serve.api.query_params import ReportQuery, allowed, parse_query_params
from functions.serve.report_catalog import ReportDefinition, load_report_definitions
from functions.serve.warehouse.sql import Query, reach_query, rows_query, selected
from infra_pulumi import links
from infra_pulumi.ops_tables import OPS_TABLES
from smoke import chain

ROOT = Path(__file__).parents[2]
NOW = datetime(2025, 6, 5, tzinfo=UTC)
MANIFEST = "20250605t000000-abc123"
"""Id of the manifest in the texts: a part of the names of staging tables."""
Columns = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Piece:
    """Lines of a text that are lines of a file."""

    path: str
    file_line: int
    text_line: int
    lines: int


@dataclass(frozen=True)
class Text:
    """A script or query, with the columns that are declared."""

    name: str
    sql: str
    source: str
    """The code or document that it comes from, for lines outside `pieces`."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    creates: Mapping[str, Columns] = field(default_factory=dict)
    """Declared columns of the tables that it creates."""
    columns: Columns | None = None
    """Declared columns of its rows."""
    pieces: tuple[Piece, ...] = ()

    def place(self, line: int) -> str:
        """Name the file and line that a line of the text comes from."""
        for piece in self.pieces:
            offset = line - piece.text_line
            if 0 <= offset < piece.lines:
                return f"{piece.path}:{piece.file_line + offset}"
        return f"{self.source}, line {line} of {self.name}"


def piece_of(sql: str, path: Path, wanted: str = "") -> Piece:
    """Find a file's text, or the wanted part, in a script that contains it verbatim."""
    content = path.read_text(encoding="utf-8")
    body = wanted or content.strip().removesuffix(";").rstrip()
    start, file_start = sql.index(body), content.index(body)
    return Piece(
        str(path.relative_to(ROOT)),
        content[:file_start].count("\n") + 1,
        sql[:start].count("\n") + 1,
        body.count("\n") + 1,
    )


@cache
def texts() -> tuple[Text, ...]:
    """Collect every text, in a fixed order."""
    parts = (
        report_scripts(), live_reports(), swaps(), ledgers(), newest_runs(), serve_queries(),
        smoke_checks(), links_first_look(), documents(), key_figures(), local_cloud_queries(),
    )  # fmt: skip
    return tuple(text for part in parts for text in part)


@cache
def tables() -> dict[str, Columns]:
    """Columns of every table that a text may name."""
    found: dict[str, Columns] = {}
    for table in OPS_TABLES:
        found[f"ops.{table.name}"] = [(f["name"], f["type"]) for f in table.fields()]
    for contract in load_all().values():
        for lake_table in contract.lake_tables():
            columns = [(c.name, c.type) for c in lake_table.columns]
            for name in (
                f"lake.{lake_table.name}",
                f"staging.restored_{lake_table.name}",
                f"staging.{object_names.staging_table(lake_table.name, MANIFEST)}",
            ):
                found[name] = columns
        if contract.latest_table:
            own = latest_table.columns(contract, contract.latest_table)
            found[f"reports.{contract.latest_table.table}"] = [(c.name, c.type) for c in own]
    found["staging.restored_loads"] = found["ops.loads"]
    for script in _scripts().values():
        for report in script.reports:
            found[f"reports.{report.name}"] = _columns(report.columns)
    # https://cloud.google.com/bigquery/docs/information-schema-jobs, the columns that are read
    found["region-REGION.INFORMATION_SCHEMA.JOBS_BY_PROJECT"] = [
        ("user_email", "STRING"),
        ("total_bytes_billed", "INT64"),
        ("creation_time", "TIMESTAMP"),
    ]
    return found


def report_scripts() -> Iterator[Text]:
    """The scheduled query of each system."""
    for system, script in _scripts().items():
        folder = ROOT / "bq_sql" / system
        files = (*folder.glob("tables/*.sql"), *folder.glob("checks/*.sql"))
        yield Text(
            f"reports_{system}",
            script.text,
            "catalog/reports.py script",
            {"run_time": "TIMESTAMP"},
            creates={report.name: _columns(report.columns) for report in script.reports},
            pieces=tuple(piece_of(script.text, path) for path in sorted(files)),
        )


def live_reports() -> Iterator[Text]:
    """The reports that are a SELECT, as `serve` embeds them and as links give them to Data Studio."""
    for name, report in _live().items():
        columns = _columns(report.declared.columns)
        yield Text(
            f"live_{name}", report.select, "", {"now": "TIMESTAMP"}, columns=columns,
            pieces=_live_pieces(report, report.select),
        )  # fmt: skip
        linked = reports.Report(name=name, declared=report.declared, select=report.select)
        link = urlsplit(links.live_link("p", linked))
        source = f"infra_pulumi/links.py live_link of bq_sql/{report.system}/live/{name}.sql"
        yield Text(f"studio_{name}", parse_qs(link.query)["ds.sql"][0], source, columns=columns)


def swaps() -> Iterator[Text]:
    """The swap of each system's tables, with rows in staging for all of them and for none."""
    for system, contracts in systems(load_all()).items():
        slots = tuple(slot for contract in contracts for slot in _slots(contract))
        lake = tuple(table for contract in contracts for table in contract.lake_tables())
        manifest = Manifest(
            id=MANIFEST, system=system, sealed_at="", lake="", bytes=0,
            slots=slots, tables=lake, contracts={},
        )  # fmt: skip
        counts = [Counts(dataset=s.dataset, slot=s.slot, rows_in=3, rows_out=3) for s in slots]
        for label, staged in (("all", frozenset(t.name for t in lake)), ("none", frozenset())):
            script = swap.swap_script(manifest, counts, staged, NOW)
            yield _step_text(f"swap_{system}_{label}", script, "functions/load/swap.py")


def ledgers() -> Iterator[Text]:
    """The ledger's two scripts."""
    raised = {"system": "STRING", "holder": "STRING", "now": "TIMESTAMP", "slots": "STRING"}
    raise_sql = ledger.LOCK + ledger._RAISE + ledger._READ
    path = ROOT / "functions" / "core" / "ledger.py"
    for name, sql, kinds, parts in (
        ("ledger_read", ledger._READ, {"system": "STRING"}, (ledger._READ,)),
        ("ledger_raise", raise_sql, raised, (ledger.LOCK, ledger._RAISE, ledger._READ)),
    ):
        pieces = tuple(piece_of(sql, path, part.rstrip("\n")) for part in parts)
        yield Text(name, sql, "functions/core/ledger.py", kinds, pieces=pieces)


def newest_runs() -> Iterator[Text]:
    """The script that fills a snapshot's newest table."""
    for contract in load_all().values():
        if contract.latest_table:
            run = ShownRun(
                dataset=contract.dataset, table=contract.latest_table.table,
                columns=latest_table.columns(contract, contract.latest_table), key=SplitKey(Run.at(NOW)),
                origin="publisher", reaches=NOW, rows=(),
            )  # fmt: skip
            yield _step_text(
                f"show_{contract.dataset}",
                show_script(run, NOW),
                "functions/publish_latest/step.py",
            )


def serve_queries() -> Iterator[Text]:
    """What `serve` asks of each report: all rows, all filters and sorts with a cursor, its reach."""
    widest = set(_widest())
    for name, report in load_report_definitions().items():
        plain = parse_query_params(report, [])
        yield _serve_text(f"serve_{name}", plain, rows_query(plain, _now(report)))
        question = parse_query_params(report, _everything(report))
        places = tuple(_VALUES[order.column.type][1] for order in question.order)
        mixed = tuple(None if n % 2 else place for n, place in enumerate(places))
        cursors = {"after_some_nulls": mixed}
        if name in widest:
            cursors |= {"after": places, "after_nulls": (None,) * len(places)}
        for label, cursor in cursors.items():
            query = rows_query(question, _now(report), cursor, 101)
            yield _serve_text(f"serve_{name}_{label}", question, query)
        if {"data_as_of", "origin"} <= {column.name for column in report.columns}:
            query = reach_query(report, _now(report))
            yield Text(
                f"serve_{name}_reach", query.sql, "functions/serve/warehouse/sql.py",
                _kinds(query.parameters), pieces=_live_pieces(report, query.sql),
            )  # fmt: skip


def smoke_checks() -> Iterator[Text]:
    """What `nox -s smoke` sends."""
    path = ROOT / "smoke" / "chain.py"
    sql = chain._REPORTS
    piece = Piece("smoke/chain.py", _line_of(path, "_REPORTS = ") + 1, 1, sql.count("\n"))
    yield Text("smoke_reports", sql, "smoke/chain.py", {"system": "STRING"}, pieces=(piece,))
    path = ROOT / "smoke" / "services.py"
    functions = ast.parse(path.read_text(encoding="utf-8")).body
    for function in (each for each in functions if isinstance(each, ast.FunctionDef)):
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "sql":
                sql = ast.literal_eval(node.value)
                piece = Piece("smoke/services.py", node.lineno, 1, sql.count("\n") + 1)
                yield Text(f"smoke_{function.name}", sql, "", pieces=(piece,))


def links_first_look() -> Iterator[Text]:
    """The queries of a deployment's first look."""
    config: Any = type("Config", (), {"project": "p", "region": "r"})
    for label, command in links.first_look(config, []).items():
        words = shlex.split(command)
        if words[:2] == ["bq", "query"]:
            name = f"first_look_{label.replace(' ', '_')}"
            yield Text(name, words[-1], "infra_pulumi/links.py first_look")


_TABLE_PATTERN = re.compile(r"(lake\.|staging\.restored_)TABLE")


def documents() -> Iterator[Text]:
    """The commands of `bq query` in documents, and the queries of `nox -s try`."""
    command = re.compile(r"\bbq query [^']*'([^']+)'|--query \"(SELECT [^\"]{9,})\"")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        content = path.read_text(encoding="utf-8")
        for number, match in enumerate(command.finditer(content)):
            sql = match[1] or match[2]
            place = f"{path.relative_to(ROOT)}:{content[: match.start()].count('\n') + 1}"
            for label, table in (("dates", "wifi_sessions"), ("instants", "velib_station_hours")):
                filled = _TABLE_PATTERN.sub(rf"\g<1>{table}", sql).replace(
                    '"SYSTEM"', '"paris_wifi"'
                )
                name = f"{path.stem}_{number}"
                if not _TABLE_PATTERN.search(sql):
                    yield Text(name, sql, place)
                    break
                yield Text(f"{name}_{label}", filled, place)


def key_figures() -> Iterator[Text]:
    """The custom queries of docs/data-studio.md behind key figures."""
    pages = load_pages(ROOT / "dashboards", declarations()).values()
    sections = [section for page in pages for section in page.page.sections]
    lines = [line for each in sections for line in _newest(each.figures, live_queries())]
    found = re.findall(r"```sql\n(.*?)\n *```", "\n".join(lines), re.DOTALL)
    for number, text in enumerate(dict.fromkeys(found)):
        within = re.search(r"\(text of (\S+)\)", text)
        sql = text
        if within:
            inner = (ROOT / within[1]).read_text(encoding="utf-8")
            sql = text.replace(within[0], f"(\n{inner.replace('@now', 'CURRENT_TIMESTAMP()')})")
        yield Text(f"key_figure_{number}", sql, "docs/data-studio.md")


LOCAL_CLOUD_VALUES = {
    "local_cloud/cloud.py": {"report": "wifi_days"},
    "local_cloud/cli/demo.py": {"name": "wifi_days"},
    "local_cloud/cli/trial.py": {
        "name": "lake.wifi_sessions",
        "contract.dataset": "velib_stations",
        "record.run": "20250605T000000Z",
        "_MOST_REJECTS": "5",
    },
}
"""File → expression → its value, in the SQL that the local cloud asks of its own tables."""


def local_cloud_queries() -> Iterator[Text]:
    """List the queries of `demo` and `try` on their own tables; BigQuery itself never gets these."""
    for place, values in LOCAL_CLOUD_VALUES.items():
        tree = ast.parse((ROOT / place).read_text(encoding="utf-8"))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            is_look = isinstance(call.func, ast.Attribute) and call.func.attr == "rows"
            if is_look and isinstance(call.args[0], ast.Constant | ast.JoinedStr):
                sql = "".join(_filled(call.args[0], values))
                yield Text(f"{Path(place).stem}_{call.lineno}", sql, f"{place}:{call.lineno}")


def _filled(node: ast.Constant | ast.JoinedStr, values: Mapping[str, str]) -> Iterator[str]:
    for part in node.values if isinstance(node, ast.JoinedStr) else [node]:
        if isinstance(part, ast.FormattedValue):
            yield values[ast.unparse(part.value)]
        else:
            yield str(ast.literal_eval(part))


@cache
def _scripts() -> dict[str, reports.Script]:
    folders = sorted((ROOT / "bq_sql").glob("*/tables"))
    return {each.parent.name: reports.script(each.parent.name, each.parent) for each in folders}


def _live() -> dict[str, ReportDefinition]:
    return {name: report for name, report in load_report_definitions().items() if report.select}


def _columns(columns: Sequence[reports.ReportColumn]) -> Columns:
    return [(column.name, column.type) for column in columns]


def _kinds(parameters: Sequence[ScalarQueryParameter | ArrayQueryParameter]) -> dict[str, str]:
    """Name and type of each parameter."""
    return {
        str(p.name): f"ARRAY<{p.array_type}>" if isinstance(p, ArrayQueryParameter) else p.type_
        for p in parameters
    }


def _step_text(name: str, script: bigquery.QueryScript, source: str) -> Text:
    return Text(name, script.sql, source, _kinds(script.parameters))


def _slots(contract: Contract) -> Iterator[SlotParts]:
    """Build two slots of a data set, or one that has both instants."""
    moments = (datetime(2025, 5, 1, 3, tzinfo=UTC), datetime(2025, 5, 2, 4, tzinfo=UTC))
    for slot in dict.fromkeys(contract.calendar.slot(moment) for moment in moments):
        yield SlotParts(
            dataset=contract.dataset, slot=slot, slot_start=contract.calendar.slot_start(slot),
            version=str(Version("20250601T000000Z", 1)), revision="r", origin=Origin.PUBLISHER,
            parts=("gs://x/p",), rows_in=3, newest="2025-05-02T03:00:00+00:00",
            run="20250601T000000Z",
        )  # fmt: skip


_VALUES: dict[str, tuple[str, Any]] = {
    "STRING": ("a", "a"),
    "INT64": ("1", 1),
    "FLOAT64": ("1.5", 1.5),
    "NUMERIC": ("1.5", Decimal("1.5")),
    "BOOL": ("true", True),
    "DATE": ("2025-06-01", date(2025, 6, 1)),
    "TIMESTAMP": ("2025-06-01T00:00:00Z", NOW),
}
"""Type → a value as a reader writes it, and as a cursor has it."""


def _everything(report: ReportDefinition) -> list[tuple[str, str]]:
    """The parameters of a question with every filter, sorted by every column in turns up and down."""
    columns = [column.name for column in report.columns if column.type != "GEOGRAPHY"]
    sort = ",".join(("-" if n % 2 else "") + name for n, name in enumerate(columns))
    words = ("columns", "sort", "limit", "cursor", "format")
    filters = [name for name in allowed(report) if name not in words]
    values = [(name, _VALUES[report.column(name.partition(".")[0]).type][0]) for name in filters]
    return [("sort", sort), *values]


def _widest() -> Iterator[str]:
    """For each type of column, the first report that has it."""
    for kind in _VALUES:
        yield next(
            (
                name
                for name, report in load_report_definitions().items()
                if kind in {c.type for c in report.columns}
            ),
            "",
        )


def _now(report: ReportDefinition) -> datetime | None:
    return NOW if report.select else None


def _serve_text(name: str, question: ReportQuery, query: Query) -> Text:
    return Text(
        name, query.sql, "functions/serve/warehouse/sql.py", _kinds(query.parameters),
        columns=_columns(selected(question)), pieces=_live_pieces(question.report, query.sql),
    )  # fmt: skip


def _live_pieces(report: ReportDefinition, sql: str) -> tuple[Piece, ...]:
    path = ROOT / "bq_sql" / report.system / "live" / f"{report.name}.sql"
    return (piece_of(sql, path),) if report.select else ()


def _line_of(path: Path, beginning: str) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(n for n, line in enumerate(lines, start=1) if line.startswith(beginning))
