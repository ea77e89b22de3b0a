"""The server's notes: how many jobs it remembers, and what a resource's etag tells."""

from __future__ import annotations

import pytest
from local_bigquery.models import Job, Table

from local_cloud.bigquery import notes


def job(name: str, state: str = "DONE", parent: str | None = None) -> Job:
    """A job of the project `demo`."""
    return Job(
        jobReference={"projectId": "demo", "jobId": name},
        status={"state": state},
        statistics={"creationTime": "1", "parentJobId": parent},
    )


def test_the_oldest_finished_job_goes_with_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[str] = []
    monkeypatch.setattr(notes, "JOBS", 2)
    monkeypatch.setattr(notes.database, "execute", dropped.append)
    jobs = notes.Jobs()
    for each in (job("running", "RUNNING"), job("a"), job("b"), job("b"), job("c")):
        jobs.save(each)
    assert [each.jobReference.jobId for each in jobs.list("demo")] == ["c", "running"]
    assert dropped == [
        f'DROP TABLE IF EXISTS "emulator"."_results"."demo:{name}"' for name in ("a", "b")
    ]


def test_statements_of_a_script_are_no_jobs() -> None:
    jobs = notes.Jobs()
    jobs.save(job("script"))
    jobs.save(job("statement", parent="script"))
    assert jobs.load("demo", "statement") is None
    assert jobs.list("demo", parent_job_id="script") == []


def test_resources_are_found_by_the_beginning_of_their_identity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notes, "_forget_policies", lambda *keys: None)
    resources = notes.Resources()
    first = resources.save(Table(description="a"), "demo", "ops", "t")
    assert resources.save(Table(description="a"), "demo", "ops", "u").etag == first.etag
    assert resources.save(Table(description="b"), "demo", "lake", "t").etag != first.etag
    assert len(resources.list(Table, "demo", "ops")) == 2
    resources.delete(Table, "demo", "ops")
    assert resources.load(Table, "demo", "ops", "t") is None
    assert resources.load(Table, "demo", "lake", "t").description == "b"
