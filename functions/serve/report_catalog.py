"""What can be asked for: every report that is declared, by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from catalog.reports import ADDED, Declaration, ReportColumn, ReportError, declaration

DECLARATIONS = Path(__file__).parents[2] / "bq_sql"
"""Where the functions' archive keeps the declarations, and the repository too."""


@dataclass(frozen=True)
class ReportDefinition:
    """A report as readers see it.

    One of `tables/` is a table of `reports` that a scheduled query publishes; one of `live/` is a
    table of `reports` that changes by itself or, where a SELECT stands beside its declaration, that
    SELECT: it reads `ops` alone, its one parameter is `@now`, and it gives the declared columns.
    """

    name: str
    system: str
    declared: Declaration
    live: bool = False
    select: str = ""
    """SELECT of a live report; empty where it is a table."""

    @property
    def columns(self) -> tuple[ReportColumn, ...]:
        """Every column in order: the declared ones; of a table also `data_as_of` and `origin`."""
        declared = self.declared.columns
        known = {column.name for column in declared}
        added = () if self.select else (c for c in ADDED if c.name not in known)
        return (*declared, *added)

    @property
    def source(self) -> str:
        """What stands after FROM."""
        return f"(\n{self.select}\n)" if self.select else f"reports.{self.name}"

    @property
    def filters(self) -> tuple[str, ...]:
        """Columns that rows may be chosen by: declared filters, the key, the date of controls."""
        date = self.declared.default_date
        named = (*self.declared.filters, *self.declared.key, *((date,) if date else ()))
        return tuple(dict.fromkeys(n for n in named if self.column(n).type != "GEOGRAPHY"))

    def column(self, name: str) -> ReportColumn:
        """A column by name; raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


def load_report_definitions(folder: Path = DECLARATIONS) -> dict[str, ReportDefinition]:
    """Every declared report by name, in order of system and name.

    Raises ReportError for a declaration that cannot be read, and for a name that is there twice.
    """
    found: dict[str, ReportDefinition] = {}
    for path in sorted((*folder.glob("*/tables/*.toml"), *folder.glob("*/live/*.toml"))):
        if path.stem in found:
            raise ReportError(
                f"{path}: {found[path.stem].system} has a report of that name: rename it"
            )
        found[path.stem] = _load_definition(path)
    return found


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
