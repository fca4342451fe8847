"""Names that Windows refuses, or uses for another file.

It cuts trailing dots and spaces off, writes to a device where a name is `CON`, and to a hidden stream of
another file behind a colon: the server says OK, and the file is never found.

Source: "Naming Files, Paths, and Namespaces",
https://learn.microsoft.com/windows/win32/fileio/naming-a-file
"""

import re
from collections.abc import Sequence

from s3_to_sftp.errors import RemotePathRefused

# Of OpenSSH's port (`OpenSSH_for_Windows_9.5`), and of servers that there are for Windows only.
_SAYS_SO = re.compile(r"windows|winsshd|ws_ftp|moveit|globalscape|cerberus|completeftp", re.IGNORECASE)

_RESERVED = re.compile(r'[<>:"\\|?*]')
_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE)


def is_windows(identification: str) -> bool:
    """Return whether a server says that it runs on Windows.

    Args:
        identification: Its SSH identification string (RFC 4253, section 4.2).
    """
    return bool(_SAYS_SO.search(identification))


def require_valid_name(path: str, *, directories: Sequence[str]) -> None:
    """Refuse a file name that Windows would not keep as it is.

    Args:
        path: The final name.
        directories: Those that the function is configured to deliver to. They are the partner's, who may well
            write `C:/inbox`.

    Raises:
        RemotePathRefused: With the reason.
    """
    begun = [f"{directory.rstrip('/')}/" for directory in directories]
    within = max((len(start) for start in begun if path.startswith(start)), default=0)
    for name in path[within:].split("/"):
        if problem := _problem_with(name):
            raise RemotePathRefused(
                f"The remote path {path!r} cannot be used: {problem}, and the partner's server says that it "
                "runs on Windows.",
                hint="Put the object again under another key.",
            )


def same_file(path: str) -> str:
    """Return what all paths have in common that are one file: NTFS ignores the case of letters."""
    # By its own table, letter by letter: where the capital is another number of letters, or one of ASCII
    # (of \u0131 and \u017f), the letter stays.
    return "".join(map(_capital, path))


def _capital(letter: str) -> str:
    capital = letter.upper()
    return letter if len(capital) > 1 or (capital.isascii() and not letter.isascii()) else capital


def _problem_with(name: str) -> str:
    if found := _RESERVED.search(name):
        return f"{name!r} holds {found[0]!r}, which no name on Windows can hold"
    if name.endswith((".", " ")):
        return f"Windows cuts the end of {name!r} off"
    stem, _, _ = name.partition(".")
    if _DEVICE.fullmatch(stem.rstrip(" ")):
        return f"{name!r} is a device on Windows"
    return ""
