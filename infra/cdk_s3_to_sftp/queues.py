"""The two queues: what waits for its delivery, and what a person must look at."""

import math
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_s3_to_sftp import trades
from cdk_s3_to_sftp.arguments import InvalidArgument
from cdk_s3_to_sftp.parts import Custody

_KEEP_MESSAGES_FOR = cdk.Duration.days(14)
"""The most that SQS allows.

What the function parks has all of it to be looked at. What SQS moves after a crash keeps the age that it had.
"""

_MAX_MESSAGE_BYTES = 256 * 1024
"""A notification of S3 may reach 64 KB."""

LONGEST_INVOCATION = cdk.Duration.minutes(15)
"""The most that Lambda allows."""

_MARGIN = cdk.Duration.minutes(1)
"""For the way from the queue into the function."""

_SECONDS_BETWEEN_RECEIVES = 240
"""Fewer than the function ever leaves between two receives of one message, on the average of hours.

It waits up to 15 minutes by full jitter, seven and a half on average, and five where it leaves a partner in
peace.
"""

_QUICK_RECEIVES = 50
"""On top: the short waits of the first tries, and turns handed back at once as the invocation would end."""

_MOST_RECEIVES = 1000
"""The most that SQS allows."""


def make_dead_letter_queue(scope: Construct, custody: Custody) -> sqs.Queue:
    """Make the queue of what could not be delivered."""
    return _make_queue(scope, "DeadLetterQueue", custody)


def check_dead_letter_queue(queue: sqs.IQueue | None) -> None:
    """Refuse a queue that cannot take what could not be delivered.

    Raises:
        InvalidArgument: It cannot.
    """
    if queue is not None and queue.fifo:
        raise InvalidArgument(
            "dead_letter_queue", f"must be a standard queue, got the FIFO queue {queue.node.path}"
        )


def make_queue(
    scope: Construct,
    custody: Custody,
    *,
    dead_letter_queue: sqs.IQueue,
    timeout: cdk.Duration,
    retry_for: cdk.Duration,
) -> sqs.Queue:
    """Make the queue of what is not delivered yet.

    How long a message waits for its next try is the function's business, and so is when it has waited long
    enough: `retry_for` after it was sent. What is set here takes over only when the function dies before it
    can say anything.

    Args:
        scope: The construct that it belongs to.
        custody: Has the key that encrypts what is in it.
        dead_letter_queue: Takes what killed the function too often.
        timeout: How long one invocation may take.
        retry_for: How long the function tries.
    """
    # Nothing can be added to what only the deployment knows, but it cannot be longer than this.
    hidden_for = (LONGEST_INVOCATION if timeout.is_unresolved() else timeout).plus(_MARGIN)
    return _make_queue(
        scope,
        "Queue",
        custody,
        visibility_timeout=hidden_for,
        dead_letter_queue=sqs.DeadLetterQueue(
            queue=dead_letter_queue, max_receive_count=most_receives(hidden_for, retry_for)
        ),
    )


def most_receives(hidden_for: cdk.Duration, retry_for: cdk.Duration) -> int:
    """How often SQS hands out a message before it moves it to the dead-letter queue by itself.

    Two things must hold. The function gives up first, as it can say why: hence a receive for every 4 minutes
    of `retry_for`, and some. And a message that kills the function at every receive, and so comes back each
    time its visibility ends, must be moved before the queue forgets it: 1000 receives, the most, at 16
    minutes each are 11 of its 14 days.

    Args:
        hidden_for: The visibility timeout.
        retry_for: How long the function tries; at most three days, which is 1000 receives, 259 seconds apart.
    """
    if retry_for.is_unresolved():
        return _MOST_RECEIVES
    apart = min(hidden_for.to_seconds(), _SECONDS_BETWEEN_RECEIVES)
    return min(math.ceil(retry_for.to_seconds() / apart) + _QUICK_RECEIVES, _MOST_RECEIVES)


def _make_queue(
    scope: Construct,
    id: str,  # noqa: A002 -- as in every construct
    custody: Custody,
    **settings: Any,
) -> sqs.Queue:
    key = custody.encryption_key
    queue = sqs.Queue(
        scope,
        id,
        encryption=sqs.QueueEncryption.KMS if key else sqs.QueueEncryption.SQS_MANAGED,
        encryption_master_key=_out_of_reach(scope, id, key) if key else None,
        enforce_ssl=True,
        max_message_size_bytes=_MAX_MESSAGE_BYTES,
        retention_period=_KEEP_MESSAGES_FOR,
        **settings,
    )
    custody.accept_key_of_aws(queue, trades.QUEUE_KEY)
    return queue


def _out_of_reach(scope: Construct, queue: str, key: kms.IKey) -> kms.IKey:
    """The key, imported: CDK would name the bucket in its policy, which needs the key for itself (a cycle).

    `Permissions.share` says what is needed, without names.
    """
    imported = kms.Key.from_key_arn(scope, f"KeyOf{queue}", key.key_arn)
    cdk.Annotations.of(imported).acknowledge_warning(
        "@aws-cdk/aws-s3-notifications:sqsKMSPermissionsNotAdded", "The construct sees to it."
    )
    return imported
