"""Deliveries to different partners cannot share a dead-letter queue, a role or a ledger."""

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Template
from constructs import Construct

from cdk_s3_to_sftp import InvalidArgument, S3ToSftp, SftpServer
from tests.infra.conftest import new_app

ACCOUNT = "123456789012"

Make = Callable[[Construct, str], Any]

WHY = {
    "dead_letter_queue": (
        "a redrive moves all of its messages, and one partner would get the other's objects"
    ),
    "role": "each function could read the files and the login of the other's partner",
    "ledger": "what the other has delivered would count as delivered here, too",
}
KINDS = {"dead_letter_queue": "queue", "role": "role", "ledger": "table"}


def own_queue(scope: Construct, name: str) -> sqs.IQueue:
    return sqs.Queue(scope, name)


def imported_queue(scope: Construct, name: str) -> sqs.IQueue:
    return sqs.Queue.from_queue_arn(scope, name, f"arn:aws:sqs:eu-west-1:{ACCOUNT}:theirs")


def queue_imported_by_export(scope: Construct, name: str) -> sqs.IQueue:
    return sqs.Queue.from_queue_arn(scope, name, cdk.Fn.import_value("DeadLettered"))


def own_role(scope: Construct, name: str) -> iam.IRole:
    return iam.Role(scope, name, assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))


def imported_role(scope: Construct, name: str) -> iam.IRole:
    return iam.Role.from_role_arn(scope, name, f"arn:aws:iam::{ACCOUNT}:role/theirs")


def imported_immutable_role(scope: Construct, name: str) -> iam.IRole:
    return iam.Role.from_role_arn(scope, name, f"arn:aws:iam::{ACCOUNT}:role/theirs", mutable=False)


def imported_table(scope: Construct, name: str) -> dynamodb.ITable:
    return dynamodb.Table.from_table_arn(scope, name, f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/theirs")


def table_imported_by_name(scope: Construct, name: str) -> dynamodb.ITable:
    return dynamodb.Table.from_table_name(scope, name, "theirs")


def expected_error(argument: str) -> str:
    kind = KINDS[argument]
    return f"{argument} must be a {kind} of its own, got the {kind} of Test/ToBank: {WHY[argument]}"


@pytest.mark.parametrize(
    ("argument", "make"),
    [
        ("dead_letter_queue", own_queue),
        ("dead_letter_queue", imported_queue),
        ("role", own_role),
        ("role", imported_role),
        ("role", imported_immutable_role),
        ("ledger", imported_table),
        ("ledger", table_imported_by_name),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_sharing_one_resource_between_two_deliveries_is_refused(
    stack: cdk.Stack, server: SftpServer, argument: str, make: Make
) -> None:
    shared = {argument: make(stack, "Theirs")}
    S3ToSftp(stack, "ToBank", server=server, **shared)
    with pytest.raises(InvalidArgument) as caught:
        S3ToSftp(stack, "ToInsurer", server=server, **shared)
    assert str(caught.value) == expected_error(argument)


@pytest.mark.parametrize(
    ("argument", "make"),
    [
        ("dead_letter_queue", imported_queue),
        ("dead_letter_queue", queue_imported_by_export),
        ("role", imported_role),
        ("ledger", imported_table),
        ("ledger", table_imported_by_name),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_sharing_a_resource_imported_twice_is_refused(
    stack: cdk.Stack, server: SftpServer, argument: str, make: Make
) -> None:
    S3ToSftp(stack, "ToBank", server=server, **{argument: make(stack, "Theirs")})
    with pytest.raises(InvalidArgument) as caught:
        S3ToSftp(stack, "ToInsurer", server=server, **{argument: make(stack, "TheirsAgain")})
    assert str(caught.value) == expected_error(argument)


def test_sharing_a_resource_imported_in_two_stacks_is_refused(server: SftpServer) -> None:
    app = new_app()
    ours, others = cdk.Stack(app, "Test"), cdk.Stack(app, "Others")
    S3ToSftp(ours, "ToBank", server=server, role=imported_role(ours, "Theirs"))
    with pytest.raises(InvalidArgument, match=r"got the .* of Test/ToBank"):
        S3ToSftp(others, "ToInsurer", server=server, role=imported_role(others, "Theirs"))


@pytest.mark.parametrize(
    ("argument", "attribute"),
    [
        ("dead_letter_queue", "dead_letter_queue"),
        ("dead_letter_queue", "queue"),  # its dead-lettered messages would be delivered to the other partner
        ("role", "role"),
        ("ledger", "ledger"),
    ],
)
def test_resource_created_by_one_delivery_is_refused_for_another(
    stack: cdk.Stack, server: SftpServer, argument: str, attribute: str
) -> None:
    bank = S3ToSftp(stack, "ToBank", server=server)
    with pytest.raises(InvalidArgument) as caught:
        S3ToSftp(stack, "ToInsurer", server=server, **{argument: getattr(bank, attribute)})
    assert str(caught.value) == expected_error(argument)


def test_separate_resources_are_accepted(stack: cdk.Stack, server: SftpServer) -> None:
    for name in ("ToBank", "ToInsurer"):
        queue, role = own_queue(stack, f"DeadLettered{name}"), own_role(stack, f"Role{name}")
        S3ToSftp(stack, name, server=server, dead_letter_queue=queue, role=role)
    Template.from_stack(stack).resource_count_is("AWS::Lambda::EventSourceMapping", 2)
