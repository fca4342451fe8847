"""What a server sends, within bounds: before its host key is known to be right, and afterwards.

paramiko believes each length and each count that it receives. A packet "of 2 GB", a list "of 4 billion
entries" or data beyond the window that we have granted would exhaust the memory of the function, or
occupy a thread of it for hours. Here each of them ends the connection.

Memory that one connection takes for what it receives, at most `MOST_RECEIVED_BYTES`: a packet in several
copies (what has come of it, the sealed one, the open one, its payload, what was parsed of it), one window of
channel data for each of two channels, and an SFTP message that is not complete yet.
"""

from typing import Any

import paramiko
from paramiko.common import cMSG_CHANNEL_WINDOW_ADJUST

from s3_to_sftp.untrusted_text import decoded, quoted

MAX_PACKET_BYTES = 256 * 1024
"""OpenSSH's own bound. RFC 4253, section 6.1, has 35,000 bytes."""

WINDOW_BYTES = 1024 * 1024
"""Granted to the server for each channel. What it sends us are statuses of some 30 bytes."""

MOST_RECEIVED_BYTES = 8 * MAX_PACKET_BYTES + 2 * WINDOW_BYTES + 512 * 1024
"""4.5 MiB."""

_PADDED_BYTES = 64
"""Servers leave out fields at the end of a message, and paramiko reads zeros there. More is nonsense."""

_KEPT_STDERR_BYTES = 2048


class Message(paramiko.Message):
    """A message from the server: text in any encoding, and no field far beyond its end."""

    _missing = 0
    packet: Any

    @classmethod
    def of(cls, received: Any) -> "Message":
        """Return what paramiko has received as such a message."""
        received.__class__ = cls  # the same fields: a second message would be made for each of thousands
        message: Message = received
        return message

    def get_bytes(self, n: int) -> bytes:
        """Return so many bytes, with zeros for a few that are missing.

        Raises:
            SSHException: Too many are missing.
        """
        found: bytes = self.packet.read(n)
        self._missing += n - len(found)
        if self._missing > _PADDED_BYTES:
            raise paramiko.SSHException("The server sent a message that ends before its fields do.")
        return found.ljust(n, b"\0")

    def get_text(self) -> str:
        """Return a string as text, whatever its encoding is."""
        return decoded(self.get_string())

    def get_mpint(self) -> int:
        """Return a number of any size. paramiko's own way takes a second for one that fills a packet."""
        return int.from_bytes(self.get_binary(), "big", signed=True)


def feed(channel: Any, message: Message) -> None:
    """Take CHANNEL_DATA, as far as our window goes.

    Raises:
        SSHException: The server sends more than it was allowed to.
    """
    data = message.get_binary()
    _check_window(channel, len(data))
    channel._feed(data)


def feed_extended(channel: Any, message: Message) -> None:
    """Take CHANNEL_EXTENDED_DATA, that is stderr. Nobody has to read it: it must not use up the window.

    Its first words are kept to be quoted.

    Raises:
        SSHException: The server sends more than it was allowed to.
    """
    message.get_int()  # which stream; stderr is the only one that there is
    data = message.get_binary()
    _check_window(channel, len(data))
    kept = data[: max(_KEPT_STDERR_BYTES - len(channel.in_stderr_buffer), 0)]
    if kept:
        channel.in_stderr_buffer.feed(kept)
    if granted := channel._check_add_window(len(data) - len(kept)):
        adjust = paramiko.Message()
        adjust.add_byte(cMSG_CHANNEL_WINDOW_ADJUST)
        adjust.add_int(channel.remote_chanid)
        adjust.add_int(granted)
        channel.transport._send_user_message(adjust)


def adjust_window(channel: Any, message: Message) -> None:
    """Take CHANNEL_WINDOW_ADJUST. The sender is woken once the window is as wide as it wants it.

    paramiko wakes the sender each time. A near server opens its window by three packets at a time.
    """
    size = message.get_int()
    with channel.lock:
        was_shut = not channel.out_window_size
        channel.out_window_size += size
        if was_shut or channel.out_window_size >= getattr(channel, "wanted_window", 0):
            channel.out_buffer_cv.notify_all()


def note_refused_request(channel: Any, message: Message) -> None:
    """Take CHANNEL_FAILURE, a refused subsystem. paramiko closes the channel, and forgets why."""
    channel.transport.received.subsystem_refused = True
    channel._request_failed(message)


def _check_window(channel: Any, size: int) -> None:
    # Not read yet, and read but not granted again: together what is missing from the window.
    used = len(channel.in_buffer) + len(channel.in_stderr_buffer) + channel.in_window_sofar
    if used + size > channel.in_window_size:
        raise paramiko.SSHException("The server sent more data than the window allows.")


def as_ssh_error(error: Exception) -> paramiko.SSHException:
    """Return what was raised over something that the server has sent as the protocol error that it is."""
    return paramiko.SSHException(
        f"The server sent what cannot be understood ({type(error).__name__}: {quoted(error, most=100)})."
    )
