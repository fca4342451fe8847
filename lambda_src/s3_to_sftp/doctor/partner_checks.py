"""The partner's server, from its name to the remote directory, over one connection."""

import base64
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.diagnosis import connecting, handshake, host_key
from s3_to_sftp.doctor.checklist import Finding, NotTriedError, Step
from s3_to_sftp.doctor.directory_check import look_at_directory
from s3_to_sftp.doctor.login_guard import LoginGuard
from s3_to_sftp.doctor.measurement import Measurement, described_measurement, utc_now
from s3_to_sftp.doctor.write_probe import WriteProbe
from s3_to_sftp.errors import DeliveryError, HostKeyRefused, PartnerError, PartnerUnreachable
from s3_to_sftp.measured_server import MeasuredServer
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.connection import open_session
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.ssh import host_keys
from s3_to_sftp.ssh.connect import (
    Timeouts,
    closed_on_failure,
    log_in_to,
    look_again,
    look_up,
    open_socket,
    shake_hands,
)
from s3_to_sftp.ssh.transport import Transport
from s3_to_sftp.untrusted_text import decoded, quoted

TIMEOUTS = Timeouts(connect=5, handshake=20, login=30, reply=10)
_SLOW_GREETING_SECONDS = 3.0
_SMALL_SEGMENT_BYTES = 536
"""What every host must take (RFC 9293, section 3.7.1)."""

