"""What happens to the object in S3 once its receipt is recorded."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from s3_to_sftp.rules.invalid import InvalidRule, require_type
from s3_to_sftp.rules.key_patterns import LONGEST_KEY
from s3_to_sftp.rules.object_tags import MOST_TAGS, check_number_of_tags, check_tag

RULE = "after_delivery"
LARGEST_COPY = 5 * 1024**3
"""Bytes that CopyObject copies at most (Amazon S3 API reference, "CopyObject"); more is copied in parts."""
_BUCKET = re.compile(r"(?!xn--|sthree-|amzn-s3-demo-)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NO_BUCKET = re.compile(r"\.\.|(-s3alias|--ol-s3|--x-s3|--table-s3|\.mrap)$|^\d+\.\d+\.\d+\.\d+$")
"""Names that no general purpose bucket has (Amazon S3 User Guide, "General purpose bucket naming rules")."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ENCODED = re.compile("%[0-9A-Fa-f]{2}")


class AfterAction(StrEnum):
    """What is done with the object in S3."""

    KEEP = "keep"
    TAG = "tag"
    MOVE = "move"
    DELETE = "delete"


@dataclass(frozen=True, kw_only=True)
class AfterDelivery:
    """What happens to an object in S3 after its delivery, as `AfterDelivery.move(prefix="delivered/")`.

    It happens once the receipt is recorded, and only to the version that was delivered. What fails is retried
    without sending the file again. Nothing happens where the delivery is only assumed: see `UnknownOutcome`.

    Attributes:
        action: What is done.
        tags: Names and values, of `tag`.
        prefix: In front of the key, of `move`.
        bucket: Name of the bucket that `move` moves to; empty: that of the object.

    Raises:
        InvalidRule: A value cannot work; the message says why and what to write instead.
    """

    action: AfterAction = AfterAction.KEEP
    tags: tuple[tuple[str, str], ...] = ()
    prefix: str = ""
    bucket: str = ""

    def __post_init__(self) -> None:
        require_type(
            RULE, self.action, AfterAction, wanted="AfterDelivery.keep(), tag(...), move(...) or delete()"
        )
        for name, of in (
            ("tags", AfterAction.TAG),
            ("prefix", AfterAction.MOVE),
            ("bucket", AfterAction.MOVE),
        ):
            if (given := getattr(self, name)) and self.action is not of:
                raise InvalidRule(
                    f"{RULE}.{name}",
                    f"must be left out where the action is {self.action}, got {given!r}: it is of {of}",
                )
        if self.action is AfterAction.TAG:
            _check_tags(self.tags)
        if self.action is AfterAction.MOVE:
            _check_target(self.prefix, self.bucket)

    @classmethod
    def keep(cls) -> "AfterDelivery":
        """Leave the object as it is."""
        return cls()

    @classmethod
    def tag(cls, tags: Mapping[str, str]) -> "AfterDelivery":
        """Add tags to the delivered version; others that it has stay. S3 allows 10 of an object.

        Args:
            tags: Values by name, such as `{"delivered": "yes"}`.
        """
        if not isinstance(tags, Mapping):
            raise InvalidRule(RULE, f"must have tags such as {{'delivered': 'yes'}}, got {tags!r}")
        return cls(action=AfterAction.TAG, tags=tuple(sorted(tags.items(), key=lambda each: str(each[0]))))

    @classmethod
    def move(cls, *, prefix: str = "delivered/", bucket: str | None = None) -> "AfterDelivery":
        """Copy the delivered version to another key, of any size, and delete it under its own.

        Metadata, tags, content type and storage class are those of the object. In its own bucket the copy is
        encrypted as the object is; another bucket encrypts it as it encrypts new objects.

        Args:
            prefix: In front of the whole key: `delivered/` makes `delivered/out/a.csv` of `out/a.csv`. It
                must not overlap the prefix of a source.
            bucket: Name of another bucket in the same Region. By default that of the object.
        """
        require_type(f"{RULE}.bucket", bucket, str, type(None), wanted="the name of a bucket")
        if bucket == "":
            raise InvalidRule(f"{RULE}.bucket", "must be the name of a bucket, got ''")
        return cls(action=AfterAction.MOVE, prefix=prefix, bucket=bucket or "")

    @classmethod
    def delete(cls) -> "AfterDelivery":
        """Delete the delivered version.

        Without versions the object is deleted only if it still has the ETag that was delivered.
        """
        return cls(action=AfterAction.DELETE)


KEEP = AfterDelivery.keep()


def check_after(rule: object) -> None:
    """Refuse what is no `AfterDelivery`.

    Raises:
        InvalidRule: It is none.
    """
    require_type(RULE, rule, AfterDelivery, wanted="AfterDelivery.keep(), tag(...), move(...) or delete()")


def _check_tags(tags: tuple[tuple[str, str], ...]) -> None:
    rule = f"{RULE}.tags"
    if not tags:
        raise InvalidRule(rule, f"must be 1-{MOST_TAGS}, which is what S3 allows of one object, got 0")
    check_number_of_tags(rule, [name for name, _ in tags])
    for name, value in tags:
        for text in (name, value):
            require_type(rule, text, str, wanted="texts by name, as {'delivered': 'yes'}")
        check_tag(rule, name, value)


def _check_target(prefix: str, bucket: str) -> None:
    require_type(f"{RULE}.prefix", prefix, str, wanted="a text such as 'delivered/'")
    if not prefix and not bucket:
        raise InvalidRule(
            f"{RULE}.prefix", "must not be empty in the same bucket, got '': write one such as 'delivered/'"
        )
    if prefix.startswith("/"):
        raise InvalidRule(f"{RULE}.prefix", f"must not begin with '/', which keys do not, got {prefix!r}")
    if _ENCODED.search(prefix):
        raise InvalidRule(f"{RULE}.prefix", f"must be written as keys are, not URL-encoded, got {prefix!r}")
    if prefix.encode(errors="ignore").decode() != prefix:
        raise InvalidRule(f"{RULE}.prefix", f"must be valid Unicode, got {prefix!r}")
    if _CONTROL.search(prefix):
        raise InvalidRule(f"{RULE}.prefix", f"must not hold control characters, got {prefix!r}")
    for letter, what in (("{", "it has no fields"), ("*", "it is no pattern")):
        if letter in prefix:
            raise InvalidRule(
                f"{RULE}.prefix",
                f"must not hold {letter!r}: {what}, and stands in front of the key as it is; got {prefix!r}",
            )
    if not {".", ".."}.isdisjoint(prefix.split("/")[:-1]):
        raise InvalidRule(
            f"{RULE}.prefix",
            f"must not have '.' or '..' between '/', which S3 may refuse as a path, got {prefix!r}",
        )
    if len(prefix.encode()) >= LONGEST_KEY:
        raise InvalidRule(f"{RULE}.prefix", f"must be shorter than a key, {LONGEST_KEY} bytes")
    if bucket and (not _BUCKET.fullmatch(bucket) or _NO_BUCKET.search(bucket)):
        raise InvalidRule(
            f"{RULE}.bucket",
            f"must be the name of a bucket, such as archive-of-orders, got {bucket!r}: the rules are written "
            "into a file at synth, when only a name that the app gives is known",
        )
