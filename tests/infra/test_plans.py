"""`S3ToSftp.plan` tells the tests of an app what will happen to an object."""

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3

from cdk_s3_to_sftp import Companion, DeliveryRules, InvalidArgument
from s3_to_sftp.delivery_plan import default_plan
from s3_to_sftp.remote_path import remote_path
from s3_to_sftp.rules.explanation import plan_as_json
from tests.infra.templates import new_delivery
from tests.support.infra.delivery_rules import bucket, partner, with_rules


def test_plan_shows_names_and_steps(stack: cdk.Stack) -> None:
    delivery = with_rules(
        stack,
        name="{relative_folder}{stem}_{event_time:%Y%m%dT%H%M%S}{ext}",
        temporary="{name}.partial",
        companions=[Companion.checksum("sha256")],
    )
    assert delivery.plan("in/2026/orders.csv") == {
        "remote_path": "/inbox/2026/orders_20260102T030405.csv",
        "temporary": "/inbox/2026/orders_20260102T030405.csv.partial",
        "if_exists": "replace",
        "mode": None,
        "modified": None,
        "sequence": None,
        "timing": None,
        "steps": [
            "upload the data as '/inbox/2026/orders_20260102T030405.csv.partial'",
            "give the data its final name '/inbox/2026/orders_20260102T030405.csv', replacing a file "
            "that has it",
            "put '/inbox/2026/orders_20260102T030405.csv.sha256' (93 bytes)",
            "record the receipt",
        ],
    }


@pytest.mark.parametrize("directory", [None, "/inbox", "in"])
@pytest.mark.parametrize("key", ["a", "2026/a.b.csv", "{name}", "ä ö"])
def test_plan_without_rules_is_the_default_plan(stack: cdk.Stack, key: str, directory: str | None) -> None:
    delivery = new_delivery(stack, server=partner(directory=directory), bucket=bucket(stack))
    path = remote_path(directory=directory or "", key=key)
    assert delivery.plan(key) == plan_as_json(default_plan(path))


def test_source_decides_rules_and_directory(stack: cdk.Stack) -> None:
    one, two = bucket(stack), bucket(stack, "two")
    delivery = new_delivery(stack, server=partner(DeliveryRules(name="{name}"), directory="/one"))
    delivery.add_source(one)
    delivery.add_source(two, directory="/two", rules=DeliveryRules(name="{stem}.txt"))
    assert delivery.plan("x/a.csv", bucket=one)["remote_path"] == "/one/a.csv"
    assert delivery.plan("x/a.csv", bucket=two)["remote_path"] == "/two/a.txt"


def test_bucket_is_found_by_another_import(stack: cdk.Stack) -> None:
    delivery = new_delivery(stack, bucket=bucket(stack))
    again = s3.Bucket.from_bucket_name(stack, "Again", "one")
    assert delivery.plan("a", bucket=again)["remote_path"] == "a"


def test_key_in_two_buckets_needs_the_bucket(stack: cdk.Stack) -> None:
    delivery = new_delivery(stack)
    delivery.add_source(bucket(stack), directory="/one")
    delivery.add_source(bucket(stack, "two"), directory="/two")
    with pytest.raises(InvalidArgument, match=r"^bucket must be given where several sources have such a key"):
        delivery.plan("a")


def test_key_of_no_source_is_refused(stack: cdk.Stack) -> None:
    delivery = with_rules(stack)
    with pytest.raises(InvalidArgument, match=r"^key must be .*, got 'a\.csv': .*'in/\*\.csv'"):
        delivery.plan("a.csv")


def test_key_that_rules_refuse_is_refused(stack: cdk.Stack) -> None:
    delivery = with_rules(stack, allowed_names="[A-Z]+")
    with pytest.raises(InvalidArgument, match=r"^key must be .* does not match the rule 'allowed_names'"):
        delivery.plan("in/a.csv")


def test_types_of_arguments_are_checked(stack: cdk.Stack) -> None:
    delivery = new_delivery(stack, bucket=bucket(stack))
    with pytest.raises(InvalidArgument, match=r"^bucket must be an IBucket"):
        delivery.plan("a", bucket="one")  # type: ignore[arg-type]  # wrong on purpose
