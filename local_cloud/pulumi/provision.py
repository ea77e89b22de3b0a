"""Make each resource that the Pulumi program registers in its stand-in."""

from __future__ import annotations

import base64
import io
import json
import threading
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
from google.cloud import bigquery, storage  # type: ignore[attr-defined,unused-ignore]

from local_cloud.functions_runtime.processes import FunctionHost, FunctionSpec
from local_cloud.iam.accounts import Accounts
from local_cloud.iam.authority import Authority
from local_cloud.iam.grants import grant_of
from local_cloud.pubsub.service import FileSink, PubSub, SubscriptionSpec
from local_cloud.pulumi.mocks import Resource, UnknownResourceError
from local_cloud.scheduler import Scheduler
from local_cloud.storage.server import NotificationRouter, StorageServer

type CreatedResource = tuple[str, Mapping[str, Any]]


@dataclass
class StandIns:
    """The services in which resources are made."""

    project: str
    folder: Path
    """Where source archives are unpacked."""
    buckets: StorageServer
    storage: storage.Client
    router: NotificationRouter
    pubsub: PubSub
    bigquery: bigquery.Client
    wait_for_bigquery: Callable[[], None]
    """Returns when BigQuery answers: the slowest to start, and wanted last."""
    accounts: Accounts
    functions: FunctionHost
    scheduler: Scheduler
    authority: Authority
    recorded: list[Resource] = field(default_factory=list)
    """APIs, networks and grants: nothing is made for them, but grants decide over calls."""
    resource_count: int = 0
    """How many resources were made."""


