"""A refused RENAME did not happen; only a regular file of the partner is moved aside for it."""

from __future__ import annotations

import stat
from concurrent.futures import Future
from typing import Any

import pytest

from s3_to_sftp.errors import (
    ConnectionLost,
    Disposition,
    EarlierRenamePending,
    ProtocolViolation,
    RequestRefused,
    TargetNotAFile,
)
from s3_to_sftp.sftp.protocol import LIMITS, POSIX_RENAME, Request, Status
from s3_to_sftp.sftp.publish import block_aside, publish, void_temporary
from s3_to_sftp.sftp.scheduler import SftpTask
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.temporary_names import void_name
from tests.support.scripted_server import (
    NOTHING,
    Asked,
    Disk,
    File,
    Script,
    ScriptedServer,
    framed,
    is_rename,
    one_of,
    refusing,
    renamed,
    status,
)
from tests.support.sftp_environment import MemoryJournal

PATH, TEMPORARY, ASIDE = "a", ".a.part", ".a.part.1.old"
OLD, NEW = b"old", b"new"
PUBLISH, MAKE_ROOM, RESTORE = (TEMPORARY, PATH), (PATH, ASIDE), (ASIDE, PATH)
WITH = {LIMITS: b"1", POSIX_RENAME: b"1"}
WITHOUT = {LIMITS: b"1"}

each_rename = pytest.mark.parametrize("extensions", [WITH, WITHOUT], ids=["posix-rename", "rename"])
each_taken = pytest.mark.parametrize("code", [Status.FAILURE, Status.FILE_ALREADY_EXISTS])
each_refusal = pytest.mark.parametrize(
    "code",
    [
        Status.NO_SUCH_FILE,
        Status.PERMISSION_DENIED,
        Status.FAILURE,
        Status.NO_SUCH_PATH,
        Status.FILE_ALREADY_EXISTS,
    ],
)


class Scene:
    """A server with a complete temporary file, which refuses a RENAME to an existing name."""

    def __init__(
        self,
        *scripts: Script,
        extensions: dict[str, bytes] | None = None,
        code: int = Status.FAILURE,
        old: bytes | bytearray | None = OLD,
        **about: Any,
    ) -> None:
        self.disk = Disk({TEMPORARY: File(NEW)}, **about)
        if old is not None:
            self.disk.files[PATH] = old if isinstance(old, bytearray) else File(old)
        self._code = code
        self.server = ScriptedServer(
            one_of(*scripts, self._refuses_to_replace), extensions=extensions or WITHOUT, disk=self.disk
        )
        self.session = self.server.session()
        self.server.forget()
        self.journal = MemoryJournal()

    def _refuses_to_replace(self, asked: Asked) -> bytes | None:
        taken = is_rename(asked) and self.disk.has(renamed(asked)[1])
        return status(asked, self._code) if taken else None

    def conversation(self) -> SftpTask[None]:
        return publish(self.session, TEMPORARY, PATH, aside=ASIDE, journal=self.journal)

    def publish(self) -> None:
        self.session.run_one(self.conversation())

    @property
    def files(self) -> dict[str, bytearray]:
        return self.disk.files

    @property
    def renames(self) -> list[tuple[str, str]]:
        """Every RENAME that was sent."""
        return [renamed(asked) for asked in self.server.asked if is_rename(asked)]

    @property
    def kinds(self) -> list[Request]:
        return [asked.kind for asked in self.server.asked]


def refusing_rename(names: tuple[str, str], code: int, *, number: int = 1) -> Script:
    """Script: this RENAME is refused from its nth occurrence on, and not executed."""
    seen = 0

    def script(asked: Asked) -> bytes | None:
        nonlocal seen
        if not is_rename(asked) or renamed(asked) != names:
            return None
        seen += 1
        return status(asked, code) if seen >= number else None

    return script


