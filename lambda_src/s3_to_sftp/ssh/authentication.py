"""Authentication: public key, password, keyboard-interactive, and servers that want two of them."""

from collections.abc import Iterator
from typing import Any, TypeVar

import paramiko

from s3_to_sftp.algorithm_rule import SHA1_SIGNATURE
from s3_to_sftp.credentials import Credentials
from s3_to_sftp.diagnosis import login
from s3_to_sftp.diagnosis.cause import Cause
from s3_to_sftp.diagnosis.server_messages import quote
from s3_to_sftp.errors import (
    CredentialsError,
    DeliveryError,
    LoginRefused,
    PartnerError,
    PartnerUnreachable,
    PasswordExpired,
    SecondFactorRequired,
    TooManyConnections,
)
from s3_to_sftp.known_server import KnownServer
from s3_to_sftp.server import Server
from s3_to_sftp.ssh.algorithms import signatures_of
from s3_to_sftp.ssh.auth_exchange import INTERACTIVE, PASSWORD, PUBLICKEY, Exchange, Reply, Verdict
from s3_to_sftp.ssh.certificates import add_certificate
from s3_to_sftp.ssh.host_keys import pasteable
from s3_to_sftp.ssh.private_key import load_private_key
from s3_to_sftp.ssh.prompts import Asked, says_expired
from s3_to_sftp.ssh.recording_transport import RecordingTransport
from s3_to_sftp.ssh.sha1 import Sha1Key
from s3_to_sftp.untrusted_text import decoded, quoted

E = TypeVar("E", bound=DeliveryError)

_MOST_REQUESTS = 16
"""Of one login: it ends even if a server always asks for something else."""


def log_in(
    transport: RecordingTransport, credentials: Credentials, server: Server, known: KnownServer | None = None
) -> None:
    """Log in with what the credentials hold: the key first, then the password.

    The server is asked which methods it takes, unless it is known: nothing is offered by another one. One
    that accepts the key but wants more gets the password as well. A password goes out as method `password`,
    or as the answer to a prompt for it where only keyboard-interactive is allowed.

    Raises:
        CredentialsError: The private key cannot be used.
        LoginRefused: The server does not accept the login.
        TooManyConnections: It accepts no more logins now.
        PartnerUnreachable: It closes the connection before the login, or does not answer.
    """
    _Login(transport, credentials, server, known).run()


def private_key_of(credentials: Credentials) -> paramiko.PKey | None:
    """Return the private key of a login, with its certificate; None: it has none.

    Raises:
        CredentialsError: It cannot be used.
    """
    if not credentials.private_key:
        return None
    key = load_private_key(credentials.private_key, passphrase=credentials.passphrase)
    if credentials.certificate:
        add_certificate(key, credentials.certificate)
    return key


def _algorithm_name(key: paramiko.PKey) -> str:
    certificate = getattr(key, "public_blob", None)  # not every kind of key has the field
    return str(certificate.key_type) if certificate else key.get_name()


def _require_permitted(key: paramiko.PKey | None, server: Server) -> None:
    """Refuse a key of ours that the partner's rule forbids, before the server is asked for anything.

    Raises:
        CredentialsError: It is forbidden.
    """
    if key is not None and not signatures_of(_algorithm_name(key), accepted=(), rule=server.algorithms):
        raise CredentialsError(
            f"The private key of the login is of type {_algorithm_name(key)}, which SSH_ALGORITHMS "
            f"({server.algorithms}) does not allow.",
            hint="Put an ECDSA or RSA key into the secret, and send the partner its public key.",
        )


