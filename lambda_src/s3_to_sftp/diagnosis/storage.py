"""The partner's storage: full, offline, locked. What servers say of it is the same for each request."""

import re

from s3_to_sftp.diagnosis.cause import Cause
from s3_to_sftp.sftp_status import Status

DISK_FULL = Cause(
    name="disk-full",
    sign="Status 14 NO_SPACE_ON_FILESYSTEM, or a refusal with words such as `No space left on device`.",
    summary="The disk of {server} is full.",
    advice="Ask the partner to free disk space. It will be retried.",
    to_partner="Your server {server} says that its disk is full. Please free space; we send the files again.",
)
QUOTA = Cause(
    name="quota-exceeded",
    sign="Status 15 QUOTA_EXCEEDED, or a refusal with the word `quota`.",
    summary="The quota of this login at {server} is used up.",
    advice="Ask the partner to raise the quota, or to remove old files. It will be retried.",
    to_partner="Your server {server} says that our quota is used up. Please raise it, or remove old files.",
)
TOO_MANY_OPEN_FILES = Cause(
    name="too-many-open-files",
    sign="A refused OPEN with words such as `Too many open files`; often only while others are open.",
    summary="{server} opens no more files at a time.",
    advice="Ask the partner how many files may be open at a time; lower SSH_MAX_CONNECTIONS. It will be "
    "retried: fewer files are sent at a time to a server that refuses them beside others.",
    to_partner="Your server {server} says that too many files are open. How many may we open at a time?",
)
READ_ONLY = Cause(
    name="read-only",
    sign="Status 12 WRITE_PROTECT, or a refusal with the words `Read-only file system`.",
    summary="The file system of {server} is read-only.",
    advice="Ask the partner to make it writable. It will be retried.",
    to_partner="Your server {server} says that its file system is read-only. Please make it writable.",
)
OFFLINE = Cause(
    name="storage-offline",
    sign="Status 6 NO_CONNECTION, 7 CONNECTION_LOST or 13 NO_MEDIA.",
    summary="The storage behind {server} is not there.",
    advice="Ask the partner whether its storage is mounted. It will be retried.",
    to_partner="Your server {server} says that the storage behind it is missing. Is it mounted?",
)
CORRUPT = Cause(
    name="storage-corrupt",
    sign="Status 28 FILE_CORRUPT.",
    summary="The file system of {server} is damaged.",
    advice="Tell the partner. It will be retried.",
    to_partner="Your server {server} says that its file system is corrupt. Please check it.",
)
LOCKED = Cause(
    name="file-locked",
    sign="Status 17, 25 or 26, or a refusal with words such as `used by another process`.",
    summary="Another program at {server} holds the file, perhaps a virus scanner.",
    advice="It will be retried. If it persists, ask the partner which program that is.",
    to_partner="A program on your server {server} holds our files while we write or rename them. Which one?",
)
DELETE_PENDING = Cause(
    name="delete-pending",
    sign="Status 27 DELETE_PENDING.",
    summary="The old file at {server} is being deleted, and a program has it open.",
    advice="It will be retried. If it persists, ask the partner which program that is.",
    to_partner="A program on your server {server} holds a file open that is being deleted. Which one is it?",
)
HANDLE_CLOSED = Cause(
    name="handle-closed",
    sign="Status 9 INVALID_HANDLE.",
    summary="{server} has closed the file by itself.",
    advice="It will be retried. If it persists, ask the partner for a time limit of open files.",
    to_partner="Your server {server} closes our file while we write it. Is there a time limit?",
)
OWNER_UNKNOWN = Cause(
    name="owner-unknown",
    sign="Status 16 UNKNOWN_PRINCIPAL, 29 OWNER_INVALID or 30 GROUP_INVALID.",
    summary="{server} does not know the owner that the file is to get.",
    advice="Ask the partner to correct the account. It will be retried.",
    to_partner="Your server {server} does not know the owner or group that our files are to get.",
)
LINK_LOOP = Cause(
    name="link-loop",
    sign="Status 21 LINK_LOOP.",
    summary="Symbolic links at {server} lead in a circle.",
    advice="Ask the partner to correct them; check SSH_DIR. It will be retried.",
    to_partner="Symbolic links in our directory on {server} lead in a circle. Please correct them.",
)

BY_STATUS = {
    Status.NO_CONNECTION: OFFLINE,
    Status.CONNECTION_LOST: OFFLINE,
    Status.INVALID_HANDLE: HANDLE_CLOSED,
    Status.WRITE_PROTECT: READ_ONLY,
    Status.NO_MEDIA: OFFLINE,
    Status.NO_SPACE_ON_FILESYSTEM: DISK_FULL,
    Status.QUOTA_EXCEEDED: QUOTA,
    Status.UNKNOWN_PRINCIPAL: OWNER_UNKNOWN,
    Status.LOCK_CONFLICT: LOCKED,
    Status.LINK_LOOP: LINK_LOOP,
    Status.BYTE_RANGE_LOCK_CONFLICT: LOCKED,
    Status.BYTE_RANGE_LOCK_REFUSED: LOCKED,
    Status.DELETE_PENDING: DELETE_PENDING,
    Status.FILE_CORRUPT: CORRUPT,
    Status.OWNER_INVALID: OWNER_UNKNOWN,
    Status.GROUP_INVALID: OWNER_UNKNOWN,
}

_WORDS = {
    # In front of the disk: "quota exceeded: not enough space".
    r"(?:disk |storage )?quota(?! (?:is |was )?(?:not|fine|ok)\b)(?! system)"
    r"|EDQUOT|(?:storage|space) limit": QUOTA,
    # Also said of names: "must have no space".
    r"no (?:more |free |disk )*space (?:left|on|in|available|remaining)"
    r"|(?<!have )(?<!contain )no space(?=[.,;:!)]|\W*$)"
    r"|ENOSPC|(?:disk|volume|device|file ?system) (?:is )?full"
    r"|(?:not enough|insufficient|out of) (?:\w+ )?(?:space|storage)": DISK_FULL,
    r"too many (?:open )?(?:files?|handles?)(?: open)?|EMFILE|ENFILE|handle limit": TOO_MANY_OPEN_FILES,
    r"read-?only file ?system|EROFS|write-protected": READ_ONLY,
    r"(?:being )?used by another process|sharing violation|file is (?:locked|in use)": LOCKED,
}
# Servers repeat paths: `quota.csv` and `/quota/` say nothing. Compiled when needed: a cold start does not.
_NO_PATH = r"(?<![\w./\\-])(?:{words})(?![\w/\\-]|\.\w)"


def cause_of_words(words: str) -> Cause | None:
    """Return what the words of a refusal say of the storage; None: nothing."""
    for pattern, cause in _WORDS.items():
        if re.search(_NO_PATH.replace("{words}", pattern), words, re.IGNORECASE):
            return cause
    return None
