"""The sources of a delivery, how to add and remove them, and the rules for their objects."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_s3_to_sftp.argument_types import checks_types
from cdk_s3_to_sftp.arguments import is_token
from cdk_s3_to_sftp.bundling import Bundling
from cdk_s3_to_sftp.cut_off import add_cut_off_schedule
from cdk_s3_to_sftp.exclusive_use import claim_sequence
from cdk_s3_to_sftp.monitoring import Monitoring
from cdk_s3_to_sftp.moves import check_no_move_loop, target_of
from cdk_s3_to_sftp.notifications import watch
from cdk_s3_to_sftp.openpgp import OpenPgpLayer, arns_of, secret_in, signing_secrets, transforms_of
from cdk_s3_to_sftp.permissions import Permissions
from cdk_s3_to_sftp.queue_policies import QueuePolicies
from cdk_s3_to_sftp.queues import check_takes_events
from cdk_s3_to_sftp.rule_examples import (
    check_filter_of_source,
    check_numbers_of_source,
    example_errors,
    plan_for,
    rules_of,
    warn_of_rules,
)
from cdk_s3_to_sftp.rules_layer import RulesLayer, all_rules, names_of_rules, rules_document
from cdk_s3_to_sftp.server import SftpServer
from cdk_s3_to_sftp.sources import Source, Trigger, described_sources, known_length, warn_of_shared_names
from s3_to_sftp.rules.after_delivery import KEEP, AfterDelivery
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.document import RulesDocument

_LARGEST_ENVIRONMENT = 4096
"""Lambda's limit in bytes for all environment variables of a function together."""


