"""Where delivered objects are moved to: never where S3 would send an event of a source for the copy."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct, IConstruct

from cdk_s3_to_sftp.annotations import validate_with, warn
from cdk_s3_to_sftp.arguments import InvalidArgument, is_made_here, is_token
from cdk_s3_to_sftp.source_registry import identity
from cdk_s3_to_sftp.sources import Source
from s3_to_sftp.rules.after_delivery import LARGEST_COPY, AfterAction, AfterDelivery
from s3_to_sftp.rules.key_patterns import LONGEST_KEY

_SOURCES: dict[IConstruct, list["_Place"]] = {}
_TARGETS: dict[IConstruct, list["_Place"]] = {}
"""App -> the sources, and the targets of moves, so far."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Keys of a bucket."""

    owner: str
    buckets: frozenset[str]
    """What the bucket is known by."""
    prefix: str
    suffix: str
    is_clear: bool
    """Whether prefix and suffix are known at synth."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where the objects of a source are moved to.

    Attributes:
        bucket: As the app knows it; None: it does not.
        name: Of the bucket, where it is not that of the source.
        prefix: Of the new keys, those of the source's keys included.
    """

    bucket: s3.IBucket | None
    name: str
    prefix: str

    @property
    def encryption_key(self) -> kms.IKey | None:
        """The key that encrypts what is put there, if the app knows one."""
        return self.bucket.encryption_key if self.bucket is not None else None


def check_no_move_loop(scope: Construct, source: Source) -> None:
    """Register a source, unless delivered objects are moved there.

    Raises:
        InvalidArgument: They are.
    """
    origin = _place(scope, source.bucket, source.prefix or "", source)
    for target in _TARGETS.setdefault(scope.node.root, []):
        _refuse_loop(scope, origin, target)
    _SOURCES.setdefault(scope.node.root, []).append(origin)


def target_of(
    scope: Construct, source: Source, rule: AfterDelivery, *, most_bytes: int | None
) -> Target | None:
    """Return where the objects of a source are moved to; None: nowhere.

    Args:
        scope: The delivery.
        source: The source.
        rule: What happens to its objects.
        most_bytes: Of an object, if its rules say that.

    Raises:
        InvalidArgument: It overlaps a source of the app.
    """
    if rule.action is not AfterAction.MOVE:
        return None
    bucket = _named(scope, rule.bucket) if rule.bucket else source.bucket
    known = "" if is_token(source.prefix) else source.prefix or ""
    target = Target(bucket=bucket, name=rule.bucket, prefix=rule.prefix + known)
    shortest = len((target.prefix + ("" if is_token(source.suffix) else source.suffix or "")).encode())
    if shortest >= LONGEST_KEY:
        raise InvalidArgument(
            "rules",
            f"must move objects to keys of at most {LONGEST_KEY} bytes, which is what S3 takes, got "
            f"{shortest} for 'prefix' of after_delivery together with those of {source}: shorten the prefix",
        )
    place = (
        _place(scope, bucket, target.prefix, source)
        if bucket is not None
        else _Place(
            owner=scope.node.path,
            buckets=frozenset({rule.bucket}),
            prefix=target.prefix,
            suffix="" if is_token(source.suffix) else source.suffix or "",
            is_clear=not is_token(source.suffix),
        )
    )
    for origin in _SOURCES.setdefault(scope.node.root, []):
        _refuse_loop(scope, origin, place)
    _TARGETS.setdefault(scope.node.root, []).append(place)
    validate_with(scope, lambda: _warn_of_replaced_copies(scope, target))
    if most_bytes is None or most_bytes > LARGEST_COPY:
        validate_with(scope, lambda: _warn_of_unfinished_uploads(scope, target))
    if rule.prefix and not rule.prefix.endswith("/"):
        warn(
            scope,
            "prefixOfMoveIsNoFolder",
            f"The prefix {rule.prefix!r} of after_delivery stands in front of the key as it is, and makes "
            f"{target.prefix + 'a.csv'!r} of {known + 'a.csv'!r}. If a folder is meant, write "
            f"prefix={rule.prefix + '/'!r}; otherwise acknowledge this.",
        )
    if bucket is None:
        warn(
            scope,
            "unknownTargetOfMove",
            f"Delivered objects are moved to the bucket {rule.bucket!r}, of which the app knows nothing: "
            f"no notification of that bucket may send events of the prefix {rule.prefix!r} to this delivery; "
            "where it belongs to another account, its policy must allow the function's role s3:PutObject, "
            "s3:PutObjectTagging, s3:ListMultipartUploadParts and s3:AbortMultipartUpload; and so must the "
            "policy of its KMS key kms:GenerateDataKey and kms:Decrypt. "
            f"Import it, as in Bucket.from_bucket_name(stack, 'Archive', {rule.bucket!r}), with its key.",
        )
    return target


