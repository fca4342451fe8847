"""No connection: the name, the route, the port."""

import errno
import ipaddress
import socket
from collections.abc import Mapping, Sequence

from s3_to_sftp.diagnosis import handshake
from s3_to_sftp.diagnosis.cause import Cause
from s3_to_sftp.errors import PartnerUnreachable
from s3_to_sftp.untrusted_text import quoted

NAME_UNKNOWN = Cause(
    name="name-unknown",
    sign="The resolver answers that the name does not exist (EAI_NONAME).",
    summary="The name {host!r} does not exist in DNS.",
    advice="Check SSH_HOST for a typing error; a private name needs the partner's DNS zone in this VPC.",
)
NO_DNS = Cause(
    name="no-dns",
    sign="The resolver does not answer (EAI_AGAIN).",
    summary="The name {host!r} cannot be looked up: no name server answers.",
    advice="In a VPC check that DNS support is on and that the subnet reaches its resolver. It will be "
    "retried.",
)
NAME_MALFORMED = Cause(
    name="name-malformed",
    sign="The name cannot be a host name.",
    summary="The name {host!r} cannot be resolved: it is not a host name.",
    advice="Check SSH_HOST: the bare host name, no sftp://, no port, no path. The port belongs in SSH_PORT.",
)
IPV6_ONLY = Cause(
    name="ipv6-only",
    sign="The name has only IPv6 addresses, and there is no IPv6 route (ENETUNREACH).",
    summary="{server} cannot be reached: it has only IPv6 addresses, and this function has no IPv6.",
    advice="Put the function into a dual-stack subnet with IPv6 allowed, or ask the partner for an IPv4 "
    "address.",
    to_partner="We reach your SFTP server {server} over IPv4 only. Does it have an IPv4 address?",
)
NO_ROUTE = Cause(
    name="no-route",
    sign="The kernel knows no way (ENETUNREACH, EHOSTUNREACH).",
    summary="{server} cannot be reached: there is no route to {addresses}.",
    advice="Check the route tables and the VPN of the function's subnets.",
)
REFUSED = Cause(
    name="connection-refused",
    sign="The connection is rejected at once (RST to SYN).",
    summary="{server} cannot be reached: nothing listens on this port, or a firewall rejects the connection.",
    advice="Check SSH_PORT; ask the partner whether the server is up. It will be retried.",
    to_partner="Our connections to {server} are refused. Is the SFTP service running on this port, and does "
    "a firewall reject our address?",
)
PRIVATE_ADDRESS = Cause(
    name="private-address",
    sign="No answer, and the name has a private address (RFC 1918).",
    summary="{server} did not answer within {seconds:g} s: {addresses} is a private address, which the "
    "internet does not reach.",
    advice="Put the function into a VPC that is connected with the partner's network (VPN, peering), or ask "
    "the partner for a public name.",
    to_partner="From our network {server} resolves to {addresses}, a private address. Which public address "
    "do you want us to use?",
)
NO_ANSWER = Cause(
    name="no-answer",
    sign="No answer to the connection (SYN) in time.",
    summary="{server} did not answer within {seconds:g} s: a firewall drops our packets, or this function "
    "has no way out.",
    advice="Check SSH_HOST and SSH_PORT, and that the partner allows this function's address (s3-to-sftp "
    "addresses). In a VPC the subnet needs a NAT gateway. s3-to-sftp doctor tells the two apart.",
    to_partner="Our connections to {server} get no answer. Does your firewall allow our address?",
)
NO_WAY_OUT = Cause(
    name="no-way-out",
    sign="No answer from the partner, and none from an address of AWS either.",
    summary="This function has no way to the internet: {server} did not answer, and neither did {control}.",
    advice="Give the function's subnets a route to a NAT gateway, and let its security group send to this "
    "port.",
)
CANNOT_CONNECT = Cause(
    name="cannot-connect",
    sign="Another error of the network.",
    summary="{server} cannot be reached ({error}).",
    advice="Check SSH_HOST and SSH_PORT; ask the partner whether the server is up. It will be retried.",
)

# RFC 1918, RFC 6598 (behind a carrier's NAT), RFC 4193.
_PRIVATE = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)
_NO_ROUTE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def lookup_failed(error: Exception, *, host: str) -> PartnerUnreachable:
    """Return the error for a name that was not resolved.

    Args:
        error: `socket.gaierror`, or UnicodeError for an empty or too long label.
        host: The name.
    """
    if not isinstance(error, socket.gaierror):
        return NAME_MALFORMED.error(PartnerUnreachable, host=host)
    cause = NO_DNS if error.errno == socket.EAI_AGAIN else NAME_UNKNOWN
    return cause.error(PartnerUnreachable, f"The resolver says: {quoted(error.strerror)}.", host=host)


NOT_CONNECTED = frozenset(each.name for each in list(vars().values()) if isinstance(each, Cause))
"""Names of the causes of this module: the server has not accepted a connection."""


def no_address_accepts(
    failures: Mapping[str, OSError], *, server: object, seconds: float
) -> PartnerUnreachable:
    """Return the error for a name of which no address accepts a connection.

    An address that refuses or is silent tells more than one to which there is no route: most functions have
    no IPv6, and most names that have IPv6 addresses have IPv4 addresses, too.

    Args:
        failures: Address that was tried -> its error, in order.
        server: `host:port`.
        seconds: How long each was waited for.
    """
    has_ipv4 = any(":" not in address for address in failures)
    counted = {
        address: error
        for address, error in failures.items()
        if not (has_ipv4 and ":" in address and error.errno in _NO_ROUTE)
    }
    telling = [error for error in counted.values() if error.errno not in _NO_ROUTE]
    error = [OSError(), *counted.values(), *telling][-1]
    return connection_failed(error, server=server, addresses=list(counted), seconds=seconds)


def connection_failed(
    error: OSError, *, server: object, addresses: Sequence[str], seconds: float
) -> PartnerUnreachable:
    """Return the error for a connection that was not made.

    Args:
        error: Of an address that was tried.
        server: `host:port`.
        addresses: All that were tried.
        seconds: How long each was waited for.
    """
    cause = _cause(error, addresses)
    shown = ", ".join(addresses) or "its address"
    said = quoted(error.strerror or error)
    return cause.error(
        PartnerUnreachable,
        f"Tried: {shown} ({said})." if cause is not CANNOT_CONNECT else "",
        server=server,
        addresses=shown,
        seconds=seconds,
        error=said,
    )


def is_private(address: str) -> bool:
    """Return whether an address is of a private network, which the internet does not reach."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    return any(ip in network for network in _PRIVATE if network.version == ip.version)


def _cause(error: OSError, addresses: Sequence[str]) -> Cause:
    if isinstance(error, TimeoutError):
        return PRIVATE_ADDRESS if addresses and all(map(is_private, addresses)) else NO_ANSWER
    if isinstance(error, ConnectionRefusedError):
        return REFUSED
    if isinstance(error, ConnectionResetError):  # so soon that the connection was not even ours yet
        return handshake.RESET_AT_ONCE
    if error.errno in _NO_ROUTE:
        return IPV6_ONLY if addresses and all(":" in address for address in addresses) else NO_ROUTE
    return CANNOT_CONNECT
