"""Roles of an account on a bucket, a data set, the project: each a member of its own."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra_pulumi.accounts import ServiceAccounts
from infra_pulumi.warehouse import BigQueryDatasets
from infra_pulumi.zones import LakeBuckets


@dataclass(frozen=True)
class Bindings:
    """Creates members of roles; never a binding that removes the grants of others."""

    name: str
    """The project."""
    accounts: ServiceAccounts
    zones: LakeBuckets
    warehouse: BigQueryDatasets
    own: pulumi.ResourceOptions

    def bucket(self, account: str, zone: str, role: str, does: str = "") -> None:
        """Grant a role on a zone's bucket; `does` distinguishes a second role of the account."""
        gcp.storage.BucketIAMMember(
            f"{account}-{does}{zone}",
            bucket=self.zones.name(zone),
            role=role,
            member=self.accounts.member(account),
            opts=self.own,
        )

    def dataset(self, account: str, dataset: str, role: str) -> None:
        """Grant a role on a data set of the warehouse."""
        gcp.bigquery.DatasetIamMember(
            f"{account}-{dataset}",
            dataset_id=self.warehouse.datasets[dataset].dataset_id,
            role=role,
            member=self.accounts.member(account),
            opts=self.own,
        )

    def project(self, account: str, role: str) -> None:
        """Grant a role on the project, if there is no narrower resource."""
        gcp.projects.IAMMember(
            f"{account}-{role.rpartition('/')[2]}",
            project=self.name,
            role=role,
            member=self.accounts.member(account),
            opts=self.own,
        )
