"""The byte stream under an SFTP session: a channel of paramiko's, in bulk where the packetizer can."""

import contextlib
import time
from collections.abc import Sequence
from typing import Any, Protocol

import paramiko
from paramiko.common import cMSG_CHANNEL_DATA

from s3_to_sftp.ssh.packetizer import NO_TIMEOUT, Packetizer
from s3_to_sftp.ssh.piece import NOT_READY, Piece

__all__ = ["NOT_READY", "BulkStream", "Piece", "PlainStream", "Stream", "stream_for"]

_MAX_PACKET_BYTES = 32 * 1024
"""What every server must accept in one packet (RFC 4253, section 6.1)."""

_RECEIVE_BYTES = 256 * 1024

_GATHER_SECONDS = 0.002
"""How long a window that is open waits until it is wide enough. A near server opens it by three packets at a
time, thousands of times a second: to send each time costs more than the bytes."""

_SENDS_WITHOUT_GATHERING = 100
"""After a wait without success: a far server opens its window more slowly, and nothing may wait for it."""

_AHEAD_BYTES = 16 * 1024
"""Sent ahead of the window at most."""


class Stream(Protocol):
    """Ordered bytes to and from the server."""

    def send(self, pieces: Sequence[Piece]) -> None:
        """Send all pieces in order, waiting for the peer's window.

        Raises:
            TimeoutError: The peer took nothing for too long.
            OSError, EOFError: The connection is gone.
        """

    def recv(self) -> bytes:
        """Return what is there, at least a byte; empty when the peer has closed.

        Raises:
            TimeoutError: Nothing came for too long.
            OSError, EOFError: The connection is gone.
        """

    def close(self) -> None:
        """Close the stream."""


class _ChannelStream:
    """What both streams have in common: receiving is paramiko's."""

    def __init__(self, channel: paramiko.Channel, *, ahead_of_window: bool = False) -> None:
        self._channel = channel
        self._is_ahead = ahead_of_window
        self._owed = 0  # of the window that the server has not opened yet

    def _send_ahead(self, pieces: Sequence[Piece]) -> bool:
        """Send the first bytes before the window is open; return whether that was possible."""
        may, self._is_ahead = self._is_ahead, False
        if not may or sum(map(len, pieces)) > _AHEAD_BYTES:
            return False
        data = b"".join(pieces)
        with self._channel.lock:
            if self._channel.out_window_size:
                return False
            self._owed = len(data)
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_DATA)
        message.add_int(self._channel.remote_chanid)
        message.add_string(data)
        connection: Any = self._channel.get_transport()  # the stubs leave out what begins with an underscore
        try:
            connection._send_user_message(message)
        except paramiko.SSHException as error:
            raise OSError(str(error)) from None
        return True

    def _open_window(self, deadline: float) -> None:
        """Wait until the window is open beyond what was sent ahead of it. The caller has the channel's lock.

        Raises:
            TimeoutError: It does not open.
            EOFError: The channel is closed.
        """
        channel = self._channel
        while channel.out_window_size <= self._owed:
            if channel.closed or channel.eof_sent:
                break
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            channel.out_buffer_cv.wait(left)
        if channel.closed or channel.eof_sent:
            raise EOFError("the channel is closed")
        channel.out_window_size -= self._owed
        self._owed = 0

    def recv(self) -> bytes:
        """Return what is there, at least a byte; empty when the peer has closed."""
        try:
            data = self._channel.recv(_RECEIVE_BYTES)
        except paramiko.SSHException as error:  # it opens the window again, amid a key exchange that hangs
            raise OSError(str(error)) from None
        # The library hides in an end of the stream why it has given the connection up: a failed key exchange.
        why = None if data else self._channel.get_transport().saved_exception
        if isinstance(why, paramiko.SSHException):
            raise OSError(str(why))
        return data

    def _deadline(self) -> float:
        """Return when all that is sent now must be gone: a window of one byte at a time must not block it."""
        return time.monotonic() + (self._channel.timeout or NO_TIMEOUT)

    def close(self) -> None:
        """Close the channel, as far as the connection still allows to say so."""
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.close()


class PlainStream(_ChannelStream):
    """The stream of any paramiko channel."""

    def send(self, pieces: Sequence[Piece]) -> None:
        """Send all pieces in order, within the channel's timeout."""
        if self._send_ahead(pieces):
            return
        deadline = self._deadline()
        if self._owed:
            with self._channel.lock:
                self._open_window(deadline)
        left = memoryview(b"".join(pieces))
        while left:
            try:
                sent = self._channel.send(left[:_MAX_PACKET_BYTES].tobytes())
            except paramiko.SSHException as error:  # a key exchange that did not end
                raise OSError(str(error)) from None
            if not sent:
                raise EOFError("the channel is closed")
            left = left[sent:]
            if left and time.monotonic() > deadline:
                raise TimeoutError


