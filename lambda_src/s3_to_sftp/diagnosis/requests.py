"""A request that the server refuses once SFTP has started: what it means, by request and status.

A status code is not a cause. PERMISSION_DENIED is also what servers say for too many open handles and for a
file that a virus scanner holds for a moment, FAILURE is what they say for anything. So a refusal is retried
as long as its cause may pass. Two codes say something about the name itself that no time changes:
INVALID_FILENAME, and FILE_IS_A_DIRECTORY in the place of the file.

OP_UNSUPPORTED and NOT_A_DIRECTORY are no such evidence: they may be a setting of the whole server, or a file
in the place of the directory that every object goes to. Then the circuit breaker opens, and no object is
dead-lettered until its time is over.
"""

import re

from s3_to_sftp.diagnosis import storage
from s3_to_sftp.diagnosis.cause import Cause
from s3_to_sftp.errors import Disposition, RequestRefused
from s3_to_sftp.sftp_status import Status
from s3_to_sftp.untrusted_text import quoted

_OUR_NAMES = "begin with a dot and end with .part"
_HOW_WE_WRITE = (
    "We write each file under a temporary name in the same directory (.XXXXXXXX-XXXX.part) and rename it "
    "when it is complete."
)

CREATE_REFUSED = Cause(
    name="create-refused",
    sign="PERMISSION_DENIED to the OPEN of the temporary file.",
    summary="{server} does not let this login create files there, or not under temporary names (they "
    f"{_OUR_NAMES}).",
    advice="Ask the partner for permission to write there, also under such names, or set another SSH_DIR. "
    "s3-to-sftp doctor --write finds out which names it takes. It will be retried: servers say this for too "
    "many open files, too.",
    to_partner="Your server {server} does not let our user create files in our directory. "
    f"{_HOW_WE_WRITE} Please allow our user to create and rename files there, also under such names.",
)
CREATE_FAILED = Cause(
    name="create-failed",
    sign="FAILURE, without words that say more, to the OPEN of the temporary file.",
    summary="{server} does not create the temporary file and does not say why.",
    advice="Servers answer so for a full disk or quota, for too many open files, and for names that they do "
    f"not take (temporary ones {_OUR_NAMES}). It will be retried; ask the partner if it persists.",
    to_partner="Your server {server} answers 'failure' when we create a file in our directory. "
    f"{_HOW_WE_WRITE} What does its log say?",
)
TEMPORARY_NAME_REFUSED = Cause(
    name="temporary-name-refused",
    sign="INVALID_FILENAME, or words about names or extensions, to the OPEN of the temporary file.",
    summary=f"{{server}} does not take temporary names: they {_OUR_NAMES}.",
    advice="Ask the partner to allow such names. s3-to-sftp doctor --write finds out which names it takes.",
    to_partner="Your server {server} refuses files whose names begin with a dot or end with .part. "
    f"{_HOW_WE_WRITE} Please allow such names.",
)
DIRECTORY_MISSING = Cause(
    name="directory-missing",
    sign="NO_SUCH_FILE or NO_SUCH_PATH to the OPEN of the temporary file, although directories are made.",
    summary="The directory to write to is missing at {server}.",
    advice="Check SSH_DIR; ask the partner whether the directory was removed. It will be retried.",
    to_partner="Our directory on {server} is missing. Was it moved or removed, and which one shall we use?",
)
MKDIR_REFUSED = Cause(
    name="mkdir-refused",
    sign="An error status to the MKDIR of a directory that is missing.",
    summary="A directory of the remote path is missing at {server}, and this login may not make it.",
    advice="Ask the partner to make the directory or to let our user make directories; check SSH_DIR. It "
    "will be retried.",
    to_partner="A directory that we deliver to is missing on {server}, and our user may not make it. Please "
    "make it, or allow our user to make directories.",
)
REOPEN_REFUSED = Cause(
    name="reopen-refused",
    sign="PERMISSION_DENIED, FAILURE or OP_UNSUPPORTED to a second OPEN of a file of ours.",
    summary="{server} does not let a file that was begun be opened again.",
    advice="The server must allow writing into a file that exists. It will be retried; ask the partner if it "
    "persists.",
    to_partner="Your server {server} does not let us open our own unfinished file again. Large files need "
    "that to be resumed: can you allow it?",
)
WRITE_REFUSED = Cause(
    name="write-refused",
    sign="PERMISSION_DENIED to a WRITE or CLOSE.",
    summary="{server} creates the file and refuses what is written into it.",
    advice="Ask the partner for permission to write, and whether a scanner or a limit for the size of files "
    "interferes. It will be retried.",
    to_partner="Your server {server} lets us create a file and then denies writing into it. Does a scanner "
    "or a limit for the size of files interfere?",
)
WRITE_FAILED = Cause(
    name="write-failed",
    sign="FAILURE, without words that say more, to a WRITE or CLOSE.",
    summary="{server} does not take the whole file and does not say why: most often the disk or the quota is "
    "full.",
    advice="Ask the partner about free disk space, the quota and a limit for the size of files. It will be "
    "retried.",
    to_partner="Your server {server} answers 'failure' in the middle of a file. Is the disk or our quota "
    "full, or is there a limit for the size of files?",
)
RENAME_REFUSED = Cause(
    name="rename-refused",
    sign="PERMISSION_DENIED or OP_UNSUPPORTED to the RENAME of the complete file.",
    summary="{server} lets this login create files but not rename them to their final names.",
    advice="Ask the partner for the permission to rename files there, and to replace one of the same name. "
    "It will be retried: servers say this for a file that is being scanned, too.",
    to_partner="Your server {server} lets our user create files but not rename them. "
    f"{_HOW_WE_WRITE} Please allow our user to rename, and to replace a file of the same name.",
)
RENAME_FAILED = Cause(
    name="rename-failed",
    sign="FAILURE, without words that say more, to the RENAME, and no file has the final name.",
    summary="{server} does not give the complete file its final name and does not say why.",
    advice="A missing permission to rename, a rule for names or a virus scanner may be why. It will be "
    "retried; ask the partner if it persists.",
    to_partner="Your server {server} answers 'failure' when we rename a complete file to its final name. "
    f"{_HOW_WE_WRITE} What does its log say?",
)
OVERWRITE_REFUSED = Cause(
    name="overwrite-refused",
    sign="FAILURE, FILE_ALREADY_EXISTS or CANNOT_DELETE to the RENAME, and a file has the final name.",
    summary="{server} does not replace a file that is there.",
    advice="Ask the partner to allow our user to replace or move its files, or to take old files away. It "
    "will be retried.",
    to_partner="Your server {server} does not let us replace a file of the same name. Please allow our user "
    "to overwrite and rename files there, or take delivered files away.",
)
TEMPORARY_REMOVED = Cause(
    name="temporary-file-removed",
    sign="NO_SUCH_FILE to the RENAME or the second OPEN of a file that was written before.",
    summary="The temporary file is gone from {server}: something removes or moves it before it is complete.",
    advice="Ask the partner to exclude hidden files and *.part from what collects or cleans up files there. "
    "It will be retried.",
    to_partner="On {server} our temporary files disappear before we rename them. "
    f"{_HOW_WE_WRITE} Please exclude '.*.part' from whatever collects or cleans up files.",
)
REMOVE_REFUSED = Cause(
    name="remove-refused",
    sign="PERMISSION_DENIED, OP_UNSUPPORTED or CANNOT_DELETE to a REMOVE.",
    summary="{server} does not let this login remove its own files.",
    advice="Ask the partner for the permission to remove files there. It will be retried.",
    to_partner="Your server {server} does not let our user remove its own unfinished files. Please allow it.",
)
NAME_REFUSED = Cause(
    name="name-refused",
    sign="INVALID_FILENAME, but not for a temporary file.",
    summary="{server} does not accept this name.",
    advice="Give the object another key.",
)
DIRECTORY_IN_THE_WAY = Cause(
    name="directory-in-the-way",
    sign="FILE_IS_A_DIRECTORY or DIR_NOT_EMPTY; or FAILURE to the RENAME, and a directory has the name.",
    summary="A directory at {server}, or something else that is no regular file, has the name of the file.",
    advice="Ask the partner to remove it, or give the object another key.",
    to_partner="On {server} a directory has the name of a file that we deliver. Please move it away.",
)
FILE_IN_THE_WAY = Cause(
    name="file-in-the-way",
    sign="NOT_A_DIRECTORY.",
    summary="A file at {server} has the name of a directory of the remote path.",
    advice="Check SSH_DIR; ask the partner to remove the file. It will be retried.",
    to_partner="On {server} a file has the name of a directory that we deliver to. Please move it away.",
)
UNSUPPORTED = Cause(
    name="request-unsupported",
    sign="OP_UNSUPPORTED, INVALID_PARAMETER or BAD_MESSAGE.",
    summary="{server} does not understand a request that is part of SFTP version 3.",
    advice="Ask the partner what its server supports. It will be retried.",
    to_partner="Your server {server} does not understand a request of SFTP version 3. What does it support?",
)

