"""Existing resources that are passed in: VPC, key, dead-letter queue, topic, role, runtime and others."""

import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match, Template

from cdk_s3_to_sftp import InvalidArgument, S3ToSftp, SftpServer, Trigger, bundle_builder
from cdk_s3_to_sftp.bundle_builder import compilation, programs
from cdk_s3_to_sftp.bundling import RUNTIMES, find_source, target_of
from tests.infra.conftest import Synthesise, new_app, warnings_of
from tests.infra.templates import (
    as_text,
    own_properties,
    own_resources,
    role_permissions,
    work_queue_properties,
)

KEY_ARN = "arn:aws:kms:eu-west-1:123456789012:key/0f0f0f0f-0000-4000-8000-0123456789ab"


class TestVpc:
    def test_function_has_no_vpc_by_default(self, default_template: Template) -> None:
        assert "VpcConfig" not in own_properties(default_template, "AWS::Lambda::Function")
        assert "ec2:" not in json.dumps(default_template.to_json())

    def test_given_vpc_is_used_with_its_private_subnets(self, stack: cdk.Stack, server: SftpServer) -> None:
        vpc = ec2.Vpc(stack, "Vpc")
        delivery = S3ToSftp(stack, "Delivery", server=server, vpc=vpc)
        function = own_properties(Template.from_stack(stack), "AWS::Lambda::Function")
        assert [as_text(each)[:10] for each in function["VpcConfig"]["SubnetIds"]] == ["VpcPrivate"] * 2
        assert len(delivery.function.connections.security_groups) == 1
        assert delivery.vpc is vpc

    def test_given_subnets_and_security_groups_are_used(
        self, stack: cdk.Stack, synthesise: Synthesise
    ) -> None:
        vpc = ec2.Vpc(stack, "Vpc")
        group = ec2.SecurityGroup(stack, "Theirs", vpc=vpc)
        template = synthesise(
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=[vpc.private_subnets[1]]),
            security_groups=[group],
        )
        (subnet,) = own_properties(template, "AWS::Lambda::Function")["VpcConfig"]["SubnetIds"]
        (used,) = own_properties(template, "AWS::Lambda::Function")["VpcConfig"]["SecurityGroupIds"]
        assert "Subnet2" in str(subnet)
        assert "Theirs" in str(used)

    def test_lambda_may_create_network_interfaces_but_the_code_may_not(
        self, stack: cdk.Stack, synthesise: Synthesise
    ) -> None:
        template = synthesise(vpc=ec2.Vpc(stack, "Vpc"))
        allowed = role_permissions(template)["*"]
        (denied,) = [
            statement
            for each in own_resources(template, "AWS::IAM::Policy")
            for statement in each["Properties"]["PolicyDocument"]["Statement"]
            if statement["Effect"] == "Deny"
        ]
        (function,) = own_resources(template, "AWS::Lambda::Function")
        assert [each for each in function["DependsOn"] if each.startswith("DeliveryNetwork")]
        assert "ec2:CreateNetworkInterface" in allowed
        assert denied["Action"] == allowed
        source = denied["Condition"]["ArnEquals"]["lambda:SourceFunctionArn"]
        assert as_text(source) == "DeliveryFunction"

    @pytest.mark.parametrize("name", ["vpc_subnets", "security_groups"])
    def test_subnets_and_security_groups_require_vpc(
        self, stack: cdk.Stack, synthesise: Synthesise, name: str
    ) -> None:
        group = ec2.SecurityGroup.from_security_group_id(stack, "Theirs", "sg-0123456789abcdef0")
        values = {"vpc_subnets": ec2.SubnetSelection(one_per_az=True), "security_groups": [group]}
        with pytest.raises(InvalidArgument) as caught:
            synthesise(**{name: values[name]})
        assert str(caught.value) == f"{name} must not be given without vpc, the network that they are in"


