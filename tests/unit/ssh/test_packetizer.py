"""What is sent in bulk is what SSH wants: read here by a second implementation, and by paramiko's server."""

from __future__ import annotations

import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import paramiko
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from s3_to_sftp.ssh import incoming, packetizer, stream
from s3_to_sftp.ssh.packetizer import Packetizer
from s3_to_sftp.ssh.stream import BulkStream, Piece, PlainStream, stream_for
from s3_to_sftp.ssh.transport import Transport

KEY = bytes(range(16))
FIXED = b"\xa1\xb2\xc3\xd4"
CHANNEL = 0x01020304
MASK = 0xFFFFFFFFFFFFFFFF
SOON = 120
"""Seconds that a test waits for what must happen; it never takes them when all is well."""


def number_of(value: int) -> bytes:
    return value.to_bytes(4, "big")


class Wire:
    """A socket that keeps what is sent, `at_a_time` bytes per call."""

    def setsockopt(self, *_option: int) -> None:
        pass

    def __init__(self, at_a_time: int = 1 << 30) -> None:
        self.sent = bytearray()
        self._at_a_time = at_a_time

    def send(self, data: bytes | memoryview) -> int:
        taken = data[: self._at_a_time]
        self.sent += taken
        return len(taken)


def packetizer_on(wire: Wire, *, count: int = 0, key: bytes = KEY) -> Packetizer:
    packetizer = Packetizer(cast("Any", wire))  # it is as much of a socket as is used
    cast("Any", packetizer).set_outbound_cipher(
        AESGCM(key), 16, None, 16, b"", aead=True, iv_out=FIXED + count.to_bytes(8, "big")
    )
    return packetizer


def packets_in(sent: bytes, *, count: int = 0, key: bytes = KEY) -> Iterator[bytes]:
    """The payloads of SSH packets as RFC 5647 describes them."""
    while sent:
        length = int.from_bytes(sent[:4], "big")
        assert length % 16 == 0, "length of what is encrypted: a multiple of the block (RFC 5647, 7.2)"
        plain = AESGCM(key).decrypt(FIXED + count.to_bytes(8, "big"), sent[4 : 4 + length + 16], sent[:4])
        padding = plain[0]
        assert padding >= 4, "RFC 4253, section 6"
        assert len(plain) == length
        assert 16 <= length + 4 <= 35_000, "what every implementation takes (RFC 4253, 6.1)"
        yield plain[1 : length - padding]
        sent = sent[4 + length + 16 :]
        count = (count + 1) & MASK


def data_in(sent: bytes, *, count: int = 0) -> list[bytes]:
    """The data of CHANNEL_DATA messages (RFC 4254, section 5.2)."""
    found = []
    for payload in packets_in(sent, count=count):
        number, channel, length = struct.unpack_from(">BII", payload)
        assert (number, channel) == (94, CHANNEL)
        assert length == len(payload) - 9
        found.append(payload[9:])
    return found


def private(packetizer: Packetizer, name: str) -> Any:
    return vars(packetizer)[f"_Packetizer__{name}"]


# --- packets ---

PIECES = st.lists(
    st.binary(max_size=200) | st.integers(0, 5_000).map(lambda size: bytes([size % 251]) * size), max_size=12
).filter(any)


