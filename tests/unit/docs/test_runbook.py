"""The runbook's commands are ones that can be given: messages, jobs, tables, filters."""

from __future__ import annotations

import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import sqlglot
from sqlglot import exp

from catalog.contract import Contract, load_all
from functions.download.request import Ingest
from functions.seal.replay import Request
from functions.split.step import Replay
from functions.sweep import resend
from functions.sweep.resend import MAX_RESENDS, Resend, StalledWork
from infra_pulumi.ops_tables import OPS_TABLES
from infra_pulumi.steps import STEPS
from tests.support.logging_filter import matches
from tests.support.predicates import unbounded

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "runbook.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)
    for line in re.findall(r"^    ((?:gcloud|bq) .*)$", TEXT.replace("\\\n", " "), re.MULTILINE)
]
BODIES: dict[str, type[msgspec.Struct]] = {"ingest": Ingest, "split": Replay, "seal": Request}
"""Topic → what its step reads of a message that a person publishes."""
CONTRACT = load_all()["paris_wifi_sites"]


def option(command: list[str], name: str) -> str:
    """The value of an option of a command."""
    return next(word.partition("=")[2] for word in command if word.startswith(f"--{name}="))


PUBLISHED = [
    (words[4], option(words, "message"))
    for words in COMMANDS
    if words[1:4] == ["pubsub", "topics", "publish"]
]


@pytest.mark.parametrize(("topic", "message"), PUBLISHED)
def test_a_message_is_one_that_its_step_reads_whole(topic: str, message: str) -> None:
    read = msgspec.json.decode(message, type=BODIES[topic])
    assert set(json.loads(message)) <= {field.name for field in msgspec.structs.fields(read)}


def test_backfill_replay_release_and_restore_are_told() -> None:
    told = [(topic, frozenset(json.loads(message))) for topic, message in PUBLISHED]
    assert ("ingest", frozenset({"dataset", "slot"})) in told
    assert ("split", frozenset({"dataset", "run", "replay"})) in told
    for named in ("slots", "range"):
        assert ("seal", frozenset({"system", "dataset", named})) in told
    assert ("seal", frozenset({"system", "manifest"})) in told
    assert "gcloud storage restore" in TEXT
    travel = [query for query in queries() if "FOR SYSTEM_TIME AS OF" in query]
    assert [("lake." in query, "ops.loads" in query) for query in travel] == [(True, False)]
    assert not any(unbounded(query) for query in travel)


def test_whole_tables_go_back_in_one_transaction_and_stay_what_they_are() -> None:
    """A table that is replaced loses what the stack declared of it, and the ledger its lake."""
    copied = [words[-2:] for words in COMMANDS if words[:2] == ["bq", "cp"]]
    assert [source.partition("@")[0] for source, _ in copied] == ["lake.TABLE", "ops.loads"]
    (swap,) = (query for query in queries() if "BEGIN TRANSACTION" in query)
    begin, *changes, anew, end = (each for each in sqlglot.parse(swap, read="bigquery") if each)
    assert (type(begin), type(end)) == (exp.Transaction, exp.Commit)
    changed = [(type(each), each.find(exp.Table).sql()) for each in changes]
    tables = ("lake.wifi_sites", "ops.loads")
    assert changed == [(kind, table) for table in tables for kind in (exp.Delete, exp.Insert)]
    read = re.findall(r"staging\.\w+", swap)
    assert (type(anew), anew.find(exp.Table).sql()) == (exp.Update, "ops.report_runs")
    assert read == [copy.replace("TABLE", "wifi_sites") for _, copy in copied]
    assert not unbounded(swap)
    assert not any("CREATE OR REPLACE" in query for query in queries())


def test_reports_are_made_anew_after_every_restore() -> None:
    """A script does nothing where the ledger is as it was when it last published."""
    restored = [query for query in queries() if re.search(r"\bINSERT\b", query)]
    assert len(restored) == 2
    assert all(
        'UPDATE ops.report_runs SET versions = "restored" WHERE system' in q for q in restored
    )


def job(contract: Contract) -> str:
    """The name of a data set's Scheduler job, as `infra_pulumi/schedules.py` makes it."""
    return f"ingest-{contract.dataset}".replace("_", "-")


