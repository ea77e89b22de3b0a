"""Who runs `try` keeps its document alone on standard output: nox merges the two otherwise."""

from __future__ import annotations

import ast
from pathlib import Path

NOXFILE = Path(__file__).parents[3] / "noxfile.py"


def test_try_keeps_standard_error_apart() -> None:
    calls = [n for n in ast.walk(ast.parse(NOXFILE.read_text("utf-8"))) if isinstance(n, ast.Call)]
    tried = [
        call
        for call in calls
        if any(isinstance(a, ast.Constant) and a.value == "try" for a in call.args)
    ]
    assert tried
    for call in tried:
        told = {k.arg: k.value for k in call.keywords}
        assert isinstance(told["stderr"], ast.Constant)
        assert told["stderr"].value is None