_MOST_OTHER_ADDRESSES = 4


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is examined.

    Attributes:
        server: The partner's.
        directories: Remote directories that are delivered to; empty texts: where the login starts.
        trusted: Fingerprint of a host key that an operator trusts beside the pinned ones; empty: none.
    """

    server: Server
    directories: tuple[str, ...] = ("",)
    trusted: str = ""


class PartnerChecks:
    """Connects, step by step.

    Args:
        target: What is examined.
        login: None: the secret could not be used.
        guard: Remembers refused logins.
        has_way_out: Returns the name of an address of AWS, and whether it answers; asked on a time-out only.
        timeouts: How long to wait for what.

    Attributes:
        profile: What the server has shown -> JSON value.
        connections: How many were made.
    """

    def __init__(
        self,
        target: Target,
        login: Credentials | None,
        *,
        guard: LoginGuard,
        has_way_out: Callable[[], tuple[str, bool]],
        timeouts: Timeouts = TIMEOUTS,
    ) -> None:
        self.profile: dict[str, Any] = {}
        self.connections = 0
        self._server = target.server
        self._target = target
        self._login = login
        self._guard = guard
        self._has_way_out = has_way_out
        self._timeouts = timeouts
        self._addresses: list[str] = []
        self._socket: socket.socket | None = None
        self._transport: Transport | None = None
        self._session: SftpSession | None = None

    def steps(self) -> list[tuple[str, Step]]:
        """Return the checks; each needs those before it."""
        return [
            ("name", self._look_up),
            ("connect", self._connect),
            ("handshake", self._shake_hands),
            ("host key", self._check_host_key),
            ("login", self._log_in),
            ("sftp", self._start_sftp),
            ("directory", self._look_at_directories),
        ]

    def write_steps(self) -> list[tuple[str, Step]]:
        """Return the checks that leave a file at the partner for a moment."""
        return [("write", self._write)]

    def measure_steps(self) -> list[tuple[str, Step]]:
        """Return the checks that find out what the server does. A refusal is no failure of them."""
        return [("measure", self._measure)]

    def close(self) -> None:
        """Close the connection."""
        for each in (self._transport, self._socket):
            if each is not None:
                with suppress(OSError, EOFError):
                    each.close()

    # Before the login.

    def _look_up(self) -> Finding | str:
        self._addresses = look_up(self._server)
        self.profile["addresses"] = self._addresses
        private = [each for each in self._addresses if connecting.is_private(each)]
        text = f"{self._server.host} is {', '.join(self._addresses)}"
        return f"{text} (private)" if private else text

    def _connect(self) -> Finding | str:
        started = time.monotonic()
        try:
            self._socket = self._open(self._addresses)
        except PartnerUnreachable as error:
            raise self._without_way_out(error) from None
        seconds = time.monotonic() - started
        here, there = self._socket.getsockname()[0], self._peer(self._socket)
        text = f"{self._server} ({there}) from {here}, {seconds * 1000:.0f} ms"
        refusing = self._refusing_addresses(there)
        if not refusing:
            return text
        return Finding(
            text=text,
            warning=f"other addresses of the name do not answer: {', '.join(refusing)}",
            advice="Ask the partner whether these are in use: a delivery that meets one first is late.",
        )

    def _peer(self, connected: socket.socket) -> str:
        try:
            return str(connected.getpeername()[0])
        except OSError:  # it was reset at once: the handshake says so
            return self._addresses[0]

    def _open(self, addresses: list[str], *, segment_bytes: int | None = None) -> socket.socket:
        self.connections += 1
        return open_socket(self._server, self._timeouts, addresses, segment_bytes=segment_bytes)

    def _without_way_out(self, error: PartnerUnreachable) -> PartnerError:
        if error.cause != connecting.NO_ANSWER.name:
            return error
        control, answers = self._has_way_out()
        if answers:
            error.reason += f" {control} answers: this function has a way out."
            return error
        return connecting.NO_WAY_OUT.error(PartnerUnreachable, server=self._server, control=control)

    def _refusing_addresses(self, used: str) -> list[str]:
        """Return those of the other addresses that accept no connection; each is closed at once."""
        others = [each for each in self._addresses if each != used][:_MOST_OTHER_ADDRESSES]
        refusing = []
        for address in others:
            try:
                open_socket(self._server, self._timeouts, [address]).close()
            except DeliveryError:
                refusing.append(address)
        return refusing

    def _shake_hands(self) -> Finding | str:
        sock = self._socket
        assert sock is not None  # noqa: S101 - an earlier check
        try:
            self._transport = self._with_trusted_key(sock)
        except PartnerUnreachable as error:
            seen = look_again(error, self._server, self._timeouts)
            self.connections += error.cause in handshake.HEARD_NOTHING
            raise self._with_small_packets(seen) from None
        return self._describe_handshake(self._transport)

    def _with_trusted_key(self, sock: socket.socket) -> Transport:
        """Shake hands; once more where an operator trusts a key of another type than the pinned ones.

        Raises:
            PartnerUnreachable, HostKeyRefused, TooManyConnections: See `shake_hands`.
        """
        try:
            return shake_hands(self._server, sock, self._timeouts)
        except HostKeyRefused as refused:
            self.connections += 1  # it has shown that key over another connection
            if refused.fingerprint != self._target.trusted:
                raise
            known = replace(self._server, host_keys=(*self._server.host_keys, refused.offered))
            return shake_hands(known, self._open(self._addresses), self._timeouts)

    def _with_small_packets(self, error: PartnerUnreachable) -> PartnerUnreachable:
        """Find out whether small packets get through where large ones seem to be lost."""
        if error.cause not in {handshake.PACKETS_LOST_OUT.name, handshake.PACKETS_LOST_IN.name}:
            return error
        try:
            sock = self._open(self._addresses, segment_bytes=_SMALL_SEGMENT_BYTES)
            shake_hands(self._server, sock, self._timeouts).close()
        except HostKeyRefused:
            pass  # it got that far
        except DeliveryError:
            error.reason += " Small packets do not help: more likely it hangs."
            return error
        error.reason += f" With packets of {_SMALL_SEGMENT_BYTES} bytes it works: it is the MTU."
        return error

    def _describe_handshake(self, transport: Transport) -> Finding | str:
        received, library = transport.received, _fields(transport)
        self.profile |= {
            "version": quoted(received.version),
            "key_exchange": library["kex"],
            "cipher": library["remote_cipher"],
            "mac": library["remote_mac"],
            "offered": {kind: list(names) for kind, names in received.offered.items()},
        }
        if received.before_version.strip():
            self.profile["text_before_version"] = quoted(received.before_version)
        seconds = received.version_seconds or 0.0
        text = f"{quoted(received.version)}; {library['kex']}, {library['remote_cipher']}"
        if seconds < _SLOW_GREETING_SECONDS:
            return text
        return Finding(
            text=text,
            warning=f"the greeting took {seconds:.0f} s",
            advice="The server looks up our name before it greets (sshd: UseDNS), or is overloaded.",
            to_partner=f"Your server {self._server} takes {seconds:.0f} s before it sends the SSH greeting. "
            "Does it wait for reverse DNS (sshd: UseDNS no)?",
        )

    def _check_host_key(self) -> Finding | str:
        transport = self._require_transport()
        key = transport.get_remote_server_key()
        shown = host_keys.fingerprint(key)
        self.profile["host_key"] = {"type": key.get_name(), "fingerprint": shown}
        if (until := host_keys.certified_until(key)) is not None:
            self.profile["host_certificate_until"] = until
        try:
            host_keys.check(key, self._server)
        except HostKeyRefused as refused:
            if refused.fingerprint != self._target.trusted:
                raise self._compared_with_other_nodes(refused) from None
            self._server = replace(self._server, host_keys=(*self._server.host_keys, refused.offered))
            return Finding(
                text=f"{shown} is not pinned",
                warning="an operator trusts it for now",
                advice=f"Deploy it as a pinned key: {refused.offered}",
            )
        return f"{shown} ({key.get_name()}) is pinned"

    def _compared_with_other_nodes(self, refused: HostKeyRefused) -> HostKeyRefused:
        """Find out whether the name leads to several servers, of which another has a pinned key."""
        if refused.cause != host_key.CHANGED.name:
            return refused
        rest = [*self._addresses[1:], *self._addresses[:1]]
        try:
            transport = shake_hands(self._server, self._open(rest), self._timeouts)
        except DeliveryError:
            return refused
        key = transport.get_remote_server_key()
        transport.close()
        try:
            host_keys.check(key, self._server)
        except HostKeyRefused:
            return refused
        seen = f"It showed {refused.fingerprint}, and then {host_keys.fingerprint(key)}."
        names = {"server": self._server, "line": refused.offered, "fingerprint": refused.fingerprint}
        return host_key.DIFFERS_PER_NODE.error(HostKeyRefused, seen, **names)

    # The login.

    def _log_in(self) -> Finding | str:
        transport = self._require_transport()
        if self._login is None:
            raise NotTriedError("(secret)")
        self._guard.require_untried(self._login)
        try:
            with closed_on_failure(transport, self._server):
                log_in_to(transport, self._server, self._login, self._timeouts)
        except PartnerError as error:
            self._guard.failed(error)
            raise
        finally:
            self._note_login(transport)
        self._guard.accepted()
        return f"user {quoted(self._login.username)!r} by {self._method(transport)}"

    def _note_login(self, transport: Transport) -> None:
        received = transport.received
        algorithms = _fields(transport).get("server_extensions", {}).get("server-sig-algs", b"")
        if algorithms:
            self.profile["signatures"] = decoded(algorithms).split(",")
        if received.banner.strip():
            self.profile["banner"] = quoted(received.banner)
        if received.methods:
            self.profile["methods"] = list(received.methods)

    def _method(self, transport: Transport) -> str:
        return " and ".join(transport.received.accepted_methods) or "none at all"

    def _start_sftp(self) -> Finding | str:
        transport = self._require_transport()
        self._session = session = open_session(transport, self._server, self._timeouts)
        self.profile["sftp"] = {"version": session.version, "extensions": session.extensions}
        self._note_host_keys(transport)
        words = [f"version {session.version}", f"{1000 * session.round_trip:.0f} ms"]
        words += ["replaces files in one step"] if session.renames_over_existing else []
        return ", ".join(words)

    def _note_host_keys(self, transport: Transport) -> None:
        """Note the keys that the server lists: one that is new will be shown some day."""
        keys = {_name(blob): host_keys.fingerprint_of(blob) for blob in transport.received.host_keys}
        if keys:
            self.profile["host_keys"] = keys

    def _look_at_directories(self) -> Finding | str:
        session = self._require_session()
        self.profile["home"] = home = session.wait_for(session.home())
        found = [look_at_directory(session, directory, home) for directory in self._target.directories]
        return _together(found)

    def _write(self) -> Finding | str:
        probe = WriteProbe(self._require_session(), str(self._server))
        try:
            found = [probe.run(directory) for directory in self._target.directories]
        finally:
            self.profile["write"] = probe.profile
        return _together(found)

    def _measure(self) -> Finding | str:
        measurement = Measurement(self._require_session())
        measured = measurement.run(self._target.directories, self._seen_so_far())
        self.profile["measured"] = measured.as_json()
        return described_measurement(measured, left=measurement.left)

    def _seen_so_far(self) -> MeasuredServer:
        """Return what the server has shown before files were asked for."""
        transport = self._require_transport()
        key = transport.get_remote_server_key()
        listed = [f"{_name(blob)} {base64.b64encode(blob).decode()}" for blob in transport.received.host_keys]
        return MeasuredServer(
            host=self._server.host,
            port=self._server.port,
            measured_at=utc_now(),
            identification=quoted(transport.received.version),
            algorithms=transport.received.offered,
            signatures=tuple(self.profile.get("signatures", ())),
            host_keys=tuple(listed or [host_keys.pasteable(key)]),
        )

    def _require_transport(self) -> Transport:
        assert self._transport is not None  # noqa: S101 - an earlier check
        return self._transport

    def _require_session(self) -> SftpSession:
        assert self._session is not None  # noqa: S101 - an earlier check
        return self._session


def _together(found: Sequence[Finding]) -> Finding:
    """Return findings of several directories as one; its advice is that of the first warning."""
    warned = [each for each in found if each.warning]
    first = warned[0] if warned else found[0]
    text, warning = ("; ".join(parts) for parts in ([e.text for e in found], [e.warning for e in warned]))
    return replace(first, text=text, warning=warning)


def _fields(transport: Transport) -> Mapping[str, Any]:
    """Return what paramiko keeps, and its stubs leave out."""
    # The first one of ours that the server has (RFC 4253, section 7.1).
    offered = transport.received.offered.get("key exchange", ())
    ours = transport.get_security_options().kex
    return {**vars(transport), "kex": next((name for name in ours if name in offered), "")}


def _name(blob: bytes) -> str:
    return blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("latin-1")
