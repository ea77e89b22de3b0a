"""Cloud Scheduler: a tick for every data set, and the ticks of seal and sweep, in UTC."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from catalog.contract import Contract, Kind
from infra_pulumi.config import StackConfig
from infra_pulumi.messaging import Messaging

SEAL = "3-59/10 * * * *"
SWEEP = "8-59/10 * * * *"


@dataclass(frozen=True)
class SchedulesArgs:
    """The data sets and systems that need a schedule."""

    config: StackConfig
    contracts: Mapping[str, Contract]
    systems: tuple[str, ...]
    messaging: Messaging


def scheduled(contracts: Mapping[str, Contract]) -> dict[str, Contract]:
    """Return the data sets that are fetched on a schedule."""
    return {
        name: contract
        for name, contract in contracts.items()
        if not contract.retired and contract.kind is not Kind.STREAM
    }


class Schedules(pulumi.ComponentResource):
    """The jobs. A retired data set has none, and no stream is fetched."""

    def __init__(
        self, name: str, args: SchedulesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Create the jobs."""
        super().__init__("citypulse:infra:Schedules", name, None, opts)
        self._args = args
        for contract in scheduled(args.contracts).values():
            self._ingest(contract)
        for system in args.systems:
            self._job(f"seal-{system}", SEAL, "seal", {"system": system})
        self._job("sweep", SWEEP, "sweep", {})
        self.register_outputs({})

    def _ingest(self, contract: Contract) -> None:
        attributes = {
            "dataset": contract.dataset,
            "system": contract.system,
            "kind": str(contract.kind),
        }
        self._job(
            f"ingest-{contract.dataset}",
            contract.schedule,
            "ingest",
            {"dataset": contract.dataset},
            attributes,
        )

    def _job(
        self,
        name: str,
        schedule: str,
        topic: str,
        data: dict[str, str],
        attributes: dict[str, str] | None = None,
    ) -> None:
        """Create one job, without an attempt deadline.

        On a Pub/Sub target, a deadline is a difference in every preview.
        """
        gcp.cloudscheduler.Job(
            name,
            name=name.replace("_", "-"),
            region=self._args.config.region,
            schedule=schedule,
            time_zone="Etc/UTC",
            pubsub_target=gcp.cloudscheduler.JobPubsubTargetArgs(
                topic_name=self._args.messaging.topics[topic].id,
                data=base64.b64encode(json.dumps(data).encode()).decode(),
                attributes=attributes,
            ),
            retry_config=gcp.cloudscheduler.JobRetryConfigArgs(retry_count=5),
            opts=pulumi.ResourceOptions(parent=self),
        )
