"""What S3 and botocore raise when an object is read, as errors of this function."""

from botocore.exceptions import ClientError

from s3_to_sftp.diagnosis import objects
from s3_to_sftp.errors import ObjectReadError
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.untrusted_text import quoted

HEAD_HAS_NO_BODY = frozenset({"400", "403"})
"""Statuses for which a HEAD has no reason, but a GET has."""


def status_of(error: ClientError) -> str:
    """Return the HTTP status."""
    return str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode"))


def error_of(error: ClientError, ref: ObjectRef) -> ObjectReadError:
    """Return the error for what S3 refuses."""
    answer = error.response.get("Error", {})
    code, status = str(answer.get("Code", "")), status_of(error)
    sentence = quoted(answer.get("Message") or "")
    cause = objects.cause_of(code, status, sentence)
    # The response to a HEAD has no body: botocore then uses the HTTP status as the message.
    says_more = sentence and code != status
    return objects.error_of(cause, about=ref, answer=f"{code}: {sentence}" if says_more else code or status)


def changed(ref: ObjectRef, why: str) -> ObjectReadError:
    """Return the error for an object that is not the one of the event."""
    return objects.error_of(objects.OVERWRITTEN, about=ref, answer=why)


def interrupted(ref: ObjectRef, reason: str) -> ObjectReadError:
    """Return the error for a body that ended early."""
    return objects.error_of(objects.INTERRUPTED, about=ref, answer=reason)


def unreachable(ref: ObjectRef, error: Exception) -> ObjectReadError:
    """Return the error for no answer, or one that cannot be understood."""
    answer = f"{type(error).__name__}: {quoted(error)}"
    return objects.error_of(objects.UNREACHABLE, about=ref, answer=answer)
