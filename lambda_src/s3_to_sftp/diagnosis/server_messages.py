"""What a server says in words before files are sent, and what it offers: kept, bounded, fit to be quoted.

paramiko drops most of it: text before the version line, the description of a DISCONNECT, the algorithms. And
what is not UTF-8 ends its thread. A server may say anything, in any encoding, and may echo the password:
`quote` is the one way from its bytes into an error.
"""

import re
from dataclasses import dataclass, field
from enum import Enum

from paramiko.common import CONNECTION_FAILED_CODE

from s3_to_sftp.untrusted_text import decoded, quoted

QUOTED_CHARACTERS = 300
"""The longest quotation in an error."""

KEPT_BYTES = 4096
"""Of each text that a server says."""

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
# A rule, not what has happened: "if the maximum number of connections is exceeded".
_CONDITION = re.compile(r"\b(?:if|when|whenever|unless)\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?;]\s|[\r\n]")
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


class Ending(Enum):
    """How a server stopped talking."""

    CLOSED = "closed the connection"
    RESET = "reset the connection"
    SILENT = "said nothing more"

    @classmethod
    def of(cls, error: BaseException) -> "Ending | None":
        """Return how an exception says that it ended; None: it says something else."""
        match error:
            case EOFError():  # of a write, with the error of the socket behind it
                return cls.RESET if isinstance(error.__cause__, ConnectionResetError) else cls.CLOSED
            case TimeoutError():
                return cls.SILENT
            case ConnectionResetError() | BrokenPipeError():
                return cls.RESET
        return None


@dataclass
class ServerMessages:
    """What one server has said so far.

    Attributes:
        before_version: Text before the version line.
        version: The version line; empty while there is none.
        version_seconds: How long it took; None while there is none.
        ending: How it stopped talking before the version line; None: it did not.
        banner: Of the login, the last one.
        goodbye: Reason code and description of a DISCONNECT.
        refusal: Reason code and description of a refused channel.
        subsystem_refused: Whether it has refused the subsystem that was requested.
        methods: Of login, as it listed them first.
        accepted_methods: Those by which it let us in.
        accepted_signature: The algorithm by which it took our key; empty: it took none.
        host_keys: All that it has, where it tells after the login.
        offered: What it offers -> names, best first.
    """

    before_version: bytes = b""
    version: bytes = b""
    version_seconds: float | None = None
    ending: Ending | None = None
    banner: bytes = b""
    goodbye: tuple[int, bytes] | None = None
    refusal: tuple[int, bytes] | None = None
    subsystem_refused: bool = False
    methods: tuple[str, ...] = ()
    accepted_methods: tuple[str, ...] = ()
    accepted_signature: str = ""
    host_keys: tuple[bytes, ...] = ()
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

    def is_about_too_many(self) -> bool:
        """Return whether it says that there are too many connections, logins or sessions.

        The banner of the login does not count: it is the same for everybody, and states policy.
        """
        code, text = self.goodbye or (0, b"")
        said = [text, self.refusal[1] if self.refusal else b""]
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
    if _WRONG_LOGINS.search(text) is not None:
        return False
    return any(
        _TOO_MANY.search(sentence) and not _CONDITION.search(sentence)
        for sentence in _SENTENCE_END.split(text)
    )


def quote(said: bytes) -> str:
    """Return a server's text as a quotation: one line of at most `QUOTED_CHARACTERS`; see `quoted`."""
    return f"'{quoted(said, most=QUOTED_CHARACTERS)}'"
