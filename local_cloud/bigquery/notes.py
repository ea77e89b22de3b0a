"""The server's notes in memory: resources of tables and data sets, and jobs.

The local cloud starts with an empty warehouse each time, so none of them is read from a disk again.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import defaultdict
from typing import Any

from local_bigquery.catalog import metadata
from local_bigquery.catalog.tables import RESULTS
from local_bigquery.engine import database
from local_bigquery.models import Job, RowAccessPolicy
from local_bigquery.resource import Resource

JOBS = 200
"""Finished jobs in memory, with their rows: 0.3 MB for a result of 16 columns."""

type Keys = tuple[str, ...]

_forget_policies = metadata.delete


class Resources:
    """Resources by kind and identity: data sets, tables, routines, row access policies."""

    def __init__(self) -> None:
        self._resources: dict[type[Resource], dict[Keys, Resource]] = defaultdict(dict)

    def list(self, model: type[Resource], *keys: str) -> list[Any]:
        """List the resources whose identity begins with `keys`."""
        resources = self._resources[model]
        if keys in resources:
            return [resources[keys]]
        if len(keys) == len(database.RESOURCES[metadata.KINDS[model]]):
            return []
        return [each for found, each in [*resources.items()] if found[: len(keys)] == keys]

    def load(self, model: type[Resource], *keys: str) -> Any:
        """Get the first resource whose identity begins with `keys`, else None."""
        return next(iter(self.list(model, *keys)), None)

    def save(self, resource: Resource, *keys: str) -> Any:
        """Store a resource under an etag of its content; returns it with the etag."""
        body = {key: value for key, value in resource.dump().items() if key != "etag"}
        etag = hashlib.md5(json.dumps(body, sort_keys=True).encode()).hexdigest()  # noqa: S324 - as the server does
        complete = type(resource).model_validate(body | {"etag": etag})
        self._resources[type(resource)][keys] = complete
        return complete

    def delete(self, model: type[Resource], *keys: str) -> None:
        """Forget the resources whose identity begins with `keys`, and their IAM policies."""
        resources = self._resources[model]
        for found in [each for each in [*resources] if each[: len(keys)] == keys]:
            resources.pop(found, None)
        _forget_policies(model, *keys)

    def secured(self) -> frozenset[Keys]:
        """List the identities of the tables that have a row access policy."""
        return frozenset(keys[:3] for keys in [*self._resources[RowAccessPolicy]])


class Jobs:
    """The newest jobs; statements of a script have none of their own."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[str, str], Job] = {}
        self._lock = threading.Lock()

    def save(self, job: Job) -> Job:
        """Store a job; beyond `JOBS` the oldest finished one is forgotten, with its rows."""
        if job.statistics.parentJobId:
            return job
        with self._lock:
            self._jobs[job.jobReference.projectId, job.jobReference.jobId] = job
            oldest = self._oldest() if len(self._jobs) > JOBS else None
        if oldest:
            table = database.quote("emulator", RESULTS, ":".join(oldest))
            database.execute(f"DROP TABLE IF EXISTS {table}")
        return job

    def load(self, project_id: str, job_id: str) -> Job | None:
        """Get a job, or None."""
        return self._jobs.get((project_id, job_id))

    def list(
        self,
        project_id: str,
        states: list[str] | None = None,
        parent_job_id: str | None = None,
        min_creation_time: int | None = None,
        max_creation_time: int | None = None,
    ) -> list[Job]:
        """List a project's jobs, the newest first."""
        if parent_job_id is not None:
            return []
        first, last = min_creation_time or 0, max_creation_time
        found = [
            job
            for (project, _), job in [*self._jobs.items()]
            if project == project_id
            and (not states or job.status.state in states)
            and first <= int(job.statistics.creationTime)
            and (last is None or int(job.statistics.creationTime) <= last)
        ]
        return sorted(
            found, key=lambda job: (-int(job.statistics.creationTime), job.jobReference.jobId)
        )

    def delete(self, project_id: str, job_id: str) -> None:
        """Forget a job."""
        with self._lock:
            self._jobs.pop((project_id, job_id), None)

    def _oldest(self) -> tuple[str, str] | None:
        """Remove the oldest finished job and return its project and id."""
        done = (key for key, job in self._jobs.items() if job.status.state == "DONE")
        oldest = next(done, None)
        if oldest:
            del self._jobs[oldest]
        return oldest
