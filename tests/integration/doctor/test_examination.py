"""The doctor against real servers: what it shows of a healthy one, how it behaves, and what it leaves."""

from __future__ import annotations

import functools
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from local.sftp_server import RunningServer, start_asyncssh_server, start_server
from s3_to_sftp.credentials import Credentials
from s3_to_sftp.doctor.report import Outcome
from s3_to_sftp.errors import LoginRefused
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.protocol import Status
from s3_to_sftp.ssh.connect import Timeouts
from tests.support.doctor_environment import MemoryGuard, examine, first_problem
from tests.support.faults.sftp_server import Fault, Refusal, RefusesRequest, WatchedServer
from tests.support.faults.ssh_door import Asked, failure, ssh_door
from tests.support.partner import address_of, login_of

ALL = ["secret", "name", "connect", "handshake", "host key", "login", "sftp", "directory"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    (tmp_path / "inbox").mkdir()
    with start_server(tmp_path) as running:
        yield running


def test_healthy_server_passes_every_check_over_one_connection(server: RunningServer) -> None:
    report = examine(address_of(server), login_of(server), directory="inbox")
    assert [(check.name, check.outcome) for check in report.checks] == [(name, Outcome.OK) for name in ALL]
    assert report.is_healthy
    assert report.connections == 1


def test_profile_has_what_the_server_shows(server: RunningServer) -> None:
    profile = examine(address_of(server), login_of(server), directory="inbox").profile
    assert profile["version"].startswith("SSH-2.0-")
    assert profile["host_key"]["fingerprint"].startswith("SHA256:")
    assert profile["key_exchange"] in profile["offered"]["key exchange"]
    assert profile["cipher"] in profile["offered"]["ciphers"]
    assert "publickey" in profile["methods"]
    assert profile["sftp"]["version"] == 3
    assert profile["home"]
    json.dumps(profile)


def test_nothing_is_written_unless_it_is_asked_for(server: RunningServer, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    examine(address_of(server), login_of(server), directory="new")
    assert sorted(tmp_path.rglob("*")) == before


def test_write_probe_leaves_no_file(server: RunningServer, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    report = examine(address_of(server), login_of(server), directory="inbox", write=True)
    assert report.checks[-1].name == "write"
    assert report.is_healthy
    assert set(report.profile["write"].values()) == {"ok"}
    assert {"rename", "replace", "write 65536 bytes", "remove"} <= set(report.profile["write"])
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


def test_missing_directory_is_a_warning_and_is_not_made(server: RunningServer, tmp_path: Path) -> None:
    report = examine(address_of(server), login_of(server), directory="outbox")
    check = report.checks[-1]
    assert (check.name, check.outcome) == ("directory", Outcome.WARNING)
    assert "outbox is missing" in check.text
    assert not (tmp_path / "outbox").exists()


def test_file_in_the_place_of_the_directory_is_named(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("")
    assert (
        "outbox is not a directory"
        in examine(address_of(server), login_of(server), directory="outbox").checks[-1].text
    )


def test_link_to_a_directory_is_one(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("inbox")
    report = examine(address_of(server), login_of(server), directory="link")
    assert report.checks[-1].outcome is Outcome.OK


# --- the login ---


def test_refused_login_is_sent_once_and_not_again() -> None:
    def refuses(_asked: Asked) -> Sequence[bytes]:
        return [failure("password")]

    guard = MemoryGuard()
    with ssh_door(refuses) as door:
        login = replace(door.login, password="canary-wrong")
        first = examine(door.address, login, guard=guard)
        second = examine(door.address, login, guard=guard)
    assert door.methods == ["none", "password"]
    assert first_problem(first).cause == "password-refused"
    assert isinstance(guard.refused, LoginRefused)
    assert (first_problem(second).name, first_problem(second).outcome) == ("login", Outcome.NOT_TRIED)
    assert second.checks[-1].text == "(login)"
    assert "canary" not in json.dumps([first.as_json(), second.as_json()])


def test_secret_that_cannot_be_used_lets_the_server_be_examined_up_to_the_login(
    server: RunningServer,
) -> None:
    unusable = Credentials(username="partner", private_key="-----BEGIN canary")
    report = examine(address_of(server), unusable)
    by_name = {check.name: check for check in report.checks}
    assert by_name["secret"].outcome is Outcome.FAILED
    assert by_name["host key"].outcome is Outcome.OK
    assert (by_name["login"].outcome, by_name["login"].text) == (Outcome.NOT_TRIED, "(secret)")
    assert "canary" not in json.dumps(report.as_json())


@pytest.mark.parametrize("field", ["username", "password", "private_key", "passphrase", "certificate"])
def test_no_secret_is_in_the_report_whatever_field_it_is_in(field: str, server: RunningServer) -> None:
    canary = "canary-5e1f-c0ffee"
    login = replace(Credentials(username="partner", password=canary), **{field: canary})
    report = examine(address_of(server), login)
    assert not report.is_healthy
    assert canary not in json.dumps(report.as_json())


# --- the host key ---


def test_login_is_not_sent_to_a_server_that_is_not_the_partner(server: RunningServer) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    guard = MemoryGuard()
    report = examine(address_of(server, host_keys=(other,)), login_of(server), guard=guard)
    problem = first_problem(report)
    assert (problem.name, problem.cause) == ("host key", "host-key-changed")
    assert guard.logins == 0


def test_key_of_another_type_that_an_operator_trusts_is_a_warning(tmp_path: Path) -> None:
    pinned = asyncssh.generate_private_key("ssh-rsa").export_public_key().decode().strip()
    with start_asyncssh_server(tmp_path) as server:
        address = address_of(server, host_keys=(pinned,))
        refused = first_problem(examine(address, login_of(server)))
        assert refused.cause == "host-key-changed"
        (offered,) = re.findall(r"SHA256:\S+(?=\)\. Verify)", refused.advice)
        report = examine(address, login_of(server), trusted=offered)
    assert report.is_healthy, report.checks
    assert {check.name: check.outcome for check in report.checks}["host key"] is Outcome.WARNING
    assert report.connections == 3


def test_key_that_an_operator_trusts_is_a_warning(server: RunningServer) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    address = address_of(server, host_keys=(other,))
    offered = examine(address, login_of(server)).profile["host_key"]["fingerprint"]
    report = examine(address, login_of(server), directory="inbox", trusted=offered)
    assert report.is_healthy
    assert {check.name: check.outcome for check in report.checks}["host key"] is Outcome.WARNING


def test_servers_with_different_keys_behind_one_name_are_recognised(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with (
        start_server(tmp_path / "a") as one,
        start_server(tmp_path / "b") as two,
        alternating(two.port, one.port) as port,
    ):
        report = examine(Server(host="127.0.0.1", port=port, host_keys=one.host_keys), login_of(one))
    problem = first_problem(report)
    assert problem.cause == "host-key-differs-per-node"
    assert report.connections == 2


@contextmanager
def alternating(*ports: int) -> Iterator[int]:
    """A balancer: each connection goes to the next server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        following = iter([*ports, *ports])

        def accept() -> None:
            try:
                while True:
                    client, _ = listener.accept()
                    server = socket.create_connection(("127.0.0.1", next(following)))
                    for one, other in ((client, server), (server, client)):
                        threading.Thread(target=_pump, args=(one, other), daemon=True).start()
            except (OSError, StopIteration):
                return

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


# --- the network ---


def test_dropped_connection_is_told_from_a_function_without_a_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def dropped(*_: object, **__: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr("s3_to_sftp.ssh.tcp.open_connection", dropped)
    server, login = Server(host="192.0.2.1", port=22), Credentials(username="u", password="p")
    dropped_by_them = first_problem(examine(server, login, has_way_out=True))
    assert dropped_by_them.cause == "no-answer"
    assert "checkip.amazonaws.com answers" in dropped_by_them.text
    assert first_problem(examine(server, login, has_way_out=False)).cause == "no-way-out"


def test_server_that_drips_is_bounded() -> None:
    """The time for the greeting is over at its end, not a while after each byte."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def drip() -> None:
            client, _ = listener.accept()
            with client:
                for byte in b"SSH-2.0-Slow" * 100:
                    if stop.wait(0.2):
                        return
                    try:
                        client.sendall(bytes([byte]))
                    except OSError:
                        return

        threading.Thread(target=drip, daemon=True).start()
        patient = Timeouts(connect=1, handshake=1, login=1, reply=1)
        server = Server(host="127.0.0.1", port=listener.getsockname()[1])
        report = examine(server, Credentials(username="u", password="p"), timeouts=patient)
        stop.set()
    assert first_problem(report).name == "handshake"


# --- what the server refuses ---


@pytest.mark.parametrize(
    ("operation", "step"),
    [
        ("open", "create"),
        ("write", "write 1 bytes"),
        ("close", "close"),
        ("posix_rename", "rename"),
    ],
)
def test_step_that_the_server_refuses_is_named(operation: Any, step: str, tmp_path: Path) -> None:
    factory = functools.partial(RefusesRequest, operation=operation, fault=Fault())
    with start_asyncssh_server(tmp_path, sftp_factory=factory) as server:
        report = examine(address_of(server), login_of(server), write=True)
    problem = first_problem(report)
    assert problem.name == "write"
    assert report.profile["write"][step].startswith("status ")
    assert not list(tmp_path.iterdir())


def test_file_that_may_not_be_removed_is_named(tmp_path: Path) -> None:
    factory = functools.partial(RefusesRequest, operation="remove", fault=Fault())
    with start_asyncssh_server(tmp_path, sftp_factory=factory) as server:
        report = examine(address_of(server), login_of(server), write=True)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith("s3-to-sftp-doctor-")
    assert left.name in report.checks[-1].text


def test_file_of_a_refused_write_is_closed_before_it_is_removed(tmp_path: Path) -> None:
    factory = functools.partial(KeepsOpenFiles, operation="write", fault=Fault())
    with start_asyncssh_server(tmp_path, sftp_factory=factory) as server:
        problem = first_problem(examine(address_of(server), login_of(server), write=True))
    assert (problem.name, "may be left" in problem.advice) == ("write", False)
    assert not list(tmp_path.iterdir())


def test_server_that_sweeps_temporary_files_is_recognised(tmp_path: Path) -> None:
    factory = functools.partial(SweepsAnyAtClose, fault=Fault())
    with start_asyncssh_server(tmp_path, sftp_factory=factory) as server:
        problem = first_problem(examine(address_of(server), login_of(server), write=True))
    assert problem.cause == "temporary-file-removed"
    assert "is gone as soon as it was written" in problem.text


@pytest.mark.parametrize(
    ("refused", "taken"),
    [
        (lambda name: name.startswith("."), ["without a dot", "final"]),
        (lambda name: name.endswith(".part"), ["without .part", "final"]),
        (lambda name: name.startswith(".") or name.endswith(".part"), ["final"]),
    ],
    ids=["hidden files", "endings", "both"],
)
def test_names_that_the_server_takes_are_found_out(
    refused: Callable[[str], bool], taken: list[str], tmp_path: Path
) -> None:
    factory = functools.partial(RefusesNames, fault=Fault(), refused=refused)
    with start_asyncssh_server(tmp_path, sftp_factory=factory) as server:
        problem = first_problem(examine(address_of(server), login_of(server), write=True))
    assert problem.cause == "temporary-name-refused"
    said = problem.text.partition("It takes ")[2].partition(", and not ")[0].split(" and ")
    forms = {
        "without a dot": lambda name: not name.startswith("'.") and name.endswith(".part'"),
        "without .part": lambda name: name.startswith("'.") and name.endswith(".txt'"),
        "final": lambda name: name.startswith("'s3-to-sftp-doctor-"),
    }
    assert [form for form, fits in forms.items() if any(map(fits, said))] == taken
    assert len(said) == len(taken)
    assert not list(tmp_path.iterdir())


def test_directory_in_another_case_is_named(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    with start_asyncssh_server(tmp_path) as server:
        problem = first_problem(examine(address_of(server), login_of(server), directory="/Inbox"))
    assert (problem.name, problem.cause) == ("directory", "directory-other-case")


class RefusesNames(WatchedServer):
    """Does not open files of some names."""

    def __init__(self, chan: Any, chroot: bytes, *, fault: Fault, refused: Callable[[str], bool]) -> None:
        super().__init__(chan, chroot, fault=fault)
        self._refused = refused

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        if self._refused(Path(path.decode()).name):
            raise Refusal(Status.PERMISSION_DENIED, "Permission denied")
        return await super().open(path, pflags, attrs)


class SweepsAnyAtClose(WatchedServer):
    """Removes every file in the moment in which it is closed."""

    async def close(self, file_obj: object) -> Any:
        file: Any = file_obj
        result = await super().close(file_obj)
        Path(file.name.decode()).unlink(missing_ok=True)
        return result


class KeepsOpenFiles(RefusesRequest):
    """Removes no file that is open, like Windows; and refuses a request."""

    opened = 0

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        self.opened += 1
        return await super().open(path, pflags, attrs)

    async def close(self, file_obj: object) -> Any:
        self.opened -= 1
        return await super().close(file_obj)

    async def remove(self, path: bytes) -> Any:
        if self.opened:
            raise Refusal(Status.PERMISSION_DENIED, "Sharing violation")
        return await super().remove(path)
