"""The first bytes of a channel may be sent before its window is open, and are taken from it afterwards."""

from __future__ import annotations

import threading
from typing import Any

import paramiko
import pytest
from paramiko.common import cMSG_CHANNEL_DATA

from s3_to_sftp.ssh.stream import PlainStream

INIT = b"\0\0\0\5\1\0\0\0\3"
SOON = 60


class Channel:
    """A channel with a window that the test opens."""

    def __init__(self, *, window: int = 0, timeout: float = SOON) -> None:
        self.lock = threading.Lock()
        self.out_buffer_cv = threading.Condition(self.lock)
        self.out_window_size = window
        self.remote_chanid = 7
        self.closed = False
        self.eof_sent = False
        self.timeout = timeout
        self.ahead: list[bytes] = []
        self.sent = b""

    def get_transport(self) -> Channel:
        return self

    def _send_user_message(self, message: paramiko.Message) -> None:
        message.rewind()
        assert (message.get_byte(), message.get_int()) == (cMSG_CHANNEL_DATA, self.remote_chanid)
        self.ahead.append(message.get_string())

    def send(self, data: bytes) -> int:
        with self.lock:
            taken = data[: self.out_window_size]
            self.out_window_size -= len(taken)
        self.sent += taken
        return len(taken)

    def open_window(self, size: int) -> None:
        with self.lock:
            self.out_window_size += size
            self.out_buffer_cv.notify_all()


def stream(channel: Any, *, ahead: bool = True) -> PlainStream:
    return PlainStream(channel, ahead_of_window=ahead)


def test_first_bytes_do_not_wait_for_the_window() -> None:
    channel = Channel()
    stream(channel).send([INIT[:4], INIT[4:]])
    assert channel.ahead == [INIT]


def test_what_was_sent_ahead_is_taken_from_the_window_that_opens() -> None:
    channel = Channel()
    sending = stream(channel)
    sending.send([INIT])
    channel.open_window(1000)
    sending.send([b"x" * (1000 - len(INIT))])
    assert channel.out_window_size == 0
    assert channel.ahead == [INIT], "only the first bytes go ahead"


def test_next_bytes_wait_until_the_window_opens() -> None:
    channel = Channel()
    sending = stream(channel)
    sending.send([INIT])
    opener = threading.Thread(target=lambda: (channel.open_window(len(INIT)), channel.open_window(1)))
    opener.start()
    sending.send([b"x"])
    opener.join()
    assert channel.sent == b"x"
    assert channel.out_window_size == 0


def test_window_that_never_opens_is_a_timeout() -> None:
    sending = stream(Channel(timeout=0.01))
    sending.send([INIT])
    with pytest.raises(TimeoutError):
        sending.send([b"x"])


def test_channel_that_closes_meanwhile_ends_the_stream() -> None:
    channel = Channel()
    sending = stream(channel)
    sending.send([INIT])
    channel.closed = True
    with pytest.raises(EOFError):
        sending.send([b"x"])


def test_open_window_is_used_as_ever() -> None:
    channel = Channel(window=100)
    stream(channel).send([INIT])
    assert (channel.ahead, channel.sent, channel.out_window_size) == ([], INIT, 100 - len(INIT))


def test_much_data_waits_for_the_window() -> None:
    channel = Channel()
    data = b"x" * (16 * 1024 + 1)
    channel.open_window(len(data))
    stream(channel).send([data])
    assert channel.ahead == []


def test_other_servers_get_nothing_ahead() -> None:
    channel = Channel(window=100)
    stream(channel, ahead=False).send([INIT])
    assert channel.ahead == []
