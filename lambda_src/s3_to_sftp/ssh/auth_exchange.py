"""One authentication request and its answer (RFC 4252, RFC 4256), as `login` needs it.

paramiko's own handler forgets the methods that a refusal lists, takes the request for a new password (message
60) for a broken connection, and decodes what a server says as UTF-8 alone.
"""

import threading
import time
from dataclasses import dataclass
from enum import Enum
from typing import Any

import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.common import cMSG_USERAUTH_INFO_RESPONSE

from s3_to_sftp.ssh.prompts import Asked, asked_for
from s3_to_sftp.ssh.recording_transport import RecordingTransport
from s3_to_sftp.untrusted_text import decoded

_MOST_ROUNDS = 16
_MOST_PROMPTS = 16
_KEPT_BYTES = 4096
_EMPTY_STRING_BYTES = 4

PUBLICKEY = "publickey"
PASSWORD = "password"  # noqa: S105 - the name of a method
INTERACTIVE = "keyboard-interactive"


class Verdict(Enum):
    """The result of a request."""

    ACCEPTED = "accepted"
    PARTIAL = "partial"
    """Accepted, and more is wanted."""
    REFUSED = "refused"
    ASKED_FOR_MORE = "asked for more"
    """For what we do not answer."""
    CLOSED = "closed"
    SILENCE = "silence"


@dataclass(frozen=True)
class Reply:
    """What the server answered.

    Attributes:
        verdict: In short.
        methods: Those that can continue, where the verdict is PARTIAL or REFUSED.
        asked: For what, where it asked for more.
        said: The prompts.
    """

    verdict: Verdict
    methods: tuple[str, ...] = ()
    asked: Asked = Asked.NOTHING
    said: bytes = b""


class Exchange(AuthHandler):
    """Sends one request. What comes in is handled by the transport's thread."""

    def __init__(
        self, transport: RecordingTransport, *, password: str = "", names: tuple[str, ...] = ()
    ) -> None:
        super().__init__(transport)
        self._password = password
        self._names = names
        self._reply: Reply | None = None
        self._algorithm = ""
        self._said = b""
        self._answered = False
        self._rounds = 0

    def none(self, username: str) -> Reply:
        """Ask which methods there are; this is no failed attempt anywhere (RFC 4252, section 5.2)."""
        return self._send(lambda event: self.auth_none(username, event))

    def key(self, username: str, key: paramiko.PKey, algorithm: str) -> Reply:
        """Offer a key, signed with this algorithm."""
        self._algorithm = algorithm
        return self._send(lambda event: self.auth_publickey(username, key, event))

    def password_of(self, username: str) -> Reply:
        """Send the password by the method of this name."""
        return self._send(lambda event: self.auth_password(username, self._password, event))

    def prompts(self, username: str) -> Reply:
        """Answer a prompt with the password, if it asks for that."""
        return self._send(lambda event: self.auth_interactive(username, lambda *_: [], event))

    def _send(self, request: Any) -> Reply:
        transport, event = self.transport, threading.Event()
        transport.auth_handler = self
        deadline = time.monotonic() + transport.auth_timeout
        try:
            if not transport.is_active():
                return Reply(Verdict.CLOSED)
            request(event)
            # The transport's thread sets the event when it ends, too.
            while not event.wait(0.1) and transport.is_active() and time.monotonic() < deadline:
                pass
        except (OSError, EOFError):
            return self._reply or Reply(Verdict.CLOSED)
        silent = transport.is_active() and not event.is_set()
        return self._reply or Reply(Verdict.SILENCE if silent else Verdict.CLOSED)

    @property
    def _listening(self) -> Any:
        return self.transport  # a weak proxy, of which the stubs know the base alone

    # Called by paramiko.

    def _finalize_pubkey_algorithm(self, _key_type: str) -> str:
        return self._algorithm

    def _parse_userauth_success(self, message: paramiko.Message) -> None:
        self._reply = Reply(Verdict.ACCEPTED)
        succeed: Any = super()._parse_userauth_success  # type: ignore[misc]  # the stubs leave it out
        succeed(message)

    def _parse_userauth_failure(self, message: paramiko.Message) -> None:
        names = message.get_string()[:_KEPT_BYTES].decode("latin-1")
        verdict = Verdict.PARTIAL if message.get_boolean() else Verdict.REFUSED
        methods = tuple(name for name in names.split(",") if name)
        self._over(Reply(verdict, methods))

    def _parse_userauth_banner(self, message: paramiko.Message) -> None:
        self._listening.received.banner = message.get_string()[:_KEPT_BYTES]

    def _parse_userauth_info_request(self, message: paramiko.Message) -> None:
        # The number 60 means something else for each method.
        if self.auth_method == PASSWORD:
            if len(message.get_remainder()) < _EMPTY_STRING_BYTES:
                raise paramiko.SSHException("it answered the password with an incomplete message")
            prompt = message.get_string()[:_KEPT_BYTES]
            self._over(Reply(Verdict.ASKED_FOR_MORE, asked=Asked.NEW_PASSWORD, said=prompt))
        elif self.auth_method == INTERACTIVE:
            self._answer(message)
        else:
            raise paramiko.SSHException("it answered with message 60, which nothing asked for")

    def _answer(self, message: paramiko.Message) -> None:
        self._rounds += 1
        about = [message.get_string(), message.get_string()]
        message.get_string()  # a language
        count = message.get_int()
        if count > _MOST_PROMPTS or self._rounds > _MOST_ROUNDS:
            raise paramiko.SSHException("it asks without end")
        prompts = []
        for _ in range(count):
            prompts.append(message.get_string()[:_KEPT_BYTES])
            message.get_boolean()  # whether the answer may be seen
        self._said = b" ".join(filter(None, [self._said, *about, *prompts]))[-_KEPT_BYTES:]
        asked = asked_for(
            [decoded(prompt) for prompt in prompts],
            said=decoded(self._said),
            answered=self._answered,
            names=self._names,
        )
        if asked in {Asked.NOTHING, Asked.PASSWORD}:
            self._respond([self._password] if asked is Asked.PASSWORD else [])
            self._answered = self._answered or asked is Asked.PASSWORD
        else:
            self._over(Reply(Verdict.ASKED_FOR_MORE, asked=asked, said=b" ".join(prompts)))

    def _respond(self, answers: list[str]) -> None:
        response = paramiko.Message()
        response.add_byte(cMSG_USERAUTH_INFO_RESPONSE)
        response.add_int(len(answers))
        for answer in answers:
            response.add_string(answer)
        self._listening._send_message(response)

    def _over(self, reply: Reply) -> None:
        self.authenticated = False
        self._reply = reply
        if self.auth_event is not None:
            self.auth_event.set()
