"""IAM of the local cloud: decides whether an account may, and records what each needed."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from local_cloud.gateway.calls import Call
from local_cloud.iam.grants import Grant, Need, permissions_of, roles
from local_cloud.iam.permissions import UnknownCallError, needs

TOLERATED = {
    "storage.buckets.get": "google-cloud-storage asks once a process what region a bucket is in, for "
    "traces, and goes on without"
}
"""Permission → why a call without it passes although the call needs it."""

_READS = ("objects.get", "objects.list")


@dataclass(frozen=True)
class Denial:
    """A permission that an account needed and does not have."""

    account: str
    need: Need
    roles: tuple[str, ...]
    """Roles that contain the permission, the narrowest first."""

    def __str__(self) -> str:
        """Name account, permission, resource, and the roles that help."""
        roles_named = " or ".join(self.roles) or "no role of local_cloud/iam/roles.toml"
        return (
            f"{self.account} does not have {self.need.permission} access. Permission "
            f"'{self.need.permission}' denied on resource '{self.need.resource}' (or it may not "
            f"exist): {roles_named} would give it"
        )


class Authority:
    """Grants as they are made, and the check of every call.

    An account may have a suffix that distinguishes its processes: `fn-load+3@…` is `fn-load@…`.
    """

    def __init__(self, project: str, services: frozenset[str]) -> None:
        self.project = project
        self.services = services
        self.grants: list[Grant] = []
        self.checks = 0
        self._used: dict[Grant, set[str]] = {}
        self._denied: dict[tuple[str, Need], Denial] = {}
        self._decisions: dict[tuple[str, Need], bool] = {}
        self._unknown: set[str] = set()
        self._lock = threading.Lock()

    def add(self, grant: Grant) -> None:
        """Add a grant."""
        with self._lock:
            self.grants.append(grant)
            self._decisions.clear()

    def refusal(self, call: Call) -> str | None:
        """Explain why a call is refused; None for one that passes.

        What local-bigquery reads from a bucket comes without an account: the load job that needs it
        is checked instead.
        """
        if call.service not in self.services or (not call.account and call.action in _READS):
            return None
        try:
            denial = self.denial(call.account, needs(call, self.project))
        except UnknownCallError as unknown:
            with self._lock:
                self._unknown.add(str(unknown))
            return str(unknown)
        return str(denial) if denial else None

    def denial(self, account: str, needs: Iterable[Need]) -> Denial | None:
        """Return the first of the needs that an account may not do; None if it may do all."""
        account = _without_process(account)
        for need in needs:
            if not self._may(account, need):
                return self._denied[account, need]
        return None

    def refused(self) -> list[str]:
        """List every refusal once, without those that clients tolerate."""
        with self._lock:
            denied = [str(d) for d in self._denied.values() if d.need.permission not in TOLERATED]
            return sorted((*denied, *self._unknown))

    def used(self) -> dict[Grant, set[str]]:
        """Map each grant to the permissions that calls used it for."""
        with self._lock:
            return {grant: set(self._used.get(grant, ())) for grant in self.grants}

    def idle(self) -> list[Grant]:
        """List the grants that no call used."""
        return [grant for grant, permissions in self.used().items() if not permissions]

    def _may(self, account: str, need: Need) -> bool:
        with self._lock:
            self.checks += 1
            if (account, need) in self._decisions:
                return self._decisions[account, need]
            givers = [grant for grant in self.grants if grant.gives(account, need)]
            for grant in givers:
                self._used.setdefault(grant, set()).add(need.permission)
            if not givers:
                self._denied[account, need] = Denial(
                    account, need, sufficient_roles(need.permission)
                )
            self._decisions[account, need] = bool(givers)
            return bool(givers)


def sufficient_roles(permission: str) -> tuple[str, ...]:
    """List the roles that contain a permission, the narrowest first."""
    giving = [role for role in roles() if permission in permissions_of(role)]
    return tuple(sorted(giving, key=lambda role: (len(roles()[role]), role)))


def _without_process(account: str) -> str:
    local, at, domain = account.partition("@")
    return f"{local.partition('+')[0]}{at}{domain}"