class TestEncryptionKey:
    def test_no_customer_managed_key_by_default(self, default_template: Template) -> None:
        assert "kms" not in json.dumps(own_resources(default_template, "AWS::IAM::Policy"))
        default_template.resource_count_is("AWS::KMS::Key", 0)

    @pytest.mark.parametrize("trigger", Trigger)
    def test_encryption_key_encrypts_every_created_resource(
        self, stack: cdk.Stack, synthesise: Synthesise, trigger: Trigger
    ) -> None:
        template = synthesise(encryption_key=kms.Key(stack, "Theirs"), trigger=trigger)
        named = {
            "AWS::S3::Bucket": "BucketEncryption",
            "AWS::SecretsManager::Secret": "KmsKeyId",
            "AWS::DynamoDB::Table": "SSESpecification",
            "AWS::Logs::LogGroup": "KmsKeyId",
            "AWS::SQS::Queue": "KmsMasterKeyId",
            "AWS::Lambda::Function": "KmsKeyArn",
        }
        for kind, name in named.items():
            assert own_resources(template, kind), kind
            for resource in own_resources(template, kind):
                assert "Theirs" in str(resource["Properties"][name]), kind

    def test_bucket_key_reduces_requests_to_kms(self, stack: cdk.Stack, synthesise: Synthesise) -> None:
        template = synthesise(encryption_key=kms.Key(stack, "Theirs"))
        (rule,) = own_properties(template, "AWS::S3::Bucket")["BucketEncryption"][
            "ServerSideEncryptionConfiguration"
        ]
        assert rule["BucketKeyEnabled"] is True

    def test_function_may_use_the_encryption_key(self, stack: cdk.Stack, synthesise: Synthesise) -> None:
        allowed = role_permissions(synthesise(encryption_key=kms.Key(stack, "Theirs")))["Theirs"]
        assert {"kms:Decrypt", "kms:GenerateDataKey"} <= set(allowed)

    def test_key_policy_allows_logs_eventbridge_and_s3(
        self, stack: cdk.Stack, synthesise: Synthesise
    ) -> None:
        template = synthesise(encryption_key=kms.Key(stack, "Theirs"))
        (key,) = template.find_resources("AWS::KMS::Key").values()
        services: list[str] = []
        for statement in key["Properties"]["KeyPolicy"]["Statement"]:
            service = statement["Principal"].get("Service", [])
            services += [as_text(each) for each in (service if isinstance(service, list) else [service])]
        assert services == [
            "logs.AWS::Region.AWS::URLSuffix",
            "events.amazonaws.com",
            "s3.amazonaws.com",
        ]

    def test_encryption_key_of_another_stack_causes_no_dependency_cycle(self, server: SftpServer) -> None:
        app = new_app()
        key = kms.Key(cdk.Stack(app, "Theirs"), "Key")
        stack = cdk.Stack(app, "Ours")
        delivery = S3ToSftp(stack, "Delivery", server=server, encryption_key=key)
        delivery.add_source(s3.Bucket(stack, "More"), directory="/more", trigger=Trigger.EVENTBRIDGE)
        assert [each.stack_name for each in app.synth().stacks] == ["Theirs", "Ours"]

    def test_imported_key_gets_a_warning_and_policy_statements(
        self, stack: cdk.Stack, server: SftpServer
    ) -> None:
        key = kms.Key.from_key_arn(stack, "Theirs", KEY_ARN)
        delivery = S3ToSftp(stack, "Delivery", server=server, encryption_key=key)
        assert len(warnings_of(stack, "policyOfImportedKey")) == 1
        statements = json.dumps(
            [stack.resolve(each.to_statement_json()) for each in delivery.key_policy_statements(key)]
        )
        for principal in ("DeliveryRole", "logs.", "s3.amazonaws.com", "events.amazonaws.com"):
            assert principal in statements
        other = Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("aws-s3-notif"))
        assert other == []

    def test_encryption_key_is_an_attribute(self, stack: cdk.Stack, server: SftpServer) -> None:
        key = kms.Key(stack, "Theirs")
        assert S3ToSftp(stack, "Delivery", server=server, encryption_key=key).encryption_key is key


