"""Errors for people, and the exit codes that scripts can rely on."""

from enum import IntEnum

import click


class ExitCode(IntEnum):
    """What the exit code of the command means. Documented in docs/reference/cli.md; never renumbered."""

    OK = 0
    FAILED = 1
    USAGE = 2
    """The command line is wrong. click uses the same code."""
    ATTENTION = 3
    """`status`: something needs a person."""
    NOT_FOUND = 4
    """There is no such stack, function, object or message."""
    DENIED = 5
    """The credentials are missing, have expired, or lack a permission."""
    CONFLICT = 6
    """The state of the delivery or of the object does not allow it."""
    INTERRUPTED = 130
    """Ctrl-C, as shells report it."""


DONE_STAYS_DONE = "what was finished stays finished; the command can be repeated"
"""What is said after Ctrl-C where the command has nothing better to say."""


class CliError(Exception):
    """What is wrong, and what to do next.

    Attributes:
        message: What is wrong, and what was received.
        hint: What to do next.
        code: The exit code.
    """

    def __init__(self, message: str, *, hint: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(f"{message} {hint}")
        self.message = message
        self.hint = hint
        self.code = code


class Interrupted(click.Abort):
    """Ctrl-C, after the command has printed what was done until then.

    Attributes:
        hint: How to continue.
    """

    def __init__(self, hint: str = DONE_STAYS_DONE) -> None:
        super().__init__(hint)
        self.hint = hint
