"""A server that violates the protocol or falls silent at any step: a clear error in time, no leftovers."""

from __future__ import annotations

import os
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import paramiko
import pytest

from s3_to_sftp.credentials import FixedCredentials
from s3_to_sftp.errors import (
    ConnectionLost,
    DeliveryError,
    PartnerUnreachable,
    ProtocolViolation,
    RequestRefused,
    SftpNotStarted,
    TransferError,
)
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.protocol import LIMITS, Answer, Request, Status
from tests.support.faults.hostile_server import (
    NOTHING,
    Asked,
    Behaviour,
    HostileServer,
    Script,
    framed,
    hostile_server,
    status,
)
from tests.support.pace import short
from tests.support.partner import send
from tests.support.sources import BytesSource, GatheringSource

DATA = os.urandom(3 * 1024 * 1024 + 5)
NAME = "report.csv"
SHORT = short(connect=2, handshake=1, login=1, reply=1)

streams = pytest.mark.parametrize("streams", [1, 3], ids=["one stream", "three streams"])


@contextmanager
def client_for(server: HostileServer, streams: int = 1) -> Iterator[SftpClient]:
    client = SftpClient(
        server.address, FixedCredentials(server.login), timeouts=SHORT, max_connections=streams
    )
    yield client
    client.close()
    assert_no_leftovers(server)


def assert_no_leftovers(server: HostileServer) -> None:
    """Assert that our threads and connections end soon: the server reads the end of each connection."""
    deadline = time.monotonic() + 120
    while (threads := our_threads(server)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threads == []
    for connection in server.sockets:
        if connection.fileno() >= 0:
            read_to_the_end(connection, deadline)


def our_threads(server: HostileServer) -> list[str]:
    servers = {id(transport) for transport in server.transports}
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith(("stream-", "s3-reader"))
        or (isinstance(thread, paramiko.Transport) and id(thread) not in servers)
    ]


def read_to_the_end(connection: socket.socket, deadline: float) -> None:
    try:
        connection.settimeout(max(0.1, deadline - time.monotonic()))
        while connection.recv(65536):
            pass
    except TimeoutError:
        pytest.fail("a connection was left open")
    except OSError:
        return  # reset, or closed by the server's own thread: over, too


def error_of_delivery(behaviour: Behaviour, streams: int = 1) -> DeliveryError:
    """Deliver once; return the error, with which it must end."""
    with hostile_server(behaviour) as server, client_for(server, streams) as client:
        server.files[NAME] = bytearray(b"old")
        with pytest.raises(DeliveryError) as raised:
            send(client, BytesSource(DATA), NAME)
        assert server.files[NAME] == b"old"
        assert str(server.address) in raised.value.reason
        return raised.value


def assert_delivers(behaviour: Behaviour, streams: int = 1) -> None:
    with hostile_server(behaviour) as server, client_for(server, streams) as client:
        send(client, GatheringSource(DATA), NAME)
        assert server.files == {NAME: DATA}


def at(kind: Request, answer: Callable[[Asked], bytes], *, nth: int = 1) -> Script:
    """Script: gives this answer from request number `nth` of a kind on, and correct answers to all others."""
    count = 0

    def script(asked: Asked) -> bytes | None:
        nonlocal count
        if asked.kind != kind or (kind == Request.EXTENDED and asked.first_text == LIMITS):
            return None
        count += 1
        return answer(asked) if count >= nth else None

    return script


def silence(_asked: Asked) -> bytes:
    return NOTHING


# --- silence ---


@pytest.mark.parametrize(
    ("step", "expected", "words"),
    [
        ("connect", PartnerUnreachable, "accepts the connection and says nothing"),
        ("banner", PartnerUnreachable, "greets, and then nothing more comes"),
        ("auth", PartnerUnreachable, "did not answer the login in time"),
        ("channel", SftpNotStarted, "does not start SFTP"),
        ("subsystem", SftpNotStarted, "asked to start SFTP"),
    ],
)
def test_silence_before_the_first_request_times_out(
    step: str, expected: type[DeliveryError], words: str
) -> None:
    error = error_of_delivery(Behaviour(silent_at=step))  # type: ignore[arg-type] # one of the steps
    assert type(error) is expected
    assert words in error.reason


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Request.OPEN, "asked to create the temporary file"),
        (Request.WRITE, "at offset "),
        (Request.CLOSE, "asked to close the temporary file"),
        (Request.EXTENDED, "asked to rename the temporary file"),
    ],
    ids=["OPEN", "WRITE", "CLOSE", "RENAME"],
)
def test_timeout_names_the_unanswered_request(kind: Request, words: str) -> None:
    error = error_of_delivery(Behaviour(script=at(kind, silence)))
    assert type(error) is ConnectionLost
    assert "did not answer in time" in error.reason
    assert words in error.reason


