"""The secret is read once, checked, and never shown."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from s3_to_sftp.credentials import PLACEHOLDER, Credentials, FixedCredentials, SecretCredentials, parse_secret
from s3_to_sftp.errors import CredentialsError
from tests.support.memory_aws import mock_aws
from tests.support.memory_s3 import client_error

CANARY = "hunter2-the-canary"
GOOD = {"username": "partner", "password": CANARY, "private_key": "", "passphrase": ""}


def everything_shown(error: BaseException) -> str:
    """Return what a log may show of an exception: its text, its repr, its traceback."""
    return "".join([str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)])


def test_all_four_fields_are_read() -> None:
    text = json.dumps({"username": "u", "password": "p", "private_key": "k", "passphrase": "s"})
    expected = Credentials(username="u", password="p", private_key="k", passphrase="s")
    assert parse_secret(text, name="n") == expected


EXPECTED = Credentials(username="u", password="p", private_key="k")


@pytest.mark.parametrize(
    "fields",
    [
        {"Username": "u", "Password": "p", "PrivateKey": "k"},
        {"username": "u", "password": "p", "privateKey": "k", "passphrase": None},
        {"username": "u", "Username": "u", "password": "p", "Password": "", "private-key": "k"},
        {"username": " u\n", "password": "p", "private_key": "k", "Passphrase": None},
    ],
    ids=["Transfer Family", "null", "both spellings", "blanks around the name"],
)
def test_alternative_spellings_are_read(fields: dict[str, str | None]) -> None:
    assert parse_secret(json.dumps(fields), name="n") == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_binary_secret_is_read_in_every_encoding_of_json(encoding: str) -> None:
    text = json.dumps({"username": "u", "password": "p\u00fc"}, ensure_ascii=False)
    assert parse_secret(text.encode(encoding), name="n").password == "p\u00fc"


def test_byte_order_mark_is_ignored() -> None:
    text = "\ufeff" + json.dumps({"username": "u", "password": "p"})
    assert parse_secret(text, name="n") == Credentials(username="u", password="p")


@pytest.mark.parametrize("only", ["password", "private_key"])
def test_unused_fields_may_be_missing(only: str) -> None:
    assert parse_secret(json.dumps({"username": "u", only: "x"}), name="n").username == "u"


def test_unknown_fields_are_ignored() -> None:
    assert parse_secret(json.dumps({**GOOD, "comment": 1, "host": "h"}), name="n").username == "partner"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "is empty"),
        (CANARY.encode(), "is binary, and not JSON"),
        (b"\xff\xfe" + b"\xff" * 7, "is binary, and not JSON"),
        (f"-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}", "is a private key, not JSON"),
        (
            json.dumps({**GOOD, "password": f"-----BEGIN PRIVATE KEY-----{CANARY}"}),
            "private key in 'password'",
        ),
        (
            json.dumps({**GOOD, "username": f"-----BEGIN PRIVATE KEY-----{CANARY}"}),
            "private key in 'username'",
        ),
        (json.dumps({**GOOD, "Password": "another"}), "different values in 'Password' and 'password'"),
        (json.dumps({**GOOD, "password": CANARY + "\ud800"}), "has a 'password' that is not valid Unicode"),
        (json.dumps({**GOOD, "password": None}), "has neither 'password' nor 'private_key'"),
        (json.dumps({**GOOD, "username": None}), "has no 'username'"),
        ("", "is not JSON"),
        (CANARY, "is not JSON"),
        ('{"username": "' + CANARY, "is not JSON"),
        (f'"{CANARY}"', "JSON, but not an object"),
        (f'["{CANARY}"]', "JSON, but not an object"),
        ("[" * 100_000, "is not JSON"),
        ("null", "JSON, but not an object"),
        (json.dumps({"password": CANARY}), "has no 'username'"),
        (json.dumps({**GOOD, "username": ""}), "has no 'username'"),
        (json.dumps({"username": "u", "passphrase": CANARY}), "has neither 'password' nor 'private_key'"),
        (json.dumps({**GOOD, "username": PLACEHOLDER}), "still holds the placeholder"),
        (json.dumps({**GOOD, "username": [CANARY]}), "has a 'username' that is not text"),
        (json.dumps({**GOOD, "password": {"a": CANARY}}), "has a 'password' that is not text"),
        (json.dumps({**GOOD, "private_key": 1}), "has a 'private_key' that is not text"),
    ],
)
def test_unusable_secret_raises_reason_and_hint(text: str | bytes | None, words: str) -> None:
    with pytest.raises(CredentialsError, match=words) as raised:
        parse_secret(text, name="arn:of:the:secret")
    assert "put-secret-value --secret-id arn:of:the:secret" in raised.value.hint
    assert CANARY not in everything_shown(raised.value)


def test_repr_of_credentials_shows_no_secret() -> None:
    credentials = Credentials(username="u", password=CANARY, private_key=CANARY, passphrase=CANARY)
    assert CANARY not in repr(credentials)
    assert CANARY not in str(credentials)


# --- Secrets Manager ---


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("secretsmanager", region_name="eu-west-1")


def create(client: Any, **value: Any) -> str:
    arn: str = client.create_secret(Name="login", **value)["ARN"]
    return arn


class CountingClient:
    """Counts the reads of another client."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.reads = 0

    def get_secret_value(self, **request: Any) -> Any:
        self.reads += 1
        return self._client.get_secret_value(**request)


