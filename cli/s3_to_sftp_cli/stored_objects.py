"""What is in the watched buckets now: the current version of every key, as S3 lists it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus

from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp_cli.delivery import WatchedSource

NO_VERSION = "null"
"""VersionId of what was put while the bucket had no versions."""

Position = tuple[int, str | int]
"""Where an object is in the whole list: the number of the source or file, and the key or row in it."""


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """The current version of a key.

    Attributes:
        bucket: Of the object.
        key: Decoded.
        version_id: Empty in a bucket without versions, and for what is older than its versions.
        etag: Without quotes; empty: not known.
        size: Bytes.
        modified: When it was put; None: not known.
        position: Where it is in the list.
    """

    bucket: str
    key: str
    version_id: str
    etag: str
    size: int
    modified: datetime | None
    position: Position

    @property
    def is_folder_marker(self) -> bool:
        """Whether it only stands for a folder; the function does not deliver those."""
        return self.size == 0 and ObjectRef(bucket=self.bucket, key=self.key).is_named_like_a_folder


def notification_of(stored: StoredObject) -> dict[str, Any]:
    """Return a notification of S3 that names the object; it has no sequencer, which only S3 knows."""
    known = {"versionId": stored.version_id, "eTag": stored.etag}
    entry = {"key": quote_plus(stored.key, safe="/"), "size": stored.size}
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {
                    "bucket": {"name": stored.bucket},
                    "object": entry | {name: value for name, value in known.items() if value},
                },
            }
        ]
    }


def has_versions(client: Any, bucket: str) -> bool:
    """Return whether objects of the bucket have, or may have, versions; needs s3:GetBucketVersioning.

    Raises:
        ClientError, BotoCoreError: S3 refused, or did not answer.
    """
    return client.get_bucket_versioning(Bucket=bucket).get("Status") in {"Enabled", "Suspended"}


def listed(client: Any, sources: tuple[WatchedSource, ...], *, prefix: str) -> Iterator[StoredObject]:
    """Yield the objects below the prefixes of sources, whatever their suffix, each once and in S3's order.

    Args:
        client: A low-level S3 client; needs `s3:ListBucketVersions`, or `s3:ListBucket` without versions.
        sources: Where to look.
        prefix: Keys with this prefix only.

    Raises:
        ClientError, BotoCoreError: S3 refused, or did not answer.
    """
    for number, (bucket, listed_prefix) in enumerate(_places(sources, prefix)):
        versioned = has_versions(client, bucket)
        operation = "list_object_versions" if versioned else "list_objects_v2"
        for page in client.get_paginator(operation).paginate(Bucket=bucket, Prefix=listed_prefix):
            for entry in page.get("Versions" if versioned else "Contents", []):
                if not versioned or entry.get("IsLatest"):
                    yield _stored(bucket, entry, number)


def own_version_id(version_id: str) -> str:
    """Return the VersionId that distinguishes this version from others; empty: there is none."""
    return "" if version_id == NO_VERSION else version_id


def _stored(bucket: str, entry: dict[str, Any], number: int) -> StoredObject:
    return StoredObject(
        bucket=bucket,
        key=entry["Key"],
        version_id=own_version_id(entry.get("VersionId", "")),
        etag=entry.get("ETag", "").strip('"'),
        size=entry["Size"],
        modified=entry["LastModified"],
        position=(number, entry["Key"]),
    )


def _places(sources: tuple[WatchedSource, ...], prefix: str) -> list[tuple[str, str]]:
    """Return buckets and prefixes, none of them a part of another: sources may differ by suffix only."""
    narrowed = ((source.bucket, _narrower(source.prefix, prefix)) for source in sources)
    places: list[tuple[str, str]] = []
    for bucket, each in sorted((bucket, each) for bucket, each in narrowed if each is not None):
        if not places or places[-1][0] != bucket or not each.startswith(places[-1][1]):
            places.append((bucket, each))
    return places


def _narrower(one: str, other: str) -> str | None:
    """Return the prefix that both have in common; None: no key has both."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    return longer if longer.startswith(shorter) else None
