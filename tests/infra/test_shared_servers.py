"""Two constructs that deliver to one server are warned of: their limits add up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk.assertions import Annotations, Match

from cdk_s3_to_sftp import SftpServer
from tests.infra.conftest import new_app
from tests.infra.templates import new_delivery
from tests.support.infra.delivery_rules import bucket
from tests.support.infra.keys import ED25519


def server(host: str = "sftp.partner.example", **arguments: Any) -> SftpServer:
    return SftpServer(host, host_keys=[ED25519], **arguments)


def delivery(stack: cdk.Stack, name: str, **arguments: Any) -> None:
    new_delivery(stack, name, bucket=bucket(stack, name.lower()), **arguments)


def said(stack: cdk.Stack) -> list[str]:
    found = Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("both deliver to"))
    return [str(each.entry.data) for each in found]


def test_second_construct_names_both_and_what_adds_up(stack: cdk.Stack) -> None:
    delivery(stack, "Orders", server=server())
    delivery(stack, "Invoices", server=server(), max_connections=4)
    (sentence,) = said(stack)
    assert sentence.startswith(
        "Test/Orders and Test/Invoices both deliver to sftp.partner.example:22, and the users in their "
        "secrets "
        "may be the same: each keeps its own max_connections (2 and 4), max_megabytes_per_second and rule "
        "max_drops, and the partner sees the sum. Let one construct have all sources (add_source)"
    )
    assert "acknowledge this if the partner counts their users apart" in sentence


def test_same_secret_is_the_same_login(stack: cdk.Stack) -> None:
    secret = secretsmanager.Secret(stack, "Login")
    delivery(stack, "Orders", server=server(), credentials=secret)
    delivery(stack, "Invoices", server=server(), credentials=secret)
    (sentence,) = said(stack)
    assert "both deliver to sftp.partner.example:22, with the same login: each keeps" in sentence
    assert "acknowledge" not in sentence.partition("[ack")[0]


@pytest.mark.parametrize("host", ["SFTP.Partner.Example", "sftp.partner.example."])
def test_name_is_the_same_however_it_is_written(stack: cdk.Stack, host: str) -> None:
    delivery(stack, "Orders", server=server())
    delivery(stack, "Invoices", server=server(host))
    assert len(said(stack)) == 1


def test_stacks_of_one_app_share_the_server_as_well() -> None:
    app = new_app()
    stacks = [cdk.Stack(app, name) for name in ("One", "Two")]
    for stack in stacks:
        delivery(stack, f"Of{stack.node.id}", server=server())
    assert [len(said(stack)) for stack in stacks] == [0, 1]


@pytest.mark.parametrize(
    "other", [{"host": "sftp.other.example"}, {"port": 2222}], ids=["other host", "other port"]
)
def test_other_servers_are_not_warned_of(stack: cdk.Stack, other: Mapping[str, Any]) -> None:
    delivery(stack, "Orders", server=server())
    delivery(stack, "Invoices", server=server(**other))
    assert said(stack) == []


def test_host_that_is_known_only_at_deployment_is_not_warned_of(stack: cdk.Stack) -> None:
    host = cdk.CfnParameter(stack, "Host").value_as_string
    delivery(stack, "Orders", server=server(host))
    delivery(stack, "Invoices", server=server(host))
    assert said(stack) == []
