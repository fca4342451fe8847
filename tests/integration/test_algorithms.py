"""The offered algorithms are modern, and each works with a server that has no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import asyncssh
import paramiko
import pytest
from paramiko.kex_mlkem import KexMLKEM768X25519

from local.sftp_server import RunningServer, sshd_path, start_asyncssh_server, start_sshd
from s3_to_sftp.sftp.connection import Connection, connect
from s3_to_sftp.ssh import algorithms
from tests.support.faults.ssh_door import Asked, ssh_door, success
from tests.support.partner import IMPATIENT, address_of, assert_connects, login_of

BROKEN = ("cbc", "3des", "md5", "-96", "sha1-", "group1-", "arcfour", "ssh-rsa", "ssh-dss")


def assert_logs_in(server: RunningServer, *, ciphers: tuple[str, ...] = ()) -> None:
    assert_connects(replace(address_of(server), ciphers=ciphers), login_of(server))


class _RecordingTransport(paramiko.Transport):
    offered: dict[str, list[str]]

    def _parse_kex_init(self, message: paramiko.Message) -> None:
        library = super()
        parsed = library._really_parse_kex_init(paramiko.Message(message.get_remainder()))  # type: ignore[misc]
        type(self).offered = parsed
        library._parse_kex_init(message)  # type: ignore[misc]


def test_client_offers_no_broken_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    def accept(_asked: Asked) -> Sequence[bytes]:
        return [success()]

    monkeypatch.setattr("tests.support.faults.ssh_door.paramiko.Transport", _RecordingTransport)
    with ssh_door(accept) as door:
        connect(door.address, door.login, IMPATIENT).close()
    for kind in ("kex_algo_list", "client_encrypt_algo_list", "client_mac_algo_list", "server_key_algo_list"):
        names = _RecordingTransport.offered[kind]
        assert names
        assert not [name for name in names for part in BROKEN if part in name], kind
    assert _RecordingTransport.offered["client_encrypt_algo_list"] == list(algorithms.CIPHERS)
    assert _RecordingTransport.offered["client_mac_algo_list"] == list(algorithms.MACS)


@pytest.mark.parametrize(
    "kex", [name for name in algorithms.KEY_EXCHANGES if name != "mlkem768x25519-sha256"]
)
def test_each_key_exchange_works_alone(kex: str, root: Path) -> None:
    with start_asyncssh_server(root, options={"kex_algs": [kex]}) as server:
        assert_logs_in(server)


@pytest.mark.parametrize("cipher", algorithms.KNOWN_CIPHERS)
def test_each_cipher_works_alone(cipher: str, root: Path) -> None:
    with start_asyncssh_server(root, options={"encryption_algs": [cipher]}) as server:
        assert_logs_in(server, ciphers=() if cipher in algorithms.CIPHERS else (cipher,))


@pytest.mark.parametrize("mac", algorithms.MACS)
def test_each_mac_works_alone(mac: str, root: Path) -> None:
    options = {"mac_algs": [mac], "encryption_algs": ["aes256-ctr"]}
    with start_asyncssh_server(root, options=options) as server:
        assert_logs_in(server)


@pytest.mark.skipif(not KexMLKEM768X25519.is_available(), reason="cryptography without ML-KEM")
def test_hybrid_key_exchange_with_ml_kem_is_the_first_choice() -> None:
    with ssh_door(lambda asked: [success()]) as door:  # paramiko's server
        connection = connect(door.address, door.login, IMPATIENT)
        assert _kex_of(connection) == "mlkem768x25519-sha256"
        connection.close()
    with ssh_door(lambda asked: [success()], offers={"kex": ("mlkem768x25519-sha256",)}) as door:
        connect(door.address, door.login, IMPATIENT).close()


@pytest.mark.skipif(not KexMLKEM768X25519.is_available(), reason="cryptography without ML-KEM")
def test_hybrid_key_exchange_with_ml_kem_at_openssh(root: Path) -> None:
    if sshd_path() is None or "mlkem768x25519-sha256" not in _kex_algorithms_of_openssh():
        pytest.skip("OpenSSH before 9.9, or none: without mlkem768x25519-sha256")
    with start_sshd(root, extra_config=["KexAlgorithms mlkem768x25519-sha256"]) as server:
        assert_logs_in(server)


def test_hybrid_key_exchange_with_ml_kem_at_asyncssh(root: Path) -> None:
    try:
        with start_asyncssh_server(root, options={"kex_algs": ["mlkem768x25519-sha256"]}) as server:
            assert_logs_in(server)
    except ValueError as error:
        pytest.skip(f"asyncssh cannot do it here: {error}")


def _kex_algorithms_of_openssh() -> str:
    import subprocess

    return subprocess.run(["ssh", "-Q", "kex"], capture_output=True, text=True, check=True).stdout


def _kex_of(connection: Connection) -> str:
    offered = connection.transport.received.offered["key exchange"]
    return next(name for name in algorithms.KEY_EXCHANGES if name in offered)


def test_host_key_of_every_type_is_verified(root: Path) -> None:
    for kind in ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp521", "ssh-rsa"):
        with start_asyncssh_server(root, host_keys=[asyncssh.generate_private_key(kind)]) as server:
            assert_logs_in(server)
