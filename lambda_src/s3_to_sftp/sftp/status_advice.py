"""What a refusal means for the object, by its status code.

A status code is not a cause. PERMISSION_DENIED is also what servers say for too many open handles and for a
file that a virus scanner holds for a moment, FAILURE is what they say for anything. So a refusal is retried
as long as its cause may pass. Two codes say something about the name itself that no time changes:
INVALID_FILENAME, and FILE_IS_A_DIRECTORY in the place of the file.

OP_UNSUPPORTED and NOT_A_DIRECTORY are no such evidence: they may be a setting of the whole server, or a file
in the place of the directory that every object goes to. Then the circuit breaker opens, and no object is
dead-lettered until its time is over.
"""

from s3_to_sftp.errors import Disposition
from s3_to_sftp.sftp.protocol import Status

Advice = tuple[str, Disposition]

_PERMANENT = {Status.INVALID_FILENAME, Status.FILE_IS_A_DIRECTORY}

_LOCKED = "Another program holds the file, perhaps a virus scanner. It will be retried."
_NO_DIRECTORY = "Check SSH_DIR; ask the partner whether the directory was removed."

_HINTS: dict[int, str] = {
    Status.NO_SUCH_FILE: _NO_DIRECTORY,
    Status.PERMISSION_DENIED: (
        "Ask the partner for permission to write there, or set another SSH_DIR. It will be retried: servers "
        "say this for too many open files and for a file that is being scanned, too."
    ),
    Status.OP_UNSUPPORTED: "The partner's server cannot do this; ask the partner what it supports.",
    Status.INVALID_HANDLE: "The server has closed the file by itself. It will be retried.",
    Status.NO_SUCH_PATH: _NO_DIRECTORY,
    Status.FILE_ALREADY_EXISTS: "The server does not replace files; ask the partner to allow it.",
    Status.WRITE_PROTECT: "The partner's file system is read-only; ask the partner. It will be retried.",
    Status.NO_MEDIA: "The partner's storage is not mounted; ask the partner. It will be retried.",
    Status.NO_SPACE_ON_FILESYSTEM: "Ask the partner to free disk space. It will be retried.",
    Status.QUOTA_EXCEEDED: "Ask the partner to raise the quota. It will be retried.",
    Status.UNKNOWN_PRINCIPAL: "The server does not know the owner that the file is to get; ask the partner.",
    Status.LOCK_CONFLICT: _LOCKED,
    Status.DIR_NOT_EMPTY: "A directory has the name of the file; ask the partner to remove it.",
    Status.NOT_A_DIRECTORY: (
        "A file has the name of a directory of the remote path. Check SSH_DIR; ask the partner to remove it."
    ),
    Status.INVALID_FILENAME: "The server does not accept this name; give the object another key.",
    Status.LINK_LOOP: "Symbolic links at the partner lead in a circle; ask the partner.",
    Status.CANNOT_DELETE: "The server does not let the old file be deleted or replaced; ask the partner.",
    Status.INVALID_PARAMETER: "The server does not take this request; tell the partner. It will be retried.",
    Status.FILE_IS_A_DIRECTORY: (
        "A directory has the name of the file; ask the partner to remove it, or give the object another key."
    ),
    Status.BYTE_RANGE_LOCK_CONFLICT: _LOCKED,
    Status.BYTE_RANGE_LOCK_REFUSED: _LOCKED,
    Status.DELETE_PENDING: "The old file is being deleted, and a program has it open. It will be retried.",
    Status.FILE_CORRUPT: "The partner's file system is damaged; tell the partner.",
}

_ANY = (
    "Servers answer so when the disk or quota is full or a rule of theirs forbids it; it will be retried. "
    "Ask the partner if it persists."
)


def advice_for(code: int) -> Advice:
    """Return what a person can do about a status, and what to do with the message."""
    disposition = Disposition.PERMANENT if code in _PERMANENT else Disposition.RETRY
    return _HINTS.get(code, _ANY), disposition
