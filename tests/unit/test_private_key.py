"""Private keys as people paste them: every usual format opens, every mistake is named, no key is shown."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any

import asyncssh
import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519

from s3_to_sftp.errors import CredentialsError
from s3_to_sftp.sftp.private_key import load_private_key

PASSPHRASE = "pass phrase ü"
FORMATS = {
    "openssh": ser.PrivateFormat.OpenSSH,
    "pem": ser.PrivateFormat.TraditionalOpenSSL,
    "pkcs8": ser.PrivateFormat.PKCS8,
}


@functools.cache
def key_of(kind: str) -> Any:
    makers: dict[str, Callable[[], Any]] = {
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ecdsa256": functools.partial(ec.generate_private_key, ec.SECP256R1()),
        "ecdsa384": functools.partial(ec.generate_private_key, ec.SECP384R1()),
        "ecdsa521": functools.partial(ec.generate_private_key, ec.SECP521R1()),
        "rsa": functools.partial(rsa.generate_private_key, 65537, 2048),
        "secp256k1": functools.partial(ec.generate_private_key, ec.SECP256K1()),
        "ed448": ed448.Ed448PrivateKey.generate,
        "x25519": x25519.X25519PrivateKey.generate,
        "dsa": functools.partial(dsa.generate_private_key, 2048),
    }
    return makers[kind]()


@functools.cache
def text_of(kind: str, file_format: str, passphrase: str = "") -> str:
    encryption = ser.BestAvailableEncryption(passphrase.encode()) if passphrase else ser.NoEncryption()
    pem: bytes = key_of(kind).private_bytes(ser.Encoding.PEM, FORMATS[file_format], encryption)
    return pem.decode()


def public_blob(kind: str) -> bytes:
    openssh: bytes = key_of(kind).public_key().public_bytes(ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH)
    return asyncssh.import_public_key(openssh).public_data


ALL = [
    (kind, file_format)
    for kind in ("ed25519", "ecdsa256", "ecdsa384", "ecdsa521", "rsa")
    for file_format in FORMATS
    if (kind, file_format) != ("ed25519", "pem")  # there is no such thing
]


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE], ids=["plain", "encrypted"])
@pytest.mark.parametrize(("kind", "file_format"), ALL)
def test_key_of_every_kind_and_format_opens(kind: str, file_format: str, passphrase: str) -> None:
    key = load_private_key(text_of(kind, file_format, passphrase), passphrase=passphrase)
    assert key.asbytes() == public_blob(kind)
    assert key.can_sign()


@pytest.mark.parametrize(("kind", "file_format"), ALL)
def test_passphrase_of_a_key_without_one_is_ignored(kind: str, file_format: str) -> None:
    key = load_private_key(text_of(kind, file_format), passphrase="not needed")
    assert key.asbytes() == public_blob(kind)


@pytest.mark.parametrize(
    "mangle",
    [
        lambda pem: pem.replace("\n", "\\n"),
        lambda pem: pem.replace("\n", "\r\n"),
        lambda pem: pem.strip(),
        lambda pem: "\n\n  " + pem + "\n\n",
    ],
    ids=["literal \\n", "Windows lines", "no last line break", "blanks around"],
)
@pytest.mark.parametrize("file_format", FORMATS)
def test_line_breaks_that_suffered_are_mended(mangle: object, file_format: str) -> None:
    pem = mangle(text_of("rsa", file_format))  # type: ignore[operator] # a function
    assert load_private_key(pem, passphrase="").asbytes() == public_blob("rsa")


def insist_on_refusal(text: str, *, passphrase: str = "", words: str) -> None:
    with pytest.raises(CredentialsError, match=words) as raised:
        load_private_key(text, passphrase=passphrase)
    shown = "".join(traceback.format_exception(raised.value)) + repr(vars(raised.value))
    secret_lines = [line for line in text.replace("\\n", "\n").splitlines() if len(line) > 20]
    assert [line for line in secret_lines if line in shown and "-----" not in line] == []
    assert not passphrase or passphrase not in shown
    assert raised.value.hint


@pytest.mark.parametrize(("kind", "file_format"), ALL)
def test_wrong_passphrase_is_named(kind: str, file_format: str) -> None:
    text = text_of(kind, file_format, PASSPHRASE)
    insist_on_refusal(text, passphrase="not this one", words="the passphrase is wrong, or the key is damaged")


@pytest.mark.parametrize(("kind", "file_format"), ALL)
def test_missing_passphrase_is_named(kind: str, file_format: str) -> None:
    insist_on_refusal(text_of(kind, file_format, PASSPHRASE), words="encrypted, but 'passphrase' is empty")


@pytest.mark.parametrize("kind", ["secp256k1", "ed448", "x25519", "dsa"])
def test_kind_that_ssh_does_not_use_is_named(kind: str) -> None:
    insist_on_refusal(text_of(kind, "pkcs8"), words="of a type that is not supported")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "does not begin with '-----BEGIN'"),
        ("hello, this is some longer garbage", "does not begin with '-----BEGIN'"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI me@here", "is a public key"),
        ("ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHA me@here", "is a public key"),
        ("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: x", "PuTTY's own format"),
        ("-----BEGIN OPENSSH PRIVATE KEY----- b3BlbnNzaC1rZXktdjE -----END", "lost its line breaks"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----", "is damaged"),
        ("-----BEGIN RSA PRIVATE KEY-----\n!!!\n-----END RSA PRIVATE KEY-----", "is damaged"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "is damaged"),
    ],
)
def test_what_is_no_private_key_is_named_for_what_it_is(text: str, words: str) -> None:
    insist_on_refusal(text, words=words)


def test_public_key_in_pem_is_refused() -> None:
    pem = key_of("rsa").public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)
    insist_on_refusal(pem.decode(), words="is a public key")


@pytest.mark.parametrize(("kind", "file_format"), ALL)
def test_key_with_a_lost_line_is_damaged(kind: str, file_format: str) -> None:
    lines = text_of(kind, file_format).splitlines()
    insist_on_refusal("\n".join([lines[0], *lines[2:]]), words="damaged")


def test_wrong_passphrase_of_a_key_that_is_encrypted_with_gcm_is_told() -> None:
    key = asyncssh.generate_private_key("ssh-ed25519").export_private_key(
        "openssh", passphrase="right", cipher_name="aes256-gcm@openssh.com", rounds=16, ignore_few_rounds=True
    )
    with pytest.raises(CredentialsError, match="passphrase is wrong"):
        load_private_key(key.decode(), passphrase="wrong")
