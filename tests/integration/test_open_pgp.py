"""Files that the function encrypts and signs are opened by GnuPG, which nobody here wrote."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from s3_to_sftp.errors import RuleRefused, TransformFailed
from s3_to_sftp.rules import open_pgp_stream
from s3_to_sftp.rules.open_pgp import OpenPgp
from s3_to_sftp.rules.open_pgp_keys import UnusableKey, recipients_of, signing_key_of
from s3_to_sftp.rules.open_pgp_stream import OpenPgpStream
from tests.support.gnupg import (
    ENCRYPTION_25519,
    REASON,
    RSA_1024,
    RSA_2048,
    RSA_4096,
    SIGNING_25519,
    GnuPg,
    gnupg,
    is_missing,
)

pytestmark = pytest.mark.skipif(is_missing, reason=REASON)

KEYS = {
    "rsa2048": (RSA_2048, RSA_2048),
    "rsa4096": (RSA_4096, RSA_4096),
    "curve25519": (SIGNING_25519, ENCRYPTION_25519),
}
LONG_AGO = "20240101T000000"
THREE_MB = os.urandom(3_000_017)
PIECE = 200_001


@pytest.fixture(scope="module")
def gpg() -> Iterator[GnuPg]:
    with gnupg() as keyring:
        for name, (primary, subkey) in KEYS.items():
            keyring.make_key(name, primary, subkey)
        keyring.make_key("us", RSA_2048, None)
        yield keyring


def stream(gpg: GnuPg, *recipients: str, signer: str = "", armor: bool = False) -> OpenPgpStream:
    rule = OpenPgp(
        encrypt_to=[gpg.public_key(each) for each in recipients],
        sign_with="key-1" if signer else None,
        armor=armor,
    )
    key = signing_key_of(gpg.private_key(signer)) if signer else None
    return OpenPgpStream(rule, signing_key=key)


def passed(through: OpenPgpStream, data: bytes) -> bytes:
    try:
        fed = [through.feed(data[at : at + PIECE]) for at in range(0, len(data), PIECE)]
        return b"".join([*fed, through.finish()])
    finally:
        through.close()


@pytest.mark.parametrize("armor", [False, True], ids=["binary", "armored"])
@pytest.mark.parametrize("signer", ["", "us"], ids=["unsigned", "signed"])
@pytest.mark.parametrize("recipients", [*([each] for each in KEYS), list(KEYS)], ids="-".join)
@pytest.mark.parametrize("data", [b"", b"x", THREE_MB], ids=["empty", "1 byte", "3 MB"])
def test_gpg_opens_what_is_encrypted(
    gpg: GnuPg, data: bytes, recipients: list[str], signer: str, *, armor: bool
) -> None:
    through = stream(gpg, *recipients, signer=signer, armor=armor)
    message = passed(through, data)
    opened = gpg.open(message)
    assert opened.data == data
    assert len(opened.encrypted_to) == len(recipients)
    assert through.encrypted_to == tuple(map(gpg.fingerprint, recipients))
    assert opened.signed_by == through.signed_by == (gpg.fingerprint(signer) if signer else "")
    assert message.startswith(b"-----BEGIN PGP MESSAGE-----") == armor
    assert data[:50] not in message or len(data) < 50


@pytest.mark.parametrize("armor", [False, True], ids=["binary", "armored"])
@pytest.mark.parametrize("data", [b"", b"x", THREE_MB], ids=["empty", "1 byte", "3 MB"])
def test_gpg_verifies_what_is_only_signed(gpg: GnuPg, data: bytes, *, armor: bool) -> None:
    opened = gpg.open(passed(stream(gpg, signer="us", armor=armor), data))
    assert (opened.data, opened.encrypted_to) == (data, ())
    assert opened.signed_by == gpg.fingerprint("us")


def test_each_recipient_opens_it_alone(gpg: GnuPg) -> None:
    message = passed(stream(gpg, *KEYS), b"for all")
    for name in KEYS:
        with gnupg() as other:
            other.run("--import", given=gpg.private_key(name).encode())
            assert other.open(message).data == b"for all"


def test_key_with_a_passphrase_signs(gpg: GnuPg) -> None:
    gpg.make_key("protected", subkey=None, passphrase="correct horse")
    text = gpg.private_key("protected", "correct horse")
    with pytest.raises(UnusableKey, match="there is no passphrase"):
        signing_key_of(text)
    with pytest.raises(UnusableKey, match="its passphrase is another one"):
        signing_key_of(text, "wrong")
    key = signing_key_of(text, "correct horse")
    message = passed(OpenPgpStream(OpenPgp(sign_with="key-1"), signing_key=key), b"signed")
    assert gpg.open(message).signed_by == gpg.fingerprint("protected")


def test_message_that_was_cut_is_refused_by_gpg(gpg: GnuPg) -> None:
    message = passed(stream(gpg, "curve25519"), THREE_MB)
    with pytest.raises(subprocess.CalledProcessError):
        gpg.open(message[:-100])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc: nothing tells the memory")
def test_memory_does_not_grow_with_the_file(gpg: GnuPg) -> None:
    through = stream(gpg, *KEYS, signer="us")
    try:
        given = came = held = 0
        for _ in range(100):
            came += len(through.feed(THREE_MB))
            given += len(THREE_MB)
            held = max(held, given - came)
        assert held < 16_000_000  # in pipes, and in buffers of the child
        assert peak_memory(through._child.pid) < 100_000_000 < given
        assert came + len(through.finish()) > given
    finally:
        through.close()


def peak_memory(pid: int) -> int:
    """Return bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