class DeliverySources(Construct):
    """The sources of a construct that delivers to one partner."""

    server: SftpServer
    function: lambda_.Function
    ledger: dynamodb.ITable
    monitoring: Monitoring
    dead_letter_queue: sqs.IQueue
    _permissions: Permissions
    _queue_policies: QueuePolicies
    _made_bucket: s3.Bucket | None
    _sources: list[Source]
    _former_sources: list[Source]
    _rules: dict[Source, events.Rule]
    architecture: lambda_.Architecture
    runtime: lambda_.Runtime
    _bundling: Bundling
    _rules_layer: RulesLayer | None = None
    _openpgp_layer: OpenPgpLayer | None = None
    _signing_secrets: dict[str, secretsmanager.ISecret]
    cut_off_rule: events.Rule | None = None

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
        rules: DeliveryRules | None = None,
    ) -> Source:
        """Deliver the objects of another bucket, or of another prefix, to the same partner.

        Args:
            bucket: Any bucket: created in this stack or another, or imported by its name or ARN.
            prefix: Deliver only objects whose key has this prefix. By default all.
            suffix: Deliver only objects whose key has this suffix. By default all.
            directory: Remote directory for them. By default that of the server.
            trigger: What announces a new object. By default S3's own notification.
            rules: Rules for them, in place of all rules of the server. By default those of the server.

        Raises:
            InvalidArgument: A value is invalid, or some objects would be announced twice.
        """
        source = Source(
            bucket, prefix=prefix, suffix=suffix, directory=directory, trigger=trigger, rules=rules
        )
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
        rules: DeliveryRules | None = None,
    ) -> None:
        """Let the function keep reading the objects of a removed source.

        When a source is changed or removed, its messages that still wait in the queues would be
        dead-lettered as `ObjectAccessDenied`. Remove this call when none of them is waiting.

        Args:
            bucket: As the source had it. Import it by its name if it is no longer in the app.
            prefix: As the source had it.
            suffix: As the source had it.
            directory: As the source had it: waiting objects still go there.
            rules: As the source had them: waiting objects still get names by them.

        Raises:
            InvalidArgument: A value is invalid.
        """
        source = Source(bucket, prefix=prefix, suffix=suffix, directory=directory, rules=rules)
        self._permissions.grant_read(source, tags=self._reads_tags(source))
        self._grant_after_delivery(source)
        if source.rules:
            warn_of_rules(self, source.rules)
        self._former_sources.append(source)
        self._describe_sources()

    @checks_types
    def plan(self, key: str, *, bucket: s3.IBucket | None = None) -> dict[str, Any]:
        """Return everything that will happen to an object with this key, for tests of an app.

        What the key does not say has sample values: it is put and delivered at 2026-01-02T03:04:05Z, metadata
        and tags that the rules use are `x`, and its number is the first of its sequence.

        Args:
            key: The object's key.
            bucket: Its bucket. By default that of the only source that the key may be of.

        Returns:
            `remote_path`, `temporary`, `if_exists`, `mode`, `modified`, `sequence`, `timing`, and `steps`,
            one sentence for each step, in order.

        Raises:
            InvalidArgument: No source has such an object, several have one, or the rules refuse it.
        """
        return plan_for(key, self.server, self._sources, bucket=bucket)

    def _add(self, source: Source) -> None:
        if source.trigger.has_rule:
            check_takes_events(self.dead_letter_queue)
            self._permissions.grant_eventbridge_use_of_key(self.dead_letter_queue.encryption_master_key)
        check_filter_of_source(source, self.server)
        check_numbers_of_source(source, self._sources, self.server)
        check_no_move_loop(self, source)
        self._grant_after_delivery(source)
        if rule := watch(self, source, self._queue_policies):
            self._rules[source] = rule
        self._permissions.grant_read(source, tags=self._reads_tags(source))
        warn_of_shared_names(self, source, self._sources, otherwise=self.server.directory)
        if source.rules:
            warn_of_rules(self, source.rules)
        self._sources.append(source)
        self._describe_sources()

    def _grant_after_delivery(self, source: Source) -> None:
        rule = self._after_delivery(source)
        target = target_of(self, source, rule, most_bytes=self._most_bytes(source))
        has_versions = source.bucket is self._made_bucket
        self._permissions.grant_after_delivery(source, rule.action, target, has_versions=has_versions)

    def _after_delivery(self, source: Source) -> AfterDelivery:
        rules = rules_of(source, self.server)
        return KEEP if rules is None else rules.after_delivery

    def _most_bytes(self, source: Source) -> int | None:
        rules = rules_of(source, self.server)
        return rules.only.max_bytes if rules is not None and rules.only is not None else None

    def _reads_tags(self, source: Source) -> bool:
        rules = rules_of(source, self.server)
        return rules is not None and bool(rules.tags_used)

    @property
    def _document(self) -> RulesDocument | None:
        return rules_document(self.server.rules, [*self._sources, *self._former_sources])

    def _write_rules(self) -> None:
        """Let the function have the rules, if there are any, by a layer that is made for the first ones."""
        if (document := self._document) is None:
            return
        if not is_token(self.server.host) and not is_token(self.server.port):
            for name in document.sequences:
                claim_sequence(self, name, server=self.server.address)
        if self._rules_layer is None:
            self._rules_layer = RulesLayer(
                self, "Rules", document=document, function=self.function, partner=self.server.host
            )
        self._rules_layer.document = document
        self._provide_openpgp()
        if document.has_cut_off and self.cut_off_rule is None:
            self.monitoring.watch_cut_off()
            self._permissions.grant_query(self.ledger)
            self.cut_off_rule = add_cut_off_schedule(self, self.function)
        self.function.add_environment("SSH_RULES", document.digest)

    def _provide_openpgp(self) -> None:
        """Let the function have the library, and read the keys that sign, if rules need them."""
        rules = all_rules(self.server.rules, [*self._sources, *self._former_sources])
        if not any(transforms_of(rules)):
            return
        if self._openpgp_layer is None:
            self._openpgp_layer = OpenPgpLayer(
                self,
                "OpenPgp",
                function=self.function,
                architecture=self.architecture,
                runtime=self.runtime,
                bundling=self._bundling,
            )
        secrets = signing_secrets(rules)
        for given in secrets:
            secret = secret_in(self, given, self._signing_secrets)
            if secret.secret_arn not in self._signing_secrets:
                self._signing_secrets[secret.secret_arn] = secret
                self._permissions.grant_read_secret(secret)
        if secrets:
            self.function.add_environment("SSH_SIGNING_KEYS", arns_of(secrets))

    def _describe_sources(self) -> None:
        self._write_rules()
        # If two have the same filter the function uses the first.
        # Where they no longer fit, those that did so far would look like all of them to the command.
        self.function.add_environment("SSH_SOURCES", self._described_sources() or "[]")

    def _described_sources(self) -> str | None:
        return described_sources(
            cdk.Stack.of(self),
            self._sources,
            self._former_sources,
            partner=self.server.rules,
            names=names_of_rules([*self._sources, *self._former_sources]),
            room=_LARGEST_ENVIRONMENT - self._known_length(),
        )

    def _known_length(self, *texts: str) -> int:
        """Return the bytes of the environment that are known, with those of the texts."""
        document = self._document
        rules = () if document is None else (document.digest,)
        keys = arns_of(signing_secrets(all_rules(self.server.rules, [*self._sources, *self._former_sources])))
        return known_length(cdk.Stack.of(self), *texts, *rules, keys, *self.server.variables().values())

    def _errors(self) -> list[str]:
        if not self._sources:
            return ["there is nothing to deliver: leave out `sources`, or call add_source()"]
        known = self._known_length(self._described_sources() or "")
        if known <= _LARGEST_ENVIRONMENT:
            return example_errors(self.server, self._sources)
        return [
            f"the directories and rules of its sources and the host keys need {known} bytes of the "
            f"function's environment, and Lambda allows {_LARGEST_ENVIRONMENT}: give the same directory "
            "and rules to more of the sources (their keys are paths below it), or make a second construct"
        ]
