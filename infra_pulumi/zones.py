"""The zones: one bucket each, so that nothing can trigger itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import pulumi
import pulumi_gcp as gcp

from infra_pulumi.config import StackConfig

RAW, LANDING, LAKE, QUARANTINE, CODE = ZONES = ("raw", "landing", "lake", "quarantine", "code")

MIN_RETENTION_DAYS = 7
"""Shortest soft delete of Cloud Storage, if it is on."""

_DAY = 86_400

_COLD_DAYS = 90
"""Age from which only a replay reads the publishers' bytes."""

Rule = gcp.storage.BucketLifecycleRuleArgs

Action = gcp.storage.BucketLifecycleRuleActionArgs

Condition = gcp.storage.BucketLifecycleRuleConditionArgs


@dataclass(frozen=True)
class ZonesArgs:
    """The configuration of the zones."""

    config: StackConfig
    lake_prefixes: tuple[str, ...] = field(default_factory=tuple)
    """Folders of the lake whose files are deleted long after the load; never the receipts."""


class LakeBuckets(pulumi.ComponentResource):
    """The five buckets by zone."""

    def __init__(
        self, name: str, args: ZonesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Create the buckets."""
        super().__init__("citypulse:infra:Zones", name, None, opts)
        self.buckets = {zone: self._bucket(zone, args) for zone in ZONES}
        self.register_outputs({})

    def name(self, zone: str) -> pulumi.Output[str]:
        """Return the name of a zone's bucket."""
        return self.buckets[zone].name

    def _bucket(self, zone: str, args: ZonesArgs) -> gcp.storage.Bucket:
        return gcp.storage.Bucket(
            zone,
            name=args.config.bucket(zone),
            location=args.config.region,
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            force_destroy=args.config.disposable,
            lifecycle_rules=_lifecycle(zone, args),
            soft_delete_policy=gcp.storage.BucketSoftDeletePolicyArgs(
                retention_duration_seconds=_retention_seconds(zone, args.config)
            ),
            opts=pulumi.ResourceOptions(parent=self, protect=not args.config.disposable),
        )


def _retention_seconds(zone: str, config: StackConfig) -> int:
    """Return how long a deleted object can be restored: longest if it cannot be fetched again."""
    if config.disposable:
        return 0
    return _DAY * (config.kept_days if zone in (RAW, LANDING) else MIN_RETENTION_DAYS)


def _lifecycle(zone: str, args: ZonesArgs) -> list[Rule]:
    """Return the lifecycle of a zone; raw and parts never expire: some cannot come again."""
    rules = [Rule(action=Action(type="AbortIncompleteMultipartUpload"), condition=Condition(age=7))]
    if zone == RAW:
        rules.append(
            Rule(
                action=Action(type="SetStorageClass", storage_class="NEARLINE"),
                condition=Condition(age=_COLD_DAYS, matches_prefixes=["data/", "streams/"]),
            )
        )
    if zone == QUARANTINE:
        rules.append(Rule(action=Action(type="Delete"), condition=Condition(age=400)))
    if zone == LAKE and args.lake_prefixes:
        rules.append(
            Rule(
                action=Action(type="Delete"),
                condition=Condition(age=30, matches_prefixes=list(args.lake_prefixes)),
            )
        )
    return rules
