"""Private keys as people paste them: every usual format opens, every mistake is named, no key is shown."""

from __future__ import annotations

import base64
import functools
import shutil
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from hypothesis import given, settings
from hypothesis import strategies as st

from s3_to_sftp.errors import CredentialsError
from s3_to_sftp.ssh.private_key import load_private_key
from tests.support import putty_keys

PASSPHRASE = "pass phrase ü"
FORMATS = {
    "openssh": serialization.PrivateFormat.OpenSSH,
    "pem": serialization.PrivateFormat.TraditionalOpenSSL,
    "pkcs8": serialization.PrivateFormat.PKCS8,
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
    encryption = (
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption()
    )
    pem: bytes = key_of(kind).private_bytes(serialization.Encoding.PEM, FORMATS[file_format], encryption)
    return pem.decode()


def public_blob(kind: str) -> bytes:
    openssh: bytes = (
        key_of(kind)
        .public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    )
    return asyncssh.import_public_key(openssh).public_data


KEY_TYPES_AND_FORMATS = [
    (kind, file_format)
    for kind in ("ed25519", "ecdsa256", "ecdsa384", "ecdsa521", "rsa")
    for file_format in FORMATS
    if (kind, file_format) != ("ed25519", "pem")  # there is no such thing
]


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE], ids=["plain", "encrypted"])
@pytest.mark.parametrize(("kind", "file_format"), KEY_TYPES_AND_FORMATS)
def test_key_of_every_kind_and_format_opens(kind: str, file_format: str, passphrase: str) -> None:
    key = load_private_key(text_of(kind, file_format, passphrase), passphrase=passphrase)
    assert key.asbytes() == public_blob(kind)
    assert key.can_sign()


@pytest.mark.parametrize(("kind", "file_format"), KEY_TYPES_AND_FORMATS)
def test_passphrase_of_a_key_without_one_is_ignored(kind: str, file_format: str) -> None:
    key = load_private_key(text_of(kind, file_format), passphrase="not needed")
    assert key.asbytes() == public_blob(kind)


BAG_ATTRIBUTES = """Bag Attributes
    friendlyName: partner
    localKeyID: 54 69 6D 65 20 31
Key Attributes: <No Attributes>
"""
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PARAMETERS = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


@pytest.mark.parametrize(
    "alter",
    [
        lambda pem: pem.replace("\n", "\\n"),
        lambda pem: pem.replace("\n", "\r\n"),
        lambda pem: pem.strip(),
        lambda pem: "\n\n  " + pem + "\n\n",
        lambda pem: pem.replace("\n", "\\r\\n"),
        lambda pem: pem.replace("\n", "\r"),
        lambda pem: pem.replace("\n", " "),
        lambda pem: pem.replace("\n", "\u00a0\u2028"),
        lambda pem: pem.replace("\n", "\n    "),
        lambda pem: "".join(pem.split("\n")),
        lambda pem: "\ufeff" + pem,
        lambda pem: pem.replace("-----", "\u2014\u2014-"),
        lambda pem: f'"{pem}"',
        lambda pem: BAG_ATTRIBUTES + pem + CERTIFICATE,
        lambda pem: base64.b64encode(pem.encode()).decode(),
    ],
    ids=[
        "literal \\n",
        "Windows lines",
        "no last line break",
        "blanks around",
        "literal \\r\\n",
        "Macintosh lines",
        "blanks for line breaks",
        "other blanks for line breaks",
        "indented",
        "no line breaks",
        "byte order mark",
        "dashes",
        "quoted",
        "bag attributes and a certificate",
        "base64 of the file",
    ],
)
@pytest.mark.parametrize("file_format", FORMATS)
def test_altered_line_breaks_are_restored(alter: object, file_format: str) -> None:
    pem = alter(text_of("rsa", file_format))  # type: ignore[operator] # a function
    assert load_private_key(pem, passphrase="").asbytes() == public_blob("rsa")


@pytest.mark.parametrize("alter", [lambda pem: pem, lambda pem: pem.replace("\n", " ")])
def test_encrypted_pem_header_survives_lost_line_breaks(alter: Callable[[str], str]) -> None:
    pem = alter(text_of("rsa", "pem", PASSPHRASE))
    assert load_private_key(pem, passphrase=PASSPHRASE).asbytes() == public_blob("rsa")


def test_ec_parameters_before_the_key_are_ignored() -> None:
    pem = PARAMETERS + text_of("ecdsa256", "pem")
    assert load_private_key(pem, passphrase="").asbytes() == public_blob("ecdsa256")


def assert_refused(text: str, *, passphrase: str = "", words: str) -> None:
    with pytest.raises(CredentialsError, match=words) as raised:
        load_private_key(text, passphrase=passphrase)
    shown = "".join(traceback.format_exception(raised.value)) + repr(vars(raised.value))
    secret_lines = [line for line in text.replace("\\n", "\n").splitlines() if len(line) > 20]
    assert [line for line in secret_lines if line in shown and "-----" not in line] == []
    assert not passphrase or passphrase not in shown
    assert raised.value.hint


