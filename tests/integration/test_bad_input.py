"""Wrong configuration and input: one clear error, no secret, no partial file, and the message is retried.

Through `lambda_handler`, with an SQS event, against real servers.
"""

from __future__ import annotations

import io
import json
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import boto3
import pytest

from local.sftp_server import RunningServer, start_asyncssh_server
from s3_to_sftp import handler
from tests.support.faults.sftp_server import (
    NO_SPACE_ON_FILESYSTEM,
    PERMISSION_DENIED,
    DiskFull,
    Fault,
    RefusesRequest,
    faulty,
)
from tests.support.lambda_events import lambda_context, s3_notification, s3_record, sqs_event
from tests.support.memory_aws import mock_aws
from tests.support.partner import contents_below

BUCKET = "bucket"
KEY = "report.csv"
DATA = bytes(range(256)) * 1024
OLD = b"the old file, complete"
PASSWORD = "tr0ub4dor-and-3"
PASSPHRASE = "correct-horse-battery"


@dataclass
class Harness:
    """A configured function that works until a test breaks something.

    Attributes:
        environment: Sets environment variables of the function.
        fill_secret: Puts a text into the secret.
        read_output: Everything that was printed or logged so far.
    """

    server: RunningServer
    environment: Callable[..., None]
    fill_secret: Callable[[str], None]
    read_output: Callable[[], str]
    s3: Any

    def failed_messages(self, body: str | None = None) -> list[str]:
        """Run the function on one message; return the ids of the messages that it reports as failed."""
        body = json.dumps(s3_notification(s3_record(BUCKET, KEY))) if body is None else body
        answer = handler.lambda_handler(sqs_event(m1=body), lambda_context())
        assert answer is not None
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


@pytest.fixture
def fault() -> Fault:
    return Fault(broken=False)


@pytest.fixture
def secrets() -> list[str]:
    """Texts that must not appear in any output; tests add theirs."""
    return [PASSWORD, PASSPHRASE]


