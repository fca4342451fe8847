"""The queue policies: S3 may send for the source buckets, EventBridge for rules of this account.

There is one statement for each, whatever the number of sources: an SQS policy holds at most 20 statements,
10 conditions and 8,192 bytes (Amazon SQS Developer Guide, "Amazon SQS policy quotas"). Neither depends on
the trigger of a source. A deployment that changes a trigger therefore does not change the policy, and the
queue accepts every event during it: EventBridge does not retry after a permission error.
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

from cdk_s3_to_sftp.annotations import warn
from cdk_s3_to_sftp.arguments import is_made_here

MOST_BUCKETS = 80
"""Number of ARNs that fit into a policy of 8,192 bytes if every name has 63 characters."""


class QueuePolicies:
    """Allows S3 and EventBridge to send to the queue, and undeliverable events to the dead-letter queue.

    Attributes:
        queue: Receives the events.
        for_dead_letter_queue: What the policy of an imported dead-letter queue must contain.
    """

    def __init__(self, scope: Construct, *, queue: sqs.IQueue, dead_letter_queue: sqs.IQueue) -> None:
        self._scope = scope
        self._buckets: list[str] = []
        self.queue = queue
        self._dead_letter_queue = dead_letter_queue
        self._takes_dead_letters = False
        self.for_dead_letter_queue: list[iam.PolicyStatement] = []
        queue.add_to_resource_policy(self._from_buckets())
        queue.add_to_resource_policy(self._from_rules(queue))

    def allow(self, bucket: s3.IBucket) -> None:
        """Allow S3 to send for a bucket."""
        if (arn := bucket.bucket_arn) not in self._buckets:
            self._buckets.append(arn)

    def accept_dead_letters_of_rules(self) -> sqs.IQueue:
        """Allow rules to send to the dead-letter queue, and return that queue."""
        if not self._takes_dead_letters:
            self._takes_dead_letters = True
            self._let_rules_into_dead_letter_queue()
        return self._dead_letter_queue

    def _let_rules_into_dead_letter_queue(self) -> None:
        # Names no rule: the stack of the dead-letter queue would need this stack, which needs the queue.
        statement = self._from_rules(self._dead_letter_queue)
        if is_made_here(self._dead_letter_queue):
            self._dead_letter_queue.add_to_resource_policy(statement)
            return
        self.for_dead_letter_queue.append(statement)
        warn(
            self._scope,
            "policyOfImportedQueue",
            f"The policy of queue {self._dead_letter_queue.node.path} cannot be changed by the app. It must "
            "contain the statement of `dead_letter_queue_policy_statements`, or what EventBridge cannot "
            "deliver within a day is lost. Import a queue with a customer managed key by "
            "`from_queue_attributes(key_arn=...)`.",
        )

    def errors(self) -> list[str]:
        """Return the errors to report at synth."""
        if len(self._buckets) <= MOST_BUCKETS:
            return []
        return [
            f"its sources are in {len(self._buckets)} buckets, and the policy of a queue has room for "
            f"{MOST_BUCKETS}: make a second construct for some of them"
        ]

    def _from_buckets(self) -> iam.PolicyStatement:
        # The ARN alone is not enough: after a bucket is deleted, any account can create one with the same
        # name.
        return self._sending(
            self.queue, "s3.amazonaws.com", cdk.Lazy.list(_Producer(lambda: list(self._buckets)))
        )

    def _from_rules(self, queue: sqs.IQueue) -> iam.PolicyStatement:
        # Does not list rules: a new rule would exist before the policy that names it, and lose the events in
        # between.
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
    """The queue as the destination of a notification. CDK's own class adds a statement for each source."""

    def __init__(self, queue: sqs.IQueue) -> None:
        self._queue = queue

    def bind(
        self,
        scope: Construct,  # noqa: ARG002 -- CDK passes it by its name
        bucket: Any,  # noqa: ARG002
    ) -> s3.BucketNotificationDestinationConfig:
        """Return the destination. It depends on the queue's policy: S3 checks its permission to send."""
        return s3.BucketNotificationDestinationConfig(
            arn=self._queue.queue_arn,
            type=s3.BucketNotificationDestinationType.QUEUE,
            dependencies=[self._queue],
        )


@jsii.implements(events.IRuleTarget)
class TargetQueue:
    """The queue as the target of a rule. CDK's own class adds a statement for each rule to both queues."""

    def __init__(self, queue: sqs.IQueue, dead_letter_queue: sqs.IQueue) -> None:
        self._queue = queue
        self._dead_letter_queue = dead_letter_queue

    def bind(
        self,
        rule: Any,  # noqa: ARG002
        id: str | None = None,  # noqa: A002, ARG002
    ) -> events.RuleTargetConfig:
        """Return the target and its dead-letter queue."""
        return events.RuleTargetConfig(
            arn=self._queue.queue_arn,
            dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=self._dead_letter_queue.queue_arn),
            target_resource=self._queue,
        )