class Provisioner:
    """Call it with a resource: it makes it and gives its id and outputs, as the provider would.

    Raises UnknownResourceError for a type that no stand-in makes.
    """

    def __init__(self, services: StandIns) -> None:
        self._in = services
        self._lock = threading.Lock()
        self._makers: dict[str, Callable[[Resource], CreatedResource]] = {
            "gcp:bigquery/dataTransferConfig:DataTransferConfig": self._query,
            "gcp:bigquery/dataset:Dataset": self._dataset,
            "gcp:bigquery/table:Table": self._table,
            "gcp:cloudfunctionsv2/function:Function": self._function,
            "gcp:cloudscheduler/job:Job": self._job,
            "gcp:pubsub/subscription:Subscription": self._subscription,
            "gcp:pubsub/topic:Topic": self._topic,
            "gcp:serviceaccount/account:Account": self._account,
            "gcp:storage/bucket:Bucket": self._bucket,
            "gcp:storage/bucketObject:BucketObject": self._object,
            "gcp:storage/notification:Notification": self._notification,
        }

    def __call__(self, resource: Resource) -> CreatedResource:
        """Make one resource."""
        maker = self._makers.get(resource.type)
        if maker is not None:
            created = maker(resource)
            with self._lock:
                self._in.resource_count += 1
            return created
        if resource.type in RECORDED:
            with self._lock:
                self._in.recorded.append(resource)
            if grant := grant_of(resource, self._in.project):
                self._in.authority.add(grant)
            return provider_outputs(resource, self._in.project)
        raise UnknownResourceError(
            f"{resource.type} {resource.name}: no stand-in makes this type: add it to {__name__}"
        )

    def _outputs(self, resource: Resource) -> CreatedResource:
        return provider_outputs(resource, self._in.project)

    def _bucket(self, resource: Resource) -> CreatedResource:
        self._in.buckets.create_bucket(resource.inputs["name"])
        return self._outputs(resource)

    def _object(self, resource: Resource) -> CreatedResource:
        """Upload an object; a zip is unpacked too, for the functions that run from it."""
        body = _asset(resource.inputs["source"])
        bucket = self._in.storage.bucket(resource.inputs["bucket"])
        name = resource.inputs["name"]
        bucket.blob(name).upload_from_string(body, content_type="application/octet-stream")
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                archive.extractall(self._unpacked(name))
        return self._outputs(resource)

    def _unpacked(self, object_name: str) -> Path:
        return self._in.folder / object_name.removesuffix(".zip").replace("/", "-")

    def _notification(self, resource: Resource) -> CreatedResource:
        inputs = resource.inputs
        notification_id = self._in.router.add(
            inputs["bucket"],
            inputs["topic"],
            inputs.get("objectNamePrefix", ""),
            inputs.get("eventTypes", ()),
            inputs.get("customAttributes"),
        )
        return f"{inputs['bucket']}/notificationConfigs/{notification_id}", {
            "notificationId": notification_id
        }

    def _topic(self, resource: Resource) -> CreatedResource:
        self._in.pubsub.create_topic(resource.inputs["name"])
        return self._outputs(resource)

    def _subscription(self, resource: Resource) -> CreatedResource:
        self._in.pubsub.create_subscription(self._spec(resource.inputs))
        return self._outputs(resource)

    def _spec(self, inputs: Mapping[str, Any]) -> SubscriptionSpec:
        push, sink = inputs.get("pushConfig", {}), inputs.get("bigqueryConfig", {})
        retry, dead = inputs.get("retryPolicy", {}), inputs.get("deadLetterPolicy", {})
        endpoint = push.get("pushEndpoint")
        return SubscriptionSpec(
            name=inputs["name"],
            topic=inputs["topic"],
            push_endpoint=endpoint,
            push_audience=push.get("oidcToken", {}).get("audience"),
            service_account=push.get("oidcToken", {}).get("serviceAccountEmail"),
            bigquery_table=sink.get("table"),
            files=_files(inputs["cloudStorageConfig"]) if "cloudStorageConfig" in inputs else None,
            use_table_schema=sink.get("useTableSchema", False),
            write_metadata=sink.get("writeMetadata", False),
            drop_unknown_fields=sink.get("dropUnknownFields", False),
            filter=inputs.get("filter"),
            ack_deadline_seconds=inputs.get("ackDeadlineSeconds", 10),
            retention_seconds=_seconds(inputs.get("messageRetentionDuration", "604800s")),
            min_backoff=_seconds(retry.get("minimumBackoff", "10s")),
            max_backoff=_seconds(retry.get("maximumBackoff", "600s")),
            dead_letter_topic=dead.get("deadLetterTopic"),
            max_delivery_attempts=int(dead.get("maxDeliveryAttempts", 5)),
            max_outstanding=self._in.functions.concurrency(endpoint) if endpoint else 1000,
        )

    def _dataset(self, resource: Resource) -> CreatedResource:
        dataset = bigquery.Dataset(f"{self._in.project}.{resource.inputs['datasetId']}")
        dataset.location = resource.inputs["location"]
        self._in.wait_for_bigquery()
        self._in.bigquery.create_dataset(dataset, exists_ok=True)
        return self._outputs(resource)

    def _table(self, resource: Resource) -> CreatedResource:
        inputs = resource.inputs
        table = bigquery.Table(
            f"{self._in.project}.{inputs['datasetId']}.{inputs['tableId']}",
            schema=[bigquery.SchemaField.from_api_repr(f) for f in json.loads(inputs["schema"])],
        )
        table.description = inputs.get("description")
        if "timePartitioning" in inputs:
            kind, column = (inputs["timePartitioning"][key] for key in ("type", "field"))
            table.time_partitioning = bigquery.TimePartitioning(type_=kind, field=column)
        if inputs.get("clusterings"):
            table.clustering_fields = inputs["clusterings"]
        self._in.bigquery.create_table(table, exists_ok=True)
        return self._outputs(resource)

    def _account(self, resource: Resource) -> CreatedResource:
        resource_id, outputs = self._outputs(resource)
        self._in.accounts.key_file(outputs["email"])
        return resource_id, outputs

    def _function(self, resource: Resource) -> CreatedResource:
        service, build = resource.inputs["serviceConfig"], resource.inputs["buildConfig"]
        spec = FunctionSpec(
            name=resource.inputs["name"],
            entry_point=build["entryPoint"],
            folder=self._unpacked(build["source"]["storageSource"]["object"]),
            env=service["environmentVariables"] | _keys(service),
            account=service["serviceAccountEmail"],
            concurrency=int(service.get("maxInstanceRequestConcurrency", 1)),
        )
        url = self._in.functions.create(spec)
        resource_id, outputs = self._outputs(resource)
        return resource_id, {**outputs, "url": url, "serviceConfig": {**service, "uri": url}}

    def _job(self, resource: Resource) -> CreatedResource:
        inputs, target = resource.inputs, resource.inputs["pubsubTarget"]
        if inputs["timeZone"] not in ("Etc/UTC", "UTC"):
            raise ValueError(f"Scheduler job {inputs['name']}: only UTC is scheduled here")
        self._in.scheduler.add_job(
            inputs["name"],
            inputs["schedule"],
            target["topicName"].rpartition("/")[2],
            base64.b64decode(target.get("data", "")),
            target.get("attributes") or {},
        )
        return self._outputs(resource)

    def _query(self, resource: Resource) -> CreatedResource:
        inputs = resource.inputs
        self._in.scheduler.add_query(
            resource.name,
            inputs["schedule"],
            inputs["params"]["query"],
            inputs["serviceAccountName"],
        )
        return self._outputs(resource)


def _keys(service: Mapping[str, Any]) -> dict[str, str]:
    """Make up a value for each secret of a function, different for each version."""
    secrets = service.get("secretEnvironmentVariables") or ()
    return {each["key"]: f"{each['secret']}/{each['version']} (made up)" for each in secrets}


