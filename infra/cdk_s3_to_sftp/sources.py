"""Where objects come from, as users of the construct describe it."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import IConstruct

from cdk_s3_to_sftp.annotations import warn
from cdk_s3_to_sftp.argument_types import check_fields
from cdk_s3_to_sftp.arguments import InvalidArgument, check_directory, check_filter, is_token


class Trigger(StrEnum):
    """What says that a bucket holds a new object."""

    NOTIFICATION = "notification"
    """S3's own notification: the soonest, and free. Of those that match one object S3 takes only one."""
    EVENTBRIDGE = "eventbridge"
    """A rule of EventBridge: for a bucket whose notifications belong to somebody else, and for objects that
    several partners get."""
    BOTH = "both"
    """For the deployment between one and the other: both announce, and no object is missed while one of them
    comes or goes. An object that is announced twice is delivered once."""

    @property
    def has_notification(self) -> bool:
        """Whether S3's own notification is one of them."""
        return self is not Trigger.EVENTBRIDGE

    @property
    def has_rule(self) -> bool:
        """Whether a rule of EventBridge is."""
        return self is not Trigger.NOTIFICATION


@dataclass(frozen=True)
class Source:
    """Objects to deliver: those of a bucket, or some of them. Checked when it is made; Tokens pass.

    Attributes:
        bucket: Holds them. Any: made in this stack or another, or imported by its name or ARN. One with a key
            of its own must know it (`from_bucket_attributes(encryption_key=...)`).
        prefix: Deliver only objects whose key begins so. By default all.
        suffix: Deliver only objects whose key ends so. By default all.
        directory: Remote directory for them; an object's key is its path below. By default that of the
            server.
        trigger: What announces a new object. By default S3's own notification.
    """

    bucket: s3.IBucket
    _: KW_ONLY
    prefix: str | None = None
    suffix: str | None = None
    directory: str | None = None
    trigger: Trigger = Trigger.NOTIFICATION

    def __post_init__(self) -> None:
        check_fields(self)
        for name, value in (("prefix", self.prefix), ("suffix", self.suffix)):
            if value and not is_token(value) and "*" in value:
                raise InvalidArgument(
                    name,
                    f"must not hold '*': S3 compares it letter by letter, got {value!r}; write it without",
                )
        check_filter(self.prefix, self.suffix)
        check_directory(self.directory, otherwise="the directory of the server")

    def __str__(self) -> str:
        return f"{self.bucket.node.path} ('{self.prefix or ''}*{self.suffix or ''}')"

    # What is asked for each pair of sources, or whenever one is added: CDK answers in milliseconds.
    @cached_property
    def bucket_name(self) -> str:
        """The name of the bucket."""
        return self.bucket.bucket_name

    @cached_property
    def bucket_address(self) -> str:
        """What tells the bucket from others of the app."""
        return self.bucket.node.addr

    @cached_property
    def is_clear(self) -> bool:
        """Whether prefix, suffix and directory are known now."""
        return not any(is_token(text) for text in (self.prefix, self.suffix, self.directory))

    @property
    def objects(self) -> str:
        """The ARN of all that may have to be read, with a wildcard at its end."""
        prefix = self.prefix or ""
        # IAM would take `${` for the beginning of a policy variable, and `${$}` for a dollar.
        return self.bucket.arn_for_objects(
            f"{prefix if is_token(prefix) else prefix.replace('${', '${$}{')}*"
        )


def directories(stack: cdk.Stack, sources: Sequence[Source]) -> str | None:
    """What the function is told about the sources: JSON, where some have a directory of their own."""
    told = [
        {
            "bucket": source.bucket_name,
            **({"prefix": source.prefix} if source.prefix else {}),
            **({"suffix": source.suffix} if source.suffix else {}),
            "directory": source.directory,
        }
        for source in sources
        if source.directory
    ]
    return stack.to_json_string(told) if told else None


def known_length(stack: cdk.Stack, *texts: str) -> int:
    """How many bytes the texts have, without what only the deployment knows."""
    return sum(_bytes_in(stack.resolve(text)) for text in texts)


def _bytes_in(resolved: Any) -> int:
    match resolved:
        case str(text):
            return len(text.encode())
        case {"Fn::Join": [str(separator), list(parts)]}:
            return len(separator.encode()) * (len(parts) - 1) + sum(_bytes_in(part) for part in parts)
    return 0


def warn_of_shared_names(
    scope: IConstruct, source: Source, others: Sequence[Source], *, otherwise: str | None
) -> None:
    """Say so when objects of two buckets may get the same remote path: one would replace the other.

    Args:
        scope: The construct that they belong to.
        source: A new one.
        others: Those that are there.
        otherwise: The directory of those without one of their own.
    """
    if is_token(otherwise) and not source.directory:
        return
    for other in others:
        if source.bucket_address != other.bucket_address and _may_meet(source, other, otherwise or ""):
            warn(
                scope,
                "sharedRemotePaths",
                f"An object of {source} and one of {other} may get the same remote path: then the one that "
                "comes later replaces the other. Give one of the sources a directory.",
            )
            return  # a person who sees to one comes to the next


def _may_meet(one: Source, other: Source, otherwise: str) -> bool:
    """Whether the paths of both may begin and end alike, and from the same directory."""
    if not (one.is_clear and other.is_clear):
        return False
    begins = [_beginning(source.directory or otherwise, source.prefix or "") for source in (one, other)]
    ends = [source.suffix or "" for source in (one, other)]
    if begins[0].startswith("/") != begins[1].startswith("/"):
        return False
    alike = begins[0].startswith(begins[1]) or begins[1].startswith(begins[0])
    return alike and (ends[0].endswith(ends[1]) or ends[1].endswith(ends[0]))


def _beginning(directory: str, prefix: str) -> str:
    return f"{directory.rstrip('/')}/{prefix}" if directory else prefix
