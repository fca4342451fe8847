"""Keys that sign: what their secrets may hold, and that no error shows any of it."""

from __future__ import annotations

import json
from typing import Any

import pysequoia
import pytest
from botocore.exceptions import EndpointConnectionError

from s3_to_sftp.errors import ConfigurationError, CredentialsError, Disposition, RuleRefused
from s3_to_sftp.rules.signing_keys import READ_AGAIN_AFTER_SECONDS, SigningKeys

KEY, OTHER = (pysequoia.Tsk.generate(name) for name in ("us", "us again"))
PRIVATE = str(KEY)
SECRET_PART = PRIVATE.splitlines()[5]
ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:signing-AbCdEf"


class Secrets:
    """Secrets Manager with one value in all secrets."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.asked: list[str] = []

    def get_secret_value(self, SecretId: str, VersionStage: str) -> dict[str, Any]:  # noqa: N803 -- boto3's
        self.asked.append(SecretId)
        if isinstance(self.value, Exception):
            raise self.value
        name = "SecretBinary" if isinstance(self.value, bytes) else "SecretString"
        return {"VersionId": "1", name: self.value}


def fingerprint(key: Any) -> str:
    return str(key.extract_certificate().fingerprint.upper())


@pytest.mark.parametrize(
    "value",
    [
        PRIVATE,
        PRIVATE.encode(),
        f"\ufeff\n{PRIVATE}",
        json.dumps({"private_key": PRIVATE}),
        json.dumps({"PrivateKey": PRIVATE, "passphrase": None}),
        json.dumps({"private_key": PRIVATE, "passphrase": "not needed"}),
        json.dumps({"private_key": PRIVATE.replace("\n", "\\n")}),
    ],
)
def test_key_is_read_from_text_and_from_json(value: Any) -> None:
    assert SigningKeys(Secrets(value), [ARN]).key("key-1").fingerprint == fingerprint(KEY)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (None, "is empty"),
        (" ", "is empty"),
        ("hunter2", "is neither an armored private key nor JSON with one"),
        (str(KEY.extract_certificate()), "is neither an armored private key nor JSON with one"),
        ("{hunter2", "begins as JSON does, and is none"),
        (json.dumps({"username": "hunter2"}), "has no 'private_key'"),
        (json.dumps({"private_key": ["hunter2"]}), "has a 'private_key' that is not text"),
        (json.dumps({"private_key": "hunter2"}), "holds what is not a private key of OpenPGP"),
        (PRIVATE[: len(PRIVATE) // 2], "holds what is not a private key of OpenPGP"),
        (b"\xff\xfe\xfd", "is binary, and not text"),
    ],
)
def test_unusable_secret_is_told_without_its_content(value: Any, complaint: str) -> None:
    with pytest.raises(CredentialsError, match=complaint) as raised:
        SigningKeys(Secrets(value), [ARN]).key("key-1")
    error = raised.value
    assert ARN in error.reason
    assert "put-secret-value" in error.hint
    assert "private_key" in error.hint
    assert "username" not in error.hint
    for shown in ("hunter2", SECRET_PART):
        assert shown not in str(error)
    assert error.disposition is Disposition.PARTNER  # it waits, and a person can fill the secret


def test_key_that_cannot_sign_is_refused_for_good() -> None:
    former = pysequoia.Tsk.generate("former", validity_seconds=1)
    expired = former.extract_certificate().expiration
    keys = SigningKeys(Secrets(str(former)), [ARN])
    while True:
        try:
            keys.key("key-1")
        except RuleRefused as refused:
            error = refused
            break
        keys = SigningKeys(Secrets(str(former)), [ARN])
    assert (error.rule, error.value) == ("sign_with", fingerprint(former))
    assert f"expired on {expired:%Y-%m-%d}" in error.reason
    assert error.disposition is Disposition.PERMANENT


def test_missing_name_is_a_fault_of_the_configuration() -> None:
    with pytest.raises(ConfigurationError, match="signs with 'key-2', and SSH_SIGNING_KEYS names 1 secrets"):
        SigningKeys(Secrets(PRIVATE), [ARN]).key("key-2")


def test_each_name_is_a_secret_of_its_own() -> None:
    secrets = Secrets(PRIVATE)
    keys = SigningKeys(secrets, [ARN, f"{ARN}2"])
    keys.key("key-2")
    keys.key("key-1")
    assert secrets.asked == [f"{ARN}2", ARN]


def test_key_is_kept_for_a_minute_and_then_read_again() -> None:
    secrets, now = Secrets(PRIVATE), [0.0]
    keys = SigningKeys(secrets, [ARN], clock=lambda: now[0])
    assert keys.key("key-1") is keys.key("key-1")
    secrets.value = str(OTHER)
    assert keys.key("key-1").fingerprint == fingerprint(KEY)
    now[0] += READ_AGAIN_AFTER_SECONDS
    assert keys.key("key-1").fingerprint == fingerprint(OTHER)
    secrets.value = "garbled"
    now[0] += READ_AGAIN_AFTER_SECONDS
    for _ in range(2):
        with pytest.raises(CredentialsError):
            keys.key("key-1")


def test_secrets_manager_without_an_answer_is_an_error_that_passes() -> None:
    secrets = Secrets(EndpointConnectionError(endpoint_url="https://secretsmanager"))
    with pytest.raises(CredentialsError, match="cannot be read"):
        SigningKeys(secrets, [ARN]).key("key-1")
    secrets.value = PRIVATE
    assert SigningKeys(secrets, [ARN]).key("key-1").fingerprint == fingerprint(KEY)
