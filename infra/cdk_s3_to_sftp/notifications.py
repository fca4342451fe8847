"""Announces new objects of a source to the queue: by an S3 notification, or by an EventBridge rule."""

import hashlib
import json
import urllib.parse

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_s3 as s3
from constructs import Construct, IConstruct

from cdk_s3_to_sftp.annotations import validate_with, warn
from cdk_s3_to_sftp.arguments import InvalidArgument, is_made_here, is_token
from cdk_s3_to_sftp.queue_policies import NotifiedQueue, QueuePolicies, TargetQueue
from cdk_s3_to_sftp.regions_and_accounts import allow_events_from, check_region_and_account, other_account
from cdk_s3_to_sftp.source_registry import identity, register_source
from cdk_s3_to_sftp.sources import Source

_REFERENCES = "@aws-cdk/core:defaultCrossStackReferences"

_RULES: dict[tuple[IConstruct, str, str], list[events.Rule]] = {}
"""App, stack and bucket -> its EventBridge rules."""

_LONGEST_FILTER = 1024
"""Characters of the URL-encoded prefix or suffix of a notification (Amazon S3 API Reference, FilterRule)."""

_LONGEST_PATTERN = 2048
"""Characters of an event pattern (quotas of EventBridge)."""


def watch(scope: Construct, source: Source, queue_policies: QueuePolicies) -> events.Rule | None:
    """Announce every new object of the source to the queue.

    Args:
        scope: The construct that the source belongs to.
        source: What to watch.
        queue_policies: The queue, and who may send to it.

    Returns:
        The EventBridge rule, if the trigger of the source has one.

    Raises:
        InvalidArgument: Some objects would be announced twice or never, or S3 would reject the notification.
    """
    check_region_and_account(scope, source)
    register_source(scope, source)
    queue_policies.allow(source.bucket)
    _warn_of_strong_reference(scope, source.bucket)
    rules = _RULES.setdefault((scope.node.root, cdk.Stack.of(scope).node.addr, identity(source.bucket)), [])
    bucket = _view_from(scope, source.bucket) if source.trigger.has_notification else source.bucket
    is_first = _notifications(scope, bucket) is None
    rule = None
    if source.trigger.has_rule:
        _enable_eventbridge(scope, bucket, is_notified=source.trigger.has_notification)
        rule = _add_rule(scope, source, queue_policies)
        rules.append(rule)
    if source.trigger.has_notification:
        bucket.add_event_notification(
            s3.EventType.OBJECT_CREATED, NotifiedQueue(queue_policies.queue), *_key_filter(scope, source)
        )
    added = [rule] if rule else []
    _change_notifications_after(scope, bucket, rules if is_first else added)
    return rule


def _change_notifications_after(scope: Construct, bucket: s3.IBucket, rules: list[events.Rule]) -> None:
    """Create the rules before the bucket's notifications change: a rule may replace a notification."""
    if notifications := _notifications(scope, bucket):
        for rule in rules:
            notifications.node.add_dependency(rule)


def _notifications(scope: Construct, bucket: s3.IBucket) -> IConstruct | None:
    """Return the resource of this stack that writes the bucket's notifications, if there is one.

    If another stack owns the bucket, only that stack can write them.
    """
    if not _is_of_same_stack(scope, bucket):
        return None
    notifications = bucket.node.try_find_child("Notifications")
    return notifications.node.try_find_child("Resource") if notifications else None


def _view_from(scope: Construct, bucket: s3.IBucket) -> s3.IBucket:
    """Return the bucket, imported if another stack owns it.

    Otherwise that stack's notification would need this one's queue, whose policy needs the bucket: a cycle.
    All constructs of a stack share one import, under an id that does not depend on them: when an import is
    removed, its custom resource removes the notifications of the whole stack.
    """
    if _is_of_same_stack(scope, bucket):
        return bucket
    stack = cdk.Stack.of(scope)
    if is_made_here(bucket):
        validate_with(scope, lambda: _what_its_own_stack_would_overwrite(scope, bucket))
    name = f"SourceBucket{cdk.Names.node_unique_id(bucket.node)}"
    if existing := stack.node.try_find_child(name):
        return existing  # type: ignore[return-value]  # no other construct has such an id
    return s3.Bucket.from_bucket_attributes(
        stack,
        name,
        bucket_arn=bucket.bucket_arn,
        encryption_key=bucket.encryption_key,
        # Protected in TypeScript. The owner's policies allow this role to write the notifications.
        notifications_handler_role=getattr(bucket, "_notifications_handler_role", None),
    )


