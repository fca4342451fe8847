"""Files that the command writes, checked before it works for minutes or uses up a login."""

import os
from pathlib import Path

from s3_to_sftp_cli.errors import CliError, ExitCode


def require_writable(path: Path, option: str, *, force: bool | None = None) -> None:
    """Require that a file can be written.

    Asks the operating system once, by `lstat`: `Path.exists` and `Path.is_dir` raise what it answers on some
    Pythons, and hide it on others (since 3.14:
    https://docs.python.org/3/library/pathlib.html#querying-file-type-and-status).

    Args:
        path: The file. Its folder must be there.
        option: The one that names it, for the hint.
        force: Whether a file that is there is replaced; None: never.

    Raises:
        CliError: It cannot be written, or it is there.
    """
    another = f"Name another file with {option}."
    try:
        path.lstat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise CliError(
                f"The folder {path.parent} does not exist.", hint=another, code=ExitCode.USAGE
            ) from None
    except OSError as error:  # too long, no folder, no permission to look into it
        raise CliError(
            f"{path} cannot be written: {error.strerror}.", hint=another, code=ExitCode.USAGE
        ) from None
    else:
        if not force:
            hint = another if force is None else f"Name another file with {option}, or add --force."
            raise CliError(f"{path} exists.", hint=hint, code=ExitCode.CONFLICT)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise CliError(f"The folder {path.parent} may not be written to.", hint=another, code=ExitCode.USAGE)
