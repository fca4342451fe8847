"""An object that an operator names although the rule 'only' leaves it out: the ledger may not know it."""

from typing import Any

from botocore.exceptions import ClientError

from s3_to_sftp_cli.context import Context
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.ledger import Record
from s3_to_sftp_cli.missing_object import missing_object
from s3_to_sftp_cli.object_name import parse_object_name
from s3_to_sftp_cli.object_selection import possible_buckets
from s3_to_sftp_cli.stored_objects import StoredObject, own_version_id

_MISSING = ("404", "NoSuchKey", "NoSuchVersion", "NoSuchBucket", "MethodNotAllowed", "405")


def named_object(
    context: Context, key: str, *, bucket: str | None, version: str | None
) -> Record | StoredObject:
    """Return what the ledger has of a version, or else what S3 has; needs `s3:GetObject`.

    Args:
        context: The delivery.
        key: Of the object, also as s3://bucket/key.
        bucket: Of the object; None: the one in which the key is.
        version: VersionId, or ETag where there are no versions; None: the current one.

    Raises:
        CliError: There is no such object, or the bucket is not clear.
        ClientError, BotoCoreError: AWS refused, or did not answer.
    """
    bucket, key = parse_object_name(key, bucket)
    buckets = possible_buckets(context, bucket)
    found = [stored for each in buckets if (stored := _stored(context, each, key, version)) is not None]
    if not found:
        raise missing_object(context.aws, context.delivery, buckets, key)
    if len(found) > 1:
        raise CliError(
            f"{key!r} is in several buckets: {', '.join(each.bucket for each in found)}.",
            hint="Name one with --bucket.",
            code=ExitCode.USAGE,
        )
    (stored,) = found
    for record in context.ledger.versions(stored.bucket, key):
        if (stored.version_id or stored.etag) in (record.version, record.etag):
            return record
    return stored


def _stored(context: Context, bucket: str, key: str, version: str | None) -> StoredObject | None:
    named: dict[str, str] = {"VersionId": version} if version is not None else {}
    try:
        found: dict[str, Any] = context.aws.client("s3").head_object(Bucket=bucket, Key=key, **named)
    except ClientError as error:
        if error.response["Error"].get("Code") in _MISSING:
            return None
        raise
    return StoredObject(
        bucket=bucket,
        key=key,
        version_id=own_version_id(found.get("VersionId", "")),
        etag=found["ETag"].strip('"'),
        size=found["ContentLength"],
        modified=found["LastModified"],
        position=(0, key),
    )