def test_scheduler_jobs_are_named_as_they_are_made() -> None:
    named = {words[4] for words in COMMANDS if words[1:3] == ["scheduler", "jobs"]}
    assert named == {"ingest-DATASET", "sweep"}
    assert job(CONTRACT) in TEXT, "the runbook gives an example of a job's name"


def queries() -> list[str]:
    """The statements of `bq query`, a data set's words filled in."""
    texts = [words[-1] for words in COMMANDS if words[:2] == ["bq", "query"]]
    return [re.sub(r"(lake\.|staging\.restored_)TABLE", r"\1wifi_sites", text) for text in texts]


@pytest.mark.parametrize("sql", queries())
def test_a_query_reads_tables_and_columns_that_there_are(sql: str) -> None:
    columns = {f"ops.{t.name}": {name for name, _, _ in t.columns} for t in OPS_TABLES}
    statements = [each for each in sqlglot.parse(sql, read="bigquery") if each]
    for statement in statements:
        tables = {f"{t.db}.{t.name}" for t in statement.find_all(exp.Table) if t.db == "ops"}
        assert tables <= set(columns)
        for table in tables:
            read = {column.name for column in statement.find_all(exp.Column)}
            assert read <= columns[table]


def test_a_filter_on_what_others_log_is_one_that_can_be_read() -> None:
    texts = [words[3] for words in COMMANDS if words[1:3] == ["logging", "read"]]
    assert len(texts) > 8
    batch = {
        "resource": {"type": "cloud_dataproc_batch", "labels": {"batch_id": "BATCH"}},
        "severity": "INFO",
    }
    query = {"resource": {"type": "bigquery_dts_config"}, "severity": "ERROR"}
    ours = {"resource": {"type": "cloud_run_revision"}, "severity": "DEBUG", "jsonPayload": {}}
    taken = {text for text in texts for each in (batch, query) if matches(text, each)}
    assert len(taken) == 2
    assert not any(matches(text, ours) for text in taken)


def test_every_command_says_where_and_since_when() -> None:
    """Without them the caller's own project is asked, or the last day alone."""
    gcloud = [words for words in COMMANDS if words[0] == "gcloud" and words[1] != "storage"]
    assert [words for words in gcloud if not any(w.startswith("--project=") for w in words)] == []
    jobs = [words for words in gcloud if words[1:3] == ["scheduler", "jobs"]]
    assert all("--location=REGION" in words for words in jobs)
    read = [words for words in gcloud if words[1:3] == ["logging", "read"]]
    assert [w[3] for w in read if not any(each.startswith("--freshness=") for each in w)] == []


def test_every_word_in_capitals_is_told_at_the_top() -> None:
    head = TEXT.partition("\n## ")[0]
    asked = " ".join(word for words in COMMANDS if words[1] != "query" for word in words)
    found = set(re.findall(r"(?<![A-Za-z])[A-Z]{2,}(?![\w(])", asked))
    filters = {"AND", "OR", "NOT", "ERROR", "WARNING"}
    beside = {"FIRST", "LAST", "MILLIS", "GENERATION"}
    assert {"PROJECT", "REGION", "TABLE", "SUBSCRIPTION"} <= found
    assert [word for word in sorted(found - filters - beside) if f"`{word}`" not in head] == []


def test_the_line_of_a_refusal_by_the_sweep_is_quoted_as_it_is_written() -> None:
    work = StalledWork("split", "split", "runs/DATASET/20250605T020700Z.json", {})
    last = Resend(MAX_RESENDS, datetime(2025, 6, 6, 9, 50, tzinfo=UTC))
    bucket: Any = SimpleNamespace(name="PROJECT-quarantine")
    assert f"\n    {resend._reason(bucket, work, last)}\n" in TEXT
    assert "(see Refused by the sweep)" in TEXT


def test_every_step_that_the_runbook_names_is_one() -> None:
    named = set(re.findall(r'jsonPayload\.step="([a-z]+)"', TEXT))
    assert named - {"batch"} <= {step.name for step in STEPS}
