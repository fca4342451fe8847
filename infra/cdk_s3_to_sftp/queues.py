"""The two queues: what waits for its delivery, and what a person must look at."""

import math
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_s3_to_sftp import suppressions
from cdk_s3_to_sftp.arguments import InvalidArgument, check_same_place
from cdk_s3_to_sftp.resources import DataProtection

_KEEP_MESSAGES_FOR = cdk.Duration.days(14)
"""The most that SQS allows.

What the function parks has all of it to be looked at. What SQS moves after a crash keeps the age that it had.
"""

_MAX_MESSAGE_BYTES = 256 * 1024
"""A notification of S3 may reach 64 KB."""

LONGEST_INVOCATION = cdk.Duration.minutes(30)
"""The most that Lambda allows."""

_MARGIN = cdk.Duration.minutes(1)
"""For the way from the queue into the function."""

_DEAD_FUNCTION_FOR = cdk.Duration.days(4)
"""So long may no invocation come to an end, as after a deployment that went wrong before a long weekend."""

_THROTTLED_FOR = cdk.Duration.days(11)
"""So long may a message find the one function busy; the queue forgets it after 14 days."""

_MOST_RECEIVES = 1000
"""The most that SQS allows."""


def make_dead_letter_queue(scope: Construct, protection: DataProtection) -> sqs.Queue:
    """Make the queue of what could not be delivered."""
    return _make_queue(scope, "DeadLetterQueue", protection)


def check_dead_letter_queue(scope: Construct, queue: sqs.IQueue | None) -> None:
    """Refuse a queue that cannot take what could not be delivered.

    Raises:
        InvalidArgument: It cannot.
    """
    if queue is None:
        return
    if queue.fifo:
        raise InvalidArgument(
            "dead_letter_queue", f"must be a standard queue, got the FIFO queue {queue.node.path}"
        )
    check_same_place(
        scope, "dead_letter_queue", queue, queue.queue_arn, beside="queue", otherwise="SQS would refuse it"
    )


def check_takes_events(queue: sqs.IQueue) -> None:
    """Refuse a dead-letter queue that EventBridge cannot put anything into.

    Raises:
        InvalidArgument: It cannot.
    """
    if queue.encryption_type is sqs.QueueEncryption.KMS_MANAGED:
        raise InvalidArgument(
            "dead_letter_queue",
            "must not be encrypted with the key of SQS (KMS_MANAGED) where a source has "
            f"trigger=Trigger.EVENTBRIDGE, got {queue.node.path}: EventBridge may not use that key. Encrypt "
            "it with SQS_MANAGED, or with a key of yours",
        )


def make_queue(
    scope: Construct,
    protection: DataProtection,
    *,
    dead_letter_queue: sqs.IQueue,
    timeout: cdk.Duration,
    may_be_throttled: bool,
) -> sqs.Queue:
    """Make the queue of what is not delivered yet.

    The function sends anew what has to wait or is retried, and decides when it was tried long enough. What is
    set here takes over only when an invocation ends before it can say anything.

    Args:
        scope: The construct that it belongs to.
        protection: Has the key that encrypts what is in it.
        dead_letter_queue: Takes what killed the function too often.
        timeout: How long one invocation may take.
        may_be_throttled: Whether messages are taken out that the function has no room for.
    """
    # Nothing can be added to what only the deployment knows, but it cannot be longer than this.
    hidden_for = (LONGEST_INVOCATION if timeout.is_unresolved() else timeout).plus(_MARGIN)
    receives = most_receives(hidden_for, may_be_throttled=may_be_throttled)
    return _make_queue(
        scope,
        "Queue",
        protection,
        visibility_timeout=hidden_for,
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letter_queue, max_receive_count=receives),
    )


def most_receives(hidden_for: cdk.Duration, *, may_be_throttled: bool) -> int:
    """How often SQS hands out a message before it moves it to the dead-letter queue by itself.

    Every message that an invocation has answered for is gone or was sent anew, so this counts the
    invocations that died, and the receives that Lambda could not hand on. Each lasts until the visibility
    ends. There must be enough for a function that is out of order for days, and they must be over before the
    queue forgets the message.

    Args:
        hidden_for: The visibility timeout.
        may_be_throttled: Whether messages are taken out that the function has no room for.
    """
    lasts = _THROTTLED_FOR if may_be_throttled else _DEAD_FUNCTION_FOR
    return min(math.ceil(lasts.to_seconds() / hidden_for.to_seconds()), _MOST_RECEIVES)


def _make_queue(
    scope: Construct,
    id: str,  # noqa: A002 -- as in every construct
    protection: DataProtection,
    **settings: Any,
) -> sqs.Queue:
    key = protection.encryption_key
    queue = sqs.Queue(
        scope,
        id,
        encryption=sqs.QueueEncryption.KMS if key else sqs.QueueEncryption.SQS_MANAGED,
        encryption_master_key=_out_of_reach(scope, id, key) if key else None,
        enforce_ssl=True,
        max_message_size_bytes=_MAX_MESSAGE_BYTES,
        retention_period=_KEEP_MESSAGES_FOR,
        removal_policy=protection.removal_policy,
        **settings,
    )
    protection.acknowledge_aws_managed_key(queue, suppressions.QUEUE_KEY)
    return queue


def _out_of_reach(scope: Construct, queue: str, key: kms.IKey) -> kms.IKey:
    """The key, imported: CDK would name the bucket in its policy, which needs the key for itself (a cycle).

    `Permissions.grant_service_use_of_key` says what is needed, without names.
    """
    imported = kms.Key.from_key_arn(scope, f"KeyOf{queue}", key.key_arn)
    cdk.Annotations.of(imported).acknowledge_warning(
        "@aws-cdk/aws-s3-notifications:sqsKMSPermissionsNotAdded", "The construct sees to it."
    )
    return imported
