"""The APIs that the project must have on, before anything else is made."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

APIS = (
    "artifactregistry",
    "bigquery",
    "bigquerydatatransfer",
    "cloudbuild",
    "cloudfunctions",
    "cloudresourcemanager",
    "cloudscheduler",
    "compute",
    "dataproc",
    "iam",
    "iamcredentials",
    "logging",
    "pubsub",
    "run",
    "storage",
)


@dataclass(frozen=True)
class ServicesArgs:
    """The APIs by their short names."""

    apis: tuple[str, ...] = APIS


class Services(pulumi.ComponentResource):
    """APIs turned on; they stay on when the stack goes, for others may use them."""

    def __init__(
        self, name: str, args: ServicesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Turn the APIs on."""
        super().__init__("citypulse:infra:Services", name, None, opts)
        for api in args.apis:
            gcp.projects.Service(
                api,
                service=f"{api}.googleapis.com",
                disable_on_destroy=False,
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})
