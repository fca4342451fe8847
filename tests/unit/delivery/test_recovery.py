"""The verdict on a complete file: an answer is a fact, silence is unknown, only evidence counts."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass

import pytest

from s3_to_sftp.delivery.recovery import Verdict, judge, outcome_unknown
from s3_to_sftp.errors import Disposition
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.sftp.protocol import FileAttributes
from s3_to_sftp.sftp.publish import PathStatus
from s3_to_sftp.state.ledger import Commit

PATH = "inbox/report.csv"
SIZE, MTIME = 1_000, 1_795_392_000
SAME = ServerIdentity(host="sftp.example", port=22, user="us", host_key="SHA256:one")
OTHER_KEY = dataclasses.replace(SAME, host_key="SHA256:two")
OTHER_ACCOUNTS = [
    dataclasses.replace(SAME, user="them"),
    dataclasses.replace(SAME, host="dr.example"),
    dataclasses.replace(SAME, port=2222),
]
ABSENT, HIDDEN = PathStatus(absent=True), PathStatus()


def file(size: int | None = SIZE, mtime: int | None = MTIME) -> PathStatus:
    return PathStatus(FileAttributes(size=size, mtime=mtime))


@dataclass(frozen=True)
class Case:
    """A commit, and what the server shows later.

    Attributes:
        unanswered: A RENAME may have been sent and was not answered.
        modified: The modification time of the temporary file, if the server returned one.
    """

    unanswered: bool
    server: ServerIdentity
    path: str
    temporary: PathStatus
    final: PathStatus
    modified: int | None = MTIME

    @property
    def is_other_account(self) -> bool:
        return self.server in OTHER_ACCOUNTS

    @property
    def has_other_path(self) -> bool:
        return self.path != PATH

    def verdict(self) -> Verdict:
        commit = Commit(
            temporary="inbox/.report.csv.1.part",
            remote_path=PATH,
            size=SIZE,
            modified=self.modified,
            server=SAME,
            rename_unanswered=self.unanswered,
        )
        return judge(
            commit, server=self.server, remote_path=self.path, temporary=self.temporary, final=self.final
        )


TEMPORARIES = [file(), file(size=None), file(size=SIZE - 1), ABSENT, HIDDEN]
FINALS = [
    file(),
    file(mtime=MTIME + 1),
    file(size=SIZE - 1),
    file(size=None),
    file(mtime=None),
    ABSENT,
    HIDDEN,
]
CASES = [
    Case(*about)
    for about in itertools.product(
        (True, False),
        (SAME, OTHER_KEY, *OTHER_ACCOUNTS),
        (PATH, "outbox/report.csv"),
        TEMPORARIES,
        FINALS,
        (MTIME, None),
    )
]


def expected(case: Case) -> Verdict:
    """Return the verdict of the first rule that applies."""
    # A file under the random temporary name was not renamed, whatever else is visible.
    if case.temporary.present:
        # It is renamed if it is unchanged and still has this final name; otherwise the object starts over.
        is_whole = case.temporary == file()
        return Verdict.PUBLISH if is_whole and not case.has_other_path else Verdict.START_OVER
    # An answered refusal is a fact: the file was not renamed. Only a visibly complete file is renamed.
    if not case.unanswered:
        return Verdict.START_OVER
    # What was sent to another account was not sent to this one.
    if case.is_other_account:
        return Verdict.START_OVER
    # The evidence: the final name has the size and modification time of the temporary file.
    if case.final == file() and case.modified is not None:
        return Verdict.DELIVERED
    # The temporary file is gone without evidence of a rename, or nothing is visible.
    return Verdict.UNKNOWN


def test_every_combination_gets_the_verdict_of_the_rules() -> None:
    assert len(CASES) == 2 * 5 * 2 * 5 * 7 * 2
    wrong = [(case, verdict) for case in CASES if (verdict := case.verdict()) is not expected(case)]
    assert wrong == []


def test_delivered_requires_the_final_name_with_equal_size_and_modification_time() -> None:
    delivered = [case for case in CASES if case.verdict() is Verdict.DELIVERED]
    assert delivered
    assert {(case.final, case.modified, case.unanswered) for case in delivered} == {(file(), MTIME, True)}
    assert not any(case.temporary.present or case.is_other_account for case in delivered)


def test_publish_requires_the_complete_temporary_file() -> None:
    for case in CASES:
        if case.verdict() is Verdict.PUBLISH:
            assert case.temporary == file(), case


def test_refusal_is_never_unknown_and_silence_restarts_only_without_risk_of_a_duplicate() -> None:
    for case in CASES:
        if not case.unanswered:
            assert case.verdict() is not Verdict.UNKNOWN, case
        elif case.verdict() is Verdict.START_OVER:
            assert case.temporary.present or case.is_other_account, case


# Examples


def refused_case(temporary: PathStatus, final: PathStatus = ABSENT) -> Case:
    return Case(unanswered=False, server=SAME, path=PATH, temporary=temporary, final=final)


def unanswered_case(temporary: PathStatus, final: PathStatus, server: ServerIdentity = SAME) -> Case:
    return Case(unanswered=True, server=server, path=PATH, temporary=temporary, final=final)


@pytest.mark.parametrize("final", FINALS)
def test_refused_rename_of_a_removed_file_starts_over(final: PathStatus) -> None:
    assert refused_case(ABSENT, final).verdict() is Verdict.START_OVER


@pytest.mark.parametrize("final", FINALS)
def test_refused_rename_of_an_existing_file_is_published_again(final: PathStatus) -> None:
    assert refused_case(file(), final).verdict() is Verdict.PUBLISH


def test_refused_rename_of_an_invisible_file_starts_over() -> None:
    assert refused_case(HIDDEN, HIDDEN).verdict() is Verdict.START_OVER


@pytest.mark.parametrize("server", OTHER_ACCOUNTS, ids=["user", "host", "port"])
def test_unanswered_rename_at_another_account_starts_over(server: ServerIdentity) -> None:
    assert unanswered_case(ABSENT, ABSENT, server).verdict() is Verdict.START_OVER


def test_unanswered_rename_is_unknown_at_a_server_with_another_host_key() -> None:
    assert unanswered_case(ABSENT, ABSENT, OTHER_KEY).verdict() is Verdict.UNKNOWN


def test_truncated_temporary_file_starts_over() -> None:
    assert unanswered_case(file(size=SIZE - 1), file()).verdict() is Verdict.START_OVER


def test_file_absent_under_both_names_after_an_unanswered_rename_is_unknown() -> None:
    # The partner collected the file at once, or moved it aside and deleted the temporary one.
    assert unanswered_case(ABSENT, ABSENT).verdict() is Verdict.UNKNOWN


def test_final_file_of_equal_size_and_older_time_is_unknown() -> None:
    assert unanswered_case(ABSENT, file(mtime=MTIME - 86_400)).verdict() is Verdict.UNKNOWN


def test_unanswered_rename_in_a_drop_box_is_unknown() -> None:
    assert unanswered_case(HIDDEN, HIDDEN).verdict() is Verdict.UNKNOWN


def test_final_file_with_equal_size_and_time_is_delivered() -> None:
    assert unanswered_case(ABSENT, file()).verdict() is Verdict.DELIVERED


def test_complete_temporary_file_after_an_unanswered_rename_is_published() -> None:
    assert unanswered_case(file(), file(mtime=MTIME - 86_400)).verdict() is Verdict.PUBLISH


@pytest.mark.parametrize("unanswered", [True, False])
def test_changed_directory_starts_over(
    unanswered: bool,  # noqa: FBT001 - pytest names the argument
) -> None:
    case = Case(unanswered=unanswered, server=SAME, path="outbox/a", temporary=file(), final=ABSENT)
    assert case.verdict() is Verdict.START_OVER


# The error

COMMIT = Commit(
    temporary="inbox/.t.part",
    remote_path=PATH,
    size=SIZE,
    modified=MTIME,
    server=SAME,
    rename_unanswered=True,
)


@pytest.mark.parametrize(
    ("final", "description"),
    [
        (ABSENT, f"'{PATH}' is not there"),
        (HIDDEN, f"'{PATH}' cannot be seen"),
        (file(size=5), f"'{PATH}' has 5 bytes and another"),
    ],
    ids=["absent", "hidden", "another"],
)
def test_unknown_outcome_error_describes_the_final_name(final: PathStatus, description: str) -> None:
    error = outcome_unknown(COMMIT, final=final, asides=[])
    assert description in error.reason
    assert "us@sftp.example:22" in error.reason
    assert f"whether '{PATH}' with {SIZE} bytes has arrived" in error.hint
    assert "may be" not in error.hint
    assert error.disposition is Disposition.PERMANENT


def test_unknown_outcome_error_lists_the_aside_files() -> None:
    error = outcome_unknown(COMMIT, final=ABSENT, asides=["a.old", "b.old"])
    assert "before may stand beside it: the log has its name" in error.hint


def test_unknown_outcomes_of_one_path_have_equal_texts_whatever_the_random_names() -> None:
    errors = [
        outcome_unknown(dataclasses.replace(COMMIT, temporary=name), final=ABSENT, asides=[f"{name}.1.old"])
        for name in ("inbox/.0a1b2c3d-11.part", "inbox/.0a1b2c3d-22.part")
    ]
    assert len({str(error) for error in errors}) == 1
