"""The construct as an `IGrantable` and an `IConnectable`, and its rules."""

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import S3ToSftp, SftpServer, Trigger
from tests.infra.conftest import new_app
from tests.infra.templates import role_permissions


class TestGrants:
    def test_grants_apply_to_the_role_of_the_function(self, stack: cdk.Stack, server: SftpServer) -> None:
        delivery = S3ToSftp(stack, "Delivery", server=server)
        s3.Bucket(stack, "DeliveryReports").grant_read(delivery)
        kms.Key(stack, "DeliveryKey").grant_decrypt(delivery)
        allowed = role_permissions(Template.from_stack(stack))
        assert "s3:GetObject*" in str(allowed)
        assert allowed["DeliveryKey"] == ["kms:Decrypt"]

    def test_grant_to_a_role_of_another_stack_causes_no_dependency_cycle(self, server: SftpServer) -> None:
        app = new_app()
        platform, ours = cdk.Stack(app, "Platform"), cdk.Stack(app, "Ours")
        role = iam.Role(platform, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        delivery = S3ToSftp(ours, "Delivery", server=server, role=role)
        s3.Bucket(ours, "Reports").grant_read(delivery)
        app.synth()  # raises on a dependency cycle
        assert "AWS::IAM::Policy" not in str(Template.from_stack(platform).to_json())

    def test_event_bus_can_be_granted(self, stack: cdk.Stack, server: SftpServer) -> None:
        delivery = S3ToSftp(stack, "Delivery", server=server)
        granted = events.EventBus(stack, "Bus").grant_put_events_to(delivery)
        assert granted.success
        assert delivery.grant_principal is not None


class TestConnections:
    @pytest.fixture
    def vpc(self, stack: cdk.Stack) -> ec2.Vpc:
        return ec2.Vpc(stack, "Vpc")

    @pytest.fixture
    def delivery(self, stack: cdk.Stack, server: SftpServer, vpc: ec2.Vpc) -> S3ToSftp:
        return S3ToSftp(stack, "Delivery", server=server, vpc=vpc)

    @staticmethod
    def ingress(stack: cdk.Stack) -> list[dict[str, Any]]:
        rules = Template.from_stack(stack).find_resources("AWS::EC2::SecurityGroupIngress")
        return [dict(each["Properties"]) for each in rules.values()]

    def test_database_can_allow_the_function(
        self, stack: cdk.Stack, delivery: S3ToSftp, vpc: ec2.Vpc
    ) -> None:
        engine = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_16)
        database = rds.DatabaseInstance(stack, "Database", engine=engine, vpc=vpc)
        database.connections.allow_default_port_from(delivery)
        (rule,) = self.ingress(stack)
        assert "DeliveryFunctionSecurityGroup" in str(rule["SourceSecurityGroupId"])

    def test_security_group_can_be_allowed_to_reach_the_function(
        self, stack: cdk.Stack, delivery: S3ToSftp, vpc: ec2.Vpc
    ) -> None:
        ec2.SecurityGroup(stack, "Scanner", vpc=vpc).connections.allow_to(delivery, ec2.Port.tcp(8443))
        (rule,) = self.ingress(stack)
        assert (rule["FromPort"], rule["ToPort"]) == (8443, 8443)
        assert "DeliveryFunctionSecurityGroup" in str(rule["GroupId"])

    def test_connections_without_vpc_raise_lookup_error(self, stack: cdk.Stack, server: SftpServer) -> None:
        delivery = S3ToSftp(stack, "Delivery", server=server)
        sentence = "Test/Delivery has no security groups, since its function runs in no VPC: give it vpc="
        with pytest.raises(LookupError) as caught:
            _ = delivery.connections
        assert str(caught.value) == sentence
        group = ec2.SecurityGroup(stack, "Scanner", vpc=ec2.Vpc(stack, "Vpc"))
        with pytest.raises(RuntimeError, match=sentence):  # jsii re-raises it as this type
            group.connections.allow_to(delivery, ec2.Port.tcp(8443))


class TestRules:
    def test_rules_are_an_attribute_by_source(self, stack: cdk.Stack, server: SftpServer) -> None:
        delivery = S3ToSftp(stack, "Delivery", server=server, prefix="plain/")
        bucket = delivery.made_bucket
        second = delivery.add_source(bucket, prefix="b/", trigger=Trigger.EVENTBRIDGE)
        third = delivery.add_source(bucket, prefix="a/", trigger=Trigger.EVENTBRIDGE)
        assert list(delivery.rules) == [second, third]
        rules = Template.from_stack(stack).find_resources("AWS::Events::Rule")
        for source, rule in delivery.rules.items():
            logical_id = stack.get_logical_id(rule.node.default_child)  # type: ignore[arg-type]  # a CfnRule
            assert rules[logical_id]["Properties"]["EventPattern"]["detail"]["object"] == {
                "key": [{"prefix": source.prefix}]
            }

    def test_rules_attribute_is_a_copy(self, stack: cdk.Stack, server: SftpServer) -> None:
        delivery = S3ToSftp(stack, "Delivery", server=server, trigger=Trigger.EVENTBRIDGE)
        delivery.rules.clear()
        assert len(delivery.rules) == 1