class TestDeadLetterQueue:
    def test_given_dead_letter_queue_is_used(self, stack: cdk.Stack, synthesise: Synthesise) -> None:
        existing = sqs.Queue.from_queue_arn(stack, "Theirs", "arn:aws:sqs:eu-west-1:123456789012:theirs")
        template = synthesise(dead_letter_queue=existing)
        assert len(own_resources(template, "AWS::SQS::Queue")) == 1
        assert work_queue_properties(template)["RedrivePolicy"]["deadLetterTargetArn"] == existing.queue_arn
        assert role_permissions(template)[existing.queue_arn] == ["sqs:SendMessage"]

    def test_function_may_use_the_key_of_the_dead_letter_queue(
        self, stack: cdk.Stack, synthesise: Synthesise
    ) -> None:
        existing = sqs.Queue(stack, "Theirs", encryption_master_key=kms.Key(stack, "TheirKey"))
        assert role_permissions(synthesise(dead_letter_queue=existing))["TheirKey"] == [
            "kms:Decrypt",
            "kms:GenerateDataKey",
        ]

    def test_fifo_dead_letter_queue_is_refused(self, stack: cdk.Stack, synthesise: Synthesise) -> None:
        with pytest.raises(InvalidArgument) as caught:
            synthesise(dead_letter_queue=sqs.Queue(stack, "Theirs", fifo=True))
        assert (
            str(caught.value) == "dead_letter_queue must be a standard queue, got the FIFO queue Test/Theirs"
        )


def test_every_alarm_notifies_the_given_topic(stack: cdk.Stack, server: SftpServer) -> None:
    topic = sns.Topic(stack, "OnCall")
    delivery = S3ToSftp(stack, "Delivery", server=server, alarm_topic=topic)
    assert delivery.alarm_topic is topic
    alarms = Template.from_stack(stack).find_resources("AWS::CloudWatch::Alarm").values()
    assert len(alarms) == len(delivery.monitoring.alarms) == 8
    assert all("OnCall" in str(alarm["Properties"]["AlarmActions"]) for alarm in alarms)


def test_arguments_are_attributes(stack: cdk.Stack, server: SftpServer) -> None:
    vpc = ec2.Vpc(stack, "Vpc")
    decided: dict[str, Any] = {
        "vpc": vpc,
        "vpc_subnets": ec2.SubnetSelection(subnets=[vpc.private_subnets[0]]),
        "architecture": lambda_.Architecture.ARM_64,
        "runtime": lambda_.Runtime.PYTHON_3_12,
        "memory_size": 1024,
        "timeout": cdk.Duration.minutes(5),
        "log_retention": logs.RetentionDays.ONE_WEEK,
        "removal_policy": cdk.RemovalPolicy.DESTROY,
    }
    group = ec2.SecurityGroup(stack, "Group", vpc=vpc)
    delivery = S3ToSftp(stack, "Delivery", server=server, security_groups=[group], **decided)
    assert {name: getattr(delivery, name) for name in decided} == decided
    assert [each.node.path for each in delivery.security_groups] == [group.node.path]


