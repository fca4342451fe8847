"""GnuPG, by which tests make keys, and read what the function wrote: nobody here wrote it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REASON = "gpg (Debian: gnupg) is not installed: nothing here checks messages by another OpenPGP"
is_missing = shutil.which("gpg") is None

RSA_2048 = ("RSA", "Length: 2048")
RSA_4096 = ("RSA", "Length: 4096")
RSA_1024 = ("RSA", "Length: 1024")
SIGNING_25519, ENCRYPTION_25519 = ("EdDSA", "Curve: ed25519"), ("ECDH", "Curve: cv25519")


@dataclass(frozen=True)
class Message:
    """What gpg made of a message.

    Attributes:
        data: The content.
        encrypted_to: Ids of the keys that it is encrypted to, 16 hex digits each.
        signed_by: Fingerprint of the primary key of a good signature; empty without one.
    """

    data: bytes
    encrypted_to: tuple[str, ...]
    signed_by: str


class GnuPg:
    """A keyring of its own."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def make_key(
        self,
        name: str,
        primary: tuple[str, str] = SIGNING_25519,
        subkey: tuple[str, str] | None = ENCRYPTION_25519,
        *,
        expires: str = "0",
        passphrase: str = "",
        made_at: str = "",
    ) -> str:
        """Make a key; return its fingerprint."""
        lines = [
            f"Key-Type: {primary[0]}",
            f"Key-{primary[1]}",
            "Key-Usage: cert,sign",
            f"Passphrase: {passphrase}" if passphrase else "%no-protection",
        ]
        if subkey:
            lines += [f"Subkey-Type: {subkey[0]}", f"Subkey-{subkey[1]}", "Subkey-Usage: encrypt"]
        lines += [f"Name-Email: {name}@partner.example", f"Expire-Date: {expires}", "%commit", ""]
        self.run("--gen-key", given="\n".join(lines).encode(), at=made_at, passphrase=passphrase)
        return self.fingerprint(name)

    def add_subkey(self, name: str, *, expires: str = "never", made_at: str = "") -> None:
        """Add a subkey for encryption."""
        self.run("--quick-add-key", self.fingerprint(name), "cv25519", "encr", expires, at=made_at)

    def revoke(self, name: str) -> None:
        """Revoke a key with the certificate that gpg has made with it."""
        file = self._home / "openpgp-revocs.d" / f"{self.fingerprint(name)}.rev"
        # A colon in front of the first line prevents that somebody does it by accident.
        self.run("--import", given=file.read_text().replace(":-----BEGIN", "-----BEGIN").encode())

    def fingerprint(self, name: str) -> str:
        listed = self.run("--with-colons", "--list-keys", self._address(name)).stdout.decode()
        return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))

    def public_key(self, name: str) -> str:
        return self.run("--armor", "--export", self._address(name)).stdout.decode()

    def private_key(self, name: str, passphrase: str = "") -> str:
        arguments = ("--armor", "--export-secret-keys", self._address(name))
        return self.run(*arguments, passphrase=passphrase).stdout.decode()

    def open(self, message: bytes | Path) -> Message:
        """Decrypt a message, and verify its signature if it has one.

        Raises:
            subprocess.CalledProcessError: gpg does not accept it.
        """
        with tempfile.TemporaryDirectory(dir=self._home) as folder:
            status, output = Path(folder, "status"), Path(folder, "output")
            given = b"" if isinstance(message, Path) else message
            files = [str(message)] if isinstance(message, Path) else []
            self.run(f"--status-file={status}", f"--output={output}", "--decrypt", *files, given=given)
            # Values of notations are bytes.
            lines = status.read_text(encoding="latin-1").split("\n")
            words = [line.split()[1:] for line in lines if line]
            return Message(
                data=output.read_bytes(),
                encrypted_to=tuple(line[1] for line in words if line[0] == "ENC_TO"),
                signed_by=next((line[-1] for line in words if line[0] == "VALIDSIG"), ""),
            )

    def run(
        self, *arguments: str, given: bytes = b"", at: str = "", passphrase: str = ""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run gpg; `at` is the time that it believes in, such as 20240101T000000, from beginning to end."""
        options = ["--batch", "--quiet", "--yes", "--pinentry-mode=loopback", f"--passphrase={passphrase}"]
        # With "!" the clock stands still. A key that took a second to make would else be younger than what
        # the next command adds to it ("time warp or clock problem").
        options += [f"--faked-system-time={at}!"] if at else []
        environment = {**os.environ, "GNUPGHOME": str(self._home), "LC_ALL": "C"}
        return subprocess.run(
            ["gpg", *options, *arguments], input=given, capture_output=True, check=True, env=environment
        )

    @staticmethod
    def _address(name: str) -> str:
        return f"<{name}@partner.example>"


@contextmanager
def gnupg() -> Iterator[GnuPg]:
    """Yield an empty keyring; its agent ends with it."""
    # Not pytest's directory: the path of the agent's socket may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="gpg-", dir="/tmp", ignore_cleanup_errors=True) as home:
        Path(home).chmod(0o700)
        try:
            yield GnuPg(Path(home))
        finally:
            environment = {**os.environ, "GNUPGHOME": home}
            subprocess.run(["gpgconf", "--kill", "all"], check=False, env=environment)
