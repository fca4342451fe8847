"""Authentication: public key, password, keyboard-interactive, and servers that want two of them."""

import functools
from collections.abc import Callable

import paramiko

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.errors import ConnectionLost, LoginRefused
from s3_to_sftp.settings import Server
from s3_to_sftp.sftp.private_key import load_private_key

_INTERACTIVE = "keyboard-interactive"
_TIMED_OUT = "Authentication timeout."  # its text is all that paramiko gives to tell it from a refusal


def log_in(transport: paramiko.Transport, credentials: Credentials, server: Server) -> None:
    """Log in with what the credentials hold: the key first, then the password.

    A server that accepts the key but wants more gets the password as well. A password goes out as
    method `password`, or as the answer to the prompts where only keyboard-interactive is allowed.

    Raises:
        CredentialsError: The private key cannot be used.
        LoginRefused: The server does not accept the login.
        ConnectionLost: It does not answer.
    """
    key = None
    wanted: list[str] | None = None
    refused: list[str] = []

    def attempt(what: str, send: Callable[[], list[str]]) -> list[str] | None:
        """Return what the server wants besides: nothing when we are in, None when it said no."""
        try:
            return send()
        except paramiko.AuthenticationException as error:
            _insist_on_answer(transport, error, server)
            refused.append(what)
            return None

    if credentials.private_key:
        key = load_private_key(credentials.private_key, passphrase=credentials.passphrase)
        the_key = f"the {key.get_name()} key {key.fingerprint}"
        send_key = functools.partial(transport.auth_publickey, credentials.username, key)
        wanted = attempt(the_key, send_key)
        if wanted == []:
            return
    if credentials.password:
        wanted = attempt("the password", lambda: _send_password(transport, credentials, wanted))
        if wanted == []:
            return
        if wanted and key and "publickey" in wanted:  # the server wants the password first
            refused.clear()
            if attempt(the_key, send_key) == []:
                return
    if wanted and not refused:
        refused.append(f"this alone: it also wants {' or '.join(wanted)}")
    raise LoginRefused(
        f"{server} does not accept {' nor '.join(refused)} for user {credentials.username!r}.",
        hint="Check the secret against what the partner has on record.",
    )


def _send_password(
    transport: paramiko.Transport, credentials: Credentials, wanted: list[str] | None
) -> list[str]:
    """Send the password by the method that the server allows; return what it wants besides."""
    if wanted and "password" not in wanted and _INTERACTIVE in wanted:
        return _answer_prompts(transport, credentials)
    try:
        return transport.auth_password(credentials.username, credentials.password, fallback=False)
    except paramiko.BadAuthenticationType as error:
        if _INTERACTIVE not in error.allowed_types:
            raise
        return _answer_prompts(transport, credentials)


def _answer_prompts(transport: paramiko.Transport, credentials: Credentials) -> list[str]:
    def answer(_title: str, _instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
        # Servers ask once for the password, and may add a round without prompts to say something.
        return [credentials.password for _ in prompts]

    return transport.auth_interactive(credentials.username, answer)


def _insist_on_answer(
    transport: paramiko.Transport, error: paramiko.AuthenticationException, server: Server
) -> None:
    if str(error) == _TIMED_OUT:
        raise ConnectionLost(
            f"{server} did not answer the login in time.", hint="It is tried again."
        ) from None
    if not transport.is_active():
        raise LoginRefused(
            f"{server} closed the connection during the login ({error}).",
            hint="Check the secret, and whether the partner limits logins or allows only known addresses.",
        ) from None
