"""Service accounts: one for each function, for batches, for each scheduled query and for builds."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

BUILD = "function-build"
PUSH = "push-invoker"
BATCH = "spark-batch"


@dataclass(frozen=True)
class AccountsArgs:
    """The accounts to make: id → what it is for."""

    purposes: dict[str, str]


class Accounts(pulumi.ComponentResource):
    """The stack's service accounts by id; none has a key."""

    def __init__(
        self, name: str, args: AccountsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Make the accounts."""
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
        """The e-mail address of an account."""
        return self.by_id[account].email

    def member(self, account: str) -> pulumi.Output[str]:
        """An account as IAM names it."""
        return self.by_id[account].member


def function_account(step: str) -> str:
    """The id of a function's account."""
    return f"fn-{step}"


def query_account(system: str) -> str:
    """The id of the account of a system's scheduled query: 30 characters at most."""
    return f"sql-{system.replace('_', '-')}"[:30].rstrip("-")
