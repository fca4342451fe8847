"""A connection that ends in the middle of SFTP."""

import re
from dataclasses import dataclass

from s3_to_sftp.diagnosis.cause import Cause
from s3_to_sftp.diagnosis.server_messages import Ending, ServerMessages
from s3_to_sftp.errors import ConnectionLost
from s3_to_sftp.untrusted_text import decoded

REKEY_FAILED = Cause(
    name="rekey-failed",
    sign="DISCONNECT with reason 3 or words about the key exchange, long after the login.",
    summary="{server} was lost while new keys were agreed on (rekey).",
    advice="It will be retried over a new connection. Ask the partner to update the server, or to raise its "
    "limit of bytes and time until new keys (sshd: RekeyLimit).",
    to_partner="Our connections to {server} break when new keys are agreed on (rekey). What does its log "
    "say? A higher limit (sshd: RekeyLimit) may help.",
)
DISCONNECTED = Cause(
    name="server-disconnects",
    sign="DISCONNECT in the middle of the work.",
    summary="{server} ended the connection in the middle of the work.",
    advice="It will be retried; ask the partner if it persists.",
    to_partner="Your server {server} disconnects us in the middle of the work. What does its log say?",
)
CUT_WHILE_IDLE = Cause(
    name="idle-cut",
    sign="The connection is gone at the first request after a long time without traffic.",
    summary="The connection to {server} was cut while nothing was sent for {minutes} min.",
    advice="NAT gateways and firewalls drop idle connections (NAT gateways of AWS after 350 s), servers have "
    "limits, too. It will be retried over a new connection.",
    to_partner="Our connections to {server} are cut after {minutes} min without traffic. Does your server or "
    "a firewall limit idle time?",
)
CLOSED_AT_LARGE_WRITE = Cause(
    name="large-write-closes",
    sign="The connection is closed at the first WRITE of a size that was never acknowledged before.",
    summary="{server} closed the connection at the first WRITE of {bytes} bytes: it may not take packets of "
    "this size.",
    advice="Ask the partner how many bytes one SFTP packet may hold; every server must take 32 KiB, and "
    "states more by limits@openssh.com. It will be retried.",
    to_partner="Your server {server} closes the connection at our first WRITE of {bytes} bytes. How large "
    "may one SFTP packet be, and what does its log say?",
)
CLOSED = Cause(
    name="connection-closed",
    sign="The connection is closed or reset in the middle of the work, without a word.",
    summary="The connection to {server} was cut in the middle of the work.",
    advice="It will be retried; ask the partner if it persists.",
    to_partner="Our connection to {server} is cut in the middle of the work. What does its log say?",
)
SILENT = Cause(
    name="server-hangs",
    sign="No answer, or no more data taken, within SSH_REPLY_TIMEOUT.",
    summary="{server} stopped answering in the middle of the work.",
    advice="It will be retried; ask the partner if it persists. SSH_REPLY_TIMEOUT can give the server more "
    "time.",
    to_partner="Your server {server} stops answering in the middle of the work. Does its storage hang?",
)

IDLE_SECONDS = 60.0
"""After less time without traffic a lost connection has another cause."""

_LARGE_BYTES = 16 * 1024
_REKEY = r"(?i)key.?exchange|re-?key|\bkex"
_KEY_EXCHANGE_FAILED = 3
"""SSH_DISCONNECT_KEY_EXCHANGE_FAILED (RFC 4253, section 11.1)."""


@dataclass
class Traffic:
    """What has gone over a connection, as far as it may tell why it was lost.

    Attributes:
        idle: Seconds without traffic before what was sent last, as long as nothing has come since.
        largest_sent: Bytes of data of the largest WRITE.
        largest_accepted: The same, of those that were acknowledged.
        received: What the server has said beside SFTP.
    """

    idle: float = 0.0
    largest_sent: int = 0
    largest_accepted: int = 0
    received: ServerMessages | None = None


def lost(what: str, ending: Ending, traffic: Traffic, *, server: str, why: str = "") -> ConnectionLost:
    """Return the error for a connection that ended.

    Args:
        what: What happened, without its subject.
        ending: How.
        traffic: What has gone over it.
        server: Its name in errors.
        why: What the library says.
    """
    cause = _cause(ending, traffic, why)
    said = traffic.received.last_words if traffic.received and traffic.received.goodbye else ""
    error = cause.error(
        ConnectionLost,
        f"The server {what}.{said}",
        server=server,
        minutes=int(traffic.idle // 60),  # alike failures have the same text
        bytes=traffic.largest_sent,
    )
    error.silent = ending is Ending.SILENT
    return error


def _cause(ending: Ending, traffic: Traffic, why: str) -> Cause:
    code, text = (traffic.received and traffic.received.goodbye) or (0, b"")
    if code == _KEY_EXCHANGE_FAILED or re.search(_REKEY, f"{decoded(text)} {why}"):
        return REKEY_FAILED
    if code:
        return DISCONNECTED
    if ending is Ending.SILENT:
        return SILENT
    if traffic.idle >= IDLE_SECONDS:
        return CUT_WHILE_IDLE
    if traffic.largest_sent > max(traffic.largest_accepted, _LARGE_BYTES):
        return CLOSED_AT_LARGE_WRITE
    return CLOSED