class _Login:
    def __init__(
        self,
        transport: RecordingTransport,
        credentials: Credentials,
        server: Server,
        known: KnownServer | None,
    ) -> None:
        self._transport = transport
        self._known = known
        self._credentials = credentials
        self._server = server
        self._methods: tuple[str, ...] = ()
        self._given: set[str] = set()
        self._spent: set[str] = set()
        self._refused: dict[str, str] = {}  # method -> what was sent, in words
        self._key = private_key_of(credentials)
        _require_permitted(self._key, server)

    def run(self) -> None:
        reply = self._first()
        for _ in range(_MOST_REQUESTS):
            if reply.verdict is Verdict.ACCEPTED:
                return
            self._methods = reply.methods
            received = self._transport.received
            received.methods = received.methods or reply.methods
            method = self._next_method()
            if method is None:
                break
            reply = self._send(method)
        raise self._refusal()

    def _first(self) -> Reply:
        """Ask which methods there are, or begin with the one by which this server has let us in before."""
        if self._known is not None:
            self._methods = (self._known.method,)
            method = self._next_method()
            if method is not None:
                return self._send_unasked(method)
            self._methods = ()
        return self._answer(self._exchange().none(self._credentials.username))

    def _send_unasked(self, method: str) -> Reply:
        reply = self._send(method)
        is_gone = reply.verdict is Verdict.REFUSED and method not in reply.methods
        if is_gone and not self._may_be_used_up(method):
            # It was the method, which it no longer takes, not the login.
            self._spent, self._refused = set(), {}
        return reply

    def _may_be_used_up(self, method: str) -> bool:
        """Return whether the server may list a method no longer because this was its only try.

        Then the same password must not be sent by the other one, if that was offered before, too.
        """
        others = {PASSWORD, INTERACTIVE} - {method}
        offered = self._known.offered if self._known is not None else ()
        return method != PUBLICKEY and not others.isdisjoint(offered)

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
        if reply.verdict in {Verdict.ACCEPTED, Verdict.PARTIAL}:
            self._transport.received.accepted_methods += (method,)
        if reply.verdict is Verdict.PARTIAL:
            # What was refused may have come too early: some want the password before the key.
            self._given.add(method)
            self._spent, self._refused = set(self._given), {}
        else:
            # The same password is not sent by another method: partners lock accounts.
            self._spent |= {PUBLICKEY} if method == PUBLICKEY else {PASSWORD, INTERACTIVE}
        return reply

    def _send_key(self) -> Reply:
        key = self._key
        assert key is not None  # noqa: S101 - for the type checker: the method is chosen only with a key
        reply = Reply(Verdict.REFUSED, self._methods)
        accepted = self._accepted_signatures()
        # Without server-sig-algs only a refusal tells that a server does not accept SHA-512 (RFC 8332, 3.3).
        algorithm = ""
        for algorithm in self._signatures_to_try(key):
            signer = Sha1Key.of(key) if algorithm == SHA1_SIGNATURE else key
            reply = self._answer(self._exchange().key(self._credentials.username, signer, algorithm))
            self._transport.received.accepted_signature = algorithm
            if reply.verdict is not Verdict.REFUSED or PUBLICKEY not in reply.methods:
                break
        of_what = "the certificate of " if getattr(key, "public_blob", None) else ""
        why = ""
        if not algorithm:  # quoted only then: removing secrets from a text takes a fresh function long
            stated = quote(", ".join(accepted).encode("latin-1"))
            why = f" (not sent: the server takes signatures by {stated} alone)"
        self._note(reply, PUBLICKEY, f"{of_what}the {key.get_name()} key {key.fingerprint}{why}")
        return reply

    def _send_password(self, method: str) -> Reply:
        exchange, username = self._exchange(), self._credentials.username
        send = exchange.password_of if method == PASSWORD else exchange.prompts
        reply = self._answer(send(username))
        self._note(reply, PASSWORD, "the password")
        return reply

    def _note(self, reply: Reply, method: str, what: str) -> None:
        if reply.verdict is Verdict.REFUSED:
            self._refused[method] = what

    def _exchange(self) -> Exchange:
        names = (self._credentials.username, self._server.host)
        return Exchange(self._transport, password=self._credentials.password, names=names)

    def _signatures(self, key: paramiko.PKey) -> tuple[str, ...]:
        return signatures_of(
            _algorithm_name(key),
            accepted=self._accepted_signatures(),
            rule=self._server.algorithms,
            is_old=self._transport.signs_with_sha1_alone,
        )

    def _signatures_to_try(self, key: paramiko.PKey) -> Iterator[str]:
        """Yield signature algorithms; first the one by which a known server has taken a key of ours.

        It may not have told yet which it takes: that is read when its refusal has come.
        """
        usable = signatures_of(_algorithm_name(key), accepted=(), rule=self._server.algorithms)
        known = [name for name in usable if self._known is not None and name == self._known.signature]
        yield from known
        yield from (name for name in self._signatures(key) if name not in known)

    def _accepted_signatures(self) -> tuple[str, ...]:
        library: Any = self._transport  # the stubs leave the field out
        stated: bytes = library.server_extensions.get("server-sig-algs", b"")
        return tuple(filter(None, stated.decode("latin-1").split(",")))

    def _answer(self, reply: Reply) -> Reply:
        """Return the reply if it is an answer, or raise what it means that there is none."""
        if reply.verdict is Verdict.ASKED_FOR_MORE:
            raise self._unanswerable(reply)
        if reply.verdict is Verdict.SILENCE:
            raise self._error(login.NO_ANSWER_TO_LOGIN, PartnerUnreachable)
        if reply.verdict is Verdict.CLOSED:
            raise self._closed()
        return reply

    def _error(self, cause: Cause, kind: type[E], seen: str | None = None, **names: object) -> E:
        """Return an error of this login; behind the cause stands what the server said last."""
        seen = self._transport.received.last_words if seen is None else seen
        # In a secret of two equal fields it is the password, too.
        user = quoted(self._credentials.username)
        return cause.error(kind, seen, server=self._server, user=user, **names)

    def _unanswerable(self, reply: Reply) -> LoginRefused:
        prompt = quote(reply.said)
        if reply.asked is Asked.NEW_PASSWORD:
            return self._error(login.PASSWORD_EXPIRED, PasswordExpired, f"It asks {prompt}.")
        if reply.asked is Asked.CODE:
            return self._error(login.SECOND_FACTOR, SecondFactorRequired, "", prompt=prompt)
        return self._error(login.OTHER_PROMPT, LoginRefused, "", prompt=prompt)

    def _closed(self) -> Exception:
        received = self._transport.received
        error: Exception | None = self._transport.get_exception()
        if received.is_about_too_many():
            return self._error(login.TOO_MANY_LOGINS, TooManyConnections)
        if received.goodbye is None and error is not None and not isinstance(error, EOFError):
            return error  # no answer, but a broken connection
        said = received.goodbye[1] if received.goodbye else b""
        if not self._methods:  # nothing was sent that could be wrong
            return self._error(login.cause_before_login(said), PartnerUnreachable)
        return self._error(login.cause_of_goodbye(said) or login.CLOSED_DURING_LOGIN, LoginRefused)

    def _refusal(self) -> PartnerError:
        received = self._transport.received
        if received.is_about_too_many():
            return self._error(login.TOO_MANY_LOGINS, TooManyConnections)
        methods = quote(", ".join(self._methods).encode("latin-1")) if self._methods else "no method at all"
        offers = f"It offers {methods}.{received.last_words}"
        if says_expired(decoded(received.banner)) and PASSWORD in self._refused:
            return self._error(login.PASSWORD_EXPIRED, PasswordExpired, offers)
        if self._refused:
            return self._refused_by(offers)
        if self._given:
            given = " and ".join(sorted(self._given))
            wanted = " or ".join(self._methods)
            return self._error(login.BOTH_NEEDED, LoginRefused, given=given, methods=quoted(wanted))
        return self._error(login.METHOD_NOT_OFFERED, LoginRefused, held=self._held(), methods=methods)

    def _refused_by(self, offers: str) -> LoginRefused:
        """Return the error for what was sent and refused."""
        what, key = " nor ".join(self._refused.values()), self._key
        if PUBLICKEY not in self._refused or key is None:
            return self._error(login.PASSWORD_REFUSED, LoginRefused, offers, what=what, blanks=self._blanks())
        accepted = self._accepted_signatures()
        if not self._signatures(key) and len(self._refused) == 1:
            stated = quote(", ".join(accepted).encode("latin-1"))
            return self._error(login.KEY_TYPE_REFUSED, LoginRefused, offers, what=what, accepted=stated)
        return self._error(login.KEY_REFUSED, LoginRefused, offers, what=what, public_key=pasteable(key))

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
