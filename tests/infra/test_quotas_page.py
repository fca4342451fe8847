"""The quotas on docs/reference/what-it-costs.md equal those in the code."""

import json
import re
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import (
    S3ToSftp,
    SftpServer,
    delivery_sources,
    notifications,
    queue_policies,
    queues,
    source_registry,
)
from tests.infra import test_queue_policies as queue_policy_quotas
from tests.infra.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "reference" / "what-it-costs.md").read_text()


def quota_value(quota: str) -> int:
    """Return the number in the row of the table for this quota."""
    (row,) = re.findall(rf"^\| {quota} \[\d\] \| ([\d,]+) \|", PAGE, re.MULTILINE)
    return int(row.replace(",", ""))


@pytest.mark.parametrize(
    ("quota", "in_code"),
    [
        ("notifications of a bucket", source_registry._MOST_NOTIFICATIONS),
        ("characters of the prefix or suffix of a notification", notifications._LONGEST_FILTER),
        ("characters of an event pattern", notifications._LONGEST_PATTERN),
        ("statements of a queue's policy", queue_policy_quotas.STATEMENTS),
        ("bytes of a queue's policy", queue_policy_quotas.BYTES),
        ("bytes of the function's environment", delivery_sources._LARGEST_ENVIRONMENT),
        ("seconds of an invocation", int(queues.LONGEST_INVOCATION.to_seconds())),
    ],
)
def test_documented_quota_equals_the_constant(quota: str, in_code: int) -> None:
    assert quota_value(quota) == in_code


def test_maximum_message_size_is_documented_and_below_the_quota() -> None:
    assert f"the queue takes {queues._MAX_MESSAGE_BYTES:,}" in PAGE
    assert quota_value("bytes of a message") > queues._MAX_MESSAGE_BYTES


def test_documented_number_of_buckets_equals_the_constant() -> None:
    assert f"beyond {queue_policies.MOST_BUCKETS} buckets it names the account" in PAGE


def test_bundle_is_below_the_documented_size(bundle: Path) -> None:
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    assert size < 100e6 < quota_value("MB of the unpacked bundle") * 1e6
    assert "the bundle has less than 100" in PAGE


def test_permissions_over_the_inline_quota_move_to_managed_policies(
    stack: cdk.Stack, server: SftpServer
) -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""
    delivery = S3ToSftp(stack, "Delivery", server=server, sources=[])
    bucket = s3.Bucket(stack, "Bucket")
    for number in range(99):
        delivery.add_source(bucket, prefix=f"a-prefix-of-some-length/{number:03}/")
    template = Template.from_stack(stack)
    inline = template.find_resources("AWS::IAM::Policy").values()
    documents = (json.dumps(each["Properties"]["PolicyDocument"]) for each in inline)
    assert sum(map(len, documents)) < quota_value("characters of a role's inline policies")
    template.resource_count_is("AWS::IAM::ManagedPolicy", 2)
    assert "99 prefixes of 28 characters take 2" in PAGE
