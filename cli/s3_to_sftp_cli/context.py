"""What every command gets: the account, the delivery that is meant, and where results go."""

import functools
import os
import shlex
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from s3_to_sftp_cli.aws import Aws
from s3_to_sftp_cli.delivery import DeployedDelivery
from s3_to_sftp_cli.discovery import find
from s3_to_sftp_cli.ledger import LedgerReader
from s3_to_sftp_cli.option_types import NOT_EMPTY, URL
from s3_to_sftp_cli.output import Output

Command = TypeVar("Command", bound=Callable[..., Any])


class Context:
    """The options that all commands share.

    Attributes:
        aws: The account and region.
        output: Where results go.
    """

    def __init__(self, *, aws: Aws, output: Output, name: str | None) -> None:
        self.aws = aws
        self.output = output
        self._name = name

    @functools.cached_property
    def delivery(self) -> DeployedDelivery:
        """The delivery that is meant; asks where that is not clear.

        Raises:
            CliError: See `discovery.find`.
        """
        may_ask = sys.stdin.isatty() and sys.stderr.isatty() and not self.output.as_json
        return find(self.aws, self._name, may_ask=may_ask)

    @functools.cached_property
    def ledger(self) -> LedgerReader:
        """The ledger of the delivery.

        Raises:
            CliError: It has none.
        """
        return LedgerReader(self.aws.client("dynamodb"), self.delivery.require_table())

    def command_line(self, command: str) -> str:
        """Return a command to type next, with the options by which this delivery was found."""
        given = {
            "--name": None if self._name == os.environ.get("S3_TO_SFTP_NAME") else self._name,
            "--profile": self.aws.profile,
            "--region": self.aws.region,
            "--endpoint-url": None
            if self.aws.endpoint_url == os.environ.get("AWS_ENDPOINT_URL")
            else self.aws.endpoint_url,
        }
        options = [f"{option} {shlex.quote(value)}" for option, value in given.items() if value]
        return " ".join(["s3-to-sftp", command, *options])

    @functools.cached_property
    def caller(self) -> str:
        """Who is asking: recorded with every change."""
        return self.aws.caller()


def shared_options(command: Command) -> Command:
    """Add the options that all commands share; the command gets a `Context` as its first argument."""

    @functools.wraps(command)
    def with_context(
        *args: Any,
        name: str | None,
        profile: str | None,
        region: str | None,
        endpoint_url: str | None,
        as_json: bool,
        **options: Any,
    ) -> Any:
        aws = Aws(profile=profile, region=region, endpoint_url=endpoint_url)
        return command(Context(aws=aws, output=Output(as_json=as_json), name=name), *args, **options)

    options = (
        click.option(
            "--name",
            "-n",
            type=NOT_EMPTY,
            envvar="S3_TO_SFTP_NAME",
            metavar="NAME",
            help="Function or stack. Not needed where there is only one delivery.",
        ),
        click.option("--profile", type=NOT_EMPTY, metavar="NAME", help="Profile of the AWS configuration."),
        click.option("--region", type=NOT_EMPTY, metavar="NAME", help="AWS region."),
        click.option(
            "--endpoint-url", type=URL, metavar="URL", envvar="AWS_ENDPOINT_URL", help="For a local AWS."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print JSON for programs."),
    )
    decorated: Any = with_context
    for option in reversed(options):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def dry_run_option(command: Command) -> Command:
    """Add `--dry-run`: the command says what it would change, and changes nothing."""
    return click.option(
        "--dry-run",
        is_flag=True,
        is_eager=True,  # known before `--reason` is checked
        help="Say what would change, and change nothing.",
    )(command)


def reason_option(command: Command) -> Command:
    """Add `--reason`, which is recorded, and required unless nothing is changed."""
    return click.option(
        "--reason",
        callback=_reason,
        metavar="TEXT",
        help="Why; recorded in the ledger. Not needed with --dry-run.",
    )(command)


def _reason(ctx: click.Context, param: click.Parameter, value: str | None) -> str:
    if value is not None:
        return value
    if not ctx.params.get("dry_run"):
        raise click.MissingParameter(ctx=ctx, param=param)
    return "dry run"
