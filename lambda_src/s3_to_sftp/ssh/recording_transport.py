"""paramiko's transport, with what the server says and offers kept: see `diagnosis/server_messages.py`."""

import socket
import time
from typing import Any

import paramiko

from s3_to_sftp.algorithm_rule import SHA1_SIGNATURE
from s3_to_sftp.diagnosis.handshake import is_another_protocol
from s3_to_sftp.diagnosis.server_messages import KEPT_BYTES, Ending, ServerMessages, quote
from s3_to_sftp.untrusted_text import decoded

_LONGEST_VERSION_LINE = 8192
_MOST_LINES = 100
_OTHER_PROTOCOL_SECONDS = 2.0
"""For the rest of what is not SSH, as it seems: telnet waits for an answer."""

_MOST_HOST_KEYS = 32
_OFFERS = ("key exchange", "host keys", "ciphers", "ciphers", "MACs", "MACs", "compression", "compression")


class RecordingTransport(paramiko.Transport):
    """Keeps what the server says and offers.

    Attributes:
        received: All of it.
    """

    def __init__(self, sock: socket.socket, **more: Any) -> None:
        self.received = ServerMessages()
        super().__init__(sock, **more)

    @property
    def signs_with_sha1_alone(self) -> bool:
        """Whether the server has an RSA host key, and nothing newer than SHA-1 to sign with it."""
        offered = self.received.offered.get("host keys", ())
        return SHA1_SIGNATURE in offered and not any(name.startswith("rsa-sha2-") for name in offered)

    @property
    def negotiated(self) -> dict[str, str]:
        """What both sides have agreed on for what we send, by the names of RFC 4253, section 7.1."""
        library: dict[str, Any] = vars(self)  # the stubs leave the fields out
        # The first one of ours that the server has.
        offered = self.received.offered.get("key exchange", ())
        key_exchange = next((name for name in self.get_security_options().kex if name in offered), "")
        cipher = library.get("local_cipher", "")
        return {
            "key exchange": key_exchange,
            "host key": library.get("host_key_type", ""),
            "cipher": cipher,
            "MAC": "" if "gcm" in cipher else library.get("local_mac", ""),
        }

    def _check_banner(self) -> None:
        """Read up to the version line, within the time for it (RFC 4253, section 4.2).

        Raises:
            paramiko.SSHException: There is none.
        """
        started = time.monotonic()
        deadline = started + self.banner_timeout
        lines = 0
        line = self._read_line(deadline)
        while not line.startswith(b"SSH-"):
            lines += 1
            self.received.before_version = (self.received.before_version + line + b"\n")[:KEPT_BYTES]
            if lines >= _MOST_LINES:
                raise paramiko.SSHException("no SSH version line")
            line = self._read_line(deadline)
        self.received.version = line[:KEPT_BYTES]
        self.received.version_seconds = time.monotonic() - started
        library: Any = self  # the stubs leave the field out; it is part of what both sides sign
        library.remote_version = line
        if not line.startswith((b"SSH-2.0-", b"SSH-1.99-")):
            raise paramiko.SSHException(f"its version is {quote(line)}, not 2.0")

    def _read_line(self, deadline: float) -> bytes:
        """Read a line without its end, which nothing is read behind."""
        packetizer: Any = self.packetizer
        line: bytes = packetizer._Packetizer__remainder
        while b"\n" not in line:
            if len(line) > _LONGEST_VERSION_LINE:
                self.received.before_version = (self.received.before_version + line)[:KEPT_BYTES]
                raise paramiko.SSHException("no SSH version line")
            try:
                line += packetizer._read_timeout(self._patience(line, deadline))
            except (OSError, EOFError) as error:
                self.received.before_version = (self.received.before_version + line)[:KEPT_BYTES]
                self.received.ending = Ending.of(error)
                why = "nothing more came" if isinstance(error, TimeoutError) else "the connection ended"
                raise paramiko.SSHException(f"no SSH version line: {why}") from None
        line, _, packetizer._Packetizer__remainder = line.partition(b"\n")
        return line.removesuffix(b"\r")

    def _patience(self, line: bytes, deadline: float) -> float:
        """Return how long to wait for more. Servers also greet, and then look up our name for a while."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        seems_foreign = is_another_protocol(self.received.before_version + line)
        return min(left, _OTHER_PROTOCOL_SECONDS) if seems_foreign else left

    def _parse_kex_init(self, message: paramiko.Message) -> None:
        self.received.offered = _offered(message)
        parse: Any = super()._parse_kex_init  # type: ignore[misc]  # the stubs leave it out
        parse(message)

    def _parse_global_request(self, message: paramiko.Message) -> None:
        # OpenSSH lists its host keys after the login (PROTOCOL, section 2.5). paramiko ignores that.
        if message.get_string() == b"hostkeys-00@openssh.com":
            message.get_boolean()
            keys: list[bytes] = []
            while len(keys) < _MOST_HOST_KEYS and (key := message.get_string()):
                keys.append(key)
            self.received.host_keys = tuple(keys)
        message.rewind()
        parse: Any = super()._parse_global_request  # type: ignore[misc]  # the stubs leave it out
        parse(message)

    def _parse_disconnect(self, message: paramiko.Message) -> None:
        self.received.goodbye = message.get_int(), message.get_string()[:KEPT_BYTES]

    def _parse_channel_open_failure(self, message: paramiko.Message) -> None:
        channel, code, text = message.get_int(), message.get_int(), message.get_string()
        self.received.refusal = code, text[:KEPT_BYTES]
        # The library decodes text and language as UTF-8: it gets none.
        plain = paramiko.Message()
        plain.add_int(channel)
        plain.add_int(code)
        plain.add_string("")
        plain.add_string("")
        plain.rewind()
        parse: Any = super()._parse_channel_open_failure  # type: ignore[misc]  # the stubs leave it out
        parse(plain)


def _offered(message: paramiko.Message) -> dict[str, tuple[str, ...]]:
    """Read the name-lists of a KEXINIT (RFC 4253, section 7.1); what is offered in one direction counts."""
    lists = paramiko.Message(message.get_remainder())
    lists.get_bytes(16)  # a cookie
    offered: dict[str, tuple[str, ...]] = {}
    for kind in _OFFERS:
        names = tuple(decoded(lists.get_string()[: 4 * KEPT_BYTES]).split(","))
        both = offered.get(kind)
        offered[kind] = names if both is None else tuple(name for name in both if name in names)
    return offered
