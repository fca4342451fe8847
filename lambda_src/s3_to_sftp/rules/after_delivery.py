"""What happens to the object in S3 once its receipt is recorded."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from s3_to_sftp.rules.invalid import InvalidRule, require_type

RULE = "after_delivery"
MOST_TAGS = 10
"""Of one object (Amazon S3 User Guide, "Categorizing your storage using tags")."""
_MOST_TAG_NAME, _MOST_TAG_VALUE = 128, 256
_MOST_KEY_BYTES = 1024
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
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
    if not 1 <= len(tags) <= MOST_TAGS:
        raise InvalidRule(f"{RULE}.tags", f"must be 1-{MOST_TAGS}, which is what S3 allows, got {len(tags)}")
    for name, value in tags:
        for text in (name, value):
            require_type(f"{RULE}.tags", text, str, wanted="texts by name, as {'delivered': 'yes'}")
        if not 1 <= len(name) <= _MOST_TAG_NAME or name.startswith("aws:"):
            raise InvalidRule(
                f"{RULE}.tags",
                f"must have names of 1-{_MOST_TAG_NAME} characters without 'aws:' in front, got {name!r}",
            )
        if len(value) > _MOST_TAG_VALUE:
            raise InvalidRule(
                f"{RULE}.tags", f"must have values of at most {_MOST_TAG_VALUE} characters, got {value!r}"
            )
        if other := re.search(r"[^\w\s+\-=._:/@]", name + value):
            raise InvalidRule(
                f"{RULE}.tags",
                f"must consist of letters, digits, blanks and + - = . _ : / @, got {other[0]!r} in "
                f"{name!r}: {value!r}",
            )


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
    if len(prefix.encode()) >= _MOST_KEY_BYTES:
        raise InvalidRule(f"{RULE}.prefix", f"must be shorter than a key, {_MOST_KEY_BYTES} bytes")
    if bucket and not _BUCKET.fullmatch(bucket):
        raise InvalidRule(
            f"{RULE}.bucket",
            f"must be the name of a bucket, such as archive-of-orders, got {bucket!r}: the rules are written "
            "into a file at synth, when only a name that the app gives is known",
        )
