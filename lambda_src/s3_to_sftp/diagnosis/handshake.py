"""A connection without SSH: what listens there, who closes it, and where packets get lost."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from s3_to_sftp.algorithm_rule import DEFAULT_RULE, WEAK, AlgorithmRule, Kind
from s3_to_sftp.diagnosis.cause import Cause
from s3_to_sftp.diagnosis.server_messages import Ending, ServerMessages, quote
from s3_to_sftp.errors import PartnerError, PartnerUnreachable, TooManyConnections
from s3_to_sftp.untrusted_text import decoded, quoted

CLOSED_AT_ONCE = Cause(
    name="closed-at-once",
    sign="The connection is accepted and closed before a byte was sent.",
    summary="{server} accepts the connection and closes it at once: it does not allow this address, or a "
    "load balancer has no server behind it.",
    advice="Send the partner this function's address (s3-to-sftp addresses). It will be retried.",
    to_partner="Your server {server} accepts our connection and closes it before the SSH greeting. Is our "
    "address on your allow-list, and is the SFTP service behind the load balancer up?",
)
RESET_AT_ONCE = Cause(
    name="reset-at-once",
    sign="The connection is accepted and reset (RST) before a byte was sent, often after failed logins.",
    summary="{server} resets the connection at once: it does not allow this address, has banned it for a "
    "while, or a firewall rejects it.",
    advice="Send the partner this function's address (s3-to-sftp addresses): it may be missing on the "
    "allow-list, or banned. Bans after failed logins (fail2ban, OpenSSH's penalties) end by themselves. It "
    "will be retried.",
    to_partner="Your server {server} resets our connections before the SSH greeting. Is our address on your "
    "allow-list? Or is it banned after failed logins, and can it be exempted?",
)
BANNED = Cause(
    name="banned",
    sign="A text in place of the SSH greeting, or a DISCONNECT: not allowed at this time, banned, blocked.",
    summary="{server} has banned this address for a while.",
    advice="Wait: such bans end by themselves. Check the login first, it may be why. Ask the partner to "
    "exempt this function's address (s3-to-sftp addresses). It will be retried.",
    to_partner="Your server {server} has banned our address. Can you lift the ban, and exempt our address?",
)
TOO_MANY_LOGINS = Cause(
    name="too-many-logins",
    sign="`Exceeded MaxStartups` in place of the SSH greeting.",
    summary="{server} has too many connections that are not logged in yet.",
    advice="Lower max_connections, or ask the partner to allow more. It will be retried.",
    to_partner="Your server {server} refuses connections because too many are at the login (MaxStartups). "
    "Can you raise the limit?",
)
TOO_MANY_CONNECTIONS = Cause(
    name="too-many-connections",
    sign="DISCONNECT with reason 12, or a text about too many connections or sessions.",
    summary="{server} accepts no more connections now.",
    advice="Lower max_connections, or ask the partner to allow more. It will be retried.",
    to_partner="Your server {server} says that we have too many connections. How many may we use at a time?",
)
SILENT = Cause(
    name="silent-port",
    sign="The connection is accepted, and no byte comes.",
    summary="{server} accepts the connection and says nothing: no server is behind the port, or its reverse "
    "DNS is very slow.",
    advice="Check SSH_PORT; ask the partner whether the server hangs. It will be retried.",
    to_partner="Your server {server} accepts our connection, but sends no SSH greeting within {seconds:g} s. "
    "Is the service behind it running? Slow reverse DNS (sshd: UseDNS) looks the same.",
)
FTP = Cause(
    name="ftp-server",
    sign="`220` in place of the SSH greeting.",
    summary="{server} is an FTP server, not an SFTP server.",
    advice="Ask the partner for the SFTP port (usually 22); check SSH_PORT. FTP and FTPS are other "
    "protocols.",
    to_partner="{server} answers with FTP. Which host and port is your SFTP (SSH) service on?",
)
MAIL = Cause(
    name="mail-server",
    sign="A greeting with SMTP in it.",
    summary="{server} is a mail server, not an SFTP server.",
    advice="Check SSH_HOST and SSH_PORT.",
)
HTTP = Cause(
    name="http-server",
    sign="`HTTP/1.` or HTML in place of the SSH greeting.",
    summary="{server} is a web server or a proxy, not an SFTP server.",
    advice="Ask the partner for the SFTP host and port (usually 22); check SSH_PORT.",
    to_partner="{server} answers with HTTP. Which host and port is your SFTP (SSH) service on?",
)
TLS = Cause(
    name="tls-server",
    sign="A TLS alert, or silence until a TLS ClientHello is sent.",
    summary="{server} speaks TLS, as FTPS and HTTPS do, not SSH.",
    advice="Ask the partner for the SFTP port (usually 22); check SSH_PORT. FTPS is another protocol.",
    to_partner="{server} answers with TLS (FTPS?). Which host and port is your SFTP (SSH) service on?",
)
TELNET = Cause(
    name="telnet-server",
    sign="Telnet negotiation (IAC) or a `login:` prompt in place of the SSH greeting.",
    summary="{server} is a telnet server or a terminal login, not an SFTP server.",
    advice="Ask the partner for the SFTP port (usually 22); check SSH_PORT.",
    to_partner="{server} answers with a terminal login. Which port is your SFTP (SSH) service on?",
)
SSH1 = Cause(
    name="ssh-1-only",
    sign="The version line is `SSH-1.5-` or `SSH-1.3-`.",
    summary="{server} speaks only SSH 1, which has been broken since 2001.",
    advice="The partner must update the server.",
    to_partner="Your server {server} offers only SSH protocol 1. We need SSH 2: please update or enable it.",
)
NOT_SSH = Cause(
    name="not-ssh",
    sign="Another text in place of the SSH greeting.",
    summary="{server} answers with something that is not SSH.",
    advice="Check SSH_HOST and SSH_PORT; what it says may tell what listens there. It will be retried.",
    to_partner="{server} answers with something that is not SSH. Which host and port is your SFTP service "
    "on?",
)
CLIENT_REFUSED = Cause(
    name="client-refused",
    sign="A DISCONNECT, or the end of the connection, right after our version line.",
    summary="{server} closes the connection once it knows our SSH client: it allows only some clients or "
    "addresses.",
    advice="Ask the partner to allow our client ({client}) and this function's address. It will be retried.",
    to_partner="Your server {server} disconnects right after our version line {client}. Does it allow only "
    "certain SSH clients, and can ours be added?",
)
PACKETS_LOST_OUT = Cause(
    name="mtu-outbound",
    sign="The version line comes, then silence; our large packets are not acknowledged (TCP_INFO).",
    summary="{server} gets no large packets from us: the network loses them (MTU black hole).",
    advice="On a VPN or Direct Connect clamp the TCP MSS and allow ICMP type 3 code 4 (fragmentation "
    "needed). It will be retried.",
    to_partner="Large packets from us to {server} get lost on the way. Does a firewall of yours block ICMP "
    "'fragmentation needed' (type 3 code 4)? Clamping the TCP MSS also helps.",
)
PACKETS_LOST_IN = Cause(
    name="mtu-inbound",
    sign="The version line comes, then silence; all that we have sent is acknowledged (TCP_INFO).",
    summary="{server} greets, and then nothing more comes: its large packets get lost on the way (MTU black "
    "hole), or it hangs.",
    advice="On a VPN or Direct Connect clamp the TCP MSS and allow ICMP type 3 code 4 (fragmentation "
    "needed). s3-to-sftp doctor tries small packets. It will be retried.",
    to_partner="Your server {server} greets us, but its next packet never arrives. Does a firewall of yours "
    "block ICMP 'fragmentation needed' (type 3 code 4)? Clamping the TCP MSS also helps.",
)
NO_COMMON_ALGORITHM = Cause(
    name="no-common-algorithm",
    sign="The lists in the server's KEXINIT have nothing in common with ours.",
    summary="{server} and this function have no common algorithm ({lists}).",
    advice="Ask the partner to enable one of these.{older}",
    to_partner="Your SSH server {server} and our client have no algorithm in common ({lists}). Please enable "
    "one of ours.",
)
FORBIDDEN_ALGORITHMS = Cause(
    name="forbidden-algorithms",
    sign="The lists in the server's KEXINIT have nothing that the policy in SSH_ALGORITHMS allows.",
    summary="{server} offers only what SSH_ALGORITHMS ({rule}) forbids ({lists}).",
    advice="Ask the partner to enable one of these. Or choose another policy in SSH_ALGORITHMS, which "
    "weakens it for this partner.",
    to_partner="Our policy ({rule}) allows nothing that your SSH server {server} offers ({lists}). Please "
    "enable one of ours.",
)
COMPRESSION_REQUIRED = Cause(
    name="compression-required",
    sign="The server's KEXINIT offers no compression `none`.",
    summary="{server} requires compression ({lists}).",
    advice="Ask the partner to allow 'none' as well.",
    to_partner="Your SSH server {server} requires compression. Please also allow 'none'.",
)
KEY_EXCHANGE_FAILED = Cause(
    name="key-exchange-failed",
    sign="The handshake ends after the algorithms were agreed on.",
    summary="{server} accepted the connection but did not complete the SSH handshake ({error}).",
    advice="A busy server or a firewall in between does this, too. It will be retried; ask the partner if it "
    "persists.",
    to_partner="The SSH key exchange with your server {server} fails ({error}). What does its log say?",
)

HEARD_NOTHING = frozenset({CLOSED_AT_ONCE.name, RESET_AT_ONCE.name, SILENT.name})
"""Causes that are assumed where not a byte came: it may be TLS as well."""

CLIENT = "SSH-2.0-paramiko"
_BANNED = re.compile(
    r"\bnot allowed at this time\b|\b(?:banned|blocked|black-?list(?:ed)?|temporarily refus\w+)\b"
    r"|\b(?:ip|address|host)\b.{0,30}\blocked\b",
    re.IGNORECASE,
)
_NEGOTIATIONS = (b"\xff\xfb", b"\xff\xfc", b"\xff\xfd", b"\xff\xfe")
_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")


@dataclass(frozen=True, kw_only=True)
class TcpState:
    """What the kernel knows of a connection (Linux: TCP_INFO).

    Attributes:
        unacknowledged: Segments of ours that the other side has not acknowledged.
        retransmits: How often the oldest of them was sent again without an answer.
        quiet_seconds: How long ago data came last; None: not known.
    """

    unacknowledged: int = 0
    retransmits: int = 0
    quiet_seconds: float | None = None


def handshake_failed(
    error: BaseException,
    received: ServerMessages,
    *,
    server: object,
    seconds: float,
    tcp: TcpState | None = None,
) -> PartnerError:
    """Return the error for a handshake that was not completed.

    Args:
        error: What ended it.
        received: What the server has said.
        server: `host:port`.
        seconds: How long the server was waited for.
        tcp: Of the connection; None: not known.
    """
    # Our own time limit first: what is closed because of it looks as if the server had closed it.
    ending = Ending.of(error) or received.ending
    tcp = tcp or TcpState()
    cause = _cause(received, ending, tcp)
    waited = seconds - (received.version_seconds or 0.0)
    if cause is PACKETS_LOST_IN and tcp.quiet_seconds is not None and 2 * tcp.quiet_seconds < waited:
        cause = KEY_EXCHANGE_FAILED  # what comes slowly is not lost
    busy = cause in {TOO_MANY_LOGINS, TOO_MANY_CONNECTIONS}
    kind: type[PartnerError] = TooManyConnections if busy else PartnerUnreachable
    said = received.last_words
    if received.version and not received.version.startswith(b"SSH-2.0-"):
        said = f" Its version is {quote(received.version)}.{said}"
    elif not said and cause is not KEY_EXCHANGE_FAILED:
        said = f" It {ending.value}." if ending else f" ({quoted(error)})"
    return cause.error(kind, said, server=server, seconds=seconds, client=CLIENT, error=quoted(error))


def no_common_algorithm(
    received: ServerMessages,
    ours: dict[str, tuple[str, ...]],
    error: BaseException,
    *,
    server: object,
    rule: AlgorithmRule = DEFAULT_RULE,
) -> PartnerUnreachable:
    """Return the error for lists of algorithms that have nothing in common.

    Args:
        received: What the server has said.
        ours: What it is for -> what we offer.
        error: What ended the handshake.
        server: `host:port`.
        rule: That which made our lists.
    """
    lists = received.compare(ours)
    missing = [kind for kind in Kind if _is_missing(received, kind, ours.get(kind, ()))]
    if "compression" in received.offered and "none" not in received.offered["compression"]:
        cause = COMPRESSION_REQUIRED
    elif missing and rule.policy is not None:
        cause = FORBIDDEN_ALGORITHMS
    else:
        cause = NO_COMMON_ALGORITHM
    return cause.error(
        PartnerUnreachable,
        received.last_words,
        server=server,
        rule=rule,
        lists=lists or quoted(error),
        older=_older(received, missing, rule),
    )


def _is_missing(received: ServerMessages, kind: Kind, ours: tuple[str, ...]) -> bool:
    offered = received.offered.get(kind)
    return offered is not None and set(offered).isdisjoint(ours)


def _older(received: ServerMessages, missing: Iterable[Kind], rule: AlgorithmRule) -> str:
    """Return what could be allowed, as a sentence with a blank in front; empty: nothing would help."""
    choices = [
        [name for name in received.offered[kind] if name in WEAK and WEAK[name].kind is kind]
        for kind in missing
    ]
    if rule.policy is not None or not choices or not all(choices):
        return ""
    names = ", ".join(dict.fromkeys(name for each in choices for name in each))
    return f" SSH_ALGORITHMS can allow what it offers ({names}); docs/reference/ssh.md names the risks."


def is_another_protocol(said: bytes) -> bool:
    """Return whether what came in place of a version line is known to be another protocol."""
    return _not_ssh(said) not in {NOT_SSH, BANNED}


def says_banned(text: str) -> bool:
    """Return whether a server's text is about an address that is banned."""
    return _BANNED.search(text) is not None


