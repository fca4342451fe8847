"""Bulk sends follow the SSH RFCs: they are read by a second implementation, and by paramiko's server."""

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
"""Seconds to wait for what must happen; a passing test does not wait that long."""


def uint32(value: int) -> bytes:
    return value.to_bytes(4, "big")


class RecordingSocket:
    """A socket that records what is sent and accepts `at_a_time` bytes per call."""

    def setsockopt(self, *_option: int) -> None:
        pass

    def __init__(self, at_a_time: int = 1 << 30) -> None:
        self.sent = bytearray()
        self._at_a_time = at_a_time

    def send(self, data: bytes | memoryview) -> int:
        taken = data[: self._at_a_time]
        self.sent += taken
        return len(taken)


def packetizer_on(socket_: RecordingSocket, *, count: int = 0, key: bytes = KEY) -> Packetizer:
    packetizer = Packetizer(cast("Any", socket_))  # it is as much of a socket as is used
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
        assert 16 <= length + 4 <= 35_000, "what every implementation accepts (RFC 4253, 6.1)"
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
    socket_ = RecordingSocket(at_a_time)
    whole = b"".join(pieces)
    mixed: list[Piece] = [memoryview(piece) if index % 2 else piece for index, piece in enumerate(pieces)]
    packetizer_on(socket_, count=count).send_channel_data(CHANNEL, mixed, packet_bytes=packet_bytes)
    found = data_in(bytes(socket_.sent), count=count)
    assert b"".join(found) == whole
    assert all(len(data) == packet_bytes for data in found[:-1]), "full packets but for the last"
    assert 1 <= len(found[-1]) <= packet_bytes


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 40_000), min_size=1, max_size=6))
def test_consecutive_sends_reuse_buffers_without_corrupting_data(sizes: list[int]) -> None:
    socket_ = RecordingSocket()
    packetizer = packetizer_on(socket_)
    expected = b""
    for number, size in enumerate(sizes):
        data = bytes([number + 1]) * size
        packetizer.send_channel_data(CHANNEL, [data], packet_bytes=32 * 1024)
        expected += data
    assert b"".join(data_in(bytes(socket_.sent))) == expected


@pytest.mark.parametrize("size", [32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 3 * 32 * 1024, 300_000])
def test_all_packets_but_the_last_hold_32_kib(size: int) -> None:
    socket_ = RecordingSocket()
    packetizer_on(socket_).send_channel_data(CHANNEL, [bytes(size)], packet_bytes=32 * 1024)
    assert [len(data) for data in data_in(bytes(socket_.sent))][:-1] == [32 * 1024] * (
        (size - 1) // (32 * 1024)
    )


def test_bulk_send_is_one_socket_write() -> None:
    socket_ = RecordingSocket()
    calls: list[int] = []
    send = socket_.send

    def counting(data: bytes | memoryview) -> int:
        calls.append(len(data))
        return send(data)

    socket_.send = counting  # type: ignore[method-assign] # counts
    packetizer_on(socket_).send_channel_data(CHANNEL, [bytes(300_000)], packet_bytes=32 * 1024)
    assert calls == [len(socket_.sent)]


def test_bulk_send_and_paramiko_share_packet_counters() -> None:
    socket_ = RecordingSocket()
    packetizer = packetizer_on(socket_, count=41)
    message = paramiko.Message()
    message.add_byte(b"\x02")  # IGNORE
    for _ in range(2):
        packetizer.send_message(message)
        packetizer.send_channel_data(CHANNEL, [b"x" * 250], packet_bytes=100)
    kinds = [payload[0] for payload in packets_in(bytes(socket_.sent), count=41)]
    assert kinds == [2, 94, 94, 94, 2, 94, 94, 94]
    assert private(packetizer, "sequence_number_out") == 8
    assert private(packetizer, "sent_packets") == 8
    assert private(packetizer, "sent_bytes") == len(socket_.sent)


