"""A system's checks as conditions of their own, and one of its reports made bad for them."""

from __future__ import annotations

import re
from pathlib import Path


def checks(folder: Path) -> dict[str, str]:
    """The condition of every check of a system by what it says."""
    text = "".join(path.read_text("utf-8") for path in sorted((folder / "checks").glob("*.sql")))
    found = re.findall(r"^ASSERT (.*?) AS '([^']+)';$", text, re.MULTILINE | re.DOTALL)
    return {message: condition for condition, message in found}


def with_bad(folder: Path, condition: str, table: str, bad: str) -> str:
    """A check's condition on the published reports; `bad`, a SELECT's head, stands before one."""

    def place(found: re.Match[str]) -> str:
        word, name = found[1], found[2]
        real = "ops.loads" if name == "ledger" else f"reports.{name}"
        return f"{word} ({bad} {real})" if name == table else f"{word} {real}"

    names = "|".join(path.stem for path in (folder / "tables").glob("*.sql"))
    return re.sub(rf"(FROM|JOIN) (ledger|{names})\b", place, condition)
