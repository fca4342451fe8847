"""What `resend`, `retry`, `cancel` and `confirm` are given: which object, and who says so."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from s3_to_sftp_cli.context import Context
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.operator_messages import Request, new_id
from s3_to_sftp_cli.option_types import NOT_EMPTY

Command = TypeVar("Command", bound=Callable[..., Any])

_MAX_TEXT_BYTES = 1000
"""The function keeps so much of a reason."""


def bucket_option(command: Command) -> Command:
    """Add `--bucket`, needed where the delivery watches several and the key is in more than one."""
    return click.option(
        "--bucket", type=NOT_EMPTY, metavar="NAME", help="Where the key is in several buckets."
    )(command)


def version_option(command: Command) -> Command:
    """Add `--version`: one of an object's versions; by default the one that was seen last."""
    return click.option(
        "--version",
        type=NOT_EMPTY,
        metavar="ID",
        help="VersionId, or ETag where there are no versions. Default: the latest.",
    )(command)


def operator_request(context: Context, action: str, *, reason: str, id_: str | None = None) -> Request:
    """Return what messages and the ledger say of this command.

    Raises:
        CliError: A text is too long, or a reason is missing.
    """
    if action != "retry" and not reason.strip():
        raise CliError("The reason is empty.", hint="Say why with --reason.", code=ExitCode.USAGE)
    for name, text in (("--reason", reason), ("--id", id_ or "")):
        if len(text.encode()) > _MAX_TEXT_BYTES:
            raise CliError(
                f"{name} has {len(text.encode())} bytes; at most {_MAX_TEXT_BYTES} are kept.",
                hint="Shorten it.",
                code=ExitCode.USAGE,
            )
    return Request(action=action, id=id_ or new_id(action), who=context.caller, at=time.time(), reason=reason)
