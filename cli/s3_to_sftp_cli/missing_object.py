"""Why the ledger may have nothing of an object, and what to do."""

import difflib
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp_cli.aws import Aws
from s3_to_sftp_cli.delivery import DeployedDelivery
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.layout import printable, typed
from s3_to_sftp_cli.sizes import size_text

_MOST_NAMES = 1000
_MOST_SIMILAR = 3
_LEAST_LIKENESS = 0.7
"""From 0 to 1: two letters swapped in a name of six have 0.83."""


def missing_object(aws: Aws, delivery: DeployedDelivery, buckets: list[str], key: str) -> CliError:
    """Return the error for an object of which the ledger has nothing.

    It looks into the buckets where the caller may (s3:GetObject, s3:ListBucket).

    Args:
        aws: The account.
        delivery: That was asked.
        buckets: In which the object could be.
        key: Of the object.
    """
    s3 = aws.client("s3")
    names = ", ".join(printable(f"s3://{bucket}/{key}") for bucket in buckets)
    hints = [hint for bucket in buckets if (hint := _hint(s3, delivery, bucket, key))]
    return CliError(f"The ledger has no record of {names}.", hint=" ".join(hints), code=ExitCode.NOT_FOUND)


def not_watched(delivery: DeployedDelivery, bucket: str) -> str:
    """Return that the delivery does not watch a bucket; empty: it does, or does not tell."""
    watched = delivery.buckets()
    if not watched or bucket in watched:
        return ""
    return f"This delivery does not watch the bucket {printable(bucket)}: it watches {', '.join(watched)}."


def _hint(s3: Any, delivery: DeployedDelivery, bucket: str, key: str) -> str:
    if unwatched := not_watched(delivery, bucket):
        return unwatched
    is_watched = any(source.watches(bucket, key) for source in delivery.sources)
    try:
        found = s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        return _without_object(s3, error, bucket, key)
    except BotoCoreError:
        return f"Whether the object is in {bucket} could not be checked."
    put_at, size = found["LastModified"], size_text(found["ContentLength"])
    there = f"The object is in {bucket}: {size}, put {put_at:%Y-%m-%d %H:%M:%S %Z}."
    if delivery.sources and not is_watched:
        watched = ", ".join(
            printable(f"s3://{each.bucket}/{each.prefix}*{each.suffix}") for each in delivery.sources
        )
        return f"{there} It is not watched: {watched} is."
    return (
        f"{there} Its event has not arrived yet, or it was put before this delivery was deployed: "
        f"`s3-to-sftp backfill --prefix {typed(key)} --reason TEXT` sends it."
        + (left_out(bucket, key) if delivery.rules else "")
    )


def left_out(bucket: str, key: str) -> str:
    """Return the sentence for an object that the partner's rules may leave out, with a blank in front."""
    named = typed(f"s3://{bucket}/{key}")
    return (
        " Or the partner's rule 'only' leaves it out: "
        f"`s3-to-sftp resend {named} --even-if-filtered --reason TEXT` sends it."
    )


def _without_object(s3: Any, error: ClientError, bucket: str, key: str) -> str:
    code = error.response["Error"].get("Code", "")
    if error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-delete-marker") == "true":
        return f"The object was deleted from {bucket} (it has a delete marker)."
    if code == "NoSuchBucket":
        return f"There is no bucket {bucket}."
    if code not in ("404", "NoSuchKey"):
        return (
            f"Whether the object is in {bucket} could not be checked: not allowed "
            "(s3:GetObject, s3:ListBucket)."
        )
    close = _close_names(s3, bucket, key)
    similar = f" Similar names: {', '.join(map(printable, close))}." if close else " Check the spelling."
    return f"There is no such object in {bucket}.{similar}"


def _close_names(s3: Any, bucket: str, key: str) -> list[str]:
    directory = key.rpartition("/")[0]
    prefix = f"{directory}/" if directory else ""
    try:
        answer = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=_MOST_NAMES)
    except (ClientError, BotoCoreError):
        return []
    wanted = _stem(key)
    likeness = {
        name: difflib.SequenceMatcher(None, _stem(name), wanted).ratio()
        for name in (each["Key"] for each in answer.get("Contents", ()))
    }
    similar = [name for name, ratio in likeness.items() if ratio >= _LEAST_LIKENESS]
    return sorted(similar, key=lambda name: -likeness[name])[:_MOST_SIMILAR]


def _stem(key: str) -> str:
    # Names of a directory often share an extension: that says nothing.
    name = key.rpartition("/")[2]
    return (name.rpartition(".")[0] or name).lower()
