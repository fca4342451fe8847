"""Two canaries of the function at one server that changes in between: what it tells, and what stays quiet."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import boto3
import pytest

from local.processes import free_port
from local.sftp_server import RunningServer, start_sshd
from s3_to_sftp.doctor.canary import examine_as_canary
from s3_to_sftp.doctor.request import DoctorRequest
from s3_to_sftp.events import CHANGED, UNAVAILABLE
from tests.support.ledger_environment import TABLE, create_table
from tests.support.memory_aws import mock_aws
from tests.support.partner import log_of_ended

REGION = "eu-west-1"

pytestmark = pytest.mark.usefixtures("sshd_or_skip")


@dataclass
class Partner:
    """An sshd that is started anew at the same port, with the same host key and login, and another config."""

    root: Path
    state: Path
    port: int = field(default_factory=free_port)
    host_key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    login: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))

    @contextmanager
    def runs(self, *config: str, more_host_keys: Sequence[str] = ()) -> Iterator[RunningServer]:
        host_key, authorized = self.state / "host_key", self.state / "authorized_keys"
        if not host_key.exists():
            host_key.touch(mode=0o600)
            host_key.write_bytes(self.host_key.export_private_key())
            authorized.write_bytes(self.login.export_public_key())
        lines = [*config, f"HostKey {host_key}", f"AuthorizedKeysFile {authorized}"]
        with start_sshd(
            self.root, port=self.port, extra_config=lines, host_key_types=more_host_keys
        ) as running:
            yield running


class Function:
    """The canary of a deployed function, in this process, with the AWS of moto."""

    def __init__(self, partner: Partner) -> None:
        self.partner = partner
        self.events: list[dict[str, Any]] = []
        self.counted: list[tuple[int, int]] = []
        create_table(boto3.client("dynamodb"))
        login = {
            "username": getpass.getuser(),
            "private_key": partner.login.export_private_key().decode(),
        }
        secrets = boto3.client("secretsmanager")
        self.secret = secrets.create_secret(Name="login", SecretString=json.dumps(login))["ARN"]
        self.now = 1_795_392_000.0

    def canary(self, *, changes: Sequence[str], failures: Sequence[str], failed: int) -> None:
        """Count as telemetry."""
        self.counted.append((len(changes) + len(failures), failed))

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - AWS's name
        self.events += Entries
        return {"Entries": [{} for _ in Entries]}

    def examines(self, server: RunningServer) -> dict[str, Any]:
        """Run the canary of the next day."""
        self.now += 86_400
        environment = {
            "SSH_HOST": server.host,
            "SSH_PORT": str(server.port),
            "SSH_HOST_KEY": self.partner.host_key.export_public_key().decode(),
            "SSH_SECRET_ARN": self.secret,
            "SSH_DIR": "inbox",
            "LEDGER_TABLE": TABLE,
            "EVENT_BUS": "default",
        }
        return examine_as_canary(
            DoctorRequest(canary=True).as_event(),
            environment,
            new_client=lambda name, **more: self if name == "events" else boto3.client(name, **more),
            is_over=lambda: False,
            telemetry=self,
            clock=lambda: self.now,
            sleep=lambda _seconds: None,
        )


@pytest.fixture
def function(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Function]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    state = tmp_path / "state"
    state.mkdir()
    (root / "inbox").mkdir()
    with mock_aws():
        yield Function(Partner(root, state))


def test_server_that_stays_as_it_is_changes_nothing(function: Function, root: Path) -> None:
    for _ in range(2):
        with function.partner.runs() as server:
            said = function.examines(server)
            assert said["healthy"], said
            assert (said["changes"], said["failures"], said["connections"]) == ([], [], 1)
    assert function.events == []
    assert function.counted == [(0, 0)] * 2
    assert list((root / "inbox").iterdir()) == []


def test_new_host_key_cipher_version_and_methods_are_told_in_one_event(function: Function) -> None:
    with function.partner.runs("Ciphers aes256-gcm@openssh.com,aes128-gcm@openssh.com") as server:
        function.examines(server)
    config = ["VersionAddendum Acme", "Ciphers aes256-ctr", "KexAlgorithms ecdh-sha2-nistp256"]
    config += ["KbdInteractiveAuthentication no"]
    with function.partner.runs(*config, more_host_keys=["ssh-rsa"]) as server:
        said = function.examines(server)
        new_key = asyncssh.import_public_key(server.host_keys[-1]).get_fingerprint()
        again = function.examines(server)
    assert said["healthy"]
    told = said["changes"]
    assert [each.split(" changed")[0] for each in told if " changed" in each] == [
        "The version of the server",
        "The key exchange",
        "The cipher",
        "The methods of login",
    ]
    assert told[-1].startswith(f"The host key {new_key} (ssh-rsa) is offered beside the pinned one.")
    assert len(told) == 5
    assert (again["changes"], again["failures"]) == ([], [])
    (event,) = function.events
    assert event["DetailType"] == CHANGED
    assert json.loads(event["Detail"])["changes"] == told
    assert function.counted == [(0, 0), (5, 0), (0, 0)]


def test_refused_login_is_told_once_and_sent_once(function: Function) -> None:
    with function.partner.runs() as server:
        function.examines(server)
    with function.partner.runs("PubkeyAuthentication no", "PasswordAuthentication yes") as server:
        said = function.examines(server)
    refusing = f"AllowUsers nobody-{server.username}"
    with function.partner.runs(refusing) as server:
        before = server.read_log()
        function.examines(server)
        assert "not allowed" not in log_of_ended(server).removeprefix(before)
    assert [each["DetailType"] for each in function.events] == [UNAVAILABLE, CHANGED]
    (failure,) = said["failures"]
    assert failure.startswith("login failed at 2026-11-25 00:00 UTC (it worked at 2026-11-24 00:00 UTC): ")
    assert function.counted == [(0, 0), (2, 1), (0, 1)]


def test_missing_directory_is_told_and_is_not_made(function: Function, root: Path) -> None:
    with function.partner.runs() as server:
        function.examines(server)
        (root / "inbox").rmdir()
        said = function.examines(server)
    (failure,) = said["failures"]
    assert "inbox is missing" in failure
    assert not (root / "inbox").exists()


def test_server_that_is_away_is_told(function: Function) -> None:
    with function.partner.runs() as server:
        function.examines(server)
    said = function.examines(server)
    assert [each.split()[0] for each in said["failures"]] == ["connect"]
    with function.partner.runs() as server:
        assert function.examines(server)["healthy"]
    assert function.counted == [(0, 0), (1, 1), (0, 0)]
