"""`key --public`: the public half, and nothing else of the secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.support.cli import CliEnvironment, check_schema

PASSPHRASE = "correct horse"


def new_key(passphrase: str = "") -> tuple[str, str]:
    """A private key, and the public one as ssh-keygen writes it."""
    key = ed25519.Ed25519PrivateKey.generate()
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    openssh = serialization.PrivateFormat.OpenSSH
    private = key.private_bytes(serialization.Encoding.PEM, openssh, encryption).decode()
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private, public.decode()


@pytest.fixture
def fill(cli: CliEnvironment) -> Callable[..., Any]:
    """Fill the secret of the delivery."""

    def fill(value: str | None = None, *, stage: str = "AWSCURRENT", **fields: str) -> None:
        client = cli.aws.client("secretsmanager")
        text = json.dumps(fields) if value is None else value
        if cli.delivery.secret_arn is None:
            cli.deploy(secret_arn=client.create_secret(Name="login", SecretString=text)["ARN"])
            return
        client.put_secret_value(SecretId="login", SecretString=text, VersionStages=[stage])

    return fill


def test_shows_the_line_for_authorized_keys_and_the_fingerprint(
    cli: CliEnvironment, fill: Callable[..., Any]
) -> None:
    private, public = new_key()
    fill(username="us", private_key=private)
    outcome = cli.run("key", "--public")
    line, fingerprint, about = outcome.stdout.splitlines()
    assert line == f"{public} Acme-Function"
    assert fingerprint.startswith("SHA256:")
    assert about == "256 bits, user us"
    document = cli.run("key", "--public", "--json").json
    check_schema("key", document)
    assert document["public_key"] == line
    for text in (outcome.stdout, json.dumps(document)):
        assert private.splitlines()[2] not in text


def test_passphrase_of_the_secret_opens_the_key(cli: CliEnvironment, fill: Callable[..., Any]) -> None:
    private, public = new_key(PASSPHRASE)
    fill(username="us", private_key=private, passphrase=PASSPHRASE, password="secret-word")
    outcome = cli.run("key", "--public")
    assert outcome.stdout.startswith(public)
    assert "and a password" in outcome.stdout
    assert PASSPHRASE not in outcome.stdout
    assert "secret-word" not in outcome.stdout


def test_wrong_passphrase_is_said_without_showing_it(cli: CliEnvironment, fill: Callable[..., Any]) -> None:
    private, _ = new_key(PASSPHRASE)
    fill(username="us", private_key=private, passphrase="wrong-one")
    outcome = cli.run("key", "--public")
    assert outcome.code == 6
    assert "the passphrase is wrong" in outcome.stderr
    assert "wrong-one" not in outcome.stderr


def test_pending_version_is_another_key(cli: CliEnvironment, fill: Callable[..., Any]) -> None:
    (old, old_public), (new, new_public) = new_key(), new_key()
    fill(username="us", private_key=old)
    fill(username="us", private_key=new, stage="AWSPENDING")
    assert cli.run("key", "--public").stdout.startswith(old_public)
    assert cli.run("key", "--public", "--secret-version", "AWSPENDING").stdout.startswith(new_public)


def test_missing_version_is_said(cli: CliEnvironment, fill: Callable[..., Any]) -> None:
    fill(username="us", private_key=new_key()[0])
    outcome = cli.run("key", "--public", "--secret-version", "AWSPENDING")
    assert outcome.code == 4
    assert "with a version AWSPENDING" in outcome.stderr


def test_password_alone_has_no_key(cli: CliEnvironment, fill: Callable[..., Any]) -> None:
    fill(username="us", password="secret-word")
    outcome = cli.run("key", "--public")
    assert outcome.code == 4
    assert "is a password: there is no key" in outcome.stderr
    assert "secret-word" not in outcome.stderr


def test_placeholder_says_how_to_fill_the_secret(cli: CliEnvironment, fill: Callable[..., Any]) -> None:
    fill(username="REPLACE-ME", password="")
    outcome = cli.run("key", "--public")
    assert outcome.code == 6
    assert "still holds the placeholder" in outcome.stderr
    assert "aws secretsmanager put-secret-value" in outcome.stderr


def test_pasted_private_key_is_not_shown(cli: CliEnvironment, fill: Callable[..., Any]) -> None:
    private, _ = new_key()
    fill(private)
    outcome = cli.run("key", "--public")
    assert outcome.code == 6
    assert private.splitlines()[1] not in outcome.stderr


def test_login_in_the_environment_has_no_key(cli: CliEnvironment) -> None:
    outcome = cli.run("key", "--public")
    assert outcome.code == 4
    assert "in its environment" in outcome.stderr


def test_private_key_cannot_be_asked_for(cli: CliEnvironment) -> None:
    outcome = cli.run("key")
    assert outcome.code == 2
    assert "Only the public key" in outcome.stderr


def test_missing_permission_names_the_action(cli: CliEnvironment, fill: Callable[..., Any]) -> None:
    fill(username="us", password="x")
    cli.refused.add("secretsmanager:GetSecretValue")
    outcome = cli.run("key", "--public")
    assert outcome.code == 5
    assert "secretsmanager:GetSecretValue" in outcome.stderr


@pytest.mark.parametrize("version", ["v9", "AWSNEXT", "x" * 65])
def test_version_that_cannot_be_is_a_usage_error(
    cli: CliEnvironment, fill: Callable[..., Any], version: str
) -> None:
    fill(username="us", password="p")
    outcome = cli.run("key", "--public", "--secret-version", version)
    assert outcome.code == 2
    assert f"{version!r} is neither a stage nor the id of a version" in outcome.stderr
