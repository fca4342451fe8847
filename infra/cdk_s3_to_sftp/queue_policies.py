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

from cdk_s3_to_sftp.annotations import warn
from cdk_s3_to_sftp.arguments import is_made_here

MOST_BUCKETS = 80
"""As many ARNs have room in a policy of 8,192 bytes, when every name has 63 characters."""


class QueuePolicies:
    """Lets announcements into the queue, and what EventBridge cannot put there into the dead-letter queue.

    Attributes:
        queue: Gets the announcements.
        for_dead_letter_queue: What the policy of the dead-letter queue must say that the app cannot change.
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
        """Let S3 send for a bucket."""
        if (arn := bucket.bucket_arn) not in self._buckets:
            self._buckets.append(arn)

    def accept_dead_letters_of_rules(self) -> sqs.IQueue:
        """The queue for what a rule cannot put into the other one, which takes it from now on."""
        if not self._takes_dead_letters:
            self._takes_dead_letters = True
            self._let_rules_into_dead_letter_queue()
        return self._dead_letter_queue

    def _let_rules_into_dead_letter_queue(self) -> None:
        # Names no rule: in the stack of the queue that would need this one, which needs the queue.
        statement = self._from_rules(self._dead_letter_queue)
        if is_made_here(self._dead_letter_queue):
            self._dead_letter_queue.add_to_resource_policy(statement)
            return
        self.for_dead_letter_queue.append(statement)
        warn(
            self._scope,
            "policyOfImportedQueue",
            f"The policy of queue {self._dead_letter_queue.node.path} cannot be changed here. It must hold "
            "the statement of `dead_letter_queue_policy_statements`, or what EventBridge cannot deliver in a "
            "day is lost. Import one with a key of its own by `from_queue_attributes(key_arn=...)`.",
        )

    def errors(self) -> list[str]:
        """What is wrong at synth."""
        if len(self._buckets) <= MOST_BUCKETS:
            return []
        return [
            f"its sources are in {len(self._buckets)} buckets, and the policy of a queue has room for "
            f"{MOST_BUCKETS}: make a second construct for some of them"
        ]

    def _from_buckets(self) -> iam.PolicyStatement:
        # The ARN alone is not enough: after a bucket is deleted, any account can create one with its name.
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

    def __init__(self, queue: sqs.IQueue, dead_letter_queue: sqs.IQueue) -> None:
        self._queue = queue
        self._dead_letter_queue = dead_letter_queue

    def bind(
        self,
        rule: Any,  # noqa: ARG002
        id: str | None = None,  # noqa: A002, ARG002
    ) -> events.RuleTargetConfig:
        """Say where it is, and where to put what cannot be put there."""
        return events.RuleTargetConfig(
            arn=self._queue.queue_arn,
            dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=self._dead_letter_queue.queue_arn),
            target_resource=self._queue,
        )
