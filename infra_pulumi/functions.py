"""The Cloud Functions: all from one archive, each with its own account and size."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra_pulumi.accounts import BUILD, PUSH, ServiceAccounts, function_account
from infra_pulumi.archive import Archive
from infra_pulumi.config import StackConfig
from infra_pulumi.environment import of_step
from infra_pulumi.keys import READER, Keys
from infra_pulumi.spark import SparkBatches
from infra_pulumi.steps import STEPS, Step
from infra_pulumi.zones import LakeBuckets

RUNTIME = "python313"
SECONDS = 540

_DAY = 86_400
IMAGES_TO_KEEP = 3
"""Versions of each image that stay, for a roll-back."""
IMAGES_EXPIRE = 30 * _DAY
"""Age in seconds after which other images are deleted, tagged or not: the service tags each build."""

CleanupPolicy = gcp.artifactregistry.RepositoryCleanupPolicyArgs


@dataclass(frozen=True)
class FunctionsArgs:
    """The resources that the functions need."""

    config: StackConfig
    archive: Archive
    zones: LakeBuckets
    accounts: ServiceAccounts
    spark: SparkBatches
    keys: Keys
    settle: pulumi.ResourceHookBinding


class Functions(pulumi.ComponentResource):
    """The functions by step, and their URLs, which only the push account may call.

    `build` and `build_needs` are for functions that are not steps.
    """

    def __init__(
        self, name: str, args: FunctionsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Upload the archive, create the functions and let the push account call them."""
        super().__init__("citypulse:infra:Functions", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        self._args = args
        archive = gcp.storage.BucketObject(
            "functions-archive",
            bucket=args.zones.name("code"),
            name=f"functions/{args.archive.hash[:16]}.zip",
            source=pulumi.FileAsset(str(args.archive.path)),
            opts=own,
        )
        self._source = gcp.cloudfunctionsv2.FunctionBuildConfigSourceArgs(
            storage_source=gcp.cloudfunctionsv2.FunctionBuildConfigSourceStorageSourceArgs(
                bucket=archive.bucket, object=archive.name
            )
        )
        builder = gcp.projects.IAMMember(
            "builds",
            project=args.config.project,
            role="roles/cloudbuild.builds.builder",
            member=args.accounts.member(BUILD),
            opts=pulumi.ResourceOptions(parent=self, hooks=args.settle),
        )
        self._images = self._repository()
        self.build_needs: list[pulumi.Resource] = [builder, self._images]
        self.by_step = {step.name: self._function(step) for step in STEPS}
        self.invokers = {step.name: self._invoker(step) for step in STEPS}
        self.register_outputs({})

    def url(self, step: str) -> pulumi.Output[str]:
        """Return the run.app URL of a step's function."""
        return self.by_step[step].service_config.apply(
            lambda service: (service and service.uri) or ""
        )

    def build(self, entry_point: str) -> gcp.cloudfunctionsv2.FunctionBuildConfigArgs:
        """Describe how the function with an entry point is built, and where its image goes."""
        return gcp.cloudfunctionsv2.FunctionBuildConfigArgs(
            runtime=RUNTIME,
            entry_point=entry_point,
            service_account=self._args.accounts.by_id[BUILD].id,
            docker_repository=self._images.id,
            source=self._source,
        )

    def _repository(self) -> gcp.artifactregistry.Repository:
        """Create the repository of all images.

        Functions without one share `gcf-artifacts`, which the service creates with the first
        function: if several are created at once in a new project, some fail. Nor does the service
        ever delete an image from it.
        """
        return gcp.artifactregistry.Repository(
            "functions-images",
            repository_id="functions",
            location=self._args.config.region,
            format="DOCKER",
            description="citypulse: images of the functions",
            cleanup_policies=[
                CleanupPolicy(
                    id="keep-newest",
                    action="KEEP",
                    most_recent_versions=gcp.artifactregistry.RepositoryCleanupPolicyMostRecentVersionsArgs(
                        keep_count=IMAGES_TO_KEEP
                    ),
                ),
                CleanupPolicy(
                    id="delete-old",
                    action="DELETE",
                    condition=gcp.artifactregistry.RepositoryCleanupPolicyConditionArgs(
                        tag_state="ANY", older_than=f"{IMAGES_EXPIRE}s"
                    ),
                ),
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _function(self, step: Step) -> gcp.cloudfunctionsv2.Function:
        args = self._args
        keys = args.keys if step.name == READER else None
        return gcp.cloudfunctionsv2.Function(
            step.name,
            name=step.name,
            location=args.config.region,
            description=f"citypulse: {step.purpose}",
            build_config=self.build(step.name),
            service_config=gcp.cloudfunctionsv2.FunctionServiceConfigArgs(
                available_memory=step.memory,
                available_cpu=step.cpu,
                timeout_seconds=SECONDS,
                max_instance_count=step.max_instances,
                max_instance_request_concurrency=step.concurrency,
                ingress_settings="ALLOW_INTERNAL_ONLY",
                service_account_email=args.accounts.email(function_account(step.name)),
                environment_variables=of_step(step, args.config, args.zones, args.spark),
                secret_environment_variables=(keys and keys.variables) or None,
            ),
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[*self.build_needs, *(keys.grants if keys else ())]
            ),
        )

    def _invoker(self, step: Step) -> gcp.cloudrunv2.ServiceIamMember:
        return gcp.cloudrunv2.ServiceIamMember(
            f"push-calls-{step.name}",
            name=self.by_step[step.name].name,
            location=self._args.config.region,
            role="roles/run.invoker",
            member=self._args.accounts.member(PUSH),
            opts=pulumi.ResourceOptions(parent=self),
        )
