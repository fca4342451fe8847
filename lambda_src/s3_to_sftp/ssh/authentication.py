"""Authentication: public key, password, keyboard-interactive, and servers that want two of them."""

from typing import Any

import paramiko

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.errors import (
    LoginRefused,
    PartnerError,
    PartnerUnreachable,
    PasswordExpired,
    SecondFactorRequired,
    TooManyConnections,
)
from s3_to_sftp.server import Server
from s3_to_sftp.ssh.algorithms import signatures_of
from s3_to_sftp.ssh.auth_exchange import INTERACTIVE, PASSWORD, PUBLICKEY, Exchange, Reply, Verdict
from s3_to_sftp.ssh.certificates import add_certificate
from s3_to_sftp.ssh.private_key import load_private_key
from s3_to_sftp.ssh.prompts import Asked, says_expired
from s3_to_sftp.ssh.server_messages import RecordingTransport, quote
from s3_to_sftp.untrusted_text import decoded

_MOST_REQUESTS = 16
"""Of one login: it ends even if a server always asks for something else."""


def log_in(transport: RecordingTransport, credentials: Credentials, server: Server) -> None:
    """Log in with what the credentials hold: the key first, then the password.

    The server is asked which methods it takes: nothing is offered by another one. A server that accepts the
    key but wants more gets the password as well. A password goes out as method `password`, or as the answer
    to a prompt for it where only keyboard-interactive is allowed.

    Raises:
        CredentialsError: The private key cannot be used.
        LoginRefused: The server does not accept the login.
        TooManyConnections: It accepts no more logins now.
        PartnerUnreachable: It closes the connection before the login, or does not answer.
    """
    _Login(transport, credentials, server).run()


def _key_of(credentials: Credentials) -> paramiko.PKey | None:
    if not credentials.private_key:
        return None
    key = load_private_key(credentials.private_key, passphrase=credentials.passphrase)
    if credentials.certificate:
        add_certificate(key, credentials.certificate)
    return key


