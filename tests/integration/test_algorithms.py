"""The offered algorithms are modern, and each works with a server that has no other."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import asyncssh
import paramiko
import pytest
from paramiko.kex_mlkem import KexMLKEM768X25519

from local.sftp_server import RunningServer, sshd_path, start_asyncssh_server, start_sshd
from s3_to_sftp import algorithm_rule as algorithms
from s3_to_sftp.algorithm_rule import WEAK, AlgorithmRule, Kind, Policy
from s3_to_sftp.credentials import Credentials, FixedCredentials
from s3_to_sftp.errors import ConfigurationError, CredentialsError, PartnerUnreachable
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.connection import Connection, connect
from s3_to_sftp.ssh.sha1 import Sha1Key
from tests.integration.conftest import skip_without_sshd
from tests.support.faults.ssh_door import Asked, ssh_door, success
from tests.support.other_servers import start_dropbear
from tests.support.partner import IMPATIENT, address_of, assert_connects, log_of_ended, login_of, send
from tests.support.sources import GatheringSource

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


# --- rules of a partner ---


OLD = ("ssh-rsa", "diffie-hellman-group14-sha1", "3des-cbc")


def allowing(server: RunningServer, *names: str) -> Server:
    return replace(address_of(server), algorithms=AlgorithmRule(allow=names))


def under(server: RunningServer, policy: Policy) -> Server:
    return replace(address_of(server), algorithms=AlgorithmRule(policy=policy))


def negotiated(server: Server, credentials: Credentials) -> dict[str, str]:
    connection = connect(server, credentials, IMPATIENT)
    try:
        return connection.transport.negotiated
    finally:
        connection.close()


def refusal(server: Server, credentials: Credentials) -> PartnerUnreachable:
    with pytest.raises(PartnerUnreachable) as caught:
        connect(server, credentials, IMPATIENT)
    return caught.value


@contextmanager
def old_openssh(root: Path) -> Iterator[RunningServer]:
    """Runs sshd as it was twenty years ago: RSA with SHA-1, group 14 with SHA-1, Triple DES."""
    skip_without_sshd()
    lines = ["KexAlgorithms diffie-hellman-group14-sha1", "Ciphers 3des-cbc", "MACs hmac-sha1"]
    lines += ["HostKeyAlgorithms ssh-rsa", "PubkeyAcceptedAlgorithms ssh-rsa"]
    with start_sshd(root, extra_config=lines, host_key_types=["ssh-rsa"]) as server:
        rsa = asyncssh.generate_private_key("ssh-rsa")
        key_file = server.authorized_keys
        key_file.write_bytes(rsa.export_public_key())
        yield replace(server, private_key=rsa.export_private_key().decode())


def test_old_openssh_is_reached_where_its_algorithms_are_allowed(root: Path) -> None:
    with old_openssh(root) as server:
        agreed = negotiated(allowing(server, *OLD), login_of(server))
        assert agreed == {
            "key exchange": "diffie-hellman-group14-sha1",
            "host key": "ssh-rsa",
            "cipher": "3des-cbc",
            "MAC": "hmac-sha1",
        }
        assert server.read_log().count("Failed publickey") == 0


def test_old_openssh_gets_a_file_of_some_megabytes(root: Path) -> None:
    content = os.urandom(3 * 1024 * 1024)
    with old_openssh(root) as server:
        client = SftpClient(allowing(server, *OLD), FixedCredentials(login_of(server)), timeouts=IMPATIENT)
        send(client, GatheringSource(content), f"{server.directory}/a.bin")
        client.close()
        assert (root / "a.bin").read_bytes() == content


@pytest.mark.parametrize("missing", OLD)
def test_each_of_them_is_needed_and_the_error_names_it(missing: str, root: Path) -> None:
    with old_openssh(root) as server:
        error = refusal(allowing(server, *(name for name in OLD if name != missing)), login_of(server))
    assert error.cause == "no-common-algorithm"
    assert f"SSH_ALGORITHMS can allow what it offers ({missing})" in error.hint


def test_nothing_is_promised_where_allowing_would_not_help(root: Path) -> None:
    skip_without_sshd()
    with start_sshd(root, extra_config=["MACs umac-64@openssh.com", "Ciphers aes256-ctr"]) as server:
        assert "SSH_ALGORITHMS" not in refusal(address_of(server), login_of(server)).hint


def test_modern_algorithms_are_used_although_old_ones_are_allowed(root: Path) -> None:
    skip_without_sshd()
    lines = ["KexAlgorithms +diffie-hellman-group14-sha1", "Ciphers +3des-cbc", "HostKeyAlgorithms +ssh-rsa"]
    with start_sshd(root, extra_config=lines, host_key_types=["ssh-rsa"]) as server:
        agreed = negotiated(allowing(server, *OLD), login_of(server))
    assert (agreed["key exchange"], agreed["host key"]) == ("curve25519-sha256", "rsa-sha2-512")
    assert agreed["cipher"] == "aes128-gcm@openssh.com"


def test_signature_with_sha1_under_another_name_is_not_accepted() -> None:
    key = Sha1Key.of(paramiko.RSAKey.generate(2048))
    signed = key.sign_ssh_data(b"data", "ssh-rsa")
    assert key.verify_ssh_sig(b"data", paramiko.Message(signed.asbytes()))
    modern = paramiko.RSAKey(key=key.key)
    assert not modern.verify_ssh_sig(b"data", paramiko.Message(signed.asbytes()))
    assert not key.verify_ssh_sig(
        b"data", paramiko.Message(modern.sign_ssh_data(b"data", "rsa-sha2-512").asbytes())
    )


def of_kind(kind: Kind) -> list[str]:
    return [name for name, weak in WEAK.items() if weak.kind is kind]


@pytest.mark.parametrize("name", of_kind(Kind.KEY_EXCHANGE))
def test_each_old_key_exchange_works_once_it_is_allowed(name: str, root: Path) -> None:
    with start_asyncssh_server(root, options={"kex_algs": [name]}) as server:
        assert refusal(address_of(server), login_of(server)).cause == "no-common-algorithm"
        assert negotiated(allowing(server, name), login_of(server))["key exchange"] == name


@pytest.mark.parametrize("name", of_kind(Kind.CIPHER))
def test_each_old_cipher_works_once_it_is_allowed(name: str, root: Path) -> None:
    with start_asyncssh_server(root, options={"encryption_algs": [name]}) as server:
        assert refusal(address_of(server), login_of(server)).cause == "no-common-algorithm"
        assert negotiated(allowing(server, name), login_of(server))["cipher"] == name


@pytest.mark.parametrize("name", of_kind(Kind.MAC))
def test_each_old_mac_works_once_it_is_allowed(name: str, root: Path) -> None:
    with start_asyncssh_server(
        root, options={"mac_algs": [name], "encryption_algs": ["aes256-ctr"]}
    ) as server:
        assert refusal(address_of(server), login_of(server)).cause == "no-common-algorithm"
        assert negotiated(allowing(server, name), login_of(server))["MAC"] == name


def test_old_host_key_at_asyncssh(root: Path) -> None:
    options = {"signature_algs": ["ssh-rsa"]}
    with start_asyncssh_server(root, host_key_types=["ssh-rsa"], options=options) as server:
        login = Credentials(username=server.username, password=server.password or "")
        assert negotiated(allowing(server, "ssh-rsa"), login)["host key"] in {"ssh-rsa", "rsa-sha2-512"}


@pytest.mark.parametrize("policy", Policy)
def test_policy_offers_exactly_what_it_allows(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = AlgorithmRule(policy=policy)
    monkeypatch.setattr("tests.support.faults.ssh_door.paramiko.Transport", _RecordingTransport)
    with ssh_door(lambda _asked: [success()]) as door, suppress(PartnerUnreachable, CredentialsError):
        connect(replace(door.address, algorithms=rule), door.login, IMPATIENT).close()
    offered = _RecordingTransport.offered
    kex = [name for name in offered["kex_algo_list"] if not name.startswith(("ext-info", "kex-strict"))]
    assert kex == list(rule.offered(Kind.KEY_EXCHANGE))
    assert offered["client_encrypt_algo_list"] == list(rule.offered(Kind.CIPHER))
    assert offered["client_mac_algo_list"] == list(rule.offered(Kind.MAC))


def test_fips_at_openssh(root: Path) -> None:
    skip_without_sshd()
    with start_sshd(root, host_key_types=["ecdsa-sha2-nistp256"]) as server:
        login = replace(login_of(server), private_key=authorised(server, "ecdsa-sha2-nistp384"))
        agreed = negotiated(under(server, Policy.FIPS), login)
    assert agreed["key exchange"] == "ecdh-sha2-nistp256"
    assert agreed["host key"] == "ecdsa-sha2-nistp256"


def test_key_of_ours_that_the_policy_forbids_is_refused_before_it_is_sent(root: Path) -> None:
    skip_without_sshd()
    with start_sshd(root, host_key_types=["ecdsa-sha2-nistp256"]) as server:
        with pytest.raises(CredentialsError, match=r"ssh-ed25519, which SSH_ALGORITHMS \(fips\)"):
            connect(under(server, Policy.FIPS), login_of(server), IMPATIENT)
        assert "publickey" not in log_of_ended(server)


def test_fips_error_names_the_policy_and_both_lists(root: Path) -> None:
    skip_without_sshd()
    with start_sshd(
        root, extra_config=["KexAlgorithms curve25519-sha256"], host_key_types=["ecdsa-sha2-nistp256"]
    ) as server:
        error = refusal(under(server, Policy.FIPS), login_of(server))
    assert error.cause == "forbidden-algorithms"
    assert (
        "offers only what SSH_ALGORITHMS (fips) forbids (key exchange: it offers 'curve25519" in error.reason
    )
    assert "this function ecdh-sha2-nistp256, " in error.reason


def test_older_post_quantum_exchange_is_no_substitute_and_the_error_says_so(root: Path) -> None:
    skip_without_sshd()
    lines = ["KexAlgorithms sntrup761x25519-sha512@openssh.com"]
    with start_sshd(root, extra_config=lines) as server:
        error = refusal(under(server, Policy.POST_QUANTUM_REQUIRED), login_of(server))
    assert error.cause == "forbidden-algorithms"
    assert "this function mlkem768x25519-sha256)" in error.reason


def test_post_quantum_key_exchange_is_in_the_pinned_library() -> None:
    assert KexMLKEM768X25519.is_available()
    with ssh_door(lambda asked: [success()]) as door:
        server = replace(door.address, algorithms=AlgorithmRule(policy=Policy.POST_QUANTUM_REQUIRED))
        assert negotiated(server, door.login)["key exchange"] == "mlkem768x25519-sha256"


def test_library_without_post_quantum_exchange_is_said_and_nothing_else_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {name: each for name, each in paramiko.Transport._kex_info.items() if "mlkem" not in name}
    monkeypatch.setattr(paramiko.Transport, "_kex_info", known)
    with ssh_door(lambda asked: [success()]) as door:
        server = replace(door.address, algorithms=AlgorithmRule(policy=Policy.POST_QUANTUM_REQUIRED))
        with pytest.raises(ConfigurationError, match="can do none of mlkem768x25519-sha256"):
            connect(server, door.login, IMPATIENT)


def test_dropbear_is_reached_with_old_algorithms_allowed(root: Path) -> None:
    with start_dropbear(root) as server:
        agreed = negotiated(allowing(server, *OLD), login_of(server))
        assert agreed["cipher"] in algorithms.CIPHERS
        error = refusal(under(server, Policy.POST_QUANTUM_REQUIRED), login_of(server))
    assert error.cause == "forbidden-algorithms"


def authorised(server: RunningServer, kind: str) -> str:
    key = asyncssh.generate_private_key(kind)
    server.authorized_keys.write_bytes(key.export_public_key())
    return key.export_private_key().decode()


def test_what_was_negotiated_is_in_the_log(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "s3_to_sftp")
    with start_asyncssh_server(root) as server:
        assert_logs_in(server)
    assert "key exchange " in caplog.text
    assert ", host key ssh-ed25519, cipher aes128-gcm@openssh.com" in caplog.text
