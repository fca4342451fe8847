"""The partner's server, as users of the construct describe it."""

import ipaddress
import math
import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from pathlib import Path

import aws_cdk as cdk

from cdk_s3_to_sftp.algorithms import Algorithms, check_algorithms, check_host_keys_allowed
from cdk_s3_to_sftp.argument_types import check_fields
from cdk_s3_to_sftp.arguments import (
    InvalidArgument,
    check_directory,
    check_duration,
    check_no_private_key,
    check_range,
    is_token,
    whole_seconds,
)
from cdk_s3_to_sftp.defaults import PORT, REPLY_TIMEOUT
from cdk_s3_to_sftp.host_keys import checked_keys, is_private
from cdk_s3_to_sftp.measured_file import read_measured
from cdk_s3_to_sftp.rule_values import check_rules
from s3_to_sftp.algorithm_rule import KNOWN_CIPHERS
from s3_to_sftp.measured_server import MeasuredServer
from s3_to_sftp.rules.delivery_rules import DeliveryRules

CIPHERS = KNOWN_CIPHERS
"""The ciphers that the function supports. By default it offers those with GCM and CTR."""


class UnknownOutcome(StrEnum):
    """What to do if a RENAME was not answered and the server gives no evidence of its outcome."""

    HOLD = "hold"
    """The message is dead-lettered as `OutcomeUnknown`, with a hint what to ask the partner."""
    RESEND = "resend"
    """The file is sent again: the partner may get it twice."""
    ASSUME_DELIVERED = "assume_delivered"
    """The file counts as delivered: for partners that pick up files at once."""


_LONGEST_LABEL, _LONGEST_NAME = 63, 253
"""Characters of a label and of a whole name (RFC 1035, 2.3.4: 255 bytes with lengths and root)."""

_LEAST_MEGABYTES, _MOST_MEGABYTES = 0.1, 10_000
"""Less would make one WRITE, of a quarter of a megabyte, take longer than partners wait."""

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


@dataclass(frozen=True)
class SftpServer:
    """The partner's server and its host keys. Validated when it is created; Tokens pass.

    Attributes:
        host: Name or address, such as `sftp.partner.example`.
        port: TCP port. By default 22.
        directory: Remote directory for all objects; an object's key is its path below. By default the login
            directory.
        host_keys: Public host keys: type and key (`ssh-ed25519 AAAA...`), or lines of known_hosts or
            ssh-keyscan, whose host names are ignored. The function only connects to a server that proves
            possession of one of them. Several are for a server that changes its key, or a farm behind one
            name. `@cert-authority *.partner.example ssh-ed25519 AAAA...` trusts the host certificates that
            this key has signed for such hosts.
        ciphers: Allowed ciphers by their SSH names, the preferred one first. By default those of `CIPHERS`
            with GCM, which is the fastest by far, and CTR. For partners that prescribe ciphers, or support
            only CBC.
        algorithms: Old algorithms that the server needs, or a policy that restricts all of them; see
            `Algorithms`. By default the modern ones are offered.
        connect_timeout: How long to wait for a connection, 1 to 300 seconds. By default 15 seconds.
        reply_timeout: How long to wait for a reply, 10 to 600 seconds. Servers backed by an object store are
            slow at the end of a large file. By default 120 seconds.
        unknown_outcome: What to do if it is unknown whether a file got its final name: the connection was
            lost, and the server shows neither name. By default an operator decides (HOLD).
        max_megabytes_per_second: The most file data that the partner gets, in 10^6 bytes a second, over all
            connections and function instances of a construct; what SSH adds is not counted. 0.1 to 10,000. By
            default as much as there is.
        rules: The partner's rules about names, their order, and files beside the data. By default an object's
            key is its name.
        profile: What this server showed: a path of the file of `s3-to-sftp doctor --save`, or its content as
            `MeasuredServer`. Synth then refuses rules that contradict it. The ready-made rules of `profiles`
            are something else: they belong into `rules`. By default nothing is known of the server.

    Raises:
        InvalidArgument: A value is invalid; the message says why and what to write instead.
    """

    host: str
    _: KW_ONLY
    port: int = PORT
    directory: str | None = None
    host_keys: Sequence[str] = ()
    ciphers: Sequence[str] = ()
    algorithms: Algorithms | None = None
    connect_timeout: cdk.Duration | None = None
    reply_timeout: cdk.Duration | None = None
    unknown_outcome: UnknownOutcome = UnknownOutcome.HOLD
    max_megabytes_per_second: float | None = None
    rules: DeliveryRules | None = None
    profile: str | Path | MeasuredServer | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        self._check_no_private_key()
        _check_host(self.host)
        check_range("port", self.port, 1, 65535)
        check_directory(self.directory, otherwise="the login directory")
        _check_ciphers(self.ciphers)
        _check_bandwidth(self.max_megabytes_per_second)
        check_algorithms(self.algorithms, self.ciphers)
        check_rules(self.rules)
        if self.connect_timeout:
            check_duration("connect_timeout", self.connect_timeout, 1, 300, "seconds")
        if self.reply_timeout:
            check_duration("reply_timeout", self.reply_timeout, 10, 600, "seconds")
        object.__setattr__(self, "ciphers", tuple(self.ciphers))
        object.__setattr__(self, "host_keys", checked_keys(self.host_keys))
        self._check_keys_given()
        check_host_keys_allowed(self.algorithms, self.host_keys)
        object.__setattr__(self, "profile", read_measured(self.profile))

    @property
    def measured(self) -> MeasuredServer | None:
        """What the server showed; None: not known."""
        return self.profile if isinstance(self.profile, MeasuredServer) else None

    @property
    def address(self) -> str:
        """`host:port`, the same for all ways to write the name; known at synth only if both are."""
        return f"{self.host.lower().removesuffix('.')}:{self.port}"

    def check_replies_within(self, timeout: cdk.Duration) -> None:
        """Refuse a function timeout that is too short to wait for one reply of the server.

        Lambda would stop the function before it could report that the server does not reply.

        Raises:
            InvalidArgument: It is not longer than `reply_timeout`.
        """
        reply = self.reply_timeout or REPLY_TIMEOUT
        if timeout.is_unresolved() or reply.is_unresolved():
            return
        if timeout.to_seconds() <= reply.to_seconds():
            raise InvalidArgument(
                "timeout",
                f"must be longer than the {reply.to_seconds():g} seconds that the server may take for one "
                f"reply, got {timeout.to_seconds():g}; SftpServer(reply_timeout=...) lowers the former",
            )

    def variables(self) -> dict[str, str]:
        """Return the environment variables of the server. The function has its own defaults for the rest."""
        outcome = self.unknown_outcome
        given = {
            "SSH_DIR": self.directory,
            "SSH_CIPHERS": ",".join(self.ciphers),
            "SSH_ALGORITHMS": self.algorithms.as_text() if self.algorithms else None,
            "SSH_CONNECT_TIMEOUT": whole_seconds(self.connect_timeout) if self.connect_timeout else None,
            "SSH_REPLY_TIMEOUT": whole_seconds(self.reply_timeout) if self.reply_timeout else None,
            "SSH_MAX_BYTES_PER_SECOND": self._bytes_per_second(),
            "UNKNOWN_OUTCOME": str(outcome) if outcome != UnknownOutcome.HOLD else None,
        }
        return {
            "SSH_HOST": self.host,
            "SSH_PORT": cdk.Tokenization.stringify_number(self.port),
            "SSH_HOST_KEY": "\n".join(self.host_keys),
            **{name: value for name, value in given.items() if value},
        }

    def _bytes_per_second(self) -> str | None:
        megabytes = self.max_megabytes_per_second
        return None if megabytes is None else str(round(megabytes * 1_000_000))

    def _check_no_private_key(self) -> None:
        check_no_private_key("host", self.host)
        check_no_private_key("directory", self.directory)
        check_no_private_key("ciphers", *self.ciphers)
        check_no_private_key("profile", *([self.profile] if isinstance(self.profile, str) else ()))
        if any(isinstance(key, str) and is_private(key) for key in self.host_keys):
            raise InvalidArgument(
                "host_keys",
                "must be public keys, got a private key: paste the public one, 'ssh-ed25519 AAAA...'",
            )

    def _check_keys_given(self) -> None:
        if not self.host_keys:
            known = not (is_token(self.host) or is_token(self.port))
            scan = f"ssh-keyscan -p {self.port} {self.host}" if known else "ssh-keyscan -p PORT HOST"
            raise InvalidArgument(
                "host_keys",
                "must contain at least one public key of the server, got none: without it nobody can tell "
                f"the partner from an impostor. Print the keys with '{scan}', and verify the fingerprints "
                "('ssh-keygen -lf FILE') with the partner out of band",
            )


