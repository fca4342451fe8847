"""A wrong type for any argument of any public class raises one sentence that names the argument."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Template
from constructs import Construct

from cdk_s3_to_sftp import (
    Alarms,
    Bundling,
    DeliverySecurityGroup,
    InvalidArgument,
    Monitoring,
    S3ToSftp,
    S3ToSftpStack,
    SftpServer,
    Source,
    StaticEgress,
    Trigger,
    UnknownOutcome,
)
from tests.infra.conftest import Synthesise, new_app
from tests.support.infra.keys import ED25519

CLASSES: tuple[type, ...] = (
    S3ToSftp,
    SftpServer,
    StaticEgress,
    Alarms,
    S3ToSftpStack,
    Source,
    DeliverySecurityGroup,
    Monitoring,
)

TEXTS = {"profile", "host", "directory", "prefix", "suffix", "id", "partner", "name_servers"}
NUMBERS = {"port", "max_connections", "memory_size", "addresses", "dead_lettered", "errors", "throttles"}
NUMBERS |= {"login_fallback", "canary_failed", "partner_changed", "missed_cut_off"}
FRACTIONS = {"max_megabytes_per_second"}
NUMBERS |= FRACTIONS
SWITCHES = {"dashboard", "enabled", "cut_off", "sha256", "canary", "keep_connection", "outputs"}
LISTS = {"host_keys", "former_prefixes", "ciphers", "sources", "security_groups", "elastic_ips", "ports"}

SECRET = "hunter2-hunter2-hunter2-hunter2-hunter2-hunter2-hunter2"


def accepts_text(of: type, name: str) -> bool:
    return name in TEXTS or (of is S3ToSftpStack and name == "alarm_topic")


def wrong_values(of: type, name: str) -> Iterator[object]:
    yield from (object(), b"bytes", {"a": 1}, int, {1, 2})
    if name not in FRACTIONS:
        yield 8.5
    if not accepts_text(of, name):
        yield from ("eventbridge", "", SECRET)
    if name not in NUMBERS:
        yield from (8, 0)
    if name not in SWITCHES:
        yield True
    if name not in LISTS:
        yield from ([], ["sftp"])
    else:
        yield from ([object()], [8.5], [None])


def parameters(of: type) -> list[inspect.Parameter]:
    """Return the parameters of its own constructor: the metaclass of jsii hides them."""
    constructor = vars(of)["__init__"]
    return [
        each
        for each in inspect.signature(constructor).parameters.values()
        if each.kind is not each.VAR_KEYWORD and each.name != "self"
    ]


@pytest.fixture(scope="module")
def required_arguments() -> dict[str, Any]:
    """Values of the arguments that have no default."""
    stack = cdk.Stack(new_app(), "Needed")
    server = SftpServer("sftp.partner.example", host_keys=[ED25519])
    return {
        "id": "Delivery",
        "server": server,
        "host": server.host,
        "host_keys": server.host_keys,
        "bucket": s3.Bucket.from_bucket_name(stack, "Theirs", "their-bucket"),
        "vpc": ec2.Vpc(stack, "Vpc"),
        "delivery": S3ToSftp(stack, "Delivery", server=server),
        "partner": "Bank",
    }


@pytest.mark.parametrize(
    ("of", "name"),
    [
        pytest.param(of, each.name, id=f"{of.__name__}-{each.name}")
        for of in CLASSES
        for each in parameters(of)
        if each.name != "scope"
    ],
)
def test_wrong_type_raises_one_sentence_that_names_the_argument(
    of: Callable[..., Any], name: str, required_arguments: dict[str, Any], stack: cdk.Stack
) -> None:
    assert isinstance(of, type)
    given = {
        each.name: required_arguments[each.name]
        for each in parameters(of)
        if each.name in required_arguments and (each.default is each.empty or each.name == "host_keys")
    }
    if issubclass(of, Construct):
        given["scope"] = stack
    for value in wrong_values(of, name):
        with pytest.raises(InvalidArgument) as caught:
            of(**{**given, name: value})
        assert caught.value.argument == name, value
        message = str(caught.value)
        assert message.startswith(f"{name} must ")
        assert ", got " in message
        assert len(message.splitlines()) == 1
        assert not any(word in message for word in ("0x", "jsii", "object has no", "typing.", SECRET))
    assert stack.node.children == [], "the arguments are checked before a construct is created"


def test_methods_check_the_types_of_their_arguments(stack: cdk.Stack) -> None:
    delivery = S3ToSftp(
        stack, "Checked", server=SftpServer("sftp.partner.example", host_keys=[ED25519]), prefix="a/"
    )
    bucket = s3.Bucket.from_bucket_name(stack, "Theirs", "their-bucket")
    for name in ("bucket", "prefix", "suffix", "directory", "trigger", "rules"):
        with pytest.raises(InvalidArgument) as caught:
            delivery.add_source(**{"bucket": bucket, name: 8})  # type: ignore[arg-type]  # wrong on purpose
        assert caught.value.argument == name
    with pytest.raises(InvalidArgument, match=r"^bucket must be an IBucket such as"):
        delivery.bucket_policy_statements("their-bucket")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(InvalidArgument, match=r"^key must be an IKey such as"):
        delivery.key_policy_statements("alias/key")  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"trigger": "eventbridge"},
            "trigger must be a Trigger such as Trigger.NOTIFICATION, got the text 'eventbridge': "
            "write Trigger.EVENTBRIDGE",
        ),
        (
            {"bundling": "docker"},
            "bundling must be a Bundling such as Bundling.AUTO, got the text 'docker': write Bundling.DOCKER",
        ),
        (
            {"architecture": "arm64"},
            "architecture must be an Architecture such as lambda_.Architecture.ARM_64, got the text 'arm64': "
            "write Architecture.ARM_64",
        ),
        (
            {"runtime": "python3.12"},
            "runtime must be a Runtime such as lambda_.Runtime.PYTHON_3_13, got the text 'python3.12': "
            "write Runtime.PYTHON_3_12",
        ),
        (
            {"tracing": "active"},
            "tracing must be a Tracing such as lambda_.Tracing.ACTIVE, got the text 'active': "
            "write Tracing.ACTIVE",
        ),
        (
            {"log_level": "debug"},
            "log_level must be an ApplicationLogLevel such as lambda_.ApplicationLogLevel.DEBUG, got the "
            "text 'debug': write ApplicationLogLevel.DEBUG",
        ),
        (
            {"log_group": "their-log"},
            'log_group must be an ILogGroup such as logs.LogGroup.from_log_group_name(self, "Log", '
            '"their-log"), got text',
        ),
        ({"enabled": "false"}, "enabled must be True or False, got text"),
        ({"max_connections": 8.0}, "max_connections must be a whole number, got 8.0"),
        ({"dashboard": "no"}, "dashboard must be True or False, got text"),
        ({"retry_for": 24}, "retry_for must be a Duration such as cdk.Duration.hours(2), got 24"),
        (
            {"bucket": "their-bucket"},
            'bucket must be an IBucket such as s3.Bucket.from_bucket_name(self, "Theirs", "their-bucket"), '
            "got text",
        ),
        (
            {"sources": [8]},
            'sources must be a list of Source objects such as Source(bucket, prefix="outgoing/"), '
            "got 8 at place 1",
        ),
        (
            {"server": None},
            'server must be an SftpServer such as SftpServer("sftp.partner.example", host_keys=[...]), '
            "got None",
        ),
    ],
)
def test_error_of_a_wrong_type_suggests_the_right_value(
    synthesise: Synthesise, arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        synthesise(**arguments)
    assert str(caught.value) == sentence


def test_imported_constructs_and_tokens_are_accepted(stack: cdk.Stack) -> None:
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-0123456789abcdef0",
        availability_zones=["eu-west-1a"],
        private_subnet_ids=["subnet-0123456789abcdef0"],
    )
    number = cdk.CfnParameter(stack, "Memory", type="Number").value_as_number
    S3ToSftp(
        stack,
        "Delivery",
        server=SftpServer("sftp.partner.example", host_keys=[ED25519], unknown_outcome=UnknownOutcome.RESEND),
        bucket=s3.Bucket.from_bucket_name(stack, "Theirs", "their-bucket"),
        trigger=Trigger.EVENTBRIDGE,
        alarm_topic=sns.Topic.from_topic_arn(stack, "OnCall", "arn:aws:sns:eu-west-1:123456789012:on-call"),
        vpc=vpc,
        memory_size=number,  # type: ignore[arg-type]  # jsii says float
        architecture=lambda_.Architecture.ARM_64,
        bundling=Bundling.LOCAL,
    )
    template = Template.from_stack(stack)
    template.has_resource_properties("AWS::Lambda::Function", {"MemorySize": {"Ref": "Memory"}})
