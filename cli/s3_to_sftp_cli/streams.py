"""stdin, stdout and stderr as they are given: closed, or in an encoding that lacks characters."""

import codecs
import io
import os
import sys
from pathlib import Path

from s3_to_sftp_cli.errors import CliError

_PLAIN = {"→": "->", "✓": "+", "✗": "x", "–": "-", "✉": "@", "≤": "<="}  # noqa: RUF001 - a dash is what is meant
"""Signs of ours, and what stands for them where they cannot be written."""

_HANDLER = "s3_to_sftp_cli.plain"


def prepare() -> None:
    """Let every stream be there, and take every character.

    Raises:
        CliError: stdout is closed, so nothing that the command finds out or does could be reported.
    """
    codecs.register_error(_HANDLER, _plain)
    sys.stdin = sys.stdin or Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - as long as the process
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        raise CliError(
            "The output could not be written: it is closed.",
            hint="Send it somewhere, such as to /dev/null. Nothing was done.",
        )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not takes_all(stream.encoding):
            stream.reconfigure(errors=_HANDLER)


def takes_all(encoding: str | None) -> bool:
    """Return whether every character can be written in an encoding; None: nothing is encoded."""
    return encoding is None or codecs.lookup(encoding).name.startswith("utf")


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Return our signs in ASCII, and other characters as Python escapes them: nothing is left out."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    written = (_PLAIN.get(each) or each.encode("ascii", "backslashreplace").decode() for each in letters)
    return "".join(written), error.end
