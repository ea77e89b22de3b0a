"""The budget: notifications at half, close to and above the amount; it stops nothing."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra_pulumi.config import StackConfig
from infra_pulumi.services import Services

SHARES = (0.5, 0.9, 1.0)

Amount = gcp.billing.BudgetAmountArgs
Specified = gcp.billing.BudgetAmountSpecifiedAmountArgs
Rule = gcp.billing.BudgetThresholdRuleArgs


@dataclass(frozen=True)
class BudgetArgs:
    """The amount per month, and who is notified."""

    config: StackConfig
    channels: list[pulumi.Output[str]]
    services: Services
    """The APIs that must be on before the project is looked up."""


class Budget(pulumi.ComponentResource):
    """A budget of the project; nothing if no billing account is configured."""

    def __init__(
        self, name: str, args: BudgetArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Create the budget."""
        super().__init__("citypulse:infra:Budget", name, None, opts)
        if args.config.billing_account:
            gcp.billing.Budget(
                "month",
                billing_account=args.config.billing_account,
                display_name=f"citypulse {args.config.project}",
                amount=Amount(specified_amount=Specified(units=str(args.config.monthly_budget))),
                budget_filter=gcp.billing.BudgetBudgetFilterArgs(projects=[self._project(args)]),
                threshold_rules=[
                    *(Rule(threshold_percent=share) for share in SHARES),
                    Rule(threshold_percent=1.0, spend_basis="FORECASTED_SPEND"),
                ],
                all_updates_rule=gcp.billing.BudgetAllUpdatesRuleArgs(
                    monitoring_notification_channels=args.channels
                )
                if args.channels
                else None,
                opts=pulumi.ResourceOptions(
                    parent=self, provider=self._project_provider(args.config)
                ),
            )
        self.register_outputs({})

    def _project(self, args: BudgetArgs) -> pulumi.Output[str]:
        """Return the project by its number: the service stores and returns no other name."""
        found = gcp.organizations.get_project_output(
            project_id=args.config.project,
            opts=pulumi.InvokeOutputOptions(parent=self, depends_on=[args.services]),
        )
        return pulumi.Output.concat("projects/", found.number)

    def _project_provider(self, config: StackConfig) -> gcp.Provider:
        """Return a provider that charges its calls to the project.

        Without it, the Billing Budgets API answers 403 to everyone who deploys with a personal login
        (the provider's documentation of Budget).
        """
        return gcp.Provider(
            "billing",
            project=config.project,
            billing_project=config.project,
            user_project_override=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
