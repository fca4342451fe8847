"""Who may send to the queues: S3 for the buckets that are watched, and EventBridge for rules of this account.

One statement each, whatever the number of sources: a policy of SQS holds at most 20 statements, 10 conditions
and 8,192 bytes (Amazon SQS Developer Guide, "Amazon SQS policy quotas"). Neither says which trigger a source
has. A deployment that changes a trigger so leaves the policy alone, and no announcement meets a queue that
refuses it already, or still: EventBridge does not repeat what it had no permission for.
"""

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import jsii
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_s3_to_sftp.arguments import is_made_here

MOST_BUCKETS = 80
"""As many ARNs have room in a policy of 8,192 bytes, when every name has 63 characters."""


class Senders:
    """Lets announcements into the queue, and what EventBridge cannot put there into the dead-letter queue.

    Attributes:
        queue: Gets the announcements.
    """

    def __init__(self, scope: Construct, *, queue: sqs.IQueue, dead_letter_queue: sqs.IQueue) -> None:
        self._scope = scope
        self._buckets: list[str] = []
        self.queue = queue
        # In another stack its policy would come first, and the rule with it: EventBridge then tries for 24
        # hours, and forgets.
        is_here = (
            is_made_here(dead_letter_queue)
            and cdk.Stack.of(dead_letter_queue).node.addr == cdk.Stack.of(scope).node.addr
        )
        self._dead_letter_queue = dead_letter_queue if is_here else None
        self._takes_dead_letters = False
        queue.add_to_resource_policy(self._from_buckets())
        queue.add_to_resource_policy(self._from_rules(queue))

    def allow(self, bucket: s3.IBucket) -> None:
        """Let S3 send for a bucket."""
        if (arn := bucket.bucket_arn) not in self._buckets:
            self._buckets.append(arn)

    def dead_letters_of_rules(self) -> sqs.IQueue | None:
        """The queue for what a rule cannot put into the other one, which takes it from now on; or none."""
        if self._dead_letter_queue and not self._takes_dead_letters:
            self._dead_letter_queue.add_to_resource_policy(self._from_rules(self._dead_letter_queue))
            self._takes_dead_letters = True
        return self._dead_letter_queue

    def complaints(self) -> list[str]:
        """What is wrong at synth."""
        if len(self._buckets) <= MOST_BUCKETS:
            return []
        return [
            f"its sources are in {len(self._buckets)} buckets, and the policy of a queue has room for "
            f"{MOST_BUCKETS}: make a second construct for some of them"
        ]

    def _from_buckets(self) -> iam.PolicyStatement:
        # The account, too: the name of a bucket that was deleted is free for everybody.
        return self._sending(
            self.queue, "s3.amazonaws.com", cdk.Lazy.list(_Producer(lambda: list(self._buckets)))
        )

    def _from_rules(self, queue: sqs.IQueue) -> iam.PolicyStatement:
        # Not one rule each: a new rule would come before the policy that names it, and lose what it matches
        # in between.
        every_rule = cdk.Stack.of(self._scope).format_arn(
            service="events", resource="rule", resource_name="*"
        )
        return self._sending(queue, "events.amazonaws.com", [every_rule])

    def _sending(self, queue: sqs.IQueue, service: str, arns: list[str]) -> iam.PolicyStatement:
        return iam.PolicyStatement(
            principals=[iam.ServicePrincipal(service)],
            actions=["sqs:SendMessage"],
            resources=[queue.queue_arn],
            conditions={
                "ArnLike": {"aws:SourceArn": arns},
                "StringEquals": {"aws:SourceAccount": cdk.Stack.of(self._scope).account},
            },
        )


@jsii.implements(cdk.IStableListProducer)
class _Producer:
    def __init__(self, produce: Callable[[], list[str]]) -> None:
        self._produce = produce

    def produce(self) -> list[str]:
        return self._produce()


@jsii.implements(s3.IBucketNotificationDestination)
class NotifiedQueue:
    """The queue as the destination of a notification: CDK's own adds a statement for each source."""

    def __init__(self, queue: sqs.IQueue) -> None:
        self._queue = queue

    def bind(
        self,
        scope: Construct,  # noqa: ARG002 -- CDK passes it by its name
        bucket: Any,  # noqa: ARG002
    ) -> s3.BucketNotificationDestinationConfig:
        """Say where it is. Its policy comes first: S3 tries whether it may send."""
        return s3.BucketNotificationDestinationConfig(
            arn=self._queue.queue_arn,
            type=s3.BucketNotificationDestinationType.QUEUE,
            dependencies=[self._queue],
        )


@jsii.implements(events.IRuleTarget)
class TargetQueue:
    """The queue as the target of a rule: CDK's own adds a statement for each rule, to both queues."""

    def __init__(self, queue: sqs.IQueue, dead_letter_queue: sqs.IQueue | None) -> None:
        self._queue = queue
        self._dead_letter_queue = dead_letter_queue

    def bind(
        self,
        rule: Any,  # noqa: ARG002
        id: str | None = None,  # noqa: A002, ARG002
    ) -> events.RuleTargetConfig:
        """Say where it is, and where to put what cannot be put there."""
        dead_letters = self._dead_letter_queue
        return events.RuleTargetConfig(
            arn=self._queue.queue_arn,
            dead_letter_config=(
                events.CfnRule.DeadLetterConfigProperty(arn=dead_letters.queue_arn) if dead_letters else None
            ),
            target_resource=self._queue,
        )