@pytest.mark.parametrize(("kind", "file_format"), KEY_TYPES_AND_FORMATS)
def test_wrong_passphrase_is_named_in_the_error(kind: str, file_format: str) -> None:
    text = text_of(kind, file_format, PASSPHRASE)
    assert_refused(text, passphrase="not this one", words="the passphrase is wrong, or the key is damaged")


@pytest.mark.parametrize(("kind", "file_format"), KEY_TYPES_AND_FORMATS)
def test_missing_passphrase_is_named_in_the_error(kind: str, file_format: str) -> None:
    assert_refused(text_of(kind, file_format, PASSPHRASE), words="encrypted, but 'passphrase' is empty")


@pytest.mark.parametrize("kind", ["secp256k1", "ed448", "x25519", "dsa"])
def test_key_type_without_ssh_support_is_named_in_the_error(kind: str) -> None:
    assert_refused(text_of(kind, "pkcs8"), words="of a type that is not supported")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "does not begin with '-----BEGIN'"),
        ("hello, this is some longer garbage", "does not begin with '-----BEGIN'"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI me@here", "is a public key"),
        ("ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHA me@here", "is a public key"),
        (
            "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: x",
            "PuTTY's own format, and cut off",
        ),
        ("-----BEGIN OPENSSH PRIVATE KEY----- b3BlbnNzaC1rZXktdjE -----END", "is cut off"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----", "is cut off"),
        ("\ufeffssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI me@here", "is a public key"),
        ("sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5 me@here", "is a public key"),
        ("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----", "is a public key"),
        (
            "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nP2/56w\n---- END SSH2 ENCRYPTED PRIVATE KEY ----",
            "is in the format of ssh.com",
        ),
        ("PuTTY-User-Key-File-1: ssh-rsa\nEncryption: none\nComment: x", "PuTTY's own format"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----", "is damaged"),
        ("-----BEGIN RSA PRIVATE KEY-----\n!!!\n-----END RSA PRIVATE KEY-----", "is damaged"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "holds a 'CERTIFICATE'"),
    ],
)
def test_error_names_what_was_pasted_in_place_of_a_private_key(text: str, words: str) -> None:
    assert_refused(text, words=words)


def test_public_key_in_pem_is_refused() -> None:
    pem = (
        key_of("rsa")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    assert_refused(pem.decode(), words="is a public key")


@pytest.mark.parametrize(("kind", "file_format"), KEY_TYPES_AND_FORMATS)
def test_key_with_a_missing_line_is_reported_as_damaged(kind: str, file_format: str) -> None:
    lines = text_of(kind, file_format).splitlines()
    assert_refused("\n".join([lines[0], *lines[2:]]), words="damaged")


# --- PuTTY's own format ---


def putty_passphrase(name: str) -> str:
    return putty_keys.PASSPHRASE if name.endswith("enc") else ""


@pytest.mark.parametrize("name", putty_keys.FILES)
def test_putty_key_of_every_kind_and_version_opens(name: str) -> None:
    key = load_private_key(putty_keys.FILES[name], passphrase=putty_passphrase(name))
    assert key.get_base64() == putty_keys.PUBLIC[name]
    assert key.can_sign()


@pytest.mark.parametrize(
    "alter",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("\n", "\\n"),
        lambda text: text.replace("\n", " "),
        lambda text: "\ufeff" + text.strip(),
        lambda text: base64.b64encode(text.encode()).decode(),
    ],
    ids=["Windows lines", "Macintosh lines", "literal \\n", "blanks for line breaks", "mark", "base64"],
)
def test_altered_line_breaks_of_a_putty_key_are_restored(alter: Callable[[str], str]) -> None:
    text = alter(putty_keys.FILES["ed25519_v3_enc"])
    key = load_private_key(text, passphrase=putty_keys.PASSPHRASE)
    assert key.get_base64() == putty_keys.PUBLIC["ed25519_v3_enc"]


@pytest.mark.parametrize("name", [name for name in putty_keys.FILES if name.endswith("enc")])
def test_wrong_or_missing_passphrase_of_a_putty_key_is_named(name: str) -> None:
    text = putty_keys.FILES[name]
    assert_refused(text, passphrase="not this one", words="the passphrase is wrong, or the key is damaged")
    assert_refused(text, words="encrypted, but 'passphrase' is empty")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("File-2", "File-1", "version 1 of PuTTY's format, which is not supported"),
        ("Encryption: none", "Encryption: 3des-cbc", "a cipher that is not supported"),
        ("Comment: me", "Comment: you", "is damaged"),
        ("Private-Lines: 1\n", "Private-Lines: 1\nAAAA", "is damaged"),
        ("Private-MAC: ", "Private-MAC: -", "cut off or altered"),
    ],
)
def test_error_names_what_was_altered_in_a_putty_key(old: str, new: str, words: str) -> None:
    assert_refused(putty_keys.FILES["ed25519_v2_plain"].replace(old, new), words=words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Argon2id", "scrypt", "a key derivation that is not supported"),
        ("Argon2-Memory: 8192", "Argon2-Memory: 999999999", "too much memory or time"),
        ("Argon2-Passes: 1", "Argon2-Passes: 999999999", "too much memory or time"),
    ],
)
def test_putty_key_with_an_expensive_key_derivation_is_refused(old: str, new: str, words: str) -> None:
    text = putty_keys.FILES["ed25519_v3_enc"].replace(old, new)
    assert_refused(text, passphrase=putty_keys.PASSPHRASE, words=words)


