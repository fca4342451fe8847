"""The ledger table: the one that is created, and checks of an existing one at synth."""

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import InvalidArgument, S3ToSftp, SftpServer
from tests.infra.conftest import Synthesise, new_app, warnings_of
from tests.infra.templates import (
    environment_variables,
    own_properties,
    role_permissions,
)
from tests.support.infra.rule_packs import SERVER

Make = Callable[..., dynamodb.ITable]


def key(name: str, kind: dynamodb.AttributeType = dynamodb.AttributeType.STRING) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=kind)


@pytest.fixture(params=[dynamodb.Table, dynamodb.TableV2], ids=["Table", "TableV2"])
def make(request: pytest.FixtureRequest, stack: cdk.Stack) -> Make:
    def table(**settings: Any) -> dynamodb.ITable:
        created: dynamodb.ITable = request.param(stack, "Theirs", **settings)
        return created

    return table


def test_existing_table_with_the_right_keys_is_accepted(
    stack: cdk.Stack, synthesise: Synthesise, make: Make
) -> None:
    existing = make(partition_key=key("pk"), sort_key=key("sk"), time_to_live_attribute="expires")
    synthesise(ledger=existing)
    assert warnings_of(stack, "ledgerForgetsNothing") == []


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
def test_existing_table_with_other_keys_is_refused(
    synthesise: Synthesise, make: Make, keys: dict[str, Any], got: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        synthesise(ledger=make(**keys))
    assert str(caught.value) == (
        "ledger must have the partition key pk and the sort key sk, both strings, got Test/Theirs with "
        f"{got}: leave it out, and a table is created"
    )


@pytest.mark.parametrize("settings", [{}, {"time_to_live_attribute": "ttl"}], ids=["none", "other"])
def test_existing_table_without_ttl_adds_a_warning(
    stack: cdk.Stack, synthesise: Synthesise, make: Make, settings: dict[str, Any]
) -> None:
    synthesise(ledger=make(partition_key=key("pk"), sort_key=key("sk"), **settings))
    (warning,) = warnings_of(stack, "ledgerForgetsNothing")
    assert "time_to_live_attribute" in warning
    assert "expires" in warning


@pytest.mark.parametrize(
    ("arn", "what"),
    [
        ("arn:aws:dynamodb:eu-west-1:222222222222:table/theirs", "account 222222222222"),
        ("arn:aws:dynamodb:us-east-1:111111111111:table/theirs", "Region us-east-1"),
    ],
)
def test_table_of_another_account_or_region_is_refused(arn: str, what: str) -> None:
    """The function gets its name, which DynamoDB looks up in the function's account and Region."""
    env = cdk.Environment(account="111111111111", region="eu-west-1")
    stack = cdk.Stack(new_app(), "Test", env=env)
    with pytest.raises(InvalidArgument) as caught:
        S3ToSftp(stack, "Delivery", server=SERVER, ledger=dynamodb.Table.from_table_arn(stack, "Theirs", arn))
    assert str(caught.value) == (
        "ledger must be in account 111111111111 and Region eu-west-1, as the function is, got Test/Theirs in "
        f"{what}: the function would not find it"
    )


def test_table_known_at_deployment_is_accepted(stack: cdk.Stack, synthesise: Synthesise) -> None:
    arn = cdk.Fn.import_value("Ledger")
    template = synthesise(ledger=dynamodb.Table.from_table_arn(stack, "Theirs", arn))
    template.resource_count_is("AWS::DynamoDB::Table", 0)


LEDGER_KEYS: dict[str, Any] = {
    "partition_key": dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
    "sort_key": dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
}


class TestLedger:
    def test_table_has_the_keys_and_the_index_of_the_function(self, default_template: Template) -> None:
        table = own_properties(default_template, "AWS::DynamoDB::Table")
        assert table["KeySchema"] == key_schema("pk", "sk")
        (index,) = table["GlobalSecondaryIndexes"]
        assert index["IndexName"] == "by-status"
        assert index["KeySchema"] == key_schema("status", "status_at")
        assert index["Projection"] == {"ProjectionType": "ALL"}
        assert {each["AttributeType"] for each in table["AttributeDefinitions"]} == {"S"}

    def test_receipts_expire_by_ttl(self, default_template: Template) -> None:
        forgets = {"AttributeName": "expires", "Enabled": True}
        assert own_properties(default_template, "AWS::DynamoDB::Table")["TimeToLiveSpecification"] == forgets
        assert environment_variables(default_template)["RECEIPTS_FOR_SECONDS"] == str(400 * 86_400)

    def test_billing_mode_is_pay_per_request(self, default_template: Template) -> None:
        assert own_properties(default_template, "AWS::DynamoDB::Table")["BillingMode"] == "PAY_PER_REQUEST"

    def test_point_in_time_recovery_is_on(self, default_template: Template) -> None:
        table = own_properties(default_template, "AWS::DynamoDB::Table")
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}

    def test_existing_table_is_used(self, stack: cdk.Stack, synthesise: Synthesise) -> None:
        arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/theirs"
        template = synthesise(ledger=dynamodb.Table.from_table_arn(stack, "Theirs", arn))
        template.resource_count_is("AWS::DynamoDB::Table", 0)
        assert environment_variables(template)["LEDGER_TABLE"] == "theirs"
        assert role_permissions(template)[arn] == [
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
        ]

    def test_table_of_another_stack_causes_no_dependency_cycle(self, server: SftpServer) -> None:
        app = new_app()
        existing = dynamodb.Table(cdk.Stack(app, "Theirs"), "Table", **LEDGER_KEYS)
        S3ToSftp(cdk.Stack(app, "Ours"), "Delivery", server=server, ledger=existing)
        assert [each.stack_name for each in app.synth().stacks] == ["Theirs", "Ours"]

    def test_function_may_use_the_key_of_an_existing_table(
        self, stack: cdk.Stack, synthesise: Synthesise
    ) -> None:
        key = kms.Key(stack, "DeliveryKey")
        existing = dynamodb.Table(stack, "Theirs", encryption_key=key, **LEDGER_KEYS)
        assert "kms:Decrypt" in role_permissions(synthesise(ledger=existing))["DeliveryKey"]


def key_schema(partition: str, sort: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": sort, "KeyType": "RANGE"},
    ]
