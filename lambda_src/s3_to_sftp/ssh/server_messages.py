"""What a server says in words before files are sent, and what it offers: kept, bounded, fit to be quoted.

paramiko drops most of it: text before the version line, the description of a DISCONNECT, the algorithms. And
what is not UTF-8 ends its thread. A server may say anything, in any encoding, and may echo the password:
`quote` is the one way from its bytes into an error.
"""

import re
import socket
import time
from dataclasses import dataclass, field
from typing import Any

import paramiko
from paramiko.common import CONNECTION_FAILED_CODE

from s3_to_sftp.untrusted_text import decoded, quoted

QUOTED_CHARACTERS = 300
"""The longest quotation in an error."""

_KEPT_BYTES = 4096
"""Of each text that a server says."""

_LONGEST_VERSION_LINE = 8192
_MOST_LINES = 100
_NEXT_LINE_SECONDS = 2.0

TOO_MANY_CONNECTIONS = 12
"""SSH_DISCONNECT_TOO_MANY_CONNECTIONS (RFC 4253, section 11.1)."""

# What has happened, not what a notice says about limits in general: "maximum of 10 connections per user".
_WHAT_IS_LIMITED = r"(?:connections?|sessions?|log[io]ns?|users|clients)\b"
_TOO_MANY = re.compile(
    rf"max_?startups|max_?sessions|too many (?:\w+ ){{0,3}}{_WHAT_IS_LIMITED}"
    rf"|(?:maximum|max\.?|limit)\b.{{0,40}}\b{_WHAT_IS_LIMITED}.{{0,40}}\b(?:reached|exceeded|in use)"
    r"|(?:connection|session|login) limit.{0,20}\b(?:reached|exceeded)"
    rf"|(?:reached|exceeded)\b.{{0,40}}\b(?:maximum|max\.?|limit)\b.{{0,40}}\b{_WHAT_IS_LIMITED}",
    re.IGNORECASE,
)
# Those are about a wrong password, whatever else they say.
_WRONG_LOGINS = re.compile(
    r"fail|incorrect|invalid|wrong|bad |unsuccessful|attempt|tries|locked|disabled|suspended", re.IGNORECASE
)
_DISCONNECT_NAMES = {
    1: "host not allowed to connect",
    2: "protocol error",
    3: "key exchange failed",
    7: "service not available",
    8: "protocol version not supported",
    9: "host key not verifiable",
    10: "connection lost",
    11: "by application",
    TOO_MANY_CONNECTIONS: "too many connections",
    13: "cancelled by user",
    14: "no more authentication methods",
    15: "illegal user name",
}
_OFFERS = ("key exchange", "host keys", "ciphers", "ciphers", "MACs", "MACs", "compression", "compression")


@dataclass
class ServerMessages:
    """What one server has said so far.

    Attributes:
        before_version: Text before the version line.
        version: The version line; empty while there is none.
        banner: Of the login, the last one.
        goodbye: Reason code and description of a DISCONNECT.
        refusal: Reason code and description of a refused channel.
        offered: What it offers -> names, best first.
    """

    before_version: bytes = b""
    version: bytes = b""
    banner: bytes = b""
    goodbye: tuple[int, bytes] | None = None
    refusal: tuple[int, bytes] | None = None
    offered: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def last_words(self) -> str:
        """What it said last, as a sentence with a blank in front; empty where it said nothing."""
        if self.goodbye is not None:
            code, text = self.goodbye
            name = _DISCONNECT_NAMES.get(code, "unknown")
            return f" It disconnected with reason {code} ({name}){self._saying(text)}."
        if self.refusal is not None:
            code, text = self.refusal
            name = CONNECTION_FAILED_CODE.get(code, "unknown")
            return f" It refused the channel with reason {code} ({name}){self._saying(text)}."
        said = self.banner or self.before_version
        return f" It said {quote(said)}." if said.strip() else ""

    def _saying(self, text: bytes) -> str:
        return f" and said {quote(text)}" if text.strip() else ""

    def is_about_too_many(self, *, banner: bool = True) -> bool:
        """Return whether it says that there are too many connections, logins or sessions.

        Args:
            banner: Whether that of the login counts. It may be the same for everybody.
        """
        code, text = self.goodbye or (0, b"")
        said = [text, self.refusal[1] if self.refusal else b""]
        said += [self.banner] if banner else []
        # What stands in front of a version line is a greeting.
        said += [] if self.version else [self.before_version]
        return code == TOO_MANY_CONNECTIONS or any(map(says_too_many, said))

    def compare(self, ours: dict[str, tuple[str, ...]]) -> str:
        """Return in words where it offers nothing of what we offer; empty where that is not so."""
        missing = [
            f"{kind}: it offers {quote(', '.join(self.offered[kind]).encode())}, "
            f"this function {', '.join(names)}"
            for kind, names in ours.items()
            if kind in self.offered and not set(self.offered[kind]) & set(names)
        ]
        return "; ".join(missing)


