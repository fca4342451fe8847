"""`bucket.with_(DeliverToSftp(...))` creates what `S3ToSftp(bucket=...)` creates.

https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk/Mixins.html
https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk/MixinApplicator.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import constructs
import pytest
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import DeliverToSftp, InvalidArgument, S3ToSftp, SftpServer, Trigger
from tests.infra.conftest import new_app
from tests.support.infra.keys import ED25519

needs_mixins = pytest.mark.skipif(
    not hasattr(constructs, "IMixin"), reason="constructs before 10.5 has no mixins, only `apply_to`"
)
needs_selectors = pytest.mark.skipif(
    not hasattr(cdk, "Mixins"), reason="this aws-cdk-lib has no `Mixins`, only `with_`"
)

BANK = SftpServer("sftp.bank.example", host_keys=[ED25519])

Apply = Callable[[s3.IBucket, DeliverToSftp], object]

WAYS = {
    "with": lambda bucket, mixin: bucket.with_(mixin),
    "apply_to": lambda bucket, mixin: mixin.apply_to(bucket),
    "aspect": lambda bucket, mixin: cdk.Aspects.of(bucket).add(mixin),
    "Mixins": lambda bucket, mixin: cdk.Mixins.of(bucket).require_any().apply(mixin),
}


@pytest.fixture(
    params=[
        pytest.param("with", marks=needs_mixins),
        "apply_to",
        "aspect",
        pytest.param("Mixins", marks=needs_selectors),
    ]
)
def apply(request: pytest.FixtureRequest) -> Apply:
    return WAYS[request.param]


def new_stack(name: str = "Test") -> cdk.Stack:
    return cdk.Stack(new_app(), name)


def sources_of(stack: cdk.Stack, id: str = "ToBank") -> list[str]:  # noqa: A002
    delivery = stack.node.find_child(id)
    assert isinstance(delivery, S3ToSftp)
    return [source.bucket.node.id for source in delivery.sources]


@pytest.mark.parametrize("imported", [True, False])
def test_mixin_and_construct_give_the_same_template(apply: Apply, *, imported: bool) -> None:
    def bucket(stack: cdk.Stack) -> s3.IBucket:
        if imported:
            return s3.Bucket.from_bucket_name(stack, "Bucket", "their-bucket")
        return s3.Bucket(stack, "Bucket", versioned=True)

    as_construct, as_mixin = new_stack(), new_stack()
    S3ToSftp(
        as_construct, "ToBank", server=BANK, bucket=bucket(as_construct), prefix="out/", max_connections=4
    )
    apply(bucket(as_mixin), DeliverToSftp("ToBank", server=BANK, prefix="out/", max_connections=4))
    assert Template.from_stack(as_mixin).to_json() == Template.from_stack(as_construct).to_json()


def test_one_mixin_on_two_buckets_creates_one_delivery(apply: Apply) -> None:
    stack, to_bank = new_stack(), DeliverToSftp("ToBank", server=BANK)
    for name in ("First", "Second"):
        apply(s3.Bucket(stack, name), to_bank)
    Template.from_stack(stack).resource_count_is("AWS::Lambda::EventSourceMapping", 1)
    assert sources_of(stack) == ["First", "Second"]
    assert to_bank.delivery is stack.node.find_child("ToBank")


@needs_mixins
def test_mixins_with_equal_id_and_arguments_share_a_delivery() -> None:
    stack = new_stack()
    s3.Bucket(stack, "First").with_(DeliverToSftp("ToBank", server=BANK, directory="/a"))
    s3.Bucket(stack, "Second").with_(DeliverToSftp("ToBank", server=BANK, directory="/b"))
    assert sources_of(stack) == ["First", "Second"]


@needs_mixins
def test_each_partner_of_a_bucket_has_its_own_delivery() -> None:
    stack = new_stack()
    insurer = SftpServer("sftp.insurer.example", host_keys=[ED25519])
    bucket = s3.Bucket(stack, "Bucket")
    returned = bucket.with_(
        DeliverToSftp("ToBank", server=BANK, trigger=Trigger.EVENTBRIDGE),
        DeliverToSftp("ToInsurer", server=insurer, trigger=Trigger.EVENTBRIDGE),
    )
    assert returned is bucket
    assert sources_of(stack, "ToBank") == sources_of(stack, "ToInsurer") == ["Bucket"]


@needs_mixins
def test_delivery_of_a_nested_bucket_is_created_in_the_stack() -> None:
    stack = new_stack()
    shop = constructs.Construct(stack, "Shop")
    s3.Bucket(shop, "Orders")
    shop.with_(DeliverToSftp("ToBank", server=BANK))
    assert sources_of(stack) == ["Orders"]


def test_aspect_skips_buckets_imported_by_other_constructs() -> None:
    """Functions import the bucket of `cdk bootstrap`, and `S3ToSftp` imports buckets of other stacks."""
    stack = new_stack()
    cdk.Aspects.of(stack).add(DeliverToSftp("ToBank", server=BANK))
    cdk.Tags.of(stack).add("team", "payments")
    s3.Bucket(stack, "Orders")
    lambda_.Function(
        stack,
        "Other",
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="tests",
        code=lambda_.Code.from_asset("tests/infra/checkov"),
    )
    elsewhere = s3.Bucket(cdk.Stack(cdk.App.of(stack), "ExternalFuture"), "Logs")
    S3ToSftp(stack, "ToInsurer", server=BANK, bucket=elsewhere)
    template = Template.from_stack(stack)
    imported = [each for each in stack.node.find_all() if isinstance(each, s3.BucketBase)]
    assert len(imported) >= 3
    assert sources_of(stack) == ["Orders"]
    queues = template.find_resources("AWS::SQS::Queue").values()
    assert all({"Key": "team", "Value": "payments"} in queue["Properties"]["Tags"] for queue in queues)


@needs_mixins
def test_second_synth_gives_the_same_template() -> None:
    stack = new_stack()
    cdk.Aspects.of(stack).add(DeliverToSftp("ToBank", server=BANK))
    s3.Bucket(stack, "Orders")
    first = Template.from_stack(stack).to_json()
    cdk.App.of(stack).synth(force=True)  # type: ignore[union-attr]
    assert Template.from_stack(stack).to_json() == first


@needs_selectors
def test_construct_selector_limits_the_buckets() -> None:
    stack = new_stack()
    for name in ("OutInvoices", "OutOrders", "Logs"):
        s3.Bucket(stack, name)
    chosen = cdk.Mixins.of(stack, cdk.ConstructSelector.by_id("Out*")).require_any()
    chosen.apply(DeliverToSftp("ToBank", server=BANK))
    assert sources_of(stack) == ["OutInvoices", "OutOrders"]


@pytest.mark.parametrize("way", [pytest.param("with", marks=needs_mixins), "aspect"])
def test_mixin_without_a_bucket_fails_at_synth(way: str) -> None:
    app = new_app()
    queue: Any = sqs.Queue(cdk.Stack(app, "Test"), "Queue")
    WAYS[way](queue, DeliverToSftp("ToBank", server=BANK))
    with pytest.raises(RuntimeError, match=r"DeliverToSftp 'ToBank' was not applied to any bucket"):
        app.synth()


def test_construct_other_than_a_bucket_is_refused() -> None:
    queue: Any = sqs.Queue(new_stack(), "Queue")
    with pytest.raises(InvalidArgument) as caught:
        DeliverToSftp("ToBank", server=BANK).apply_to(queue)
    assert str(caught.value) == (
        "construct must be a bucket (s3.Bucket, or one imported by its name or ARN), got Test/Queue, a Queue"
    )


def test_bucket_in_another_stack_is_refused() -> None:
    app = new_app()
    to_bank = DeliverToSftp("ToBank", server=BANK)
    to_bank.apply_to(s3.Bucket(cdk.Stack(app, "One"), "Bucket"))
    with pytest.raises(InvalidArgument) as caught:
        to_bank.apply_to(s3.Bucket(cdk.Stack(app, "Two"), "Bucket"))
    assert str(caught.value) == (
        "construct must be in stack One, where this DeliverToSftp has its delivery, got Two/Bucket in stack "
        "Two: a second delivery would open max_connections of its own. Have one deliver both with "
        "S3ToSftp(...).add_source(bucket), or make a second DeliverToSftp with its share of the connections"
    )


@pytest.mark.parametrize(
    ("differing", "named"),
    [
        ({"server": SftpServer("sftp.other.example", host_keys=[ED25519])}, "server"),
        ({"server": BANK, "max_connections": 4}, "max_connections"),
        ({"server": BANK, "retry_for": cdk.Duration.hours(2)}, "retry_for"),
    ],
)
def test_same_id_with_other_arguments_is_refused(differing: dict[str, Any], named: str) -> None:
    stack = new_stack()
    DeliverToSftp("ToBank", server=BANK).apply_to(s3.Bucket(stack, "First"))
    with pytest.raises(InvalidArgument) as caught:
        DeliverToSftp("ToBank", **differing).apply_to(s3.Bucket(stack, "Second"))
    assert str(caught.value) == (
        f"id must not be 'ToBank', which belongs to a DeliverToSftp with a different {named} in stack "
        "Test: use another id for another partner; for the same one, apply the same DeliverToSftp to both "
        "buckets"
    )


def test_id_of_another_construct_is_refused() -> None:
    stack = new_stack()
    S3ToSftp(stack, "ToBank", server=BANK)
    with pytest.raises(
        InvalidArgument, match="id must not be 'ToBank', which belongs to Test/ToBank, created by no mixin"
    ):
        DeliverToSftp("ToBank", server=BANK).apply_to(s3.Bucket(stack, "First"))


@pytest.mark.parametrize("name", ["bucket", "sources"])
def test_bucket_and_sources_are_refused_as_arguments(name: str) -> None:
    arguments: dict[str, Any] = {name: None}
    with pytest.raises(
        InvalidArgument,
        match=f"{name} must not be given: the mixin delivers what it is applied to",
    ):
        DeliverToSftp("ToBank", server=BANK, **arguments)


def test_misspelt_argument_is_refused_by_the_constructor() -> None:
    arguments: dict[str, Any] = {"max_conections": 4}
    with pytest.raises(InvalidArgument) as caught:
        DeliverToSftp("ToBank", server=BANK, **arguments)
    assert str(caught.value) == (
        "max_conections must be an argument of S3ToSftp, which has none of this name: did you mean "
        "max_connections?"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"server": "sftp.bank.example"}, "server must be an SftpServer"),
        ({"server": BANK, "trigger": "eventbridge"}, "trigger must be a Trigger"),
        ({"server": BANK, "prefix": "/out"}, "prefix must not begin with '/'"),
        ({"server": BANK, "directory": "~/in"}, "directory must not begin with '~'"),
    ],
)
def test_invalid_argument_is_refused_by_the_constructor(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidArgument, match=complaint):
        DeliverToSftp("ToBank", **arguments)


@needs_mixins
def test_error_message_is_kept_by_jsii() -> None:
    """jsii re-raises an error of a callback as RuntimeError. Its message must be the original one."""
    bucket = s3.Bucket(new_stack(), "Bucket")
    with pytest.raises(RuntimeError, match=r"^max_connections must be 1-128, got 500$"):
        bucket.with_(DeliverToSftp("ToBank", server=BANK, max_connections=500))


def test_delivery_before_a_bucket_raises_lookup_error() -> None:
    to_bank = DeliverToSftp("ToBank", server=BANK)
    with pytest.raises(LookupError, match="DeliverToSftp 'ToBank' has no delivery yet: apply it to a bucket"):
        _ = to_bank.delivery
