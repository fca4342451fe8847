"""Changes of a deployed configuration: what announces objects, and what may be read, in between."""

import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import S3ToSftp, SftpServer, Trigger
from s3_to_sftp.remote_path import directory_of
from s3_to_sftp.settings import Settings
from tests.infra.conftest import new_app, warned


def only(stack: cdk.Stack, kind: str) -> dict[str, Any]:
    (resource,) = Template.from_stack(stack).find_resources(kind).values()
    return dict(resource)


def depends_on_rules(stack: cdk.Stack) -> list[str]:
    names = only(stack, "Custom::S3BucketNotifications")["DependsOn"]
    return [name for name in names if name in Template.from_stack(stack).find_resources("AWS::Events::Rule")]


def readable(stack: cdk.Stack) -> str:
    return json.dumps(
        [
            statement["Resource"]
            for policy in Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
            if "s3:GetObject" in statement["Action"]
        ]
    )


# CloudFormation removes what is not in the template any more after all that is new or changed ("cleanup"):
# a rule that goes outlasts the change of the notifications anyway. One that comes must not be late.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-update-behaviors.html
class TestRuleStandsBeforeTheNotificationsChange:
    def test_of_a_bucket_of_the_stack(self, stack: cdk.Stack, server: SftpServer) -> None:
        S3ToSftp(stack, "Delivery", server=server, bucket=s3.Bucket(stack, "B"), trigger=Trigger.EVENTBRIDGE)
        assert len(depends_on_rules(stack)) == 1

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_of_an_imported_bucket(
        self, stack: cdk.Stack, server: SftpServer, order: tuple[int, int]
    ) -> None:
        bucket = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
        delivery = S3ToSftp(stack, "Delivery", server=server, sources=[])
        sources = [("a/", Trigger.EVENTBRIDGE), ("b/", Trigger.NOTIFICATION)]
        for number in order:
            prefix, trigger = sources[number]
            delivery.add_source(bucket, prefix=prefix, trigger=trigger)
        assert len(depends_on_rules(stack)) == 1


class TestFormerSource:
    def test_can_be_read_and_is_not_announced(self, stack: cdk.Stack, server: SftpServer) -> None:
        bucket = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
        delivery = S3ToSftp(stack, "Delivery", server=server, bucket=bucket, prefix="new/")
        delivery.add_former_source(bucket, prefix="old/")
        assert "theirs/new/*" in readable(stack)
        assert "theirs/old/*" in readable(stack)
        (rule,) = only(stack, "Custom::S3BucketNotifications")["Properties"]["NotificationConfiguration"][
            "QueueConfigurations"
        ]
        assert "old" not in json.dumps(rule)
        assert [source.prefix for source in delivery.sources] == ["new/"]

    def test_keeps_its_directory_unless_it_has_a_new_one(self, stack: cdk.Stack, server: SftpServer) -> None:
        bucket = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
        delivery = S3ToSftp(stack, "Delivery", server=server, sources=[])
        delivery.add_former_source(bucket, prefix="a/", directory="/before")
        delivery.add_former_source(bucket, prefix="b/", directory="/b")
        delivery.add_source(bucket, prefix="a/", directory="/after")
        functions = Template.from_stack(stack).find_resources("AWS::Lambda::Function").values()
        (told,) = [
            each["Properties"]["Environment"]["Variables"]["SSH_SOURCES"]
            for each in functions
            if "Environment" in each["Properties"]
        ]
        fixed = {"SSH_HOST": "h", "SSH_PORT": "22", "SSH_SECRET_ARN": "arn", "SSH_SOURCES": told}
        sources = Settings.from_environment(fixed).sources
        assert directory_of("theirs", "a/1", sources, otherwise="/") == "/after"
        assert directory_of("theirs", "b/1", sources, otherwise="/") == "/b"


@pytest.mark.parametrize("references", ["weak", "strong"])
def test_strong_reference_to_the_bucket_of_another_stack_is_warned_about(
    server: SftpServer, references: str
) -> None:
    app = new_app(**{"@aws-cdk/core:defaultCrossStackReferences": references})
    stack = cdk.Stack(app, "Test")
    S3ToSftp(stack, "Delivery", server=server, bucket=s3.Bucket(cdk.Stack(app, "Owner"), "Bucket"))
    said = warned(stack, "strongReferenceToBucket")
    assert ["Stack Owner exports its bucket Owner/Bucket" in each for each in said] == (
        [] if references == "weak" else [True]
    )
