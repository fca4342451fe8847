"""The AWS account: clients, and what the errors of AWS mean to an operator."""

import functools
import getpass
import os
import re
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import (
    ConnectionError as EndpointError,
)

from s3_to_sftp_cli.errors import CliError, ExitCode

_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "KMSAccessDeniedException",
    "UnauthorizedOperation",
}
_BAD_CREDENTIALS = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
}
_NOT_NOW = re.compile(
    r"Throttl|TooManyRequests|RequestLimitExceeded|ThroughputExceeded|LimitExceededException|SlowDown"
    r"|ServiceUnavailable|InternalError|InternalFailure|InternalServer|ServiceException"
)
"""In the codes of what AWS is asked again for, as boto3 does a few times."""
_CLOCK = re.compile(r"request time and the current time|Signature (expired|not yet current)", re.IGNORECASE)
"""In the texts for a signature whose time is another one than AWS's."""
_UNUSABLE = (
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    CredentialRetrievalError,
    TokenRetrievalError,
)


@dataclass(frozen=True, kw_only=True)
class Aws:
    """An account and region.

    Attributes:
        profile: Of the configuration files; None: the default chain of credentials.
        region: None: as configured.
        endpoint_url: For a local AWS; None: AWS itself.
    """

    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None

    def client(self, service: str) -> Any:
        """Return a low-level client.

        Raises:
            CliError: There is no such profile, or no region.
        """
        try:
            return self._client(service)
        except (BotoCoreError, ValueError) as error:
            raise explained(error) from None

    def client_without_retries(self, service: str, *, read_timeout: float) -> Any:
        """Return a low-level client that sends each request once.

        Args:
            service: Its name.
            read_timeout: Seconds to wait for an answer.

        Raises:
            CliError: There is no such profile, or no region.
        """
        try:
            return self._client(service, read_timeout=read_timeout, attempts=1)
        except (BotoCoreError, ValueError) as error:
            raise explained(error) from None

    @functools.cache  # noqa: B019 - one Aws per process
    def _session(self) -> boto3.Session:
        """Return the one session: each reads the endpoints of all services anew."""
        # boto3 knows AWS_DEFAULT_REGION alone, the AWS CLI this one, too.
        region = self.region or os.environ.get("AWS_REGION") or None
        session = boto3.Session(profile_name=self.profile, region_name=region)
        _require_usable_credentials(session)
        return session

    @functools.cache  # noqa: B019 - one Aws per process
    def _client(self, service: str, *, read_timeout: float = 60, attempts: int = 3) -> Any:
        config = Config(
            connect_timeout=10,
            read_timeout=read_timeout,
            retries={"mode": "standard", "total_max_attempts": attempts},
        )
        if self.endpoint_url:
            config = config.merge(Config(s3={"addressing_style": "path"}))
        return self._session().client(  # type: ignore[call-overload]
            service, endpoint_url=self.endpoint_url, config=config
        )

    def caller(self) -> str:
        """Return who is asking: the ARN of the caller, or the login name where AWS does not tell."""
        try:
            arn: str = self.client("sts").get_caller_identity()["Arn"]
        except (ClientError, BotoCoreError):
            return f"{_login_name()}@{os.uname().nodename}"
        return arn


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def _require_usable_credentials(session: boto3.Session) -> None:
    """Get the credentials now: whatever a profile, a program or a file of them is at fault for, it is theirs.

    Raises:
        CliError: They cannot be had.
        ClientError, BotoCoreError: AWS refused, or did not answer.
    """
    try:
        credentials = session.get_credentials()
        if credentials is not None:  # else the first request says so
            credentials.get_frozen_credentials()
    except (EndpointError, HTTPClientError):
        raise
    except (BotoCoreError, OSError, ValueError) as error:
        raise _unusable(error) from None


