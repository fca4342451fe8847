"""A server cannot harm the function, neither before its host key is checked nor afterwards."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import paramiko
import pytest

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.errors import (
    DeliveryError,
    HostKeyRefused,
    LoginRefused,
    PartnerError,
    PartnerUnreachable,
    TransferError,
)
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.connection import Connection, connect
from s3_to_sftp.ssh import incoming
from tests.support.faults.raw_server import (
    CHANNEL_DATA,
    CHANNEL_EXTENDED_DATA,
    DISCONNECT,
    EXT_INFO,
    PASSWORD,
    RawTransport,
    Running,
    Script,
    listening,
    new_key,
    number,
    raw_server,
    speak_sftp,
    text,
)
from tests.support.pace import short

SHORT = short(connect=2, handshake=2, login=2, reply=2)
WRONG = Credentials(username="partner", password="the-wrong-pässword")
MIB = 1024 * 1024
LATIN_1 = "Kennwort ungültig, gesperrt für 30 Minuten".encode("latin-1")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Assert that every thread that a test has started ends."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 120
    for thread in set(threading.enumerate()) - before:
        thread.join(max(deadline - time.monotonic(), 0))
        assert not thread.is_alive(), thread


def refused(
    running: Running, login: Credentials | None = None, address: Server | None = None
) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        connect(address or running.address, login or running.login, SHORT)
    assert not isinstance(raised.value.__cause__, Exception)
    return raised.value


@contextmanager
def connected(script: Script) -> Iterator[tuple[Running, Connection]]:
    with raw_server(script) as running:
        connection = connect(running.address, running.login, SHORT)
        try:
            yield running, connection
        finally:
            connection.close()


# --- before the host key is checked ---


def test_list_of_4_billion_extensions_ends_the_connection() -> None:
    script = Script(after_newkeys=lambda server: server.say(EXT_INFO, number(2**32 - 1)))
    with raw_server(script) as running:
        stranger = replace(running.address, host_keys=(_pin(new_key()),))
        assert isinstance(refused(running, address=stranger), HostKeyRefused | PartnerUnreachable)
        assert running.logins == []
        assert isinstance(refused(running), PartnerUnreachable)


@pytest.mark.parametrize("length", [2**31, 2**32 - 1, incoming.MAX_PACKET_BYTES + 8, 0, 1, 4])
def test_packet_of_impossible_length_before_the_key_exchange_is_refused(length: int) -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(b"SSH-2.0-Long_1.0\r\n" + number(length) + bytes(64))

    with listening(greet) as port, pytest.raises(PartnerUnreachable):
        connect(Server(host="127.0.0.1", port=port, host_keys=(_pin(new_key()),)), WRONG, SHORT)


@pytest.mark.parametrize("size", [0, 1, 63, 200])
def test_signature_of_wrong_length_is_an_unreachable_partner(size: int) -> None:
    class Signs(paramiko.Ed25519Key):
        def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> paramiko.Message:
            message = paramiko.Message()
            message.add_string("ssh-ed25519")
            message.add_string(bytes(size))
            return message

    key = new_key()
    key.__class__ = Signs
    with raw_server(Script(host_key=key)) as running:
        assert isinstance(refused(running), PartnerUnreachable)


def _pin(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.get_base64()}"


# --- during the login ---


def test_refusal_in_latin_1_is_one_login_and_login_refused() -> None:
    """Regression: in Latin-1 it was an error that the circuit breaker did not see."""

    def disconnect(server: RawTransport) -> None:
        server.say(DISCONNECT, number(2), text(LATIN_1), text(b"de-\xe4"))

    with raw_server(Script(at_login=disconnect)) as running:
        assert isinstance(refused(running, WRONG), LoginRefused)
        assert len(running.logins) == 1


def test_list_of_methods_in_latin_1_is_login_refused() -> None:
    def refuse(server: RawTransport) -> None:
        server.say(51, text(b"password,m\xe4thod"), b"\0")

    with raw_server(Script(at_login=refuse)) as running:
        assert isinstance(refused(running, WRONG), LoginRefused)


def test_disconnect_right_after_the_key_exchange_is_not_login_refused() -> None:
    def disconnect(server: RawTransport) -> None:
        server.say(DISCONNECT, number(11), text(b"closed for maintenance"), text(b""))

    with raw_server(Script(after_newkeys=disconnect)) as running:
        for _ in range(20):
            error = refused(running, WRONG)
            assert isinstance(error, PartnerError)
            assert not isinstance(error, LoginRefused)


MALFORMED: dict[str, Callable[[RawTransport], None]] = {
    "a packet of 2 GB": lambda server: server.say_raw(number(2**31) + bytes(64)),
    "a packet that is not authentic": lambda server: server.say_raw(number(32) + bytes(48)),
    "no type": lambda server: server.say_raw(bytes(40)),
    "a new list of algorithms": lambda server: server.say(20, bytes(16), text(b"\xff\xfe") * 10),
    "channel data": lambda server: server.say(CHANNEL_DATA, number(7), text(b"x")),
    "a string that is too long": lambda server: server.say(DISCONNECT, number(2), number(2**32 - 1)),
}


@pytest.mark.parametrize("malformed", MALFORMED.values(), ids=MALFORMED)
def test_malformed_reply_to_the_login_is_a_partner_error(
    malformed: Callable[[RawTransport], None],
) -> None:
    with raw_server(Script(at_login=malformed)) as running:
        error = refused(running)
        assert isinstance(error, PartnerError)
        assert not isinstance(error, LoginRefused), error
        assert len(running.logins) == 1


def test_unknown_message_number_is_ignored() -> None:
    """OpenSSH's ping has number 192, and paramiko fails with a KeyError."""

    def say_all(server: RawTransport) -> None:
        for kind in (8, 49, 192, 255):
            server.say(kind, text(b"ping"))

    script = Script(after_newkeys=lambda server: server.say(192, text(b"ping")), at_login=say_all)
    script.at_subsystem = lambda _server, channel: speak_sftp(channel)
    with connected(script) as (_, connection):
        connection.session.ping()
        assert connection.is_open()


