"""A stand-in `gcp` provider: Pulumi's engine asks it over gRPC what changed and what to do.

The protocol is `pulumirpc.ResourceProvider`. The `Cloud` behind it decides what a call does. This
module calculates what changed, from inputs, as the provider that wraps Terraform's would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, Protocol, Self

import grpc
import pulumi
from google.protobuf import json_format
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from local_cloud.ports import free_port
from local_cloud.pulumi.engine import replacing
from local_cloud.pulumi.engine.read_back import read_back
from local_cloud.pulumi.mocks import Resource, UnknownResourceError, look_up

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The protocol's placeholder for a value that a preview cannot know."""

_SIGNATURE = "4dabf18193072939515e22adb298388d"

_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105

_ASSET = "c44067f5952c0a294b673a41bacd8c17"

_THREADS = 32


type Properties = dict[str, Any]


class ResourceRefusedError(RuntimeError):
    """A refusal of the cloud behind the provider, with its reason."""


class Cloud(Protocol):
    """The cloud behind the provider; raises ResourceRefusedError where the service would refuse."""

    def create(self, resource: Resource) -> tuple[str, Mapping[str, Any]]:
        """Make a resource; return its id and the outputs that it has beyond its inputs."""

    def planned(self, resource: Resource) -> Mapping[str, Any]:
        """Return the outputs that `create` would give; nothing is made."""

    def update(self, resource_id: str, resource: Resource) -> None:
        """Change a resource in place, to these inputs."""

    def delete(self, resource_id: str, resource: Resource) -> None:
        """Delete a resource."""


class ProviderServer:
    """A context manager: while inside, the provider answers at `port` of this machine."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.port = 0

    def __enter__(self) -> Self:
        self.port = free_port()
        self._server = grpc.server(ThreadPoolExecutor(_THREADS, thread_name_prefix="gcp-provider"))
        provider = _Provider(self._cloud)
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, self._server)
        self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(grace=1).wait()


def _refusing[Q, A](answer: Callable[[_Provider, Q], A]) -> Callable[..., A]:
    """Turn a refused or unknown resource into the call's status, for the CLI to print."""

    def handle(provider: _Provider, request: Q, context: grpc.ServicerContext) -> A:
        """Answer one call."""
        try:
            return answer(provider, request)
        except (ResourceRefusedError, UnknownResourceError, replacing.UnknownTypeError) as refused:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(refused))
            raise AssertionError from refused  # abort has raised

    return handle


class _Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The calls of the engine; method names are the protocol's."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    @_refusing
    def Handshake(self, _: Any) -> Any:  # noqa: N802
        """Announce what it understands: secrets and resources as such."""
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True)

    @_refusing
    def Attach(self, _: Any) -> Empty:  # noqa: N802
        """Do nothing: the engine has the provider's address already."""
        return Empty()

    @_refusing
    def GetPluginInfo(self, _: Any) -> Any:  # noqa: N802
        """Return the version of the installed `pulumi-gcp`."""
        return plugin_pb2.PluginInfo(version=version("pulumi-gcp"))

    @_refusing
    def GetSchema(self, _: Any) -> Any:  # noqa: N802
        """Return a schema of the name alone: programs in Python bring their types."""
        return provider_pb2.GetSchemaResponse(schema='{"name": "gcp"}')

    @_refusing
    def CheckConfig(self, request: Any) -> Any:  # noqa: N802
        """Return the provider's configuration as it is."""
        return provider_pb2.CheckResponse(inputs=request.news)

    @_refusing
    def DiffConfig(self, request: Any) -> Any:  # noqa: N802
        """List what changed in the configuration; another project replaces everything."""
        paths = list(replacing.differences(_plain(request.old_inputs), _plain(request.news)))
        return _difference(paths, [path for path in paths if path == "project"])

    @_refusing
    def Configure(self, _: Any) -> Any:  # noqa: N802
        """Announce secrets, resources and previews."""
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=True
        )

    @_refusing
    def Check(self, request: Any) -> Any:  # noqa: N802
        """Return a resource's inputs as they are if its type is known."""
        replacing.replacing_properties(_place(request)[0])
        return provider_pb2.CheckResponse(inputs=request.news)

    @_refusing
    def Diff(self, request: Any) -> Any:  # noqa: N802
        """List what changed since the service gave the resource back, and which changes replace it."""
        kind, _ = _place(request)
        old = _by_content(read_back(kind, _plain(request.old_inputs)))
        new = _by_content(_plain(request.news))
        return _difference(
            list(replacing.differences(old, new)),
            replacing.replacing(kind, old, new),
            first=replacing.deleted_first(old, new),
        )

    @_refusing
    def Create(self, request: Any) -> Any:  # noqa: N802
        """Make a resource; in a preview, return only its known outputs."""
        resource = _resource(request, request.properties)
        inputs = _plain(request.properties)
        if request.preview:
            outputs = _unknown_where_new(inputs, self._cloud.planned(resource))
            return provider_pb2.CreateResponse(properties=_struct({**inputs, **outputs}))
        resource_id, computed = self._cloud.create(resource)
        return provider_pb2.CreateResponse(
            id=resource_id, properties=_struct({**inputs, **computed})
        )

    @_refusing
    def Update(self, request: Any) -> Any:  # noqa: N802
        """Change in place: computed outputs stay, outputs copied from removed inputs go."""
        before, inputs = _plain(request.old_inputs), _plain(request.news)
        computed = _computed(before, _plain(request.olds), inputs)
        if not request.preview:
            self._cloud.update(request.id, _resource(request, request.news))
        return provider_pb2.UpdateResponse(properties=_struct(computed))

    @_refusing
    def Delete(self, request: Any) -> Empty:  # noqa: N802
        """Delete a resource."""
        self._cloud.delete(request.id, _resource(request, request.old_inputs))
        return Empty()

    @_refusing
    def Read(self, request: Any) -> Any:  # noqa: N802
        """Return a resource as the state has it: the stand-in's own is not looked at."""
        return provider_pb2.ReadResponse(
            id=request.id, properties=request.properties, inputs=request.inputs
        )

    @_refusing
    def Invoke(self, request: Any) -> Any:  # noqa: N802
        """Answer a look-up of the program's."""
        return provider_pb2.InvokeResponse(**{"return": _struct(look_up(request.tok))})

    @_refusing
    def Cancel(self, _: Any) -> Empty:  # noqa: N802
        """Do nothing: no work goes on in the background."""
        return Empty()


