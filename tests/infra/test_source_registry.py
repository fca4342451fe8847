"""Overlapping filters of one bucket, within a construct, a stack and an app."""

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3

from cdk_s3_to_sftp import InvalidArgument, Trigger
from tests.infra.templates import (
    new_delivery,
    queue_notifications,
    stack_properties,
)


class TestOverlap:
    @pytest.mark.parametrize("trigger", Trigger)
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({}, {}),
            ({"prefix": "in/"}, {}),
            ({"prefix": "in/"}, {"prefix": "in/deep/"}),
            ({"suffix": ".csv"}, {"prefix": "in/"}),
            ({"suffix": ".csv"}, {"suffix": ".old.csv"}),
            ({"prefix": "in/", "suffix": "v"}, {"prefix": "in/a", "suffix": ".csv"}),
        ],
    )
    def test_overlap_within_one_construct_is_refused(
        self, stack: cdk.Stack, one: dict[str, Any], other: dict[str, Any], trigger: Trigger
    ) -> None:
        delivery, bucket = new_delivery(stack), s3.Bucket(stack, "Theirs")
        delivery.add_source(bucket, **one, trigger=trigger)
        with pytest.raises(InvalidArgument, match="objects of both would be announced twice"):
            delivery.add_source(bucket, **other, trigger=trigger)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"prefix": "in/"}, {"prefix": "out/"}),
            ({"suffix": ".csv"}, {"suffix": ".pdf"}),
            ({"prefix": "in/", "suffix": ".csv"}, {"prefix": "in/", "suffix": ".pdf"}),
        ],
    )
    def test_disjoint_filters_are_accepted(
        self, stack: cdk.Stack, one: dict[str, Any], other: dict[str, Any]
    ) -> None:
        delivery, bucket = new_delivery(stack), s3.Bucket(stack, "Theirs")
        delivery.add_source(bucket, **one)
        delivery.add_source(bucket, **other)
        assert len(queue_notifications(stack)) == 2

    def test_overlap_error_names_both_constructs(self, stack: cdk.Stack) -> None:
        bucket = s3.Bucket(stack, "Theirs")
        new_delivery(stack, "ToBank", bucket=bucket, prefix="in/")
        with pytest.raises(InvalidArgument) as caught:
            new_delivery(stack, "ToInsurer", bucket=bucket, prefix="in/deep/", suffix=".csv")
        assert str(caught.value) == (
            "prefix and suffix must not overlap those of another notification of the bucket, got "
            "'in/deep/*.csv' of Test/ToInsurer and 'in/*' of Test/ToBank: S3 allows only one. With "
            "trigger=Trigger.EVENTBRIDGE both get the objects"
        )

    def test_overlap_of_two_stacks_is_found_by_bucket_name(self, app: cdk.App) -> None:
        stacks = [cdk.Stack(app, name) for name in ("One", "Other")]
        buckets = [s3.Bucket.from_bucket_name(each, "Theirs", "their-bucket") for each in stacks]
        new_delivery(stacks[0], bucket=buckets[0])
        with pytest.raises(InvalidArgument, match=r"of Other/Delivery and '\*' of One/Delivery"):
            new_delivery(stacks[1], bucket=buckets[1])

    def test_overlapping_rules_of_two_deliveries_are_accepted(self, stack: cdk.Stack) -> None:
        bucket = s3.Bucket(stack, "Theirs")
        for name in ("ToBank", "ToInsurer"):
            new_delivery(stack, name, bucket=bucket, prefix="in/", trigger=Trigger.EVENTBRIDGE)
        assert len(stack_properties(stack, "AWS::Events::Rule")) == 2

    def test_overlap_with_a_token_is_not_checked(self, stack: cdk.Stack) -> None:
        delivery, bucket = new_delivery(stack), s3.Bucket(stack, "Theirs")
        delivery.add_source(bucket)
        delivery.add_source(bucket, prefix=cdk.CfnParameter(stack, "Prefix").value_as_string)
        assert len(queue_notifications(stack)) == 2


def test_more_than_100_notifications_of_a_bucket_are_refused(stack: cdk.Stack) -> None:
    """100: https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventNotifications.html."""
    delivery, bucket = new_delivery(stack), s3.Bucket(stack, "Bucket")
    for number in range(100):
        delivery.add_source(bucket, prefix=f"{number:03}/")
    delivery.add_source(bucket, prefix="200/", trigger=Trigger.EVENTBRIDGE)
    with pytest.raises(
        InvalidArgument, match=r"^bucket must not have more than 100 notifications, got one more"
    ):
        delivery.add_source(bucket, prefix="100/")
