"""What `grant_status` and `grant_operate` allow, compared with the commands in docs/reference/cli.md."""

import re
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import click
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import InvalidArgument, S3ToSftp, SftpServer
from cdk_s3_to_sftp.acknowledgements import has_validations
from s3_to_sftp_cli.main import cli
from tests.infra.conftest import REPOSITORY, new_app
from tests.infra.templates import as_text
from tests.support.infra.rule_packs import SERVER, findings

PAGE = (REPOSITORY / "docs" / "reference" / "cli.md").read_text()

Grant = Callable[[S3ToSftp, iam.IGrantable], iam.Grant]
GRANTS = [S3ToSftp.grant_status, S3ToSftp.grant_operate]


def operator(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "Operator", assumed_by=iam.AccountRootPrincipal())


def allowed(stack: cdk.Stack) -> dict[str, set[str]]:
    """Map each resource, as text, to the actions that the policies of the operator allow on it."""
    found: dict[str, set[str]] = {}
    for policy in Template.from_stack(stack).find_resources("AWS::IAM::Policy").values():
        if "Operator" not in str(policy["Properties"].get("Roles", "")):
            continue
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            resources, actions = statement["Resource"], statement["Action"]
            for resource in resources if isinstance(resources, list) else [resources]:
                names = {actions} if isinstance(actions, str) else set(actions)
                found.setdefault(as_text(resource), set()).update(names)
    return found


def granted(grant: Grant, **arguments: Any) -> dict[str, set[str]]:
    stack = cdk.Stack(new_app(), "Test")
    grant(S3ToSftp(stack, "Delivery", server=SERVER, **arguments), operator(stack))
    return allowed(stack)


def actions_of(statements: dict[str, set[str]]) -> set[str]:
    return set().union(*statements.values())


def test_status_reads_function_ledger_queues_log_and_metrics_and_nothing_else() -> None:
    assert granted(S3ToSftp.grant_status) == {
        "DeliveryFunction": {"lambda:GetFunctionConfiguration"},
        "DeliveryLedger": {"dynamodb:GetItem", "dynamodb:Query"},
        "DeliveryLedger/index/by-status": {"dynamodb:GetItem", "dynamodb:Query"},
        "DeliveryQueue": {"sqs:GetQueueAttributes"},
        "DeliveryDeadLetterQueue": {"sqs:GetQueueAttributes"},
        "DeliveryLog": {"logs:FilterLogEvents"},
        "*": {"cloudwatch:GetMetricData", "lambda:ListEventSourceMappings"},
    }


def test_operate_adds_what_the_changing_commands_need() -> None:
    status, operate = granted(S3ToSftp.grant_status), granted(S3ToSftp.grant_operate)
    added = {name: actions - status.get(name, set()) for name, actions in operate.items()}
    assert {name: actions for name, actions in added.items() if actions} == {
        "DeliveryFunction": {"lambda:InvokeFunction"},
        "DeliveryLedger": {"dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:UpdateItem"},
        "DeliveryQueue": {"sqs:SendMessage"},
        "DeliveryDeadLetterQueue": {
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:ReceiveMessage",
            "sqs:SendMessage",
        },
        "DeliveryBucket": {"s3:GetBucketVersioning", "s3:ListBucket", "s3:ListBucketVersions"},
        "DeliveryBucket/*": {"s3:GetObject", "s3:GetObjectVersion"},
        "DeliveryBucket/s3-to-sftp-selftest-*": {
            "s3:DeleteObject",
            "s3:DeleteObjectVersion",
            "s3:PutObject",
        },
    }


def test_operate_writes_only_selftest_objects_between_prefix_and_suffix() -> None:
    statements = granted(S3ToSftp.grant_operate, prefix="out/${x}/", suffix=".csv")
    writing = {name for name, actions in statements.items() if "s3:PutObject" in actions}
    assert writing == {"DeliveryBucket/out/${$}{x}/s3-to-sftp-selftest-*.csv"}
    assert statements["DeliveryBucket/out/${$}{x}/*"] == {"s3:GetObject", "s3:GetObjectVersion"}


