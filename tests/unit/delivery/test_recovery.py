"""What became of a file that was complete: an answer is a fact, silence is unknown, evidence alone counts."""

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
    """A commit, and what is found later.

    Attributes:
        unanswered: A RENAME may have been sent, and was not answered.
        modified: The modification time that the temporary file had, where the server told.
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
    """Apply the rules in words, the first that applies."""
    # A file under a name that nobody else can have made up was not renamed, whatever else is seen.
    if case.temporary.present:
        # It gets its final name when it is as it was, and wanted there; otherwise everything is sent anew.
        is_whole = case.temporary == file()
        return Verdict.PUBLISH if is_whole and not case.has_other_path else Verdict.START_OVER
    # An answered refusal is a fact: there is no final name. A file that is not seen whole is not renamed.
    if not case.unanswered:
        return Verdict.START_OVER
    # Another account is another story: what was sent elsewhere was not sent here.
    if case.is_other_account:
        return Verdict.START_OVER
    # The evidence: the final name, seen with the size and modification time of the temporary file.
    if case.final == file() and case.modified is not None:
        return Verdict.DELIVERED
    # The temporary file is gone, and nobody sees where to; or nothing can be seen at all.
    return Verdict.UNKNOWN


def test_every_combination_is_judged_by_the_rules() -> None:
    assert len(CASES) == 2 * 5 * 2 * 5 * 7 * 2
    wrong = [(case, verdict) for case in CASES if (verdict := case.verdict()) is not expected(case)]
    assert wrong == []


def test_nothing_is_delivered_without_the_file_of_the_same_size_and_time_under_the_final_name() -> None:
    delivered = [case for case in CASES if case.verdict() is Verdict.DELIVERED]
    assert delivered
    assert {(case.final, case.modified, case.unanswered) for case in delivered} == {(file(), MTIME, True)}
    assert not any(case.temporary.present or case.is_other_account for case in delivered)


def test_nothing_is_renamed_that_is_not_seen_whole() -> None:
    for case in CASES:
        if case.verdict() is Verdict.PUBLISH:
            assert case.temporary == file(), case


def test_a_refusal_is_never_unknown_and_silence_is_sent_anew_only_where_that_cannot_double_it() -> None:
    for case in CASES:
        if not case.unanswered:
            assert case.verdict() is not Verdict.UNKNOWN, case
        elif case.verdict() is Verdict.START_OVER:
            assert case.temporary.present or case.is_other_account, case


# By name


def refused(temporary: PathStatus, final: PathStatus = ABSENT) -> Case:
    return Case(unanswered=False, server=SAME, path=PATH, temporary=temporary, final=final)


def silent(temporary: PathStatus, final: PathStatus, server: ServerIdentity = SAME) -> Case:
    return Case(unanswered=True, server=server, path=PATH, temporary=temporary, final=final)


@pytest.mark.parametrize("final", FINALS)
def test_a_rename_was_refused_and_somebody_cleared_the_file_away(final: PathStatus) -> None:
    assert refused(ABSENT, final).verdict() is Verdict.START_OVER


@pytest.mark.parametrize("final", FINALS)
def test_a_rename_is_refused_with_no_such_file_while_the_file_stands(final: PathStatus) -> None:
    assert refused(file(), final).verdict() is Verdict.PUBLISH


def test_a_rename_was_refused_and_the_file_cannot_be_seen() -> None:
    assert refused(HIDDEN, HIDDEN).verdict() is Verdict.START_OVER


@pytest.mark.parametrize("server", OTHER_ACCOUNTS, ids=["user", "host", "port"])
def test_the_connection_was_lost_at_one_server_and_another_has_nothing(server: ServerIdentity) -> None:
    assert silent(ABSENT, ABSENT, server).verdict() is Verdict.START_OVER


def test_the_server_behind_the_address_was_exchanged_and_has_nothing() -> None:
    assert silent(ABSENT, ABSENT, OTHER_KEY).verdict() is Verdict.UNKNOWN


def test_the_file_has_lost_its_tail_at_the_partner() -> None:
    assert silent(file(size=SIZE - 1), file()).verdict() is Verdict.START_OVER


def test_the_old_file_was_moved_aside_and_the_partner_swept_the_temporary_one() -> None:
    assert silent(ABSENT, ABSENT).verdict() is Verdict.UNKNOWN


def test_yesterdays_file_is_as_long_as_todays() -> None:
    assert silent(ABSENT, file(mtime=MTIME - 86_400)).verdict() is Verdict.UNKNOWN


def test_the_partner_collects_files_at_once() -> None:
    assert silent(ABSENT, ABSENT).verdict() is Verdict.UNKNOWN


def test_a_drop_box_shows_nothing() -> None:
    assert silent(HIDDEN, HIDDEN).verdict() is Verdict.UNKNOWN


def test_the_answer_to_a_rename_that_happened_was_lost() -> None:
    assert silent(ABSENT, file()).verdict() is Verdict.DELIVERED


def test_the_rename_that_was_lost_never_happened() -> None:
    assert silent(file(), file(mtime=MTIME - 86_400)).verdict() is Verdict.PUBLISH


@pytest.mark.parametrize("unanswered", [True, False])
def test_the_directory_was_changed_while_the_message_was_dead_lettered(
    unanswered: bool,  # noqa: FBT001 - pytest names the argument
) -> None:
    case = Case(unanswered=unanswered, server=SAME, path="outbox/a", temporary=file(), final=ABSENT)
    assert case.verdict() is Verdict.START_OVER


# What a person is told

COMMIT = Commit(
    temporary="inbox/.t.part",
    remote_path=PATH,
    size=SIZE,
    modified=MTIME,
    server=SAME,
    rename_unanswered=True,
)


@pytest.mark.parametrize(
    ("final", "told"),
    [
        (ABSENT, f"'{PATH}' is not there"),
        (HIDDEN, f"'{PATH}' cannot be seen"),
        (file(size=5), f"'{PATH}' has 5 bytes and another"),
    ],
    ids=["absent", "hidden", "another"],
)
def test_who_has_to_ask_the_partner_is_told_what_is_known(final: PathStatus, told: str) -> None:
    error = outcome_unknown(COMMIT, final=final, asides=[])
    assert told in error.reason
    assert "us@sftp.example:22" in error.reason
    assert f"whether '{PATH}' with {SIZE} bytes has arrived" in error.hint
    assert "may be" not in error.hint
    assert error.disposition is Disposition.PERMANENT


def test_who_has_to_ask_the_partner_is_told_where_the_old_file_may_be() -> None:
    error = outcome_unknown(COMMIT, final=ABSENT, asides=["a.old", "b.old"])
    assert "before may stand beside it: the log has its name" in error.hint


def test_unknown_outcomes_of_one_path_have_equal_texts_whatever_the_random_names() -> None:
    errors = [
        outcome_unknown(dataclasses.replace(COMMIT, temporary=name), final=ABSENT, asides=[f"{name}.1.old"])
        for name in ("inbox/.0a1b2c3d-11.part", "inbox/.0a1b2c3d-22.part")
    ]
    assert len({str(error) for error in errors}) == 1