class _Login:
    def __init__(self, transport: RecordingTransport, credentials: Credentials, server: Server) -> None:
        self._transport = transport
        self._credentials = credentials
        self._server = server
        self._methods: tuple[str, ...] = ()
        self._given: set[str] = set()
        self._spent: set[str] = set()
        self._refused: list[str] = []
        self._key = _key_of(credentials)

    def run(self) -> None:
        reply = self._answer(self._exchange().none(self._credentials.username))
        for _ in range(_MOST_REQUESTS):
            if reply.verdict is Verdict.ACCEPTED:
                return
            self._methods = reply.methods
            method = self._next_method()
            if method is None:
                break
            reply = self._send(method)
        raise self._refusal()

    def _next_method(self) -> str | None:
        proofs = {
            PUBLICKEY: self._key is not None,
            PASSWORD: bool(self._credentials.password),
            INTERACTIVE: bool(self._credentials.password),
        }
        usable = (
            method
            for method, is_there in proofs.items()
            if is_there and method in self._methods and method not in self._spent
        )
        return next(usable, None)

    def _send(self, method: str) -> Reply:
        reply = self._send_key() if method == PUBLICKEY else self._send_password(method)
        if reply.verdict is Verdict.PARTIAL:
            # What was refused may have come too early: some want the password before the key.
            self._given.add(method)
            self._spent, self._refused = set(self._given), []
        else:
            # The same password is not sent by another method: partners lock accounts.
            self._spent |= {PUBLICKEY} if method == PUBLICKEY else {PASSWORD, INTERACTIVE}
        return reply

    def _send_key(self) -> Reply:
        key = self._key
        assert key is not None  # noqa: S101 - for the type checker: the method is chosen only with a key
        certificate = getattr(key, "public_blob", None)  # not every kind of key has the field
        name = certificate.key_type if certificate else key.get_name()
        reply = Reply(Verdict.REFUSED, self._methods)
        accepted = self._accepted_signatures()
        # Without server-sig-algs only a refusal tells that a server does not accept SHA-512 (RFC 8332, 3.3).
        algorithms = signatures_of(name, accepted=accepted)
        for algorithm in algorithms:
            reply = self._answer(self._exchange().key(self._credentials.username, key, algorithm))
            if reply.verdict is not Verdict.REFUSED or PUBLICKEY not in reply.methods:
                break
        of_what = "the certificate of " if certificate else ""
        stated = quote(", ".join(accepted).encode("latin-1"))
        why = "" if algorithms else f" (not sent: the server takes signatures by {stated} alone)"
        self._note(reply, f"{of_what}the {key.get_name()} key {key.fingerprint}{why}")
        return reply

    def _send_password(self, method: str) -> Reply:
        exchange, username = self._exchange(), self._credentials.username
        send = exchange.password_of if method == PASSWORD else exchange.prompts
        reply = self._answer(send(username))
        self._note(reply, "the password")
        return reply

    def _note(self, reply: Reply, what: str) -> None:
        if reply.verdict is Verdict.REFUSED:
            self._refused.append(what)

    def _exchange(self) -> Exchange:
        names = (self._credentials.username, self._server.host)
        return Exchange(self._transport, password=self._credentials.password, names=names)

    def _accepted_signatures(self) -> tuple[str, ...]:
        library: Any = self._transport  # the stubs leave the field out
        stated: bytes = library.server_extensions.get("server-sig-algs", b"")
        return tuple(filter(None, stated.decode("latin-1").split(",")))

    def _answer(self, reply: Reply) -> Reply:
        """Return the reply if it is an answer, or raise what it means that there is none."""
        if reply.verdict is Verdict.ASKED_FOR_MORE:
            raise self._unanswerable(reply)
        if reply.verdict is Verdict.SILENCE:
            raise PartnerUnreachable(
                f"{self._server} did not answer the login in time.{self._transport.received.last_words}",
                hint="It will be retried; ask the partner if it persists.",
            )
        if reply.verdict is Verdict.CLOSED:
            raise self._closed()
        return reply

    def _unanswerable(self, reply: Reply) -> LoginRefused:
        prompt = quote(reply.said)
        asks = f"{self._server} asks user {self._credentials.username!r} {prompt}"
        if reply.asked is Asked.NEW_PASSWORD:
            return self._expired(f"{asks}: the password has expired.")
        if reply.asked is Asked.CODE:
            return SecondFactorRequired(
                f"{asks}: a second factor, which was not answered.",
                hint="Ask the partner for an account without a second factor, or to accept a key.",
            )
        return LoginRefused(
            f"{asks}, which is not a question for the current password: it was not answered.",
            hint="Ask the partner for an account that logs in with a key or a password alone.",
        )

    def _expired(self, reason: str) -> PasswordExpired:
        return PasswordExpired(
            reason,
            hint="Get a new password from the partner, or set one with an SSH client; fill the secret.",
        )

    def _closed(self) -> Exception:
        received = self._transport.received
        error: Exception | None = self._transport.get_exception()
        if received.is_about_too_many():
            return self._too_many()
        if received.goodbye is None and error is not None and not isinstance(error, EOFError):
            return error  # no answer, but a broken connection
        if not self._methods:  # nothing was sent that could be wrong
            return PartnerUnreachable(
                f"{self._server} closed the connection before the login.{received.last_words}",
                hint="Ask the partner whether it limits logins or allows only known addresses. It will be "
                "retried.",
            )
        return LoginRefused(
            f"{self._server} closed the connection during the login.{received.last_words}",
            hint="Check the secret, and whether the partner limits logins or allows only known addresses.",
        )

    def _too_many(self) -> TooManyConnections:
        return TooManyConnections(
            f"{self._server} accepts no more logins now.{self._transport.received.last_words}",
            hint="Lower max_connections, or ask the partner to allow more. It will be retried.",
        )

    def _refusal(self) -> PartnerError:
        received, user = self._transport.received, self._credentials.username
        if received.is_about_too_many(banner=False):
            return self._too_many()
        offers = f" It offers {quote(', '.join(self._methods).encode('latin-1'))}.{received.last_words}"
        if says_expired(decoded(received.banner)) and "the password" in self._refused:
            return self._expired(f"{self._server} refused the password of user {user!r}.{offers}")
        if self._refused:
            return LoginRefused(
                f"{self._server} does not accept {' nor '.join(self._refused)} for user {user!r}.{offers}",
                hint=f"Check the secret against what the partner has on record.{self._blanks()}",
            )
        if self._given:
            return LoginRefused(
                f"{self._server} does not let user {user!r} in by {' and '.join(sorted(self._given))} alone: "
                f"it also wants {' or '.join(self._methods)}.{received.last_words}",
                hint="Put what it wants into the secret, or ask the partner for an account without that.",
            )
        return LoginRefused(
            f"{self._server} takes no login by {self._held()} from user {user!r}: nothing was sent.{offers}",
            hint="Put what it offers into the secret, or ask the partner to allow what the secret holds.",
        )

    def _blanks(self) -> str:
        """A hint at what is invisible in a secret."""
        password = self._credentials.password
        return (
            " The password begins or ends with a blank or a line break."
            if password != password.strip()
            else ""
        )

    def _held(self) -> str:
        """What the secret holds."""
        held = ["key"] if self._key else []
        return " or ".join([*held, "password"] if self._credentials.password else held)
