"""Questions to the person at the terminal."""

import sys

import click

from s3_to_sftp_cli.context import Context
from s3_to_sftp_cli.errors import CliError, ExitCode


def confirm(context: Context, question: str) -> None:
    """Ask, and go on only after a yes.

    Raises:
        CliError: Nobody can be asked.
        click.Abort: The answer is no.
    """
    if context.output.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise CliError("Nobody can be asked here.", hint="Add --yes.", code=ExitCode.USAGE)
    click.confirm(question, abort=True, err=True)