class BulkStream(_ChannelStream):
    """The stream of a channel whose packetizer can send in bulk."""

    def __init__(
        self,
        channel: paramiko.Channel,
        transport: Any,
        packetizer: Packetizer,
        *,
        ahead_of_window: bool = False,
    ) -> None:
        super().__init__(channel, ahead_of_window=ahead_of_window)
        self._transport = transport
        self._packetizer = packetizer
        self._packet_bytes = min(channel.out_max_packet_size, _MAX_PACKET_BYTES)
        self._wide_enough = channel.out_window_size // 4
        self._gathers_after = 0

    def send(self, pieces: Sequence[Piece]) -> None:
        """Send all pieces in order, as many at once as the peer's window takes."""
        if self._send_ahead(pieces):
            return
        deadline = self._deadline()
        left = sum(map(len, pieces))
        rest = list(pieces)
        while left:
            granted = self._take_window(left, deadline)
            batch, rest = _split(rest, granted)
            self._send(batch, deadline)
            left -= granted
            if left and time.monotonic() > deadline:
                raise TimeoutError

    def _take_window(self, wanted: int, deadline: float) -> int:
        channel = self._channel
        with channel.lock:
            self._open_window(deadline)
            # OpenSSH opens it after the channel: how wide it is, is seen only now.
            self._wide_enough = max(self._wide_enough, channel.out_window_size // 4)
            self._gather(min(wanted, self._wide_enough))
            if self._is_closed:
                raise EOFError("the channel is closed")
            granted = min(wanted, channel.out_window_size)
            channel.out_window_size -= granted
            return granted

    def _gather(self, enough: int) -> None:
        """Wait shortly for a window of this size, where such waits have paid."""
        channel: Any = self._channel  # the attribute is ours, see `incoming.adjust_window`
        if channel.out_window_size >= enough:
            return
        if self._gathers_after:
            self._gathers_after -= 1
            return
        until = time.monotonic() + _GATHER_SECONDS
        channel.wanted_window = enough
        while channel.out_window_size < enough and not self._is_closed:
            if not channel.out_buffer_cv.wait(until - time.monotonic()):
                self._gathers_after = _SENDS_WITHOUT_GATHERING
                break
        channel.wanted_window = 0

    @property
    def _is_closed(self) -> bool:
        return bool(self._channel.closed or self._channel.eof_sent)

    def _send(self, pieces: Sequence[Piece], deadline: float) -> None:
        transport = self._transport
        while True:
            # Cleared while keys are exchanged: nothing but the key exchange may be sent then.
            transport.clear_to_send.wait(1)
            if not transport.active:
                raise EOFError("the connection is closed")
            if time.monotonic() > deadline:
                raise TimeoutError
            with transport.clear_to_send_lock:
                # Another thread may have closed it since the window was taken. Servers end the connection and
                # all its channels when data follows the CLOSE, which is sent under this lock, too.
                if self._is_closed:
                    raise EOFError("the channel is closed")
                if transport.clear_to_send.is_set():
                    self._packetizer.send_channel_data(
                        self._channel.remote_chanid, pieces, packet_bytes=self._packet_bytes
                    )
                    return


def stream_for(channel: paramiko.Channel, *, ahead_of_window: bool = False) -> Stream:
    """Return the fastest stream that this channel allows.

    Args:
        channel: Open.
        ahead_of_window: Whether its first bytes may be sent while the server takes none yet: OpenSSH opens
            the window while it starts the subsystem, so what follows the request finds it open.
    """
    transport = channel.get_transport()
    packetizer = transport.packetizer
    if isinstance(packetizer, Packetizer) and packetizer.can_send_in_bulk():
        return BulkStream(channel, transport, packetizer, ahead_of_window=ahead_of_window)
    return PlainStream(channel, ahead_of_window=ahead_of_window)


def _split(pieces: list[Piece], size: int) -> tuple[list[Piece], list[Piece]]:
    """Split the pieces behind `size` bytes."""
    first: list[Piece] = []
    for index, piece in enumerate(pieces):
        if size < len(piece):
            view = memoryview(piece)
            return [*first, view[:size]], [view[size:], *pieces[index + 1 :]]
        first.append(piece)
        size -= len(piece)
    return first, []