@pytest.fixture
def harness(
    root: Path,
    fault: Fault,
    secrets: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> Iterator[Harness]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    log = io.StringIO()
    for logging_handler in logging.getLogger("s3-to-sftp").handlers:
        monkeypatch.setattr(logging_handler, "stream", log)
    caplog.set_level(logging.DEBUG)
    handler._app.cache_clear()
    factory = getattr(request, "param", None) or faulty(RefusesRequest, fault, "open")
    (root / KEY).write_bytes(OLD)
    seen: list[str] = []

    def read_output() -> str:
        seen.extend(capsys.readouterr())
        return "\n".join([*seen, log.getvalue(), caplog.text])

    with mock_aws(), start_asyncssh_server(root, password=PASSWORD, sftp_factory=factory) as server:
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        s3.put_object(Bucket=BUCKET, Key=KEY, Body=DATA)
        secretsmanager = boto3.client("secretsmanager")
        arn = secretsmanager.create_secret(Name="login")["ARN"]
        secrets.append(server.private_key.splitlines()[1])

        def environment(**variables: str | None) -> None:
            for name, value in variables.items():
                if value is None:
                    monkeypatch.delenv(name, raising=False)
                else:
                    monkeypatch.setenv(name, value)

        def fill_secret(text: str) -> None:
            secretsmanager.put_secret_value(SecretId=arn, SecretString=text)

        environment(
            SSH_HOST=server.host,
            SSH_PORT=str(server.port),
            SSH_HOST_KEY=server.host_key,
            SSH_SECRET_ARN=arn,
            SSH_DIR=None,
            SSH_USERNAME=None,
            SSH_PASSWORD=None,
        )
        fill_secret(json.dumps({"username": server.username, "password": PASSWORD}))
        yield Harness(server, environment, fill_secret, read_output, s3)
        output = read_output()
        assert [secret for secret in secrets if secret in output] == []
    handler._app.cache_clear()


def errors_in(output: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in output.splitlines() if line.startswith('{"level"')]
    return [line for line in lines if line["message"].startswith("not delivered")]


def assert_clear_failure(harness: Harness, *words: str, body: str | None = None) -> dict[str, Any]:
    """Run once: the message is retried, one error names cause and hint, the old file is unchanged."""
    assert harness.failed_messages(body) == ["m1"]
    (error,) = errors_in(harness.read_output())
    assert error["reason"]
    assert error["hint"]
    for word in words:
        assert word in error["message"]
    assert contents_below(harness.server.root) == {KEY: OLD}
    return error


def test_function_delivers_when_nothing_is_wrong(harness: Harness) -> None:
    assert harness.failed_messages() == []
    assert contents_below(harness.server.root) == {KEY: DATA}


def test_wrong_password_is_reported_and_tried_once(harness: Harness, secrets: list[str]) -> None:
    secrets.append("not-the-one")
    for _ in range(2):  # AWSPREVIOUS, too
        harness.fill_secret(json.dumps({"username": "partner", "password": "not-the-one"}))
    assert_clear_failure(harness, "does not accept the password", "'partner'", "Check the secret")
    assert harness.server.read_log().count("refused") == 1, "an unchanged password is not tried twice"


def test_closed_port_is_reported_with_a_hint(harness: Harness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    harness.environment(SSH_PORT=str(port))
    assert_clear_failure(harness, f"127.0.0.1:{port} cannot be reached", "refused", "Check SSH_PORT")


@pytest.mark.parametrize("name", ["sftp.partner.invalid", "sftp..partner.example", "x" * 64 + ".example"])
def test_unresolvable_host_name_is_reported_with_a_hint(name: str, harness: Harness) -> None:
    harness.environment(SSH_HOST=name)
    cause = "does not exist" if name.endswith(".invalid") else "cannot be resolved: it is not a host name"
    assert_clear_failure(harness, name, cause, "Check SSH_HOST")


def test_changed_host_key_is_reported_with_the_offered_key(harness: Harness) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    harness.environment(SSH_HOST_KEY=other)
    assert_clear_failure(harness, "not pinned", harness.server.host_key, "SSH_HOST_KEY")


def test_missing_host_key_is_reported_with_the_offered_key(harness: Harness) -> None:
    harness.environment(SSH_HOST_KEY=None)
    assert_clear_failure(harness, "No host key is pinned", harness.server.host_key, "SSH_HOST_KEY")


@pytest.mark.parametrize("name", ["SSH_HOST", "SSH_PORT"])
def test_missing_variable_is_reported_by_name(name: str, harness: Harness) -> None:
    harness.environment(**{name: None})
    assert_clear_failure(harness, f"{name} is not set", "function's configuration")


def test_missing_login_is_reported_with_both_ways_to_configure_it(harness: Harness) -> None:
    harness.environment(SSH_SECRET_ARN=None)
    assert_clear_failure(harness, "SSH_USERNAME is not set", "SSH_SECRET_ARN")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"username: partner, password: {PASSWORD}", "is not JSON"),
        (json.dumps({"password": PASSWORD}), "has no 'username'"),
        (json.dumps({"username": "partner", "passwort": PASSWORD}), "neither 'password' nor 'private_key'"),
        (json.dumps({"username": "REPLACE-ME", "password": ""}), "placeholder"),
    ],
    ids=["not JSON", "no username", "no password", "placeholder"],
)
def test_malformed_secret_is_reported_with_a_hint(text: str, words: str, harness: Harness) -> None:
    harness.fill_secret(text)
    assert_clear_failure(harness, words, "aws secretsmanager put-secret-value")


def test_missing_secret_is_reported_by_its_arn(harness: Harness) -> None:
    harness.environment(SSH_SECRET_ARN="arn:aws:secretsmanager:eu-west-1:123456789012:secret:gone-AbCdEf")
    assert_clear_failure(harness, "gone-AbCdEf cannot be read", "Check that it exists")


def test_damaged_private_key_is_reported_with_a_hint(harness: Harness, secrets: list[str]) -> None:
    secrets.append("Z2FyYmFnZQ")
    garbage = "-----BEGIN OPENSSH PRIVATE KEY-----\nZ2FyYmFnZQ==\n-----END OPENSSH PRIVATE KEY-----\n"
    harness.fill_secret(json.dumps({"username": "partner", "private_key": garbage}))
    assert_clear_failure(harness, "'private_key' of the secret is damaged", "Paste the whole file")