_PERMANENT = {Status.INVALID_FILENAME, Status.FILE_IS_A_DIRECTORY}

_BY_STATUS: dict[int, Cause] = {
    **{int(code): cause for code, cause in storage.BY_STATUS.items()},
    Status.BAD_MESSAGE: UNSUPPORTED,
    Status.OP_UNSUPPORTED: UNSUPPORTED,
    Status.FILE_ALREADY_EXISTS: OVERWRITE_REFUSED,
    Status.DIR_NOT_EMPTY: DIRECTORY_IN_THE_WAY,
    Status.NOT_A_DIRECTORY: FILE_IN_THE_WAY,
    Status.INVALID_FILENAME: NAME_REFUSED,
    Status.CANNOT_DELETE: OVERWRITE_REFUSED,
    Status.INVALID_PARAMETER: UNSUPPORTED,
    Status.FILE_IS_A_DIRECTORY: DIRECTORY_IN_THE_WAY,
}
"""What a status means, whatever was asked for."""

_MISSING = (Status.NO_SUCH_FILE, Status.NO_SUCH_PATH)
_FORBIDDEN = (Status.PERMISSION_DENIED, Status.OP_UNSUPPORTED)

_BY_REQUEST: dict[tuple[str, int], Cause] = {
    ("create", Status.PERMISSION_DENIED): CREATE_REFUSED,
    ("create", Status.FAILURE): CREATE_FAILED,
    ("create", Status.INVALID_FILENAME): TEMPORARY_NAME_REFUSED,
    **{("create", code): DIRECTORY_MISSING for code in _MISSING},
    **{("mkdir", code): MKDIR_REFUSED for code in (*_MISSING, *_FORBIDDEN, Status.FAILURE)},
    ("mkdir", Status.FILE_ALREADY_EXISTS): MKDIR_REFUSED,
    **{("open", code): TEMPORARY_REMOVED for code in _MISSING},
    **{("open", code): REOPEN_REFUSED for code in (*_FORBIDDEN, Status.FAILURE)},
    **{(request, code): TEMPORARY_REMOVED for request in ("write", "close") for code in _MISSING},
    **{(request, Status.PERMISSION_DENIED): WRITE_REFUSED for request in ("write", "close")},
    **{(request, Status.FAILURE): WRITE_FAILED for request in ("write", "close")},
    **{("rename", code): TEMPORARY_REMOVED for code in _MISSING},
    **{("rename", code): RENAME_REFUSED for code in _FORBIDDEN},
    ("rename", Status.FAILURE): RENAME_FAILED,
    **{("remove", code): REMOVE_REFUSED for code in (*_FORBIDDEN, Status.CANNOT_DELETE)},
}
"""What a status means in the answer to one kind of request; in front of `_BY_STATUS`."""