def at_request(position: int, answer: bytes | None) -> Script:
    """Script: the request at this position gets this answer (None: malformed) and is not executed."""
    seen = 0

    def script(asked: Asked) -> bytes | None:
        nonlocal seen
        if asked.kind == Request.EXTENDED and asked.texts[0] == LIMITS:
            return None
        seen += 1
        if seen != position:
            return None
        return framed(250, asked.request_id.to_bytes(4, "big")) if answer is None else answer

    return script


each_break = pytest.mark.parametrize("answer", [NOTHING, None], ids=["lost", "malformed"])


# --- the first RENAME ---


@each_rename
def test_rename_to_a_free_name_takes_one_request(extensions: dict[str, bytes]) -> None:
    scene = Scene(extensions=extensions, old=None)
    scene.publish()
    assert scene.files == {PATH: NEW}
    assert len(scene.server.asked) == 1


@each_rename
@pytest.mark.parametrize("old", [None, OLD])
@pytest.mark.parametrize(
    "code",
    [
        Status.NO_SUCH_FILE,
        Status.PERMISSION_DENIED,
        Status.OP_UNSUPPORTED,
        Status.NO_SUCH_PATH,
        Status.NO_SPACE_ON_FILESYSTEM,
        Status.QUOTA_EXCEEDED,
        99,
    ],
)
def test_rename_refused_for_another_reason_is_raised_without_further_requests(
    code: int, old: bytes | None, extensions: dict[str, bytes]
) -> None:
    scene = Scene(refusing_rename(PUBLISH, code), extensions=extensions, old=old)
    with pytest.raises(RequestRefused, match="rename") as raised:
        scene.publish()
    assert (raised.value.code, raised.value.request) == (code, "rename")
    assert len(scene.server.asked) == 1
    assert scene.files == {TEMPORARY: NEW} | ({PATH: old} if old else {})
    assert scene.journal.names == {}


@each_rename
@each_taken
def test_refused_rename_to_a_free_name_is_raised_and_nothing_is_moved(
    code: int, extensions: dict[str, bytes]
) -> None:
    scene = Scene(refusing_rename(PUBLISH, code), extensions=extensions, old=None)
    with pytest.raises(RequestRefused, match="rename") as raised:
        scene.publish()
    assert raised.value.code == code
    assert scene.renames == [PUBLISH]
    assert scene.files == {TEMPORARY: NEW}


@each_rename
@pytest.mark.parametrize("old", [None, OLD])
@pytest.mark.parametrize("code", [Status.NO_SUCH_FILE, Status.FAILURE, Status.FILE_ALREADY_EXISTS])
def test_nothing_is_moved_aside_when_the_temporary_file_is_missing(
    code: int, old: bytes | None, extensions: dict[str, bytes]
) -> None:
    scene = Scene(refusing_rename(PUBLISH, code), extensions=extensions, old=old)
    del scene.files[TEMPORARY]
    with pytest.raises(RequestRefused, match="rename"):
        scene.publish()
    assert scene.renames == [PUBLISH]
    assert scene.files == ({PATH: OLD} if old else {})


@each_rename
@each_taken
@pytest.mark.parametrize("hidden", [2, 3, 4, 8, 10, 11])
def test_nothing_is_moved_aside_where_lstat_is_refused(
    hidden: int, code: int, extensions: dict[str, bytes]
) -> None:
    scene = Scene(refusing(Request.LSTAT, hidden), extensions=extensions, code=code)
    with pytest.raises(RequestRefused, match="rename") as raised:
        scene.publish()
    assert raised.value.code == code
    assert scene.renames == [PUBLISH]
    assert scene.files == {PATH: OLD, TEMPORARY: NEW}
    assert scene.journal.names == {}


# --- what has the final name ---


@each_rename
@each_taken
def test_regular_file_is_replaced_by_moving_it_aside(code: int, extensions: dict[str, bytes]) -> None:
    scene = Scene(extensions=extensions, code=code)
    scene.publish()
    assert scene.files == {PATH: NEW}
    assert scene.renames == [PUBLISH, MAKE_ROOM, PUBLISH]
    assert scene.server.paths(Request.REMOVE) == [[ASIDE]]
    assert scene.journal.names == {}


