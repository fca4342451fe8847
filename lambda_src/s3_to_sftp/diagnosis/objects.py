"""An object that cannot be read from S3."""

from s3_to_sftp.diagnosis.cause import Cause
from s3_to_sftp.errors import (
    KeyNotUsable,
    ObjectAccessDenied,
    ObjectChanged,
    ObjectGone,
    ObjectNotReadable,
    ObjectReadError,
    ObjectReadInterrupted,
)

DELETED = Cause(
    name="object-deleted",
    sign="404 NoSuchKey or NoSuchVersion, 405: the version is a delete marker.",
    summary="{object} is no longer in S3 ({answer}).",
    advice="It was deleted after its event; put it again if the partner should have it.",
)
BUCKET_MISSING = Cause(
    name="bucket-missing",
    sign="404 NoSuchBucket.",
    summary="{object} is no longer in S3: its bucket does not exist ({answer}).",
    advice="The bucket was deleted after the event, or the event names another one; put the object again.",
)
OVERWRITTEN = Cause(
    name="object-overwritten",
    sign="412 PreconditionFailed, or another ETag or VersionId than that of the event.",
    summary="{object} holds other bytes than its event says ({answer}).",
    advice="It was overwritten; the newer object has its own event.",
)
DENIED = Cause(
    name="iam-denied",
    sign="403 AccessDenied; AWS's message names the principal and the action.",
    summary="{object} may not be read by the function ({answer}).",
    advice="Check the role's s3:GetObject and s3:GetObjectVersion, and the bucket policy; where AWS's "
    "message names another policy (an explicit deny, a VPC endpoint, an SCP), that one. Without "
    "s3:ListBucket S3 also responds like this for a deleted object. Then redrive the message.",
)
KMS_DENIED = Cause(
    name="kms-denied",
    sign="403 AccessDenied with kms:Decrypt in AWS's message.",
    summary="{object} may not be decrypted by the function ({answer}).",
    advice="Allow kms:Decrypt to the function's role, in the policy of the key and, for a key of another "
    "account, in the role as well; pass the key as encryption key of the source. Then redrive the message.",
)
KEY_UNUSABLE = Cause(
    name="kms-key-disabled",
    sign="400 KMS.DisabledException or KMS.KMSInvalidStateException.",
    summary="{object} is encrypted with a KMS key that cannot be used ({answer}).",
    advice="Enable the key, or cancel its deletion; it will be retried.",
)
ARCHIVED = Cause(
    name="object-archived",
    sign="403 InvalidObjectState.",
    summary="{object} is archived ({answer}).",
    advice="Restore it (aws s3api restore-object), then redrive the message; exclude archive storage classes "
    "from what is put here. The function's role is not the cause.",
)
CUSTOMER_KEY = Cause(
    name="customer-provided-key",
    sign="400 InvalidRequest with the words `Server Side Encryption`.",
    summary="{object} is encrypted with a customer-provided key (SSE-C), which S3 does not store ({answer}).",
    advice="Put it again with SSE-S3 or SSE-KMS.",
)
CLOCK_SKEW = Cause(
    name="clock-skew",
    sign="403 RequestTimeTooSkewed or RequestExpired.",
    summary="{object} cannot be read from S3 now: the clock of this execution environment is wrong "
    "({answer}).",
    advice="The clock of an environment that was frozen may be behind. It will be retried. The function's "
    "role is not the cause.",
)
REFUSED = Cause(
    name="s3-refuses",
    sign="Another error of S3: SlowDown, InternalError, ExpiredToken ...",
    summary="{object} cannot be read from S3 now ({answer}).",
    advice="It will be retried.",
)
INTERRUPTED = Cause(
    name="s3-interrupts",
    sign="The body ends early, again and again.",
    summary="S3 interrupted the response for {object} ({answer}).",
    advice="It will be retried.",
)
UNREACHABLE = Cause(
    name="s3-unreachable",
    sign="No answer of S3, or none that can be understood.",
    summary="{object} cannot be read from S3 ({answer}).",
    advice="It will be retried; in a VPC check the route or endpoint to S3.",
)

_BY_CODE: dict[str, Cause] = {
    "NoSuchKey": DELETED,
    "NoSuchVersion": DELETED,
    "NoSuchBucket": BUCKET_MISSING,
    "PreconditionFailed": OVERWRITTEN,
    "InvalidObjectState": ARCHIVED,
    "KMS.DisabledException": KEY_UNUSABLE,
    "KMS.KMSInvalidStateException": KEY_UNUSABLE,
    "RequestTimeTooSkewed": CLOCK_SKEW,
    "RequestExpired": CLOCK_SKEW,
    # Credentials of the role are renewed: the next invocation has others.
    "ExpiredToken": REFUSED,
}
_BY_STATUS = {"404": DELETED, "405": DELETED, "412": OVERWRITTEN, "403": DENIED}

_KINDS: dict[str, type[ObjectReadError]] = {
    DELETED.name: ObjectGone,
    BUCKET_MISSING.name: ObjectGone,
    OVERWRITTEN.name: ObjectChanged,
    DENIED.name: ObjectAccessDenied,
    KMS_DENIED.name: ObjectAccessDenied,
    ARCHIVED.name: ObjectNotReadable,
    CUSTOMER_KEY.name: ObjectNotReadable,
    KEY_UNUSABLE.name: KeyNotUsable,
}


def error_of(cause: Cause, *, about: object, answer: str) -> ObjectReadError:
    """Return the error for a cause.

    Args:
        cause: One of this module.
        about: The object.
        answer: What S3 has answered, fit to be quoted.
    """
    names = {"object": about, "answer": answer}
    return cause.error(kind_of(cause), **names)


def kind_of(cause: Cause) -> type[ObjectReadError]:
    """Return the class of the error."""
    return _KINDS.get(cause.name, ObjectReadInterrupted)


def cause_of(code: str, status: str, sentence: str) -> Cause:
    """Return why S3 refuses: by its code, its words, and last by its HTTP status.

    Args:
        code: Of the error; the HTTP status where the answer has no body.
        status: The HTTP status.
        sentence: Its message.
    """
    if cause := _BY_CODE.get(code):
        return cause
    if code == "InvalidRequest" and "Server Side Encryption" in sentence:
        return CUSTOMER_KEY
    if code.startswith("KMS."):
        return KEY_UNUSABLE
    if code == "AccessDenied" or status == "403":
        return KMS_DENIED if "kms:" in sentence else DENIED
    return _BY_STATUS.get(code) or _BY_STATUS.get(status) or REFUSED