@settings(max_examples=100, deadline=None)
@given(
    pieces=PIECES,
    packet_bytes=st.integers(1, 40) | st.integers(41, 4096),
    count=st.sampled_from([0, 1, 2**32 - 1, MASK - 1, MASK]) | st.integers(0, MASK),
    at_a_time=st.integers(50, 30_000),
)
def test_packets_hold_all_bytes_in_order(
    pieces: list[bytes], packet_bytes: int, count: int, at_a_time: int
) -> None:
    wire = Wire(at_a_time)
    whole = b"".join(pieces)
    mixed: list[Piece] = [memoryview(piece) if index % 2 else piece for index, piece in enumerate(pieces)]
    packetizer_on(wire, count=count).send_channel_data(CHANNEL, mixed, packet_bytes=packet_bytes)
    found = data_in(bytes(wire.sent), count=count)
    assert b"".join(found) == whole
    assert all(len(data) == packet_bytes for data in found[:-1]), "full packets but for the last"
    assert 1 <= len(found[-1]) <= packet_bytes


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 40_000), min_size=1, max_size=6))
def test_buffers_may_be_used_for_one_send_after_another(sizes: list[int]) -> None:
    wire = Wire()
    packetizer = packetizer_on(wire)
    expected = b""
    for number, size in enumerate(sizes):
        data = bytes([number + 1]) * size
        packetizer.send_channel_data(CHANNEL, [data], packet_bytes=32 * 1024)
        expected += data
    assert b"".join(data_in(bytes(wire.sent))) == expected


