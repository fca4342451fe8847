"""What a refusal means, by request and status and by the server's words."""

from __future__ import annotations

import pytest

from s3_to_sftp.diagnosis.requests import OVERWRITE_REFUSED, refused, with_cause
from s3_to_sftp.errors import RequestRefused
from s3_to_sftp.sftp_status import Status

SERVER = "sftp.partner.example:22"
REQUESTS = [
    "create",
    "open",
    "write",
    "close",
    "rename",
    "remove",
    "mkdir",
    "stat",
    "lstat",
    "read",
    "opendir",
]


def refusal(request: str, code: int, words: str = "") -> RequestRefused:
    return refused(server=SERVER, request=request, doing=f"{request} it", code=code, words=words)


@pytest.mark.parametrize(
    ("request_name", "code", "cause"),
    [
        ("create", Status.PERMISSION_DENIED, "create-refused"),
        ("create", Status.FAILURE, "create-failed"),
        ("create", Status.NO_SUCH_FILE, "directory-missing"),
        ("create", Status.NO_SUCH_PATH, "directory-missing"),
        ("create", Status.INVALID_FILENAME, "temporary-name-refused"),
        ("open", Status.PERMISSION_DENIED, "reopen-refused"),
        ("open", Status.NO_SUCH_FILE, "temporary-file-removed"),
        ("write", Status.PERMISSION_DENIED, "write-refused"),
        ("write", Status.FAILURE, "write-failed"),
        ("write", Status.NO_SPACE_ON_FILESYSTEM, "disk-full"),
        ("close", Status.QUOTA_EXCEEDED, "quota-exceeded"),
        ("close", Status.FAILURE, "write-failed"),
        ("rename", Status.PERMISSION_DENIED, "rename-refused"),
        ("rename", Status.OP_UNSUPPORTED, "rename-refused"),
        ("rename", Status.FAILURE, "rename-failed"),
        ("rename", Status.NO_SUCH_FILE, "temporary-file-removed"),
        ("rename", Status.FILE_ALREADY_EXISTS, "overwrite-refused"),
        ("rename", Status.INVALID_FILENAME, "name-refused"),
        ("rename", Status.FILE_IS_A_DIRECTORY, "directory-in-the-way"),
        ("mkdir", Status.PERMISSION_DENIED, "mkdir-refused"),
        ("mkdir", Status.NO_SUCH_FILE, "mkdir-refused"),
        ("mkdir", Status.FAILURE, "mkdir-refused"),
        ("mkdir", Status.NOT_A_DIRECTORY, "file-in-the-way"),
        ("remove", Status.PERMISSION_DENIED, "remove-refused"),
        ("stat", Status.OP_UNSUPPORTED, "request-unsupported"),
        ("stat", Status.FAILURE, ""),
        ("write", 4711, ""),
    ],
)
def test_cause_depends_on_request_and_status(request_name: str, code: int, cause: str) -> None:
    error = refusal(request_name, code, "said the partner")
    assert (error.cause, error.request, error.code) == (cause, request_name, code)
    assert f"refused to {request_name} it: status {int(code)}" in error.reason
    assert "it says 'said the partner'" in error.reason


@pytest.mark.parametrize(
    ("request_name", "words", "cause"),
    [
        ("write", "No space left on device", "disk-full"),
        ("write", "The disk is full.", "disk-full"),
        ("close", "Not enough free space", "disk-full"),
        ("write", "Disk quota exceeded", "quota-exceeded"),
        ("write", "Over quota.", "quota-exceeded"),
        ("close", "You have exceeded your quota: not enough space", "quota-exceeded"),
        ("create", "Too many open files", "too-many-open-files"),
        ("create", "too many handles", "too-many-open-files"),
        ("create", "Read-only file system", "read-only"),
        ("create", "Invalid file name", "temporary-name-refused"),
        ("create", "Files with this extension are not allowed", "temporary-name-refused"),
        ("create", "Permission denied", "create-refused"),
        ("mkdir", "quota exceeded", "quota-exceeded"),
        ("rename", "File exists", "overwrite-refused"),
        ("rename", "The target already exists.", "overwrite-refused"),
        ("rename", "Access is denied", "rename-refused"),
        (
            "rename",
            "The process cannot access the file because it is being used by another process",
            "file-locked",
        ),
        # Paths that servers repeat are no words.
        ("write", "cannot write /quota/a.csv", "write-failed"),
        ("write", "Failure (quota not exceeded)", "write-failed"),
        ("write", "The quota system is fine", "write-failed"),
        ("write", "file name must have no space", "write-failed"),
        ("write", "Folder 'no space' failed", "write-failed"),
        ("write", "write failed: no space", "disk-full"),
        ("write", "There is no more space available", "disk-full"),
        ("write", "cannot write quota.csv", "write-failed"),
        ("write", "cannot write C:\\quota", "write-failed"),
        ("write", "Failure", "write-failed"),
        ("write", "", "write-failed"),
    ],
)
def test_words_of_the_server_count_where_the_status_says_little(
    request_name: str, words: str, cause: str
) -> None:
    assert refusal(request_name, Status.FAILURE, words).cause == cause


def test_words_count_for_permission_denied_and_unknown_codes_too() -> None:
    assert refusal("create", Status.PERMISSION_DENIED, "Quota exceeded").cause == "quota-exceeded"
    assert refusal("write", 4711, "No space left on device").cause == "disk-full"


def test_words_do_not_overrule_a_status_that_says_what_it_is() -> None:
    assert refusal("write", Status.WRITE_PROTECT, "no space left").cause == "read-only"


def test_reason_begins_with_the_cause_and_names_the_server_once() -> None:
    error = refusal("rename", Status.FAILURE, "Failure")
    assert error.reason == (
        f"{SERVER} does not give the complete file its final name and does not say why. "
        "The server refused to rename it: status 4 FAILURE, it says 'Failure'."
    )


def test_refusal_without_a_known_cause_quotes_the_server() -> None:
    error = refusal("stat", Status.FAILURE)
    assert error.reason == f"{SERVER} refused to stat it: status 4 FAILURE."
    assert error.hint


@pytest.mark.parametrize("request_name", REQUESTS)
@pytest.mark.parametrize("code", [code for code in Status if code > Status.EOF])
def test_advice_does_not_promise_a_retry_of_what_is_dead_lettered(request_name: str, code: int) -> None:
    error = refusal(request_name, code)
    assert error.hint
    if error.disposition.value == "permanent":
        assert "retried" not in error.hint


def test_refused_rename_is_not_called_a_full_disk_or_missing_write_permission() -> None:
    for code in (Status.FAILURE, Status.PERMISSION_DENIED, Status.FILE_ALREADY_EXISTS):
        text = str(refusal("rename", code))
        assert "disk" not in text
        assert "permission to write" not in text


def test_better_evidence_replaces_a_vague_cause_only() -> None:
    vague = with_cause(refusal("rename", Status.FAILURE, "Failure"), OVERWRITE_REFUSED, server=SERVER)
    assert vague.cause == "overwrite-refused"
    assert vague.reason == (
        f"{SERVER} does not replace a file that is there. "
        "The server refused to rename it: status 4 FAILURE, it says 'Failure'."
    )
    assert (vague.request, vague.code) == ("rename", Status.FAILURE)
    full = refusal("rename", Status.FAILURE, "Disk quota exceeded")
    assert with_cause(full, OVERWRITE_REFUSED, server=SERVER) is full
