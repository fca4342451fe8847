"""Clients, and what refusals name."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from s3_to_sftp_cli.aws import Aws, denied_action


@pytest.mark.parametrize(
    ("code", "message", "action"),
    [
        ("AccessDeniedException", "not authorized to perform: sqs:GetQueueUrl on x", "sqs:GetQueueUrl"),
        ("UnauthorizedOperation", "You are not authorized to perform this operation.", "ec2:DescribeVpcs"),
        ("ExpiredToken", "expired", None),
        ("ThrottlingException", "slow down", None),
    ],
)
def test_denied_action_is_named(code: str, message: str, action: str | None) -> None:
    error = ClientError({"Error": {"Code": code, "Message": message}}, "DescribeVpcs")
    assert denied_action(error, "ec2") == action
    assert denied_action(ValueError(), "ec2") is None


def test_region_of_the_aws_cli_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    Aws._session.cache_clear()
    Aws._client.cache_clear()
    assert Aws().client("sqs").meta.region_name == "eu-north-1"
    assert Aws(region="eu-south-1").client("sqs").meta.region_name == "eu-south-1"
