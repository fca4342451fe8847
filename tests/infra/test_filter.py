"""A filter that lets nothing through is refused at synth, and tags are read only where one asks for them."""

from __future__ import annotations

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import DeliveryRules, Filter, InvalidArgument, Source
from tests.infra.templates import READ_ACTIONS, new_delivery, role_permissions
from tests.support.infra.delivery_rules import Synthesised, bucket, partner


def rules(**only: object) -> DeliveryRules:
    return DeliveryRules(only=Filter(**only))  # type: ignore[arg-type] # any of them


@pytest.mark.parametrize(
    ("only", "why"),
    [
        (rules(prefixes=["out/"]), "none of the prefixes 'out/' goes with the source's prefix 'in/'"),
        (rules(suffixes=[".xml"]), "none of the suffixes '.xml' goes with the source's suffix '.csv'"),
        (rules(exclude=["*.csv"]), r"the pattern '\*.csv' excludes everything in the source"),
    ],
    ids=["prefix", "suffix", "exclude"],
)
def test_filter_that_can_match_nothing_of_a_source_is_refused(
    stack: cdk.Stack, only: DeliveryRules, why: str
) -> None:
    delivery = new_delivery(stack, server=partner(only))
    with pytest.raises(InvalidArgument, match=f"^rules must let some objects of .* but {why}"):
        delivery.add_source(bucket(stack), prefix="in/", suffix=".csv")


def test_filter_within_the_prefix_of_the_source_is_taken(stack: cdk.Stack) -> None:
    only = rules(prefixes=["in/a/", "in/b/"], exclude=["*/tmp/*"], min_bytes=1)
    new_delivery(stack, server=partner(only), sources=[Source(bucket(stack), prefix="in/")])
    assert Synthesised(stack).document.partner == only


def test_prefix_that_is_known_only_at_deployment_is_taken(stack: cdk.Stack) -> None:
    prefix = cdk.CfnParameter(stack, "Prefix").value_as_string
    new_delivery(
        stack, server=partner(rules(prefixes=["a/"])), sources=[Source(bucket(stack), prefix=prefix)]
    )


def test_example_that_is_not_delivered_is_an_error(stack: cdk.Stack) -> None:
    given = DeliveryRules(only=Filter(exclude=["*.tmp"]), examples=["a.tmp"])
    new_delivery(stack, server=partner(given), bucket=bucket(stack))
    with pytest.raises(RuntimeError, match=r"the example 'a.tmp' of the rules is not delivered"):
        Synthesised(stack)


def test_tags_are_read_for_a_filter_of_tags_alone(stack: cdk.Stack) -> None:
    theirs = bucket(stack)
    delivery = new_delivery(stack)
    delivery.add_source(theirs, prefix="a/", rules=rules(tags={"state": "approved"}))
    delivery.add_source(theirs, prefix="b/", rules=rules(min_bytes=1))
    permissions = role_permissions(Template.from_stack(stack))
    assert "s3:GetObjectTagging" in permissions["arn:AWS::Partition:s3:::one/a/*"]
    assert permissions["arn:AWS::Partition:s3:::one/b/*"] == READ_ACTIONS
