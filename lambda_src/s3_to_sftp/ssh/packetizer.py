"""Channel data at the speed of the cipher: many SSH packets encrypted into one buffer, one `send`.

paramiko builds each packet from several short-lived copies and sends it by itself. For the AES-GCM ciphers
this module does only that part differently; key exchange, rekeying, receiving and every other cipher
stay paramiko's. `stream_for` checks that all it builds on is there and else falls back to stock paramiko
(docs/decisions/0008-fast-send-path.md has the measurements).

Packet layout: RFC 4253 section 6 (binary packet), RFC 4254 section 5.2 (CHANNEL_DATA), RFC 5647 section 7
(AES-GCM: the length is sent in the clear as associated data, the IV's last 8 bytes count packets).
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import paramiko
import paramiko.packet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from s3_to_sftp.ssh import incoming
from s3_to_sftp.ssh.piece import Piece

_STATE = (
    "aead_out",
    "block_engine_out",
    "compress_engine_out",
    "dump_packets",
    "iv_out",
    "need_rekey",
    "sent_bytes",
    "sent_packets",
    "sequence_number_out",
    "write_lock",
)

_CHANNEL_DATA = 94
_IV_BYTES = 12
_BLOCK = 16
_TAG = 16
_LENGTH = struct.Struct(">I")
_HEADER = struct.Struct(">BBII")  # padding length, message number, recipient channel, data length
_MIN_PADDING = 4
_RECEIVE_BYTES = 32 * 1024
NO_TIMEOUT = 3600.0
"""Seconds, in place of no limit at all."""

_PACKET_OVERHEAD = 4 + _HEADER.size + _MIN_PADDING + _BLOCK + _TAG


# Called Packetizer like its base, so that Python's name mangling lets it see the base's private fields.
class Packetizer(paramiko.packet.Packetizer):
    """Adds a bulk send for AES-GCM to paramiko's packetizer, and bounds to what it receives and waits for.

    Attributes:
        write_seconds: How long one write may take, however little the peer accepts at a time.
    """

    write_seconds = NO_TIMEOUT

    # The base's private state that the bulk send reads and advances, as `send_message` does.
    __aead_out: bool
    __closed: bool
    __keepalive_last: float
    __timer: threading.Timer | None
    __block_engine_out: AESGCM
    __compress_engine_out: object
    __dump_packets: bool
    __iv_out: bytes
    __need_rekey: bool
    __remainder: bytes
    __received_bytes_overflow: int
    __received_packets_overflow: int
    __sent_bytes: int
    __sent_packets: int
    __sequence_number_out: int
    __socket: socket.socket
    __write_lock: AbstractContextManager[object]
    # Kept between sends: fresh memory of this size would come as untouched pages each time.
    __plain: bytearray
    __sealed: bytearray
    __checked_engine: object = None
    """The cipher with which sending in bulk was last found to be possible."""

    def read_message(self) -> Any:
        """Read a packet.

        Raises:
            SSHException: It is not one.
        """
        try:
            kind, message = super().read_message()
        except (paramiko.SSHException, paramiko.packet.NeedRekeyException, OSError, EOFError):
            raise
        except Exception as error:  # noqa: BLE001 - a packet that is no packet: InvalidTag, IndexError, ...
            raise incoming.as_ssh_error(error) from None
        return kind, incoming.Message.of(message)

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:  # noqa: FBT001, FBT002 - paramiko's
        """Read so many bytes. paramiko asks for the whole rest of a packet as long as the peer says it is.

        Raises:
            SSHException: No packet is that long.
        """
        if n > incoming.MAX_PACKET_BYTES:
            raise paramiko.SSHException(f"The server declared a packet of {n} bytes.")
        if len(self.__remainder) < n:
            self.__receive()
        return super().read_all(n, check_rekey)

    def __receive(self) -> None:
        """Receive what is there: paramiko asks the socket twice for each packet, most of which are small.

        What has come is acknowledged at once. Servers leave Nagle's algorithm on for SFTP: their second small
        packet waits for the acknowledgement of the first, which Linux puts off by 40 ms when we have nothing
        to send. The option is not lasting.

        Raises:
            EOFError, OSError: As paramiko, which also sees the end, and what the time has brought meanwhile.
        """
        if self.handshake_timed_out():
            return
        if hasattr(socket, "TCP_QUICKACK"):  # Linux
            with contextlib.suppress(OSError):  # closed meanwhile: reading will tell
                self.__socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        try:
            self.__remainder += self.__socket.recv(_RECEIVE_BYTES)
        except (TimeoutError, BlockingIOError):
            return
        except OSError:
            if self.__closed:
                raise EOFError from None
            raise

    def write_all(self, out: Any) -> None:
        """Write all, within `write_seconds`: a peer that accepts a byte now and then must not block anything.

        Raises:
            EOFError: The connection is gone.
            TimeoutError: The peer is too slow. What was written of it is of no use: the connection is closed.
        """
        self.__keepalive_last = time.time()
        deadline = time.monotonic() + self.write_seconds
        left = memoryview(out)
        while left:
            try:
                left = left[self.__socket.send(left) :]
            except (TimeoutError, BlockingIOError):
                if self.__closed:
                    raise EOFError from None
            except (OSError, ValueError) as error:
                raise EOFError from error  # which tells a reset from a close
            if left and time.monotonic() > deadline:
                self.close()
                raise TimeoutError  # without words: paramiko's thread takes the first for a number

    def complete_handshake(self) -> None:
        """Stop the time of the handshake, once: paramiko does it again after each packet."""
        if self.__timer is not None:
            super().complete_handshake()
            self.__timer = None

    def close(self) -> None:
        """Close the socket, and end the thread that would measure the time of the handshake."""
        super().close()
        if self.__timer is not None:
            self.__timer.cancel()

    def can_send_in_bulk(self) -> bool:
        """Return whether the negotiated cipher, and this version of paramiko, allow it."""
        state = vars(self)
        return (
            all("_Packetizer__" + name in state for name in _STATE)
            and self.__aead_out
            and isinstance(self.__block_engine_out, AESGCM)
            and hasattr(AESGCM, "encrypt_into")
            and len(self.__iv_out) == _IV_BYTES
            and self.__compress_engine_out is None
            and not self.__dump_packets
        )

    def send_channel_data(self, channel: int, pieces: Sequence[Piece], *, packet_bytes: int) -> None:
        """Send the pieces as one stream of CHANNEL_DATA messages of at most `packet_bytes` each.

        The caller has taken the bytes from the channel's window and holds the transport's permission to send.
        """
        if not self.__still_sends_in_bulk():
            self.__send_one_by_one(channel, b"".join(pieces), packet_bytes)
            return
        total = sum(map(len, pieces))
        packets = -(-total // packet_bytes)
        with self.__write_lock:
            sealed = self.__reserve(total + packets * _PACKET_OVERHEAD, packet_bytes + _PACKET_OVERHEAD)
            size = self.__seal(channel, pieces, total, packet_bytes, sealed)
            self.__sequence_number_out = (self.__sequence_number_out + packets) & 0xFFFFFFFF
            self.write_all(sealed[:size])
            self.__sent_bytes += size
            self.__sent_packets += packets
            if (
                self.__sent_bytes >= self.REKEY_BYTES or self.__sent_packets >= self.REKEY_PACKETS
            ) and not self.__need_rekey:
                self.__received_bytes_overflow = 0
                self.__received_packets_overflow = 0
                self._trigger_rekey()  # type: ignore[attr-defined]  # the stubs leave it out

    def __still_sends_in_bulk(self) -> bool:
        """Return whether bulk is still possible: a server may choose another cipher when keys are renewed."""
        if self.__checked_engine is not self.__block_engine_out:
            self.__checked_engine = self.__block_engine_out if self.can_send_in_bulk() else None
        return self.__checked_engine is not None

    def __send_one_by_one(self, channel: int, data: bytes, packet_bytes: int) -> None:
        for start in range(0, len(data), packet_bytes):
            message = paramiko.Message()
            message.add_byte(bytes([_CHANNEL_DATA]))
            message.add_int(channel)
            message.add_string(data[start : start + packet_bytes])
            self.send_message(message)

    def __reserve(self, sealed: int, plain: int) -> memoryview:
        if len(vars(self).get("_Packetizer__sealed", b"")) < sealed:
            self.__sealed = bytearray(sealed)
        if len(vars(self).get("_Packetizer__plain", b"")) < plain:
            self.__plain = bytearray(plain)
        return memoryview(self.__sealed)

    def __seal(
        self, channel: int, pieces: Sequence[Piece], total: int, packet_bytes: int, sealed: memoryview
    ) -> int:
        encrypt_into = self.__block_engine_out.encrypt_into
        fixed, count = self.__iv_out[:4], int.from_bytes(self.__iv_out[4:], "big")
        plain, plain_view = self.__plain, memoryview(self.__plain)
        start = _HEADER.size
        remaining = iter(pieces)
        piece = memoryview(b"")
        position = length = end = body = 0
        packet, declared = plain_view[:0], b""
        while total:
            if length != min(total, packet_bytes):  # all packets but the last are alike
                length = min(total, packet_bytes)
                # Everything behind the length field is a multiple of the block size (RFC 5647, section 7.2).
                padding = _BLOCK - (_HEADER.size + length) % _BLOCK
                if padding < _MIN_PADDING:
                    padding += _BLOCK
                end = start + length
                body = end + padding
                _HEADER.pack_into(plain, 0, padding, _CHANNEL_DATA, channel, length)
                packet, declared = plain_view[:body], _LENGTH.pack(body)
            at = start
            while at < end:
                if not piece:
                    piece = memoryview(next(remaining))
                taken = piece[: end - at]
                plain_view[at : at + len(taken)] = taken
                at += len(taken)
                piece = piece[len(taken) :]
            # The padding is whatever the buffer holds: it is encrypted, and nobody reads it.
            behind = position + 4 + body + _TAG
            sealed[position : position + 4] = declared
            encrypt_into(fixed + count.to_bytes(8, "big"), packet, declared, sealed[position + 4 : behind])
            count = (count + 1) & 0xFFFFFFFFFFFFFFFF
            position = behind
            total -= length
        self.__iv_out = fixed + count.to_bytes(8, "big")
        return position