def _check_host(host: str) -> None:
    if is_token(host):
        return
    if len(host) > _LONGEST_NAME or any(len(label) > _LONGEST_LABEL for label in host.split(".")):
        raise InvalidArgument(
            "host",
            f"must be a valid DNS name, with at most {_LONGEST_LABEL} characters between two dots "
            f"and {_LONGEST_NAME} in total, got {len(host)} characters that begin with {host[:32]!r}",
        )
    if why := _unreachable(host):
        raise InvalidArgument("host", f"must be the name or address of one server, got {host!r}, which {why}")
    if _NAME.fullmatch(host) or _is_address(host):
        return
    raise InvalidArgument(
        "host",
        "must be a bare name or address such as sftp.partner.example (no sftp://, no user@, no :port, no "
        f"path), got {host!r}",
    )


def _unreachable(host: str) -> str:
    """Return why no server can be there, as the end of a sentence; empty: one may be."""
    if _is_address(host):
        address = ipaddress.ip_address(host)
        is_for_many = address.is_multicast or address == ipaddress.ip_address("255.255.255.255")
        return "stands for no machine, or for many" if address.is_unspecified or is_for_many else ""
    labels = host.removesuffix(".").split(".")
    if len(labels) > 1 and labels[-1].isdecimal() and _NAME.fullmatch(host):
        return "ends in a number, as addresses do, and is no address"
    return "has two dots in a row" if "" in labels and _NAME.fullmatch(host) else ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _check_bandwidth(megabytes: float | None) -> None:
    if megabytes is None:
        return
    # jsii cannot be asked whether a number is a Token that is none in JSON.
    if math.isfinite(megabytes) and is_token(megabytes):
        raise InvalidArgument(
            "max_megabytes_per_second", "must be known when the app is synthesised, got a Token"
        )
    if not _LEAST_MEGABYTES <= megabytes <= _MOST_MEGABYTES:
        raise InvalidArgument(
            "max_megabytes_per_second",
            f"must be {_LEAST_MEGABYTES:g}-{_MOST_MEGABYTES:,} (10^6 bytes a second), got {megabytes:g}",
        )


def _check_ciphers(ciphers: Sequence[str]) -> None:
    for cipher in ciphers:
        if not is_token(cipher) and cipher not in CIPHERS:
            raise InvalidArgument("ciphers", f"must be some of {', '.join(CIPHERS)}, got {cipher!r}")
