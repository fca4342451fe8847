"""Only names in the ledger that are ours, at this account and not newer are changed at the server."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from s3_to_sftp.delivery.inline_executor import InlineExecutor
from s3_to_sftp.delivery.leftovers import Leftovers, NameJournal
from s3_to_sftp.errors import EarlierRenamePending, LedgerError
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.protocol import Request, Status
from s3_to_sftp.sftp.temporary_names import another_name, aside_name
from s3_to_sftp.state.items import version_key
from s3_to_sftp.state.ledger import Checkpoint, Commit, Lease
from s3_to_sftp.state.no_ledger import NoLedger
from s3_to_sftp.state.remote_names import NameKind, RemoteName, RemoteNames
from tests.support.ledger_environment import START, ref
from tests.support.scripted_server import NOTHING, Asked, is_rename, refusing
from tests.support.sftp_environment import SftpEnvironment

HERE = "u@sftp.partner.example:22"
ELSEWHERE = ["u@sftp.other.example:22", "other@sftp.partner.example:22", "u@sftp.partner.example:2222"]
PATH, TEMPORARY = "inbox/a", "inbox/.now.part"
DAY = 86_400
MINE, OLDER, NEWER, UNORDERED = ref("0B"), ref("0A"), ref("0C"), ref(None, version_id="other")


def entry(version: ObjectRef = MINE, kind: NameKind = NameKind.TEMPORARY, **about: Any) -> RemoteName:
    known = {"version": version_key(version), "sequencer": version.padded_sequencer, "server": HERE}
    return RemoteName(**{**known, "kind": kind, **about})


def pending(version: ObjectRef = MINE, kind: NameKind = NameKind.TEMPORARY, **about: Any) -> RemoteName:
    return entry(version, kind, rename_pending=True, **about)


def aside(version: ObjectRef = MINE, **about: Any) -> RemoteName:
    return entry(version, NameKind.ASIDE, **about)


@dataclass
class RecordingLedger(NoLedger):
    """Records the names that it is given, or refuses them.

    Attributes:
        noted: The names at each write.
    """

    noted: list[dict[str, RemoteName]] = field(default_factory=list)
    refuses: bool = False

    def note_names(self, lease: Lease) -> None:
        if self.refuses:
            raise LedgerError("down.", hint="")
        self.noted.append(dict(lease.names.items()))


class LeftoversEnvironment:
    """A lease on `MINE` whose names all exist at the server, each file with its name as content."""

    def __init__(
        self, names: dict[str, RemoteName], *, version: ObjectRef = MINE, final: bool = True
    ) -> None:
        self.now = START
        self.env = SftpEnvironment()
        self.env.disk.directories |= {"inbox", "other"}
        for name in names:
            self.env.files[name] = bytearray(name.encode())
        self.env.files[TEMPORARY] = bytearray(b"new")
        if final:
            self.env.files[PATH] = bytearray(b"delivered")
        self.before = dict(self.env.files)
        self.client: SftpClient = self.env.client()
        self.client.connect()
        self.leftovers = Leftovers(self.client, now=lambda: self.now)
        self.lease = Lease(
            ref=version,
            owner="f",
            remote_path=PATH,
            temporary=TEMPORARY,
            attempt=3,
            until=START + 900,
            names=RemoteNames({TEMPORARY: entry(version), **names}),
        )
        self.ledger = RecordingLedger()

    @property
    def commit(self) -> Commit:
        return Commit(
            temporary=TEMPORARY, remote_path=PATH, size=3, modified=None, server=self.client.identity
        )

    def journal(self, executor: Executor | None = None) -> NameJournal:
        return NameJournal(
            self.lease,
            self.ledger,
            executor or InlineExecutor(),
            account=lambda: self.client.identity.account,
            now=lambda: self.now,
        )

    def prevent(self) -> None:
        self.client.run(
            lambda session: self.leftovers.prevent_renames(session, self.lease, self.commit, self.journal())
        )

    def restore(self) -> None:
        self.client.run(lambda session: self.leftovers.restore(session, self.lease, PATH, self.journal()))

    def sweep(self) -> None:
        self.lease.names.remove(TEMPORARY)  # it has its final name
        self.leftovers.sweep(self.lease, PATH, self.journal())

    def remove_dead(self) -> None:
        self.leftovers.remove_dead(self.lease, None)

    def remove_all(self) -> None:
        self.leftovers.remove_all(self.lease)

    def remove(self) -> None:
        self.leftovers.remove(self.lease, list(self.lease.names))

    def changed_by_request(self) -> set[str]:
        """Return the names, except that of this attempt, that were removed, renamed or opened."""
        asked = [each for connection in self.env.made for each in connection.server.asked]
        kinds = {Request.REMOVE, Request.RENAME, Request.OPEN}
        names = {name for each in asked if each.kind in kinds or is_rename(each) for name in each.texts}
        return names - {TEMPORARY}

    @property
    def changed(self) -> set[str]:
        """The names of files that were removed, created or changed."""
        return {name for name in {*self.before, *self.env.files} if self._differs(name)}

    def _differs(self, name: str) -> bool:
        return self.before.get(name) != self.env.files.get(name)

    @property
    def names(self) -> dict[str, RemoteName]:
        """The names of the lease, except that of this attempt."""
        return {name: known for name, known in self.lease.names.items() if name != TEMPORARY}


def operations(harness: LeftoversEnvironment) -> list[Callable[[], None]]:
    return [
        harness.prevent,
        harness.restore,
        harness.sweep,
        harness.remove_dead,
        harness.remove_all,
        harness.remove,
    ]


each_operation = pytest.mark.parametrize("operation", range(6))


# --- which names are changed ---


def pending_elsewhere(version: ObjectRef, kind: NameKind, server: str) -> list[RemoteName]:
    return [] if kind is NameKind.TEMPORARY else [pending(version, kind, server=server)]


@pytest.mark.parametrize("server", ELSEWHERE)
@pytest.mark.parametrize("exists", [True, False])
def test_pending_file_recorded_for_another_account_is_removed_here_too(server: str, *, exists: bool) -> None:
    names = {"inbox/.t": pending(OLDER, server=server)}
    harness = LeftoversEnvironment(names)
    if not exists:
        del harness.env.files["inbox/.t"]
    harness.prevent()
    assert "inbox/.t" not in harness.env.files
    assert harness.names == names, "it may exist at the other one"


@each_operation
@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("server", ELSEWHERE)
def test_names_at_other_accounts_are_never_changed(server: str, *, final: bool, operation: int) -> None:
    names = {
        f"inbox/.{number}": known
        for number, known in enumerate(
            each
            for version in (MINE, OLDER)
            for kind in NameKind
            for each in (entry(version, kind, server=server), *pending_elsewhere(version, kind, server))
        )
    }
    harness = LeftoversEnvironment(names, final=final)
    operations(harness)[operation]()
    assert harness.changed_by_request() & set(names) == set()
    assert harness.names == names
    assert harness.changed <= {TEMPORARY}


@pytest.mark.parametrize(
    ("mine", "other"), [(MINE, UNORDERED), (UNORDERED, MINE), (ref(None), UNORDERED), (MINE, NEWER)]
)
@each_operation
def test_names_of_possibly_newer_versions_are_never_changed(
    operation: int, mine: ObjectRef, other: ObjectRef
) -> None:
    kinds = (NameKind.TEMPORARY, NameKind.ASIDE)
    names = {f"inbox/.{kind}": pending(other, kind) for kind in kinds}
    names |= {f"inbox/.{kind}-2": entry(other, kind) for kind in kinds}
    harness = LeftoversEnvironment(names, version=mine)
    if operation == operations(harness).index(harness.remove):
        return  # its caller names the files
    operations(harness)[operation]()
    assert harness.changed_by_request() & set(names) == set()
    assert harness.names == names
    assert harness.changed <= {TEMPORARY}


@pytest.mark.parametrize("version", [MINE, OLDER, UNORDERED])
def test_sweep_removes_names_of_this_version_and_older_ones(version: ObjectRef) -> None:
    mine = UNORDERED if version is UNORDERED else MINE
    harness = LeftoversEnvironment({"inbox/.t": entry(version), "inbox/.o": aside(version)}, version=mine)
    harness.sweep()
    assert harness.names == {}
    assert {"inbox/.t", "inbox/.o"}.isdisjoint(harness.env.files)
    assert harness.env.files[PATH] == b"delivered"


def test_name_recorded_before_the_login_is_removed() -> None:
    harness = LeftoversEnvironment({"inbox/.t": entry(server="")})
    harness.remove_dead()
    assert harness.names == {}
    assert "inbox/.t" not in harness.env.files


# --- pending renames ---


def test_pending_files_are_removed_before_aside_names_are_occupied() -> None:
    harness = LeftoversEnvironment(
        {
            "inbox/.aside": pending(OLDER, NameKind.ASIDE),
            "inbox/.t": pending(OLDER),
            "inbox/.mine": pending(MINE),
        }
    )
    del harness.env.files["inbox/.aside"]
    harness.prevent()
    server = harness.env.connection(0).server
    assert sorted(server.paths(Request.REMOVE)) == [["inbox/.mine"], ["inbox/.t"]]
    kinds = [asked.kind for asked in server.asked if asked.kind in {Request.REMOVE, Request.OPEN}]
    assert kinds == [Request.REMOVE, Request.REMOVE, Request.OPEN]
    assert harness.names == {
        "inbox/.aside": entry(OLDER, NameKind.BLOCKER, since=int(START)),
        "inbox/.t": entry(OLDER),
        "inbox/.mine": entry(MINE),
    }
    assert harness.env.files["inbox/.aside"] == b""


def test_file_of_the_current_commit_is_not_removed() -> None:
    harness = LeftoversEnvironment({})
    harness.lease.names.put(TEMPORARY, pending())
    harness.prevent()
    assert harness.changed == set()


def test_names_without_a_pending_rename_need_no_request() -> None:
    harness = LeftoversEnvironment({"inbox/.t": entry(OLDER), "inbox/.o": aside(OLDER)})
    harness.env.connection(0).server.forget()
    harness.prevent()
    assert harness.env.connection(0).server.asked == []


@pytest.mark.parametrize("kind", [NameKind.TEMPORARY, NameKind.ASIDE])
def test_rename_that_cannot_be_prevented_raises_earlier_rename_pending(kind: NameKind) -> None:
    names = {"inbox/.x": pending(OLDER, kind)}
    harness = LeftoversEnvironment(names)
    if kind is NameKind.ASIDE:
        del harness.env.files["inbox/.x"]
    refuses = {Request.REMOVE, Request.RENAME, Request.OPEN}
    harness.env.connection(0).server.script = lambda asked: (
        refusing(asked.kind, Status.PERMISSION_DENIED)(asked) if asked.kind in refuses else None
    )
    with pytest.raises(EarlierRenamePending):
        harness.prevent()
    assert harness.names == names


# --- blockers ---


@pytest.mark.parametrize(("age", "goes"), [(0, False), (DAY, False), (DAY + 1, True), (9 * DAY, True)])
@pytest.mark.parametrize("version", [MINE, OLDER, NEWER])
def test_blockers_are_removed_only_after_a_day(version: ObjectRef, age: int, goes: object) -> None:
    names = {"inbox/.o": entry(version, NameKind.BLOCKER, since=int(START) - age)}
    harness = LeftoversEnvironment(names)
    harness.sweep()
    assert harness.names == ({} if goes else names)
    assert ("inbox/.o" in harness.env.files) == (not goes)


def test_day_of_a_blocker_starts_when_it_is_created() -> None:
    harness = LeftoversEnvironment({"inbox/.o": pending(OLDER, NameKind.ASIDE, since=int(START) - 9 * DAY)})
    del harness.env.files["inbox/.o"]
    harness.prevent()
    harness.sweep()
    assert harness.env.files["inbox/.o"] == b""
    harness.now += DAY + 1
    harness.sweep()
    assert "inbox/.o" not in harness.env.files
    assert harness.names == {}


# --- files of the partner that were moved aside ---


@pytest.mark.parametrize("name", ["other/.o", ".o", "/inbox/.o", "inbox/more/.o"])
def test_aside_files_of_other_directories_are_not_changed(name: str) -> None:
    names = {name: aside()}
    swept, restored = LeftoversEnvironment(names), LeftoversEnvironment(names, final=False)
    swept.sweep()
    restored.restore()
    for harness in (swept, restored):
        assert harness.names == names
        assert harness.changed == set()


def test_aside_file_stays_while_the_new_file_is_not_visible() -> None:
    names = {"inbox/.o": aside()}
    harness = LeftoversEnvironment(names, final=False)
    harness.sweep()
    assert harness.names == names
    assert harness.changed == set()


@pytest.mark.parametrize("version", [MINE, OLDER])
def test_sweep_keeps_an_aside_file_with_a_pending_rename(version: ObjectRef) -> None:
    names = {"inbox/.o": pending(version, NameKind.ASIDE)}
    harness = LeftoversEnvironment(names)
    harness.sweep()
    assert harness.names == names
    assert harness.changed == set()


def test_aside_file_is_restored_when_the_final_name_is_free() -> None:
    harness = LeftoversEnvironment({"inbox/.o": aside()}, final=False)
    harness.restore()
    assert harness.env.files[PATH] == b"inbox/.o"
    assert harness.names == {}


@pytest.mark.parametrize("names", [{"inbox/.o": aside(OLDER)}, {"inbox/.b": entry(MINE, NameKind.BLOCKER)}])
def test_only_aside_files_of_this_version_are_restored(names: dict[str, RemoteName]) -> None:
    harness = LeftoversEnvironment(names, final=False)
    harness.restore()
    assert harness.names == names
    assert harness.changed == set()


def test_aside_name_with_a_pending_rename_is_kept_when_the_final_name_is_free() -> None:
    names = {"inbox/.o": pending(MINE, NameKind.ASIDE)}
    harness = LeftoversEnvironment(names, final=False)
    del harness.env.files["inbox/.o"]  # it is not aside yet either: the partner has collected it
    harness.restore()
    assert harness.names == names


def test_aside_file_does_not_replace_an_existing_file() -> None:
    names = {"inbox/.o": aside()}
    harness = LeftoversEnvironment(names)
    harness.restore()
    assert harness.names == names
    assert harness.changed == set()


# --- dead attempts ---


def test_names_of_the_file_to_resume_are_not_leftovers() -> None:
    second = another_name("inbox/.r.part")
    harness = LeftoversEnvironment({name: entry() for name in ("inbox/.r.part", second, "inbox/.dead.part")})
    resume = Checkpoint(temporary=second, offset=1, algorithm="CRC64NVME", crc=0, rounds_without_progress=0)
    assert harness.leftovers.remove_dead(harness.lease, resume)
    assert set(harness.names) == {"inbox/.r.part", second}
    assert harness.changed == {"inbox/.dead.part"}


def test_no_request_is_sent_without_dead_files() -> None:
    harness = LeftoversEnvironment({"inbox/.o": aside(), "inbox/.older": entry(OLDER)})
    harness.env.connection(0).server.forget()
    assert not harness.leftovers.remove_dead(harness.lease, None)
    assert harness.env.connection(0).server.asked == []


def test_remove_all_removes_only_the_temporary_files_of_the_version() -> None:
    others = {"inbox/.o": aside(), "inbox/.older": entry(OLDER), "inbox/.b": entry(kind=NameKind.BLOCKER)}
    harness = LeftoversEnvironment({"inbox/.dead.part": entry(), **others})
    harness.remove_all()
    assert harness.changed == {"inbox/.dead.part", TEMPORARY}
    assert harness.names == others


@each_operation
def test_name_of_a_file_that_cannot_be_removed_is_kept(operation: int) -> None:
    names = {"inbox/.t": entry(), "inbox/.o": aside(), "inbox/.b": entry(kind=NameKind.BLOCKER)}
    harness = LeftoversEnvironment(names)
    harness.env.connection(0).server.script = refusing(Request.REMOVE, Status.PERMISSION_DENIED)
    operations(harness)[operation]()
    assert harness.names == names
    assert harness.changed == set()


@pytest.mark.parametrize("final", [True, False])
def test_lost_connection_during_sweep_or_restore_raises_no_error(*, final: bool) -> None:
    def dead(_asked: Asked) -> bytes:
        return NOTHING

    names = {"inbox/.t": entry(), "inbox/.o": aside()}
    harness = LeftoversEnvironment(names, final=final)
    harness.env.connection(0).server.script = dead
    if final:
        harness.sweep()
    else:
        harness.restore()
    assert harness.names == names
    assert not harness.env.connection(0).is_open()


# --- the journal ---


def test_aside_name_is_recorded_before_the_move() -> None:
    harness = LeftoversEnvironment({})
    name = aside_name(TEMPORARY, 3)
    with ThreadPoolExecutor(1) as threads:
        harness.journal(threads).will_move_aside(name, "inbox/a").result()
    known = pending(MINE, NameKind.ASIDE, since=int(START), path="inbox/a")
    assert harness.ledger.noted == [{TEMPORARY: entry(), name: known}]


def test_aside_name_that_cannot_be_recorded_raises() -> None:
    harness = LeftoversEnvironment({})
    harness.ledger.refuses = True
    with pytest.raises(LedgerError):
        harness.journal().will_move_aside("inbox/.o", "inbox/a").result()


def test_each_attempt_has_its_own_aside_name() -> None:
    assert aside_name(TEMPORARY, 1) != aside_name(TEMPORARY, 2)


def test_journal_updates_the_names_of_the_lease() -> None:
    names = {f"inbox/.{number}": pending(MINE, NameKind.ASIDE, since=1) for number in range(4)}
    harness = LeftoversEnvironment(names)
    journal = harness.journal()
    journal.rename_resolved("inbox/.0")
    journal.blocked("inbox/.1")
    journal.gone("inbox/.2")
    for report in (journal.rename_resolved, journal.blocked, journal.gone):
        report("unknown")
    assert harness.names == {
        "inbox/.0": aside(since=1),
        "inbox/.1": entry(kind=NameKind.BLOCKER, since=int(START)),
        "inbox/.3": names["inbox/.3"],
    }


def test_account_of_names_is_recorded_after_the_login() -> None:
    names = {
        "inbox/.t": entry(server=""),
        "inbox/.u": entry(server=ELSEWHERE[0]),
        "o": entry(OLDER, server=""),
    }
    harness = LeftoversEnvironment(names)
    harness.leftovers.note_server(harness.lease)
    assert harness.names == {**names, "inbox/.t": replace(names["inbox/.t"], server=HERE)}
