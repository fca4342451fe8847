"""Where delivered objects are moved to: never to where a source of the app would announce them again."""

from dataclasses import dataclass

from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct, IConstruct

from cdk_s3_to_sftp.annotations import warn
from cdk_s3_to_sftp.arguments import InvalidArgument, is_made_here, is_token
from cdk_s3_to_sftp.source_registry import identity
from cdk_s3_to_sftp.sources import Source
from s3_to_sftp.rules.after_delivery import AfterAction, AfterDelivery

_SOURCES: dict[IConstruct, list["_Place"]] = {}
_TARGETS: dict[IConstruct, list["_Place"]] = {}
"""App -> what is watched, and what is moved to, so far."""


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


def check_watched(scope: Construct, source: Source) -> None:
    """Register a source, unless delivered objects are moved there.

    Raises:
        InvalidArgument: They are.
    """
    watched = _place(scope, source.bucket, source.prefix or "", source)
    for target in _TARGETS.setdefault(scope.node.root, []):
        _refuse_loop(scope, watched, target)
    _SOURCES.setdefault(scope.node.root, []).append(watched)


def target_of(scope: Construct, source: Source, rule: AfterDelivery) -> Target | None:
    """Return where the objects of a source are moved to; None: nowhere.

    Raises:
        InvalidArgument: A source of the app watches it.
    """
    if rule.action is not AfterAction.MOVE:
        return None
    bucket = _named(scope, rule.bucket) if rule.bucket else source.bucket
    known = "" if is_token(source.prefix) else source.prefix or ""
    target = Target(bucket=bucket, name=rule.bucket, prefix=rule.prefix + known)
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
    for watched in _SOURCES.setdefault(scope.node.root, []):
        _refuse_loop(scope, watched, place)
    _TARGETS.setdefault(scope.node.root, []).append(place)
    if bucket is None:
        warn(
            scope,
            "unknownTargetOfMove",
            f"Delivered objects are moved to the bucket {rule.bucket!r}, of which the app knows nothing: "
            f"nothing of it may announce objects with the prefix {rule.prefix!r} to this delivery again; "
            "where it belongs to another account, its policy must allow the function's role s3:PutObject and "
            "s3:PutObjectTagging; and so must the policy of its KMS key kms:GenerateDataKey and kms:Decrypt. "
            f"Import it, as in Bucket.from_bucket_name(stack, 'Archive', {rule.bucket!r}), with its key.",
        )
    return target


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


def _refuse_loop(scope: Construct, watched: _Place, target: _Place) -> None:
    if watched.buckets.isdisjoint(target.buckets):
        return
    if not (watched.is_clear and target.is_clear):
        warn(
            scope,
            "targetOfMoveMayBeWatched",
            f"Delivered objects are moved to '{target.prefix}*', and a prefix or suffix of a source of the "
            "same bucket is known only at deployment: moved objects must not be announced again. Those that "
            "are would be dead-lettered.",
        )
        return
    prefixes = watched.prefix.startswith(target.prefix) or target.prefix.startswith(watched.prefix)
    suffixes = watched.suffix.endswith(target.suffix) or target.suffix.endswith(watched.suffix)
    if prefixes and suffixes:
        raise InvalidArgument(
            "rules",
            f"must not move delivered objects to where they are delivered from, got '{target.prefix}*"
            f"{target.suffix}' as the target of {target.owner}, and '{watched.prefix}*{watched.suffix}' as a "
            f"source of {watched.owner}: they would be delivered again without end. Watch a prefix, or move "
            "objects to another one, or to another bucket",
        )
