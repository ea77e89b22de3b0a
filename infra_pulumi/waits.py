"""Waits of a first deployment: Google needs time until new APIs and grants work everywhere."""

from __future__ import annotations

import asyncio

import pulumi


def settling(seconds: int) -> pulumi.ResourceHookBinding:
    """Return hooks that wait after a resource is created, before others use it.

    A hook runs after the engine created the resource, never in a preview and never in an update, so
    only first deployments wait. It needs no further provider.
    """

    async def _wait(_: pulumi.ResourceHookArgs) -> None:
        await asyncio.sleep(seconds)

    return pulumi.ResourceHookBinding(after_create=[pulumi.ResourceHook("settle", _wait)])
