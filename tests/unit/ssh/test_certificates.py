"""Which user certificates can be used, and which host certificates are accepted."""

from __future__ import annotations

import io
import time
from base64 import b64encode

import asyncssh
import paramiko
import pytest

from s3_to_sftp.errors import CredentialsError
from s3_to_sftp.settings import Settings
from s3_to_sftp.ssh.certificates import add_certificate, problem_with_host
from s3_to_sftp.ssh.host_keys import certified_until

AUTHORITY, KEY, OTHER = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(3))
NOW = int(time.time())  # when the tests are collected: they may run much later
DAY = 86_400
HOST = "sftp.partner.example"


def public_line(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key().decode().split()[:2])


PINNED = (f"@cert-authority *.partner.example {public_line(AUTHORITY)}",)


def private_key(key: asyncssh.SSHKey = KEY) -> paramiko.PKey:
    return paramiko.Ed25519Key.from_private_key(io.StringIO(key.export_private_key().decode()))


def user_certificate(key: asyncssh.SSHKey = KEY, **more: object) -> str:
    certificate = AUTHORITY.generate_user_certificate(key, "id", principals=["partner"], **more)  # type: ignore[arg-type]  # passed on
    return certificate.export_certificate().decode()


def host_certificate(
    authority: asyncssh.SSHKey = AUTHORITY, *, names: tuple[str, ...] = (HOST,), **more: object
) -> bytes:
    certificate = authority.generate_host_certificate(KEY, "id", principals=names, **more)  # type: ignore[arg-type]  # passed on
    return certificate.public_data


def test_valid_certificate_is_attached_to_its_key() -> None:
    key = private_key()
    add_certificate(key, user_certificate() + "\n")
    assert key.public_blob is not None
    assert key.public_blob.key_type == "ssh-ed25519-cert-v01@openssh.com"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not an OpenSSH certificate"),
        ("garbage", "is not an OpenSSH certificate"),
        (public_line(KEY), "is not an OpenSSH certificate"),
        (user_certificate()[:200], "is not an OpenSSH certificate"),
        (user_certificate(OTHER), "belongs to another key"),
        (user_certificate(valid_after=NOW - 100, valid_before=NOW - 50), "expired on "),
        (user_certificate(valid_after=NOW + DAY), "is not valid before "),
        (AUTHORITY.generate_host_certificate(KEY, "id").export_certificate().decode(), "is one of a host"),
    ],
    # The texts differ from process to process, and tests are spread over several.
    ids=["empty", "garbage", "public key", "cut off", "other key", "expired", "not yet valid", "of a host"],
)
def test_unusable_user_certificate_raises_with_the_problem(text: str, problem: str) -> None:
    with pytest.raises(CredentialsError, match=f"The 'certificate' of the secret {problem}"):
        add_certificate(private_key(), text)


@pytest.mark.parametrize(
    "names", [(HOST,), ("other", HOST), ("*.partner.example",), ("SFTP.partner.example",), ()]
)
def test_valid_host_certificate_is_accepted(names: tuple[str, ...]) -> None:
    assert problem_with_host(host_certificate(names=names), HOST, PINNED) == ""


def test_end_of_a_certificate_of_a_server_is_known() -> None:
    key = paramiko.Ed25519Key(data=KEY.public_data)
    assert certified_until(key) is None
    key.load_certificate(
        f"ssh-ed25519-cert-v01@openssh.com {b64encode(host_certificate(valid_before=NOW + 9)).decode()}"
    )
    assert certified_until(key) == NOW + 9


def test_rsa_authority_signature_is_accepted_with_sha2_only() -> None:
    authority = asyncssh.generate_private_key("ssh-rsa")
    pinned = (f"@cert-authority * {public_line(authority)}",)
    assert problem_with_host(host_certificate(authority, sig_alg="rsa-sha2-512"), HOST, pinned) == ""
    assert "not signed" in problem_with_host(host_certificate(authority, sig_alg="ssh-rsa"), HOST, pinned)


def altered(shown: bytes) -> bytes:
    """Return the certificate with one bit of its signature changed."""
    return shown[:-1] + bytes([shown[-1] ^ 1])


@pytest.mark.parametrize(
    ("shown", "problem"),
    [
        (b"", "unreadable"),
        (altered(host_certificate()), "unreadable"),
        (host_certificate(OTHER), "not pinned"),
        (host_certificate(names=("sftp.other.example",)), "is for other hosts"),
        (host_certificate(names=("*.other.example",)), "is for other hosts"),
        (host_certificate(valid_after=NOW - 100, valid_before=NOW - 50), "expired on"),
        (host_certificate(valid_after=NOW + DAY), "is not valid before"),
        (AUTHORITY.generate_user_certificate(KEY, "id", principals=[HOST]).public_data, "is one of a user"),
    ],
    ids=["empty", "altered", "another authority", "name", "pattern", "expired", "too early", "user's"],
)
def test_invalid_host_certificate_is_refused_with_the_problem(shown: bytes, problem: str) -> None:
    assert problem in problem_with_host(shown, HOST, PINNED)


@pytest.mark.parametrize(
    ("patterns", "is_trusted"),
    [
        ("*", True),
        ("sftp.partner.example", True),
        ("a.example,*.partner.example", True),
        ("sftp?partner?example", True),
        ("*,!sftp.partner.example", False),
        ("partner.example", False),
        ("s", False),
    ],
)
def test_authority_is_trusted_only_for_the_host_patterns_of_its_line(patterns: str, is_trusted: bool) -> None:  # noqa: FBT001 - of pytest
    problem = problem_with_host(
        host_certificate(), HOST, (f"@cert-authority {patterns} {public_line(AUTHORITY)}",)
    )
    assert problem == ("" if is_trusted else "is signed by an authority that is not pinned for this host")


def test_host_key_setting_keeps_commas_in_host_patterns() -> None:
    line = f"@cert-authority a.example,*.b.example {public_line(AUTHORITY)}"
    settings = Settings.from_environment(
        {
            "SSH_HOST": "h",
            "SSH_PORT": "22",
            "SSH_USERNAME": "u",
            "SSH_PASSWORD": "p",
            "SSH_HOST_KEY": f"{public_line(KEY)},{line},{public_line(OTHER)}\n{line}",
        }
    )
    assert settings.server.host_keys == (public_line(KEY), line, public_line(OTHER), line)
