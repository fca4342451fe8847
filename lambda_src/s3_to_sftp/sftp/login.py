"""Authentication: public key, password, keyboard-interactive, and servers that want two of them."""

import paramiko

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.errors import LoginRefused
from s3_to_sftp.settings import Server
from s3_to_sftp.sftp.private_key import load_private_key

_INTERACTIVE = "keyboard-interactive"


def log_in(transport: paramiko.Transport, credentials: Credentials, server: Server) -> None:
    """Log in with what the credentials hold: the key first, then the password.

    A server that accepts the key but wants more gets the password as well. A password goes out as
    method `password`, or as the answer to the prompts where only keyboard-interactive is allowed.

    Raises:
        CredentialsError: The private key cannot be used.
        LoginRefused: The server does not accept the login.
    """
    refused: list[str] = []
    wanted: list[str] | None = None
    if credentials.private_key:
        key = load_private_key(credentials.private_key, passphrase=credentials.passphrase)
        try:
            wanted = transport.auth_publickey(credentials.username, key)
        except paramiko.AuthenticationException as error:
            _insist_on_connection(transport, error, server)
            refused.append(f"the {key.get_name()} key {key.fingerprint}")
        if wanted == []:
            return
    if credentials.password:
        try:
            wanted = _send_password(transport, credentials, wanted)
        except paramiko.AuthenticationException as error:
            _insist_on_connection(transport, error, server)
            refused.append("the password")
        else:
            if not wanted:
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


def _insist_on_connection(
    transport: paramiko.Transport, error: paramiko.AuthenticationException, server: Server
) -> None:
    if not transport.is_active():
        raise LoginRefused(
            f"{server} closed the connection during the login ({error}).",
            hint="Check the secret, and whether the partner limits logins or allows only known addresses.",
        ) from None
