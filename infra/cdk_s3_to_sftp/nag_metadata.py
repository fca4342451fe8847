"""Suppressions in the format of cdk-nag 2, for a CDK that has no acknowledgements of its own.

cdk-nag 3 requires a CDK that has them, so no finding is suppressed twice.
"""

from typing import Any

import aws_cdk as cdk
import jsii
from constructs import IConstruct

_KEY = "cdk_nag"
"""Key of a resource's metadata that `NagSuppressions` of cdk-nag also uses."""


def suppress_in_metadata(scope: IConstruct, rule: str, reason: str) -> None:
    """Suppress a finding for `scope` and everything below it, including constructs that are added later.

    Args:
        scope: The root of the constructs.
        rule: Id of the rule. If the rule has several findings, the id of the finding follows in brackets.
        reason: Why it is suppressed.
    """
    # Runs before the packs, which are aspects, too.
    cdk.Aspects.of(scope).add(_Suppression(rule, reason), priority=cdk.AspectPriority.MUTATING)


@jsii.implements(cdk.IAspect)
class _Suppression:
    def __init__(self, rule: str, reason: str) -> None:
        name, bracket, finding = rule.partition("[")
        self._entry: dict[str, Any] = {"id": name, "reason": reason}
        if bracket:
            self._entry["applies_to"] = [finding.removesuffix("]")]

    def visit(self, node: IConstruct) -> None:
        """Add it to the metadata of a resource, next to existing suppressions."""
        if isinstance(node, cdk.CfnResource):
            so_far = (node.get_metadata(_KEY) or {"rules_to_suppress": []})["rules_to_suppress"]
            node.add_metadata(_KEY, {"rules_to_suppress": [*so_far, self._entry]})
