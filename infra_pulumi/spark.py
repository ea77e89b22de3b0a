"""Spark: the job files, the network, and the settings to submit a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_gcp as gcp

from infra_pulumi.accounts import BATCH, ServiceAccounts
from infra_pulumi.config import StackConfig
from infra_pulumi.sources import JobSource
from infra_pulumi.zones import LakeBuckets

CIDR = "10.10.0.0/24"

VERSION = "2.3"

PROPERTIES = {
    "spark.driver.cores": "4",
    "spark.executor.cores": "4",
    "spark.executor.instances": "2",
    "spark.dynamicAllocation.enabled": "true",
    "spark.dynamicAllocation.maxExecutors": "4",
    "spark.dataproc.driver.disk.size": "250g",
    "spark.dataproc.executor.disk.size": "250g",
    **{
        f"spark.hadoop.fs.gs.{name}.enable": "false"
        for name in (
            "create.items.conflict.check",
            "implicit.dir.repair",
            "inputstream.fast.fail.on.not.found",
            "status.parallel",
        )
    },
}
"""The smallest batch that the service accepts, and a cap on its growth.

By default, the connector to Cloud Storage looks up every folder above a file that it writes, and each
file that it opens. An attempt writes where nothing else does, so these lookups are off.
"""


@dataclass(frozen=True)
class SparkArgs:
    """The resources that batches need."""

    config: StackConfig
    jobs: Mapping[str, JobSource]
    zones: LakeBuckets
    accounts: ServiceAccounts


class SparkBatches(pulumi.ComponentResource):
    """Job files in `code`, named by content; `settings` is the JSON that functions read."""

    settings: pulumi.Output[str]

    def __init__(
        self, name: str, args: SparkArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Upload the jobs and create the network they run in."""
        super().__init__("citypulse:infra:Spark", name, None, opts)
        self._zones = args.zones
        jobs = {system: self._job(job) for system, job in args.jobs.items()}
        subnetwork = self._subnetwork(args.config)
        self.settings = pulumi.Output.json_dumps(
            {
                "jobs": jobs,
                "service_account": args.accounts.email(BATCH),
                "subnetwork": subnetwork.id,
                "version": VERSION,
                "ttl_seconds": args.config.batch_ttl_seconds,
                "max_batches": args.config.max_batches,
                "properties": PROPERTIES,
            }
        )
        self.register_outputs({})

    def _job(self, job: JobSource) -> dict[str, object]:
        shared = [self._upload(job, path) for path in job.shared]
        return {"main": self._upload(job, job.main), "python_files": shared}

    def _upload(self, job: JobSource, path: Path) -> pulumi.Output[str]:
        uploaded = gcp.storage.BucketObject(
            f"{job.main.stem}-{path.name}",
            bucket=self._zones.name("code"),
            name=f"jobs/{job.hash}/{path.name}",
            source=pulumi.FileAsset(str(path)),
            content_type="text/x-python",
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )
        return pulumi.Output.concat("gs://", uploaded.bucket, "/", uploaded.name)

    def _subnetwork(self, config: StackConfig) -> gcp.compute.Subnetwork:
        """Create a private subnetwork whose members reach each other and Google only."""
        own = pulumi.ResourceOptions(parent=self)
        network = gcp.compute.Network(
            "spark", name="spark", auto_create_subnetworks=False, opts=own
        )
        subnetwork = gcp.compute.Subnetwork(
            "spark",
            name="spark",
            network=network.id,
            region=config.region,
            ip_cidr_range=CIDR,
            private_ip_google_access=True,
            opts=own,
        )
        gcp.compute.Firewall(
            "spark-inside",
            name="spark-inside",
            network=network.id,
            direction="INGRESS",
            source_ranges=[CIDR],
            allows=[gcp.compute.FirewallAllowArgs(protocol="all")],
            opts=own,
        )
        return subnetwork
