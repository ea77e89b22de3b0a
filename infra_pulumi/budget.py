"""The budget: told at half of it, near it and beyond; it stops nothing."""

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
    """How much a month may cost, and whom to tell."""

    config: StackConfig
    channels: list[pulumi.Output[str]]
    services: Services
    """The APIs that must be on before the project is looked up."""


class Budget(pulumi.ComponentResource):
    """A budget of the project; nothing where no billing account is configured."""

    def __init__(
        self, name: str, args: BudgetArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Make the budget."""
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
                opts=pulumi.ResourceOptions(parent=self, provider=self._answered_for(args.config)),
            )
        self.register_outputs({})

    def _project(self, args: BudgetArgs) -> pulumi.Output[str]:
        """Give the project by its number: the service stores no other name and gives none back."""
        found = gcp.organizations.get_project_output(
            project_id=args.config.project,
            opts=pulumi.InvokeOutputOptions(parent=self, depends_on=[args.services]),
        )
        return pulumi.Output.concat("projects/", found.number)

    def _answered_for(self, config: StackConfig) -> gcp.Provider:
        """A provider whose calls the project answers for.

        Without it the Billing Budgets API refuses with 403 whoever deploys with a login of their own
        (the provider's documentation of Budget).
        """
        return gcp.Provider(
            "billing",
            project=config.project,
            billing_project=config.project,
            user_project_override=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