def _is_of_same_stack(scope: Construct, bucket: s3.IBucket) -> bool:
    return bool(cdk.Stack.of(bucket).node.addr == cdk.Stack.of(scope).node.addr)


def _warn_of_strong_reference(scope: Construct, bucket: s3.IBucket) -> None:
    if not is_made_here(bucket) or _is_of_same_stack(scope, bucket):
        return
    if scope.node.try_get_context(_REFERENCES) != "weak":
        owner = cdk.Stack.of(bucket).node.path
        warn(
            scope,
            "strongReferenceToBucket",
            f"Stack {owner} exports its bucket {bucket.node.path} to this one, and CloudFormation refuses "
            "to change or remove an export that is in use: moving the bucket, or removing this "
            f'partner, requires two deployments in the right order. Set "{_REFERENCES}" to "weak" in the '
            "context of cdk.json.",
        )


def _what_its_own_stack_would_overwrite(scope: Construct, bucket: s3.IBucket) -> list[str]:
    if bucket.node.try_find_child("Notifications") is None:
        return []
    return [
        f"the stack of bucket {bucket.node.path} writes all of its notifications (to "
        f"{_who_is_notified(bucket)}) at once: its next deployment would remove the notification of "
        f"{scope.node.path}. Use trigger=Trigger.EVENTBRIDGE here"
    ]


def _who_is_notified(bucket: s3.IBucket) -> str:
    """Return the paths of the constructs that the bucket notifies by its own stack."""
    resource = bucket.node.find_child("Notifications").node.find_child("Resource")
    # The notification depends on every destination, or on its permission, a child of the bucket.
    own = f"{bucket.node.path}/Notifications/"
    paths = [each.node.path for each in resource.node.dependencies if not each.node.path.startswith(own)]
    return ", ".join(paths) or "EventBridge"


def _key_filter(scope: Construct, source: Source) -> list[s3.NotificationKeyFilter]:
    """Return the filter of the notification. Empty: all objects."""
    if not (source.prefix or source.suffix):
        return []
    return [
        s3.NotificationKeyFilter(
            prefix=_as_in_notification(scope, "prefix", source.prefix),
            suffix=_as_in_notification(scope, "suffix", source.suffix),
        )
    ]


def _as_in_notification(scope: Construct, name: str, text: str | None) -> str | None:
    """Return the text as S3 compares it: a space as '+', all but S3's safe characters percent-encoded.

    S3 accepts it unencoded, too, but then it never matches. IAM and EventBridge compare it unencoded.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
    """
    if not text:
        return None
    if is_token(text):
        warn(
            scope,
            "filterKnownAtDeployment",
            f"The {name} of a source is known only at deployment and cannot be URL-encoded for S3's "
            "notification. If it contains anything but letters, digits and !-_.*'()/ nothing is delivered; "
            "trigger=Trigger.EVENTBRIDGE accepts all characters.",
        )
        return text
    encoded = urllib.parse.quote_plus(text, safe="/!*'()").replace("~", "%7E")
    if len(encoded) > _LONGEST_FILTER:
        raise InvalidArgument(
            name,
            f"must be at most {_LONGEST_FILTER} characters long when it is URL-encoded for S3's "
            f"notification, got {len(encoded)}: shorten it, or use trigger=Trigger.EVENTBRIDGE",
        )
    return encoded


