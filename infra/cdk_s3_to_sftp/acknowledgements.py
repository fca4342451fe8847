"""Acknowledges findings of rule packs, each with its reason, where cdk-nag and checkov read it."""

from typing import Any

import aws_cdk as cdk
from constructs import IConstruct

from cdk_s3_to_sftp.nag_metadata import suppress_in_metadata
from cdk_s3_to_sftp.suppressions import OBJECTS, Suppression

_CHECKOV = "checkov"
"""Key of a resource's metadata in the template, where checkov reads which checks to skip."""


def acknowledge(scope: IConstruct, *suppressions: Suppression) -> None:
    """Acknowledge findings for `scope` and everything below it: apps that run the packs are clean.

    A checkov finding is acknowledged for the resource of `scope` only.
    """
    for suppression in suppressions:
        for rule in suppression.rules:
            _acknowledge(scope, rule, suppression.reason)


def acknowledge_wildcard(scope: IConstruct, resource: str, suppression: Suppression) -> None:
    """Acknowledge that a policy in `scope` names this ARN with a wildcard, and no other one."""
    printed = _as_printed(cdk.Stack.of(scope).resolve(resource))
    for rule in suppression.rules:
        _acknowledge(scope, rule.replace(OBJECTS, printed), suppression.reason)


def acknowledge_long_timeout(function: IConstruct) -> None:
    """Acknowledge a timeout that Lambda accepts and that CDK's own rules, where it has some, reject."""
    rule = "CloudFormation-Validate::E3717"
    reason = "Lambda's API takes up to 1,800 seconds (CreateFunction, Timeout)."
    if has_validations():
        cdk.Validations.of(function).acknowledge(cdk.Acknowledgment(id=rule, reason=reason))


def has_validations() -> bool:
    """Return whether this CDK has acknowledgements of findings, which cdk-nag 3 reads."""
    return hasattr(cdk, "Acknowledgment")


def _acknowledge(scope: IConstruct, rule: str, reason: str) -> None:
    pack, dash, _ = rule.partition("-")
    if not dash:
        _skip_in_checkov(scope, rule, reason)
    elif has_validations():
        _acknowledge_in_cdk(scope, f"{pack}::{rule}", reason)
    else:
        suppress_in_metadata(scope, rule, reason)


def _acknowledge_in_cdk(scope: IConstruct, id: str, reason: str) -> None:  # noqa: A002 -- as CDK calls it
    try:
        cdk.Validations.of(scope).acknowledge(cdk.Acknowledgment(id=id, reason=reason))
    except RuntimeError as error:
        # CDK rejects an id with unbalanced brackets (a prefix `a)/`), and before 2.271 one of a finding that
        # contains `::`. The finding then remains.
        if "InvalidValidationId" not in str(error):
            raise


def _skip_in_checkov(scope: IConstruct, rule: str, reason: str) -> None:
    """Write the suppression into the template, which is all that checkov reads."""
    resource = scope.node.default_child
    if isinstance(resource, cdk.CfnResource):
        so_far = (resource.get_metadata(_CHECKOV) or {"skip": []})["skip"]
        resource.add_metadata(_CHECKOV, {"skip": [*so_far, {"id": rule, "comment": reason}]})


def _as_printed(value: Any) -> str:
    """Format an ARN of the template as cdk-nag prints it in the id of a finding."""
    match value:
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(_as_printed(part) for part in parts)
    return str(value)
