"""Reads versions of a secret from Secrets Manager, by stage."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from s3_to_sftp.errors import CredentialsError
from s3_to_sftp.untrusted_text import quoted

CURRENT = "AWSCURRENT"
PENDING = "AWSPENDING"
"""The version that a rotation is about to make current. Afterwards on AWSCURRENT itself, or nowhere."""
PREVIOUS = "AWSPREVIOUS"
"""The version that was AWSCURRENT before. Secrets Manager moves this stage by itself."""

_NONE_AT_STAGE = frozenset({"ResourceNotFoundException", "AccessDeniedException"})
"""Of a stage that no version has, and of one that a policy does not allow to read."""

_TRY_LATER = frozenset(
    {"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"}
)


class SecretUnreachable(Exception):
    """Secrets Manager gives no answer now, which says nothing about the secret.

    Attributes:
        error: What it means where there is no cached login.
    """

    def __init__(self, error: CredentialsError) -> None:
        super().__init__(error.reason)
        self.error = error


@dataclass(frozen=True, kw_only=True)
class SecretVersion:
    """What a version holds.

    Attributes:
        id: Its VersionId.
        created: In seconds since the epoch; 0 where that is not known.
        value: Its text or bytes; None where it is empty.
    """

    id: str
    created: float
    value: str | bytes | None = field(repr=False)


class SecretVersions:
    """The versions of one secret.

    Args:
        client: Secrets Manager client.
        secret_arn: Names the secret.
    """

    def __init__(self, client: Any, secret_arn: str) -> None:
        self._client = client
        self._secret_arn = secret_arn

    def read(self, stage: str, *, is_optional: bool = False) -> SecretVersion | None:
        """Return the version with this stage.

        Args:
            stage: AWSCURRENT, AWSPENDING or AWSPREVIOUS.
            is_optional: None is returned where no version has the stage, or the role may not read it.

        Raises:
            CredentialsError: The secret is gone or unusable, or the role may not read it.
            SecretUnreachable: No answer.
        """
        # Imported here: a plain Lambda has no secret.
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            # Also AWSCURRENT by its name: a policy may require one (`secretsmanager:VersionStage`).
            answer = self._client.get_secret_value(SecretId=self._secret_arn, VersionStage=stage)
        except BotoCoreError as error:
            raise SecretUnreachable(self._unreadable(error)) from None
        except ClientError as error:
            if is_optional and error.response.get("Error", {}).get("Code") in _NONE_AT_STAGE:
                return None
            unreadable = self._unreadable(error)
            if _passes(error.response):
                raise SecretUnreachable(unreadable) from None
            raise unreadable from None
        created, value = answer.get("CreatedDate"), answer.get("SecretString")
        return SecretVersion(
            id=answer.get("VersionId", ""),
            created=created.timestamp() if isinstance(created, datetime) else 0,
            value=answer.get("SecretBinary") if value is None else value,
        )

    def _unreadable(self, error: Exception) -> CredentialsError:
        return CredentialsError(
            f"The secret {self._secret_arn} cannot be read: {quoted(error)}.",
            hint="Check that it exists and that the function's role may read it (and use its KMS key).",
        )


def _passes(response: Any) -> bool:
    """Return whether an error answer says nothing about the secret or the role."""
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or response.get("Error", {}).get("Code") in _TRY_LATER
