"""The APIs of the project and Google's own accounts in it, before anything else."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

APIS = (
    "artifactregistry",
    "bigquery",
    "bigquerydatatransfer",
    "billingbudgets",
    "cloudbuild",
    "cloudfunctions",
    "cloudresourcemanager",
    "cloudscheduler",
    "compute",
    "dataproc",
    "iam",
    "iamcredentials",
    "logging",
    "monitoring",
    "pubsub",
    "run",
    "secretmanager",
    "sts",
    "storage",
)

AGENTS = {
    "bigquerydatatransfer": "roles/bigquerydatatransfer.serviceAgent",
    "cloudscheduler": "roles/cloudscheduler.serviceAgent",
    "dataproc": "roles/dataproc.serviceAgent",
}
"""API → the role of its agent. An agent that is created before its first use has no role by itself.

Pub/Sub's agent is created in `messaging`, which grants its roles; `delivery` lets it sign. Cloud
Storage's agent is created when it is looked up (`delivery`).
"""


@dataclass(frozen=True)
class ServicesArgs:
    """The project, and the APIs by their short names."""

    project: str
    settle: pulumi.ResourceHookBinding
    apis: tuple[str, ...] = APIS


class Services(pulumi.ComponentResource):
    """The enabled APIs; they stay enabled without the stack, because others may use them."""

    def __init__(
        self, name: str, args: ServicesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Enable the APIs; the last waits for the others and, the first time, until all are known."""
        super().__init__("citypulse:infra:Services", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        *early, late = args.apis
        apis = [_api(api, own) for api in early]
        apis.append(
            _api(late, pulumi.ResourceOptions(parent=self, depends_on=apis, hooks=args.settle))
        )
        self.agents = {api: self._agent(api, role, args, apis) for api, role in AGENTS.items()}
        self.register_outputs({})

    def _agent(
        self, api: str, role: str, args: ServicesArgs, apis: list[pulumi.Resource]
    ) -> pulumi.Output[str]:
        """Create an agent with its role; return its name in IAM."""
        agent = gcp.projects.ServiceIdentity(
            f"{api}-agent",
            service=f"{api}.googleapis.com",
            opts=pulumi.ResourceOptions(parent=self, depends_on=apis),
        )
        gcp.projects.IAMMember(
            f"{api}-agent",
            project=args.project,
            role=role,
            member=agent.member,
            opts=pulumi.ResourceOptions(parent=self, hooks=args.settle),
        )
        return agent.member


def _api(api: str, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    return gcp.projects.Service(
        api, service=f"{api}.googleapis.com", disable_on_destroy=False, opts=opts
    )
