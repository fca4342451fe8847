"""`s3-to-sftp key --public`: the public key of the login, for the partner's authorized_keys."""

from dataclasses import dataclass
from typing import Any

import click
from botocore.exceptions import ClientError
from rich.console import Console

from s3_to_sftp.credentials import Credentials, parse_secret
from s3_to_sftp.errors import CredentialsError
from s3_to_sftp.ssh import host_keys
from s3_to_sftp.ssh.private_key import load_private_key
from s3_to_sftp_cli.aws import is_missing
from s3_to_sftp_cli.context import Context, shared_options
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.layout import printable

_STAGES = ("AWSCURRENT", "AWSPENDING", "AWSPREVIOUS")
_SHORTEST_ID, _LONGEST_ID = 32, 64
"""Characters of a VersionId (https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html)."""


@dataclass(frozen=True, kw_only=True)
class PublicKey:
    """The public half of the key that the function logs in with.

    Attributes:
        username: Login name.
        line: For authorized_keys.
        fingerprint: `SHA256:...`, as ssh-keygen prints it.
        bits: Size of the key.
        has_certificate: Whether the login uses a certificate of it.
        has_password: Whether the login has a password, too.
    """

    username: str
    line: str
    fingerprint: str
    bits: int
    has_certificate: bool
    has_password: bool


@click.command("key")
@click.option("--public", is_flag=True, help="The public key. The private one is never shown.")
@click.option(
    "--secret-version",
    default="AWSCURRENT",
    show_default=True,
    metavar="STAGE",
    help="Stage or id of the secret's version, such as AWSPENDING during a rotation.",
)
@shared_options
def key_command(context: Context, secret_version: str, *, public: bool) -> int:
    """Show the public key of the login, for the partner's authorized_keys."""
    if not public:
        raise CliError("Only the public key can be shown.", hint="Type `key --public`.", code=ExitCode.USAGE)
    key = _public_key(_credentials(context, secret_version), context.delivery.function)

    def show(console: Console) -> None:
        console.out(key.line, highlight=False)
        console.print(key.fingerprint)
        about = [f"{key.bits} bits", f"user {printable(key.username)}"]
        about += ["with a certificate"] if key.has_certificate else []
        about += ["and a password"] if key.has_password else []
        console.print(", ".join(about), markup=False)

    fields = {
        "public_key": key.line,
        "fingerprint": key.fingerprint,
        "bits": key.bits,
        "username": key.username,
        "certificate": key.has_certificate,
        "password": key.has_password,
        "secret_version": secret_version,
    }
    context.output.result("key", {"delivery": context.delivery.as_json(), **fields}, show)
    return ExitCode.OK


def _credentials(context: Context, version: str) -> Credentials:
    arn = context.delivery.secret_arn
    if arn is None:
        raise CliError(
            f"The login of {context.delivery.function} is in its environment: a password, and no key.",
            hint="Logins with a key need a secret (SSH_SECRET_ARN).",
            code=ExitCode.NOT_FOUND,
        )
    if version not in _STAGES and not _SHORTEST_ID <= len(version) <= _LONGEST_ID:
        raise CliError(
            f"{version!r} is neither a stage nor the id of a version.",
            hint=f"Stages: {', '.join(_STAGES)}. Ids: "
            f"`aws secretsmanager list-secret-version-ids --secret-id {arn}`",
            code=ExitCode.USAGE,
        )
    chosen = {"VersionStage": version} if version in _STAGES else {"VersionId": version}
    try:
        answer: dict[str, Any] = context.aws.client("secretsmanager").get_secret_value(SecretId=arn, **chosen)
    except ClientError as error:
        if not is_missing(error):
            raise
        raise CliError(
            f"There is no secret {arn} with a version {version}.",
            hint=f"`aws secretsmanager list-secret-version-ids --secret-id {arn}` lists its versions.",
            code=ExitCode.NOT_FOUND,
        ) from None
    text = answer.get("SecretString")
    try:
        return parse_secret(answer.get("SecretBinary") if text is None else text, name=arn)
    except CredentialsError as error:
        raise _as_cli_error(error) from None


def _public_key(login: Credentials, comment: str) -> PublicKey:
    if not login.private_key:
        raise CliError(
            f"The login of user {printable(login.username)!r} is a password: there is no key.",
            hint="For a login with a key, put one into the secret as 'private_key'.",
            code=ExitCode.NOT_FOUND,
        )
    try:
        key = load_private_key(login.private_key, passphrase=login.passphrase)
    except CredentialsError as error:
        raise _as_cli_error(error) from None
    return PublicKey(
        username=login.username,
        line=f"{host_keys.pasteable(key)} {comment}",
        fingerprint=host_keys.fingerprint(key),
        bits=key.get_bits(),
        has_certificate=bool(login.certificate),
        has_password=bool(login.password),
    )


def _as_cli_error(error: CredentialsError) -> CliError:
    return CliError(error.reason, hint=error.hint, code=ExitCode.CONFLICT)
