"""What a template of the construct has, as kinds of things and what flows between them.

`draw_architecture.py` draws it. Nothing here says where something stands in the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Resources = Mapping[str, Mapping[str, Any]]
"""Logical id -> resource, as a template has them."""

Edge = tuple[str, str]
"""From one kind to another, in the direction of what flows."""

PARTNER = "partner"
"""The only thing in the picture that no template creates."""

NOT_DRAWN = {
    "AWS::IAM::Role": "who may do what; the function's permissions are edges",
    "AWS::IAM::Policy": "as its role",
    "AWS::S3::BucketPolicy": "demands TLS",
    "AWS::SQS::QueuePolicy": "lets the sources send, and demands TLS",
    "AWS::Lambda::Permission": "lets a schedule invoke the function",
    "AWS::Lambda::EventSourceMapping": "is an edge",
    "AWS::Lambda::EventInvokeConfig": "how often Lambda repeats a scheduled invocation",
    "Custom::S3BucketNotifications": "is an edge",
}
"""Type of a resource -> why it is no box."""

FUNCTIONS_OF_CDK = ("BucketNotificationsHandler", "CustomVpcRestrictDefaultSG")
"""How the names of functions begin that CDK adds for what CloudFormation cannot do during a deployment."""

_BOXES = {
    "AWS::S3::Bucket": "bucket",
    "AWS::SecretsManager::Secret": "secret",
    "AWS::DynamoDB::Table": "ledger",
    "AWS::Lambda::LayerVersion": "layers",
    "AWS::Events::EventBus": "event bus",
    "AWS::CloudWatch::Alarm": "alarms",
    "AWS::CloudWatch::Dashboard": "dashboard",
    "AWS::SNS::Topic": "topic",
    "AWS::KMS::Key": "key",
}
"""Type of a resource -> its kind, where the type alone decides."""

_READS = (
    *("s3:Get", "s3:List", "secretsmanager:Get", "dynamodb:GetItem", "dynamodb:Query"),
    *("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueue"),
)
"""How actions begin by which something flows to the function, or which belong to receiving it."""


class Unknown(Exception):
    """The template has something that nobody has given a place in the picture."""


@dataclass(frozen=True)
class Model:
    """What a template has.

    Attributes:
        counts: Kind -> how many resources of it.
        edges: What flows between kinds.
        encrypted: Kinds that the key encrypts.
    """

    counts: Mapping[str, int]
    edges: frozenset[Edge]
    encrypted: frozenset[str]


def model_of(template: Mapping[str, Any]) -> Model:
    """Return what a template has.

    Raises:
        Unknown: It has a resource of a type that is neither a box nor in `NOT_DRAWN`.
    """
    resources: Resources = template["Resources"]
    kinds = {name: kind for name in resources if (kind := _kind(name, resources))}
    edges = frozenset(
        (one, other)
        for one, other in _edges(resources, kinds)
        if one != other and {one, other} <= {*kinds.values(), PARTNER, "event bus"}
    )
    counts = {kind: list(kinds.values()).count(kind) for kind in kinds.values()}
    drawn = {kind for edge in edges for kind in edge}
    return Model({**dict.fromkeys(drawn, 1), **counts}, edges, frozenset(_encrypted(resources, kinds)))


def _kind(name: str, resources: Resources) -> str:
    """Return the kind of a resource, or nothing if it is not drawn."""
    resource = resources[name]
    kind, properties = resource["Type"], resource.get("Properties", {})
    if kind in _BOXES:
        return _BOXES[kind]
    if kind.startswith("AWS::EC2::"):
        return "network"
    match kind:
        case "AWS::SQS::Queue":
            return "queue" if "RedrivePolicy" in properties else "dead-letter queue"
        case "AWS::Events::Rule":
            return "schedules" if "ScheduleExpression" in properties else "rule"
        case "AWS::Logs::LogGroup":
            return "log" if name in refs(_function(resources)["LoggingConfig"]) else "network"
        case "AWS::Lambda::Function" if properties is _function(resources):
            return "function"
        case "AWS::Lambda::Function" if name.startswith(FUNCTIONS_OF_CDK):
            return ""
    if kind not in NOT_DRAWN:
        raise Unknown(
            f"{name} is of type {kind}: give it a kind in architecture_model.py, or say why it is not drawn."
        )
    return ""


def _function(resources: Resources) -> Mapping[str, Any]:
    """Return the properties of the function that delivers: the one that the queue invokes."""
    (mapping,) = _of_type(resources, "AWS::Lambda::EventSourceMapping")
    (name,) = refs(mapping["FunctionName"])
    found: Mapping[str, Any] = resources[name]["Properties"]
    return found


def _of_type(resources: Resources, kind: str) -> Iterator[Mapping[str, Any]]:
    yield from (each.get("Properties", {}) for each in resources.values() if each["Type"] == kind)


def refs(value: Any) -> set[str]:
    """Return the logical ids that a value refers to."""
    match value:
        case {"Ref": str(name)}:
            return {name}
        case {"Fn::GetAtt": [str(name), _]}:
            return {name}
        case Mapping():
            return {name for each in value.values() for name in refs(each)}
        case list():
            return {name for each in value for name in refs(each)}
    return set()


def _edges(resources: Resources, kinds: Mapping[str, str]) -> Iterator[Edge]:
    def named(value: Any) -> set[str]:
        return {kinds[name] for name in refs(value) if name in kinds}

    for name, kind in kinds.items():
        properties = resources[name].get("Properties", {})
        match kind:
            case "queue":
                yield from ((kind, other) for other in named(properties["RedrivePolicy"]))
            case "rule" | "schedules":
                yield from ((other, kind) for other in named(properties.get("EventPattern")))
                yield from ((kind, other) for other in named(properties["Targets"]))
            case "alarms":
                yield from (
                    (other, kind) for other in named(_without(properties, "AlarmActions", "OKActions"))
                )
                yield from ((kind, other) for other in named(properties.get("AlarmActions")))
            case "dashboard":
                yield from ((other, kind) for other in named(properties))
    for each in _of_type(resources, "Custom::S3BucketNotifications"):
        yield from (("bucket", other) for other in named(each["NotificationConfiguration"]))
    for each in _of_type(resources, "AWS::Lambda::EventSourceMapping"):
        yield from ((other, "function") for other in named(each["EventSourceArn"]))
    yield from _of_function(resources, kinds)


def _of_function(resources: Resources, kinds: Mapping[str, str]) -> Iterator[Edge]:
    properties = _function(resources)
    yield "function", "log"
    if "SSH_HOST" in properties["Environment"]["Variables"]:
        yield "function", PARTNER
    if "Layers" in properties:
        yield "layers", "function"
    if "VpcConfig" in properties:
        yield "function", "network"
        if next(_of_type(resources, "AWS::EC2::NatGateway"), None):
            yield "network", PARTNER
    for policy in _of_type(resources, "AWS::IAM::Policy"):
        if refs(policy["Roles"]) == refs(properties["Role"]):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield from _permitted(statement, kinds)


def _permitted(statement: Mapping[str, Any], kinds: Mapping[str, str]) -> Iterator[Edge]:
    """What a statement lets flow. Uses of a KMS key are none: they go with what it encrypts."""
    actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
    those = {kinds[name] for name in refs(statement["Resource"]) if name in kinds} - {"key"}
    if "events:PutEvents" in actions:
        those.add("event bus")
    for kind in those if statement["Effect"] == "Allow" else ():
        for action in actions:
            yield (kind, "function") if action.startswith(_READS) else ("function", kind)


def _encrypted(resources: Resources, kinds: Mapping[str, str]) -> Iterator[str]:
    keys = {name for name, kind in kinds.items() if kind == "key"}
    for name, kind in kinds.items():
        if refs(resources[name].get("Properties", {})) & keys:
            yield kind


def _without(properties: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if name not in names}
