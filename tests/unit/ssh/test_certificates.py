"""What a certificate must be to be used, and what one of a host must prove."""

from __future__ import annotations

import io
import time

import asyncssh
import paramiko
import pytest

from s3_to_sftp.errors import CredentialsError
from s3_to_sftp.settings import Settings
from s3_to_sftp.ssh.certificates import add_certificate, problem_with_host

AUTHORITY, KEY, OTHER = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(3))
NOW = int(time.time())
HOST = "sftp.partner.example"


def public(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key().decode().split()[:2])


PINNED = (f"@cert-authority *.partner.example {public(AUTHORITY)}",)


def pkey(key: asyncssh.SSHKey = KEY) -> paramiko.PKey:
    return paramiko.Ed25519Key.from_private_key(io.StringIO(key.export_private_key().decode()))


def of_user(key: asyncssh.SSHKey = KEY, **more: object) -> str:
    certificate = AUTHORITY.generate_user_certificate(key, "id", principals=["partner"], **more)  # type: ignore[arg-type]  # passed on
    return certificate.export_certificate().decode()


def of_host(
    authority: asyncssh.SSHKey = AUTHORITY, *, names: tuple[str, ...] = (HOST,), **more: object
) -> bytes:
    certificate = authority.generate_host_certificate(KEY, "id", principals=names, **more)  # type: ignore[arg-type]  # passed on
    return certificate.public_data


def test_certificate_is_offered_with_its_key() -> None:
    key = pkey()
    add_certificate(key, of_user() + "\n")
    assert key.public_blob is not None
    assert key.public_blob.key_type == "ssh-ed25519-cert-v01@openssh.com"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not an OpenSSH certificate"),
        ("garbage", "is not an OpenSSH certificate"),
        (public(KEY), "is not an OpenSSH certificate"),
        (of_user()[:200], "is not an OpenSSH certificate"),
        (of_user(OTHER), "belongs to another key"),
        (of_user(valid_after=NOW - 100, valid_before=NOW - 50), "expired on "),
        (of_user(valid_after=NOW + 3600), "is not valid before "),
        (AUTHORITY.generate_host_certificate(KEY, "id").export_certificate().decode(), "is one of a host"),
    ],
    # The texts differ from process to process, and tests are spread over several.
    ids=["empty", "garbage", "public key", "cut off", "other key", "expired", "not yet valid", "of a host"],
)
def test_certificate_that_cannot_be_right_is_named_before_it_is_sent(text: str, problem: str) -> None:
    with pytest.raises(CredentialsError, match=f"The 'certificate' of the secret {problem}"):
        add_certificate(pkey(), text)


@pytest.mark.parametrize(
    "names", [(HOST,), ("other", HOST), ("*.partner.example",), ("SFTP.partner.example",), ()]
)
def test_certificate_of_the_host_has_no_problem(names: tuple[str, ...]) -> None:
    assert problem_with_host(of_host(names=names), HOST, PINNED) == ""


def test_rsa_authority_signs_with_sha2_alone() -> None:
    authority = asyncssh.generate_private_key("ssh-rsa")
    pinned = (f"@cert-authority * {public(authority)}",)
    assert problem_with_host(of_host(authority, sig_alg="rsa-sha2-512"), HOST, pinned) == ""
    assert "not signed" in problem_with_host(of_host(authority, sig_alg="ssh-rsa"), HOST, pinned)


def altered(shown: bytes) -> bytes:
    """The same certificate, but for one bit of its signature; each call of `of_host` makes another one."""
    return shown[:-1] + bytes([shown[-1] ^ 1])


@pytest.mark.parametrize(
    ("shown", "problem"),
    [
        (b"", "unreadable"),
        (altered(of_host()), "unreadable"),
        (of_host(OTHER), "not pinned"),
        (of_host(names=("sftp.other.example",)), "is for other hosts"),
        (of_host(names=("*.other.example",)), "is for other hosts"),
        (of_host(valid_after=NOW - 100, valid_before=NOW - 50), "expired on"),
        (of_host(valid_after=NOW + 3600), "is not valid before"),
        (AUTHORITY.generate_user_certificate(KEY, "id", principals=[HOST]).public_data, "is one of a user"),
    ],
    ids=["empty", "altered", "another authority", "name", "pattern", "expired", "too early", "user's"],
)
def test_certificate_that_proves_nothing_says_why(shown: bytes, problem: str) -> None:
    assert problem in problem_with_host(shown, HOST, PINNED)


@pytest.mark.parametrize(
    ("patterns", "good"),
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
def test_authority_is_trusted_for_the_hosts_of_its_line(patterns: str, good: bool) -> None:  # noqa: FBT001 - of pytest
    problem = problem_with_host(of_host(), HOST, (f"@cert-authority {patterns} {public(AUTHORITY)}",))
    assert problem == ("" if good else "is signed by an authority that is not pinned for this host")


def test_setting_keeps_the_commas_of_host_patterns() -> None:
    line = f"@cert-authority a.example,*.b.example {public(AUTHORITY)}"
    settings = Settings.from_environment(
        {
            "SSH_HOST": "h",
            "SSH_PORT": "22",
            "SSH_USERNAME": "u",
            "SSH_PASSWORD": "p",
            "SSH_HOST_KEY": f"{public(KEY)},{line},{public(OTHER)}\n{line}",
        }
    )
    assert settings.server.host_keys == (public(KEY), line, public(OTHER), line)
