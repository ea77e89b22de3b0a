"""Every declared report, by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from catalog.reports import ADDED, Declaration, ReportColumn, ReportError, declaration

DECLARATIONS = Path(__file__).parents[2] / "bq_sql"
"""Folder of the declarations, in the functions' archive and in the repository."""


@dataclass(frozen=True)
class ReportDefinition:
    """A report as readers see it.

    A report in `tables/` is a table of `reports` that a scheduled query publishes. A report in
    `live/` is either a table of `reports` that changes by itself, or the SELECT in the `.sql` file
    next to its declaration. That SELECT reads `ops` alone, has `@now` as its one parameter and
    returns the declared columns.
    """

    name: str
    system: str
    declared: Declaration
    live: bool = False
    select: str = ""
    """SELECT of a live report; empty if the report is a table."""

    @property
    def columns(self) -> tuple[ReportColumn, ...]:
        """Every column in order: the declared ones, and for a table `data_as_of` and `origin`."""
        declared = self.declared.columns
        names = {column.name for column in declared}
        added = () if self.select else (c for c in ADDED if c.name not in names)
        return (*declared, *added)

    @property
    def source(self) -> str:
        """The operand of FROM."""
        return f"(\n{self.select}\n)" if self.select else f"reports.{self.name}"

    @property
    def filters(self) -> tuple[str, ...]:
        """Names of the columns that rows may be filtered by: declared filters, key, default date."""
        date = self.declared.default_date
        named = (*self.declared.filters, *self.declared.key, *((date,) if date else ()))
        return tuple(dict.fromkeys(n for n in named if self.column(n).type != "GEOGRAPHY"))

    def column(self, name: str) -> ReportColumn:
        """Return the column of a name; raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


def load_report_definitions(folder: Path = DECLARATIONS) -> dict[str, ReportDefinition]:
    """Read every declared report by name, in order of system and name.

    Raises ReportError if a declaration cannot be read, or if two reports have one name.
    """
    definitions: dict[str, ReportDefinition] = {}
    for path in sorted((*folder.glob("*/tables/*.toml"), *folder.glob("*/live/*.toml"))):
        if path.stem in definitions:
            raise ReportError(
                f"{path}: {definitions[path.stem].system} has a report of that name: rename it"
            )
        definitions[path.stem] = _load_definition(path)
    return definitions


def _load_definition(path: Path) -> ReportDefinition:
    live = path.parent.name == "live"
    sql = path.with_suffix(".sql")
    select = sql.read_text(encoding="utf-8") if live and sql.is_file() else ""
    return ReportDefinition(
        name=path.stem,
        system=path.parents[1].name,
        declared=declaration(path),
        live=live,
        select=select.strip().removesuffix(";").rstrip(),
    )