def _resource(request: Any, properties: Struct) -> Resource:
    """Build the resource of a request, as its maker takes it."""
    return Resource(*_place(request), _with_files(_plain(properties)))


def _place(request: Any) -> tuple[str, str]:
    """Return type and name of a request's resource: the last of its types is its own."""
    kind, name = request.urn.split("::")[2:4]
    return kind.rpartition("$")[2], name


def _plain(properties: Struct) -> Properties:
    """Convert properties to a dictionary: whole numbers as floats, secrets unwrapped."""
    found: Properties = _unwrapped(json_format.MessageToDict(properties))
    return found


def _unwrapped(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _SECRET:
            return _unwrapped(value["value"])
        return {key: _unwrapped(inner) for key, inner in value.items()}
    return [_unwrapped(inner) for inner in value] if isinstance(value, list) else value


def _with_files(inputs: Properties) -> Properties:
    """Replace files in inputs by assets, as under mocks; a state has no paths."""
    return {
        key: pulumi.FileAsset(value["path"]) if _is_file(value) and "path" in value else value
        for key, value in inputs.items()
    }


def _by_content(inputs: Mapping[str, Any]) -> Properties:
    """Replace files in inputs by their content: the same bytes elsewhere are no change."""
    return {key: value["hash"] if _is_file(value) else value for key, value in inputs.items()}


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and value.get(_SIGNATURE) == _ASSET


def _unknown_where_new(inputs: Properties, outputs: Mapping[str, Any]) -> Properties:
    """Reduce outputs to what a preview knows: those of the inputs, and no others."""
    return {
        key: inputs[key]
        if inputs.get(key) == value
        else _unknown_where_new(inputs[key], value)
        if isinstance(value, Mapping) and isinstance(inputs.get(key), dict)
        else UNKNOWN
        for key, value in outputs.items()
    }


def _computed(before: Properties, outputs: Properties, inputs: Properties) -> Properties:
    """Merge the outputs after an update: the computed ones, under the new inputs."""
    computed = {key: value for key, value in outputs.items() if key not in before}
    both = {
        key: _computed(before[key], outputs[key], inputs[key])
        for key in inputs
        if all(isinstance(properties.get(key), dict) for properties in (before, outputs, inputs))
    }
    return {**computed, **inputs, **both}


def _difference(paths: list[str], replaced: list[str], *, first: bool = False) -> Any:
    """Answer what changed: `first` deletes a replaced resource before the new one is made."""
    kinds = provider_pb2.PropertyDiff
    detail = {
        path: kinds(kind=kinds.UPDATE_REPLACE if path in replaced else kinds.UPDATE, inputDiff=True)
        for path in paths
    }
    changes = provider_pb2.DiffResponse
    return provider_pb2.DiffResponse(
        changes=changes.DIFF_SOME if paths else changes.DIFF_NONE,
        diffs=sorted({_top(path) for path in paths}),
        replaces=sorted({_top(path) for path in replaced}),
        deleteBeforeReplace=bool(replaced) and first,
        detailedDiff=detail,
        hasDetailedDiff=True,
    )


def _top(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]


def _struct(properties: Mapping[str, Any]) -> Struct:
    struct = Struct()
    struct.update(properties)
    return struct