def test_secret_is_read_once(client: Any) -> None:
    counting = CountingClient(client)
    source = SecretCredentials(secret_arn=create(client, SecretString=json.dumps(GOOD)), client=counting)
    assert source.current() == source.current() == Credentials(username="partner", password=CANARY)
    assert counting.reads == 1


def test_refreshed_secret_is_read_again_and_cached(client: Any) -> None:
    arn = create(client, SecretString=json.dumps(GOOD))
    source = SecretCredentials(secret_arn=arn, client=client)
    source.current()
    client.put_secret_value(SecretId=arn, SecretString=json.dumps({**GOOD, "password": "new"}))
    assert source.current().password == CANARY
    assert source.refreshed().password == "new"
    assert source.current().password == "new"


def test_version_is_the_version_id_last_read(client: Any) -> None:
    arn = create(client, SecretString=json.dumps(GOOD))
    source = SecretCredentials(secret_arn=arn, client=client)
    assert source.version == ""
    source.current()
    first = source.version
    new = client.put_secret_value(SecretId=arn, SecretString=json.dumps({**GOOD, "password": "new"}))
    source.current()
    assert source.version == first != new["VersionId"]
    source.refreshed()
    assert source.version == new["VersionId"]
    assert CANARY not in first


def test_unusable_refreshed_secret_clears_the_cache(client: Any) -> None:
    arn = create(client, SecretString=json.dumps(GOOD))
    source = SecretCredentials(secret_arn=arn, client=client)
    source.current()
    client.put_secret_value(SecretId=arn, SecretString="broken")
    for read in (source.refreshed, source.current):
        with pytest.raises(CredentialsError):
            read()


def test_unusable_secret_is_not_cached(client: Any) -> None:
    arn = create(client, SecretString="broken")
    source = SecretCredentials(secret_arn=arn, client=client)
    with pytest.raises(CredentialsError):
        source.current()
    client.put_secret_value(SecretId=arn, SecretString=json.dumps(GOOD))
    assert source.current().username == "partner"


def test_binary_secret_is_read(client: Any) -> None:
    arn = create(client, SecretBinary=json.dumps(GOOD).encode())
    source = SecretCredentials(secret_arn=arn, client=client)
    assert source.current() == Credentials(username="partner", password=CANARY)


def test_binary_secret_that_is_not_json_is_refused(client: Any) -> None:
    source = SecretCredentials(secret_arn=create(client, SecretBinary=CANARY.encode()), client=client)
    with pytest.raises(CredentialsError, match="is binary, and not JSON") as raised:
        source.current()
    assert CANARY not in everything_shown(raised.value)


def test_missing_secret_is_named_in_the_error(client: Any) -> None:
    source = SecretCredentials(secret_arn="arn:of:nothing", client=client)
    with pytest.raises(CredentialsError, match="arn:of:nothing cannot be read") as raised:
        source.current()
    assert "role may read it" in raised.value.hint


@pytest.mark.parametrize(
    "error",
    [
        client_error("AccessDeniedException", 400),
        EndpointConnectionError(endpoint_url="https://secretsmanager.example"),
    ],
)
def test_denied_or_unreachable_secret_is_named_in_the_error(error: Exception) -> None:
    class Refusing:
        def get_secret_value(self, **request: Any) -> Any:
            raise error

    with pytest.raises(CredentialsError, match="arn cannot be read"):
        SecretCredentials(secret_arn="arn", client=Refusing()).current()


def test_fixed_credentials_never_change() -> None:
    login = Credentials(username="u", password="p")
    source = FixedCredentials(login)
    assert source.current() is source.refreshed() is login
    assert source.version == ""
