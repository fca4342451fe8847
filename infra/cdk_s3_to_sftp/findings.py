"""What people should know at synth: warnings, and answers to findings of cdk-nag."""

from typing import Any

import aws_cdk as cdk
from constructs import IConstruct


def warn(scope: IConstruct, id: str, sentence: str) -> None:  # noqa: A002 -- as CDK calls it
    """Say something at synth that a person must see to, who can then acknowledge it by its id."""
    cdk.Annotations.of(scope).add_warning_v2(f"cdk-s3-to-sftp:{id}", sentence)


def acknowledge(scope: IConstruct, rule: str, reason: str) -> None:
    """Accept one finding of the AwsSolutions rules about `scope` and what is below it, with the reason."""
    cdk.Validations.of(scope).acknowledge(cdk.Acknowledgment(id=f"AwsSolutions::{rule}", reason=reason))


def acknowledge_wildcard(scope: IConstruct, resource: str, reason: str) -> None:
    """Accept that a policy in `scope` names `resource`, an ARN with a wildcard, and no other."""
    printed = _as_printed(cdk.Stack.of(scope).resolve(resource))
    acknowledge(scope, f"AwsSolutions-IAM5[Resource::{printed}]", reason)


def _as_printed(value: Any) -> str:
    """The way that cdk-nag prints an ARN of the template, which is part of the finding's id."""
    match value:
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(_as_printed(part) for part in parts)
    return str(value)
