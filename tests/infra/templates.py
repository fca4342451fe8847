"""Helpers that look up resources in a synthesised template."""

from typing import Any

import aws_cdk as cdk
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import S3ToSftp, SftpServer
from tests.support.infra.keys import ED25519

PARTNER_TAGS = [{"Key": "s3-to-sftp:partner", "Value": "sftp.partner.example"}]


def own_resources(template: Template, kind: str) -> list[dict[str, Any]]:
    """The resources of this type that belong to the construct."""
    found = template.find_resources(kind)
    return [dict(each) for name, each in sorted(found.items()) if name.startswith("Delivery")]


def own_properties(template: Template, kind: str) -> dict[str, Any]:
    (resource,) = own_resources(template, kind)
    properties: dict[str, Any] = resource["Properties"]
    return properties


def environment_variables(template: Template) -> dict[str, Any]:
    written: dict[str, Any] = own_properties(template, "AWS::Lambda::Function")["Environment"]["Variables"]
    return written


def work_queue_properties(template: Template) -> dict[str, Any]:
    (queue,) = [
        each for each in own_resources(template, "AWS::SQS::Queue") if "RedrivePolicy" in each["Properties"]
    ]
    properties: dict[str, Any] = queue["Properties"]
    return properties


def role_permissions(template: Template) -> dict[str, list[str]]:
    """Map each resource, as text, to the actions that the function's role is allowed on it."""
    statements = [
        statement
        for each in own_resources(template, "AWS::IAM::Policy")
        for statement in each["Properties"]["PolicyDocument"]["Statement"]
        if "DeliveryRole" in str(each["Properties"]["Roles"]) and statement["Effect"] == "Allow"
    ]
    allowed: dict[str, list[str]] = {}
    for statement in statements:
        actions = statement["Action"]
        allowed[as_text(statement["Resource"])] = [actions] if isinstance(actions, str) else actions
    return allowed


def as_text(value: Any) -> str:
    match value:
        case {"Ref": str(pseudo)} if pseudo.startswith("AWS::"):
            return pseudo
        case {"Fn::GetAtt": [name, "Arn"]} | {"Ref": name}:
            return str(name)[:-8]  # without the hash
        case {"Fn::Join": [_, parts]}:
            return "".join(as_text(part) if isinstance(part, dict) else part for part in parts)
    return str(value)


OUTPUT_NAMES = {
    "BucketName",
    "SecretArn",
    "FillSecretCommand",
    "QueueUrl",
    "DeadLetterQueueUrl",
    "RedriveCommand",
    "LedgerTableName",
    "FunctionName",
    "LogGroupName",
    "EventSourceMappingId",
    "SourceAddresses",
    "DashboardName",
}

READ_ACTIONS = [
    "s3:GetObject",
    "s3:GetObjectAttributes",
    "s3:GetObjectVersion",
    "s3:GetObjectVersionAttributes",
]


def new_delivery(scope: cdk.Stack, name: str = "Delivery", **arguments: Any) -> S3ToSftp:
    """Create a delivery, without a source unless the arguments contain one."""
    server = arguments.pop("server", SftpServer("sftp.partner.example", host_keys=[ED25519]))
    arguments = arguments if "bucket" in arguments else {"sources": [], **arguments}
    return S3ToSftp(scope, name, server=server, **arguments)


def stack_properties(stack: cdk.Stack, kind: str) -> list[dict[str, Any]]:
    found = Template.from_stack(stack).find_resources(kind)
    return [each["Properties"] for _, each in sorted(found.items())]


def queue_notifications(stack: cdk.Stack) -> list[dict[str, Any]]:
    return [
        rule
        for each in stack_properties(stack, "Custom::S3BucketNotifications")
        for rule in each["NotificationConfiguration"]["QueueConfigurations"]
    ]


def filter_rules(rule: dict[str, Any]) -> dict[str, str]:
    return {each["Name"]: each["Value"] for each in rule["Filter"]["Key"]["FilterRules"]}


def delivery_function(stack: cdk.Stack) -> dict[str, Any]:
    (function,) = [
        each
        for each in stack_properties(stack, "AWS::Lambda::Function")
        if each["Handler"] == "s3_to_sftp.handler.lambda_handler"
    ]
    return function
