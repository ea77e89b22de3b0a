"""The steps that are functions: their topics, sizes and grants.

`serve` is in `infra_pulumi.serving`, the secrets of `download` in `infra_pulumi.keys`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

READ = "roles/storage.objectViewer"
WRITE = "roles/storage.objectUser"
"""Create, read, list and delete objects: a claim that loses its race deletes its own bytes."""
CREATE = "roles/storage.objectCreator"
"""Create objects, and neither replace nor delete any: refused objects stay permanently."""
QUERY = "roles/bigquery.dataViewer"
EDIT = "roles/bigquery.dataEditor"


@dataclass(frozen=True)
class Step:
    """One function. `name` is its entry point; by default it serves one request at a time."""

    name: str
    topic: str
    purpose: str
    memory: str = "512Mi"
    cpu: str | None = None
    """Processors; None for the default of the memory size."""
    max_instances: int = 5
    concurrency: int = 1
    spark: bool = False
    """Whether it needs the settings of Spark batches."""
    buckets: dict[str, str] = field(default_factory=dict)
    """Zone → role; every other step creates and reads objects in quarantine."""
    datasets: dict[str, str] = field(default_factory=dict)
    """BigQuery data set → role."""
    publishes: tuple[str, ...] = ()
    """Topics in addition to `events`."""
    project_roles: tuple[str, ...] = ()


_JOBS = "roles/bigquery.jobUser"

STEPS = (
    Step(
        "download",
        "ingest",
        "fetches a run from its publisher",
        max_instances=10,
        buckets={"raw": WRITE, "landing": READ},
        publishes=("ingest",),
    ),
    Step(
        "split",
        "split",
        "cuts a run into parts",
        memory="1Gi",
        cpu="2",  # as many as it has threads; 1 GiB alone brings 0.58
        max_instances=10,
        buckets={"raw": READ, "landing": WRITE, "quarantine": WRITE},
        publishes=("seal",),
    ),
    Step(
        "show",
        "show",
        "shows a snapshot's newest run",
        max_instances=1,  # two scripts at once would cancel each other
        buckets={"landing": READ},
        datasets={"ops": EDIT, "reports": EDIT},
        project_roles=(_JOBS,),
    ),
    Step(
        "seal",
        "seal",
        "gathers changed slots into manifests",
        buckets={"landing": WRITE},
        datasets={"ops": EDIT},
        publishes=("seal",),
        project_roles=(_JOBS,),
    ),
    Step(
        "submit",
        "submit",
        "submits Spark batches",
        max_instances=1,  # counts the system's batches, then creates one
        spark=True,
        buckets={"landing": READ, "lake": READ},
        project_roles=("roles/dataproc.editor",),
    ),
    Step(
        "load",
        "load",
        "loads and swaps what a batch wrote",
        buckets={"landing": READ, "lake": READ},
        datasets={"ops": EDIT, "lake": EDIT, "staging": EDIT},
        project_roles=(_JOBS,),
    ),
    Step(
        "sweep",
        "sweep",
        "sends lost work's messages again",
        max_instances=1,
        spark=True,
        buckets={"raw": READ, "landing": READ, "lake": READ},
        datasets={"ops": QUERY},
        publishes=("ingest", "split", "seal", "submit", "load"),
        project_roles=(_JOBS, "roles/dataproc.viewer"),
    ),
)
