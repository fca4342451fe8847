"""Finds deployed deliveries: by the name of a function or a stack, or all of an account and region."""

from collections.abc import Iterator
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp_cli.aws import Aws, explained, is_missing
from s3_to_sftp_cli.delivery import DeployedDelivery, from_configuration, is_delivery
from s3_to_sftp_cli.errors import CliError, ExitCode

_LIST = "`s3-to-sftp list` shows those of this account and region; check --region and --profile."


def find(aws: Aws, name: str | None, *, may_ask: bool) -> DeployedDelivery:
    """Return the delivery that is meant.

    Args:
        aws: Where to look.
        name: Of a function (or its ARN) or of a stack; None: the only one there is.
        may_ask: Whether a person is there who can choose between several.

    Raises:
        CliError: There is none, there are several and nobody can be asked, the name is of something else, or
            what is found names no port.
    """
    try:
        candidates = _named(aws, name) if name is not None else list(find_all(aws))
    except (ClientError, BotoCoreError) as error:
        raise explained(error) from None
    if not candidates:
        raise CliError(
            "There is no delivery in this account and region.", hint=_LIST, code=ExitCode.NOT_FOUND
        )
    found = candidates[0] if len(candidates) == 1 else _choose(candidates, may_ask=may_ask)
    if not found.port:
        raise CliError(
            f"SSH_PORT of {found.function} is not a port, so nothing is delivered.",
            hint="Set it to a number from 1 to 65535 where the function is deployed from.",
            code=ExitCode.CONFLICT,
        )
    return found


def find_all(aws: Aws) -> Iterator[DeployedDelivery]:
    """Yield every delivery of the account and region; needs lambda:ListFunctions.

    Raises:
        ClientError, BotoCoreError: AWS refused, or did not answer.
    """
    for page in aws.client("lambda").get_paginator("list_functions").paginate():
        yield from (from_configuration(each) for each in page["Functions"] if is_delivery(each))


def _named(aws: Aws, name: str) -> list[DeployedDelivery]:
    configuration = _function(aws, name)
    if configuration is not None:
        if not is_delivery(configuration):
            raise CliError(
                f"{name!r} is a function, and not one that delivers to an SFTP server.",
                hint=_LIST,
                code=ExitCode.NOT_FOUND,
            )
        return [from_configuration(configuration)]
    functions = _functions_of_stack(aws, name)
    if functions is None:
        raise CliError(
            f"There is no function and no stack called {name!r}.", hint=_LIST, code=ExitCode.NOT_FOUND
        )
    found = [from_configuration(each) for each in functions if is_delivery(each)]
    if not found:
        raise CliError(
            f"The stack {name!r} has no function that delivers to an SFTP server.",
            hint=_LIST,
            code=ExitCode.NOT_FOUND,
        )
    return found


def _function(aws: Aws, name: str) -> dict[str, Any] | None:
    try:
        answer: dict[str, Any] = aws.client("lambda").get_function_configuration(FunctionName=name)
    except ClientError as error:
        code = error.response["Error"].get("Code", "")
        if is_missing(error) or code in {"ValidationException", "InvalidParameterValueException"}:
            return None
        raise
    return answer


def _functions_of_stack(aws: Aws, name: str) -> list[dict[str, Any]] | None:
    """Return the configurations of the functions of a stack; None: there is no such stack."""
    try:
        pages = list(
            aws.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
        )
    except ClientError as error:
        # CloudFormation answers ValidationError, "Stack with id ... does not exist".
        if "does not exist" in str(error) or is_missing(error):
            return None
        raise
    resources = [each for page in pages for each in page["StackResourceSummaries"]]
    names = [
        each["PhysicalResourceId"] for each in resources if each["ResourceType"] == "AWS::Lambda::Function"
    ]
    return [found for each in names if (found := _function(aws, each)) is not None]


def _choose(candidates: list[DeployedDelivery], *, may_ask: bool) -> DeployedDelivery:
    listed = "\n".join(
        f"  {number}  {each.function}  → {each.target}" for number, each in enumerate(candidates, start=1)
    )
    if not may_ask:
        raise CliError(
            f"There are several deliveries:\n{listed}",
            hint="Name one with --name (or S3_TO_SFTP_NAME).",
            code=ExitCode.USAGE,
        )
    click.echo(listed, err=True)
    number = click.prompt("Which one", type=click.IntRange(1, len(candidates)), err=True)
    return candidates[number - 1]
