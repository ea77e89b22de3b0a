"""Federation: GitHub's workflows of one repository deploy as our accounts, without a key."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra_pulumi.config import StackConfig

ISSUER = "https://token.actions.githubusercontent.com"

PREVIEW_ROLES = (
    "roles/viewer",
    "roles/iam.securityReviewer",
)
"""Roles of a preview of a pull request: it reads everything and changes nothing.

The code of any branch runs as this account. It may only read Pulumi's state, too: the operator
grants that by hand (docs/deploy.md), because the stack does not manage its state.
"""

DEPLOY_ROLES = (
    "roles/artifactregistry.admin",
    "roles/bigquery.admin",
    "roles/cloudfunctions.admin",
    "roles/cloudscheduler.admin",
    "roles/compute.networkAdmin",
    "roles/compute.securityAdmin",
    "roles/iam.serviceAccountAdmin",
    "roles/iam.serviceAccountUser",
    "roles/iam.workloadIdentityPoolAdmin",
    "roles/logging.configWriter",
    "roles/monitoring.editor",
    "roles/pubsub.admin",
    "roles/resourcemanager.projectIamAdmin",
    "roles/run.admin",
    "roles/serviceusage.serviceUsageAdmin",
    "roles/storage.admin",
)
"""Roles of a deployment. They can grant roles: whoever may push to the branch owns the project."""


@dataclass(frozen=True)
class FederationArgs:
    """The repository whose workflows deploy, and the branch."""

    config: StackConfig


class Federation(pulumi.ComponentResource):
    """A pool for one repository, and two accounts: any branch previews, one branch deploys."""

    def __init__(
        self, name: str, args: FederationArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Create pool, provider, accounts and grants; nothing without a repository."""
        super().__init__("citypulse:infra:Federation", name, None, opts)
        self._args = args
        if args.config.github:
            pool = self._pool()
            here = f"attribute.repository/{args.config.github}"
            branch = f"attribute.place/{args.config.github}:refs/heads/{args.config.branch}"
            self._account("github-preview", PREVIEW_ROLES, pool, here)
            self._account("github-deploy", DEPLOY_ROLES, pool, branch)
        self.register_outputs({})

    def _pool(self) -> gcp.iam.WorkloadIdentityPool:
        """Create the pool and its provider, which rejects tokens of other repositories."""
        own = pulumi.ResourceOptions(parent=self)
        pool = gcp.iam.WorkloadIdentityPool(
            "github", workload_identity_pool_id="github", display_name="GitHub Actions", opts=own
        )
        gcp.iam.WorkloadIdentityPoolProvider(
            "github",
            workload_identity_pool_id=pool.workload_identity_pool_id,
            workload_identity_pool_provider_id="github",
            display_name="GitHub Actions",
            attribute_mapping={
                "google.subject": "assertion.sub",
                "attribute.repository": "assertion.repository",
                "attribute.place": 'assertion.repository + ":" + assertion.ref',
            },
            attribute_condition=f'assertion.repository == "{self._args.config.github}"',
            oidc=gcp.iam.WorkloadIdentityPoolProviderOidcArgs(issuer_uri=ISSUER),
            opts=own,
        )
        return pool

    def _account(
        self,
        name: str,
        roles: tuple[str, ...],
        pool: gcp.iam.WorkloadIdentityPool,
        who: str,
    ) -> None:
        own = pulumi.ResourceOptions(parent=self)
        account = gcp.serviceaccount.Account(
            name, account_id=name, display_name=f"{name} workflow", opts=own
        )
        gcp.serviceaccount.IAMMember(
            f"{name}-by-workflow",
            service_account_id=account.name,
            role="roles/iam.workloadIdentityUser",
            member=pulumi.Output.concat("principalSet://iam.googleapis.com/", pool.name, "/", who),
            opts=own,
        )
        for role in roles:
            gcp.projects.IAMMember(
                f"{name}-{role.rpartition('/')[2]}",
                project=self._args.config.project,
                role=role,
                member=account.member,
                opts=own,
            )
