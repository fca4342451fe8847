"""Sources: several buckets, filters and directories of one construct."""

import json
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template
from jsii._kernel.providers.process import _NodeProcess

from cdk_s3_to_sftp import InvalidArgument, S3ToSftp, SftpServer, Source, Trigger
from s3_to_sftp.remote_path import SourceDirectory
from s3_to_sftp.settings import Settings
from tests.infra.conftest import warnings_of
from tests.infra.templates import (
    READ_ACTIONS,
    delivery_function,
    filter_rules,
    new_delivery,
    queue_notifications,
    stack_properties,
)
from tests.support.infra.keys import ED25519


class TestSeveralSources:
    def test_all_sources_notify_one_queue(self, stack: cdk.Stack) -> None:
        delivery = new_delivery(stack)
        one, other = s3.Bucket(stack, "One"), s3.Bucket(stack, "Other")
        delivery.add_source(one, prefix="a/")
        delivery.add_source(one, prefix="b/", suffix=".csv")
        delivery.add_source(other)
        rules = queue_notifications(stack)
        assert len(rules) == 3
        assert len({json.dumps(rule["QueueArn"]) for rule in rules}) == 1
        assert [filter_rules(rule) for rule in rules if "Filter" in rule] == [
            {"prefix": "a/"},
            {"suffix": ".csv", "prefix": "b/"},
        ]

    def test_sources_are_an_argument_of_the_constructor(self, stack: cdk.Stack) -> None:
        sources = [Source(s3.Bucket(stack, "One"), prefix="a/"), Source(s3.Bucket(stack, "Other"))]
        delivery = new_delivery(stack, sources=sources)
        assert delivery.sources == tuple(sources)
        assert len(queue_notifications(stack)) == 2
        Template.from_stack(stack).resource_count_is("AWS::S3::Bucket", 2)

    def test_source_can_be_added_to_the_created_bucket(self, stack: cdk.Stack) -> None:
        delivery = new_delivery(stack, sources=None)
        added = delivery.add_source(s3.Bucket(stack, "Other"), directory="/other")
        assert [source.bucket for source in delivery.sources] == [delivery.bucket, added.bucket]
        assert len(queue_notifications(stack)) == 2

    def test_function_may_read_only_the_sources(self, stack: cdk.Stack) -> None:
        delivery = new_delivery(stack)
        delivery.add_source(s3.Bucket.from_bucket_name(stack, "One", "one"), prefix="a/")
        delivery.add_source(s3.Bucket.from_bucket_name(stack, "Other", "other"))
        allowed: dict[str, Any] = {}
        (policy,) = [
            each
            for each in stack_properties(stack, "AWS::IAM::Policy")
            if "DeliveryRole" in str(each["Roles"])
        ]
        for statement in policy["PolicyDocument"]["Statement"]:
            if "s3:" in str(statement["Action"]):
                allowed[str(statement["Action"])] = [
                    each["Fn::Join"][1][-1] for each in statement["Resource"]
                ]
        assert allowed == {
            str(READ_ACTIONS): [":s3:::one/a/*", ":s3:::other/*"],
            "s3:ListBucket": [":s3:::one", ":s3:::other"],
        }

    def test_delivery_without_a_source_fails_at_synth(self, app: cdk.App, stack: cdk.Stack) -> None:
        new_delivery(stack)
        with pytest.raises(
            RuntimeError, match=r"nothing to deliver: leave out `sources`, or call add_source"
        ):
            app.synth()

    def test_bucket_without_a_source_raises_lookup_error(self, stack: cdk.Stack) -> None:
        with pytest.raises(LookupError, match=r"Test/Delivery has no source yet"):
            _ = new_delivery(stack).bucket

    def test_sources_with_the_arguments_of_one_source_are_refused(self, stack: cdk.Stack) -> None:
        with pytest.raises(InvalidArgument) as caught:
            S3ToSftp(
                stack,
                "Delivery",
                server=SftpServer("sftp.partner.example", host_keys=[ED25519]),
                sources=[],
                prefix="a/",
                trigger=Trigger.EVENTBRIDGE,
            )
        assert str(caught.value) == (
            "sources must not be given together with prefix, trigger: move them into a Source"
        )


