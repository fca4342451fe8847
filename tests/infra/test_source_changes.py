"""Changing triggers and sources of a deployed stack without losing events."""

import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import InvalidArgument, S3ToSftp, SftpServer, Trigger
from s3_to_sftp.remote_path import directory_of
from s3_to_sftp.settings import Settings
from tests.infra.conftest import new_app, warnings_of


def only_resource(stack: cdk.Stack, kind: str) -> dict[str, Any]:
    (resource,) = Template.from_stack(stack).find_resources(kind).values()
    return dict(resource)


def depends_on_rules(stack: cdk.Stack) -> list[str]:
    names = only_resource(stack, "Custom::S3BucketNotifications")["DependsOn"]
    return [name for name in names if name in Template.from_stack(stack).find_resources("AWS::Events::Rule")]


def granted_object_arns(stack: cdk.Stack) -> str:
    return json.dumps(
        [
            statement["Resource"]
            for policy in Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
            if "s3:GetObject" in statement["Action"]
        ]
    )


# CloudFormation deletes removed resources after it has created and updated all others ("cleanup"): a removed
# rule outlasts the change of the notifications. A new rule must exist before that change.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-update-behaviors.html
class TestNotificationsDependOnTheRule:
    def test_rule_is_created_before_notifications_of_a_bucket_of_the_stack(
        self, stack: cdk.Stack, server: SftpServer
    ) -> None:
        S3ToSftp(stack, "Delivery", server=server, bucket=s3.Bucket(stack, "B"), trigger=Trigger.EVENTBRIDGE)
        assert len(depends_on_rules(stack)) == 1

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_rule_is_created_before_notifications_of_an_imported_bucket(
        self, stack: cdk.Stack, server: SftpServer, order: tuple[int, int]
    ) -> None:
        bucket = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
        delivery = S3ToSftp(stack, "Delivery", server=server, sources=[])
        sources = [("a/", Trigger.EVENTBRIDGE), ("b/", Trigger.NOTIFICATION)]
        for number in order:
            prefix, trigger = sources[number]
            delivery.add_source(bucket, prefix=prefix, trigger=trigger)
        assert len(depends_on_rules(stack)) == 1


# For a bucket that the stack does not own, CDK's notification handler merges its notifications into the
# existing ones and keeps the EventBridge setting, also on deletion. For its own bucket it overwrites all.
# https://github.com/aws/aws-cdk/blob/main/packages/@aws-cdk/custom-resource-handlers/lib/aws-s3/notifications-resource-handler/index.py
class TestTriggerBoth:
    @staticmethod
    def configured_triggers(stack: cdk.Stack) -> list[str]:
        notifications = only_resource(stack, "Custom::S3BucketNotifications")["Properties"]
        return sorted(notifications["NotificationConfiguration"])

    def test_bucket_of_the_stack_uses_both_triggers_after_the_rule(
        self, stack: cdk.Stack, server: SftpServer
    ) -> None:
        S3ToSftp(stack, "Delivery", server=server, bucket=s3.Bucket(stack, "B"), trigger=Trigger.BOTH)
        assert self.configured_triggers(stack) == ["EventBridgeConfiguration", "QueueConfigurations"]
        assert len(depends_on_rules(stack)) == 1

    def test_bucket_of_another_stack_is_configured_by_the_stack_of_the_delivery(
        self, server: SftpServer
    ) -> None:
        app = new_app()
        owner, stack = cdk.Stack(app, "Owner"), cdk.Stack(app, "Test")
        S3ToSftp(stack, "Delivery", server=server, bucket=s3.Bucket(owner, "B"), trigger=Trigger.BOTH)
        assert self.configured_triggers(stack) == ["EventBridgeConfiguration", "QueueConfigurations"]
        assert only_resource(stack, "Custom::S3BucketNotifications")["Properties"]["Managed"] is False
        assert len(depends_on_rules(stack)) == 1
        # The owner's stack would remove the existing notification before the rule exists.
        assert Template.from_stack(owner).find_resources("Custom::S3BucketNotifications") == {}

    def test_imported_bucket_uses_both_triggers_without_a_warning(
        self, stack: cdk.Stack, server: SftpServer
    ) -> None:
        bucket = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
        S3ToSftp(stack, "Delivery", server=server, bucket=bucket, trigger=Trigger.BOTH)
        assert self.configured_triggers(stack) == ["EventBridgeConfiguration", "QueueConfigurations"]
        assert len(depends_on_rules(stack)) == 1
        assert warnings_of(stack, "eventBridgeOfImportedBucket") == []

    @pytest.mark.parametrize("before", [Trigger.NOTIFICATION, Trigger.EVENTBRIDGE])
    def test_trigger_both_keeps_the_queue_policy_and_the_rule(
        self, server: SftpServer, before: Trigger
    ) -> None:
        kept = []
        for trigger in (before, Trigger.BOTH):
            stack = cdk.Stack(new_app(), "Test")
            bucket = s3.Bucket(stack, "B")
            S3ToSftp(stack, "Delivery", server=server, bucket=bucket, prefix="a/", trigger=trigger)
            template = Template.from_stack(stack)
            queue = [
                policy
                for name, policy in template.find_resources("AWS::SQS::QueuePolicy").items()
                if "DeadLetter" not in name
            ]
            rules = template.find_resources("AWS::Events::Rule") if before.has_rule else {}
            kept.append((queue, rules))
        assert kept[0] == kept[1]

    def test_trigger_both_counts_as_a_notification_for_overlaps(
        self, stack: cdk.Stack, server: SftpServer
    ) -> None:
        bucket = s3.Bucket(stack, "B")
        S3ToSftp(stack, "One", server=server, bucket=bucket, prefix="a/", trigger=Trigger.BOTH)
        S3ToSftp(stack, "Two", server=server, bucket=bucket, prefix="a/", trigger=Trigger.EVENTBRIDGE)
        with pytest.raises(InvalidArgument, match="S3 allows only"):
            S3ToSftp(stack, "Three", server=server, bucket=bucket, prefix="a/b/")

    def test_trigger_both_is_refused_for_a_bucket_of_another_account(self, server: SftpServer) -> None:
        stack = cdk.Stack(new_app(), "Test", env=cdk.Environment(account="1" * 12, region="eu-west-1"))
        bucket = s3.Bucket.from_bucket_attributes(stack, "B", bucket_name="theirs", account="2" * 12)
        with pytest.raises(InvalidArgument, match=r"^trigger must be Trigger\.EVENTBRIDGE for"):
            S3ToSftp(stack, "Delivery", server=server, bucket=bucket, trigger=Trigger.BOTH)