def _enable_eventbridge(scope: Construct, bucket: s3.IBucket, *, is_notified: bool) -> None:
    # If this stack writes the notifications of a bucket that it does not own, it adds to the existing ones,
    # and CDK leaves EventBridge enabled when that resource is removed.
    if is_made_here(bucket) or is_notified:
        if not _announces_to_eventbridge(bucket):
            bucket.enable_event_bridge_notification()
        return
    warn(
        scope,
        "eventBridgeOfImportedBucket",
        f"The app does not own bucket {bucket.node.path}: its owner must turn on "
        '"Send notifications to Amazon EventBridge" (EventBridgeConfiguration: {} in CloudFormation, '
        "event_bridge_enabled=True in CDK). Until then nothing is delivered from it.",
    )


def _announces_to_eventbridge(bucket: s3.IBucket) -> bool:
    """Return whether the bucket's own resource enables it: then CDK's custom resource has nothing to add."""
    resource = bucket.node.default_child
    if not isinstance(resource, s3.CfnBucket):
        return False
    configuration = getattr(resource.notification_configuration, "event_bridge_configuration", None)
    return getattr(configuration, "event_bridge_enabled", False) is True


def _add_rule(scope: Construct, source: Source, queue_policies: QueuePolicies) -> events.Rule:
    stack = cdk.Stack.of(scope)
    # The id depends on the content, not on the position: when sources are added, removed or reordered, the
    # rules of the others do not change, and no event is lost between two versions of a rule.
    named = stack.resolve([identity(source.bucket), source.prefix, source.suffix])
    owner = other_account(scope, source.bucket)
    if owner:
        allow_events_from(scope, owner)
        warn(
            scope,
            "eventsOfForeignBucket",
            f"The events of bucket {source.bucket.node.path} stay in account {owner} until its owner deploys "
            "`forwarding_template(bucket)` there. Until then nothing is delivered from it.",
        )
    rule = events.Rule(
        scope,
        f"Rule{hashlib.sha256(json.dumps(named).encode()).hexdigest()[:8]}",
        description=f"New objects to deliver by {scope.node.path}",
        event_pattern=events.EventPattern(
            source=["aws.s3"],
            account=[owner] if owner else None,
            detail_type=["Object Created"],
            detail={
                "bucket": {"name": [source.bucket.bucket_name]},
                **({"object": {"key": _key_patterns(source)}} if source.prefix or source.suffix else {}),
            },
        ),
        targets=[TargetQueue(queue_policies.queue, queue_policies.accept_dead_letters_of_rules())],
    )
    rule.node.add_dependency(queue_policies.queue)  # including its policy
    return rule


def _key_patterns(source: Source) -> list[str | dict[str, str]]:
    """Return the patterns of which a key must match one.

    Prefix and suffix make one condition: two conditions for one field are alternatives. A wildcard matches
    one followed by the other, but they may also overlap: `out/done.csv` begins with `out/` and ends with
    `/done.csv`. Such keys are listed in full.
    """
    match source.prefix, source.suffix:
        case str(prefix), None | "":
            return [{"prefix": prefix}]
        case None | "", str(suffix):
            return [{"suffix": suffix}]
    prefix, suffix = source.prefix or "", source.suffix or ""
    # Apart from the asterisk, a backslash is the only special character in a wildcard.
    apart = "*".join(part.replace("\\", "\\\\") for part in (prefix, suffix))
    patterns: list[str | dict[str, str]] = [{"wildcard": apart}, *_sharing_characters(prefix, suffix)]
    if (length := len(json.dumps(patterns))) > _LONGEST_PATTERN:
        raise InvalidArgument(
            "prefix",
            f"and suffix make an event pattern of {length} characters, and EventBridge allows "
            f"{_LONGEST_PATTERN}: shorten them, or use trigger=Trigger.NOTIFICATION",
        )
    return patterns


def _sharing_characters(prefix: str, suffix: str) -> list[str]:
    """Return the keys in which prefix and suffix overlap, the longest first."""
    if is_token(prefix) or is_token(suffix):
        return []
    return [
        prefix + suffix[shared:]
        for shared in range(1, min(len(prefix), len(suffix)) + 1)
        if prefix.endswith(suffix[:shared])
    ]
