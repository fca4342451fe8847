"""The app is built from its settings: parts that are not configured are left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.config import Config

from s3_to_sftp import app
from s3_to_sftp.app import App, build_app
from s3_to_sftp.credentials import Credentials, FixedCredentials, SecretCredentials
from s3_to_sftp.errors import LedgerError
from s3_to_sftp.events import EventPublisher, NullPublisher
from s3_to_sftp.settings import Settings
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.connection import connect
from s3_to_sftp.sftp.trusting_connect import TrustingConnect
from s3_to_sftp.state.circuit_breaker import NoCircuitBreaker
from s3_to_sftp.state.dynamodb_circuit_breaker import DynamoCircuitBreaker
from s3_to_sftp.state.dynamodb_ledger import DynamoLedger
from s3_to_sftp.state.no_ledger import NoLedger
from s3_to_sftp.state.pause import DynamoPause, NoPause
from s3_to_sftp.unknown_outcome import UnknownOutcome
from tests.support.ledger_environment import ref

PLAIN = {"SSH_HOST": "sftp.partner.example", "SSH_PORT": "22", "SSH_USERNAME": "u", "SSH_PASSWORD": "p"}
FULL = {
    "SSH_HOST": "sftp.partner.example",
    "SSH_PORT": "22",
    "SSH_SECRET_ARN": "arn:secret",
    "LEDGER_TABLE": "ledger",
    "QUEUE_URL": "https://queue",
    "DEAD_LETTER_QUEUE_URL": "https://dead-letters",
    "EVENT_BUS": "bus",
}


class Clients:
    """Creates clients, and records their services and configurations."""

    def __init__(self) -> None:
        self.made: dict[str, Config] = {}

    def __call__(self, service: str, *, config: Config) -> str:
        assert service not in self.made
        self.made[service] = config
        return f"client of {service}"


@dataclass
class Part:
    """A part of the app, and the arguments that it was made with."""

    made: Any
    arguments: tuple[Any, ...]
    options: dict[str, Any]


PARTS = (
    "SftpClient",
    "Delivery",
    "InvocationRunner",
    "MessageQueue",
    "RetryPolicy",
    "MessageDisposition",
)


class Assembly:
    """Builds apps, and records the parts of the last one by class name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parts: dict[str, Part] = {}
        for name in PARTS:
            monkeypatch.setattr(app, name, self._recording(name, getattr(app, name)))

    def _recording(self, name: str, make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*arguments: Any, **options: Any) -> Any:
            part = Part(make(*arguments, **options), arguments, options)
            self.parts[name] = part
            return part.made

        return made

    def build(self, environment: dict[str, str], **more: str) -> App:
        self.parts.clear()
        self.clients = Clients()
        settings = Settings.from_environment({**environment, **more})
        reporter: Any = object()
        return build_app(settings, telemetry=reporter, new_client=self.clients)

    def options(self, name: str) -> dict[str, Any]:
        return self.parts[name].options


@pytest.fixture
def assembly(monkeypatch: pytest.MonkeyPatch) -> Assembly:
    return Assembly(monkeypatch)


def test_plain_lambda_needs_only_an_s3_client(assembly: Assembly) -> None:
    function = assembly.build(PLAIN)
    assert list(assembly.clients.made) == ["s3"]
    runner, delivery = assembly.options("InvocationRunner"), assembly.options("Delivery")
    assert isinstance(delivery["ledger"], NoLedger)
    assert isinstance(runner["breaker"], NoCircuitBreaker)
    assert isinstance(runner["pause"], NoPause)
    assert assembly.options("SftpClient")["connect"] is connect
    assert isinstance(runner["credentials"], FixedCredentials)
    assert runner["credentials"].current() == Credentials(username="u", password="p")
    assert isinstance(function.publisher, NullPublisher)
    assert function.disposition is None


def test_all_configured_parts_are_built(assembly: Assembly) -> None:
    function = assembly.build(FULL)
    assert sorted(assembly.clients.made) == ["dynamodb", "events", "s3", "secretsmanager"]
    runner, delivery = assembly.options("InvocationRunner"), assembly.options("Delivery")
    assert isinstance(delivery["ledger"], DynamoLedger)
    assert isinstance(runner["breaker"], DynamoCircuitBreaker)
    assert isinstance(runner["pause"], DynamoPause)
    assert isinstance(assembly.options("SftpClient")["connect"], TrustingConnect)
    assert isinstance(runner["credentials"], SecretCredentials)
    assert isinstance(function.publisher, EventPublisher)
    assert function.disposition is not None


def test_parts_are_those_that_were_built(assembly: Assembly) -> None:
    function = assembly.build(FULL)
    made = {name: part.made for name, part in assembly.parts.items()}
    assert function.runner is made["InvocationRunner"]
    assert function.disposition is made["MessageDisposition"]
    assert assembly.options("InvocationRunner")["delivery"] is made["Delivery"]
    assert assembly.options("Delivery")["sftp"] is made["SftpClient"]
    assert assembly.options("MessageDisposition")["policy"] is made["RetryPolicy"]
    assert assembly.parts["MessageDisposition"].arguments == (made["MessageQueue"],)


