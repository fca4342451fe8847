"""What a server sends is taken as far as it was allowed, and read no further than it goes."""

from __future__ import annotations

from typing import Any, cast

import paramiko
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_sftp.ssh import incoming
from s3_to_sftp.ssh.incoming import WINDOW_BYTES, Message, feed, feed_extended
from tests.unit.ssh.test_packetizer import CHANNEL, FakeTransport


class KeepsMessages(FakeTransport):
    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    def _send_user_message(self, message: paramiko.Message) -> None:
        self.sent.append(message.asbytes())

    @property
    def granted(self) -> int:
        """Bytes of all WINDOW_ADJUST."""
        assert all(message[0] == 93 for message in self.sent)
        return sum(int.from_bytes(message[5:9], "big") for message in self.sent)


@pytest.fixture
def transport() -> KeepsMessages:
    return KeepsMessages()


@pytest.fixture
def channel(transport: KeepsMessages) -> Any:
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


def test_whole_window_is_taken_and_not_a_byte_more(channel: Any) -> None:
    for _ in range(4):
        feed(channel, data(WINDOW_BYTES // 4))
    with pytest.raises(paramiko.SSHException, match="more data than the window allows"):
        feed(channel, data(1))


@given(sizes=st.lists(st.integers(0, 60_000), max_size=60), reads=st.lists(st.integers(1, 60_000)))
def test_server_that_keeps_to_the_window_is_never_refused(sizes: list[int], reads: list[int]) -> None:
    transport = KeepsMessages()
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
def test_stderr_is_granted_again_and_its_first_words_are_kept(
    channel: Any, transport: KeepsMessages, code: int
) -> None:
    for _ in range(1000):
        feed_extended(channel, stderr(20_000, code))
    assert 20_000_000 - transport.granted <= WINDOW_BYTES // 10 + 20_000
    assert len(channel.in_stderr_buffer) == 2048
    assert len(channel.recv_stderr(10_000)) == 2048


def test_stderr_beyond_the_window_ends_the_connection(channel: Any) -> None:
    with pytest.raises(paramiko.SSHException, match="more data than the window allows"):
        feed_extended(channel, stderr(WINDOW_BYTES + 1))


def test_fields_that_servers_leave_out_at_the_end_are_empty() -> None:
    disconnect = message((11).to_bytes(4, "big"))
    assert (disconnect.get_int(), disconnect.get_text(), disconnect.get_text()) == (11, "", "")


def test_list_that_goes_on_behind_the_end_is_refused() -> None:
    extensions = message(text(b"name"), text(b"value"))
    with pytest.raises(paramiko.SSHException, match="ends before its fields do"):
        [extensions.get_text() for _ in range(2**32 - 1)]


def test_string_longer_than_its_message_is_refused() -> None:
    with pytest.raises(paramiko.SSHException, match="ends before its fields do"):
        message((2**32 - 1).to_bytes(4, "big"), b"x").get_string()


def test_text_in_any_encoding_is_text() -> None:
    assert message(text("ungültig".encode("latin-1"))).get_text() == "ungültig"


@given(number=st.integers(-(2**200), 2**200))
def test_numbers_are_those_of_paramiko(number: int) -> None:
    written = paramiko.Message()
    written.add_mpint(number)
    assert Message(written.asbytes()).get_mpint() == number


def test_stated_memory_bound_is_below_a_tenth_of_a_small_function() -> None:
    assert incoming.MOST_RECEIVED_BYTES < 128 * 1024 * 1024 // 10
