"""The arguments of every CDK stack, so that a stack that passes them on need not repeat them."""

from __future__ import annotations  # supports a CDK without one of the types

import difflib
import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypedDict

import aws_cdk as cdk

from cdk_s3_to_sftp.arguments import InvalidArgument


class StackArguments(TypedDict, total=False):
    """The keyword arguments of `aws_cdk.Stack`, which documents them."""

    analytics_reporting: bool | None
    cross_region_references: bool | None
    description: str | None
    env: cdk.Environment | dict[str, Any] | None
    notification_arns: Sequence[str] | None
    permissions_boundary: cdk.PermissionsBoundary | None
    property_injectors: Sequence[cdk.IPropertyInjector] | None
    stack_name: str | None
    suppress_template_indentation: bool | None
    synthesizer: cdk.IStackSynthesizer | None
    tags: Mapping[str, str] | None
    termination_protection: bool | None


def stack_parameters() -> set[str]:
    """Return the names of the arguments that the installed CDK knows."""
    parameters = inspect.signature(cdk.Stack.__init__).parameters.values()
    return {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}


def check_stack_arguments(given: Collection[str], own: Collection[str]) -> None:
    """Refuse a keyword that neither our stack nor CDK's has.

    Args:
        given: The keywords that are passed on.
        own: The parameters of our stack, which may have been meant.

    Raises:
        InvalidArgument: There is no such parameter.
    """
    known = stack_parameters()
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, [*own, *sorted(known)], n=1)
            meant = f"did you mean {close[0]}?" if close else f"it takes {', '.join([*own, *sorted(known)])}"
            raise InvalidArgument(name, f"is not an argument of S3ToSftpStack or aws_cdk.Stack: {meant}")
