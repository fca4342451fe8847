"""OpenSSH's sshd as partners configure it."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncssh
import pytest

from local.sftp_server import RunningServer, sshd_path, start_sshd


def need_sshd() -> None:
    """Skip where it is not installed."""
    if sshd_path() is None:
        pytest.skip("OpenSSH's sshd is not installed (apt-get install openssh-server)")


def need_root(what: str) -> None:
    """Skip where the tests do not run as root."""
    if os.geteuid() != 0:
        pytest.skip(f"{what} only as root")


@contextmanager
def sshd(*config: str, subsystem: str | None = None) -> Iterator[tuple[RunningServer, Path]]:
    """Runs sshd with these lines of configuration; yields it, and the folder of its files."""
    need_sshd()
    with TemporaryDirectory(prefix="partner-") as name:
        root = Path(name) / "partner"
        root.mkdir()
        with start_sshd(root, extra_config=config, subsystem=subsystem) as server:
            yield server, root


@contextmanager
def sshd_with_passwords(
    *config: str, password: str, username: str = "partner"
) -> Iterator[tuple[RunningServer, Path]]:
    """Runs sshd with one account that has a password, too. The machine's accounts are hidden from it.

    A library answers for them (nss_wrapper); the account has our number.
    """
    need_sshd()
    need_root("sshd checks passwords")
    wrapper = next(Path("/usr/lib").glob("**/libnss_wrapper.so"), None)
    if wrapper is None:
        pytest.skip("nss_wrapper is not installed (apt-get install libnss-wrapper)")
    with TemporaryDirectory(prefix="partner-") as name:
        state, root = Path(name), Path(name) / "partner"
        root.mkdir()
        account = f"{username}:x:{os.getuid()}:{os.getgid()}::{root}:/bin/sh\n"
        (state / "passwd").write_text(account + _account_of_sshd())
        (state / "group").write_text(f"{username}:x:{os.getgid()}:\n")
        (state / "shadow").write_text(f"{username}:{_hashed(password)}:19000:0:99999:7:::\n")
        environment = {
            **os.environ,
            "LD_PRELOAD": str(wrapper),
            "NSS_WRAPPER_PASSWD": str(state / "passwd"),
            "NSS_WRAPPER_GROUP": str(state / "group"),
            "NSS_WRAPPER_SHADOW": str(state / "shadow"),
        }
        lines = [*config, "PasswordAuthentication yes", "PermitRootLogin yes"]
        with start_sshd(root, extra_config=lines, env=environment) as server:
            yield server, root


def _account_of_sshd() -> str:
    """Return the line of the account that sshd gives its rights up for."""
    try:
        sshd = pwd.getpwnam("sshd")
    except KeyError:
        return ""
    return f"sshd:x:{sshd.pw_uid}:{sshd.pw_gid}::{sshd.pw_dir}:{sshd.pw_shell}\n"


def _hashed(password: str) -> str:
    made = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=password, check=True, capture_output=True, text=True
    )
    return made.stdout.strip()


@contextmanager
def certified_sshd(*principals: str, valid_before: int | str = "+1d") -> Iterator[tuple[RunningServer, str]]:
    """Runs sshd with a host certificate for these names; yields it, and the pin of the authority."""
    need_sshd()
    authority = asyncssh.generate_private_key("ssh-ed25519")
    host = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    with TemporaryDirectory(prefix="partner-") as name:
        state, root = Path(name), Path(name) / "partner"
        root.mkdir()
        certificate = authority.generate_host_certificate(
            host, "server", principals=principals, valid_after=1, valid_before=valid_before
        )
        key, signed = state / "key", state / "key-cert.pub"
        key.touch(mode=0o600)
        key.write_bytes(host.export_private_key())
        signed.write_bytes(certificate.export_certificate())
        config = [f"HostKey {key}", f"HostCertificate {signed}"]
        with start_sshd(root, extra_config=config) as server:
            yield server, f"@cert-authority * {public_line(authority)}"


def public_line(key: asyncssh.SSHKey) -> str:
    """Return the public key as it is pinned."""
    return " ".join(key.export_public_key().decode().split()[:2])