@each_rename
@each_taken
@pytest.mark.parametrize("shows_types", [True, False], ids=["types", "no types"])
def test_directory_is_never_moved_aside(shows_types: object, code: int, extensions: dict[str, bytes]) -> None:
    scene = Scene(extensions=extensions, code=code, old=None, shows_types=shows_types)
    scene.disk.directories.add(PATH)
    scene.files[f"{PATH}/theirs"] = File(OLD)
    with pytest.raises(TargetNotAFile, match="'a' is not a regular file") as raised:
        scene.publish()
    assert (raised.value.disposition, raised.value.code) == (Disposition.PERMANENT, code)
    assert scene.renames == [PUBLISH]
    assert scene.files == {f"{PATH}/theirs": OLD, TEMPORARY: NEW}
    assert scene.journal.names == {}
    assert scene.server.open_handles == set()


@each_rename
@each_taken
@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_special_file_is_never_moved_aside(kind: int, code: int, extensions: dict[str, bytes]) -> None:
    scene = Scene(extensions=extensions, code=code, old=File(OLD, mode=kind | 0o644))
    with pytest.raises(TargetNotAFile) as raised:
        scene.publish()
    assert raised.value.disposition is Disposition.PERMANENT
    assert scene.renames == [PUBLISH]
    assert scene.files == {PATH: OLD, TEMPORARY: NEW}


@each_rename
def test_file_of_unknown_type_is_replaced_when_it_is_not_a_directory(
    extensions: dict[str, bytes],
) -> None:
    scene = Scene(extensions=extensions, shows_types=False)
    scene.publish()
    assert scene.files == {PATH: NEW}
    assert scene.server.paths(Request.OPENDIR) == [[PATH]]


@pytest.mark.parametrize(
    ("answer", "moved"),
    [
        (Status.NO_SUCH_FILE, True),
        (Status.FAILURE, True),
        (Status.NO_SUCH_PATH, True),
        (Status.PERMISSION_DENIED, False),
        (Status.OP_UNSUPPORTED, False),
    ],
)
def test_file_that_may_be_a_directory_is_not_moved_aside(answer: int, moved: object) -> None:
    scene = Scene(refusing(Request.OPENDIR, answer), shows_types=False)
    if moved:
        scene.publish()
        assert scene.files == {PATH: NEW}
        return
    with pytest.raises(TargetNotAFile):
        scene.publish()
    assert scene.files == {PATH: OLD, TEMPORARY: NEW}


def test_directory_whose_handle_cannot_be_closed_is_not_moved_aside() -> None:
    scene = Scene(refusing(Request.CLOSE), old=None, shows_types=False)
    scene.disk.directories.add(PATH)
    with pytest.raises(TargetNotAFile):
        scene.publish()


# --- the journal ---


@each_rename
def test_old_file_is_not_moved_before_its_aside_name_is_recorded(extensions: dict[str, bytes]) -> None:
    scene = Scene(extensions=extensions)
    written: Future[None] = Future()
    scene.journal.moves = lambda: written

    async def writer() -> None:
        while ASIDE not in scene.journal.names:
            await scene.session.exists(PATH)
        for _ in range(5):  # round trips in which the old file could be moved
            await scene.session.exists(PATH)
        assert scene.renames == [PUBLISH]
        written.set_result(None)

    outcomes = dict(scene.session.run([scene.conversation(), writer()], at_a_time=2))
    assert outcomes == {0: None, 1: None}
    assert scene.files == {PATH: NEW}


@each_rename
@pytest.mark.parametrize("at_once", [True, False])
def test_old_file_is_not_moved_when_its_aside_name_cannot_be_recorded(
    at_once: object, extensions: dict[str, bytes]
) -> None:
    def moves() -> Future[None]:
        if at_once:
            raise ValueError("no ledger")
        future: Future[None] = Future()
        future.set_exception(ValueError("no ledger"))
        return future

    scene = Scene(extensions=extensions)
    scene.journal.moves = moves
    with pytest.raises(ValueError, match="no ledger"):
        scene.publish()
    assert scene.renames == [PUBLISH]
    assert scene.files == {PATH: OLD, TEMPORARY: NEW}
    assert scene.journal.names == {}, "no RENAME to this name was ever sent"


