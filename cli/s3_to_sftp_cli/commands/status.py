"""`s3-to-sftp status` and `watch`: what is going on, and which command to type next."""

import sys
import time

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from s3_to_sftp_cli.context import Context, shared_options
from s3_to_sftp_cli.errors import ExitCode
from s3_to_sftp_cli.option_types import Finite
from s3_to_sftp_cli.status import Status, as_json
from s3_to_sftp_cli.status_advice import advice, needs_attention, unreadable
from s3_to_sftp_cli.status_reader import StatusReader
from s3_to_sftp_cli.status_text import status_lines
from s3_to_sftp_cli.times import local_now

_LONGEST_INTERVAL = 86_400
"""Seconds."""


@click.command("status")
@shared_options
def status_command(context: Context) -> int:
    """Show what is going on, and which command to type next.

    Exit code 3: something needs a person. 1 or 5: what would show that could not be read.
    """
    status = _reader(context).read(local_now())
    _print(context, "status", status)
    return _exit_code(status)


@click.command("watch")
@click.option(
    "--interval",
    type=Finite(min=1, max=_LONGEST_INTERVAL),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks.",
)
@shared_options
def watch_command(context: Context, interval: float) -> int:
    """Keep the status on the screen, until Ctrl-C.

    Where the output is no terminal, one block is printed per interval.
    """
    reader = _reader(context)
    try:
        if context.output.as_json or not context.output.console.is_terminal:
            _print_repeatedly(context, reader, interval)
        else:
            _keep_on_screen(context, reader, interval)
    except KeyboardInterrupt:
        return ExitCode.OK  # the usual way to end it; the last status stays on the screen
    return ExitCode.OK


def _exit_code(status: Status) -> ExitCode:
    if needs_attention(status):
        return ExitCode.ATTENTION
    missing = unreadable(status)
    if not missing:
        return ExitCode.OK
    return ExitCode.DENIED if any(part.action for part in missing) else ExitCode.FAILED


def _reader(context: Context) -> StatusReader:
    return StatusReader(context.aws, context.delivery, context.ledger)


def _print_repeatedly(context: Context, reader: StatusReader, interval: float) -> None:
    while True:
        status = reader.read(local_now())
        _print(context, "watch", status)
        if not context.output.as_json:
            context.output.console.print()
        sys.stdout.flush()
        _wait(interval)


def _keep_on_screen(context: Context, reader: StatusReader, interval: float) -> None:
    console = context.output.console
    with Live(console=console, auto_refresh=False) as live:
        while True:
            status = reader.read(local_now())
            lines = status_lines(status, width=console.width, advice=_advice(context, status))
            seen_at = f"{status.at:%H:%M:%S}   every {interval:g} s, Ctrl-C ends it"
            live.update(Group(*lines, Text(), Text(seen_at)), refresh=True)
            _wait(interval)


def _print(context: Context, command: str, status: Status) -> None:
    given = _advice(context, status)

    def show(console: Console) -> None:
        for line in status_lines(status, width=console.width, advice=given):
            console.print(line)

    document = as_json(status, needs_attention=needs_attention(status), advice=given)
    context.output.result(command, document, show)


def _advice(context: Context, status: Status) -> list[tuple[str, str]]:
    return [(why, context.command_line(command) if command else "") for why, command in advice(status)]


def _wait(seconds: float) -> None:
    time.sleep(seconds)
