"""EventBridge sends undeliverable events to an existing dead-letter queue.

The policy of that queue must allow it and, if the queue has its own key, the policy of the key:
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html. Otherwise the event is lost.
"""

import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import InvalidArgument, S3ToSftp, SftpServer, Trigger
from tests.infra.conftest import new_app, warnings_of

QUEUE_ARN = "arn:aws:sqs:eu-west-1:123456789012:theirs"
KEY_ARN = "arn:aws:kms:eu-west-1:123456789012:key/0f0f0f0f-0000-4000-8000-0123456789ab"


def deliver(stack: cdk.Stack, server: SftpServer, queue: sqs.IQueue, **arguments: Any) -> S3ToSftp:
    return S3ToSftp(
        stack, "Delivery", server=server, trigger=Trigger.EVENTBRIDGE, dead_letter_queue=queue, **arguments
    )


def properties(stack: cdk.Stack, kind: str) -> list[dict[str, Any]]:
    return [each["Properties"] for each in Template.from_stack(stack).find_resources(kind).values()]


def eventbridge_statements(policies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the statements for EventBridge."""
    return [
        statement
        for policy in policies
        for statement in policy["Statement"]
        if "events.amazonaws.com" in str(statement["Principal"])
    ]


def dead_letter_target(stack: cdk.Stack) -> str:
    (rule,) = properties(stack, "AWS::Events::Rule")
    return json.dumps(rule["Targets"][0]["DeadLetterConfig"]["Arn"])


def test_key_of_the_queue_allows_eventbridge(stack: cdk.Stack, server: SftpServer) -> None:
    queue = sqs.Queue(stack, "DeadLettered", encryption_master_key=kms.Key(stack, "Key"))
    delivery = deliver(stack, server, queue)
    delivery.add_source(s3.Bucket(stack, "More"), directory="/more", trigger=Trigger.EVENTBRIDGE)
    (key,) = properties(stack, "AWS::KMS::Key")
    (statement,) = eventbridge_statements([key["KeyPolicy"]])
    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_key_of_the_queue_does_not_allow_eventbridge_without_a_rule(
    stack: cdk.Stack, server: SftpServer
) -> None:
    queue = sqs.Queue(stack, "DeadLettered", encryption_master_key=kms.Key(stack, "Key"))
    S3ToSftp(stack, "Delivery", server=server, dead_letter_queue=queue)
    (key,) = properties(stack, "AWS::KMS::Key")
    assert eventbridge_statements([key["KeyPolicy"]]) == []


def test_queue_of_another_stack_allows_eventbridge(server: SftpServer) -> None:
    app = new_app()
    platform, ours = cdk.Stack(app, "Platform"), cdk.Stack(app, "Ours")
    deliver(ours, server, sqs.Queue(platform, "DeadLettered", encryption_master_key=kms.Key(platform, "Key")))
    app.synth()  # raises on a dependency cycle
    assert "DeadLettered" in dead_letter_target(ours)
    (policy,) = properties(platform, "AWS::SQS::QueuePolicy")
    (statement,) = eventbridge_statements([policy["PolicyDocument"]])
    assert statement["Action"] == "sqs:SendMessage"
    assert "Ours" not in json.dumps(statement)
    (key,) = properties(platform, "AWS::KMS::Key")
    assert len(eventbridge_statements([key["KeyPolicy"]])) == 1


def test_imported_queue_gets_a_warning_and_statements_for_both_policies(
    stack: cdk.Stack, server: SftpServer
) -> None:
    existing = sqs.Queue.from_queue_attributes(stack, "Theirs", queue_arn=QUEUE_ARN, key_arn=KEY_ARN)
    delivery = deliver(stack, server, existing)
    assert dead_letter_target(stack) == json.dumps(QUEUE_ARN)
    (warning,) = warnings_of(stack, "policyOfImportedQueue")
    assert "Test/Theirs" in warning
    assert "`dead_letter_queue_policy_statements`" in warning
    statements = [
        stack.resolve(each.to_statement_json()) for each in delivery.dead_letter_queue_policy_statements
    ]
    (statement,) = eventbridge_statements([{"Statement": statements}])
    assert (statement["Action"], statement["Resource"]) == ("sqs:SendMessage", QUEUE_ARN)
    key = existing.encryption_master_key
    assert key is not None
    for_key = [stack.resolve(each.to_statement_json()) for each in delivery.key_policy_statements(key)]
    assert (
        len(
            eventbridge_statements(
                [{"Statement": [each for each in for_key if "Service" in each["Principal"]]}]
            )
        )
        == 1
    )


def test_imported_queue_needs_no_statement_without_eventbridge(stack: cdk.Stack, server: SftpServer) -> None:
    existing = sqs.Queue.from_queue_arn(stack, "Theirs", QUEUE_ARN)
    delivery = S3ToSftp(stack, "Delivery", server=server, dead_letter_queue=existing)
    assert warnings_of(stack, "policyOfImportedQueue") == []
    assert delivery.dead_letter_queue_policy_statements == []


def test_queue_encrypted_with_the_aws_managed_key_is_refused(stack: cdk.Stack, server: SftpServer) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html.

    The policy of that key cannot be changed, and it does not allow EventBridge.
    """
    queue = sqs.Queue(stack, "DeadLettered", encryption=sqs.QueueEncryption.KMS_MANAGED)
    with pytest.raises(InvalidArgument) as caught:
        deliver(stack, server, queue)
    assert str(caught.value) == (
        "dead_letter_queue must not be encrypted with the key of SQS (KMS_MANAGED) where a source has "
        "trigger=Trigger.EVENTBRIDGE, got Test/DeadLettered: EventBridge cannot use that key. Encrypt it "
        "with SQS_MANAGED or a customer managed key"
    )


@pytest.mark.parametrize(
    ("arn", "what"),
    [
        ("arn:aws:sqs:eu-west-1:222222222222:theirs", "account 222222222222"),
        ("arn:aws:sqs:us-east-1:111111111111:theirs", "Region us-east-1"),
    ],
)
def test_queue_of_another_account_or_region_is_refused(server: SftpServer, arn: str, what: str) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html."""
    env = cdk.Environment(account="111111111111", region="eu-west-1")
    stack = cdk.Stack(new_app(), "Test", env=env)
    with pytest.raises(InvalidArgument) as caught:
        deliver(stack, server, sqs.Queue.from_queue_arn(stack, "Theirs", arn))
    assert str(caught.value) == (
        "dead_letter_queue must be in account 111111111111 and Region eu-west-1, as the queue is, got "
        f"Test/Theirs in {what}: SQS would refuse it"
    )
