"""What an operator types reaches the function: a changed host key that is trusted, and a pause."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from local.sftp_server import RunningServer, start_asyncssh_server
from s3_to_sftp.app import App, build_app
from s3_to_sftp.delivery.deadline import Invocation
from s3_to_sftp.errors import HostKeyRefused
from s3_to_sftp.outcomes import CircuitOpen, DeliveriesPaused
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.settings import Settings
from s3_to_sftp.state.known_server import known_server_keys, read_known_server
from s3_to_sftp.state.table import Table
from s3_to_sftp.telemetry import NullTelemetry
from tests.support.cli import CliEnvironment, cli_environment
from tests.support.memory_s3 import MemoryS3
from tests.support.partner import log_of_ended


def public_line(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key().decode().split()[:2])


class Deployment:
    """A function that pins one key of a server, its ledger, and the command that operates it."""

    def __init__(self, cli: CliEnvironment, server: RunningServer, *, pinned: str) -> None:
        self.cli = cli
        self.s3 = MemoryS3({"a.csv": b"A", "b.csv": b"B"})
        cli.deploy(host=server.host, port=server.port, host_keys=(pinned,), configured_by="construct")
        environment = {
            "SSH_HOST": server.host,
            "SSH_PORT": str(server.port),
            "SSH_USERNAME": server.username,
            "SSH_PASSWORD": server.password or "",
            "SSH_HOST_KEY": pinned,
            "LEDGER_TABLE": cli.ledger.table,
        }

        self._settings = Settings.from_environment(environment)
        self.app = self._new_app()

    def _new_app(self) -> App:
        def client(service: str, **_: Any) -> Any:
            return self.s3 if service == "s3" else self.cli.aws.client(service)

        return build_app(self._settings, telemetry=NullTelemetry(), new_client=client)

    def another_environment(self) -> Deployment:
        """Return it as a fresh execution environment of the function delivers."""
        fresh = copy.copy(self)
        fresh.app = fresh._new_app()
        return fresh

    def ref(self, key: str) -> ObjectRef:
        return replace(self.s3.ref(key), sequencer="0A")

    def deliver(self, *keys: str) -> list[type[Exception]]:
        """Deliver objects in one invocation; return the types of the errors."""
        invocation = replace(Invocation.longest(), request_id="request")
        errors = self.app.runner.deliver([self.ref(key) for key in keys], invocation)
        return [type(error) for error in errors.values()]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Iterator[CliEnvironment]:
    with cli_environment(monkeypatch) as environment:
        yield environment


def test_changed_host_key_is_trusted_on_an_operators_word_and_shown_in_the_receipt(
    cli: CliEnvironment, root: Path
) -> None:
    old, new = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    with start_asyncssh_server(root, host_keys=[new]) as server:
        deployment = Deployment(cli, server, pinned=public_line(old))
        assert deployment.deliver("a.csv") == [HostKeyRefused]
        assert deployment.deliver("a.csv") == [CircuitOpen]

        outcome = cli.run("trust-host-key", new.get_fingerprint(), "--reason", "new machine")
        assert outcome.code == 0
        assert f"offered   {new.get_fingerprint()}" in outcome.stdout
        assert f'    "{public_line(new)}",' in outcome.stdout

        assert deployment.deliver("a.csv", "b.csv") == []
        assert sorted(path.name for path in root.iterdir()) == ["a.csv", "b.csv"]
        receipt = cli.read(deployment.ref("a.csv"))["receipt"]["M"]
        assert receipt["host_key"] == {"S": new.get_fingerprint()}


def test_operators_word_for_another_key_changes_nothing(cli: CliEnvironment, root: Path) -> None:
    old, other = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    with start_asyncssh_server(root) as server:
        deployment = Deployment(cli, server, pinned=public_line(old))
        assert deployment.deliver("a.csv") == [HostKeyRefused]
        outcome = cli.run("trust-host-key", other.get_fingerprint(), "--reason", "mistyped")
        assert "the server showed another key" in outcome.stderr
        assert deployment.deliver("a.csv") == [HostKeyRefused]
        assert list(root.iterdir()) == []
        assert server.username not in log_of_ended(server)


def test_pause_holds_deliveries_and_resume_lets_them_go(cli: CliEnvironment, root: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    with start_asyncssh_server(root, host_keys=[key]) as server:
        deployment = Deployment(cli, server, pinned=public_line(key))
        assert deployment.deliver("a.csv") == []
        assert cli.run("pause", "--until", "2h", "--reason", "maintenance").code == 0
        assert deployment.deliver("b.csv") == [DeliveriesPaused]
        assert [path.name for path in root.iterdir()] == ["a.csv"]
        assert cli.run("resume").code == 0
        assert deployment.deliver("b.csv") == []
        assert sorted(path.name for path in root.iterdir()) == ["a.csv", "b.csv"]


def test_fresh_function_knows_what_another_one_has_learned(cli: CliEnvironment, root: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    with start_asyncssh_server(root, host_keys=[key]) as server:
        deployment = Deployment(cli, server, pinned=public_line(key))
        keys = known_server_keys(f"{server.host}:{server.port}", server.username)
        assert deployment.deliver("a.csv") == []
        learned = Table(cli.aws.client("dynamodb"), cli.ledger.table).read(*keys)
        assert learned is not None
        assert read_known_server(learned).host_key == key.get_fingerprint()
        fresh = deployment.another_environment()
        assert fresh.deliver("b.csv") == []
        assert sorted(path.name for path in root.iterdir()) == ["a.csv", "b.csv"]
        assert Table(cli.aws.client("dynamodb"), cli.ledger.table).read(*keys) == learned
