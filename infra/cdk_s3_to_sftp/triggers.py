"""What puts a new object of a source into the queue: a notification of S3, or a rule of EventBridge."""

import hashlib
import json
from collections.abc import Callable

import aws_cdk as cdk
import constructs
import jsii
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_notifications as s3n
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_s3_to_sftp.arguments import is_made_here
from cdk_s3_to_sftp.findings import warn
from cdk_s3_to_sftp.known_sources import identity, make_known
from cdk_s3_to_sftp.sources import Source, Trigger


def watch(scope: Construct, source: Source, *, queue: sqs.IQueue, dead_letter_queue: sqs.IQueue) -> None:
    """Have every new object of the source announced to the queue.

    Args:
        scope: The construct that the source belongs to.
        source: What to watch.
        queue: Gets the announcements.
        dead_letter_queue: Gets what EventBridge cannot put into the queue.

    Raises:
        InvalidArgument: Some objects would be announced twice, or S3 would not take the notification.
    """
    make_known(scope, source)
    if source.trigger is Trigger.EVENTBRIDGE:
        _enable_eventbridge(scope, source.bucket)
        _add_rule(scope, source, queue, dead_letter_queue)
    else:
        _view_from(scope, source.bucket).add_event_notification(
            s3.EventType.OBJECT_CREATED, s3n.SqsDestination(queue), *_key_filter(source)
        )


def _view_from(scope: Construct, bucket: s3.IBucket) -> s3.IBucket:
    """The bucket, imported where another stack owns it.

    Otherwise that stack's notification needs this one's queue, whose policy needs the bucket: a cycle. There
    is one import for all constructs of a stack, under a name that does not depend on them: the custom
    resource of an import that is removed takes the notifications of its whole stack away.
    """
    stack = cdk.Stack.of(scope)
    if cdk.Stack.of(bucket).node.addr == stack.node.addr:
        return bucket
    if is_made_here(bucket):
        validate_with(scope, lambda: _what_its_own_stack_would_overwrite(scope, bucket))
    name = f"Watched{cdk.Names.node_unique_id(bucket.node)}"
    if existing := stack.node.try_find_child(name):
        return existing  # type: ignore[return-value]  # nobody else gives such a name
    return s3.Bucket.from_bucket_attributes(
        stack, name, bucket_arn=bucket.bucket_arn, encryption_key=bucket.encryption_key
    )


def _what_its_own_stack_would_overwrite(scope: Construct, bucket: s3.IBucket) -> list[str]:
    if bucket.node.try_find_child("Notifications") is None:
        return []
    return [
        f"bucket {bucket.node.path} has its notifications (to {_who_is_notified(bucket)}) written by its own "
        f"stack, all at once: its next deployment would remove the one of {scope.node.path}. Use "
        "trigger=Trigger.EVENTBRIDGE here"
    ]


def _who_is_notified(bucket: s3.IBucket) -> str:
    """Paths of the constructs that the bucket's own stack has it notify."""
    resource = bucket.node.find_child("Notifications").node.find_child("Resource")
    # Every destination makes the notification wait for it, or for its permission, a child of the bucket.
    own = f"{bucket.node.path}/Notifications/"
    paths = [each.node.path for each in resource.node.dependencies if not each.node.path.startswith(own)]
    return ", ".join(paths) or "EventBridge"


def _key_filter(source: Source) -> list[s3.NotificationKeyFilter]:
    """The filter of the notification; none for all objects."""
    if not (source.prefix or source.suffix):
        return []
    return [s3.NotificationKeyFilter(prefix=source.prefix or None, suffix=source.suffix or None)]


def _enable_eventbridge(scope: Construct, bucket: s3.IBucket) -> None:
    if is_made_here(bucket):
        bucket.enable_event_bridge_notification()
        return
    warn(
        scope,
        "eventBridgeOfImportedBucket",
        f"The notifications of bucket {bucket.node.path} belong to somebody else, who must switch on "
        '"Send notifications to Amazon EventBridge" there (EventBridgeConfiguration: {} in CloudFormation, '
        "event_bridge_enabled=True in CDK). Until then nothing is delivered from it.",
    )


def _add_rule(
    scope: Construct, source: Source, queue: sqs.IQueue, dead_letter_queue: sqs.IQueue
) -> events.Rule:
    stack = cdk.Stack.of(scope)
    # The name says what it is for, not which one it is: when sources are added, removed or put in another
    # order, the rules of the others stay as they are, and no event falls between two versions of a rule.
    named = stack.resolve([identity(source.bucket), source.prefix, source.suffix])
    # In another stack its policy would need the rule, and the rule it: a cycle. EventBridge then tries for
    # 24 hours, and forgets.
    is_here = is_made_here(dead_letter_queue) and cdk.Stack.of(dead_letter_queue).node.addr == stack.node.addr
    return events.Rule(
        scope,
        f"Rule{hashlib.sha256(json.dumps(named).encode()).hexdigest()[:8]}",
        description=f"New objects to deliver by {scope.node.path}",
        event_pattern=events.EventPattern(
            source=["aws.s3"],
            detail_type=["Object Created"],
            detail={
                "bucket": {"name": [source.bucket.bucket_name]},
                **({"object": {"key": [_key_pattern(source)]}} if source.prefix or source.suffix else {}),
            },
        ),
        targets=[targets.SqsQueue(queue, dead_letter_queue=dead_letter_queue if is_here else None)],
    )


def _key_pattern(source: Source) -> dict[str, str]:
    """What the key must look like. Two conditions for one field would mean either: so both make one."""
    match source.prefix, source.suffix:
        case str(prefix), None | "":
            return {"prefix": prefix}
        case None | "", str(suffix):
            return {"suffix": suffix}
    escaped = [part.replace("\\", "\\\\") for part in (source.prefix or "", source.suffix or "")]
    return {"wildcard": "*".join(escaped)}


def validate_with(scope: Construct, check: Callable[[], list[str]]) -> None:
    """Ask `check` at synth, when everything is there, for sentences that say what is wrong."""
    scope.node.add_validation(_Validation(check))


@jsii.implements(constructs.IValidation)
class _Validation:
    def __init__(self, check: Callable[[], list[str]]) -> None:
        self._check = check

    def validate(self) -> list[str]:
        return self._check()
