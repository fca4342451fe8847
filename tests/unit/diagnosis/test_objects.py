"""Why S3 does not return an object: AWS's code, words and status."""

from __future__ import annotations

import pytest

from s3_to_sftp.diagnosis.objects import cause_of, error_of

ROLE = "User: arn:aws:sts::123456789012:assumed-role/r/f is not authorized to perform: "


@pytest.mark.parametrize(
    ("code", "status", "sentence", "cause"),
    [
        ("AccessDenied", "403", f"{ROLE}s3:GetObject on resource: a", "iam-denied"),
        ("AccessDenied", "403", "Access Denied", "iam-denied"),
        ("403", "403", "Forbidden", "iam-denied"),
        ("AccessDenied", "403", f"{ROLE}kms:Decrypt on resource: k", "kms-denied"),
        ("KMS.DisabledException", "400", "k is disabled.", "kms-key-disabled"),
        ("KMS.NotFoundException", "400", "no key", "kms-key-disabled"),
        ("InvalidObjectState", "403", "not valid for the storage class", "object-archived"),
        ("RequestTimeTooSkewed", "403", "The difference is too large.", "clock-skew"),
        ("RequestExpired", "400", "Request has expired.", "clock-skew"),
        ("InvalidRequest", "400", "stored using a form of Server Side Encryption", "customer-provided-key"),
        ("InvalidRequest", "400", "something else", "s3-refuses"),
        ("NoSuchKey", "404", "", "object-deleted"),
        ("404", "404", "Not Found", "object-deleted"),
        ("MethodNotAllowed", "405", "", "object-deleted"),
        ("NoSuchBucket", "404", "", "bucket-missing"),
        ("PreconditionFailed", "412", "", "object-overwritten"),
        ("SlowDown", "503", "", "s3-refuses"),
        ("ExpiredToken", "400", "", "s3-refuses"),
    ],
)
def test_cause_of_a_refusal_of_s3(code: str, status: str, sentence: str, cause: str) -> None:
    assert cause_of(code, status, sentence).name == cause


def test_error_quotes_aws_behind_the_cause() -> None:
    answer = f"AccessDenied: {ROLE}kms:Decrypt on resource: k"
    error = error_of(cause_of("AccessDenied", "403", answer), about="s3://b/{a}", answer=answer)
    assert error.reason == f"s3://b/{{a}} may not be decrypted by the function ({answer})."
    assert (error.cause, error.to_partner) == ("kms-denied", "")
