"""The queue and the dead-letter queue: retention, encryption, visibility timeout and receive count."""

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import SftpServer
from cdk_s3_to_sftp.queues import most_receives
from tests.infra.conftest import Synthesise
from tests.infra.templates import as_text, own_properties, own_resources, work_queue_properties
from tests.support.infra.keys import ED25519


class TestQueues:
    def test_queues_are_encrypted_and_accept_64_kib_messages(self, default_template: Template) -> None:
        queues = own_resources(default_template, "AWS::SQS::Queue")
        assert len(queues) == 2
        for queue in queues:
            assert queue["Properties"]["SqsManagedSseEnabled"] is True
            assert queue["Properties"]["MaximumMessageSize"] >= 64 * 1024

    def test_queues_retain_messages_for_14_days(self, default_template: Template) -> None:
        for queue in own_resources(default_template, "AWS::SQS::Queue"):
            assert queue["Properties"]["MessageRetentionPeriod"] == 14 * 24 * 3600

    @pytest.mark.parametrize("kind", ["AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"])
    def test_queues_and_bucket_deny_plain_http(self, default_template: Template, kind: str) -> None:
        policies = own_resources(default_template, kind)
        assert policies
        for policy in policies:
            first = policy["Properties"]["PolicyDocument"]["Statement"][0]
            assert (first["Effect"], first["Condition"]) == (
                "Deny",
                {"Bool": {"aws:SecureTransport": "false"}},
            )

    def test_only_the_bucket_and_rules_of_the_account_may_send(self, default_template: Template) -> None:
        senders = [
            statement["Condition"]
            for policy in own_resources(default_template, "AWS::SQS::QueuePolicy")
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
            if "sqs:SendMessage" in statement["Action"]
        ]
        from_bucket, from_rules = senders
        assert [as_text(arn) for arn in from_bucket["ArnLike"]["aws:SourceArn"]] == ["DeliveryBucket"]
        assert ":rule/*" in as_text(from_rules["ArnLike"]["aws:SourceArn"])
        assert {as_text(each["StringEquals"]["aws:SourceAccount"]) for each in senders} == {"AWS::AccountId"}

    @pytest.mark.parametrize("max_connections", [1, 2])
    def test_visibility_timeout_is_longer_than_the_function_timeout(
        self, synthesise: Synthesise, max_connections: int
    ) -> None:
        template = synthesise(max_connections=max_connections)
        timeout = own_properties(template, "AWS::Lambda::Function")["Timeout"]
        assert work_queue_properties(template)["VisibilityTimeout"] == timeout + 60


RETENTION_SECONDS = 14 * 86_400


class TestMaxReceiveCount:
    """SQS counts invocations that failed, and receives that were throttled since the function was busy."""

    def test_failing_function_has_four_days_before_dead_lettering(self, default_template: Template) -> None:
        queue = work_queue_properties(default_template)
        assert queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"] >= 4 * 86_400

    @pytest.mark.parametrize("max_connections", [1, 2])
    @pytest.mark.parametrize("seconds", [11, 60, 900, 1800])
    def test_dead_lettering_happens_before_the_retention_ends(
        self, synthesise: Synthesise, seconds: int, max_connections: int
    ) -> None:
        queue = work_queue_properties(
            synthesise(
                server=SftpServer(
                    "sftp.partner.example", host_keys=[ED25519], reply_timeout=cdk.Duration.seconds(10)
                ),
                timeout=cdk.Duration.seconds(seconds),
                max_connections=max_connections,
            )
        )
        lasts = queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"]
        assert lasts < 0.8 * RETENTION_SECONDS

    def test_single_connection_has_eleven_days_before_dead_lettering(self, synthesise: Synthesise) -> None:
        queue = work_queue_properties(synthesise(max_connections=1))
        lasts = queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"]
        assert lasts >= 11 * 86_400

    @pytest.mark.parametrize("may_be_throttled", [True, False])
    def test_receive_count_is_within_the_quota_of_sqs(self, may_be_throttled: bool) -> None:  # noqa: FBT001 - a parameter
        for seconds in (61, 90, 960, 1860):
            count = most_receives(cdk.Duration.seconds(seconds), may_be_throttled=may_be_throttled)
            assert 100 < count <= 1000

    @pytest.mark.parametrize("hours", [1, 24, 72])
    def test_receive_count_does_not_depend_on_retry_for(
        self, synthesise: Synthesise, default_template: Template, hours: int
    ) -> None:
        queue = work_queue_properties(synthesise(retry_for=cdk.Duration.hours(hours)))
        assert queue["RedrivePolicy"] == work_queue_properties(default_template)["RedrivePolicy"]
