"""Suppressions of findings as cdk-nag 2 reads them, for a CDK that has no acknowledgements of its own.

cdk-nag 3 needs a CDK that has them, so nothing is said twice.
"""

from typing import Any

import aws_cdk as cdk
import jsii
from constructs import IConstruct

_KEY = "cdk_nag"
"""Key of a resource's metadata, where `NagSuppressions` of cdk-nag writes, too."""


def suppress_in_metadata(scope: IConstruct, rule: str, reason: str) -> None:
    """Suppress a finding for `scope` and what is below it, whenever it is made.

    Args:
        scope: Where.
        rule: Id of the rule; one that has several findings is followed by the id of the finding in brackets.
        reason: Why.
    """
    # Before the packs look, which are aspects, too.
    cdk.Aspects.of(scope).add(_Suppression(rule, reason), priority=cdk.AspectPriority.MUTATING)


@jsii.implements(cdk.IAspect)
class _Suppression:
    def __init__(self, rule: str, reason: str) -> None:
        name, bracket, finding = rule.partition("[")
        self._entry: dict[str, Any] = {"id": name, "reason": reason}
        if bracket:
            self._entry["applies_to"] = [finding.removesuffix("]")]

    def visit(self, node: IConstruct) -> None:
        """Add it to the metadata of a resource, beside what others have put there."""
        if isinstance(node, cdk.CfnResource):
            so_far = (node.get_metadata(_KEY) or {"rules_to_suppress": []})["rules_to_suppress"]
            node.add_metadata(_KEY, {"rules_to_suppress": [*so_far, self._entry]})
