"""Registry of all sources of an app: no object may be announced twice."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import Construct, IConstruct

from cdk_s3_to_sftp.arguments import InvalidArgument, is_made_here, is_token
from cdk_s3_to_sftp.sources import Source

_MOST_NOTIFICATIONS = 100
"""Limit of a bucket (Amazon S3 User Guide, "Amazon S3 Event Notifications")."""

_OF_APPS: dict[IConstruct, list["_Known"]] = {}
"""App -> its sources so far. Not in the app's own metadata, which CDK copies as a whole on every access."""


def register_source(scope: Construct, source: Source) -> None:
    """Check the source against all registered ones, then register it.

    Raises:
        InvalidArgument: It conflicts with one of them.
    """
    known = _OF_APPS.setdefault(scope.node.root, [])
    new = _Known(
        owner=scope.node.path,
        stack=cdk.Stack.of(scope).node.path,
        bucket=identity(source.bucket),
        imported_as="" if is_made_here(source.bucket) else source.bucket.node.path,
        prefix=source.prefix or "",
        suffix=source.suffix or "",
        is_clear=not (is_token(source.prefix) or is_token(source.suffix)),
        notifies=source.trigger.has_notification,
    )
    for each in known:
        _check_goes_together(new, each)
    _check_number([*known, new])
    known.append(new)


def identity(bucket: s3.IBucket) -> str:
    """Return what two imports of one bucket have in common: its name, or the expression for it."""
    if is_made_here(bucket):
        return str(bucket.node.path)
    name = bucket.bucket_name
    stack = cdk.Stack.of(bucket)
    return f"{stack.node.path}: {stack.resolve(name)}" if is_token(name) else name


@dataclass(frozen=True, kw_only=True)
class _Known:
    """A registered source."""

    owner: str
    stack: str
    bucket: str
    imported_as: str
    prefix: str
    suffix: str
    is_clear: bool
    """Whether prefix and suffix are known at synth."""
    notifies: bool
    """Whether S3 notifies the queue directly."""

    def __str__(self) -> str:
        return f"'{self.prefix}*{self.suffix}' of {self.owner}"


def _check_goes_together(new: _Known, known: _Known) -> None:
    if new.bucket != known.bucket:
        return
    both_notify = new.notifies and known.notifies
    if _overlap(new, known):
        if new.owner == known.owner:
            raise InvalidArgument(
                "prefix",
                f"and suffix must not overlap those of another source of the bucket, got {new} and "
                f"{known}: objects of both would be announced twice",
            )
        if both_notify:
            raise InvalidArgument(
                "prefix",
                f"and suffix must not overlap those of another notification of the bucket, got {new} and "
                f"{known}: S3 allows only one. With trigger=Trigger.EVENTBRIDGE both get the objects",
            )
    if both_notify and new.stack == known.stack and new.imported_as != known.imported_as:
        # Each import has its own custom resource, which reads the notifications, adds its own and writes
        # them back: two running at the same time lose the changes of one, and removing one removes all
        # notifications.
        raise InvalidArgument(
            "bucket",
            f"must be imported once in a stack, got {new.imported_as} and {known.imported_as}: CDK would "
            "write its notifications from both at the same time, and one would be lost. Pass the same import",
        )


def _check_number(known: list[_Known]) -> None:
    new = known[-1]
    number = sum(each.bucket == new.bucket and each.notifies for each in known)
    if new.notifies and number > _MOST_NOTIFICATIONS:
        raise InvalidArgument(
            "bucket",
            f"must not have more than {_MOST_NOTIFICATIONS} notifications, got one more with {new}: give "
            "sources fewer prefixes and suffixes, or use trigger=Trigger.EVENTBRIDGE",
        )


def _overlap(one: _Known, other: _Known) -> bool:
    """Return whether they overlap by S3's rule.

    One prefix begins with the other, and one suffix ends with the other.
    """
    if not (one.is_clear and other.is_clear):
        return False
    prefixes = one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)
    suffixes = one.suffix.endswith(other.suffix) or other.suffix.endswith(one.suffix)
    return prefixes and suffixes
