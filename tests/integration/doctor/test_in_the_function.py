"""The doctor as the function answers: a refused login is sent once, and the circuit breaker remembers it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import boto3
import pytest

from s3_to_sftp import handler
from s3_to_sftp.app import build_app
from s3_to_sftp.delivery.configuration import identify_configuration
from s3_to_sftp.doctor.invoked import examine
from s3_to_sftp.errors import PartnerUnreachable
from s3_to_sftp.outcomes import CircuitOpen
from s3_to_sftp.settings import Settings
from s3_to_sftp.state.dynamodb_circuit_breaker import DynamoCircuitBreaker
from s3_to_sftp.state.refused_logins import DynamoRefusedLogins
from tests.support.faults.ssh_door import Asked, Door, failure, ssh_door
from tests.support.lambda_events import LambdaContext
from tests.support.ledger_environment import TABLE, create_table
from tests.support.memory_aws import mock_aws

REGION = "eu-west-1"
CANARY = "canary-5e1f-c0ffee"
EVENT = {"operation": "doctor"}


def refuses(_asked: Asked) -> Sequence[bytes]:
    return [failure("password")]


class Function:
    """A deployed function, in this process.

    Attributes:
        door: The partner, who refuses every login.
        secret: Its ARN.
        checks: Of the last examination, by name.
    """

    checks: dict[str, Any]

    def __init__(self, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
        self.door = door
        create_table(boto3.client("dynamodb"))
        self.secret = boto3.client("secretsmanager").create_secret(Name="login", SecretString="{}")["ARN"]
        self.put_secret(CANARY)
        environment = {
            "SSH_HOST": door.address.host,
            "SSH_PORT": str(door.address.port),
            "SSH_HOST_KEY": door.address.host_keys[0],
            "SSH_SECRET_ARN": self.secret,
            "LEDGER_TABLE": TABLE,
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        settings = Settings.from_environment(environment)
        app = build_app(settings, telemetry=handler.telemetry, new_client=boto3.client)
        monkeypatch.setattr(handler, "_app", lambda: app)

    def put_secret(self, password: str, *, stage: str = "AWSCURRENT") -> None:
        text = json.dumps({"username": "partner", "password": password})
        boto3.client("secretsmanager").put_secret_value(
            SecretId=self.secret, SecretString=text, VersionStages=[stage]
        )

    @property
    def configuration(self) -> str:
        """As deliveries identify it."""
        version = boto3.client("secretsmanager").get_secret_value(SecretId=self.secret)["VersionId"]
        return identify_configuration(self.door.address, "", version)

    def examine(self, **more: Any) -> dict[str, Any]:
        """Return the check of the login."""
        answer: Any = handler.lambda_handler({**EVENT, **more}, LambdaContext())
        assert CANARY not in json.dumps(answer)
        assert not answer["healthy"]
        self.checks = {check["name"]: check for check in answer["checks"]}
        return dict(self.checks["login"])

    @property
    def logins(self) -> int:
        return self.door.methods.count("password")


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> Iterator[Function]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws(), ssh_door(refuses) as door:
        yield Function(door, monkeypatch)


def test_refused_login_is_not_sent_again_until_the_secret_changes(function: Function) -> None:
    first, second = function.examine(), function.examine()
    assert (first["outcome"], first["cause"]) == ("failed", "password-refused")
    assert second["outcome"] == "not tried"
    assert "has refused this very login" in second["text"]
    assert function.logins == 1
    function.put_secret(f"{CANARY}-another")
    assert function.examine()["outcome"] == "failed"
    assert function.logins == 2


def test_report_begins_with_what_holds_deliveries_back(function: Function) -> None:
    function.examine()
    assert list(function.checks)[:2] == ["pause", "breaker"]
    assert [function.checks[name]["outcome"] for name in ("pause", "breaker")] == ["ok", "ok"]
    function.examine()
    breaker = function.checks["breaker"]
    assert (breaker["outcome"], breaker["seconds"] >= 0) == ("warning", True)
    assert breaker["text"].startswith("nothing is delivered; open since ")
    assert "doctor --retry-login" in function.checks["login"]["advice"]


def test_advice_names_settings_as_the_configuration_does(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONFIGURED_BY", raising=False)  # this machine examines with the function's variables
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    variables = {
        "CONFIGURED_BY": "partner.toml",
        "SSH_HOST": "127.0.0.1",
        "SSH_PORT": str(port),
        "SSH_HOST_KEY": function.door.address.host_keys[0],
        "SSH_SECRET_ARN": function.secret,
    }
    report = examine(EVENT, variables, new_client=boto3.client, is_over=lambda: False, ran_in="local")
    (check,) = (each for each in report["checks"] if each["name"] == "connect")
    assert "ssh_port in partner.toml" in check["advice"]
    assert "etried" not in check["advice"]


def test_operator_may_have_a_refused_login_sent_once_more(function: Function) -> None:
    function.examine()
    assert "doctor --retry-login" in function.examine()["advice"]
    assert function.examine(retry_login=True)["outcome"] == "failed"
    assert function.logins == 2


@pytest.mark.parametrize("stage", ["AWSCURRENT", "AWSPENDING"])
def test_refused_login_is_known_by_every_label_of_its_version(stage: str, function: Function) -> None:
    client = boto3.client("secretsmanager")
    version = client.get_secret_value(SecretId=function.secret)["VersionId"]
    client.update_secret_version_stage(
        SecretId=function.secret, VersionStage="AWSPENDING", MoveToVersionId=version
    )
    assert function.examine(secret_version=stage)["outcome"] == "failed"
    for again in ("AWSCURRENT", "AWSPENDING"):
        assert function.examine(secret_version=again)["outcome"] == "not tried"
    assert function.logins == 1


def test_refused_login_is_remembered_while_the_breaker_is_open_for_another_reason(
    function: Function,
) -> None:
    server = str(function.door.address)
    breaker = DynamoCircuitBreaker(boto3.client("dynamodb"), TABLE, server)
    for _ in range(3):
        breaker.failed(PartnerUnreachable("down.", hint="wait."), configuration="another")
    assert breaker.is_open
    assert [function.examine()["outcome"] for _ in range(3)] == ["failed", "not tried", "not tried"]
    assert function.logins == 1


def test_breaker_stays_closed_where_deliveries_use_another_login(function: Function) -> None:
    function.put_secret(f"{CANARY}-pending", stage="AWSPENDING")
    check = function.examine()
    assert "Deliveries may use the login of AWSPENDING" in check["advice"]
    breaker = DynamoCircuitBreaker(boto3.client("dynamodb"), TABLE, str(function.door.address))
    breaker.admit(configuration="any", until=0)
    assert not breaker.is_open


def test_refusal_opens_the_breaker_where_there_is_no_other_login(function: Function) -> None:
    for _ in range(2):  # AWSPREVIOUS holds the same
        function.put_secret(CANARY)
    function.examine()
    breaker = DynamoCircuitBreaker(boto3.client("dynamodb"), TABLE, str(function.door.address))
    with pytest.raises(CircuitOpen, match="does not accept the password"):
        breaker.admit(configuration=function.configuration, until=0)


def test_two_examinations_at_a_time_send_one_login(function: Function) -> None:
    logins = DynamoRefusedLogins(boto3.client("dynamodb"), TABLE, str(function.door.address))
    logins.write(replace(logins.read(), claimed_until=time.time() + 60))
    assert "another examination is logging in" in function.examine()["text"]
    assert function.logins == 0
    state = logins.read()
    logins.write(replace(state, claimed_until=time.time() - 1))
    assert function.examine()["outcome"] == "failed"


def test_login_that_is_not_live_yet_is_tried_and_concerns_no_delivery(function: Function) -> None:
    function.put_secret(f"{CANARY}-pending", stage="AWSPENDING")
    pending = function.examine(secret_version="AWSPENDING")
    assert (pending["outcome"], pending["cause"]) == ("failed", "password-refused")
    assert function.examine(secret_version="AWSPENDING")["outcome"] == "not tried"
    assert function.examine()["outcome"] == "failed", "the login of deliveries was not tried before"
    assert function.logins == 2


def test_request_that_is_none_is_answered(function: Function) -> None:
    answer: Any = handler.lambda_handler({**EVENT, "secret_version": "AWSNEXT"}, LambdaContext())
    assert [check["name"] for check in answer["checks"]] == ["settings"]
    assert function.logins == 0