@pytest.mark.parametrize("grant", GRANTS)
def test_no_grant_reads_the_login_or_lists_functions(grant: Grant) -> None:
    refused = {"secretsmanager:GetSecretValue", "lambda:ListFunctions", "logs:StartLiveTail"}
    assert not actions_of(granted(grant)) & refused


def test_operate_covers_a_source_that_is_added_later() -> None:
    stack = cdk.Stack(new_app(), "Test")
    delivery = S3ToSftp(stack, "Delivery", server=SERVER)
    delivery.grant_operate(operator(stack))
    delivery.add_source(s3.Bucket(stack, "Later"), prefix="b/")
    assert allowed(stack)["Later/b/*"] == {"s3:GetObject", "s3:GetObjectVersion"}


def test_status_covers_no_source() -> None:
    assert not [action for action in actions_of(granted(S3ToSftp.grant_status)) if action.startswith("s3:")]


def test_status_in_a_vpc_reads_where_its_traffic_leaves() -> None:
    stack = cdk.Stack(new_app(), "Test")
    delivery = S3ToSftp(stack, "Delivery", server=SERVER, vpc=ec2.Vpc(stack, "Vpc"))
    delivery.grant_status(operator(stack))
    network = {action for action in allowed(stack)["*"] if action.startswith("ec2:")}
    assert network == {
        "ec2:DescribeNatGateways",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeRouteTables",
        "ec2:DescribeSubnets",
    }


def test_status_may_decrypt_environment_and_ledger_but_encrypt_nothing() -> None:
    stack = cdk.Stack(new_app(), "Test")
    delivery = S3ToSftp(stack, "Delivery", server=SERVER, encryption_key=kms.Key(stack, "Key"))
    delivery.grant_status(operator(stack))
    assert allowed(stack)["Key"] == {"kms:Decrypt"}


def test_status_may_decrypt_the_key_of_an_imported_ledger() -> None:
    stack = cdk.Stack(new_app(), "Test")
    key = kms.Key(stack, "LedgerKey")
    ledger = dynamodb.Table.from_table_attributes(stack, "Ledger", table_name="theirs", encryption_key=key)
    S3ToSftp(stack, "Delivery", server=SERVER, ledger=ledger).grant_status(operator(stack))
    assert allowed(stack)["LedgerKey"] == {"kms:Decrypt"}


def test_operate_may_use_the_key_of_ledger_queues_and_bucket() -> None:
    stack = cdk.Stack(new_app(), "Test")
    delivery = S3ToSftp(stack, "Delivery", server=SERVER, encryption_key=kms.Key(stack, "Key"))
    delivery.grant_operate(operator(stack))
    assert allowed(stack)["Key"] >= {"kms:Decrypt", "kms:GenerateDataKey", "kms:Encrypt"}


@pytest.mark.parametrize("grant", GRANTS)
def test_grant_to_a_role_of_another_stack_causes_no_dependency_cycle(grant: Grant) -> None:
    app = new_app()
    people, ours = cdk.Stack(app, "People"), cdk.Stack(app, "Ours")
    grant(S3ToSftp(ours, "Delivery", server=SERVER), operator(people))
    app.synth()  # raises on a dependency cycle, too
    assert people.dependencies == [ours]
    assert ours.dependencies == []


@pytest.mark.parametrize("grant", GRANTS)
def test_grant_returns_a_grant_that_succeeded(grant: Grant, stack: cdk.Stack, server: SftpServer) -> None:
    assert grant(S3ToSftp(stack, "Delivery", server=server), operator(stack)).success


def test_granting_twice_adds_nothing() -> None:
    def twice(delivery: S3ToSftp, principal: iam.IGrantable) -> iam.Grant:
        delivery.grant_status(principal)
        return delivery.grant_status(principal)

    assert granted(twice) == granted(S3ToSftp.grant_status)


