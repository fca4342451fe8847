"""The doctor measures what a server does: six real ones, and some that refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from local.sftp_server import start_asyncssh_server
from s3_to_sftp.doctor.report import Outcome
from s3_to_sftp.measured_server import MOST_OPEN_FILES, OK
from s3_to_sftp.sftp.protocol import Status
from tests.support.doctor_environment import examine
from tests.support.measured_servers import SERVERS, Place, measure, place_of, stored
from tests.support.partner import address_of, login_of


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(kind: str, tmp_path: Path) -> Iterator[Place]:
    with SERVERS[kind](tmp_path) as place:
        yield place


def test_each_of_the_six_shows_what_its_file_says(kind: str, place: Place) -> None:
    shown, known = measure(place), stored(kind)
    if shown.identification != known.identification:
        pytest.skip(f"the file is of {known.identification}, here runs {shown.identification}")
    for name in ("answers", "takes_mode", "takes_time", "open_files", "longest_name", "ignores_case"):
        assert getattr(shown, name) == getattr(known, name), name
    assert shown.extensions == known.extensions
    assert shown.keeps_second_handle == known.keeps_second_handle


def test_measuring_leaves_no_file(kind: str, place: Place) -> None:
    measure(place)
    assert [path for path in place.root.rglob("*") if path.is_file()] == []


def test_nothing_of_the_login_is_in_the_file(place: Place) -> None:
    text = measure(place).as_text()
    assert place.login.username not in json.dumps(json.loads(text)["extensions"])
    assert not place.login.password or place.login.password not in text
    assert "PRIVATE" not in text


def test_host_keys_are_those_that_are_pinned(place: Place) -> None:
    assert set(measure(place).host_keys) >= set(place.address.host_keys)


def test_all_of_it_happens_over_one_connection_with_one_login(place: Place) -> None:
    report = examine(place.address, place.login, directory=place.directory, measure=True)
    assert report.connections == 1
    assert [check.name for check in report.checks][-1] == "measure"


class Strict(asyncssh.SFTPServer):
    """Refuses what strict partners refuse: attributes, renaming, directories, long names."""

    def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs, *, follow_symlinks: bool = True) -> None:
        raise asyncssh.SFTPOpUnsupported("no attributes")

    def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        if b"doctor" in path:
            raise asyncssh.SFTPPermissionDenied("no directories")
        super().mkdir(path, attrs)

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        raise asyncssh.SFTPPermissionDenied("no renaming")

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        if len(path.rpartition(b"/")[2]) > 60:
            raise asyncssh.SFTPFailure("too long")
        return super().open(path, pflags, attrs)


def test_refusals_are_facts_and_no_failures(tmp_path: Path) -> None:
    with start_asyncssh_server(tmp_path, sftp_factory=Strict) as server:
        shown = measure(place_of(server))
    assert shown.answer("create") == OK
    assert shown.answer("set_mode") == Status.OP_UNSUPPORTED
    assert shown.takes_mode is False
    assert shown.answer("rename") == Status.PERMISSION_DENIED
    assert shown.answer("make_directory") == Status.PERMISSION_DENIED
    assert shown.answer("rename_across_directories") is None
    assert (shown.longest_name, shown.answer("create_too_long")) == (60, Status.FAILURE)
    assert shown.open_files == MOST_OPEN_FILES


class ReadOnly(asyncssh.SFTPServer):
    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        raise asyncssh.SFTPPermissionDenied("read-only")


def test_server_that_takes_no_file_is_measured_as_far_as_possible(tmp_path: Path) -> None:
    with start_asyncssh_server(tmp_path, sftp_factory=ReadOnly) as server:
        report = examine(address_of(server), login_of(server), directory="/", measure=True)
    check = report.checks[-1]
    assert (check.name, check.outcome) == ("measure", Outcome.WARNING)
    assert "no file could be created (status 3)" in check.text
    assert report.profile["measured"]["writable"] == {"/": False}
    assert report.profile["measured"]["extensions"]


class FewHandles(asyncssh.SFTPServer):
    """Accepts three open files."""

    def __init__(self, chan: asyncssh.SSHServerChannel[bytes], chroot: bytes) -> None:
        super().__init__(chan, chroot=chroot)
        self._open = 0

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        if self._open == 3:
            raise asyncssh.SFTPFailure("too many open files")
        opened = super().open(path, pflags, attrs)
        self._open += 1
        return opened

    def close(self, file_obj: object) -> None:
        self._open -= 1
        super().close(file_obj)


def test_open_files_are_counted(tmp_path: Path) -> None:
    with start_asyncssh_server(tmp_path, sftp_factory=FewHandles) as server:
        shown = measure(place_of(server))
    assert (shown.open_files, shown.answer("open_one_more")) == (3, Status.FAILURE)


def test_nothing_is_measured_unless_it_is_asked_for(tmp_path: Path) -> None:
    with start_asyncssh_server(tmp_path) as server:
        report = examine(address_of(server), login_of(server), directory="/", write=True)
    assert "measured" not in report.profile


class HangsUp(asyncssh.SFTPServer):
    """Ends the connection over what it does not know."""

    def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs, *, follow_symlinks: bool = True) -> None:
        self.channel.get_connection().abort()


def test_server_that_hangs_up_fails_the_check_and_is_not_saved(tmp_path: Path) -> None:
    with start_asyncssh_server(tmp_path, sftp_factory=HangsUp) as server:
        report = examine(address_of(server), login_of(server), directory="/", measure=True)
    check = report.checks[-1]
    assert (check.name, check.outcome, check.error) == ("measure", Outcome.FAILED, "ConnectionLost")
    assert "measured" not in report.profile