def test_sequence_number_wraps_after_32_bits() -> None:
    packetizer = packetizer_on(RecordingSocket())
    packetizer._Packetizer__sequence_number_out = 0xFFFFFFFE  # type: ignore[attr-defined] # base's private
    packetizer.send_channel_data(CHANNEL, [b"x" * 300], packet_bytes=100)
    assert private(packetizer, "sequence_number_out") == 1


@pytest.mark.parametrize(("limit", "value"), [("REKEY_BYTES", 1000), ("REKEY_PACKETS", 3)])
def test_rekey_is_requested_at_the_limit(limit: str, value: int) -> None:
    packetizer = packetizer_on(RecordingSocket())
    setattr(packetizer, limit, value)
    packetizer.send_channel_data(CHANNEL, [b"x" * 200], packet_bytes=100)
    assert not packetizer.need_rekey()
    packetizer.send_channel_data(CHANNEL, [b"x" * 900], packet_bytes=100)
    assert packetizer.need_rekey()


def test_cipher_changed_by_a_rekey_is_sent_by_paramiko() -> None:
    socket_ = RecordingSocket()
    packetizer = packetizer_on(socket_)
    packetizer.send_channel_data(CHANNEL, [b"x" * 250], packet_bytes=100)
    sent = len(socket_.sent)
    cast("Any", packetizer).set_outbound_cipher(
        None, 8, None, 0, b""
    )  # not encrypted, so that it can be read
    packetizer.send_channel_data(CHANNEL, [b"a" * 150, memoryview(b"b" * 100)], packet_bytes=100)
    plain = bytes(socket_.sent[sent:])
    found = []
    while plain:
        length, padding, number, channel, size = struct.unpack_from(">IBBII", plain)
        assert (number, channel, length) == (94, CHANNEL, 1 + 9 + size + padding)
        found.append(plain[14 : 14 + size])
        plain = plain[4 + length :]
    assert found == [b"a" * 100, b"a" * 50 + b"b" * 50, b"b" * 50]


def test_broken_pipe_ends_the_send_with_eof_error() -> None:
    class Gone(RecordingSocket):
        def send(self, data: bytes | memoryview) -> int:
            raise BrokenPipeError

    with pytest.raises(EOFError):
        packetizer_on(Gone()).send_channel_data(CHANNEL, [b"x"], packet_bytes=100)


# --- the window, and key exchanges ---


class RecordingPacketizer:
    """Stands in for the packetizer and records what is sent in bulk."""

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
    """The part of a transport that a channel and its stream use."""

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


class BulkHarness:
    """A bulk stream over a real channel of paramiko, with a fake transport and packetizer."""

    def __init__(self, *, window: int, max_packet: int = 32 * 1024, timeout: float = SOON) -> None:
        self.transport = FakeTransport()
        self.recorder = RecordingPacketizer()
        self.channel = cast("Any", paramiko.Channel(0))
        self.channel._set_transport(self.transport)
        self.channel._set_remote_channel(CHANNEL, window, max_packet)
        self.channel.settimeout(timeout)
        self.stream = BulkStream(self.channel, self.transport, self.recorder)  # type: ignore[arg-type]

    def grant(self, size: int) -> None:
        message = paramiko.Message()
        message.add_int(size)
        message.rewind()
        incoming.adjust_window(self.channel, incoming.Message.of(message))