def explained(error: Exception) -> CliError:
    """Return what an error of boto3 means, and what to do next."""
    if isinstance(error, CliError):
        return error
    if isinstance(error, ClientError):
        return _explained_answer(error)
    if isinstance(error, _UNUSABLE):
        return _unusable(error)
    if isinstance(error, ProfileNotFound):
        return CliError(
            f"{error}.", hint="`aws configure list-profiles` lists those that exist.", code=ExitCode.USAGE
        )
    if isinstance(error, NoRegionError):
        return CliError(
            "No region is configured.", hint="Name it with --region or AWS_REGION.", code=ExitCode.USAGE
        )
    if isinstance(error, InvalidRegionError):
        return CliError(f"{error}", hint="Check --region and AWS_REGION.", code=ExitCode.USAGE)
    if isinstance(error, ValueError) and not isinstance(error, BotoCoreError):
        return CliError(
            f"The address of an endpoint is none: {error}.",
            hint="Check --endpoint-url, AWS_ENDPOINT_URL, and those of single services.",
            code=ExitCode.USAGE,
        )
    if isinstance(error, HTTPClientError) and "Invalid header value" in str(error):
        # Not its text: it repeats the session token.
        return CliError(
            "The AWS credentials hold a line break or another character that none has.",
            hint="Copy them again: AWS_ACCESS_KEY_ID, AWS_SESSION_TOKEN, or the profile that has them.",
            code=ExitCode.DENIED,
        )
    if isinstance(error, EndpointError):
        return CliError(
            f"AWS cannot be reached: {error}.", hint="Check the network, --region and --endpoint-url."
        )
    return CliError(f"AWS did not answer as expected: {error}.", hint="Try again.")


def is_missing(error: ClientError) -> bool:
    """Return whether AWS says that what was named does not exist."""
    code = error.response["Error"].get("Code", "")
    missing = ("ResourceNotFound", "NoSuch", "NotFound", "404", "NonExistent", "QueueDoesNotExist")
    return any(part in code for part in missing)


def denied_action(error: Exception, service: str) -> str | None:
    """Return the IAM action that the caller lacks, as `sqs:GetQueueAttributes`; None: it is another error.

    Args:
        error: What boto3 raised.
        service: Prefix of the service's actions, for answers that do not name the action.
    """
    if not isinstance(error, ClientError):
        return None
    code = error.response["Error"].get("Code", "")
    is_refused = code in _DENIED or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 403
    if not is_refused or code in _BAD_CREDENTIALS:
        return None
    action = _action(error)
    return action if ":" in action else f"{service}:{action}"


def _explained_answer(error: ClientError) -> CliError:
    code = error.response["Error"].get("Code", "")
    text = error.response["Error"].get("Message", "") or code
    action = _action(error)
    if code in _DENIED or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 403:
        if code in _BAD_CREDENTIALS:
            return _bad_credentials(text)
        return CliError(
            f"The credentials lack the permission {action}: {text}",
            hint="docs/reference/cli.md lists the least policy of each command; "
            "`delivery.grant_status()` and `grant_operate()` grant it.",
            code=ExitCode.DENIED,
        )
    if code in _BAD_CREDENTIALS:
        return _bad_credentials(text)
    if _NOT_NOW.search(code) or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
        return CliError(f"AWS refused {action} for now: {code}: {text}", hint="Try again in a minute.")
    where = ExitCode.NOT_FOUND if is_missing(error) else ExitCode.FAILED
    return CliError(
        f"AWS refused {action}: {code}: {text}",
        hint="Check --region and the name of the delivery.",
        code=where,
    )


def _unusable(error: Exception) -> CliError:
    why = str(error)
    if isinstance(error, OSError) and error.filename:
        why = f"{error.filename}: {error.strerror}"
    return CliError(
        f"There are no usable AWS credentials: {why.rstrip(' .:')}.",
        hint="Log in (`aws sso login`), or name a profile with --profile.",
        code=ExitCode.DENIED,
    )


def _bad_credentials(text: str) -> CliError:
    if _CLOCK.search(text):
        return CliError(
            f"AWS does not accept requests of this machine's time: {text}",
            hint="Set its clock.",
            code=ExitCode.DENIED,
        )
    return CliError(
        f"AWS does not accept the credentials: {text}",
        hint="Log in again (`aws sso login`), or name another profile with --profile.",
        code=ExitCode.DENIED,
    )


def _action(error: ClientError) -> str:
    """Return the IAM action that the request needed, as far as the error tells."""
    marker = "not authorized to perform: "
    text = error.response["Error"].get("Message", "")
    if marker in text:
        return str(text.split(marker, 1)[1].split()[0])
    return str(error.operation_name)
