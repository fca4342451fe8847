"""`keep_versions_for`: when noncurrent versions expire in the created bucket."""

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3

from cdk_s3_to_sftp import InvalidArgument
from tests.infra.conftest import Synthesise
from tests.infra.templates import own_properties, work_queue_properties

HOURS, DAYS = cdk.Duration.hours, cdk.Duration.days


def noncurrent_days(synthesise: Synthesise, **arguments: Any) -> Any:
    (rule,) = own_properties(synthesise(**arguments), "AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    return rule["NoncurrentVersionExpiration"]["NoncurrentDays"]


@pytest.mark.parametrize(
    ("arguments", "days"),
    [
        ({}, 90),
        ({"keep_versions_for": DAYS(29)}, 29),
        ({"keep_versions_for": HOURS(31 * 24), "retry_for": HOURS(72)}, 31),
        ({"keep_versions_for": DAYS(36_500)}, 36_500),
    ],
)
def test_noncurrent_versions_expire_after_keep_versions_for(
    synthesise: Synthesise, arguments: dict[str, Any], days: int
) -> None:
    assert noncurrent_days(synthesise, **arguments) == days


def test_lifecycle_rule_never_expires_current_versions(synthesise: Synthesise) -> None:
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
    (rule,) = own_properties(synthesise(), "AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    assert rule["ExpiredObjectDeleteMarker"] is True
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert not {"ExpirationInDays", "ExpirationDate", "Transitions"} & set(rule)


def test_shortest_keep_versions_for_covers_the_retention_of_both_queues(synthesise: Synthesise) -> None:
    template = synthesise(keep_versions_for=DAYS(29), retry_for=HOURS(1))
    assert 2 * work_queue_properties(template)["MessageRetentionPeriod"] == 28 * 86_400


def test_keep_versions_for_can_be_a_token(stack: cdk.Stack, synthesise: Synthesise) -> None:
    number: Any = cdk.CfnParameter(stack, "Number", type="Number").value_as_number
    assert noncurrent_days(synthesise, keep_versions_for=DAYS(number)) == {"Ref": "Number"}


WHY = (
    "an object that is replaced before it is delivered is sent from its old version, which may wait for {} "
    "days (retry_for, 14 in the dead-letter queue, 14 in the queue after a redrive)"
)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"keep_versions_for": DAYS(28)}, f"must be 29-36500 days, got 28: {WHY.format(29)}"),
        (
            {"keep_versions_for": DAYS(30), "retry_for": HOURS(49)},
            f"must be 31-36500 days, got 30: {WHY.format(31)}",
        ),
        ({"keep_versions_for": DAYS(36_501)}, f"must be 29-36500 days, got 36501: {WHY.format(29)}"),
        ({"keep_versions_for": HOURS(36)}, "must be whole days, got 1.5"),
    ],
)
def test_keep_versions_for_below_the_longest_delivery_is_refused(
    synthesise: Synthesise, arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        synthesise(**arguments)
    assert str(caught.value) == f"keep_versions_for {sentence}"


@pytest.mark.parametrize("how", ["bucket", "sources"])
def test_keep_versions_for_with_an_existing_bucket_is_refused(
    stack: cdk.Stack, synthesise: Synthesise, how: str
) -> None:
    bucket = s3.Bucket(stack, "Theirs")
    given: dict[str, Any] = {"bucket": bucket} if how == "bucket" else {"sources": []}
    with pytest.raises(InvalidArgument) as caught:
        synthesise(**given, keep_versions_for=DAYS(60))
    assert str(caught.value) == (
        "keep_versions_for must not be given together with bucket or sources: the owner of an existing "
        "bucket adds a lifecycle rule (Bucket.add_lifecycle_rule)"
    )