@contextmanager
def in_background(work: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Run `work` in a thread; yield a function that waits for its end and raises its error."""
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(work)
        yield lambda: future.result(SOON)


def test_send_uses_the_window_as_it_is_granted() -> None:
    bulk = BulkHarness(window=100)
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
def test_all_bytes_are_sent_in_order_through_any_window(
    pieces: list[bytes], window: int, grants: list[int]
) -> None:
    bulk = BulkHarness(window=window)
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
def test_packet_size_is_the_maximum_of_the_peer_capped_at_32_kib(max_packet: int, expected: int) -> None:
    bulk = BulkHarness(window=100, max_packet=max_packet)
    bulk.stream.send([b"x"])
    assert bulk.recorder.packet_bytes == {expected}


def test_send_waits_for_the_window() -> None:
    bulk = BulkHarness(window=0)
    with in_background(lambda: bulk.stream.send([b"abc"])) as finish:
        bulk.grant(2)
        assert bulk.recorder.batches.get(timeout=SOON) == b"ab"
        bulk.grant(1)
        finish()
    assert bulk.recorder.sent() == [b"c"]


def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing but a wider window end the wait for one."""
    monkeypatch.setattr(stream, "_GATHER_SECONDS", SOON)


def test_send_waits_until_the_window_is_wide_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    bulk = BulkHarness(window=1000)
    with in_background(lambda: bulk.stream.send([bytes(2000)])) as finish:
        assert len(bulk.recorder.batches.get(timeout=SOON)) == 1000
        for _ in range(4):  # a quarter of the first window is wide enough
            bulk.grant(70)
        assert len(bulk.recorder.batches.get(timeout=SOON)) == 280
        bulk.grant(2000)
        finish()


def test_window_that_opens_after_the_channel_is_waited_for_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSH's is 0 until its subsystem is started."""
    patient(monkeypatch)
    bulk = BulkHarness(window=0)
    bulk.grant(1000)
    with in_background(lambda: bulk.stream.send([bytes(2000)])) as finish:
        assert len(bulk.recorder.batches.get(timeout=SOON)) == 1000
        bulk.grant(70)
        while not getattr(bulk.channel, "wanted_window", 0):
            assert bulk.recorder.batches.empty()
            time.sleep(0.001)
        bulk.grant(180)
        assert len(bulk.recorder.batches.get(timeout=SOON)) == 250
        bulk.grant(2000)
        finish()


def test_send_that_needs_less_does_not_wait_for_a_wide_window(monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    bulk = BulkHarness(window=1000)
    bulk.stream.send([bytes(1000)])
    with in_background(lambda: bulk.stream.send([b"abc"])) as finish:
        bulk.grant(3)
        finish()
    assert [len(batch) for batch in bulk.recorder.sent()] == [1000, 3]


def test_send_takes_what_there_is_after_a_useless_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_GATHER_SECONDS", 0.0)
    bulk = BulkHarness(window=1000)
    bulk.recorder.then = lambda: bulk.grant(1)
    bulk.stream.send([bytes(1020)])
    assert [len(batch) for batch in bulk.recorder.sent()] == [1000] + [1] * 20


def test_useless_waits_are_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_GATHER_SECONDS", 0.0)
    bulk = BulkHarness(window=1000)
    waits = []
    gather = bulk.channel.out_buffer_cv.wait
    monkeypatch.setattr(bulk.channel.out_buffer_cv, "wait", lambda left: waits.append(left) or gather(left))
    bulk.recorder.then = lambda: bulk.grant(1)
    bulk.stream.send([bytes(1000 + 250)])
    assert len(waits) == 3


@pytest.mark.parametrize("how", ["close", "eof"])
def test_close_wakes_a_send_that_waits_for_a_wide_window(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    bulk = BulkHarness(window=1000)
    bulk.stream.send([bytes(1000)])
    bulk.grant(5)
    with in_background(lambda: bulk.stream.send([bytes(1000)])) as finish:
        while not getattr(bulk.channel, "wanted_window", 0):
            time.sleep(0.001)
        with bulk.channel.lock:
            bulk.channel._set_closed()
            bulk.channel.eof_sent = how == "eof"
        with pytest.raises(EOFError):
            finish()
    assert len(bulk.recorder.sent()) == 1


def test_window_that_stays_closed_times_out() -> None:
    with pytest.raises(TimeoutError):
        BulkHarness(window=0, timeout=0.01).stream.send([b"x"])


class ManualClock:
    """A clock that only a test advances."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        clock = SimpleNamespace(monotonic=lambda: self.now, time=lambda: self.now)
        monkeypatch.setattr(packetizer, "time", clock)
        monkeypatch.setattr(stream, "time", clock)

    def tick(self) -> None:
        self.now += 0.2


def test_window_granted_one_byte_at_a_time_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte is in time by itself, but a file of 1 MB would take 2 days."""
    clock = ManualClock(monkeypatch)
    bulk = BulkHarness(window=1, timeout=10)

    def grant_one() -> None:
        clock.tick()
        bulk.grant(1)

    bulk.recorder.then = grant_one
    with pytest.raises(TimeoutError):
        bulk.stream.send([bytes(100_000)])
    assert len(bulk.recorder.sent()) in range(40, 60)


def test_one_byte_sends_of_other_ciphers_time_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = ManualClock(monkeypatch)
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


def test_socket_that_accepts_one_byte_at_a_time_times_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = ManualClock(monkeypatch)

    class ByteByByte(RecordingSocket):
        closed = False

        def send(self, data: bytes | memoryview) -> int:
            clock.tick()
            return super().send(data)

        def close(self) -> None:
            self.closed = True

    socket_ = ByteByByte(at_a_time=1)
    packetizer = packetizer_on(socket_)
    packetizer.write_seconds = 10
    with pytest.raises(TimeoutError) as raised:
        packetizer.send_channel_data(CHANNEL, [bytes(100_000)], packet_bytes=32 * 1024)
    assert raised.value.args == (), "paramiko's thread dies of an OSError with one argument"
    assert len(socket_.sent) in range(40, 60)
    assert socket_.closed, "half a packet was sent: nothing may follow"


@pytest.mark.parametrize("length", [2**31 + 4, 2**32 - 4, incoming.MAX_PACKET_BYTES + 12])
def test_oversized_packet_is_refused_before_it_is_read(length: int) -> None:
    class Says(RecordingSocket):
        asked = 0

        def recv(self, size: int) -> bytes:
            self.asked += size
            return (length.to_bytes(4, "big") + bytes(size))[:size]

    socket_ = Says()
    packetizer = packetizer_on(socket_)
    with pytest.raises(paramiko.SSHException, match="declared a packet"):
        packetizer.read_message()
    assert socket_.asked < 33_000


class Portions(RecordingSocket):
    """Says what it is given, so many bytes at a time."""

    def __init__(self, said: bytes, *, at_a_time: int) -> None:
        super().__init__()
        self.said = said
        self.portion = at_a_time
        self.asked = 0

    def recv(self, size: int) -> bytes:
        self.asked += 1
        count = min(size, self.portion)
        taken, self.said = self.said[:count], self.said[count:]
        return taken


def small_packets(count: int) -> tuple[bytes, list[bytes]]:
    """Return packets as a server sends them, and what is in them."""
    contents = [bytes([100]) + number.to_bytes(4, "big") * (number % 9) for number in range(count)]
    socket_ = RecordingSocket()
    sender = packetizer_on(socket_)
    for content in contents:
        message = paramiko.Message()
        message.add_bytes(content)
        sender.send_message(message)
    return bytes(socket_.sent), contents


@pytest.mark.parametrize("at_a_time", [1, 7, 100, 4096, 1 << 20])
def test_packets_are_read_however_they_arrive(at_a_time: int) -> None:
    said, contents = small_packets(200)
    socket_ = Portions(said, at_a_time=at_a_time)
    receiver = packetizer_on(socket_)
    cast("Any", receiver).set_inbound_cipher(
        AESGCM(KEY), 16, None, 16, b"", aead=True, iv_in=FIXED + bytes(8)
    )
    read = [receiver.read_message() for _ in contents]
    assert [bytes([kind]) + message.get_remainder() for kind, message in read] == contents
    with pytest.raises(EOFError):
        receiver.read_message()
    if at_a_time >= 4096:
        assert socket_.asked <= len(said) // 4096 + 4, "what has come together is read together"


@pytest.mark.parametrize("noise", [bytes(64), bytes(range(64)), uint32(32) + bytes(60)])
def test_undecryptable_packet_raises_a_connection_error(noise: bytes) -> None:
    class Says(RecordingSocket):
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


def test_send_on_a_closed_channel_raises_eof_error() -> None:
    bulk = BulkHarness(window=100)
    bulk.channel.close()
    with pytest.raises(EOFError):
        bulk.stream.send([b"x"])


def test_close_wakes_a_send_that_waits_for_the_window() -> None:
    bulk = BulkHarness(window=1)
    with in_background(lambda: bulk.stream.send([b"abc"])) as finish:
        assert bulk.recorder.batches.get(timeout=SOON) == b"a"
        bulk.channel._unlink()  # as the transport does when it is closed
        with pytest.raises(EOFError):
            finish()


def test_nothing_is_sent_when_another_thread_closes_the_channel_before_the_write() -> None:
    """Servers end the whole connection when data follows a CLOSE."""
    bulk = BulkHarness(window=100)

    class ClosedAfterTheWindowIsTaken(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            bulk.channel.close()
            return True

    bulk.transport.clear_to_send = ClosedAfterTheWindowIsTaken()
    bulk.transport.clear_to_send.set()
    with pytest.raises(EOFError):
        bulk.stream.send([b"abc"])
    assert bulk.recorder.sent() == []


class ObservedEvent(threading.Event):
    """An event that shows when a thread waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_waited_for = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.is_waited_for.set()
        return super().wait(timeout)


def test_nothing_is_sent_during_a_key_exchange() -> None:
    bulk = BulkHarness(window=100)
    exchange = ObservedEvent()
    bulk.transport.clear_to_send = exchange
    with in_background(lambda: bulk.stream.send([b"abc"])) as finish:
        assert exchange.is_waited_for.wait(SOON)
        assert bulk.recorder.sent() == []
        exchange.set()
        finish()
    assert bulk.recorder.sent() == [b"abc"]


def test_send_waits_for_a_key_exchange_that_starts_while_the_lock_is_acquired() -> None:
    bulk = BulkHarness(window=100)

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


class NeverSet(threading.Event):
    """Never set; `wait` returns at once, so that the test does not wait."""

    def wait(self, timeout: float | None = None) -> bool:
        return False


def test_key_exchange_that_never_ends_times_out() -> None:
    bulk = BulkHarness(window=100, timeout=0.01)
    bulk.transport.clear_to_send = NeverSet()
    with pytest.raises(TimeoutError):
        bulk.stream.send([b"x"])


def test_connection_lost_during_a_key_exchange_ends_the_send() -> None:
    bulk = BulkHarness(window=100)
    bulk.transport.clear_to_send = NeverSet()
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
def test_gcm_data_is_sent_in_bulk_and_arrives(cipher: str, host_key: paramiko.PKey) -> None:
    data = bytes(range(256)) * 20_000  # more than the window
    with connected(host_key, cipher=cipher) as (channel, accepted):
        stream = stream_for(channel)
        assert isinstance(stream, BulkStream)
        with in_background(lambda: stream.send([data[:1000], memoryview(data)[1000:]])) as finish:
            assert read(accepted, len(data)) == data
            finish()


def test_rekey_during_a_transfer_keeps_the_data_intact(
    host_key: paramiko.PKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(256)) * 20_000
    with connected(host_key) as (channel, accepted):
        keys: list[object] = []
        transport: Any = channel.get_transport()
        exchange = transport._parse_newkeys
        monkeypatch.setattr(transport, "_parse_newkeys", lambda message: keys.append(exchange(message)))
        transport._handler_table = {**transport._handler_table, 21: transport._parse_newkeys}
        transport.packetizer.REKEY_BYTES = 500_000
        stream = stream_for(channel)

        def send() -> None:
            for start in range(0, len(data), 100_000):
                stream.send([data[start : start + 100_000]])

        with in_background(send) as finish:
            assert read(accepted, len(data)) == data
            finish()
        # Their number depends on how soon the peer's thread replies.
        assert keys


def test_ctr_data_is_sent_by_paramiko_and_arrives(host_key: paramiko.PKey) -> None:
    data = bytes(range(256)) * 1000
    with connected(host_key, cipher="aes128-ctr") as (channel, accepted):
        stream = stream_for(channel)
        assert isinstance(stream, PlainStream)
        stream.send([data[:1000], memoryview(data)[1000:]])
        assert read(accepted, len(data)) == data


def test_stock_transport_gets_a_plain_stream(host_key: paramiko.PKey) -> None:
    with connected(host_key, transport=paramiko.Transport) as (channel, _):
        assert isinstance(stream_for(channel), PlainStream)


@pytest.mark.parametrize("name", packetizer._STATE)
def test_bulk_send_is_off_when_paramiko_lacks_a_required_private_field(name: str) -> None:
    packetizer = packetizer_on(RecordingSocket())
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
def test_bulk_send_is_off_for_anything_but_plain_gcm(name: str, value: object) -> None:
    packetizer = packetizer_on(RecordingSocket())
    vars(packetizer)[f"_Packetizer__{name}"] = value
    assert not packetizer.can_send_in_bulk()


def test_bulk_send_is_off_without_encrypt_into(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class OldAESGCM:
        """AESGCM of a cryptography version without `encrypt_into`."""

    packetizer = packetizer_on(RecordingSocket())
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
    out_window_size = 0
    timeout = SOON

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.was_closed = False

    def recv(self, size: int) -> bytes:
        raise self._error

    def close(self) -> None:
        self.was_closed = True
        raise self._error

    def send(self, data: bytes) -> int:
        raise self._error


KEY_EXCHANGE_TIMEOUT = paramiko.SSHException("Key-exchange timed out waiting for key negotiation")


def test_key_exchange_timeout_while_reading_raises_os_error(
    stream_on: Callable[[Any], Any],
) -> None:
    with pytest.raises(OSError, match="Key-exchange timed out"):
        stream_on(BrokenChannel(KEY_EXCHANGE_TIMEOUT)).recv()


def test_key_exchange_timeout_while_paramiko_sends_raises_os_error() -> None:
    with pytest.raises(OSError, match="Key-exchange timed out"):
        PlainStream(BrokenChannel(KEY_EXCHANGE_TIMEOUT)).send([b"x"])  # type: ignore[arg-type] # a fake


def test_silent_channel_times_out(stream_on: Callable[[Any], Any]) -> None:
    with pytest.raises(TimeoutError):
        stream_on(BrokenChannel(TimeoutError())).recv()


@pytest.mark.parametrize("error", [EOFError(), OSError("reset"), KEY_EXCHANGE_TIMEOUT])
def test_close_suppresses_errors_of_the_channel(error: Exception, stream_on: Callable[[Any], Any]) -> None:
    channel = BrokenChannel(error)
    stream_on(channel).close()
    assert channel.was_closed


def test_closing_the_transport_wakes_a_blocked_read(host_key: paramiko.PKey) -> None:
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


def test_closing_the_transport_wakes_a_send_blocked_in_the_socket(host_key: paramiko.PKey) -> None:
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
        stream.send([b"x"])  # the peer's next read is its last one
        assert stopped.wait(SOON)
        channel.out_window_size = 1 << 30
        with in_background(lambda: stream.send([bytes(1 << 20)] * 16)) as finish:
            deadline = time.monotonic() + SOON
            while not transport.clear_to_send_lock.locked():  # held while the send is blocked in the socket
                assert time.monotonic() < deadline
            transport.close()
            try:
                with pytest.raises(EOFError):
                    finish()
            finally:
                holds.set()
