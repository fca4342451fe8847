"""What the server's replies say: a result, a refusal, or something that the protocol does not allow."""

from s3_to_sftp.sftp import protocol
from s3_to_sftp.sftp.protocol import (
    Answer,
    ErrorStatusError,
    FileAttributes,
    MalformedReplyError,
    Reply,
    Status,
)
from s3_to_sftp.sftp.wire import Wire

SAFE_WRITE_BYTES = 32 * 1024 - 64
"""For servers that state no limit: one WRITE with its header fits the 32 KiB that all must accept."""

_SMALLEST_LIMIT = 512
"""Smaller limits are ignored: the protocol requires 32 KiB, and a few bytes at a time would take hours."""

_MAX_WRITE_BYTES = 255 * 1024
"""OpenSSH's limit; a larger one gains nothing."""


class ReplyDecoder:
    """Decodes the replies of one server. Each method takes a reply and what it was asked for.

    Raises (each method):
        ErrorStatusError: The server answered with an error status.
        ProtocolViolation: The answer breaks the protocol. The connection is closed.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def ok(self, reply: Reply, doing: str) -> None:
        """Require the status OK."""
        code, words = self._status(reply, doing)
        if code != Status.OK:
            raise ErrorStatusError(code, words)

    def handle(self, reply: Reply, doing: str) -> bytes:
        """Return the handle."""
        if reply.kind != Answer.HANDLE:
            self.ok(reply, doing)
            raise self._wire.violation(f"said OK to {doing} but gave no handle")
        try:
            handle, _ = protocol.read_text(reply.payload)
        except MalformedReplyError as error:
            raise self._wire.violation(f"sent an unreadable handle ({error})") from None
        return handle

    def attributes(self, reply: Reply, doing: str) -> FileAttributes:
        """Return the attributes of a file."""
        if reply.kind != Answer.ATTRS:
            self.ok(reply, doing)
            raise self._wire.violation(f"said OK to {doing} but gave no attributes")
        try:
            return protocol.read_attributes(reply.payload)
        except MalformedReplyError as error:
            raise self._wire.violation(f"sent an unreadable message of type {reply.kind} ({error})") from None

    def size(self, reply: Reply, doing: str) -> int | None:
        """Return the size of a file; None where the server does not state it."""
        return self.attributes(reply, doing).size

    def data(self, reply: Reply, doing: str) -> bytes:
        """Return the data of a READ; empty at the end of the file."""
        if reply.kind == Answer.DATA:
            try:
                return protocol.read_text(reply.payload)[0]
            except MalformedReplyError as error:
                raise self._wire.violation(f"sent unreadable data ({error})") from None
        if self._status(reply, doing)[0] == Status.EOF:
            return b""
        self.ok(reply, doing)
        raise self._wire.violation(f"said OK to {doing} but gave no data")

    def is_there(self, reply: Reply, doing: str) -> bool:
        """Return whether the server shows a file."""
        if reply.kind == Answer.ATTRS:
            return True
        if self._status(reply, doing)[0] in protocol.NOTHING_THERE:
            return False
        self.ok(reply, doing)
        raise self._wire.violation(f"said OK to {doing} but gave no attributes")

    def write_limit(self, reply: Reply, _doing: str) -> int:
        """Return how many bytes of data one WRITE may hold, from the reply to `limits@openssh.com`."""
        if reply.kind != Answer.EXTENDED_REPLY:
            return SAFE_WRITE_BYTES
        _, _, max_write, _ = self._decode(">QQQQ", reply)
        # 0 means "no limit stated".
        return min(max_write, _MAX_WRITE_BYTES) if max_write >= _SMALLEST_LIMIT else SAFE_WRITE_BYTES

    def _status(self, reply: Reply, doing: str) -> tuple[int, str]:
        if reply.kind != Answer.STATUS:
            raise self._wire.violation(f"answered with message type {reply.kind} when asked to {doing}")
        try:
            return protocol.read_status(reply.payload)
        except MalformedReplyError as error:
            raise self._wire.violation(f"sent an unreadable status ({error}) when asked to {doing}") from None

    def _decode(self, layout: str, reply: Reply) -> tuple[int, ...]:
        try:
            return protocol.unpack(layout, reply.payload)
        except MalformedReplyError as error:
            raise self._wire.violation(f"sent an unreadable message of type {reply.kind} ({error})") from None


def name_if_told(reply: Reply, _doing: str) -> str:
    """Return the first name of a NAME answer (draft-ietf-secsh-filexfer-02, section 7: count, names)."""
    if reply.kind != Answer.NAME:
        return ""
    try:
        return protocol.read_text(reply.payload, 4)[0].decode("utf-8", "replace")
    except MalformedReplyError:
        return ""


def names_if_told(reply: Reply, _doing: str) -> list[tuple[str, FileAttributes]]:
    """Return the entries of a NAME answer; none at the end, or when the server refuses or is unreadable."""
    if reply.kind != Answer.NAME:
        return []
    try:
        return protocol.read_names(reply.payload)
    except MalformedReplyError:
        return []


def handle_if_told(reply: Reply, _doing: str) -> bytes | None:
    """Return a handle; None when the server refuses, or answers unreadably."""
    if reply.kind != Answer.HANDLE:
        return None
    try:
        return protocol.read_text(reply.payload)[0]
    except MalformedReplyError:
        return None


def attributes_if_told(reply: Reply, _doing: str) -> FileAttributes | None:
    """Return the attributes of a file; None when the server refuses, or answers unreadably."""
    if reply.kind != Answer.ATTRS:
        return None
    try:
        return protocol.read_attributes(reply.payload)
    except MalformedReplyError:
        return None


def limits_if_told(reply: Reply, _doing: str) -> tuple[int, int, int, int] | None:
    """Return the four numbers of `limits@openssh.com` (OpenSSH's PROTOCOL, section 4.8), 0 for no limit."""
    if reply.kind != Answer.EXTENDED_REPLY:
        return None
    try:
        packet, read, write, handles = protocol.unpack(">QQQQ", reply.payload)
    except MalformedReplyError:
        return None
    return packet, read, write, handles
