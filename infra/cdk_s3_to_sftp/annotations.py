"""Warnings and errors that synth reports."""

from collections.abc import Callable

import aws_cdk as cdk
import constructs
import jsii
from constructs import Construct, IConstruct


def warn(scope: IConstruct, id: str, sentence: str) -> None:  # noqa: A002 -- as CDK calls it
    """Add a warning that somebody has to act on, and can then acknowledge by its id."""
    cdk.Annotations.of(scope).add_warning_v2(f"cdk-s3-to-sftp:{id}", sentence)


def validate_with(scope: Construct, check: Callable[[], list[str]]) -> None:
    """Call `check` at synth, when the construct tree is complete. Each sentence it returns is an error."""
    scope.node.add_validation(_Validation(check))


@jsii.implements(constructs.IValidation)
class _Validation:
    def __init__(self, check: Callable[[], list[str]]) -> None:
        self._check = check

    def validate(self) -> list[str]:
        return self._check()
