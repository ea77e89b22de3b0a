"""Service accounts: one per function and scheduled query, one for batches, one for builds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

BUILD = "function-build"

PUSH = "push-invoker"

BATCH = "spark-batch"

_LONGEST = 30
"""Characters of an account's id."""


@dataclass(frozen=True)
class AccountsArgs:
    """The accounts to create: id → purpose."""

    purposes: dict[str, str]


class ServiceAccounts(pulumi.ComponentResource):
    """The stack's service accounts by id; none has a key."""

    def __init__(
        self, name: str, args: AccountsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Create the accounts."""
        super().__init__("citypulse:infra:Accounts", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        self.by_id = {
            account: gcp.serviceaccount.Account(
                account, account_id=account, display_name=purpose, opts=own
            )
            for account, purpose in args.purposes.items()
        }
        self.register_outputs({})

    def email(self, account: str) -> pulumi.Output[str]:
        """Return the e-mail address of an account."""
        return self.by_id[account].email

    def member(self, account: str) -> pulumi.Output[str]:
        """Return the name of an account in IAM."""
        return self.by_id[account].member


def function_account(step: str) -> str:
    """Return the id of a function's account."""
    return f"fn-{step}"


def query_account(system: str) -> str:
    """Return the unique id of a scheduled query's account, of at most 30 characters."""
    name = f"sql-{system.replace('_', '-')}"
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 7]}-{hashlib.sha256(system.encode()).hexdigest()[:6]}"