# --- encrypted in ways that are not supported ---

needs_ssh_keygen = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs ssh-keygen")


def made_by_ssh_keygen(directory: Path, *options: str) -> str:
    file = directory / "key"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", PASSPHRASE, "-C", "", "-f", str(file), *options]
    subprocess.run(command, check=True, timeout=60)
    return file.read_text()


@needs_ssh_keygen
@pytest.mark.parametrize("cipher", ["3des-cbc", "aes128-ctr", "chacha20-poly1305@openssh.com"])
def test_unsupported_cipher_is_named_instead_of_the_passphrase(cipher: str, tmp_path: Path) -> None:
    text = made_by_ssh_keygen(tmp_path, "-Z", cipher)
    assert_refused(text, passphrase=PASSPHRASE, words=f"a cipher that is not supported .{cipher}")


@needs_ssh_keygen
@pytest.mark.parametrize("cipher", ["aes256-ctr", "aes256-cbc", "aes256-gcm@openssh.com"])
def test_supported_cipher_opens_and_a_wrong_passphrase_is_named(cipher: str, tmp_path: Path) -> None:
    text = made_by_ssh_keygen(tmp_path, "-Z", cipher)
    assert load_private_key(text, passphrase=PASSPHRASE).can_sign()
    assert_refused(text, passphrase="not this one", words="the passphrase is wrong")


def test_unsupported_pem_cipher_is_named() -> None:
    text = text_of("rsa", "pem", PASSPHRASE).replace("DEK-Info: AES-256-CBC", "DEK-Info: BF-CBC")
    assert_refused(text, passphrase=PASSPHRASE, words="a cipher that is not supported .BF-CBC")


def test_unsupported_pkcs8_cipher_is_reported_as_not_supported() -> None:
    lines = text_of("ed25519", "pkcs8", PASSPHRASE).splitlines()
    content = base64.b64decode("".join(lines[1:-1]))
    aes, camellia = bytes.fromhex("060960864801650304012a"), bytes.fromhex("06092a83088c9a4b3d0101")
    assert aes in content
    encoded = base64.b64encode(content.replace(aes, camellia)).decode()
    assert_refused("\n".join([lines[0], encoded, lines[-1]]), passphrase=PASSPHRASE, words="not supported")


def test_key_with_too_many_bcrypt_rounds_is_refused() -> None:
    lines = text_of("ed25519", "openssh", PASSPHRASE).splitlines()
    content = base64.b64decode("".join(lines[1:-1]))
    place = content.index(b"\x00\x00\x00\x10", content.index(b"bcrypt")) + 20
    costly = content[:place] + b"\x7f\xff\xff\xff" + content[place + 4 :]
    encoded = base64.b64encode(costly).decode()
    text = "\n".join([lines[0], encoded, lines[-1]])
    assert_refused(text, passphrase=PASSPHRASE, words="hashed in 2147483647 rounds")


@pytest.mark.parametrize(
    ("text", "passphrase"),
    [
        ("-----BEGIN PRIVATE KEY-----\n\ud800\n-----END PRIVATE KEY-----", ""),
        ("\ud800", ""),
        ("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----", "\ud800"),
        ("x" * 65_537, ""),
        ("-----BEGIN PRIVATE KEY-----" * 2000, ""),
    ],
    ids=["no Unicode inside", "no Unicode", "no Unicode in the passphrase", "too long", "only headers"],
)
def test_malformed_text_raises_only_credentials_error(text: str, passphrase: str) -> None:
    assert_refused(text, passphrase=passphrase, words="'private_key' of the secret")


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *"ABab/+=- \n\\",
                "-----BEGIN ",
                "PRIVATE KEY-----",
                "-----END ",
                putty_keys.FILES["ed25519_v2_plain"][:120],
                "openssh",
                "\ud800",
                "b3BlbnNzaC1rZXktdjEAAAAA",
            ]
        )
    ).map("".join)
)
def test_any_text_raises_only_credentials_error(text: str) -> None:
    with pytest.raises(CredentialsError):
        load_private_key(text, passphrase="p")


def test_wrong_passphrase_of_a_gcm_encrypted_key_is_named() -> None:
    key = asyncssh.generate_private_key("ssh-ed25519").export_private_key(
        "openssh", passphrase="right", cipher_name="aes256-gcm@openssh.com", rounds=16, ignore_few_rounds=True
    )
    with pytest.raises(CredentialsError, match="passphrase is wrong"):
        load_private_key(key.decode(), passphrase="wrong")
