"""The app is built from its settings: parts that are not configured are left out."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.config import Config

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


def built_app(environment: dict[str, str], **more: str) -> tuple[App, Clients]:
    clients = Clients()
    settings = Settings.from_environment({**environment, **more})
    reporter: Any = object()
    return build_app(settings, telemetry=reporter, new_client=clients), clients


def test_plain_lambda_needs_only_an_s3_client() -> None:
    function, clients = built_app(PLAIN)
    assert list(clients.made) == ["s3"]
    deliveries = function.runner
    assert isinstance(deliveries._delivery._ledger, NoLedger)
    assert isinstance(deliveries._breaker, NoCircuitBreaker)
    assert isinstance(deliveries._pause, NoPause)
    assert deliveries._delivery.sftp._pool._connector._connect is connect
    assert isinstance(deliveries._credentials, FixedCredentials)
    assert deliveries._credentials.current() == Credentials(username="u", password="p")
    assert isinstance(function.publisher, NullPublisher)
    assert function.disposition is None


def test_all_configured_parts_are_built() -> None:
    function, clients = built_app(FULL)
    assert sorted(clients.made) == ["dynamodb", "events", "s3", "secretsmanager"]
    deliveries = function.runner
    assert isinstance(deliveries._delivery._ledger, DynamoLedger)
    assert isinstance(deliveries._breaker, DynamoCircuitBreaker)
    assert isinstance(deliveries._pause, DynamoPause)
    assert isinstance(deliveries._delivery.sftp._pool._connector._connect, TrustingConnect)
    assert isinstance(deliveries._credentials, SecretCredentials)
    assert isinstance(function.publisher, EventPublisher)
    assert function.disposition is not None


def test_all_parts_share_one_publisher() -> None:
    function, _ = built_app(FULL)
    assert function.disposition is not None
    assert function.disposition._publisher is function.publisher
    assert function.runner._publisher is function.publisher


@pytest.mark.parametrize("missing", ["QUEUE_URL", "DEAD_LETTER_QUEUE_URL"])
def test_without_both_queue_urls_there_is_no_disposition(missing: str) -> None:
    function, _ = built_app(FULL, **{missing: ""})
    assert function.disposition is None


def test_sqs_client_is_created_on_first_use() -> None:
    function, clients = built_app(FULL)
    assert function.disposition is not None
    client = function.disposition._queue._client
    assert "sqs" not in clients.made
    assert client.upper() == client.upper() == "CLIENT OF SQS"
    assert "sqs" in clients.made


def test_failed_object_is_recorded_in_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    function, _ = built_app(FULL)
    recorded: list[Any] = []
    monkeypatch.setattr(
        function.runner._delivery._ledger, "record_outcome", lambda *what, **how: recorded.append((what, how))
    )
    assert function.disposition is not None
    error = LedgerError("corrupt.", hint="fix it.")
    function.disposition._give_up(ref(), error)
    about = {"state": "FAILED", "reason": "corrupt.", "hint": "fix it.", "error": error}
    assert recorded == [((ref(),), about)]


def test_what_is_deferred_is_recorded_in_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    function, _ = built_app(FULL)
    recorded: list[Any] = []
    monkeypatch.setattr(
        function.runner._delivery._ledger, "note_deferred", lambda *what, **how: recorded.append((what, how))
    )
    assert function.disposition is not None
    assert function.disposition._note_deferred is not None
    error = LedgerError("busy.", hint="wait.")
    function.disposition._note_deferred(ref(), error, next_try=7, was_tried=True)
    assert recorded == [((ref(), error), {"next_try": 7, "was_tried": True})]


def test_retry_for_reaches_the_retry_policy() -> None:
    function, _ = built_app(FULL, RETRY_FOR_SECONDS="3600")
    assert function.disposition is not None
    assert function.disposition._policy.retry_for == 3600


def test_timeouts_reach_the_connection_pool() -> None:
    function, _ = built_app(PLAIN, SSH_CONNECT_TIMEOUT="7", SSH_REPLY_TIMEOUT="70")
    timeouts = function.runner._delivery.sftp._pool._connector._timeouts
    assert (timeouts.connect, timeouts.reply) == (7, 70)
    timeouts = built_app(PLAIN)[0].runner._delivery.sftp._pool._connector._timeouts
    assert (timeouts.connect, timeouts.reply) == (15, 120)


def test_max_connections_reaches_the_connection_pool() -> None:
    function, _ = built_app(PLAIN, SSH_MAX_CONNECTIONS="4")
    assert function.runner._delivery.sftp._pool.limit == 4


@pytest.mark.parametrize(("variables", "keeps"), [({}, True), ({"SSH_KEEP_CONNECTION": "false"}, False)])
def test_keep_connection_reaches_the_end_of_the_invocation(
    variables: dict[str, str],
    keeps: bool,  # noqa: FBT001 - a parameter
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(
        SftpClient, "end_of_invocation", lambda _self, *, keep_first: asked.append(keep_first)
    )
    built_app(PLAIN, **variables)[0].runner._end_of_invocation()
    assert asked == [keeps]


def test_longest_reply_is_the_reply_timeout() -> None:
    assert built_app(PLAIN)[0].longest_reply == 120
    assert built_app(PLAIN, SSH_REPLY_TIMEOUT="70")[0].longest_reply == 70


def test_sha256_and_directory_reach_the_delivery() -> None:
    delivery = built_app(PLAIN, SSH_SHA256="true", SSH_DIR="inbox")[0].runner._delivery
    assert (delivery._sha256, delivery._directory) == (True, "inbox")


def test_policy_for_unknown_outcomes_reaches_the_delivery() -> None:
    delivery = built_app(PLAIN, UNKNOWN_OUTCOME="resend")[0].runner._delivery
    assert delivery._recovery._if_unknown is UnknownOutcome.RESEND


def test_read_timeout_of_s3_is_longer_than_of_other_services() -> None:
    function, clients = built_app(FULL)
    assert function.disposition is not None
    assert function.disposition._queue._client.upper()  # creates the client
    timeouts = {service: config.read_timeout for service, config in clients.made.items()}  # type: ignore[attr-defined] # set at run time
    assert timeouts.pop("s3") == 30
    assert set(timeouts.values()) == {10}