class TestDirectory:
    def test_directories_of_sources_reach_the_settings(self, stack: cdk.Stack) -> None:
        delivery = new_delivery(stack)
        delivery.add_source(s3.Bucket.from_bucket_name(stack, "One", "one"))
        two = s3.Bucket.from_bucket_name(stack, "Two", "two")
        delivery.add_source(two, prefix="a/", suffix=".csv", directory="/csv")
        delivery.add_source(two, prefix="b/", directory="/b")
        written = delivery_function(stack)["Environment"]["Variables"]
        texts = {name: value for name, value in written.items() if isinstance(value, str)}
        read = Settings.from_environment({**texts, "SSH_SECRET_ARN": "arn"})
        assert read.sources == (
            SourceDirectory(bucket="one"),
            SourceDirectory(bucket="two", prefix="a/", suffix=".csv", directory="/csv"),
            SourceDirectory(bucket="two", prefix="b/", directory="/b"),
        )

    def test_directory_of_a_bucket_with_a_generated_name_reaches_the_function(self, stack: cdk.Stack) -> None:
        new_delivery(stack).add_source(s3.Bucket(stack, "One"), directory="/one")
        ssh_sources = delivery_function(stack)["Environment"]["Variables"]["SSH_SOURCES"]
        (_, (before, reference, after)) = ssh_sources["Fn::Join"]
        assert reference["Ref"].startswith("One")
        assert json.loads(f"{before}one{after}") == [{"bucket": "one", "directory": "/one"}]

    def test_sources_without_a_directory_are_left_out_where_not_all_fit(self, stack: cdk.Stack) -> None:
        delivery, bucket = new_delivery(stack), s3.Bucket(stack, "Theirs")
        for number in range(90):
            delivery.add_source(bucket, prefix=f"department-of-very-long-names-{number}/")
        delivery.add_source(bucket, prefix="other/", directory="/other")
        told = delivery_function(stack)["Environment"]["Variables"]["SSH_SOURCES"]["Fn::Join"][1]
        assert "department" not in json.dumps(told)
        assert "/other" in json.dumps(told)

    def test_no_source_is_told_where_the_function_needs_none_and_not_all_fit(self, stack: cdk.Stack) -> None:
        delivery, bucket = new_delivery(stack), s3.Bucket(stack, "Theirs")
        for number in range(90):
            delivery.add_source(bucket, prefix=f"department-of-very-long-names-{number}/")
        assert delivery_function(stack)["Environment"]["Variables"]["SSH_SOURCES"] == "[]"

    @pytest.mark.parametrize(("count", "fits"), [(20, True), (60, False)])
    def test_directories_over_the_environment_quota_fail_at_synth(
        self, app: cdk.App, stack: cdk.Stack, count: int, *, fits: bool
    ) -> None:
        delivery, bucket = new_delivery(stack), s3.Bucket(stack, "Theirs")
        for number in range(count):
            delivery.add_source(bucket, prefix=f"department-{number}/", directory=f"/departments/{number}")
        if fits:
            app.synth()
            return
        with pytest.raises(
            RuntimeError, match=r"need \d{4} bytes of the function's environment, and Lambda "
        ):
            app.synth()

    def test_directory_can_be_a_token(self, stack: cdk.Stack) -> None:
        directory = cdk.CfnParameter(stack, "Directory").value_as_string
        new_delivery(stack).add_source(s3.Bucket.from_bucket_name(stack, "One", "one"), directory=directory)
        assert {"Ref": "Directory"} in delivery_function(stack)["Environment"]["Variables"]["SSH_SOURCES"][
            "Fn::Join"
        ][1]

    @pytest.mark.parametrize("directory", ["", " ", "in\nbox"])
    def test_empty_or_multiline_directory_is_refused(self, stack: cdk.Stack, directory: str) -> None:
        with pytest.raises(InvalidArgument) as caught:
            new_delivery(stack).add_source(s3.Bucket(stack, "One"), directory=directory)
        assert str(caught.value) == (
            "directory must be a remote path such as /inbox (leave it out for the directory of the server), "
            f"got {directory!r}"
        )

    @pytest.mark.parametrize(
        ("one", "other", "meet"),
        [
            ({}, {}, True),
            ({"directory": "/a"}, {"directory": "/a/b"}, True),
            ({"prefix": "x/"}, {"prefix": "x/y/"}, True),
            ({"directory": "/a"}, {"directory": "/b"}, False),
            ({"prefix": "x/"}, {"prefix": "y/"}, False),
            ({"suffix": ".csv"}, {"suffix": ".pdf"}, False),
            ({}, {"directory": "/elsewhere"}, False),
        ],
    )
    def test_remote_paths_shared_by_two_buckets_add_a_warning(
        self, stack: cdk.Stack, one: dict[str, Any], other: dict[str, Any], *, meet: bool
    ) -> None:
        server = SftpServer("sftp.partner.example", directory="/in", host_keys=[ED25519])
        delivery = new_delivery(stack, server=server)
        delivery.add_source(s3.Bucket(stack, "One"), **one)
        delivery.add_source(s3.Bucket(stack, "Other"), **other)
        assert bool(warnings_of(stack, "sharedRemotePaths")) is meet


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("prefix", "/in/", "must not begin with '/'"),
        ("prefix", "in//", "must not hold '//'"),
        ("prefix", "in/../", "must not hold '//'"),
        ("suffix", "/", "must not end with '/'"),
        ("suffix", "//a", "must not hold '//'"),
        ("directory", "~/inbox", "must not begin with '~'"),
    ],
)
def test_filter_or_directory_that_matches_no_deliverable_key_is_refused(
    stack: cdk.Stack, name: str, value: str, why: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Source(s3.Bucket(stack, "Theirs"), **{name: value})  # type: ignore[arg-type]  # one of its texts
    assert str(caught.value).startswith(f"{name} {why}")


@pytest.mark.parametrize(("prefix", "suffix"), [("in", None), ("in/", ".csv"), ("in/..", "/a.csv"), ("", "")])
def test_filter_of_deliverable_keys_is_accepted(stack: cdk.Stack, prefix: str, suffix: str | None) -> None:
    assert Source(s3.Bucket(stack, "Theirs"), prefix=prefix, suffix=suffix).prefix == prefix


@pytest.mark.parametrize("name", ["prefix", "suffix"])
def test_wildcard_in_a_filter_is_refused(stack: cdk.Stack, name: str) -> None:
    filtered: dict[str, Any] = {name: "a*"}
    with pytest.raises(InvalidArgument) as caught:
        new_delivery(stack).add_source(s3.Bucket(stack, "Theirs"), **filtered)
    assert str(caught.value) == (
        f"{name} must not contain '*': S3 compares it literally, got 'a*'; remove the '*'"
    )


@pytest.mark.parametrize("trigger", Trigger)
def test_synth_cost_of_a_source_does_not_grow_with_their_number(
    stack: cdk.Stack, monkeypatch: pytest.MonkeyPatch, trigger: Trigger
) -> None:
    delivery = new_delivery(stack)
    sent: list[object] = []
    send: Callable[..., Any] = _NodeProcess.send
    monkeypatch.setattr(_NodeProcess, "send", lambda *args: (sent.append(args), send(*args))[1])
    costs = []
    for number in range(40):
        bucket = s3.Bucket.from_bucket_name(stack, f"Theirs{number}", f"bucket-{number}")
        before = len(sent)
        delivery.add_source(bucket, prefix=f"{number}/", directory=f"/{number % 5}", trigger=trigger)
        costs.append(len(sent) - before)
    assert costs[-1] <= costs[5] + 10