def test_unanswered_limits_request_does_not_block_the_upload() -> None:
    sizes: list[int] = []

    def script(asked: Asked) -> bytes | None:
        if asked.kind == Request.WRITE:
            sizes.append(len(asked.payload))
        limits = asked.kind == Request.EXTENDED and asked.first_text == LIMITS
        return NOTHING if limits else None

    assert_delivers(Behaviour(script=script))
    assert max(sizes) < 32 * 1024


@pytest.mark.parametrize("kind", [1, Request.OPEN, Request.WRITE, Request.CLOSE, Request.EXTENDED])
def test_reply_that_arrives_byte_by_byte_times_out(kind: int) -> None:
    """Every byte arrives in time and the reply never does: that must not block the function."""
    behaviour = Behaviour(drips_at=kind, drip_seconds=SHORT.reply / 4)
    error = error_of_delivery(behaviour)
    assert type(error) is (SftpNotStarted if kind == 1 else ConnectionLost)
    # Meanwhile it reads nothing, which may be noticed first.
    assert re.search("did not finish its answer in time|took no more data for too long", error.reason)


def test_reply_that_arrives_byte_by_byte_in_time_is_accepted() -> None:
    assert_delivers(Behaviour(drips_at=Request.OPEN, drip_seconds=0.005))


def test_timeout_names_the_offset_of_the_unanswered_write() -> None:
    error = error_of_delivery(Behaviour(script=at(Request.WRITE, silence, nth=4)))
    assert f"at offset {3 * 261_120}" in error.reason


@pytest.mark.usefixtures("streams_at_any_distance")
@pytest.mark.parametrize("kind", [Request.OPEN, Request.WRITE, Request.CLOSE], ids=["OPEN", "WRITE", "CLOSE"])
def test_silence_on_all_streams_times_out_and_leaves_no_thread(kind: Request) -> None:
    error = error_of_delivery(Behaviour(script=at(kind, silence)), streams=3)
    assert isinstance(error, ConnectionLost)


# --- malformed replies ---


@pytest.mark.parametrize(
    "greets",
    [
        b"",
        b"\x00" * 100_000,
        b"SSH-1.5-old\r\n",
        b"hello\r\n" * 100_000,
        b"SSH-2.0-x\r\n" + b"\xff" * 100_000,
    ],
    ids=["nothing", "zeros", "version 1", "endless lines", "no key exchange"],
)
def test_server_that_does_not_speak_ssh_2_is_unreachable(greets: bytes) -> None:
    assert isinstance(error_of_delivery(Behaviour(greets=greets)), PartnerUnreachable)


def unknown_request_id(asked: Asked) -> bytes:
    return status(asked.id + 1_000_000)


def repeated_reply(asked: Asked) -> bytes:
    return status(asked.id) * 2


def replies_in_advance(asked: Asked) -> bytes:
    return b"".join(status(asked.id + number) for number in range(100))


MALFORMED: dict[str, Callable[[Asked], bytes]] = {
    "unknown id": unknown_request_id,
    "twice": repeated_reply,
    "in advance": replies_in_advance,
    "attributes": lambda asked: framed(Answer.ATTRS, struct.pack(">II", asked.id, 0)),
    "handle": lambda asked: framed(Answer.HANDLE, struct.pack(">II", asked.id, 1) + b"h"),
    "unknown type": lambda asked: framed(77, struct.pack(">I", asked.id)),
    "no id": lambda asked: framed(Answer.STATUS, b""),
    "half an id": lambda asked: framed(Answer.STATUS, b"\0\0"),
    "no code": lambda asked: framed(Answer.STATUS, struct.pack(">I", asked.id)),
    "text beyond the end": lambda asked: framed(
        Answer.STATUS, struct.pack(">III", asked.id, Status.FAILURE, 4_000_000_000)
    ),
    "length 0": lambda asked: bytes(4),
    "length of 4 GiB": lambda asked: b"\xff" * 4,
    "length beyond all limits": lambda asked: struct.pack(">I", 300_000) + bytes(300_000),
    "garbage": lambda asked: random.Random(1).randbytes(1000),
}


@pytest.mark.usefixtures("streams_at_any_distance")
@pytest.mark.parametrize("kind", [Request.WRITE, Request.CLOSE], ids=["WRITE", "CLOSE"])
@pytest.mark.parametrize("malformed", MALFORMED)
def test_malformed_reply_is_a_protocol_violation(malformed: str, kind: Request) -> None:
    error = error_of_delivery(Behaviour(script=at(kind, MALFORMED[malformed])))
    assert isinstance(error, ProtocolViolation), error


