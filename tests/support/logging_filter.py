"""Cloud Logging's filters, as much of their language as the stack and the runbook use.

Comparisons `field=value`, `field>=SEVERITY`, `field:*` (the field is there), joined by AND, OR and
NOT with brackets; a comparison on a field that is not there is false. Whatever else a filter says
raises.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT")

_TOKEN = re.compile(r'\s*(\(|\)|AND\b|OR\b|NOT\b|[\w.]+(?:>=|=|:)(?:"[^"]*"|\*|\w+))')
_COMPARISON = re.compile(r'([\w.]+)(>=|=|:)("[^"]*"|\*|\w+)')

type Entry = Mapping[str, Any]


def entry(line: str, function: str) -> Entry:
    """What Cloud Logging makes of a function's line of JSON: its severity leaves the payload."""
    payload = json.loads(line)
    severity = payload.pop("severity", "DEFAULT")
    return _of_run(function, "stdout", severity) | {"jsonPayload": payload}


def request(function: str, status: int) -> Entry:
    """Cloud Run's own entry of a call that was answered with a status: ERROR from 500 on."""
    severity = "ERROR" if status >= 500 else "WARNING" if status >= 400 else "INFO"
    http = {"requestMethod": "POST", "status": status, "latency": "1s"}
    return _of_run(function, "requests", severity) | {"httpRequest": http}


def traceback(function: str) -> Entry:
    """What Cloud Logging makes of an exception that leaves a function, under functions-framework.

    As in a public entry of a function of March 2026: `textPayload`, at ERROR, on standard error.
    """
    text = "Traceback (most recent call last):\nOSError: again"
    return _of_run(function, "stderr", "ERROR") | {"textPayload": text}


def crash(function: str) -> Entry:
    """Cloud Run's own entry of a process that it ended."""
    text = "Memory limit of 512 MiB exceeded with 530 MiB used."
    return _of_run(function, "varlog%2Fsystem", "ERROR") | {"textPayload": text}


def _of_run(function: str, log: str, severity: str) -> dict[str, Any]:
    """The fields that every entry of a function has, in one of Cloud Run's logs."""
    return {
        "logName": f"projects/citypulse/logs/run.googleapis.com%2F{log}",
        "resource": {"type": "cloud_run_revision", "labels": {"service_name": function}},
        "severity": severity,
    }


def matches(text: str, one: Entry) -> bool:
    """Whether a filter takes an entry; raises ValueError for what is not understood."""
    tokens = _tokens(text)
    found = _any(tokens)(one)
    if tokens:
        raise ValueError(f"{text!r}: {tokens[0]!r} is not expected")
    return found


def _tokens(text: str) -> list[str]:
    tokens, place = [], 0
    while place < len(text.rstrip()):
        found = _TOKEN.match(text, place)
        if not found:
            raise ValueError(f"{text!r}: {text[place:]!r} is not understood")
        tokens.append(found[1])
        place = found.end()
    return tokens


def _any(tokens: list[str]) -> Callable[[Entry], bool]:
    parts = [_all(tokens)]
    while tokens and tokens[0] == "OR":
        tokens.pop(0)
        parts.append(_all(tokens))
    return lambda one: any(part(one) for part in parts)


def _all(tokens: list[str]) -> Callable[[Entry], bool]:
    parts = [_one(tokens)]
    while tokens and tokens[0] == "AND":
        tokens.pop(0)
        parts.append(_one(tokens))
    return lambda one: all(part(one) for part in parts)


def _one(tokens: list[str]) -> Callable[[Entry], bool]:
    token = tokens.pop(0)
    if token == "NOT":
        inner = _one(tokens)
        return lambda one: not inner(one)
    if token == "(":
        inner = _any(tokens)
        if not tokens or tokens.pop(0) != ")":
            raise ValueError("a bracket is not closed")
        return inner
    compared = _COMPARISON.fullmatch(token)
    if not compared:
        raise ValueError(f"{token!r} is not a comparison")
    field, how, value = compared[1], compared[2], compared[3].strip('"')
    return lambda one: _holds(_value(one, field), how, value)


def _value(one: Entry, field: str) -> Any:
    value: Any = one
    for step in field.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _holds(found: Any, how: str, value: str) -> bool:
    if found is None:
        return False
    if how == ":":
        return value == "*" or value in str(found)
    if how == ">=":
        return SEVERITIES.index(found) >= SEVERITIES.index(value)
    return str(found) == value