@pytest.mark.parametrize(
    "principal",
    [
        lambda stack: iam.User(stack, "Person"),
        lambda stack: iam.Group(stack, "People"),
        lambda stack: iam.Role.from_role_name(stack, "Imported", "their-role"),
    ],
    ids=["user", "group", "imported role"],
)
def test_every_kind_of_principal_may_read_metrics(
    principal: Callable[[cdk.Stack], iam.IGrantable], stack: cdk.Stack, server: SftpServer
) -> None:
    S3ToSftp(stack, "Delivery", server=server).grant_status(principal(stack))
    policies = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    (metrics,) = [each for each in policies if "cloudwatch:GetMetricData" in str(each)]
    assert metrics["Properties"].keys() & {"Roles", "Users", "Groups"}


def test_wrong_principal_is_refused(stack: cdk.Stack, server: SftpServer) -> None:
    delivery = S3ToSftp(stack, "Delivery", server=server)
    with pytest.raises(InvalidArgument, match=r"^principal must be an IGrantable such as iam\.Role"):
        delivery.grant_status("operators")  # type: ignore[arg-type]  # that is the point


@pytest.mark.skipif(not has_validations(), reason="an older CDK has no acknowledgements of findings")
@pytest.mark.parametrize("grant", GRANTS)
def test_grants_add_only_the_inline_policy_of_the_passed_role_to_the_findings(grant: Grant) -> None:
    app = new_app()
    stack = cdk.Stack(app, "Test")
    delivery = S3ToSftp(stack, "Delivery", server=SERVER, prefix="out/", suffix=".csv")
    before = {("Test/Operator/DefaultPolicy/Resource", "NIST.800.53.R5-IAMNoInlinePolicy")}
    grant(delivery, operator(stack))
    assert {each for each in findings(app) if "Operator" in each[0]} == before


# --- docs/reference/cli.md ---


ACTION = re.compile(r"`([a-z0-9]+:[A-Z]\w+)`")


def documented() -> list[tuple[str, set[str], str]]:
    """Return the rows of the table of permissions: commands, their actions, and what grants them."""
    _, _, section = PAGE.partition("\n## Permissions\n")
    lines = section.partition("\n## ")[0].splitlines()
    rows = [line.split("|") for line in lines if line.startswith("| ")][1:]
    return [(commands, set(ACTION.findall(actions)), by.strip()) for _, commands, actions, by, _ in rows]


def with_vpc_and_key(grant: Grant) -> set[str]:
    stack = cdk.Stack(new_app(), "Test")
    vpc, key = ec2.Vpc(stack, "Vpc"), kms.Key(stack, "Key")
    delivery = S3ToSftp(stack, "Delivery", server=SERVER, vpc=vpc, encryption_key=key)
    grant(delivery, operator(stack))
    return actions_of(allowed(stack))


def test_every_command_has_a_row_with_its_least_policy() -> None:
    named = {name for commands, _, _ in documented() for name in re.findall("`([a-z-]+)", commands)}
    assert set(cli.list_commands(click.Context(cli))) <= named


def test_actions_of_the_reading_commands_are_those_of_grant_status() -> None:
    rows = [actions for _, actions, by in documented() if by == "`grant_status`"]
    assert set().union(*rows) == with_vpc_and_key(S3ToSftp.grant_status)


def test_actions_of_all_commands_are_those_of_grant_operate() -> None:
    rows = [actions for _, actions, by in documented() if not by.startswith("neither")]
    assert set().union(*rows) == with_vpc_and_key(S3ToSftp.grant_operate)


def test_no_grant_includes_what_is_documented_as_not_granted() -> None:
    refused = [actions for _, actions, by in documented() if by.startswith("neither")]
    assert set().union(*refused) - with_vpc_and_key(S3ToSftp.grant_operate) == {
        "cloudformation:ListStackResources",
        "lambda:ListFunctions",
        "secretsmanager:GetSecretValue",
    }