@pytest.mark.usefixtures("streams_at_any_distance")
@pytest.mark.parametrize("malformed", ["unknown id", "twice", "in advance", "no id", "garbage"])
def test_malformed_reply_on_all_streams_fails_the_delivery(malformed: str) -> None:
    error = error_of_delivery(Behaviour(script=at(Request.WRITE, MALFORMED[malformed])), streams=3)
    assert isinstance(error, TransferError)


def test_open_answered_with_ok_is_a_protocol_violation() -> None:
    error = error_of_delivery(Behaviour(script=at(Request.OPEN, lambda asked: status(asked.id))))
    assert isinstance(error, ProtocolViolation)
    assert "gave no handle" in error.reason


def test_unknown_status_code_is_reported_with_its_number() -> None:
    error = error_of_delivery(Behaviour(script=at(Request.WRITE, lambda asked: status(asked.id, 4711))))
    assert isinstance(error, RequestRefused)
    assert "4711" in error.reason
    assert "at offset 0" in error.reason


def test_replies_are_accepted_in_any_order() -> None:
    """A server may reply late and in another order, as long as it replies to each request."""
    held: list[bytes] = []

    def late(asked: Asked) -> bytes | None:
        if asked.kind not in {Request.WRITE, Request.CLOSE}:
            return None
        held.append(status(asked.id))
        if asked.kind == Request.WRITE and len(held) < 2:
            return NOTHING
        answers = b"".join(reversed(held))
        held.clear()
        return answers

    # The script does not write the server's files: the client must accept the replies.
    with hostile_server(Behaviour(script=late)) as server, client_for(server) as client:
        send(client, BytesSource(DATA), NAME)
        assert list(server.files) == [NAME]


# --- a channel that ends ---


@streams
@pytest.mark.usefixtures("streams_at_any_distance")
@pytest.mark.parametrize("seed", range(6))
def test_channels_closed_at_random_never_leave_a_partial_file(seed: int, streams: int) -> None:
    chance = random.Random(seed)

    def script(asked: Asked) -> bytes | None:
        if asked.kind != 1 and chance.random() < 0.12:
            raise EOFError
        return None

    with hostile_server(Behaviour(script=script)) as server, client_for(server, streams) as client:
        for _ in range(4):
            server.files[NAME] = bytearray(b"old")
            try:
                send(client, BytesSource(DATA), NAME)
            except TransferError:
                assert server.files[NAME] == b"old"
            else:
                assert server.files[NAME] == DATA


# --- false limits ---


@pytest.mark.parametrize("stated", [0, 1, 100, 4096, 32_768, 2**31, 2**32, 2**63, 2**64 - 1])
def test_stated_write_limit_is_used_within_bounds(stated: int) -> None:
    sizes: list[int] = []

    def script(asked: Asked) -> bytes | None:
        if asked.kind == Request.WRITE:
            sizes.append(len(asked.payload))
        return None

    assert_delivers(Behaviour(max_write=stated, script=script))
    assert max(sizes) < 262_144
    assert len(sizes) < 1000, "a few bytes per request would never finish"


def test_write_within_the_stated_limit_that_is_refused_is_reported() -> None:
    def script(asked: Asked) -> bytes | None:
        too_much = asked.kind == Request.WRITE and len(asked.payload) > 40_000
        return status(asked.id, Status.BAD_MESSAGE) if too_much else None

    error = error_of_delivery(Behaviour(max_write=2**63, script=script))
    assert isinstance(error, RequestRefused)
    assert "BAD_MESSAGE" in error.reason
    assert "at offset 0" in error.reason


def test_unreadable_limits_are_a_protocol_violation() -> None:
    def script(asked: Asked) -> bytes | None:
        if asked.kind == Request.EXTENDED:
            return framed(Answer.EXTENDED_REPLY, struct.pack(">IQ", asked.id, 1))
        return None

    assert isinstance(error_of_delivery(Behaviour(script=script)), ProtocolViolation)


# --- keys ---


def test_file_is_unchanged_when_the_server_renews_the_keys() -> None:
    first_write = threading.Lock()
    renewed = threading.Event()
    server: HostileServer

    def script(asked: Asked) -> bytes | None:
        if asked.kind == Request.WRITE and first_write.acquire(blocking=False):
            server.renew_keys()
            renewed.set()
        return None

    behaviour = Behaviour(script=script, ciphers=("aes256-ctr",))
    with hostile_server(behaviour) as server, client_for(server) as client:
        for _ in range(2):
            send(client, GatheringSource(DATA), NAME)
            assert server.files == {NAME: DATA}
    assert renewed.is_set()
