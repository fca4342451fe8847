"""paramiko's transport with a faster packetizer, and without some waits."""

import socket
from typing import Any

import paramiko
from paramiko.common import cMSG_CHANNEL_REQUEST, cMSG_SERVICE_REQUEST

from s3_to_sftp.algorithm_rule import SHA1_SIGNATURE
from s3_to_sftp.ssh.algorithms import CERTIFICATE_SUFFIX
from s3_to_sftp.ssh.guarded_transport import GuardedTransport
from s3_to_sftp.ssh.packetizer import Packetizer
from s3_to_sftp.ssh.recording_transport import RecordingTransport
from s3_to_sftp.untrusted_text import decoded


class Transport(RecordingTransport, GuardedTransport):
    """Asks for the authentication service once, and does not wait for the answer.

    `paramiko.Transport` asks anew before each attempt. Strict servers hang up then: one that takes only
    keyboard-interactive, or a password after a refused key, could never be logged in to. paramiko's own
    `ServiceRequestingTransport` loses an answer that comes very fast (it makes the event that waits for it
    after the request is sent), and then reports a timeout.

    Not waiting saves a round trip: the server works through service request and first attempt in order, and
    may only accept the service or disconnect (RFC 4253, section 10).
    """

    def __init__(self, sock: socket.socket) -> None:
        self._service_asked_for = False
        self._kex_init_is_sent = False
        self.took_login = False
        """Whether the server has answered that it takes logins at all."""
        self.speaks_at_once = False
        """Whether our KEXINIT follows our identification without waiting for the server's (RFC 4253, section
        4.2). Set before the handshake, and only for servers that are known: others may be no SSH servers."""
        super().__init__(sock, packetizer_class=Packetizer)

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """What is offered for host keys. The library adds certificates, which it cannot verify with SHA-1."""
        unverifiable = f"{SHA1_SIGNATURE}{CERTIFICATE_SUFFIX}"
        return tuple(name for name in super().preferred_keys if name != unverifiable)

    @property
    def identification(self) -> str:
        """What the server is, in its own words (RFC 4253, section 4.2)."""
        line: Any = self.remote_version  # bytes, whatever the stubs say
        return decoded(line) if isinstance(line, bytes) else str(line)

    def _check_banner(self) -> None:
        if self.speaks_at_once:
            self._send_kex_init()
            self._kex_init_is_sent = True
        super()._check_banner()

    def _send_kex_init(self) -> None:
        # The library sends it once it has read the identification.
        was_sent, self._kex_init_is_sent = self._kex_init_is_sent, False
        if not was_sent:
            send: Any = super()._send_kex_init  # type: ignore[misc] # the stubs leave private methods out
            send()

    def limit_writes(self, seconds: float) -> None:
        """Let no write take longer."""
        self._packets.write_seconds = seconds

    @property
    def _packets(self) -> Packetizer:
        packetizer: Packetizer = vars(self)["packetizer"]  # the stubs leave it out
        return packetizer

    def _send_message(self, data: Any) -> None:
        send: Any = super()._send_message  # type: ignore[misc] # the stubs leave private methods out
        if self.is_authenticated() or not data.asbytes().startswith(cMSG_SERVICE_REQUEST):
            send(data)
            return
        handler: Any = self.auth_handler
        send_attempt = handler._parse_service_accept
        # Before the request goes out: the real answer may come at once, and would send the attempt a second
        # time. Go's servers hang up then.
        handler._parse_service_accept = self._note_service
        if not self._service_asked_for:
            self._service_asked_for = True
            send(data)
        send_attempt(_service_accepted())

    def _note_service(self, _answer: paramiko.Message) -> None:
        self.took_login = True


def _service_accepted() -> paramiko.Message:
    """What the server will answer, or has answered before: it makes the handler send its attempt."""
    answer = paramiko.Message()
    answer.add_string("ssh-userauth")
    answer.rewind()
    return answer


def request_subsystem(channel: paramiko.Channel, name: str) -> None:
    """Ask for a subsystem without waiting for the answer, which saves a round trip.

    When the server refuses, paramiko closes the channel, and the first read ends.
    """
    request = paramiko.Message()
    request.add_byte(cMSG_CHANNEL_REQUEST)
    request.add_int(channel.remote_chanid)
    request.add_string("subsystem")
    request.add_boolean(True)  # noqa: FBT003 - "want reply"; the name is paramiko's
    request.add_string(name)
    connection: Any = channel  # the stubs leave out what begins with an underscore
    connection._event_pending()
    connection.transport._send_user_message(request)
