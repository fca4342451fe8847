"""The sources of a delivery, and how to add and remove them."""

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_s3_to_sftp.argument_types import checks_types
from cdk_s3_to_sftp.notifications import watch
from cdk_s3_to_sftp.permissions import Permissions
from cdk_s3_to_sftp.queue_policies import QueuePolicies
from cdk_s3_to_sftp.queues import check_takes_events
from cdk_s3_to_sftp.server import SftpServer
from cdk_s3_to_sftp.sources import Source, Trigger, described_sources, known_length, warn_of_shared_names

_LARGEST_ENVIRONMENT = 4096
"""Lambda's limit in bytes for all environment variables of a function together."""


class DeliverySources(Construct):
    """The sources of a construct that delivers to one partner."""

    server: SftpServer
    function: lambda_.Function
    dead_letter_queue: sqs.IQueue
    _permissions: Permissions
    _queue_policies: QueuePolicies
    _made_bucket: s3.Bucket | None
    _sources: list[Source]
    _former_sources: list[Source]
    _rules: dict[Source, events.Rule]

    @property
    def bucket(self) -> s3.IBucket:
        """The bucket of the first source: the created one if none was given.

        Raises:
            LookupError: There is no source yet.
        """
        if not self._sources:
            raise LookupError(
                f"{self.node.path} has no source yet, and so no bucket: call add_source() first"
            )
        return self._sources[0].bucket

    @property
    def made_bucket(self) -> s3.Bucket:
        """The bucket that the construct created, to which rules and policies can be added.

        Raises:
            LookupError: The construct was given `bucket` or `sources`, and created none.
        """
        if self._made_bucket is None:
            raise LookupError(
                f"{self.node.path} has created no bucket, since it was given bucket or sources: use these"
            )
        return self._made_bucket

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources, in the order in which they were added."""
        return tuple(self._sources)

    @property
    def rules(self) -> dict[Source, events.Rule]:
        """The EventBridge rule of each source, in the order of `sources`.

        Sources with `Trigger.NOTIFICATION` have none.
        """
        return dict(self._rules)

    @checks_types
    def add_source(
        self,
        bucket: s3.IBucket,
        *,
        prefix: str | None = None,
        suffix: str | None = None,
        directory: str | None = None,
        trigger: Trigger = Trigger.NOTIFICATION,
    ) -> Source:
        """Deliver the objects of another bucket, or of another prefix, to the same partner.

        Args:
            bucket: Any bucket: created in this stack or another, or imported by its name or ARN.
            prefix: Deliver only objects whose key has this prefix. By default all.
            suffix: Deliver only objects whose key has this suffix. By default all.
            directory: Remote directory for them. By default that of the server.
            trigger: What announces a new object. By default S3's own notification.

        Raises:
            InvalidArgument: A value is invalid, or some objects would be announced twice.
        """
        source = Source(bucket, prefix=prefix, suffix=suffix, directory=directory, trigger=trigger)
        self._add(source)
        return source

    @checks_types
    def add_former_source(
        self,
        bucket: s3.IBucket,
        *,
        prefix: str | None = None,
        suffix: str | None = None,
        directory: str | None = None,
    ) -> None:
        """Let the function keep reading the objects of a removed source.

        When a source is changed or removed, its messages that still wait in the queues would be
        dead-lettered as `ObjectAccessDenied`. Remove this call when none of them is waiting.

        Args:
            bucket: As the source had it. Import it by its name if it is no longer in the app.
            prefix: As the source had it.
            suffix: As the source had it.
            directory: As the source had it: waiting objects still go there.

        Raises:
            InvalidArgument: A value is invalid.
        """
        source = Source(bucket, prefix=prefix, suffix=suffix, directory=directory)
        self._permissions.grant_read(source)
        self._former_sources.append(source)
        self._update_directories()

    def _add(self, source: Source) -> None:
        if source.trigger.has_rule:
            check_takes_events(self.dead_letter_queue)
            self._permissions.grant_eventbridge_use_of_key(self.dead_letter_queue.encryption_master_key)
        if rule := watch(self, source, self._queue_policies):
            self._rules[source] = rule
        self._permissions.grant_read(source)
        warn_of_shared_names(self, source, self._sources, otherwise=self.server.directory)
        self._sources.append(source)
        self._update_directories()

    def _update_directories(self) -> None:
        # If two have the same filter the function uses the first.
        if described := self._described_sources():
            self.function.add_environment("SSH_SOURCES", described)

    def _described_sources(self) -> str | None:
        stack = cdk.Stack.of(self)
        room = _LARGEST_ENVIRONMENT - known_length(stack, *self.server.variables().values())
        return described_sources(stack, self._sources, self._former_sources, room=room)

    def _errors(self) -> list[str]:
        if not self._sources:
            return ["there is nothing to deliver: leave out `sources`, or call add_source()"]
        told = self._described_sources() or ""
        known = known_length(cdk.Stack.of(self), told, *self.server.variables().values())
        if known <= _LARGEST_ENVIRONMENT:
            return []
        return [
            f"the directories of its sources and the host keys need {known} bytes of the function's "
            f"environment, and Lambda allows {_LARGEST_ENVIRONMENT}: give the same directory to more of "
            "the sources (their keys are paths below it), or make a second construct"
        ]