class TestRole:
    def test_given_role_gets_the_default_permissions(
        self, stack: cdk.Stack, server: SftpServer, default_template: Template
    ) -> None:
        existing = iam.Role(stack, "DeliveryRole", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        delivery = S3ToSftp(stack, "Delivery", server=server, role=existing)
        assert delivery.role is existing
        template = Template.from_stack(stack)
        assert role_permissions(template) == role_permissions(default_template)
        function = own_properties(template, "AWS::Lambda::Function")
        assert as_text(function["Role"]) == "DeliveryRole"

    def test_imported_role_gets_an_inline_policy(self, stack: cdk.Stack, synthesise: Synthesise) -> None:
        existing = iam.Role.from_role_arn(stack, "Theirs", "arn:aws:iam::123456789012:role/theirs")
        template = synthesise(role=existing)
        (policy,) = [
            each["Properties"]
            for each in template.find_resources("AWS::IAM::Policy").values()
            if each["Properties"].get("Roles") == ["theirs"]
        ]
        assert "secretsmanager:GetSecretValue" in json.dumps(policy)
        assert own_properties(template, "AWS::Lambda::Function")["Role"] == existing.role_arn

    @pytest.mark.parametrize("account", ["111111111111", "222222222222"])
    def test_immutable_role_gets_a_warning_and_policy_statements(
        self, server: SftpServer, account: str
    ) -> None:
        stack = cdk.Stack(new_app(), "Test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
        arn = f"arn:aws:iam::{account}:role/theirs"
        existing = iam.Role.from_role_arn(stack, "Theirs", arn, mutable=account != "111111111111")
        delivery = S3ToSftp(stack, "Delivery", server=server, role=existing)
        (warning,) = warnings_of(stack, "policyOfFixedRole")
        assert "`role_policy_statements`" in warning
        actions = [
            action
            for each in delivery.role_policy_statements
            for action in each.to_statement_json()["Action"]
        ]
        assert {"s3:GetObject", "sqs:ReceiveMessage"} <= set(actions)

    def test_immutable_role_gets_no_policy_for_a_vpc(self, stack: cdk.Stack, server: SftpServer) -> None:
        arn = "arn:aws:iam::111111111111:role/theirs"
        existing = iam.Role.from_role_arn(stack, "Theirs", arn, mutable=False)
        delivery = S3ToSftp(stack, "Delivery", server=server, role=existing, vpc=ec2.Vpc(stack, "Vpc"))
        policies = own_resources(Template.from_stack(stack), "AWS::IAM::Policy")
        assert [each for each in policies if "theirs" in each["Properties"]["Roles"]] == []
        effects = [
            str(statement["Effect"])
            for statement in (each.to_statement_json() for each in delivery.role_policy_statements)
            if "ec2:CreateNetworkInterface" in statement["Action"]
        ]
        assert effects == ["Allow", "Deny"]

    @pytest.mark.parametrize("path", [None, "/platform/"])
    def test_role_of_another_stack_gets_its_policy_in_the_stack_of_the_delivery(
        self, server: SftpServer, path: str | None
    ) -> None:
        app = new_app()
        platform, ours = cdk.Stack(app, "Platform"), cdk.Stack(app, "Ours")
        assumed_by = iam.ServicePrincipal("lambda.amazonaws.com")
        existing = iam.Role(platform, "DeliveryRole", assumed_by=assumed_by, path=path)
        delivery = S3ToSftp(ours, "Delivery", server=server, role=existing, vpc=ec2.Vpc(ours, "Vpc"))
        app.synth()  # raises on a dependency cycle
        assert delivery.role is existing
        assert "AWS::IAM::Policy" not in str(Template.from_stack(platform).to_json())
        template = Template.from_stack(ours)
        policies = template.find_resources("AWS::IAM::Policy")
        named = {name: str(each["Properties"]["Roles"]) for name, each in policies.items()}
        attached = {name for name, roles in named.items() if "Platform" in roles and "Arn" not in roles}
        documents = json.dumps([policies[name] for name in attached])
        for action in ("sqs:ReceiveMessage", "s3:GetObject", "ec2:CreateNetworkInterface"):
            assert action in documents
        (function,) = own_resources(template, "AWS::Lambda::Function")
        assert "DeliveryRole" in str(function["Properties"]["Role"])
        # Lambda checks these permissions when it creates the mapping and the network interfaces.
        assert {each for each in attached if "DenyVpcAccessToCode" not in each} <= set(function["DependsOn"])

    def test_immutable_role_of_another_stack_gets_a_warning(self, server: SftpServer) -> None:
        app = new_app()
        platform, ours = cdk.Stack(app, "Platform"), cdk.Stack(app, "Ours")
        assumed_by = iam.ServicePrincipal("lambda.amazonaws.com")
        existing = iam.Role(platform, "Role", assumed_by=assumed_by).without_policy_updates()
        S3ToSftp(ours, "Delivery", server=server, role=existing)
        app.synth()
        assert len(warnings_of(ours, "policyOfFixedRole")) == 1


class TestRuntime:
    @pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda each: each.name)
    def test_supported_runtime_is_set(self, synthesise: Synthesise, runtime: lambda_.Runtime) -> None:
        assert own_properties(synthesise(runtime=runtime), "AWS::Lambda::Function")["Runtime"] == runtime.name

    def test_each_python_version_has_its_own_bundle(
        self, default_template: Template, synthesise: Synthesise
    ) -> None:
        other = synthesise(runtime=lambda_.Runtime.PYTHON_3_12)
        codes = [own_properties(each, "AWS::Lambda::Function")["Code"] for each in (other, default_template)]
        assert codes[0] != codes[1]

    def test_unsupported_runtime_is_refused(self, synthesise: Synthesise) -> None:
        with pytest.raises(InvalidArgument) as caught:
            synthesise(runtime=lambda_.Runtime.PYTHON_3_9)
        assert str(caught.value) == (
            "runtime must be one of python3.12, python3.13, python3.14, got python3.9"
        )

    def test_unsupported_architecture_is_refused(self, synthesise: Synthesise) -> None:
        with pytest.raises(InvalidArgument) as caught:
            synthesise(architecture=lambda_.Architecture.custom("riscv64"))
        assert str(caught.value) == "architecture must be one of x86_64, arm64, got riscv64"


@pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda each: each.name)
def test_bundle_imports_on_every_runtime(runtime: lambda_.Runtime, tmp_path: Any) -> None:
    target = target_of(lambda_.Architecture.X86_64, runtime)
    interpreter = compilation.interpreter_for(target)
    if interpreter is None:
        pytest.skip(f"no Python {target.python} here")
    bundle_builder.build(find_source(), tmp_path, target)
    done = programs.run(
        [
            interpreter,
            "-I",
            "-c",
            f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; import s3_to_sftp.handler",
        ],
        **compilation.for_compiling(target.python),
        AWS_DEFAULT_REGION="eu-west-1",
    )
    assert done.returncode == 0, done.stderr