@pytest.mark.parametrize("size", [32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 3 * 32 * 1024, 300_000])
def test_packets_of_32_kib_are_full(size: int) -> None:
    wire = Wire()
    packetizer_on(wire).send_channel_data(CHANNEL, [bytes(size)], packet_bytes=32 * 1024)
    assert [len(data) for data in data_in(bytes(wire.sent))][:-1] == [32 * 1024] * ((size - 1) // (32 * 1024))


def test_bulk_is_one_write_to_the_socket() -> None:
    wire = Wire()
    calls: list[int] = []
    send = wire.send

    def counting(data: bytes | memoryview) -> int:
        calls.append(len(data))
        return send(data)

    wire.send = counting  # type: ignore[method-assign] # counts
    packetizer_on(wire).send_channel_data(CHANNEL, [bytes(300_000)], packet_bytes=32 * 1024)
    assert calls == [len(wire.sent)]


def test_counters_go_on_where_paramiko_left_them_and_back() -> None:
    wire = Wire()
    packetizer = packetizer_on(wire, count=41)
    message = paramiko.Message()
    message.add_byte(b"\x02")  # IGNORE
    for _ in range(2):
        packetizer.send_message(message)
        packetizer.send_channel_data(CHANNEL, [b"x" * 250], packet_bytes=100)
    kinds = [payload[0] for payload in packets_in(bytes(wire.sent), count=41)]
    assert kinds == [2, 94, 94, 94, 2, 94, 94, 94]
    assert private(packetizer, "sequence_number_out") == 8
    assert private(packetizer, "sent_packets") == 8
    assert private(packetizer, "sent_bytes") == len(wire.sent)


def test_sequence_number_starts_again_after_32_bits() -> None:
    packetizer = packetizer_on(Wire())
    packetizer._Packetizer__sequence_number_out = 0xFFFFFFFE  # type: ignore[attr-defined] # base's private
    packetizer.send_channel_data(CHANNEL, [b"x" * 300], packet_bytes=100)
    assert private(packetizer, "sequence_number_out") == 1


@pytest.mark.parametrize(("limit", "value"), [("REKEY_BYTES", 1000), ("REKEY_PACKETS", 3)])
def test_new_keys_are_asked_for_at_the_limit(limit: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Packetizer, limit, value)
    packetizer = packetizer_on(Wire())
    packetizer.send_channel_data(CHANNEL, [b"x" * 200], packet_bytes=100)
    assert not packetizer.need_rekey()
    packetizer.send_channel_data(CHANNEL, [b"x" * 900], packet_bytes=100)
    assert packetizer.need_rekey()


def test_cipher_that_was_changed_with_the_keys_is_left_to_paramiko() -> None:
    wire = Wire()
    packetizer = packetizer_on(wire)
    packetizer.send_channel_data(CHANNEL, [b"x" * 250], packet_bytes=100)
    sent = len(wire.sent)
    cast("Any", packetizer).set_outbound_cipher(
        None, 8, None, 0, b""
    )  # not encrypted, so that it can be read
    packetizer.send_channel_data(CHANNEL, [b"a" * 150, memoryview(b"b" * 100)], packet_bytes=100)
    plain = bytes(wire.sent[sent:])
    found = []
    while plain:
        length, padding, number, channel, size = struct.unpack_from(">IBBII", plain)
        assert (number, channel, length) == (94, CHANNEL, 1 + 9 + size + padding)
        found.append(plain[14 : 14 + size])
        plain = plain[4 + length :]
    assert found == [b"a" * 100, b"a" * 50 + b"b" * 50, b"b" * 50]


def test_connection_that_is_gone_ends_the_send() -> None:
    class Gone(Wire):
        def send(self, data: bytes | memoryview) -> int:
            raise BrokenPipeError

    with pytest.raises(EOFError):
        packetizer_on(Gone()).send_channel_data(CHANNEL, [b"x"], packet_bytes=100)


# --- the window, and key exchanges ---


class Recorder:
    """In the place of the packetizer: keeps what is sent in bulk."""

    def __init__(self) -> None:
        self.batches: queue.Queue[bytes] = queue.Queue()
        self.packet_bytes: set[int] = set()
        self.then: Callable[[], None] = lambda: None

    def send_channel_data(self, channel: int, pieces: Sequence[Piece], *, packet_bytes: int) -> None:
        assert channel == CHANNEL
        self.packet_bytes.add(packet_bytes)
        self.batches.put(b"".join(pieces))
        self.then()

    def sent(self) -> list[bytes]:
        return [self.batches.get_nowait() for _ in range(self.batches.qsize())]


class FakeTransport:
    """What a channel and its stream need of a transport."""

    def __init__(self) -> None:
        self.clear_to_send = threading.Event()
        self.clear_to_send.set()
        self.clear_to_send_lock = threading.Lock()
        self.active = True

    def _sanitize_packet_size(self, size: int) -> int:
        return size

    def get_log_channel(self) -> str:
        return "test"

    def get_hexdump(self) -> bool:
        return False

    def _unlink_channel(self, number: int) -> None:
        pass

    def _send_user_message(self, message: paramiko.Message) -> None:
        pass


class Bulk:
    """A bulk stream over a real channel of paramiko, and what is around it."""

    def __init__(self, *, window: int, max_packet: int = 32 * 1024, timeout: float = SOON) -> None:
        self.transport = FakeTransport()
        self.recorder = Recorder()
        self.channel = cast("Any", paramiko.Channel(0))
        self.channel._set_transport(self.transport)
        self.channel._set_remote_channel(CHANNEL, window, max_packet)
        self.channel.settimeout(timeout)
        self.stream = BulkStream(self.channel, self.transport, self.recorder)  # type: ignore[arg-type]

    def grant(self, size: int) -> None:
        message = paramiko.Message()
        message.add_int(size)
        message.rewind()
        self.channel._window_adjust(message)


@contextmanager
def in_background(work: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Run it in a thread; yields what waits for its end and raises what it raised."""
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(work)
        yield lambda: future.result(SOON)


def test_window_is_taken_as_it_is_granted() -> None:
    bulk = Bulk(window=100)
    grants = iter([70, 1000])
    bulk.recorder.then = lambda: bulk.grant(next(grants, 0))
    data = bytes(range(250))
    bulk.stream.send([data[:30], data[30:180], b"", memoryview(data)[180:]])
    sent = bulk.recorder.sent()
    assert [len(batch) for batch in sent] == [100, 70, 80]
    assert b"".join(sent) == data
    assert bulk.channel.out_window_size == 1000 - 80


@settings(max_examples=60, deadline=None)
@given(pieces=PIECES, window=st.integers(1, 500), grants=st.lists(st.integers(1, 700), min_size=1))
def test_any_window_carries_all_bytes_in_order(pieces: list[bytes], window: int, grants: list[int]) -> None:
    bulk = Bulk(window=window)
    granted = window
    following = iter(grants * 30_000)

    def grant_more() -> None:
        nonlocal granted
        more = next(following)
        granted += more
        bulk.grant(more)

    bulk.recorder.then = grant_more
    bulk.stream.send(pieces)
    sent = bulk.recorder.sent()
    assert b"".join(sent) == b"".join(pieces)
    assert bulk.channel.out_window_size == granted - sum(map(len, sent))


@pytest.mark.parametrize(
    ("max_packet", "expected"), [(4096, 4096), (32 * 1024, 32 * 1024), (1 << 20, 32 * 1024)]
)
def test_packets_are_as_large_as_the_peer_takes_but_at_most_32_kib(max_packet: int, expected: int) -> None:
    bulk = Bulk(window=100, max_packet=max_packet)
    bulk.stream.send([b"x"])
    assert bulk.recorder.packet_bytes == {expected}


def test_send_waits_for_the_window() -> None:
    bulk = Bulk(window=0)
    with in_background(lambda: bulk.stream.send([b"abc"])) as finish:
        bulk.grant(2)
        assert bulk.recorder.batches.get(timeout=SOON) == b"ab"
        bulk.grant(1)
        finish()
    assert bulk.recorder.sent() == [b"c"]


def test_window_that_stays_shut_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        Bulk(window=0, timeout=0.01).stream.send([b"x"])


class Ticking:
    """A clock that a test moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        clock = SimpleNamespace(monotonic=lambda: self.now, time=lambda: self.now)
        monkeypatch.setattr(packetizer, "time", clock)
        monkeypatch.setattr(stream, "time", clock)

    def tick(self) -> None:
        self.now += 0.2


def test_window_of_a_byte_at_a_time_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte was in time. A file of 1 MB would have taken 2 days."""
    clock = Ticking(monkeypatch)
    bulk = Bulk(window=1, timeout=10)

    def grant_one() -> None:
        clock.tick()
        bulk.grant(1)

    bulk.recorder.then = grant_one
    with pytest.raises(TimeoutError):
        bulk.stream.send([bytes(100_000)])
    assert len(bulk.recorder.sent()) in range(40, 60)


def test_window_of_a_byte_at_a_time_is_a_timeout_for_other_ciphers_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Ticking(monkeypatch)
    sent = []

    class ByteByByte:
        timeout = 10

        def send(self, data: bytes) -> int:
            clock.tick()
            sent.append(data[0])
            return 1

    with pytest.raises(TimeoutError):
        PlainStream(ByteByByte()).send([bytes(100_000)])  # type: ignore[arg-type] # a fake
    assert len(sent) in range(40, 60)


def test_peer_that_takes_a_byte_at_a_time_from_the_network_is_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Ticking(monkeypatch)

    class ByteByByte(Wire):
        closed = False

        def send(self, data: bytes | memoryview) -> int:
            clock.tick()
            return super().send(data)

        def close(self) -> None:
            self.closed = True

    wire = ByteByByte(at_a_time=1)
    packetizer = packetizer_on(wire)
    packetizer.write_seconds = 10
    with pytest.raises(TimeoutError) as raised:
        packetizer.send_channel_data(CHANNEL, [bytes(100_000)], packet_bytes=32 * 1024)
    assert raised.value.args == (), "paramiko's thread dies of an OSError with one argument"
    assert len(wire.sent) in range(40, 60)
    assert wire.closed, "half a packet was sent: nothing may follow"


@pytest.mark.parametrize("length", [2**31 + 4, 2**32 - 4, incoming.MAX_PACKET_BYTES + 12])
def test_packet_is_not_read_that_is_longer_than_any_may_be(length: int) -> None:
    class Says(Wire):
        asked = 0

        def recv(self, size: int) -> bytes:
            self.asked += size
            return (length.to_bytes(4, "big") + bytes(size))[:size]

    wire = Says()
    packetizer = packetizer_on(wire)
    with pytest.raises(paramiko.SSHException, match="declared a packet"):
        packetizer.read_message()
    assert wire.asked < 64


@pytest.mark.parametrize("noise", [bytes(64), bytes(range(64)), number_of(32) + bytes(60)])
def test_packet_that_is_none_is_an_error_of_the_connection(noise: bytes) -> None:
    class Says(Wire):
        def recv(self, size: int) -> bytes:
            nonlocal noise
            taken, noise = noise[:size], noise[size:]
            return taken

    packetizer = packetizer_on(Says())
    cast("Any", packetizer).set_inbound_cipher(
        AESGCM(KEY), 16, None, 16, b"", aead=True, iv_in=FIXED + bytes(8)
    )
    with pytest.raises((paramiko.SSHException, EOFError)):
        packetizer.read_message()


def test_channel_that_is_closed_takes_nothing() -> None:
    bulk = Bulk(window=100)
    bulk.channel.close()
    with pytest.raises(EOFError):
        bulk.stream.send([b"x"])


def test_close_wakes_a_send_that_waits_for_the_window() -> None:
    bulk = Bulk(window=1)
    with in_background(lambda: bulk.stream.send([b"abc"])) as finish:
        assert bulk.recorder.batches.get(timeout=SOON) == b"a"
        bulk.channel._unlink()  # as the transport does when it is closed
        with pytest.raises(EOFError):
            finish()


def test_nothing_is_sent_on_a_channel_that_another_thread_closes_at_the_last_moment() -> None:
    """Servers end the whole connection when data follows the CLOSE."""
    bulk = Bulk(window=100)

    class ClosedAfterTheWindowIsTaken(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            bulk.channel.close()
            return True

    bulk.transport.clear_to_send = ClosedAfterTheWindowIsTaken()
    bulk.transport.clear_to_send.set()
    with pytest.raises(EOFError):
        bulk.stream.send([b"abc"])
    assert bulk.recorder.sent() == []


class WatchedEvent(threading.Event):
    """Says when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_waited_for = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.is_waited_for.set()
        return super().wait(timeout)


def test_nothing_is_sent_while_keys_are_exchanged() -> None:
    bulk = Bulk(window=100)
    exchange = WatchedEvent()
    bulk.transport.clear_to_send = exchange
    with in_background(lambda: bulk.stream.send([b"abc"])) as finish:
        assert exchange.is_waited_for.wait(SOON)
        assert bulk.recorder.sent() == []
        exchange.set()
        finish()
    assert bulk.recorder.sent() == [b"abc"]


def test_key_exchange_that_begins_at_the_last_moment_is_respected() -> None:
    bulk = Bulk(window=100)

    class ClearedWhileTheLockIsTaken(threading.Event):
        waits = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.waits += 1
            if self.waits == 3:
                self.set()
            return True

    exchange = ClearedWhileTheLockIsTaken()
    bulk.transport.clear_to_send = exchange
    bulk.stream.send([b"abc"])
    assert exchange.waits == 3
    assert bulk.recorder.sent() == [b"abc"]


class Impatient(threading.Event):
    """Never set; waits for nothing, so that the test need not."""

    def wait(self, timeout: float | None = None) -> bool:
        return False


def test_key_exchange_that_never_ends_is_a_timeout() -> None:
    bulk = Bulk(window=100, timeout=0.01)
    bulk.transport.clear_to_send = Impatient()
    with pytest.raises(TimeoutError):
        bulk.stream.send([b"x"])


def test_connection_that_ends_amid_a_key_exchange_ends_the_send() -> None:
    bulk = Bulk(window=100)
    bulk.transport.clear_to_send = Impatient()
    bulk.transport.active = False
    with pytest.raises(EOFError):
        bulk.stream.send([b"x"])


# --- with paramiko's server at the other end ---


class Accepting(paramiko.ServerInterface):
    def check_auth_none(self, username: str) -> int:
        return paramiko.AUTH_SUCCESSFUL  # type: ignore[attr-defined,no-any-return] # the stubs leave it out

    def get_allowed_auths(self, username: str) -> str:
        return "none"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED  # type: ignore[attr-defined,no-any-return] # the stubs leave it out


@pytest.fixture(scope="module")
def host_key() -> paramiko.PKey:
    return paramiko.ECDSAKey.generate()


Connected = tuple[paramiko.Channel, paramiko.Channel]


@contextmanager
def connected(
    host_key: paramiko.PKey, *, cipher: str = "aes128-gcm@openssh.com", transport: Any = Transport
) -> Iterator[Connected]:
    """Both ends of a channel."""
    ours, theirs = socket.socketpair()
    server = paramiko.Transport(theirs)
    server.add_server_key(host_key)
    client = transport(ours)
    client.get_security_options().ciphers = (cipher,)
    try:
        server.start_server(event=threading.Event(), server=Accepting())
        client.start_client(timeout=SOON)
        client.auth_none("partner")
        channel = client.open_session(timeout=SOON)
        channel.settimeout(SOON)
        accepted = server.accept(SOON)
        assert accepted is not None
        accepted.settimeout(SOON)
        yield channel, accepted
    finally:
        client.close()
        server.close()


def read(channel: paramiko.Channel, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := channel.recv(1 << 20)):
        data += more
    return data


@pytest.mark.parametrize("cipher", ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com"])
def test_gcm_is_sent_in_bulk_and_arrives(cipher: str, host_key: paramiko.PKey) -> None:
    data = bytes(range(256)) * 20_000  # more than the window
    with connected(host_key, cipher=cipher) as (channel, accepted):
        stream = stream_for(channel)
        assert isinstance(stream, BulkStream)
        with in_background(lambda: stream.send([data[:1000], memoryview(data)[1000:]])) as finish:
            assert read(accepted, len(data)) == data
            finish()


def test_new_keys_in_the_middle_of_a_transfer_change_nothing(
    host_key: paramiko.PKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(256)) * 20_000
    with connected(host_key) as (channel, accepted):
        keys: list[object] = []
        transport: Any = channel.get_transport()
        exchange = transport._parse_newkeys
        monkeypatch.setattr(transport, "_parse_newkeys", lambda message: keys.append(exchange(message)))
        transport._handler_table = {**transport._handler_table, 21: transport._parse_newkeys}
        monkeypatch.setattr(transport.packetizer, "REKEY_BYTES", 500_000)
        stream = stream_for(channel)

        def send() -> None:
            for start in range(0, len(data), 100_000):
                stream.send([data[start : start + 100_000]])

        with in_background(send) as finish:
            assert read(accepted, len(data)) == data
            finish()
        # How many more depends on how soon the peer's thread gets to answer.
        assert keys


def test_ctr_is_sent_by_paramiko_and_arrives(host_key: paramiko.PKey) -> None:
    data = bytes(range(256)) * 1000
    with connected(host_key, cipher="aes128-ctr") as (channel, accepted):
        stream = stream_for(channel)
        assert isinstance(stream, PlainStream)
        stream.send([data[:1000], memoryview(data)[1000:]])
        assert read(accepted, len(data)) == data


def test_stock_transport_is_not_touched(host_key: paramiko.PKey) -> None:
    with connected(host_key, transport=paramiko.Transport) as (channel, _):
        assert isinstance(stream_for(channel), PlainStream)


@pytest.mark.parametrize("name", packetizer._STATE)
def test_paramiko_without_a_private_field_that_is_needed_is_not_touched(name: str) -> None:
    packetizer = packetizer_on(Wire())
    assert packetizer.can_send_in_bulk()
    del vars(packetizer)[f"_Packetizer__{name}"]
    assert not packetizer.can_send_in_bulk()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("aead_out", False),
        ("block_engine_out", object()),
        ("iv_out", b"16 bytes of them"),
        ("compress_engine_out", lambda data: data),
        ("dump_packets", True),
    ],
)
def test_anything_but_plain_gcm_is_left_to_paramiko(name: str, value: object) -> None:
    packetizer = packetizer_on(Wire())
    vars(packetizer)[f"_Packetizer__{name}"] = value
    assert not packetizer.can_send_in_bulk()


def test_library_that_cannot_encrypt_into_a_buffer_is_left_to_paramiko(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class OldAESGCM:
        """As in versions of cryptography that have no `encrypt_into`."""

    packetizer = packetizer_on(Wire())
    monkeypatch.setattr("s3_to_sftp.ssh.packetizer.AESGCM", OldAESGCM)
    vars(packetizer)["_Packetizer__block_engine_out"] = OldAESGCM()
    assert not packetizer.can_send_in_bulk()


# --- both streams ---


@pytest.fixture(params=[BulkStream, PlainStream])
def stream_on(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    def make(channel: Any) -> Any:
        unused = cast("Any", None)
        return PlainStream(channel) if request.param is PlainStream else BulkStream(channel, unused, unused)

    return make


class BrokenChannel:
    """A channel on which everything raises."""

    out_max_packet_size = 32 * 1024
    timeout = SOON

    def __init__(self, error: Exception) -> None:
        self._error = error

    def recv(self, size: int) -> bytes:
        raise self._error

    def close(self) -> None:
        raise self._error

    def send(self, data: bytes) -> int:
        raise self._error


KEY_EXCHANGE_HANGS = paramiko.SSHException("Key-exchange timed out waiting for key negotiation")


def test_key_exchange_that_hangs_while_reading_is_an_error_of_the_connection(
    stream_on: Callable[[Any], Any],
) -> None:
    with pytest.raises(OSError, match="Key-exchange timed out"):
        stream_on(BrokenChannel(KEY_EXCHANGE_HANGS)).recv()


def test_key_exchange_that_hangs_while_paramiko_sends_is_an_error_of_the_connection() -> None:
    with pytest.raises(OSError, match="Key-exchange timed out"):
        PlainStream(BrokenChannel(KEY_EXCHANGE_HANGS)).send([b"x"])  # type: ignore[arg-type] # a fake


def test_silence_is_a_timeout(stream_on: Callable[[Any], Any]) -> None:
    with pytest.raises(TimeoutError):
        stream_on(BrokenChannel(TimeoutError())).recv()


@pytest.mark.parametrize("error", [EOFError(), OSError("reset"), KEY_EXCHANGE_HANGS])
def test_channel_that_cannot_even_be_closed_hides_no_error(
    error: Exception, stream_on: Callable[[Any], Any]
) -> None:
    stream_on(BrokenChannel(error)).close()


def test_closing_the_transport_wakes_a_read(host_key: paramiko.PKey) -> None:
    with connected(host_key) as (channel, accepted):
        stream = stream_for(channel)
        reads: queue.Queue[bytes] = queue.Queue()

        def read_to_the_end() -> None:
            while data := stream.recv():
                reads.put(data)
            reads.put(b"")

        with in_background(read_to_the_end) as finish:
            accepted.sendall(b"x")
            assert reads.get(timeout=SOON) == b"x"
            channel.get_transport().close()
            finish()
        assert reads.get(timeout=SOON) == b""


def test_closing_the_transport_wakes_a_send_that_fills_the_line(host_key: paramiko.PKey) -> None:
    """A peer that grants window but reads nothing: the send waits in the socket."""
    with connected(host_key) as (channel, accepted):
        transport: Any = channel.get_transport()
        reader: Any = accepted.get_transport()
        holds = threading.Event()
        stopped = threading.Event()

        def read_message() -> Any:
            stopped.set()
            holds.wait(SOON)
            raise EOFError

        reader.packetizer.read_message = read_message
        stream = stream_for(channel)
        stream.send([b"x"])  # its next read is the last one
        assert stopped.wait(SOON)
        channel.out_window_size = 1 << 30
        with in_background(lambda: stream.send([bytes(1 << 20)] * 16)) as finish:
            deadline = time.monotonic() + SOON
            while not transport.clear_to_send_lock.locked():  # it is in the socket's hands from then on
                assert time.monotonic() < deadline
            transport.close()
            try:
                with pytest.raises(EOFError):
                    finish()
            finally:
                holds.set()
