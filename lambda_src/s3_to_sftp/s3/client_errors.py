"""What S3 and botocore raise when an object is read, as errors of this function."""

from collections.abc import Callable

from botocore.exceptions import ClientError

from s3_to_sftp.errors import (
    KeyNotUsable,
    ObjectAccessDenied,
    ObjectChanged,
    ObjectGone,
    ObjectNotReadable,
    ObjectReadError,
    ObjectReadInterrupted,
)
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.untrusted_text import quoted

HEAD_HAS_NO_BODY = frozenset({"400", "403"})
"""Statuses for which a HEAD has no reason, but a GET has."""


def status_of(error: ClientError) -> str:
    """Return the HTTP status."""
    return str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode"))


def error_of(error: ClientError, ref: ObjectRef) -> ObjectReadError:
    """Return the error for what S3 refuses: by its code, its words, and last by its HTTP status."""
    answer = error.response.get("Error", {})
    code, status = str(answer.get("Code", "")), status_of(error)
    sentence = quoted(answer.get("Message") or "")
    kind = _KINDS.get(code) or _kind_of_sentence(code, sentence) or _KINDS.get(status) or _OTHER
    # The response to a HEAD has no body: botocore then uses the HTTP status as the message.
    says_more = sentence and code != status
    return _error(kind, ref, f"{code}: {sentence}" if says_more else code or status)


def _kind_of_sentence(code: str, sentence: str) -> "_Kind | None":
    """Return the error class that only the message shows: several errors share one code."""
    if code == "InvalidRequest" and "Server Side Encryption" in sentence:
        return _CUSTOMER_KEY
    return _KEY if code.startswith("KMS.") else None


def changed(ref: ObjectRef, why: str) -> ObjectReadError:
    """Return the error for an object that is not the one of the event."""
    return _error(_CHANGED, ref, why)


def interrupted(ref: ObjectRef, reason: str) -> ObjectReadInterrupted:
    """Return the error for a body that ended early."""
    return ObjectReadInterrupted(
        f"S3 interrupted the response for {ref} ({reason}).", hint="It will be retried."
    )


def _error(kind: "_Kind", ref: ObjectRef, why: str) -> ObjectReadError:
    error, reason, hint = kind
    return error(f"{ref} {reason} ({why}).", hint=hint)


_Kind = tuple[Callable[..., ObjectReadError], str, str]

_GONE: _Kind = (
    ObjectGone,
    "is no longer in S3",
    "It was deleted after its event; put it again if the partner should have it.",
)
_CHANGED: _Kind = (
    ObjectChanged,
    "holds other bytes than its event says",
    "It was overwritten; the newer object has its own event.",
)
_DENIED: _Kind = (
    ObjectAccessDenied,
    "may not be read by the function",
    "Check the role's s3:GetObject and s3:GetObjectVersion, the bucket policy, and kms:Decrypt of its key. "
    "Without s3:ListBucket S3 also responds like this for a deleted object.",
)
_ARCHIVED: _Kind = (
    ObjectNotReadable,
    "is archived",
    "Restore it (aws s3api restore-object), then redrive the message; exclude archive storage classes from "
    "what is put here.",
)
_CUSTOMER_KEY: _Kind = (
    ObjectNotReadable,
    "is encrypted with a customer-provided key (SSE-C), which S3 does not store",
    "Put it again with SSE-S3 or SSE-KMS.",
)
_KEY: _Kind = (
    KeyNotUsable,
    "is encrypted with a KMS key that cannot be used",
    "Enable the key, or cancel its deletion; it will be retried.",
)
_CLOCK: _Kind = (
    ObjectReadInterrupted,
    "cannot be read from S3 now",
    "The clock of this execution environment was wrong. It will be retried.",
)
_OTHER: _Kind = (ObjectReadInterrupted, "cannot be read from S3 now", "It will be retried.")

_KINDS: dict[str, _Kind] = {
    "NoSuchKey": _GONE,
    "NoSuchVersion": _GONE,
    "NoSuchBucket": _GONE,
    "404": _GONE,
    "405": _GONE,  # the version is a delete marker
    "PreconditionFailed": _CHANGED,
    "412": _CHANGED,
    "InvalidObjectState": _ARCHIVED,
    "KMS.DisabledException": _KEY,
    "KMS.KMSInvalidStateException": _KEY,
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    # Credentials of the role are renewed: the next invocation has others.
    "ExpiredToken": _OTHER,
    "AccessDenied": _DENIED,
    "403": _DENIED,
}