# --- an aside file is restored, or removed when the new file is seen ---


@each_rename
@each_refusal
def test_refused_move_aside_keeps_the_old_file_and_raises_the_first_refusal(
    code: int, extensions: dict[str, bytes]
) -> None:
    scene = Scene(refusing_rename(MAKE_ROOM, code), extensions=extensions)
    with pytest.raises(RequestRefused, match=r"rename '\.a\.part' to 'a'") as raised:
        scene.publish()
    assert raised.value.code == Status.FAILURE
    assert scene.renames == [PUBLISH, MAKE_ROOM]
    assert scene.files == {PATH: OLD, TEMPORARY: NEW}
    assert scene.journal.names == {}


@each_rename
@each_refusal
def test_second_refusal_restores_the_old_file(code: int, extensions: dict[str, bytes]) -> None:
    scene = Scene(refusing_rename(PUBLISH, code, number=2), extensions=extensions)
    with pytest.raises(RequestRefused, match=r"rename '\.a\.part' to 'a'") as raised:
        scene.publish()
    assert raised.value.code == code
    assert scene.renames == [PUBLISH, MAKE_ROOM, PUBLISH, RESTORE]
    assert scene.files == {PATH: OLD, TEMPORARY: NEW}
    assert scene.journal.names == {}


@each_rename
@each_refusal
def test_refused_restore_keeps_the_name_in_the_journal(
    code: int, extensions: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(
        refusing_rename(PUBLISH, Status.PERMISSION_DENIED, number=2),
        refusing_rename(RESTORE, code),
        extensions=extensions,
    )
    with pytest.raises(RequestRefused) as raised:
        scene.publish()
    assert raised.value.code == Status.PERMISSION_DENIED
    assert scene.files == {ASIDE: OLD, TEMPORARY: NEW}
    assert scene.journal.names == {ASIDE: "settled"}
    assert "the file that was 'a' is '.a.part.1.old' and cannot be moved back" in caplog.text


@pytest.mark.parametrize("code", [Status.NO_SUCH_FILE, Status.NO_SUCH_PATH, Status.FAILURE])
def test_aside_name_is_forgotten_when_the_old_file_has_disappeared(code: int) -> None:
    def disappeared(asked: Asked) -> bytes | None:
        if is_rename(asked) and renamed(asked) == RESTORE:
            del scene.files[ASIDE]
            return status(asked, code)
        return None

    scene = Scene(refusing_rename(PUBLISH, Status.PERMISSION_DENIED, number=2), disappeared)
    with pytest.raises(RequestRefused):
        scene.publish()
    assert scene.journal.names == {}


@each_rename
@pytest.mark.parametrize("hidden", [2, 3, 4, 8, 10])
def test_old_file_stays_when_the_new_one_is_not_seen(hidden: int, extensions: dict[str, bytes]) -> None:
    scene = Scene(refusing(Request.LSTAT, hidden, number=3), extensions=extensions)
    scene.publish()
    assert scene.files == {PATH: NEW, ASIDE: OLD}
    assert scene.server.paths(Request.REMOVE) == []
    assert scene.journal.names == {ASIDE: "settled"}


@each_rename
@pytest.mark.parametrize(
    ("code", "kept"),
    [
        (Status.NO_SUCH_FILE, False),
        (Status.NO_SUCH_PATH, False),
        (Status.PERMISSION_DENIED, True),
        (Status.FAILURE, True),
        (Status.OP_UNSUPPORTED, True),
    ],
)
def test_aside_file_that_cannot_be_removed_stays_in_the_journal(
    code: int, kept: object, extensions: dict[str, bytes]
) -> None:
    scene = Scene(refusing(Request.REMOVE, code), extensions=extensions)
    scene.publish()
    assert scene.files[PATH] == NEW
    assert scene.journal.names == ({ASIDE: "settled"} if kept else {})


# --- a connection that is lost at each request ---

# In this order: RENAME, LSTAT of the target and of the file, RENAME aside, RENAME, LSTAT, REMOVE.
REQUESTS = 7


def test_replacing_a_file_takes_seven_requests() -> None:
    scene = Scene()
    scene.publish()
    assert len(scene.server.asked) == REQUESTS


@each_rename
@each_break
@pytest.mark.parametrize("position", [1, 5])
def test_unanswered_rename_may_have_happened(
    position: int, answer: bytes | None, extensions: dict[str, bytes]
) -> None:
    scene = Scene(at_request(position, answer), extensions=extensions)
    with pytest.raises(ConnectionLost if answer == NOTHING else ProtocolViolation):
        scene.publish()
    assert len(scene.server.asked) == position
    assert scene.journal.names == ({} if position == 1 else {ASIDE: "settled"})
    assert {bytes(data) for data in scene.files.values()} == {OLD, NEW}


@each_rename
@each_break
@pytest.mark.parametrize("position", [2, 3, 4])
def test_refused_rename_is_raised_when_the_connection_is_lost_afterwards(
    position: int, answer: bytes | None, extensions: dict[str, bytes]
) -> None:
    scene = Scene(at_request(position, answer), extensions=extensions)
    with pytest.raises(RequestRefused, match=r"rename '\.a\.part' to 'a'.*when asked to") as raised:
        scene.publish()
    assert (raised.value.code, raised.value.request) == (Status.FAILURE, "rename")
    assert len(scene.server.asked) == position
    assert scene.files == {PATH: OLD, TEMPORARY: NEW}
    assert scene.journal.names == ({ASIDE: "moving"} if position == 4 else {})


@each_break
@pytest.mark.parametrize("position", [4, 5])
def test_refused_rename_is_raised_when_the_file_type_stays_unknown(
    position: int, answer: bytes | None
) -> None:
    scene = Scene(at_request(position, answer), old=None, shows_types=False)
    scene.disk.directories.add(PATH)
    with pytest.raises(RequestRefused, match="rename"):
        scene.publish()
    assert scene.kinds[-1] == [Request.OPENDIR, Request.CLOSE][position - 4]
    assert scene.renames == [PUBLISH]


@each_rename
@each_break
@pytest.mark.parametrize("position", [6, 7])
def test_renamed_file_is_published_when_the_connection_is_lost_afterwards(
    position: int, answer: bytes | None, extensions: dict[str, bytes]
) -> None:
    scene = Scene(at_request(position, answer), extensions=extensions)
    scene.publish()
    assert len(scene.server.asked) == position
    assert scene.files == {PATH: NEW, ASIDE: OLD}
    assert scene.journal.names == {ASIDE: "settled"}


@each_rename
@each_break
def test_second_refusal_is_raised_when_the_connection_is_lost_during_the_restore(
    answer: bytes | None, extensions: dict[str, bytes]
) -> None:
    scene = Scene(
        at_request(6, answer),
        refusing_rename(PUBLISH, Status.PERMISSION_DENIED, number=2),
        extensions=extensions,
    )
    with pytest.raises(RequestRefused) as raised:
        scene.publish()
    assert raised.value.code == Status.PERMISSION_DENIED
    assert scene.renames[-1] == RESTORE
    assert scene.journal.names == {ASIDE: "settled"}


# --- a file whose RENAME may still happen ---

VOID = void_name(TEMPORARY)
PENDING = {TEMPORARY: "moving", ASIDE: "moving"}


def voiding(*scripts: Script, there: bool = True) -> tuple[Scene, MemoryJournal]:
    scene = Scene(*scripts, old=None)
    if not there:
        del scene.files[TEMPORARY]
    scene.journal.names = dict(PENDING)
    scene.session.run_one(void_temporary(scene.session, TEMPORARY, scene.journal))
    return scene, scene.journal


def delayed_rename_finds_nothing(session: SftpSession) -> bool:
    try:
        session.run_one(_rename(session))
    except RequestRefused:
        return True
    return False


async def _rename(session: SftpSession) -> None:
    await session.rename(TEMPORARY, PATH)


def test_voided_file_is_removed_before_a_delayed_rename() -> None:
    scene, journal = voiding()
    assert scene.files == {}
    assert journal.names == {**PENDING, TEMPORARY: "settled"}
    assert delayed_rename_finds_nothing(scene.session)


@pytest.mark.parametrize("code", [Status.NO_SUCH_FILE, Status.NO_SUCH_PATH])
def test_missing_file_counts_as_voided(code: int) -> None:
    scene, journal = voiding(refusing(Request.REMOVE, code), there=False)
    assert journal.names == {**PENDING, TEMPORARY: "settled"}
    assert scene.renames == []


@pytest.mark.parametrize("code", [Status.PERMISSION_DENIED, Status.FAILURE, Status.OP_UNSUPPORTED])
def test_file_that_cannot_be_removed_is_renamed_to_its_void_name(code: int) -> None:
    scene, journal = voiding(refusing(Request.REMOVE, code))
    assert scene.files == {VOID: NEW}
    assert journal.names == {**PENDING, TEMPORARY: "settled"}, "its bytes are under the void name"
    assert delayed_rename_finds_nothing(scene.session)


@each_refusal
@pytest.mark.parametrize("look", [None, Status.PERMISSION_DENIED, Status.FAILURE])
def test_file_that_can_be_neither_removed_nor_renamed_raises_earlier_rename_pending(
    look: int | None, code: int
) -> None:
    scripts = [refusing(Request.REMOVE, Status.PERMISSION_DENIED), refusing(Request.RENAME, code)]
    scene = Scene(*scripts, *([refusing(Request.LSTAT, look)] if look else []), old=None)
    scene.journal.names = dict(PENDING)
    with pytest.raises(EarlierRenamePending, match=r"'\.a\.part' cannot be moved out of the way") as raised:
        scene.session.run_one(void_temporary(scene.session, TEMPORARY, scene.journal))
    assert raised.value.disposition is Disposition.RETRY
    assert scene.journal.names == PENDING
    assert scene.files == {TEMPORARY: NEW}


@pytest.mark.parametrize("code", [Status.NO_SUCH_FILE, Status.NO_SUCH_PATH, Status.FAILURE])
def test_file_that_disappears_while_it_is_voided_counts_as_voided(code: int) -> None:
    _, journal = voiding(
        refusing(Request.REMOVE, Status.FAILURE), refusing(Request.RENAME, code), there=False
    )
    assert journal.names == {**PENDING, TEMPORARY: "settled"}


@each_break
@pytest.mark.parametrize("position", [1, 2, 3])
def test_pending_rename_stays_in_the_journal_when_the_connection_is_lost(
    position: int, answer: bytes | None
) -> None:
    scene = Scene(
        at_request(position, answer),
        refusing(Request.REMOVE, Status.PERMISSION_DENIED),
        refusing(Request.RENAME, Status.PERMISSION_DENIED),
        old=None,
    )
    scene.journal.names = dict(PENDING)
    with pytest.raises(ConnectionLost if answer == NOTHING else ProtocolViolation):
        scene.session.run_one(void_temporary(scene.session, TEMPORARY, scene.journal))
    assert len(scene.server.asked) == position
    assert scene.journal.names == PENDING


# --- an aside name that a delayed RENAME may still use ---


def block(scene: Scene) -> None:
    scene.journal.names = dict(PENDING)
    scene.session.run_one(block_aside(scene.session, ASIDE, scene.journal))


@pytest.mark.parametrize("close", [Status.OK, Status.FAILURE])
def test_aside_name_is_blocked_by_an_empty_file(close: int) -> None:
    scene = Scene(*([refusing(Request.CLOSE, close)] if close else []))
    block(scene)
    assert scene.files == {PATH: OLD, TEMPORARY: NEW, ASIDE: b""}
    assert scene.journal.names == {**PENDING, ASIDE: "blocked"}
    assert scene.kinds == [Request.OPEN, Request.CLOSE]


@each_taken
def test_aside_name_of_the_old_file_is_not_blocked(code: int) -> None:
    def taken(asked: Asked) -> bytes | None:
        return status(asked, code) if scene.server.healthy(asked) == status(asked, 4) else None

    scene = Scene()
    scene.files[ASIDE] = scene.files.pop(PATH)
    scene.server.script = lambda asked: taken(asked) if asked.kind == Request.OPEN else None
    block(scene)
    assert scene.files == {ASIDE: OLD, TEMPORARY: NEW}
    assert scene.journal.names == {**PENDING, ASIDE: "settled"}


@each_refusal
@pytest.mark.parametrize("look", [None, Status.PERMISSION_DENIED])
def test_aside_name_that_cannot_be_blocked_raises_earlier_rename_pending(look: int | None, code: int) -> None:
    scene = Scene(refusing(Request.OPEN, code), *([refusing(Request.LSTAT, look)] if look else []))
    with pytest.raises(EarlierRenamePending, match=r"'\.a\.part\.1\.old' cannot be moved out of the way"):
        block(scene)
    assert scene.journal.names == PENDING
    assert scene.files == {PATH: OLD, TEMPORARY: NEW}


@each_break
@pytest.mark.parametrize("position", [1, 2])
@pytest.mark.parametrize("is_refused", [True, False])
def test_aside_name_stays_in_the_journal_when_the_connection_is_lost(
    is_refused: object, position: int, answer: bytes | None
) -> None:
    scripts = [refusing(Request.OPEN)] if is_refused else []
    scene = Scene(at_request(position, answer), *scripts)
    with pytest.raises(ConnectionLost if answer == NOTHING else ProtocolViolation):
        block(scene)
    assert scene.journal.names == PENDING


def cause_of_refusal(*scripts: Script, old: bytes | None = OLD, **about: Any) -> tuple[str, str]:
    with pytest.raises(RequestRefused) as raised:
        Scene(*scripts, old=old, **about).publish()
    return raised.value.cause, raised.value.to_partner


@each_rename
def test_server_that_neither_replaces_nor_moves_a_file_does_not_overwrite(
    extensions: dict[str, bytes],
) -> None:
    script = refusing_rename(MAKE_ROOM, Status.PERMISSION_DENIED)
    cause, to_partner = cause_of_refusal(script, extensions=extensions)
    assert cause == "overwrite-refused"
    assert "replace" in to_partner


@each_rename
def test_refused_rename_to_a_free_name_is_not_called_an_overwrite(extensions: dict[str, bytes]) -> None:
    for code, cause in {Status.FAILURE: "rename-failed", Status.PERMISSION_DENIED: "rename-refused"}.items():
        script = refusing_rename(PUBLISH, code)
        assert cause_of_refusal(script, old=None, extensions=extensions)[0] == cause


def test_temporary_file_that_is_gone_is_the_cause_whatever_status_the_rename_gets() -> None:
    def swept(asked: Asked) -> bytes | None:
        if is_rename(asked):
            scene.files.pop(TEMPORARY, None)
        return None

    scene = Scene(swept)
    with pytest.raises(RequestRefused) as raised:
        scene.publish()
    assert raised.value.cause == "temporary-file-removed"
    assert scene.files == {PATH: OLD}


def test_directory_in_the_way_has_a_text_for_the_partner() -> None:
    scene = Scene(old=None)
    scene.disk.directories.add(PATH)
    with pytest.raises(TargetNotAFile) as raised:
        scene.publish()
    assert raised.value.cause == "directory-in-the-way"
    assert raised.value.to_partner
