"""Sources of objects: a bucket, a filter, a remote directory and a trigger."""

from collections.abc import Mapping, Sequence
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
from cdk_s3_to_sftp.rule_values import check_rules
from s3_to_sftp.rules.delivery_rules import DeliveryRules


class Trigger(StrEnum):
    """What announces a new object of a bucket."""

    NOTIFICATION = "notification"
    """An S3 notification: the fastest, and free. S3 allows only one that matches an object."""
    EVENTBRIDGE = "eventbridge"
    """An EventBridge rule: for a bucket whose notifications belong to somebody else, and for objects that
    several partners get."""
    BOTH = "both"
    """For the deployment between one and the other: both announce, and no object is missed while one
    replaces the other. An object that is announced twice is delivered once."""

    @property
    def has_notification(self) -> bool:
        """Whether it includes an S3 notification."""
        return self is not Trigger.EVENTBRIDGE

    @property
    def has_rule(self) -> bool:
        """Whether it includes an EventBridge rule."""
        return self is not Trigger.NOTIFICATION


@dataclass(frozen=True)
class Source:
    """Objects to deliver: all or some of a bucket. Validated when it is created; Tokens pass.

    Attributes:
        bucket: Any bucket: created in this stack or another, or imported by its name or ARN. Import one with
            a customer managed key together with the key (`from_bucket_attributes(encryption_key=...)`).
        prefix: Deliver only objects whose key has this prefix. By default all.
        suffix: Deliver only objects whose key has this suffix. By default all.
        directory: Remote directory for them; an object's key is its path below. By default that of the
            server.
        trigger: What announces a new object. By default an S3 notification.
        rules: Rules for them, in place of all rules of the server. By default those of the server.
    """

    bucket: s3.IBucket
    _: KW_ONLY
    prefix: str | None = None
    suffix: str | None = None
    directory: str | None = None
    trigger: Trigger = Trigger.NOTIFICATION
    rules: DeliveryRules | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        for name, value in (("prefix", self.prefix), ("suffix", self.suffix)):
            if value and not is_token(value) and "*" in value:
                raise InvalidArgument(
                    name,
                    f"must not contain '*': S3 compares it literally, got {value!r}; remove the '*'",
                )
        check_filter(self.prefix, self.suffix)
        check_directory(self.directory, otherwise="the directory of the server")
        check_rules(self.rules)

    def __str__(self) -> str:
        return f"{self.bucket.node.path} ('{self.prefix or ''}*{self.suffix or ''}')"

    # Cached, because they are compared for each pair of sources, and CDK takes milliseconds for each.
    @cached_property
    def bucket_name(self) -> str:
        """The name of the bucket."""
        return self.bucket.bucket_name

    @cached_property
    def bucket_address(self) -> str:
        """The unique address of the bucket in the app."""
        return self.bucket.node.addr

    @cached_property
    def is_clear(self) -> bool:
        """Whether prefix, suffix and directory are known at synth."""
        return not any(is_token(text) for text in (self.prefix, self.suffix, self.directory))

    @property
    def objects(self) -> str:
        """The ARN of all objects that may have to be read, ending with a wildcard."""
        return self.bucket.arn_for_objects(f"{escaped(self.prefix)}*")

    def objects_named(self, pattern: str) -> str:
        """Return the ARN of the objects with such a name between prefix and suffix.

        Args:
            pattern: As in a policy: `*` stands for any text.
        """
        return self.bucket.arn_for_objects(f"{escaped(self.prefix)}{pattern}{escaped(self.suffix)}")


_RELATIVE = ("relative_key", "relative_folder")
"""Fields of rules for which the function must know the prefix."""


def escaped(text: str | None) -> str:
    """Escape a text for a policy, to which `${` begins a variable, and `${$}` is a dollar sign."""
    return text.replace("${", "${$}{") if text and not is_token(text) else text or ""


def described_sources(
    stack: cdk.Stack,
    sources: Sequence[Source],
    former: Sequence[Source],
    *,
    partner: DeliveryRules | None,
    names: Mapping[DeliveryRules, str],
    room: int,
) -> str | None:
    """Return the sources as JSON for the function, and for the operator's command.

    The function needs those with a directory or rules of their own, and those with a prefix that the rules
    leave out of names. The command shows and backfills all.

    Args:
        stack: Resolves names that are known only at deployment.
        sources: Those that are watched.
        former: Those whose messages may still wait.
        partner: Rules for sources without their own.
        names: What the document calls the rules that sources have of their own.
        room: Bytes that it may take. Where not all sources fit, only those that the function needs are
            described.
    """
    all_of_them = [
        *(_described(each, names) for each in sources),
        *(_described(each, names, former=True) for each in former),
    ]
    prefix = ("prefix",) if partner and any(each.uses(*_RELATIVE) for each in partner.templates) else ()
    needed = [each for each in all_of_them if not each.keys().isdisjoint(("directory", "rules", *prefix))]
    text: str = stack.to_json_string(all_of_them)
    if known_length(stack, text) <= room:
        return text
    return stack.to_json_string(needed) if needed else None


def _described(
    source: Source, names: Mapping[DeliveryRules, str], *, former: bool = False
) -> dict[str, object]:
    return {
        "bucket": source.bucket_name,
        **({"prefix": source.prefix} if source.prefix else {}),
        **({"suffix": source.suffix} if source.suffix else {}),
        **({"directory": source.directory} if source.directory else {}),
        **({"rules": names[source.rules]} if source.rules is not None else {}),
        **({"former": True} if former else {}),
    }


def known_length(stack: cdk.Stack, *texts: str) -> int:
    """Return the number of bytes of the texts, without what is known only at deployment."""
    return sum(_bytes_in(stack.resolve(text) if is_token(text) else text) for text in texts)


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
    """Warn if objects of two buckets may get the same remote path, where one would replace the other.

    Args:
        scope: The construct that they belong to.
        source: The new source.
        others: The existing sources.
        otherwise: The directory of sources without their own.
    """
    if is_token(otherwise) and not source.directory:
        return
    for other in others:
        if source.bucket_address != other.bucket_address and _may_meet(source, other, otherwise or ""):
            warn(
                scope,
                "sharedRemotePaths",
                f"An object of {source} and one of {other} may get the same remote path: then the later "
                "one replaces the other. Give one of the sources a directory.",
            )
            return  # fixing one warning leads to the next


def _may_meet(one: Source, other: Source, otherwise: str) -> bool:
    """Return whether remote paths of both may be the same."""
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