def says_too_many(said: bytes) -> bool:
    """Return whether a server's text is about too many connections, logins or sessions."""
    text = decoded(said)
    return _TOO_MANY.search(text) is not None and _WRONG_LOGINS.search(text) is None


def quote(said: bytes) -> str:
    """Return a server's text as a quotation: one line of at most `QUOTED_CHARACTERS`; see `quoted`."""
    return f"'{quoted(said, most=QUOTED_CHARACTERS)}'"


class RecordingTransport(paramiko.Transport):
    """Keeps what the server says and offers.

    Attributes:
        received: All of it.
    """

    def __init__(self, sock: socket.socket, **more: Any) -> None:
        self.received = ServerMessages()
        super().__init__(sock, **more)

    def _check_banner(self) -> None:
        """Read up to the version line, within the time for it (RFC 4253, section 4.2).

        Raises:
            paramiko.SSHException: There is none.
        """
        deadline = time.monotonic() + self.banner_timeout
        lines = 0
        line = self._read_line(deadline, self.banner_timeout)
        while not line.startswith(b"SSH-"):
            lines += 1
            self.received.before_version = (self.received.before_version + line + b"\n")[:_KEPT_BYTES]
            if lines >= _MOST_LINES:
                raise paramiko.SSHException("no SSH version line")
            line = self._read_line(deadline, _NEXT_LINE_SECONDS)
        self.received.version = line[:_KEPT_BYTES]
        library: Any = self  # the stubs leave the field out; it is part of what both sides sign
        library.remote_version = line
        if not line.startswith((b"SSH-2.0-", b"SSH-1.99-")):
            raise paramiko.SSHException(f"its version is {quote(line)}, not 2.0")

    def _read_line(self, deadline: float, patience: float) -> bytes:
        """Read a line without its end, which nothing is read behind."""
        packetizer: Any = self.packetizer
        line: bytes = packetizer._Packetizer__remainder
        while b"\n" not in line:
            if len(line) > _LONGEST_VERSION_LINE:
                self.received.before_version = (self.received.before_version + line)[:_KEPT_BYTES]
                raise paramiko.SSHException("no SSH version line")
            try:
                line += packetizer._read_timeout(min(patience, max(deadline - time.monotonic(), 0)))
            except (OSError, EOFError) as error:
                self.received.before_version = (self.received.before_version + line)[:_KEPT_BYTES]
                why = "nothing more came" if isinstance(error, TimeoutError) else "the connection ended"
                raise paramiko.SSHException(f"no SSH version line: {why}") from None
        line, _, packetizer._Packetizer__remainder = line.partition(b"\n")
        return line.removesuffix(b"\r")

    def _parse_kex_init(self, message: paramiko.Message) -> None:
        self.received.offered = _offered(message)
        parse: Any = super()._parse_kex_init  # type: ignore[misc]  # the stubs leave it out
        parse(message)

    def _parse_disconnect(self, message: paramiko.Message) -> None:
        self.received.goodbye = message.get_int(), message.get_string()[:_KEPT_BYTES]

    def _parse_channel_open_failure(self, message: paramiko.Message) -> None:
        channel, code, text = message.get_int(), message.get_int(), message.get_string()
        self.received.refusal = code, text[:_KEPT_BYTES]
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
        names = tuple(decoded(lists.get_string()[: 4 * _KEPT_BYTES]).split(","))
        both = offered.get(kind)
        offered[kind] = names if both is None else tuple(name for name in both if name in names)
    return offered
