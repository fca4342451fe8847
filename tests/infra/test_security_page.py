"""docs/reference/security.md lists exactly the suppressions and the IAM actions in the code."""

import re
from collections.abc import Callable

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3

from cdk_s3_to_sftp import S3ToSftp, suppressions
from cdk_s3_to_sftp.suppressions import Suppression
from tests.infra.conftest import REPOSITORY, new_app
from tests.support.infra.rule_packs import SERVER, with_existing_resources

PAGE = (REPOSITORY / "docs" / "reference" / "security.md").read_text()
SUPPRESSIONS = [each for each in vars(suppressions).values() if isinstance(each, Suppression)]


def rows(heading: str) -> list[list[str]]:
    """Return the rows of the table below the heading."""
    (section,) = [each for each in PAGE.split("\n## ") if each.startswith(heading)]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def quoted(text: str) -> list[str]:
    return re.findall("`([^`]+)`", text)


def test_every_suppression_is_documented_with_its_reason() -> None:
    accepted: dict[str, list[str]] = {}
    for suppression in SUPPRESSIONS:
        accepted.setdefault(suppression.reason, []).extend(suppression.rules)
    assert {reason: sorted(quoted(rules)) for _, rules, reason in rows("What is accepted")} == {
        reason: sorted(rules) for reason, rules in accepted.items()
    }


def without_a_key(app: cdk.App) -> cdk.Stack:
    stack = cdk.Stack(app, "Test")
    S3ToSftp(stack, "Delivery", server=SERVER, bucket=s3.Bucket(stack, "Theirs"))
    return stack


def allowed_actions(build: Callable[[cdk.App], cdk.Stack]) -> set[str]:
    """Return the actions that the role is allowed, on any resource."""
    delivery = build(new_app()).node.find_child("Delivery")
    assert isinstance(delivery, S3ToSftp)
    return {
        action
        for statement in delivery.role_policy_statements
        for actions in [statement.to_statement_json()["Action"]]
        for action in ([actions] if isinstance(actions, str) else actions)
    }


def test_every_iam_action_is_documented() -> None:
    listed = [action for may, *_ in rows("What the function may do") for action in quoted(may)]
    assert sorted(listed) == sorted(allowed_actions(with_existing_resources))


def test_documented_default_actions_equal_the_default_permissions() -> None:
    always = [
        action
        for may, *_ in rows("What the function may do")
        if may.startswith("`")
        for action in quoted(may)
    ]
    assert sorted(always) == sorted(allowed_actions(without_a_key))


def test_prices_in_the_vpc_suppression_are_on_the_cost_page() -> None:
    page = (REPOSITORY / "docs" / "reference" / "what-it-costs.md").read_text()
    prices = re.findall(r"\$[\d.]+\d", suppressions.FUNCTION_VPC.reason)
    assert prices == ["$36.50", "$45"]
    assert [price for price in prices if price not in page] == []
