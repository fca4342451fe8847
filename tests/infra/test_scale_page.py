"""What docs/guides/scale.md says of the resources of a partner equals what the construct makes."""

import re
from collections import Counter
from functools import cache
from importlib.metadata import version

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import S3ToSftp, SftpServer
from cdk_s3_to_sftp.function import _BATCH_SIZE
from cdk_s3_to_sftp.function_settings import FUNCTIONS, connections_per_function
from tests.infra.conftest import REPOSITORY, new_app
from tests.support.infra.keys import ED25519

PAGE = (REPOSITORY / "docs" / "guides" / "scale.md").read_text()
PARTNERS = 50
RESOURCES_OF_A_STACK = 500
"""The most: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""


def resources(partners: int) -> Counter[str]:
    stack = cdk.Stack(new_app(), "Partners")
    for number in range(partners):
        S3ToSftp(
            stack, f"Partner{number}", server=SftpServer(f"{number}.partner.example", host_keys=[ED25519])
        )
    return Counter(each["Type"] for each in Template.from_stack(stack).to_json()["Resources"].values())


@cache
def each_partner() -> Counter[str]:
    """What one more partner adds to a stack."""
    return resources(2) - resources(1)


def cells(beginning: str) -> list[int]:
    """The whole numbers in the row of a table whose first cell starts with this."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {beginning}")]
    texts = [cell.strip().replace(",", "") for cell in line.strip("|").split("|")[1:]]
    return [int(text) for text in texts if text.isdecimal()]


@pytest.mark.parametrize(
    ("beginning", "kind"),
    [
        ("alarms", "AWS::CloudWatch::Alarm"),
        ("dashboards", "AWS::CloudWatch::Dashboard"),
        ("log groups", "AWS::Logs::LogGroup"),
        ("secrets", "AWS::SecretsManager::Secret"),
        ("tables", "AWS::DynamoDB::Table"),
        ("queues", "AWS::SQS::Queue"),
        ("functions", "AWS::Lambda::Function"),
        ("roles", "AWS::IAM::Role"),
        ("buckets", "AWS::S3::Bucket"),
    ],
)
def test_resources_of_a_partner(beginning: str, kind: str) -> None:
    count = each_partner()[kind]
    assert cells(beginning)[:2] == [count, PARTNERS * count]


def test_concurrent_invocations_of_a_partner() -> None:
    assert cells("concurrent invocations")[:2] == [FUNCTIONS, PARTNERS * FUNCTIONS]


def test_partners_that_fit_into_a_stack() -> None:
    if f"aws-cdk-lib=={version('aws-cdk-lib')}\n" not in (REPOSITORY / "requirements.txt").read_text():
        pytest.skip(f"the page counts the resources of another CDK than {version('aws-cdk-lib')}")
    every, shared = sum(each_partner().values()), sum(resources(1).values()) - sum(each_partner().values())
    assert cells("resources of a stack")[:2] == [every, PARTNERS * every]
    most = (RESOURCES_OF_A_STACK - shared) // every
    assert re.search(rf"{most} partners in a stack", PAGE.replace("\n", " "))


def test_functions_and_batches_are_those_of_the_construct() -> None:
    assert (FUNCTIONS, _BATCH_SIZE, connections_per_function(2)) == (2, 10, 1)
    assert "two functions" in PAGE
    assert "up to 10 objects" in PAGE
