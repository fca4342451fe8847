"""What S3 is asked to do with a version that was delivered. Each call may be repeated."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from s3_to_sftp.rules.after_delivery import LARGEST_COPY
from s3_to_sftp.rules.object_tags import MOST_TAGS
from s3_to_sftp.s3.object_ref import ObjectRef

_PART_BYTES = 256 * 1024**2
_MOST_PARTS = 10_000
_COPIES_AT_A_TIME = 8
_KEPT = (
    "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Expires",
    "Metadata", "StorageClass", "WebsiteRedirectLocation",
)  # fmt: skip
"""What HeadObject tells and CreateMultipartUpload takes. CopyObject keeps all but the storage class."""
_ENCRYPTION = ("ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled")
_GONE = {"NoSuchKey", "NoSuchVersion", "404", "405", "MethodNotAllowed", "PreconditionFailed", "412"}
"""Codes of S3; the response to a HEAD has the status alone."""


class VersionGoneError(Exception):
    """The version is not there, or no longer the current one of its key: another one has its place."""


class CopyUnfinishedError(Exception):
    """There was no time for all parts. Another call with the same upload continues."""


class TooManyTagsError(Exception):
    """The object would have more tags than S3 allows."""


@dataclass(frozen=True)
class Copied:
    """A copy.

    Attributes:
        version_id: Of the copy; empty where the bucket has no versions.
        etag: Of the copy, without quotes.
    """

    version_id: str
    etag: str


class AfterActions:
    """Tags, copies and deletes versions. Thread-safe.

    Args:
        s3: boto3's S3 client.
        largest_copy: Bytes that one request may copy.
        part_bytes: Bytes of a part of a larger one, where the number of parts allows it.
    """

    def __init__(self, s3: Any, *, largest_copy: int = LARGEST_COPY, part_bytes: int = _PART_BYTES) -> None:
        self._s3 = s3
        self._largest_copy = largest_copy
        self._part_bytes = part_bytes

    def tag(self, ref: ObjectRef, tags: Mapping[str, str]) -> None:
        """Add tags to those that the version has.

        Without versions S3 has no condition for it: whether the object still is the delivered one is looked
        up right before, and one that is put in between gets the tags.

        Raises:
            VersionGoneError, TooManyTagsError, ClientError: It was not done.
        """
        version = _version(ref)
        try:
            if not version:
                self._head(ref)
            answer = self._s3.get_object_tagging(Bucket=ref.bucket, Key=ref.key, **version)
            there = {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}
            wanted = {**there, **tags}
            if len(wanted) > MOST_TAGS:
                raise TooManyTagsError(
                    f"it has {len(there)} tags, and would have {len(wanted)}; S3 allows {MOST_TAGS}"
                )
            if wanted != there:
                tag_set = [{"Key": name, "Value": value} for name, value in wanted.items()]
                self._s3.put_object_tagging(
                    Bucket=ref.bucket, Key=ref.key, Tagging={"TagSet": tag_set}, **version
                )
        except ClientError as error:
            raise _gone(error) or error from None

    def delete(self, ref: ObjectRef) -> None:
        """Delete exactly this version.

        Without versions S3 deletes it on condition of its ETag:
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html

        Raises:
            VersionGoneError: It is not there.
            ClientError: It was not done.
        """
        version = _version(ref)
        condition = version or {"IfMatch": f'"{ref.etag}"'}
        try:
            self._s3.delete_object(Bucket=ref.bucket, Key=ref.key, **condition)
        except ClientError as error:
            raise _gone(error) or error from None

    def look_at(self, ref: ObjectRef) -> Mapping[str, Any]:
        """Return what S3 tells about the version, as HeadObject does.

        Raises:
            VersionGoneError, ClientError: It is not there, or S3 does not tell.
        """
        try:
            return self._head(ref)
        except ClientError as error:
            raise _gone(error) or error from None

    def begin_copy(self, ref: ObjectRef, about: Mapping[str, Any], *, bucket: str, key: str) -> str:
        """Return the id of an upload in parts that a copy needs; empty: one request copies it.

        Args:
            ref: The version.
            about: From `look_at`.
            bucket: Where to.
            key: Where to.

        Raises:
            VersionGoneError, ClientError: It was not done.
        """
        if about["ContentLength"] <= self._largest_copy:
            return ""
        try:
            given = {name: about[name] for name in _KEPT if name in about}
            tagging = self._tagging(ref)
            answer = self._s3.create_multipart_upload(
                Bucket=bucket, Key=key, **given, **tagging, **_encryption(about, ref, bucket)
            )
        except ClientError as error:
            raise _gone(error) or error from None
        return str(answer["UploadId"])

    def copy(
        self,
        ref: ObjectRef,
        about: Mapping[str, Any],
        *,
        bucket: str,
        key: str,
        upload_id: str = "",
        is_over: Callable[[], bool] = lambda: False,
    ) -> Copied:
        """Copy the version with all that belongs to it.

        Args:
            ref: The version.
            about: From `look_at`.
            bucket: Where to.
            key: Where to.
            upload_id: From `begin_copy`; parts that an earlier call has copied are not copied again.
            is_over: Returns whether no further part should be begun. By default never.

        Raises:
            VersionGoneError: It is not there.
            CopyUnfinishedError: Parts are missing.
            ClientError: It was not done.
        """
        source = {"Bucket": ref.bucket, "Key": ref.key, **_version(ref)}
        condition = {} if _version(ref) else {"CopySourceIfMatch": f'"{ref.etag}"'}
        target = {"Bucket": bucket, "Key": key}
        try:
            if upload_id:
                return self._copy_parts(target, source, condition, upload_id, about["ContentLength"], is_over)
            answer = self._s3.copy_object(
                **target,
                CopySource=source,
                **condition,
                **_encryption(about, ref, bucket),
                **({"StorageClass": about["StorageClass"]} if "StorageClass" in about else {}),
            )
        except ClientError as error:
            raise _gone(error) or error from None
        return _copied(answer, answer["CopyObjectResult"])

    def abort_copy(self, *, bucket: str, key: str, upload_id: str) -> None:
        """Remove the parts of a copy that is not to be completed.

        Raises:
            ClientError: It was not done.
        """
        try:
            self._s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "NoSuchUpload":  # aborted before, or completed
                raise

    def _copy_parts(
        self,
        target: Mapping[str, str],
        source: Mapping[str, str],
        condition: Mapping[str, str],
        upload_id: str,
        size: int,
        is_over: Callable[[], bool],
    ) -> Copied:
        upload = {**target, "UploadId": upload_id}
        step = max(self._part_bytes, -(-size // _MOST_PARTS))
        done = self._parts(upload)

        def copy(number: int) -> None:
            if is_over():
                return
            first, last = (number - 1) * step, min(number * step, size) - 1
            answer = self._s3.upload_part_copy(
                **upload,
                PartNumber=number,
                CopySource=source,
                CopySourceRange=f"bytes={first}-{last}",
                **condition,
            )
            done[number] = answer["CopyPartResult"]["ETag"]

        left = [number for number in range(1, -(-size // step) + 1) if number not in done]
        with ThreadPoolExecutor(_COPIES_AT_A_TIME, "copy") as threads:
            list(threads.map(copy, left))
        count = -(-size // step)
        if len(done) < count:
            raise CopyUnfinishedError(f"{len(done):,} of {count:,} parts are copied")
        parts = [{"PartNumber": number, "ETag": done[number]} for number in sorted(done)]
        answer = self._s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        return _copied(answer, answer)

    def _parts(self, upload: Mapping[str, str]) -> dict[int, str]:
        """Return the ETags of the parts that are there, by number."""
        there: dict[int, str] = {}
        marker = 0
        while True:
            page = self._s3.list_parts(**upload, PartNumberMarker=marker)
            there |= {part["PartNumber"]: part["ETag"] for part in page.get("Parts", ())}
            if not page.get("IsTruncated"):
                return there
            marker = page["NextPartNumberMarker"]

    def _head(self, ref: ObjectRef) -> Mapping[str, Any]:
        condition = _version(ref) or {"IfMatch": f'"{ref.etag}"'}
        answer: Mapping[str, Any] = self._s3.head_object(Bucket=ref.bucket, Key=ref.key, **condition)
        return answer

    def _tagging(self, ref: ObjectRef) -> dict[str, str]:
        from urllib.parse import urlencode  # only large objects need it

        answer = self._s3.get_object_tagging(Bucket=ref.bucket, Key=ref.key, **_version(ref))
        tags = {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}
        return {"Tagging": urlencode(tags)} if tags else {}


def identifies_version(ref: ObjectRef) -> bool:
    """Return whether the event says which version was delivered, and not only which key."""
    return bool(_version(ref) or ref.etag)


def _version(ref: ObjectRef) -> dict[str, str]:
    # Where versioning is suspended, every put replaces the version "null": its ETag tells.
    return {"VersionId": ref.version_id} if ref.version_id not in (None, "", "null") else {}


def _encryption(about: Mapping[str, Any], ref: ObjectRef, bucket: str) -> dict[str, Any]:
    """Return how the copy is encrypted: as the object is, or as another bucket wants it."""
    if bucket != ref.bucket:
        return {}
    return {name: about[name] for name in _ENCRYPTION if about.get(name)}


def _copied(answer: Mapping[str, Any], result: Mapping[str, Any]) -> Copied:
    return Copied(version_id=str(answer.get("VersionId") or ""), etag=str(result["ETag"]).strip('"'))


def _gone(error: ClientError) -> VersionGoneError | None:
    code = str(error.response.get("Error", {}).get("Code", ""))
    # NoSuchBucket and NoSuchUpload are 404, too, and no reason to believe that the version is gone.
    return VersionGoneError(code) if code in _GONE else None
