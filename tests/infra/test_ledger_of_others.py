"""A ledger that is passed in: what could not work is refused at synth, not found out by the first object."""

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_dynamodb as dynamodb

from cdk_s3_to_sftp import InvalidArgument, S3ToSftp
from tests.infra.conftest import Synthesise, new_app, warned
from tests.support.infra.rule_packs import SERVER

Make = Callable[..., dynamodb.ITable]


def key(name: str, kind: dynamodb.AttributeType = dynamodb.AttributeType.STRING) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=kind)


@pytest.fixture(params=[dynamodb.Table, dynamodb.TableV2], ids=["Table", "TableV2"])
def make(request: pytest.FixtureRequest, stack: cdk.Stack) -> Make:
    def table(**settings: Any) -> dynamodb.ITable:
        made: dynamodb.ITable = request.param(stack, "Theirs", **settings)
        return made

    return table


def test_with_the_right_keys_is_taken(stack: cdk.Stack, synthesise: Synthesise, make: Make) -> None:
    theirs = make(partition_key=key("pk"), sort_key=key("sk"), time_to_live_attribute="expires")
    synthesise(ledger=theirs)
    assert warned(stack, "ledgerForgetsNothing") == []


@pytest.mark.parametrize(
    ("keys", "got"),
    [
        ({"partition_key": key("pk")}, "pk (S)"),
        ({"partition_key": key("sk"), "sort_key": key("pk")}, "sk (S), pk (S)"),
        ({"partition_key": key("id"), "sort_key": key("sk")}, "id (S), sk (S)"),
        (
            {"partition_key": key("pk"), "sort_key": key("sk", dynamodb.AttributeType.NUMBER)},
            "pk (S), sk (N)",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_with_other_keys_is_refused(
    synthesise: Synthesise, make: Make, keys: dict[str, Any], got: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        synthesise(ledger=make(**keys))
    assert str(caught.value) == (
        "ledger must have the partition key pk and the sort key sk, both strings, got Test/Theirs with "
        f"{got}: leave it out, and a table is created"
    )


@pytest.mark.parametrize("settings", [{}, {"time_to_live_attribute": "ttl"}], ids=["none", "other"])
def test_that_would_forget_nothing_is_warned_about(
    stack: cdk.Stack, synthesise: Synthesise, make: Make, settings: dict[str, Any]
) -> None:
    synthesise(ledger=make(partition_key=key("pk"), sort_key=key("sk"), **settings))
    (said,) = warned(stack, "ledgerForgetsNothing")
    assert "time_to_live_attribute" in said
    assert "expires" in said


@pytest.mark.parametrize(
    ("arn", "what"),
    [
        ("arn:aws:dynamodb:eu-west-1:222222222222:table/theirs", "account 222222222222"),
        ("arn:aws:dynamodb:us-east-1:111111111111:table/theirs", "Region us-east-1"),
    ],
)
def test_of_another_account_or_region_is_refused(arn: str, what: str) -> None:
    """The function is told its name, which DynamoDB looks up in the function's own account and Region."""
    env = cdk.Environment(account="111111111111", region="eu-west-1")
    stack = cdk.Stack(new_app(), "Test", env=env)
    with pytest.raises(InvalidArgument) as caught:
        S3ToSftp(stack, "Delivery", server=SERVER, ledger=dynamodb.Table.from_table_arn(stack, "Theirs", arn))
    assert str(caught.value) == (
        "ledger must be in account 111111111111 and Region eu-west-1, as the function is, got Test/Theirs in "
        f"{what}: the function would not find it"
    )


def test_that_only_a_deployment_knows_is_taken(stack: cdk.Stack, synthesise: Synthesise) -> None:
    arn = cdk.Fn.import_value("Ledger")
    synthesise(ledger=dynamodb.Table.from_table_arn(stack, "Theirs", arn))
