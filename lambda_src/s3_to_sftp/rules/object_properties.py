"""What S3 tells about an object beside its bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from s3_to_sftp.s3.client_errors import error_of, unreachable
from s3_to_sftp.s3.object_ref import ObjectRef


@dataclass(frozen=True, kw_only=True)
class ObjectProperties:
    """What S3 tells about an object beside its bytes.

    Attributes:
        put_at: When it was put, in seconds since 1970; of an upload in parts: when that began.
        metadata: Its own metadata (`x-amz-meta-...`), names in small letters.
    """

    put_at: int
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_properties(client: Any, ref: ObjectRef) -> ObjectProperties:
    """Ask S3 for the properties of the version.

    Raises:
        ObjectReadError: It is gone, forbidden, or S3 does not answer.
    """
    answer = _answered(client.head_object, ref)
    return ObjectProperties(
        put_at=int(answer["LastModified"].timestamp()), metadata=dict(answer.get("Metadata") or {})
    )


def read_tags(client: Any, ref: ObjectRef) -> dict[str, str]:
    """Ask S3 for the tags: needs `s3:GetObjectTagging`, of versions `s3:GetObjectVersionTagging`.

    Raises:
        ObjectReadError: It is gone, forbidden, or S3 does not answer.
    """
    answer = _answered(client.get_object_tagging, ref)
    return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}


def _answered(call: Any, ref: ObjectRef) -> Mapping[str, Any]:
    version = {"VersionId": ref.version_id} if ref.version_id else {}
    try:
        answer: Mapping[str, Any] = call(Bucket=ref.bucket, Key=ref.key, **version)
    except ClientError as error:
        raise error_of(error, ref) from None
    except Exception as error:  # noqa: BLE001 - botocore lets through what its parsers and urllib3 raise
        raise unreachable(ref, error) from None
    return answer