_ANY = (
    "Servers answer so when the disk or quota is full or a rule of theirs forbids it; it will be retried. "
    "Ask the partner if it persists."
)
_ASSUMED = {"", RENAME_FAILED.name, CREATE_FAILED.name, UNSUPPORTED.name}
"""Causes that say little: more evidence is better."""

# Compiled when they are needed: a cold start does not use them.
_SAYS_DENIED = r"(?i)(?:permission|access)(?: is)? denied|EACCES|EPERM|not permitted"
_SAYS_EXISTS = r"(?i)(?:file|target|already) exists|EEXIST"
_ABOUT_NAMES = (
    r"(?i)(?:name|extension|file ?type)s?\b.{0,40}\b(?:not|in)(?: be)? ?(?:allowed|valid|permitted|accepted)"
    r"|(?:invalid|illegal|forbidden|disallowed) (?:file ?)?(?:name|extension|file ?type)"
)


def refused(*, server: str, request: str, doing: str, code: int, words: str) -> RequestRefused:
    """Return the error for a request that was answered with an error status.

    Args:
        server: Its name in errors.
        request: `create`, `open`, `write`, `close`, `rename`, `remove`, `mkdir`, `stat`, ...
        doing: What was asked for, in errors.
        code: The status.
        words: The server's, from its answer.
    """
    cause = cause_of(request, code, words)
    name = Status(code).name if code in set(Status) else "unknown"
    said = f", it says {quoted(words)!r}" if words else ""
    seen = f"{'The server' if cause else server} refused to {doing}: status {code} {name}{said}."
    error = RequestRefused(
        cause.reason(seen, server=server) if cause else seen,
        hint=cause.advice if cause else _ANY,
        code=code,
        disposition=Disposition.PERMANENT if code in _PERMANENT else Disposition.RETRY,
        request=request,
    )
    error.answer = seen if cause else ""
    return cause.explain(error, server=server) if cause else error


def with_cause(error: RequestRefused, cause: Cause, *, server: str) -> RequestRefused:
    """Return the error of a refusal, with a cause that more is known of than request and status.

    What the server's own words say stays.
    """
    if error.cause not in _ASSUMED:
        return error
    better = RequestRefused(
        cause.reason(error.answer or error.reason, server=server),
        hint=cause.advice,
        code=error.code,
        disposition=error.disposition,
        request=error.request,
    )
    better.answer = error.answer
    return cause.explain(better, server=server)


def cause_of(request: str, code: int, words: str) -> Cause | None:
    """Return what a refusal means; None: that is not known."""
    vague = code in {Status.FAILURE, Status.PERMISSION_DENIED} or code not in set(Status)
    if vague and (cause := storage.cause_of_words(words)):
        return cause
    if vague and request == "create" and re.search(_ABOUT_NAMES, words):
        return TEMPORARY_NAME_REFUSED
    if code == Status.FAILURE and request == "rename" and re.search(_SAYS_EXISTS, words):
        return OVERWRITE_REFUSED
    if code == Status.FAILURE and re.search(_SAYS_DENIED, words):
        code = Status.PERMISSION_DENIED
    return _BY_REQUEST.get((request, code)) or _BY_STATUS.get(code)
