"""Questions to the person at the terminal."""

import sys

import click

from s3_to_sftp_cli.context import Context
from s3_to_sftp_cli.errors import CliError, ExitCode


def confirm(context: Context, question: str) -> None:
    """Ask, and go on only after a yes.

    Raises:
        CliError: There is no terminal, or the output is JSON.
        click.Abort: The answer is no.
    """
    is_terminal = sys.stdin.isatty() and sys.stderr.isatty()
    if context.output.as_json or not is_terminal:
        why = "with --json" if is_terminal else "since this is not a terminal"
        raise CliError(f"Cannot ask for a confirmation {why}.", hint="Add --yes.", code=ExitCode.USAGE)
    click.confirm(question, abort=True, err=True)
