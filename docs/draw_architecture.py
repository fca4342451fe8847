"""Draws docs/architecture.svg from templates of the construct: one with its defaults, one with everything.

python -m docs.draw_architecture
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import (
    AfterDelivery,
    DeliveryRules,
    OpenPgp,
    S3ToSftp,
    SftpServer,
    StaticEgress,
    Trigger,
    Window,
)
from docs.architecture_model import PARTNER, Edge, Model, Unknown, model_of
from docs.drawing import Point, arrow, box, picture, words

PICTURE = Path(__file__).with_name("architecture.svg")

_HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdnpEeLt+t8md7NlFZQdO/806XsPCdzCEXznZRG36hV"
_PGP_KEY = Path(__file__).parents[1] / "examples" / "bank_with_sequence_and_pgp" / "bank.asc"

WIDTH, HEIGHT = 1000, 576


@dataclass(frozen=True)
class Place:
    """Where a kind stands, and what is written there. `{count}` and `{encrypted}` are filled in."""

    x: float
    y: float
    width: float
    height: float
    service: str
    title: str
    details: tuple[str, ...] = ()
    look: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """How an edge is drawn. An edge in both directions is one line, named by its first direction."""

    points: tuple[Point, ...]
    label: str = ""
    at: Point = (0, 0)
    look: tuple[str, ...] = field(default=())


PLACES = {
    "rule": Place(20, 24, 180, 68, "Amazon EventBridge", "Rule", ("in place of notifications",)),
    "dead-letter queue": Place(
        285, 24, 170, 68, "Amazon SQS", "Dead-letter queue", ("with reason and hint",)
    ),
    "schedules": Place(530, 24, 102, 68, "EventBridge", "Schedules", ("canary, cut-off",)),
    "layers": Place(642, 24, 98, 68, "AWS Lambda", "Layers", ("rules, OpenPGP",)),
    "network": Place(825, 24, 155, 68, "Amazon VPC", "Fixed addresses", ("NAT, Elastic IPs",)),
    "bucket": Place(20, 148, 180, 150, "Amazon S3", "Buckets", ("one is created,", "or bring yours")),
    "queue": Place(285, 148, 170, 68, "Amazon SQS", "Queue", ("one message per object",)),
    "function": Place(
        *(530, 148, 210, 150),
        "AWS Lambda",
        "Function",
        ("lease, upload, verify,", "commit, rename, receipt"),
        ("ours",),
    ),
    PARTNER: Place(825, 148, 155, 150, "the partner's", "SFTP server", (), ("theirs",)),
    "secret": Place(20, 384, 178, 68, "AWS Secrets Manager", "Secret", ("the login",)),
    "ledger": Place(214, 384, 178, 68, "Amazon DynamoDB", "Ledger", ("lease, progress, receipt",)),
    "event bus": Place(408, 384, 178, 68, "Amazon EventBridge", "Event bus", ("completed, failed, ...",)),
    "log": Place(602, 384, 178, 68, "Amazon CloudWatch", "Log group", ("one line per outcome",)),
    "alarms": Place(796, 384, 184, 68, "Amazon CloudWatch", "{count} alarms", ("with what to do",)),
    "key": Place(20, 488, 460, 68, "AWS KMS", "Key", ("encrypts {encrypted}",)),
    "dashboard": Place(602, 488, 178, 68, "Amazon CloudWatch", "Dashboard"),
    "topic": Place(796, 488, 184, 68, "Amazon SNS", "Topic", ("whom alarms notify",)),
}
"""Kind -> its box."""

LINES: Mapping[Edge, Line] = {
    ("bucket", "queue"): Line(((200, 192), (285, 192)), "notification", (243, 208)),
    ("bucket", "rule"): Line(((110, 148), (110, 92))),
    ("rule", "queue"): Line(((200, 58), (243, 58), (243, 164), (285, 164))),
    ("queue", "dead-letter queue"): Line(((370, 148), (370, 92))),
    ("queue", "function"): Line(((455, 172), (530, 172)), "batch", (493, 165)),
    ("function", "queue"): Line(((530, 196), (455, 196)), "retry, rest", (493, 212)),
    ("function", "dead-letter queue"): Line(((555, 148), (555, 120), (493, 120), (493, 58), (455, 58))),
    ("bucket", "function"): Line(
        ((200, 254), (530, 254)), "the announced version, in ranges", (365, 245), ("bytes",)
    ),
    ("function", "bucket"): Line(((530, 280), (200, 280)), "afterwards: tag, move or delete", (365, 296)),
    ("schedules", "function"): Line(((581, 92), (581, 148))),
    ("layers", "function"): Line(((691, 92), (691, 148))),
    ("function", PARTNER): Line(((740, 254), (825, 254)), "SSH, SFTP", (782, 245), ("bytes",)),
    ("function", "network"): Line(((740, 172), (782, 172), (782, 58), (825, 58))),
    ("network", PARTNER): Line(((902, 92), (902, 148))),
    ("secret", "function"): Line(((109, 384), (109, 322), (560, 322), (560, 298))),
    ("function", "ledger"): Line(((590, 298), (590, 342), (303, 342), (303, 384))),
    ("function", "event bus"): Line(((620, 298), (620, 362), (497, 362), (497, 384)), "events", (558, 378)),
    ("function", "log"): Line(((691, 298), (691, 384))),
    ("function", "alarms"): Line(((718, 298), (718, 342), (888, 342), (888, 384)), "metrics", (803, 336)),
    ("alarms", "dashboard"): Line(((842, 452), (842, 470), (691, 470), (691, 488))),
    ("alarms", "topic"): Line(((920, 452), (920, 488))),
}
"""Edge -> its arrow."""

IMPLIED = {
    ("queue", "alarms"): "its metrics: drawn once, from the function",
    ("dead-letter queue", "alarms"): "its metrics: drawn once, from the function",
    ("queue", "dashboard"): "its metrics: drawn once, from the alarms",
    ("dead-letter queue", "dashboard"): "its metrics: drawn once, from the alarms",
    ("function", "dashboard"): "its metrics: drawn once, from the alarms",
    ("log", "dashboard"): "its tables: drawn once, from the alarms",
    ("rule", "dead-letter queue"): "events that EventBridge cannot put into the queue",
}
"""Edge -> why it has no arrow."""


SEVERAL = {
    "bucket": "one is created, and any number is brought",
    "schedules": "canary, cut-off",
    "layers": "rules, OpenPGP",
    "network": "all that addresses need",
    "alarms": "the box says how many",
}
"""Kind -> why one box stands for several resources. A template has one of each other kind."""


def default_template() -> dict[str, Any]:
    """Return the template of a delivery whose arguments are all at their defaults."""
    stack = _stack()
    S3ToSftp(stack, "ToPartner", server=_server())
    return _template(stack)


def full_template() -> dict[str, Any]:
    """Return the template of a delivery that has everything that a delivery can have."""
    stack = _stack()
    egress = StaticEgress(stack, "Egress")
    rules = DeliveryRules(
        transforms=[OpenPgp(encrypt_to=[_PGP_KEY.read_text()])],
        windows=[Window("Mon-Fri 06:00-18:00")],
        cut_off="17:30",
        after_delivery=AfterDelivery.tag({"delivered": "yes"}),
    )
    delivery = S3ToSftp(
        stack,
        "ToPartner",
        server=_server(rules),
        event_bus=events.EventBus(stack, "Bus"),
        encryption_key=kms.Key(stack, "Key"),
        vpc=egress.vpc,
        vpc_subnets=egress.vpc_subnets,
        security_groups=egress.security_groups,
        canary=True,
        alarm_topic=sns.Topic(stack, "OnCall"),
    )
    announced = s3.Bucket(stack, "Announced")
    delivery.add_source(announced, trigger=Trigger.EVENTBRIDGE)
    return _template(stack)


def _stack() -> cdk.Stack:
    app = cdk.App(context={"aws:cdk:bundling-stacks": []}, analytics_reporting=False)
    return cdk.Stack(app, "Stack")


def _server(rules: DeliveryRules | None = None) -> SftpServer:
    return SftpServer("sftp.partner.example", host_keys=[_HOST_KEY], rules=rules)


def _template(stack: cdk.Stack) -> dict[str, Any]:
    return dict(Template.from_stack(stack).to_json())


def draw(default: Model, full: Model) -> str:
    """Return the picture. What only the second one has is optional.

    Raises:
        Unknown: The picture lacks something that a template has, or has something that no template has.
    """
    _check("kinds", set(full.counts), set(PLACES))
    _check("edges", set(full.edges), _drawn_edges(full) | IMPLIED.keys())
    _check_counts(default)
    _check_counts(full)
    drawn = [line for edge in LINES for line in _draw_line(edge, default, full)]
    drawn += [line for kind in PLACES for line in _draw_box(kind, default, full)]
    return picture(
        WIDTH,
        HEIGHT,
        title="What the construct creates, and the way of an object through it",
        description="A put in an S3 bucket notifies an SQS queue, which invokes a Lambda function. The "
        "function reads the object and writes it to the partner's SFTP server. A DynamoDB table is its "
        "ledger.",
        drawn=[*drawn, *_draw_legend()],
    )


def _drawn_edges(full: Model) -> set[Edge]:
    backwards = {(other, one) for one, other in LINES if (other, one) in full.edges}
    return LINES.keys() | backwards


def _check(what: str, have: set[Any], drawn: set[Any]) -> None:
    if missing := have - drawn:
        raise Unknown(f"The picture lacks {what} of the template: {sorted(missing)}. Give them a place.")
    if extra := drawn - have:
        raise Unknown(f"The picture has {what} that no template has: {sorted(extra)}. Remove them.")


def _check_counts(model: Model) -> None:
    several = {kind: count for kind, count in model.counts.items() if count > 1 and kind not in SEVERAL}
    if several:
        raise Unknown(f"One box stands for several: {several}. Give them kinds, or a reason in SEVERAL.")


def _draw_box(kind: str, default: Model, full: Model) -> Iterator[str]:
    place = PLACES[kind]
    optional = () if kind in default.counts else ("optional",)
    yield box(place.x, place.y, place.width, place.height, *place.look, *optional)
    x = place.x + place.width / 2
    y = place.y + place.height / 2 - 8 * len(place.details)
    yield words(x, y - 8, place.service, size=11, look="quiet")
    yield words(x, y + 9, place.title.format(count=default.counts.get(kind, 0)), size=15, bold=True)
    for number, detail in enumerate(place.details):
        yield words(x, y + 26 + 16 * number, detail.format(encrypted=_listed(full.encrypted)), size=12)


def _listed(kinds: Collection[str]) -> str:
    """Return the kinds in the order in which they stand in the picture."""
    return ", ".join(sorted(kinds, key=list(PLACES).index))


def _draw_line(edge: Edge, default: Model, full: Model) -> Iterator[str]:
    line = LINES[edge]
    optional = () if edge in default.edges else ("optional",)
    backwards = edge[::-1]
    yield arrow(line.points, *line.look, *optional, both=backwards in full.edges and backwards not in LINES)
    if line.label:
        yield words(*line.at, line.label, size=12, look="quiet")


def _draw_legend() -> Iterator[str]:
    for number, (text, look) in enumerate(
        (("always", ()), ("optional", ("optional",)), ("the bytes", ("bytes",)))
    ):
        y = 502 + 20 * number
        yield arrow(((492, y), (520, y)), *look)
        yield words(527, y + 4, text, size=12, at="start")


if __name__ == "__main__":
    PICTURE.write_text(draw(model_of(default_template()), model_of(full_template())))
