"""Waits: what a first deployment fails without, because Google spreads APIs and grants slowly."""

from __future__ import annotations

import asyncio

import pulumi


def settling(seconds: int) -> pulumi.ResourceHookBinding:
    """Hooks for a resource that others must not use at once: a wait, when it is made, and only then.

    A hook runs after the engine created the resource, never in a preview and never in an update, so
    only first deployments wait. No further provider is needed for it.
    """

    async def _wait(_: pulumi.ResourceHookArgs) -> None:
        await asyncio.sleep(seconds)

    return pulumi.ResourceHookBinding(after_create=[pulumi.ResourceHook("settle", _wait)])