RECORDED = frozenset(
    {
        "gcp:artifactregistry/repository:Repository",
        "gcp:billing/budget:Budget",
        "gcp:bigquery/datasetIamMember:DatasetIamMember",
        "gcp:cloudrunv2/serviceIamMember:ServiceIamMember",
        "gcp:compute/firewall:Firewall",
        "gcp:compute/network:Network",
        "gcp:compute/subnetwork:Subnetwork",
        "gcp:iam/workloadIdentityPool:WorkloadIdentityPool",
        "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider",
        "gcp:logging/metric:Metric",
        "gcp:monitoring/alertPolicy:AlertPolicy",
        "gcp:monitoring/dashboard:Dashboard",
        "gcp:monitoring/notificationChannel:NotificationChannel",
        "gcp:projects/iAMMember:IAMMember",
        "gcp:projects/service:Service",
        "gcp:projects/serviceIdentity:ServiceIdentity",
        "gcp:pubsub/subscriptionIAMMember:SubscriptionIAMMember",
        "gcp:pubsub/topicIAMMember:TopicIAMMember",
        "gcp:secretmanager/secretIamMember:SecretIamMember",
        "gcp:serviceaccount/iAMMember:IAMMember",
        "gcp:storage/bucketIAMMember:BucketIAMMember",
    }
)
"""Types that are only listed: no stand-in has APIs, networks, alerts or budgets."""


def provider_outputs(resource: Resource, project: str) -> CreatedResource:
    """Return a resource's id and the outputs that the provider computes, as others read them."""
    inputs, kind = resource.inputs, resource.type
    name = str(inputs.get("name", resource.name))
    match kind:
        case "gcp:serviceaccount/account:Account":
            email = f"{inputs['accountId']}@{project}.iam.gserviceaccount.com"
            path = f"projects/{project}/serviceAccounts/{email}"
            return path, {"email": email, "member": f"serviceAccount:{email}", "name": path}
        case "gcp:projects/serviceIdentity:ServiceIdentity":
            email = (
                f"service-1@gcp-sa-{inputs['service'].partition('.')[0]}.iam.gserviceaccount.com"
            )
            return email, {"email": email, "member": f"serviceAccount:{email}"}
        case "gcp:storage/bucket:Bucket":
            return name, {"url": f"gs://{name}"}
        case "gcp:storage/bucketObject:BucketObject":
            return f"{inputs['bucket']}-{name}", {"outputName": name, "generation": 1}
        case "gcp:pubsub/topic:Topic" | "gcp:pubsub/subscription:Subscription":
            return f"projects/{project}/{kind.rpartition(':')[2].lower()}s/{name}", {"name": name}
        case "gcp:iam/workloadIdentityPool:WorkloadIdentityPool":
            pool = inputs["workloadIdentityPoolId"]
            path = f"projects/1/locations/global/workloadIdentityPools/{pool}"
            return path, {"name": path}
        case "gcp:artifactregistry/repository:Repository":
            place = f"projects/{project}/locations/{inputs['location']}"
            return f"{place}/repositories/{inputs['repositoryId']}", {}
        case "gcp:compute/subnetwork:Subnetwork":
            return f"projects/{project}/regions/{inputs['region']}/subnetworks/{name}", {}
        case "gcp:cloudfunctionsv2/function:Function":
            uri = f"https://{name}-local.a.run.app"
            outputs = {"url": uri, "serviceConfig": {**inputs["serviceConfig"], "uri": uri}}
            return f"projects/{project}/locations/{inputs['location']}/functions/{name}", outputs
        case _:
            return f"projects/{project}/{name}", {}


def _files(config: Mapping[str, Any]) -> FileSink:
    """Read a Cloud Storage subscription's settings; raise ValueError for an unsupported one."""
    if not config.get("avroConfig", {}).get("writeMetadata"):
        raise ValueError(
            f"files in {config['bucket']}: only Avro with metadata is written here: set "
            "avro_config.write_metadata"
        )
    return FileSink(
        bucket=config["bucket"],
        prefix=config.get("filenamePrefix", ""),
        suffix=config.get("filenameSuffix", ""),
        datetime_format=config.get("filenameDatetimeFormat", FileSink.datetime_format),
        max_duration=_seconds(config.get("maxDuration", "300s")),
        max_bytes=_whole(config.get("maxBytes")),
        max_messages=_whole(config.get("maxMessages")),
    )


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _asset(source: pulumi.Asset | pulumi.Archive | Mapping[str, Any]) -> bytes:
    """Read the file of an object's source; raise TypeError for anything but a file."""
    if isinstance(source, pulumi.FileAsset):
        return Path(source.path).read_bytes()
    raise TypeError(f"an object's source is {source!r}: only a FileAsset is uploaded here")


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))
