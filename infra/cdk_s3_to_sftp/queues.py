"""The two queues: notifications of objects to deliver, and dead letters."""

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

A message that the function dead-letters is kept for all of it. One that SQS moves after a crash keeps its
age.
"""

_MAX_MESSAGE_BYTES = 256 * 1024
"""An S3 notification may be up to 64 KB long."""

LONGEST_INVOCATION = cdk.Duration.minutes(30)
"""The most that Lambda allows."""

_MARGIN = cdk.Duration.minutes(1)
"""For the way from the queue to the function."""

_DEAD_FUNCTION_FOR = cdk.Duration.days(4)
"""How long every invocation may crash, as after a bad deployment before a long weekend."""

_THROTTLED_FOR = cdk.Duration.days(11)
"""How long a message may be throttled by the one busy function; the queue drops it after 14 days."""

_MOST_RECEIVES = 1000
"""The most that SQS allows."""


def make_dead_letter_queue(scope: Construct, protection: DataProtection) -> sqs.Queue:
    """Create the dead-letter queue."""
    return _make_queue(scope, "DeadLetterQueue", protection)


def check_dead_letter_queue(scope: Construct, queue: sqs.IQueue | None) -> None:
    """Refuse an unsuitable dead-letter queue.

    Raises:
        InvalidArgument: It is unsuitable.
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
    """Refuse a dead-letter queue that EventBridge cannot send to.

    Raises:
        InvalidArgument: It is unsuitable.
    """
    if queue.encryption_type is sqs.QueueEncryption.KMS_MANAGED:
        raise InvalidArgument(
            "dead_letter_queue",
            "must not be encrypted with the key of SQS (KMS_MANAGED) where a source has "
            f"trigger=Trigger.EVENTBRIDGE, got {queue.node.path}: EventBridge cannot use that key. Encrypt "
            "it with SQS_MANAGED or a customer managed key",
        )


def make_queue(
    scope: Construct,
    protection: DataProtection,
    *,
    dead_letter_queue: sqs.IQueue,
    timeout: cdk.Duration,
    may_be_throttled: bool,
) -> sqs.Queue:
    """Create the queue of objects that are not delivered yet.

    The function itself resends messages that are deferred or retried, and decides when to give up. The
    redrive policy only applies when an invocation ends without a result.

    Args:
        scope: The construct that it belongs to.
        protection: The encryption key and the removal policy.
        dead_letter_queue: Receives messages that crashed the function too often.
        timeout: Timeout of one invocation.
        may_be_throttled: Whether messages may be received while the function has no free concurrency.
    """
    # A Token cannot be added to, but it cannot be longer than this.
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
    """Return how often SQS delivers a message before it moves it to the dead-letter queue on its own.

    A message that an invocation has handled is deleted or resent, so this counts the invocations that
    crashed, and the receives that Lambda could not pass on. Each lasts until the visibility timeout ends.
    There must be enough for a function that is broken for days, and they must be used up before the queue
    drops the message.

    Args:
        hidden_for: The visibility timeout.
        may_be_throttled: Whether messages may be received while the function has no free concurrency.
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
    """Return the key, imported.

    CDK would name the bucket in the key's policy, and the bucket may need the key: a cycle.

    `Permissions.grant_service_use_of_key` grants what is needed, without names.
    """
    imported = kms.Key.from_key_arn(scope, f"KeyOf{queue}", key.key_arn)
    cdk.Annotations.of(imported).acknowledge_warning(
        "@aws-cdk/aws-s3-notifications:sqsKMSPermissionsNotAdded", "The construct grants it."
    )
    return imported
