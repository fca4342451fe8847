"""A login that works, and SFTP that does not start."""

import re

from s3_to_sftp.diagnosis.cause import Cause
from s3_to_sftp.untrusted_text import decoded

_STARTS_NOT = "{server} accepted the login but does not start SFTP"

NO_SUBSYSTEM = Cause(
    name="no-sftp-subsystem",
    sign="CHANNEL_FAILURE to the request for the subsystem.",
    summary=_STARTS_NOT + ": SFTP is off for this user.",
    advice="Ask the partner to enable SFTP for this user (sshd: Subsystem sftp).",
    to_partner="Your server {server} accepts our login but refuses the sftp subsystem. Please enable SFTP "
    "for our user.",
)
PROGRAM_MISSING = Cause(
    name="sftp-program-missing",
    sign="Exit status 127.",
    summary=_STARTS_NOT + ": the program that it starts for SFTP is missing.",
    advice="Ask the partner to correct the path in their configuration (sshd: Subsystem sftp).",
    to_partner="Your server {server} starts a program for SFTP that does not exist (exit status 127). Please "
    "check the path of `Subsystem sftp`.",
)
NO_SHELL = Cause(
    name="account-without-sftp",
    sign="`This account is currently not available`, exit status 1: nologin or false as the shell.",
    summary=_STARTS_NOT + ": the account may not log in (its shell is nologin or false).",
    advice="Ask the partner to allow SFTP for this account (sshd: ForceCommand internal-sftp).",
    to_partner="Your server {server} accepts our login and then says that the account is not available. "
    "Please allow SFTP for it (sshd: ForceCommand internal-sftp).",
)
SHELL_TALKS = Cause(
    name="shell-greets",
    sign="Text where the first SFTP packet should be: its first four bytes look like a huge message.",
    summary=_STARTS_NOT + ": its login script prints text into the connection.",
    advice="Ask the partner to print nothing in non-interactive logins (.bashrc, /etc/profile), or to use "
    "internal-sftp.",
    to_partner="A login script of our account on {server} prints text into the SFTP connection. Please "
    "silence it for non-interactive logins, or use `internal-sftp`.",
)
CHROOT = Cause(
    name="chroot-broken",
    sign="Exit status 255, or the connection ends, right after the login: sshd refuses its ChrootDirectory.",
    summary=_STARTS_NOT + ": its root directory (chroot) is missing or has the wrong owner.",
    advice="Ask the partner to check the ChrootDirectory: each part of its path must belong to root and be "
    "writable by nobody else (mode 755).",
    to_partner="Your server {server} ends the session right after our login (exit status 255). sshd does "
    "that when the ChrootDirectory is missing, not owned by root or writable by others: please check.",
)
SESSION_REFUSED = Cause(
    name="session-refused",
    sign="CHANNEL_OPEN_FAILURE.",
    summary=_STARTS_NOT + ": it opens no session, because there are too many, or none is allowed.",
    advice="Lower max_connections; ask the partner how many sessions the user may have (sshd: MaxSessions).",
    to_partner="Your server {server} accepts our login and refuses to open a session. How many may our user "
    "have (sshd: MaxSessions)?",
)
CLOSED = Cause(
    name="sftp-ends-at-once",
    sign="The session ends before the first SFTP packet.",
    summary=_STARTS_NOT + ": it ends the session at once.",
    advice="Ask the partner whether SFTP is enabled for this user, whether the home directory exists, and "
    "how many sessions there may be. It will be retried.",
    to_partner="Your server {server} accepts our login and ends the session at once. Is SFTP enabled for our "
    "user, and does its home directory exist?",
)
SILENT = Cause(
    name="sftp-silent",
    sign="The session is open, and no SFTP packet comes.",
    summary=_STARTS_NOT + ": it says nothing.",
    advice="Ask the partner whether the server hangs. A login script that waits for input does this, too. It "
    "will be retried.",
    to_partner="Your server {server} opens the SFTP session and sends nothing. Does a login script wait for "
    "input?",
)
NOT_SFTP = Cause(
    name="not-sftp",
    sign="Bytes that are no SFTP packet.",
    summary=_STARTS_NOT + ": it answers with something else.",
    advice="Ask the partner what runs for this user in place of SFTP. It will be retried.",
    to_partner="Your server {server} answers our SFTP session with something that is not SFTP. What does it "
    "run for our user?",
)

_NO_SHELL = re.compile(
    r"account is (?:currently )?not available|nologin|shell (?:access|login)|no shell|only sftp",
    re.IGNORECASE,
)
_MISSING = re.compile(r"no such file|not found", re.IGNORECASE)
EXIT_NOT_FOUND, EXIT_CHROOT = 127, 255
_SHORTEST_TEXT = 4


def cause_of_start(
    *,
    said: bytes,
    exit_status: int | None,
    channel_data: bytes,
    refused: bool,
    silent: bool,
    malformed: bool = False,
) -> Cause:
    """Return why SFTP did not start.

    Args:
        said: On stderr.
        exit_status: Of the server's program; None: not told.
        channel_data: What came in place of the first SFTP packet, as far as it is known.
        refused: Whether the server has refused the subsystem.
        silent: Whether it sent nothing in time.
        malformed: Whether it sent a packet that SFTP does not begin with.
    """
    words = decoded(said + b" " + channel_data)
    # Before the words: login scripts make noise on stderr.
    if exit_status == EXIT_NOT_FOUND:
        return PROGRAM_MISSING
    if exit_status == EXIT_CHROOT and not (channel_data or malformed or refused):
        return CHROOT
    if _NO_SHELL.search(words):
        return NO_SHELL
    if exit_status and exit_status != EXIT_CHROOT and _MISSING.search(words):
        return PROGRAM_MISSING
    if looks_like_text(channel_data):
        return SHELL_TALKS
    if channel_data or malformed:
        return NOT_SFTP
    if refused:
        return NO_SUBSYSTEM
    if exit_status == 1:
        return NO_SHELL
    return SILENT if silent else CLOSED


def looks_like_text(data: bytes) -> bool:
    """Return whether bytes begin with text. An SFTP packet, which may follow, begins with a 0."""
    text = data.partition(b"\0")[0]
    return len(text) >= _SHORTEST_TEXT and all(byte >= 0x20 or byte in b"\r\n\t\x1b" for byte in text)
