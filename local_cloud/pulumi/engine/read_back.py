"""What Google's services give back of a resource where it differs from what they were given.

The provider reads a resource after it made it and compares the program's next inputs with that. A
value that a service writes in another way is then a difference in every preview, and each `up`
changes the resource again. Read for this:

- Cloud Functions: adds `LOG_EXECUTION_ID=true` where a function does not set it (release notes of
  18 June 2024; GoogleCloudPlatform/cloud-foundation-fabric issue 2403). The provider hides this one
  since magic-modules pull request 11092; the stand-in does not.
- Budgets: `projects/ID` comes back as `projects/NUMBER`, the one form that the provider documents
  (cloud-foundation-fabric issue 2365, pulumi-gcp issue 514).
- Dashboards: zeros, empty lists and empty texts are left out of the JSON. The provider drops keys
  that only the service has, not those that only the program has (terraform-provider-google issue
  16173; magic-modules pull request 18515, which would have, was closed).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from local_cloud.pulumi.mocks import PROJECT_NUMBER

type Inputs = Mapping[str, Any]


def read_back(kind: str, inputs: Inputs) -> Inputs:
    """Give the inputs of a resource as the provider reads them from its service."""
    rewrite = _REWRITES.get(kind.removeprefix("gcp:"))
    return rewrite(inputs) if rewrite else inputs


def _function(inputs: Inputs) -> Inputs:
    service = inputs["serviceConfig"]
    variables = {"LOG_EXECUTION_ID": "true", **service.get("environmentVariables", {})}
    return {**inputs, "serviceConfig": {**service, "environmentVariables": variables}}


def _budget(inputs: Inputs) -> Inputs:
    chosen = inputs["budgetFilter"]
    projects = [
        each if re.fullmatch(r"projects/\d+", each) else f"projects/{PROJECT_NUMBER}"
        for each in chosen.get("projects", [])
    ]
    return {**inputs, "budgetFilter": {**chosen, "projects": projects}}


def _dashboard(inputs: Inputs) -> Inputs:
    text = json.dumps(_without_defaults(json.loads(inputs["dashboardJson"])), sort_keys=True)
    return {**inputs, "dashboardJson": text}


def _without_defaults(value: Any) -> Any:
    """JSON as a protocol buffer is written: a field that holds its default is left out."""
    if isinstance(value, Mapping):
        return {
            key: _without_defaults(inner)
            for key, inner in value.items()
            if isinstance(inner, Mapping) or inner not in (0, "", [])
        }
    return [_without_defaults(inner) for inner in value] if isinstance(value, list) else value


_REWRITES: Mapping[str, Callable[[Inputs], Inputs]] = MappingProxyType(
    {
        "billing/budget:Budget": _budget,
        "cloudfunctionsv2/function:Function": _function,
        "monitoring/dashboard:Dashboard": _dashboard,
    }
)