def test_client_and_runner_share_the_credentials(assembly: Assembly) -> None:
    assembly.build(FULL)
    assert assembly.parts["SftpClient"].arguments[1] is assembly.options("InvocationRunner")["credentials"]


def test_all_parts_share_one_publisher(assembly: Assembly) -> None:
    function = assembly.build(FULL)
    assert assembly.options("MessageDisposition")["publisher"] is function.publisher
    assert assembly.options("InvocationRunner")["publisher"] is function.publisher


@pytest.mark.parametrize("missing", ["QUEUE_URL", "DEAD_LETTER_QUEUE_URL"])
def test_without_both_queue_urls_there_is_no_disposition(assembly: Assembly, missing: str) -> None:
    assert assembly.build(FULL, **{missing: ""}).disposition is None


def test_sqs_client_is_created_on_first_use(assembly: Assembly) -> None:
    assembly.build(FULL)
    (client,) = assembly.parts["MessageQueue"].arguments
    assert "sqs" not in assembly.clients.made
    assert client.upper() == client.upper() == "CLIENT OF SQS"
    assert "sqs" in assembly.clients.made


def test_failed_object_is_recorded_in_the_ledger(assembly: Assembly, monkeypatch: pytest.MonkeyPatch) -> None:
    assembly.build(FULL)
    recorded: list[Any] = []
    monkeypatch.setattr(
        assembly.options("Delivery")["ledger"],
        "record_outcome",
        lambda *what, **how: recorded.append((what, how)),
    )
    error = LedgerError("corrupt.", hint="fix it.")
    assembly.options("MessageDisposition")["give_up"](ref(), error)
    about = {"state": "FAILED", "reason": "corrupt.", "hint": "fix it.", "error": error}
    assert recorded == [((ref(),), about)]


def test_what_is_deferred_is_recorded_in_the_ledger(
    assembly: Assembly, monkeypatch: pytest.MonkeyPatch
) -> None:
    assembly.build(FULL)
    recorded: list[Any] = []
    monkeypatch.setattr(
        assembly.options("Delivery")["ledger"],
        "note_deferred",
        lambda *what, **how: recorded.append((what, how)),
    )
    error = LedgerError("busy.", hint="wait.")
    assembly.options("MessageDisposition")["note_deferred"](ref(), error, next_try=7, was_tried=True)
    assert recorded == [((ref(), error), {"next_try": 7, "was_tried": True})]


def test_retry_for_reaches_the_retry_policy(assembly: Assembly) -> None:
    assembly.build(FULL, RETRY_FOR_SECONDS="3600")
    assert assembly.options("RetryPolicy") == {"retry_for": 3600}


def test_timeouts_reach_the_client(assembly: Assembly) -> None:
    assembly.build(PLAIN, SSH_CONNECT_TIMEOUT="7", SSH_REPLY_TIMEOUT="70")
    timeouts = assembly.options("SftpClient")["timeouts"]
    assert (timeouts.connect, timeouts.reply) == (7, 70)
    assembly.build(PLAIN)
    timeouts = assembly.options("SftpClient")["timeouts"]
    assert (timeouts.connect, timeouts.reply) == (15, 120)


def test_max_connections_reaches_the_client(assembly: Assembly) -> None:
    assembly.build(PLAIN, SSH_MAX_CONNECTIONS="4")
    assert assembly.options("SftpClient")["max_connections"] == 4


@pytest.mark.parametrize(("variables", "keeps"), [({}, True), ({"SSH_KEEP_CONNECTION": "false"}, False)])
def test_keep_connection_reaches_the_end_of_the_invocation(
    variables: dict[str, str],
    keeps: bool,  # noqa: FBT001 - a parameter
    assembly: Assembly,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(
        SftpClient, "end_of_invocation", lambda _self, *, keep_first: asked.append(keep_first)
    )
    assembly.build(PLAIN, **variables)
    assembly.options("InvocationRunner")["end_of_invocation"]()
    assert asked == [keeps]


def test_longest_reply_is_the_reply_timeout(assembly: Assembly) -> None:
    assert assembly.build(PLAIN).longest_reply == 120
    assert assembly.build(PLAIN, SSH_REPLY_TIMEOUT="70").longest_reply == 70


def test_sha256_and_directory_reach_the_delivery(assembly: Assembly) -> None:
    assembly.build(PLAIN, SSH_SHA256="true", SSH_DIR="inbox")
    delivery = assembly.options("Delivery")
    assert (delivery["sha256"], delivery["directory"]) == (True, "inbox")


def test_policy_for_unknown_outcomes_reaches_the_delivery(assembly: Assembly) -> None:
    assembly.build(PLAIN, UNKNOWN_OUTCOME="resend")
    assert assembly.options("Delivery")["unknown_outcome"] is UnknownOutcome.RESEND


def test_read_timeout_of_s3_is_longer_than_of_other_services(assembly: Assembly) -> None:
    assembly.build(FULL)
    (sqs,) = assembly.parts["MessageQueue"].arguments
    assert sqs.upper()  # creates the client
    timeouts = {service: config.read_timeout for service, config in assembly.clients.made.items()}  # type: ignore[attr-defined] # set at run time
    assert timeouts.pop("s3") == 30
    assert set(timeouts.values()) == {10}