@pytest.mark.parametrize("bytes_before", [0, 3_000_000], ids=["at once", "in the middle"])
def test_killed_child_is_an_error_and_never_the_end(gpg: GnuPg, bytes_before: int) -> None:
    through = stream(gpg, "curve25519")
    try:
        through.feed(THREE_MB[:bytes_before])
        os.kill(through._child.pid, signal.SIGKILL)
        with pytest.raises(TransformFailed, match=r"signal 9.*memory_size"):
            through.finish()
    finally:
        through.close()


def test_child_killed_while_it_is_fed_is_an_error(gpg: GnuPg) -> None:
    through = stream(gpg, "curve25519")
    try:
        os.kill(through._child.pid, signal.SIGKILL)
        with pytest.raises(TransformFailed, match="signal 9"):
            through.feed(THREE_MB)  # more than a pipe holds
    finally:
        through.close()


def test_stopped_child_is_an_error(gpg: GnuPg) -> None:
    rule = OpenPgp(encrypt_to=[gpg.public_key("curve25519")])
    through = OpenPgpStream(rule, patience=0.2)
    try:
        os.kill(through._child.pid, signal.SIGSTOP)
        with pytest.raises(TransformFailed, match="neither taken nor given"):
            through.feed(THREE_MB)
    finally:
        through.close()
    assert through._child.returncode == -signal.SIGKILL


def test_closed_stream_leaves_no_child_and_no_descriptor(gpg: GnuPg) -> None:
    rule = OpenPgp(encrypt_to=[gpg.public_key("curve25519")])
    before = descriptors()
    for data in (b"", THREE_MB):
        through = OpenPgpStream(rule)
        through.feed(data)
        through.close()
        through.close()
        with pytest.raises(ValueError, match="closed"):
            through.feed(b"more")
        assert through._child.returncode is not None
    assert descriptors() - before == set()


