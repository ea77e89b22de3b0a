"""Keys of publishers: secrets that a person created and only `download` reads.

The stack pins the version of each. No value passes through the program, so none is in its state or
in a preview.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from catalog.contract import Contract, Key
from infra_pulumi.accounts import ServiceAccounts, function_account
from infra_pulumi.config import ConfigError, StackConfig

READER = "download"
"""The step that fetches."""
Variable = gcp.cloudfunctionsv2.FunctionServiceConfigSecretEnvironmentVariableArgs


@dataclass(frozen=True)
class KeysArgs:
    """The contracts that may name keys, and the accounts that read them."""

    config: StackConfig
    contracts: Iterable[Contract]
    accounts: ServiceAccounts
    settle: pulumi.ResourceHookBinding


class Keys(pulumi.ComponentResource):
    """The grants of `download` on each secret, and the variables with the keys."""

    variables: list[Variable]

    def __init__(
        self, name: str, args: KeysArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Grant each key once."""
        super().__init__("citypulse:infra:Keys", name, None, opts)
        keys = named(args.contracts)
        self.grants = [
            gcp.secretmanager.SecretIamMember(
                f"{function_account(READER)}-{key.secret}",
                secret_id=key.secret,
                role="roles/secretmanager.secretAccessor",
                member=args.accounts.member(function_account(READER)),
                opts=pulumi.ResourceOptions(parent=self, hooks=args.settle),
            )
            for key in keys
        ]
        self.variables = [
            Variable(
                key=key.setting,
                project_id=args.config.project,
                secret=key.secret,
                version=args.config.secrets[key.secret],
            )
            for key in keys
        ]
        self.register_outputs({})


def named(contracts: Iterable[Contract]) -> list[Key]:
    """Return the keys of live data sets, each secret once, by name."""
    keys = (contract.source.key for contract in contracts if not contract.retired)
    found = {key.secret: key for key in keys if key is not None}
    return [found[name] for name in sorted(found)]


def refuse_unpinned(contracts: Iterable[Contract], config: StackConfig) -> None:
    """Raise ConfigError for a secret whose version the stack does not pin."""
    for key in named(contracts):
        if key.secret not in config.secrets:
            raise ConfigError(
                f"citypulse:secrets lacks {key.secret}, which a contract's source.key names: create it with "
                f"`gcloud secrets create {key.secret} --data-file=-`, then pin its version"
            )