@pytest.mark.parametrize("passphrase", ["not-this-one", ""])
def test_wrong_or_missing_passphrase_is_reported(
    passphrase: str, harness: Harness, secrets: list[str]
) -> None:
    new = asyncssh.generate_private_key("ssh-ed25519")
    key = new.export_private_key(passphrase=PASSPHRASE, rounds=16, ignore_few_rounds=True).decode()
    secrets.extend(["not-this-one", *key.splitlines()[1:-1]])
    harness.fill_secret(json.dumps({"username": "partner", "private_key": key, "passphrase": passphrase}))
    assert_clear_failure(harness, "'private_key' of the secret", "passphrase")


def test_deleted_object_is_reported_without_a_connection(harness: Harness) -> None:
    harness.s3.delete_object(Bucket=BUCKET, Key=KEY)
    assert_clear_failure(harness, f"s3://{BUCKET}/{KEY} is no longer in S3", "put it again")
    assert "connected" not in harness.server.read_log()


def test_missing_bucket_is_reported(harness: Harness) -> None:
    body = json.dumps(s3_notification(s3_record("elsewhere", KEY)))
    assert_clear_failure(harness, "s3://elsewhere/report.csv is no longer in S3", body=body)


def test_overwritten_object_is_reported(harness: Harness) -> None:
    body = json.dumps(s3_notification(s3_record(BUCKET, KEY, etag="0" * 32)))
    assert_clear_failure(harness, "holds other bytes than its event says", body=body)


def refusing(fault: Fault) -> Any:
    return faulty(RefusesRequest, fault, "open", code=PERMISSION_DENIED)


FORBIDS = Fault()
FULL = Fault()


@pytest.mark.parametrize("harness", [refusing(FORBIDS)], indirect=True, ids=[""])
def test_missing_write_permission_is_reported_with_a_hint(harness: Harness) -> None:
    assert_clear_failure(harness, "PERMISSION_DENIED", "Ask the partner for permission to write")
    assert FORBIDS.caused


@pytest.mark.parametrize(
    "harness",
    [faulty(DiskFull, FULL, capacity=100_000, code=NO_SPACE_ON_FILESYSTEM)],
    indirect=True,
    ids=[""],
)
def test_full_disk_at_the_partner_is_reported_with_a_hint(harness: Harness) -> None:
    assert_clear_failure(harness, "NO_SPACE_ON_FILESYSTEM", "Ask the partner to free disk space")
    assert FULL.caused


@pytest.mark.parametrize(
    "body",
    ["not json", "[]", "{}", '{"Records": [{}]}', '{"Records": [{"eventName": "ObjectCreated:Put"}]}', ""],
)
def test_malformed_event_is_reported_with_a_hint(body: str, harness: Harness) -> None:
    assert_clear_failure(harness, "not an S3 notification", "dead-letter queue", body=body)


# --- a corrected configuration takes effect at once, in the same warm function ---


def test_warm_function_reads_a_corrected_password(harness: Harness, secrets: list[str]) -> None:
    secrets.append("not-the-one")
    for _ in range(2):  # AWSPREVIOUS, too
        harness.fill_secret(json.dumps({"username": "partner", "password": "not-the-one"}))
    assert harness.failed_messages() == ["m1"]
    harness.fill_secret(json.dumps({"username": "partner", "password": PASSWORD}))
    assert harness.failed_messages() == []
    assert contents_below(harness.server.root) == {KEY: DATA}


def test_warm_function_reads_a_corrected_private_key(harness: Harness) -> None:
    secret = {"username": "partner", "private_key": harness.server.private_key}
    harness.fill_secret(json.dumps({**secret, "private_key": "garbage"}))
    assert harness.failed_messages() == ["m1"]
    harness.fill_secret(json.dumps(secret))
    assert harness.failed_messages() == []
    assert contents_below(harness.server.root) == {KEY: DATA}