def _cause(received: ServerMessages, ending: Ending | None, tcp: TcpState) -> Cause:
    if received.is_about_too_many():
        return TOO_MANY_LOGINS if b"startups" in received.before_version.lower() else TOO_MANY_CONNECTIONS
    if received.version:
        return _after_the_greeting(received, ending, tcp)
    if received.before_version.rpartition(b"\n")[2].startswith(b"SSH-"):  # the line was not over in time
        return KEY_EXCHANGE_FAILED
    if received.before_version.strip():
        return _not_ssh(received.before_version)
    match ending:
        case Ending.CLOSED:
            return CLOSED_AT_ONCE
        case Ending.RESET:
            return RESET_AT_ONCE
        case Ending.SILENT:
            return SILENT
    return KEY_EXCHANGE_FAILED


def _after_the_greeting(received: ServerMessages, ending: Ending | None, tcp: TcpState) -> Cause:
    if received.version.startswith(b"SSH-1.") and not received.version.startswith(b"SSH-1.99-"):
        return SSH1
    if not received.version.startswith((b"SSH-2.0-", b"SSH-1.99-")):
        return NOT_SSH
    if ending is Ending.SILENT and tcp.unacknowledged and tcp.retransmits:
        return PACKETS_LOST_OUT
    if received.offered:
        return KEY_EXCHANGE_FAILED
    if ending is Ending.SILENT:
        return PACKETS_LOST_IN
    return CLIENT_REFUSED if ending is not None or received.goodbye is not None else KEY_EXCHANGE_FAILED


def _not_ssh(said: bytes) -> Cause:
    text = decoded(said).strip().lower()
    if said.startswith(_TLS_RECORDS):
        return TLS
    if said.startswith(_NEGOTIATIONS) or text.endswith(("login:", "username:")):
        return TELNET
    if text.startswith("http/") or "<html" in text or "<!doctype" in text:
        return HTTP
    if text.startswith(("220", "421", "120")):
        return MAIL if "smtp" in text else FTP
    if says_banned(text):
        return BANNED
    return NOT_SSH