@pytest.mark.parametrize("secret", [PASSWORD, "the-wrong-pässword"])
def test_password_echoed_by_the_server_is_in_no_error(secret: str) -> None:
    def repeat(server: RawTransport) -> None:
        server.say(DISCONNECT, number(2), text(f"no {secret} here".encode()), text(b""))

    with raw_server(Script(at_login=repeat)) as running:
        error = refused(running, Credentials(username="partner", password=secret))
    assert secret not in f"{error} {error!r} {error.__context__}"


# --- after the login ---


def test_packet_of_2_gb_after_the_login_ends_the_connection() -> None:
    script = Script(at_subsystem=lambda server, _channel: server.say_raw(number(2**31) + bytes(100)))
    with raw_server(script) as running:
        assert isinstance(refused(running), TransferError | PartnerError)


def test_stderr_does_not_use_up_the_window() -> None:
    """Regression: it did after 2 MB, or 1,900 small files at a server that logs a line for each."""
    logged = 0

    def log(channel: paramiko.Channel) -> None:
        nonlocal logged
        while logged < 3 * incoming.WINDOW_BYTES:
            logged += channel.send_stderr(b"a line of its log\n" * 1000)  # waits for the window

    script = Script(at_subsystem=lambda _server, channel: speak_sftp(channel, lambda _count: log(channel)))
    with connected(script) as (_, connection):
        connection.session.ping()
        assert connection.is_open()
    assert logged >= 3 * incoming.WINDOW_BYTES


def test_flood_of_stderr_is_not_kept_in_memory() -> None:
    def flood(server: RawTransport, channel: paramiko.Channel) -> None:
        for _ in range(40 * MIB // 32_000):  # without a look at the window
            server.say(CHANNEL_EXTENDED_DATA, number(channel.get_id()), number(1), text(bytes(32_000)))
        server.say(DISCONNECT, number(2), text(b"enough"), text(b""))

    with raw_server(Script(at_subsystem=flood)) as running:
        before = _resident_bytes()
        assert isinstance(refused(running), TransferError | PartnerError)
        # The server is a thread of this process, and keeps nothing.
        assert _resident_bytes() - before < 2 * incoming.MOST_RECEIVED_BYTES


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def test_other_host_key_in_a_later_key_exchange_ends_the_connection() -> None:
    script = Script(at_subsystem=lambda _server, channel: speak_sftp(channel))
    with connected(script) as (running, connection):
        connection.session.ping()
        server = running.transports[0]
        server.show_key(new_key())
        with suppress(EOFError, OSError, paramiko.SSHException):  # the other side hangs up in the middle
            server.renegotiate_keys()
        with pytest.raises(TransferError):
            connection.session.ping()
        assert "another host key" in str(connection.transport.get_exception())


def test_same_host_key_in_a_later_key_exchange_is_accepted() -> None:
    script = Script(at_subsystem=lambda _server, channel: speak_sftp(channel))
    with connected(script) as (running, connection):
        running.transports[0].renegotiate_keys()
        connection.session.ping()
        assert connection.is_open()


class NeverWaitedFor(threading.Event):
    """Raises when it is waited for."""

    def wait(self, timeout: float | None = None) -> bool:
        raise AssertionError("close waits for a key exchange")


def test_endless_key_exchange_does_not_block_close() -> None:
    script = Script(at_subsystem=lambda _server, channel: speak_sftp(channel), never_renews_keys=True)
    with connected(script) as (_, connection):
        transport: Any = connection.transport
        transport._send_kex_init()
        transport.clear_to_send = NeverWaitedFor()
        connection.session.close()
        connection.close()
    assert not transport.is_active()


def test_messages_held_back_during_a_key_exchange_are_sent_after_it() -> None:
    ended = threading.Event()

    def speak(_server: RawTransport, channel: paramiko.Channel) -> None:
        with suppress(EOFError):
            speak_sftp(channel)
        ended.set()

    with connected(Script(at_subsystem=speak)) as (running, connection):
        transport: Any = connection.transport
        with transport.clear_to_send_lock:
            transport.clear_to_send.clear()
        connection.session.close()
        assert len(transport._held_back) == 2, "EOF and CLOSE"
        assert not ended.is_set()
        running.transports[0].renegotiate_keys()
        assert ended.wait(120)
        assert transport.is_active()