def descriptors() -> set[tuple[str, str]]:
    """Return each open descriptor with what it leads to; others may be closed at any time, as garbage is."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing
            found.add((path.name, str(path.readlink())))
    return found


def test_descriptor_that_is_garbage_and_closed_meanwhile_is_no_leak() -> None:
    read, write = os.pipe()
    before = descriptors()
    os.close(read)
    assert descriptors() - before == set()
    again = os.pipe()  # with the number that is free again
    assert len(descriptors() - before) == 2
    for descriptor in (*again, write):
        os.close(descriptor)


def test_keys_are_neither_arguments_nor_variables_of_the_child(gpg: GnuPg) -> None:
    through = stream(gpg, "curve25519", signer="us")
    try:
        through.feed(THREE_MB)  # it runs when it has read more than a pipe holds
        process = Path(f"/proc/{through._child.pid}")
        shown = process.joinpath("cmdline").read_bytes() + process.joinpath("environ").read_bytes()
        assert b"open_pgp_child.py" in shown
        assert b"PGP PRIVATE" not in shown
        assert b"AWS_" not in shown
    finally:
        through.close()


def test_child_without_pysequoia_says_so(gpg: GnuPg, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = OpenPgp(encrypt_to=[gpg.public_key("curve25519")])
    monkeypatch.setattr(open_pgp_stream.sys, "path", [])
    through = OpenPgpStream(rule)
    try:
        with pytest.raises(TransformFailed, match="status 1 and said: No module named 'pysequoia'"):
            passed(through, THREE_MB)
    finally:
        through.close()


def test_child_finds_pysequoia_in_a_layer(
    gpg: GnuPg, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import pysequoia

    layer = tmp_path / "python"
    layer.mkdir()
    layer.joinpath("pysequoia").symlink_to(Path(pysequoia.__file__).parent)
    rule = OpenPgp(encrypt_to=[gpg.public_key("curve25519")])
    monkeypatch.setattr(open_pgp_stream.sys, "path", [str(layer)])
    assert gpg.open(passed(OpenPgpStream(rule), b"x")).data == b"x"


def test_keys_that_cannot_be_encrypted_to_are_refused(gpg: GnuPg) -> None:
    gpg.make_key("revoked")
    gpg.revoke("revoked")
    gpg.make_key("expired", expires="30", made_at=LONG_AGO)
    gpg.make_key("signs-only", subkey=None)
    gpg.make_key("weak", RSA_1024, RSA_1024)
    gpg.make_key("weak-subkey", RSA_2048, RSA_1024)
    gpg.make_key("elgamal", RSA_2048, ("ELG-E", "Length: 2048"))
    gpg.make_key("old-subkey", subkey=None, made_at=LONG_AGO)
    gpg.add_subkey("old-subkey", expires="10d", made_at=LONG_AGO)
    for name, complaint in {
        "revoked": "is revoked",
        "expired": "expired on 2024-01-31",
        "signs-only": "has no encryption subkey that is valid",
        "weak": "is weak: RSA with 1024 bits",
        "weak-subkey": "is weak: RSA with 1024 bits",
        "elgamal": "is of ElGamal, which is outdated",
        "old-subkey": "its encryption subkey expired on 2024-01-11",
    }.items():
        with pytest.raises(UnusableKey, match=complaint) as raised:
            recipients_of([gpg.public_key(name)])
        assert raised.value.fingerprint == gpg.fingerprint(name)
    with pytest.raises(RuleRefused) as refused:
        stream(gpg, "curve25519", "expired")
    error = refused.value
    assert (error.rule, error.value) == ("encrypt_to", gpg.fingerprint("expired"))
    assert "expired on 2024-01-31" in error.reason
    assert "encrypt_to=" in error.hint


def test_subkey_that_is_valid_counts_beside_an_expired_one(gpg: GnuPg) -> None:
    gpg.make_key("renewed", subkey=None, made_at=LONG_AGO)
    gpg.add_subkey("renewed", expires="10d", made_at=LONG_AGO)
    gpg.add_subkey("renewed", expires="90d")
    (recipient,) = recipients_of([gpg.public_key("renewed")])
    assert recipient.ends is not None
    assert timedelta(days=89) < recipient.ends - datetime.now(UTC) <= timedelta(days=90)


def test_end_is_that_of_certificate_or_of_its_subkey(gpg: GnuPg) -> None:
    gpg.make_key("ends", expires="20d")
    (recipient,) = recipients_of([gpg.public_key("ends")])
    assert recipient.ends is not None
    later = recipient.ends + timedelta(seconds=1)
    with pytest.raises(UnusableKey, match="expired on"):
        recipients_of([gpg.public_key("ends")], now=later)
    assert recipients_of([gpg.public_key("curve25519")])[0].ends is None


def test_several_keys_in_one_text_are_refused(gpg: GnuPg) -> None:
    both = gpg.public_key("curve25519") + gpg.public_key("rsa2048")
    together = gpg.run("--armor", "--export").stdout.decode()
    for text in (both, together, f"{gpg.public_key('curve25519')}\nsome words\n{gpg.public_key('rsa2048')}"):
        with pytest.raises(UnusableKey, match=r"must be one public key, got (2|\d\d) "):
            recipients_of([text])


def test_private_key_is_refused_loudly_and_not_shown(gpg: GnuPg) -> None:
    private = gpg.private_key("us")
    disguised = private.replace("PRIVATE KEY BLOCK", "PUBLIC KEY BLOCK")
    for text in (private, disguised):
        with pytest.raises(UnusableKey, match="is a PRIVATE KEY") as raised:
            recipients_of([text])
        assert private.splitlines()[3] not in str(raised.value)


def test_damaged_keys_are_refused(gpg: GnuPg) -> None:
    whole = gpg.public_key("curve25519")
    cut = whole[: len(whole) // 2]
    with pytest.raises(UnusableKey, match="is not a public key that can be read"):
        recipients_of([cut])
    private = gpg.private_key("us")
    with pytest.raises(UnusableKey, match="is not a private key of OpenPGP"):
        signing_key_of(private[: len(private) // 2])
    with pytest.raises(UnusableKey, match="is not a private key of OpenPGP"):
        signing_key_of("hunter2 is no key")


def test_signing_keys_that_cannot_sign_are_refused(gpg: GnuPg) -> None:
    gpg.make_key("former", subkey=None, expires="30", made_at=LONG_AGO)
    gpg.make_key("withdrawn", subkey=None)
    gpg.revoke("withdrawn")
    gpg.make_key("too-weak", RSA_1024, None)
    for name, complaint in {
        "former": "expired on 2024-01-31",
        "withdrawn": "is revoked",
        "too-weak": "cannot be used",
    }.items():
        with pytest.raises(UnusableKey, match=complaint) as raised:
            signing_key_of(gpg.private_key(name))
        assert raised.value.fingerprint == gpg.fingerprint(name)
        assert "PRIVATE" not in str(raised.value)


def test_keys_pasted_with_other_line_ends_are_read(gpg: GnuPg) -> None:
    key = gpg.public_key("curve25519")
    for text in (key.replace("\n", "\r\n"), f"\ufeff  {key}", key.replace("\n", "\\n")):
        assert recipients_of([text])[0].fingerprint == gpg.fingerprint("curve25519")
