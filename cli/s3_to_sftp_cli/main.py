"""`s3-to-sftp`: the commands, and what becomes of errors."""

import errno
import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp_cli.aws import explained
from s3_to_sftp_cli.errors import DONE_STAYS_DONE, CliError, ExitCode, Interrupted
from s3_to_sftp_cli.layout import labelled
from s3_to_sftp_cli.output import VERSION, Output
from s3_to_sftp_cli.streams import prepare

_NAME = "s3-to-sftp"

_LONGEST_OPTION = 30
"""Characters that are repeated of what is no option."""

_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a write is answered with that nothing in the command has caused."""

_COMMANDS = {
    "status": "status",
    "watch": "status",
    "list": "list",
    "plan": "plan",
    "receipts": "receipts",
    "report": "report",
    "logs": "logs",
    "resend": "resend",
    "retry": "resend",
    "cancel": "settle",
    "confirm": "settle",
    "redrive": "redrive",
    "sequence": "sequence",
    "pause": "pause",
    "resume": "pause",
    "backfill": "backfill",
    "trust-host-key": "trust_host_key",
    "doctor": "doctor",
    "selftest": "selftest",
    "addresses": "addresses",
    "algorithms": "algorithms",
    "key": "key",
}
"""Each command, and the module below `commands` that has it as `<name>_command`; in the order of --help."""

COMMANDS = {
    name: module
    for name, module in _COMMANDS.items()
    if importlib.util.find_spec(f"s3_to_sftp_cli.commands.{module}")
}


class _Commands(click.Group):
    """Loads the module of a command when it is called: `--help` and completion need no other."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Return the names, without loading a module."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load a command; None: there is none of this name."""
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        loaded = importlib.import_module(f"s3_to_sftp_cli.commands.{module}")
        command: click.Command = getattr(loaded, f"{cmd_name.replace('-', '_')}_command")
        return command


@click.command(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80}
)
@click.version_option(importlib.metadata.version("cdk-s3-to-sftp"), prog_name=_NAME)
def cli() -> None:
    """Operate deliveries from S3 to SFTP servers.

    Needs AWS credentials, and the name of a function or stack where there are several (--name).
    Start with `s3-to-sftp status`.
    """


def main(arguments: Sequence[str] | None = None, *, interrupted: bool = False) -> None:
    """Run the command, and exit with its code. Errors are one line and a hint, on stderr.

    Args:
        arguments: None: those of the process.
        interrupted: Ctrl-C was pressed before anything could be done.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        prepare()
    except CliError as error:
        sys.exit(int(_tell(error, as_json=False)))
    try:
        code = _interrupted(as_json=_wants_json(given)) if interrupted else _run(given)
        sys.stdout.flush()
    except BrokenPipeError:
        # What reads us has seen enough.
        _discard_output()
        code = ExitCode.FAILED  # as click does where the output is long
    except OSError as error:
        if error.errno not in _NOT_WRITTEN:
            raise
        _discard_output()
        told = CliError(
            f"The output could not be written: {error.strerror}.",
            hint="Free some space, or send it elsewhere. What was done before stays done.",
        )
        code = _tell(told, as_json=False)
    sys.exit(int(code or 0))


def _run(given: Sequence[str]) -> int | None:
    as_json = _wants_json(given)
    try:
        _require_text(given)
        code: int | None = cli.main(args=list(given), prog_name=_NAME, standalone_mode=False)
    except Interrupted as error:  # what was done is printed
        return _interrupted(as_json=False, hint=error.hint)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _interrupted(as_json=as_json)
    except click.ClickException as error:
        return _refused(error, as_json=as_json)
    except (CliError, ClientError, BotoCoreError) as error:
        return _tell(explained(error), as_json=as_json)
    except OSError as error:
        if error.filename is None or error.errno in _NOT_WRITTEN:
            raise
        unusable = CliError(
            f"{error.filename} cannot be used: {error.strerror}.",
            hint="Name another file or folder. What was done before stays done.",
        )
        return _tell(unusable, as_json=as_json)
    return code


def _require_text(given: Sequence[str]) -> None:
    """Refuse arguments that are not UTF-8, as keys, texts and names are: they cannot be sent.

    Raises:
        UsageError: One is not.
    """
    for argument in given:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"An argument is not UTF-8: {argument!a}") from None


def _discard_output() -> None:
    # Python would complain when it flushes stdout at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _wants_json(given: Sequence[str]) -> bool:
    """Return whether `--json` is among the options; after `--` everything is an argument."""
    options = given[: given.index("--")] if "--" in given else given
    return "--json" in options


def _interrupted(*, as_json: bool, hint: str = DONE_STAYS_DONE) -> ExitCode:
    message = "interrupted"
    if as_json:
        _print_error(ExitCode.INTERRUPTED, f"{message.capitalize()}.", f"{hint.capitalize()}.")
    click.echo(f"{message}: {hint}", err=True)
    return ExitCode.INTERRUPTED


def _refused(error: click.ClickException, *, as_json: bool) -> ExitCode:
    """Tell what click has found wrong with the command line."""
    code = ExitCode.USAGE if error.exit_code == ExitCode.USAGE else ExitCode.FAILED
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"`{context.command_path if context else _NAME} --help` shows what it takes."
    has_key = context is not None and any(each.name == "key" for each in _arguments(context))
    dash = ""
    if isinstance(error, click.NoSuchOption):
        error = _shortened(error)
    if isinstance(error, click.NoSuchOption) and has_key:
        dash = "If it is a key, with a leading dash, write `-- -KEY`."
    if as_json:
        _print_error(code, error.format_message(), f"{dash} {hint}".strip())
    error.show()  # names --help, too
    if dash:
        click.echo(dash, err=True)
    return code


def _shortened(error: click.NoSuchOption) -> click.NoSuchOption:
    """Leave the beginning: a private key that was pasted begins with dashes, too, and is not repeated."""
    name = error.option_name
    if len(name) <= _LONGEST_OPTION:
        return error
    return click.NoSuchOption(name, f"No such option {name[:_LONGEST_OPTION]!r}...", ctx=error.ctx)


def _arguments(context: click.Context) -> list[click.Argument]:
    return [each for each in context.command.params if isinstance(each, click.Argument)]


def _print_error(code: ExitCode, message: str, hint: str) -> None:
    document: dict[str, Any] = {
        "version": VERSION,
        "error": {"code": code.name, "message": message, "hint": hint},
    }
    Output(as_json=True).line(document)


def _tell(error: CliError, *, as_json: bool) -> ExitCode:
    if as_json:
        _print_error(error.code, error.message, error.hint)
    for label, text in (("error:", error.message), ("", error.hint)):
        click.echo(_for_people(label, text), err=True)
    return error.code


def _for_people(label: str, text: str) -> str:
    """Return a message; in a terminal in lines that it does not break within a word."""
    if not sys.stderr.isatty():
        return f"{label:<7}{text}"
    width = shutil.get_terminal_size().columns
    return labelled(label, text.splitlines(), width=width, gap=width, label_width=7).plain
