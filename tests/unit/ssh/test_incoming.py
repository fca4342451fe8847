"""Incoming data is bounded by the granted window, and fields by the end of their message."""

from __future__ import annotations

from typing import Any, cast

import paramiko
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_sftp.ssh import incoming
from s3_to_sftp.ssh.incoming import WINDOW_BYTES, Message, feed, feed_extended
from tests.unit.ssh.test_packetizer import CHANNEL, FakeTransport


class RecordingTransport(FakeTransport):
    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    def _send_user_message(self, message: paramiko.Message) -> None:
        self.sent.append(message.asbytes())

    @property
    def granted(self) -> int:
        """The sum of all WINDOW_ADJUST messages, in bytes."""
        assert all(message[0] == 93 for message in self.sent)
        return sum(int.from_bytes(message[5:9], "big") for message in self.sent)


@pytest.fixture
def transport() -> RecordingTransport:
    return RecordingTransport()


@pytest.fixture
def channel(transport: RecordingTransport) -> Any:
    channel = cast("Any", paramiko.Channel(0))
    channel._set_transport(transport)
    channel._set_window(WINDOW_BYTES, 32 * 1024)
    channel._set_remote_channel(CHANNEL, 100, 32 * 1024)
    return channel


def message(*parts: bytes) -> Message:
    return Message(b"".join(parts))


def text(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def data(size: int) -> Message:
    return message(text(bytes(size)))


def stderr(size: int, code: int = 1) -> Message:
    return message(code.to_bytes(4, "big"), text(bytes(size)))


def test_data_beyond_the_granted_window_is_refused(channel: Any) -> None:
    for _ in range(4):
        feed(channel, data(WINDOW_BYTES // 4))
    with pytest.raises(paramiko.SSHException, match="more data than the window allows"):
        feed(channel, data(1))


@given(sizes=st.lists(st.integers(0, 60_000), max_size=60), reads=st.lists(st.integers(1, 60_000)))
def test_data_within_the_granted_window_is_accepted(sizes: list[int], reads: list[int]) -> None:
    transport = RecordingTransport()
    channel = cast("Any", paramiko.Channel(0))
    channel._set_transport(transport)
    channel._set_window(100_000, 32 * 1024)
    channel._set_remote_channel(CHANNEL, 100, 32 * 1024)
    channel.settimeout(0)
    sent = 0
    for place, size in enumerate(sizes):
        size = min(size, 100_000 + transport.granted - sent)
        sent += size
        (feed if place % 3 else feed_extended)(channel, data(size) if place % 3 else stderr(size))
        if place < len(reads) and channel.recv_ready():
            channel.recv(reads[place])
    assert transport.granted <= sent


@pytest.mark.parametrize("code", [1, 2])
def test_stderr_window_is_replenished_and_only_its_first_2048_bytes_are_kept(
    channel: Any, transport: RecordingTransport, code: int
) -> None:
    for _ in range(1000):
        feed_extended(channel, stderr(20_000, code))
    assert 20_000_000 - transport.granted <= WINDOW_BYTES // 10 + 20_000
    assert len(channel.in_stderr_buffer) == 2048
    assert len(channel.recv_stderr(10_000)) == 2048


def test_stderr_beyond_the_granted_window_is_refused(channel: Any) -> None:
    with pytest.raises(paramiko.SSHException, match="more data than the window allows"):
        feed_extended(channel, stderr(WINDOW_BYTES + 1))


def test_omitted_trailing_text_fields_read_as_empty() -> None:
    disconnect = message((11).to_bytes(4, "big"))
    assert (disconnect.get_int(), disconnect.get_text(), disconnect.get_text()) == (11, "", "")


def test_reading_more_fields_than_the_message_holds_raises() -> None:
    extensions = message(text(b"name"), text(b"value"))
    with pytest.raises(paramiko.SSHException, match="ends before its fields do"):
        [extensions.get_text() for _ in range(2**32 - 1)]


def test_string_longer_than_its_message_raises() -> None:
    with pytest.raises(paramiko.SSHException, match="ends before its fields do"):
        message((2**32 - 1).to_bytes(4, "big"), b"x").get_string()


def test_text_that_is_not_utf_8_is_decoded_as_latin_1() -> None:
    assert message(text("ungültig".encode("latin-1"))).get_text() == "ungültig"


@given(number=st.integers(-(2**200), 2**200))
def test_mpint_is_read_as_paramiko_writes_it(number: int) -> None:
    written = paramiko.Message()
    written.add_mpint(number)
    assert Message(written.asbytes()).get_mpint() == number


def test_receive_memory_bound_is_below_a_tenth_of_128_mib() -> None:
    assert incoming.MOST_RECEIVED_BYTES < 128 * 1024 * 1024 // 10