class TestRemovalPolicy:
    def test_removal_policy_does_not_apply_to_a_given_bucket(
        self, stack: cdk.Stack, synthesise: Synthesise
    ) -> None:
        bucket = s3.Bucket(stack, "DeliveryTheirs")
        template = synthesise(bucket=bucket, removal_policy=cdk.RemovalPolicy.DESTROY)
        (resource,) = own_resources(template, "AWS::S3::Bucket")
        assert resource["DeletionPolicy"] == "Retain"

    def test_removal_policy_snapshot_is_refused(self, synthesise: Synthesise) -> None:
        with pytest.raises(InvalidArgument) as caught:
            synthesise(removal_policy=cdk.RemovalPolicy.SNAPSHOT)
        assert str(caught.value) == (
            "removal_policy must be one of RETAIN, RETAIN_ON_UPDATE_OR_DELETE, DESTROY, got SNAPSHOT"
        )


def test_all_resources_can_come_from_another_stack(server: SftpServer) -> None:
    app = new_app()
    platform, ours = cdk.Stack(app, "Platform"), cdk.Stack(app, "Ours")
    key, vpc = kms.Key(platform, "Key"), ec2.Vpc(platform, "Vpc")
    text = dynamodb.AttributeType.STRING
    ledger = dynamodb.Table(
        platform,
        "Ledger",
        partition_key=dynamodb.Attribute(name="pk", type=text),
        sort_key=dynamodb.Attribute(name="sk", type=text),
        encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
        encryption_key=key,
    )
    delivery = S3ToSftp(
        ours,
        "Delivery",
        server=server,
        bucket=s3.Bucket(platform, "Bucket", encryption_key=key),
        credentials=secretsmanager.Secret(platform, "Login", encryption_key=key),
        ledger=ledger,
        dead_letter_queue=sqs.Queue(platform, "DeadLettered", encryption_master_key=key),
        encryption_key=key,
        vpc=vpc,
        security_groups=[ec2.SecurityGroup(platform, "Group", vpc=vpc)],
        role=iam.Role(platform, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com")),
        event_bus=events.EventBus(platform, "Bus"),
        alarm_topic=sns.Topic(platform, "OnCall"),
        log_retention=logs.RetentionDays.ONE_WEEK,
    )
    more = s3.Bucket(platform, "More", encryption_key=key)
    delivery.add_source(more, directory="/more", trigger=Trigger.EVENTBRIDGE)
    app.synth()
    assert delivery.ledger is ledger
    kinds = {each["Type"] for each in Template.from_stack(ours).to_json()["Resources"].values()}
    assert not kinds & {"AWS::S3::Bucket", "AWS::SecretsManager::Secret", "AWS::DynamoDB::Table"}
