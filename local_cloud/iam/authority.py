"""IAM of the local cloud: says whether an account may, and keeps what each was asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from local_cloud.gateway.calls import Call
from local_cloud.iam.grants import Grant, Need, permissions_of, roles
from local_cloud.iam.permissions import UnknownCallError, needs

BORNE = {
    "storage.buckets.get": "google-cloud-storage asks once a process what region a bucket is in, for "
    "traces, and goes on without"
}
"""Permission → why nobody needs it though it is asked for."""
_READS = ("objects.get", "objects.list")


@dataclass(frozen=True)
class Denial:
    """What an account asked for and was not granted."""

    account: str
    need: Need
    cure: tuple[str, ...]
    """Roles that would give it, the narrowest first."""

    def __str__(self) -> str:
        """Account, permission, resource, and the way out."""
        roles_named = " or ".join(self.cure) or "no role of local_cloud/iam/roles.toml"
        return (
            f"{self.account} does not have {self.need.permission} access. Permission "
            f"'{self.need.permission}' denied on resource '{self.need.resource}' (or it may not "
            f"exist): {roles_named} would give it"
        )


class Authority:
    """Bindings as they are made, and every call measured by them.

    An account may be told with what tells its processes from each other: `fn-load+3@…` is `fn-load@…`.
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
        """Take a binding as made."""
        with self._lock:
            self.grants.append(grant)
            self._decisions.clear()

    def refusal(self, call: Call) -> str | None:
        """Why a call is refused; None for one that is let through.

        What local-bigquery reads from a bucket comes without an account: the load job that has it
        read is asked for it instead.
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
        """Why an account may not do what it asks for, the first of all; None where it may."""
        account = _without_process(account)
        for need in needs:
            if not self._may(account, need):
                return self._denied[account, need]
        return None

    def refused(self) -> list[str]:
        """Everything that was refused, once each, but what clients bear."""
        with self._lock:
            denied = [str(d) for d in self._denied.values() if d.need.permission not in BORNE]
            return sorted((*denied, *self._unknown))

    def used(self) -> dict[Grant, set[str]]:
        """Each grant, with the permissions that calls had by it."""
        with self._lock:
            return {grant: set(self._used.get(grant, ())) for grant in self.grants}

    def idle(self) -> list[Grant]:
        """The grants by which no call was let through."""
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
                self._denied[account, need] = Denial(account, need, cure(need.permission))
            self._decisions[account, need] = bool(givers)
            return bool(givers)


def cure(permission: str) -> tuple[str, ...]:
    """The roles that give a permission, the narrowest first."""
    giving = [role for role in roles() if permission in permissions_of(role)]
    return tuple(sorted(giving, key=lambda role: (len(roles()[role]), role)))


def _without_process(account: str) -> str:
    local, at, domain = account.partition("@")
    return f"{local.partition('+')[0]}{at}{domain}"
