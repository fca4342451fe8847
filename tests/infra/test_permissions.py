"""The IAM permissions of the function's role."""

from aws_cdk.assertions import Template

from tests.infra.conftest import Synthesise
from tests.infra.templates import own_properties, role_permissions


class TestRole:
    def test_default_permissions_are_exactly_these(self, default_template: Template) -> None:
        assert role_permissions(default_template) == {
            "DeliveryLog": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "DeliveryQueue": [
                "sqs:ChangeMessageVisibility",
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "sqs:ReceiveMessage",
                "sqs:SendMessage",
            ],
            "DeliveryDeadLetterQueue": ["sqs:SendMessage"],
            "DeliveryLedger": ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
            "arn:AWS::Partition:events:AWS::Region:AWS::AccountId:event-bus/default": ["events:PutEvents"],
            "DeliveryBucket/*": [
                "s3:GetObject",
                "s3:GetObjectAttributes",
                "s3:GetObjectVersion",
                "s3:GetObjectVersionAttributes",
            ],
            "DeliveryBucket": ["s3:ListBucket"],
            "DeliveryCredentials": ["secretsmanager:GetSecretValue"],
        }

    def test_read_access_is_limited_to_the_prefix(self, synthesise: Synthesise) -> None:
        assert "DeliveryBucket/outgoing/*" in role_permissions(synthesise(prefix="outgoing/"))

    def test_role_has_no_managed_policy(self, default_template: Template) -> None:
        assert "ManagedPolicyArns" not in own_properties(default_template, "AWS::IAM::Role")
