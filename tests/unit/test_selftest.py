"""The file of a self-test is removed when ledger, name and size say that it is one; nothing else ever is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import boto3
import pytest

from s3_to_sftp import handler
from s3_to_sftp.app import App
from s3_to_sftp.errors import ConfigurationError, LoginRefused
from s3_to_sftp.events import NullPublisher
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.selftest import SelftestFiles, is_selftest_request
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.sftp.protocol import FileAttributes
from s3_to_sftp.sftp.publish import PathStatus
from s3_to_sftp.state.receipt import Receipt
from s3_to_sftp.state.table import Table
from tests.support.lambda_events import lambda_context
from tests.support.ledger_environment import TABLE, LedgerEnvironment, commit_of, create_table, ref
from tests.support.memory_aws import mock_aws
from tests.support.sftp_environment import SftpEnvironment

KEY = "in/s3-to-sftp-selftest-20261129T024500Z-0a1b2c.csv"
SIZE = 7
HOST_KEY = "SHA256:abc"


class Partner:
    """A server with one file."""

    def __init__(self) -> None:
        self.file: PathStatus = PathStatus(FileAttributes(size=SIZE, permissions=0o100644))
        self.host_key = HOST_KEY
        self.refuses: Exception | None = None
        self.lets_remove = True
        self.looked_at: list[str] = []
        self.removals = 0

    def connect(self) -> ServerIdentity:
        if self.refuses:
            raise self.refuses
        return ServerIdentity(host="sftp.example", port=22, user="us", host_key=self.host_key)

    def look_at(self, *paths: str) -> list[PathStatus]:
        self.looked_at += paths
        return [self.file for _ in paths]

    def run(self, _task: Any) -> bool:
        self.removals += 1
        return self.lets_remove


class Environment:
    """A ledger, a partner, and who asks."""

    def __init__(self) -> None:
        dynamodb = boto3.client("dynamodb", region_name="eu-west-1")
        create_table(dynamodb)
        self.ledger = LedgerEnvironment(dynamodb)
        self.partner = Partner()
        self.ended = 0
        self.table = Table(dynamodb, TABLE)
        self.files = SelftestFiles(
            self.table,
            self.partner,  # type: ignore[arg-type] # a stand-in
            end_of_invocation=self._end,
        )

    def _end(self) -> None:
        self.ended += 1

    def delivered(self, key: str = KEY, *, beside: Sequence[str] = (), **about: Any) -> ObjectRef:
        version = ref(key=key, **about)
        ledger = self.ledger.function()
        lease = self.ledger.lease(version, ledger)
        ledger.commit(lease, commit_of(lease, size=SIZE))
        receipt = Receipt(
            ref=version,
            remote_path=lease.remote_path,
            size=SIZE,
            seconds=1,
            checksum_algorithm="CRC32",
            checksum="x",
            streams=1,
            host_key_fingerprint=HOST_KEY,
            details={"companions": list(beside)} if beside else {},
        )
        ledger.delivered(lease, receipt.as_item(request_id="r"))
        return version

    def ask(self, version: ObjectRef, **changes: Any) -> dict[str, Any]:
        return self.files.remove({**request(version), **changes})


def request(version: ObjectRef) -> dict[str, Any]:
    return {
        "operation": "remove-selftest",
        "bucket": version.bucket,
        "key": version.key,
        "version_id": version.version_id,
    }


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield Environment()


def test_file_of_a_delivered_selftest_is_removed(env: Environment) -> None:
    assert env.ask(env.delivered()) == {"removed": True, "reason": ""}
    assert env.partner.looked_at == [f"out/{KEY}"]
    assert (env.partner.removals, env.ended) == (1, 1)


def test_files_beside_it_are_removed_too(env: Environment) -> None:
    version = env.delivered(beside=[f"{KEY}.done", f"{KEY}.sha256"])
    assert env.ask(version) == {"removed": True, "reason": ""}
    assert env.partner.removals == 3


def test_file_beside_it_with_another_name_stays_and_is_told(env: Environment) -> None:
    version = env.delivered(beside=["in/manifest.xml"])
    said = env.ask(version)
    assert not said["removed"]
    assert "is removed, and 'in/manifest.xml' beside it stays" in said["reason"]


def test_file_of_a_version_without_id_is_found_by_etag_and_sequencer(env: Environment) -> None:
    version = env.delivered(version_id=None)
    assert env.ask(version)["removed"] is False
    assert env.ask(version, etag=version.etag, sequencer=version.sequencer)["removed"] is True


def assert_untouched(env: Environment, answer: dict[str, Any], words: str) -> None:
    assert answer["removed"] is False
    assert words in answer["reason"]
    assert env.partner.removals == 0
    assert env.ended == 1


@pytest.mark.parametrize(
    "key", ["in/report.csv", "s3-to-sftp-selftest-1/a.csv", "in/x-s3-to-sftp-selftest-1"]
)
def test_other_file_is_not_removed_however_it_is_asked_for(key: str, env: Environment) -> None:
    assert_untouched(env, env.ask(env.delivered(key)), "does not begin with s3-to-sftp-selftest-")


def test_file_of_another_name_is_not_removed_whatever_the_ledger_says(env: Environment) -> None:
    version = env.delivered()
    item = env.ledger.item(version)["receipt"]["M"]
    env.ledger.write(version, "receipt", {"M": {**item, "remote_path": {"S": "out/report.csv"}}})
    assert_untouched(env, env.ask(version), "is not that of a self-test")


def test_version_that_the_ledger_does_not_know_is_not_removed(env: Environment) -> None:
    assert_untouched(env, env.ask(env.delivered(), version_id="other"), "does not know this version")


def test_version_that_is_being_sent_is_not_removed(env: Environment) -> None:
    version = ref(key=KEY)
    env.ledger.lease(version)
    assert_untouched(env, env.ask(version), "its state is SENDING")


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (PathStatus(FileAttributes(size=8, permissions=0o100644)), "it has 8 bytes, 7 were sent"),
        (PathStatus(FileAttributes(size=SIZE, permissions=0o040755)), "is another file by now"),
        (PathStatus(FileAttributes(permissions=0o100644)), "does not show"),
        (PathStatus(), "does not show"),
        (PathStatus(absent=True), "the partner has collected it"),
    ],
    ids=["another size", "a directory", "no size", "hidden", "taken"],
)
def test_what_is_not_seen_to_be_the_same_file_is_not_removed(
    there: PathStatus, words: str, env: Environment
) -> None:
    env.partner.file = there
    assert_untouched(env, env.ask(env.delivered()), words)


def test_nothing_is_removed_at_another_server(env: Environment) -> None:
    env.partner.host_key = "SHA256:other"
    assert_untouched(env, env.ask(env.delivered()), "another host key")
    assert env.partner.looked_at == []


def test_refusal_of_the_partner_is_the_answer(env: Environment) -> None:
    env.partner.refuses = LoginRefused("The login is refused.", hint="Ask.")
    assert_untouched(env, env.ask(env.delivered()), "The login is refused. Ask.")


def test_file_that_the_server_keeps_is_said_to_be_kept(env: Environment) -> None:
    env.partner.lets_remove = False
    answer = env.ask(env.delivered())
    assert answer["removed"] is False
    assert "does not let" in answer["reason"]


@pytest.mark.parametrize("changes", [{"key": None}, {"bucket": ""}, {"key": 7}, {"version_id": ["v"]}])
def test_request_that_names_no_object_is_answered(changes: dict[str, Any], env: Environment) -> None:
    assert_untouched(env, env.ask(env.delivered(), **changes), "names no object")


@pytest.mark.parametrize("event", [{}, {"Records": []}, {"operation": "remove"}, [], None, "remove-selftest"])
def test_other_events_are_no_request(event: object) -> None:
    assert not is_selftest_request(event)


def test_client_removes_this_file_and_no_other_one(env: Environment) -> None:
    sftp = SftpEnvironment()
    sftp.files.update({f"out/{KEY}": bytearray(SIZE), "out/in/report.csv": bytearray(SIZE)})
    files = SelftestFiles(env.table, sftp.client(), end_of_invocation=lambda: None)
    assert files.remove(request(env.delivered())) == {"removed": True, "reason": ""}
    assert list(sftp.files) == ["out/in/report.csv"]


# The handler


def test_handler_answers_with_what_came_of_it(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    app = App(runner=object(), disposition=None, publisher=NullPublisher(), selftests=env.files)  # type: ignore[arg-type]
    monkeypatch.setattr(handler, "_app", lambda: app)
    answer = handler.lambda_handler(request(env.delivered()), lambda_context())
    assert answer == {"removed": True, "reason": ""}


def test_handler_without_ledger_or_settings_removes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App(runner=object(), disposition=None, publisher=NullPublisher())  # type: ignore[arg-type]
    monkeypatch.setattr(handler, "_app", lambda: app)
    answer: Any = handler.lambda_handler(request(ref(key=KEY)), lambda_context())
    assert "There is no ledger" in answer["reason"]

    def broken() -> App:
        raise ConfigurationError("SSH_HOST is missing.", hint="Set it.")

    monkeypatch.setattr(handler, "_app", broken)
    answer = handler.lambda_handler(request(ref(key=KEY)), lambda_context())
    assert answer == {"removed": False, "reason": "SSH_HOST is missing. Set it."}