class TestFormerSource:
    def test_former_source_is_readable_without_a_notification(
        self, stack: cdk.Stack, server: SftpServer
    ) -> None:
        bucket = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
        delivery = S3ToSftp(stack, "Delivery", server=server, bucket=bucket, prefix="new/")
        delivery.add_former_source(bucket, prefix="old/")
        assert "theirs/new/*" in granted_object_arns(stack)
        assert "theirs/old/*" in granted_object_arns(stack)
        (rule,) = only_resource(stack, "Custom::S3BucketNotifications")["Properties"][
            "NotificationConfiguration"
        ]["QueueConfigurations"]
        assert "old" not in json.dumps(rule)
        assert [source.prefix for source in delivery.sources] == ["new/"]

    def test_former_source_keeps_its_directory_unless_a_source_replaces_it(
        self, stack: cdk.Stack, server: SftpServer
    ) -> None:
        bucket = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
        delivery = S3ToSftp(stack, "Delivery", server=server, sources=[])
        delivery.add_former_source(bucket, prefix="a/", directory="/before")
        delivery.add_former_source(bucket, prefix="b/", directory="/b")
        delivery.add_source(bucket, prefix="a/", directory="/after")
        functions = Template.from_stack(stack).find_resources("AWS::Lambda::Function").values()
        (ssh_sources,) = [
            each["Properties"]["Environment"]["Variables"]["SSH_SOURCES"]
            for each in functions
            if "Environment" in each["Properties"]
        ]
        fixed = {"SSH_HOST": "h", "SSH_PORT": "22", "SSH_SECRET_ARN": "arn", "SSH_SOURCES": ssh_sources}
        sources = Settings.from_environment(fixed).sources
        assert directory_of("theirs", "a/1", sources, otherwise="/") == "/after"
        assert directory_of("theirs", "b/1", sources, otherwise="/") == "/b"


@pytest.mark.parametrize("references", ["weak", "strong"])
def test_strong_reference_to_a_bucket_of_another_stack_adds_a_warning(
    server: SftpServer, references: str
) -> None:
    app = new_app(**{"@aws-cdk/core:defaultCrossStackReferences": references})
    stack = cdk.Stack(app, "Test")
    S3ToSftp(stack, "Delivery", server=server, bucket=s3.Bucket(cdk.Stack(app, "Owner"), "Bucket"))
    warnings = warnings_of(stack, "strongReferenceToBucket")
    assert ["Stack Owner exports its bucket Owner/Bucket" in each for each in warnings] == (
        [] if references == "weak" else [True]
    )