def _warn_of_replaced_copies(scope: Construct, target: Target) -> list[str]:
    """Warn at synth, when all of the app is known, of a bucket in which a copy replaces an earlier one."""
    if not has_versions(target.bucket):
        warn(
            scope,
            "moveReplacesEarlierCopies",
            f"Delivered objects are moved to {target.prefix + '*'!r} in {_where(target)}, which is not known "
            "to have versions: an object of the same key that was moved there before is replaced, and is "
            "lost. Turn on versioning (versioned=True), or put objects only under keys with a date or "
            "another part that never comes again, and acknowledge this.",
        )
    return []


def _warn_of_unfinished_uploads(scope: Construct, target: Target) -> list[str]:
    """Warn, likewise, of a bucket that keeps parts of copies which a crash or changed rules have ended."""
    if not _aborts_uploads(target):
        warn(
            scope,
            "moveMayLeaveParts",
            f"Delivered objects of more than 5 GiB are copied in parts to {target.prefix + '*'!r} in "
            f"{_where(target)}, which is not known to abort incomplete multipart uploads: parts of a copy "
            "that a crash or changed rules have ended may stay there, invisible and billed. Give the bucket "
            "a lifecycle rule: LifecycleRule(abort_incomplete_multipart_upload_after=Duration.days(7)); or "
            "leave larger objects out with Filter(max_bytes=5 * 1024**3), or acknowledge this.",
        )
    return []


def _where(target: Target) -> str:
    return repr(target.name) if target.name else "the bucket of the source"


def _aborts_uploads(target: Target) -> bool:
    """Return whether the app creates the bucket, with a lifecycle rule that removes parts of the copies."""
    bucket = target.bucket
    if bucket is None or not is_made_here(bucket):
        return False
    resource = bucket.node.default_child
    if not isinstance(resource, s3.CfnBucket):
        return False
    # jsii cannot read `lifecycle_configuration`, which is only known at synth.
    properties = cdk.Stack.of(bucket).resolve(resource._cfn_properties)
    rules = (properties.get("lifecycleConfiguration") or {}).get("rules") or []
    return any(
        "abortIncompleteMultipartUpload" in rule
        and rule.get("status") == "Enabled"
        and target.prefix.startswith(str(rule.get("prefix", "")))
        for rule in rules
    )


def has_versions(bucket: s3.IBucket | None) -> bool:
    """Return whether the app creates the bucket, and with versions; of an imported one that is not known."""
    if bucket is None or not is_made_here(bucket):
        return False
    versions = getattr(bucket.node.default_child, "versioning_configuration", None)
    return "Enabled" in str(cdk.Stack.of(bucket).resolve(versions))


def _named(scope: Construct, name: str) -> s3.IBucket | None:
    """Return the bucket of the app with this name; one that the app creates is preferred to an import."""
    found = [
        each
        for each in scope.node.root.node.find_all()
        if isinstance(each, s3.BucketBase) and name in _names_of(each)
    ]
    return min(found, key=lambda each: (not is_made_here(each), each.encryption_key is None), default=None)


def _names_of(bucket: s3.IBucket) -> frozenset[str]:
    """Return what the bucket is known by: of one that the app creates, the name that it is given."""
    given = getattr(bucket.node.default_child, "bucket_name", None) if is_made_here(bucket) else None
    names = {identity(bucket), given, bucket.bucket_name}
    return frozenset(name for name in names if name and not is_token(name))


def _place(scope: Construct, bucket: s3.IBucket, prefix: str, source: Source) -> _Place:
    return _Place(
        owner=scope.node.path,
        buckets=_names_of(bucket),
        prefix="" if is_token(prefix) else prefix,
        suffix="" if is_token(source.suffix) else source.suffix or "",
        is_clear=not (is_token(prefix) or is_token(source.suffix)),
    )


def _refuse_loop(scope: Construct, origin: _Place, target: _Place) -> None:
    if origin.buckets.isdisjoint(target.buckets):
        return
    if not (origin.is_clear and target.is_clear):
        warn(
            scope,
            "targetOfMoveMayOverlapSource",
            f"Delivered objects are moved to '{target.prefix}*', and a prefix or suffix of a source of the "
            "same bucket is known only at deployment: S3 must not send an event of the source for a moved "
            "object, which would be dead-lettered.",
        )
        return
    prefixes = origin.prefix.startswith(target.prefix) or target.prefix.startswith(origin.prefix)
    suffixes = origin.suffix.endswith(target.suffix) or target.suffix.endswith(origin.suffix)
    if prefixes and suffixes:
        raise InvalidArgument(
            "rules",
            f"must not move delivered objects to where they are delivered from, got '{target.prefix}*"
            f"{target.suffix}' as the target of {target.owner}, and '{origin.prefix}*{origin.suffix}' as a "
            f"source of {origin.owner}: they would be delivered again indefinitely. Give the source a "
            "prefix, or move objects to another prefix or bucket",
        )
