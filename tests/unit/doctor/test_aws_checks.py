"""The checks of the function's own resources, against moto."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from s3_to_sftp.doctor.aws_checks import AwsChecks
from s3_to_sftp.doctor.checklist import Checklist
from s3_to_sftp.doctor.report import Check, Outcome
from s3_to_sftp.remote_path import SourceDirectory
from s3_to_sftp.server import Server
from s3_to_sftp.settings import Settings
from tests.support.memory_aws import mock_aws

REGION = "eu-central-1"
SERVER = Server(host="sftp.partner.example", port=22)


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield


def checks_of(**settings: Any) -> dict[str, Check]:
    checklist = Checklist(is_over=lambda: False)
    for name, step in AwsChecks(Settings(server=SERVER, **settings), boto3.client).steps():
        checklist.run(name, step)
    return {check.name: check for check in checklist.checks}


def bucket(*keys: str) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="orders", CreateBucketConfiguration={"LocationConstraint": REGION})
    for key in keys:
        s3.put_object(Bucket="orders", Key=key, Body=b"x")


def test_what_is_not_configured_is_not_checked() -> None:
    assert checks_of() == {}


def test_ledger_and_queue_that_can_be_read_are_ok() -> None:
    boto3.client("dynamodb").create_table(
        TableName="ledger",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    url = boto3.client("sqs").create_queue(QueueName="queue")["QueueUrl"]
    boto3.client("sqs").send_message(QueueUrl=url, MessageBody="{}")
    checks = checks_of(ledger_table="ledger", queue_url=url)
    assert [check.outcome for check in checks.values()] == [Outcome.OK, Outcome.OK]
    assert checks["queue"].text == "queue can be read, 1 messages wait"


def test_resources_that_are_missing_fail_with_the_words_of_aws() -> None:
    url = f"https://sqs.{REGION}.amazonaws.com/123456789012/gone"
    checks = checks_of(
        ledger_table="gone", queue_url=url, sources=(SourceDirectory(bucket="gone-bucket", prefix="in/"),)
    )
    assert {check.outcome for check in checks.values()} == {Outcome.FAILED}
    assert "'gone' does not exist" in checks["ledger"].text
    assert "NonExistentQueue" in checks["queue"].text or "does not exist" in checks["queue"].text
    assert "NoSuchBucket" in checks["bucket"].text
    assert all(check.advice for check in checks.values())


@pytest.mark.parametrize(("keys", "text"), [((), "is empty"), (("in/a", "in/b"), "can be read")])
def test_buckets_are_listed_and_one_object_is_read(keys: tuple[str, ...], text: str) -> None:
    bucket(*keys)
    sources = (
        SourceDirectory(bucket="orders", prefix="in/"),
        SourceDirectory(bucket="orders", prefix="in/", suffix=".csv", directory="/b"),
        SourceDirectory(bucket="no-longer-watched", former=True),
    )
    check = checks_of(sources=sources)["bucket"]
    assert check.outcome is Outcome.OK
    assert check.text.count("orders/in/*") == 1
    assert check.text.endswith(text)


def test_empty_object_shows_that_it_may_be_read() -> None:
    bucket()
    boto3.client("s3").put_object(Bucket="orders", Key="in/empty", Body=b"")
    assert checks_of(sources=(SourceDirectory(bucket="orders"),))["bucket"].outcome is Outcome.OK


def test_archived_object_says_nothing_about_the_others() -> None:
    bucket("b")
    boto3.client("s3").put_object(Bucket="orders", Key="a", Body=b"x", StorageClass="GLACIER")
    check = checks_of(sources=(SourceDirectory(bucket="orders"),))["bucket"]
    assert (check.outcome, check.text) == (Outcome.OK, "orders/* can be read")
    only_archived = checks_of(sources=(SourceDirectory(bucket="orders", prefix="a"),))["bucket"]
    assert only_archived.outcome is Outcome.OK
    assert "archived" in only_archived.text
