"""Prefix and suffix as S3 notification filters, EventBridge patterns and IAM resources."""

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import InvalidArgument, S3ToSftp, SftpServer, Trigger
from tests.infra.conftest import warnings_of


def with_filter(stack: cdk.Stack, server: SftpServer, trigger: Trigger, **filtered: str) -> Template:
    existing = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
    S3ToSftp(stack, "Delivery", server=server, bucket=existing, trigger=trigger, **filtered)
    return Template.from_stack(stack)


def filter_of_notification(template: Template) -> dict[str, str]:
    (custom,) = template.find_resources("Custom::S3BucketNotifications").values()
    (rule,) = custom["Properties"]["NotificationConfiguration"]["QueueConfigurations"]
    return {each["Name"]: each["Value"] for each in rule["Filter"]["Key"]["FilterRules"]}


def key_patterns_of_rule(template: Template) -> list[Any]:
    (rule,) = template.find_resources("AWS::Events::Rule").values()
    patterns: list[Any] = rule["Properties"]["EventPattern"]["detail"]["object"]["key"]
    return patterns


def granted_object_arns(template: Template) -> list[str]:
    """Return the last parts of the ARNs in IAM policies."""
    return [
        resource["Fn::Join"][1][-1]
        for policy in template.find_resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        for resource in [statement["Resource"]]
        if "Fn::Join" in resource
    ]


# "If your prefix or suffix contains a space, you must replace it with the '+' character. If you use any other
# special characters [...], you must enter them in URL-encoded (percent-encoded) format. For a complete list
# [...], see Safe characters", which are letters, digits and !-_.*'(). The page's examples have '/' as it is.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
ENCODED = {
    " ": "+",
    "+": "%2B",
    "=": "%3D",
    "%": "%25",
    "&": "%26",
    "$": "%24",
    "@": "%40",
    ":": "%3A",
    ";": "%3B",
    ",": "%2C",
    "?": "%3F",
    "#": "%23",
    "~": "%7E",
    "|": "%7C",
    "\\": "%5C",
    "^": "%5E",
    "`": "%60",
    '"': "%22",
    "<": "%3C",
    ">": "%3E",
    "[": "%5B",
    "]": "%5D",
    "{": "%7B",
    "}": "%7D",
    "é": "%C3%A9",
    "€": "%E2%82%AC",
    "😀": "%F0%9F%98%80",
    "/": "/",
    "!": "!",
    "-": "-",
    "_": "_",
    ".": ".",
    "'": "'",
    "(": "(",
    ")": ")",
}


@pytest.mark.parametrize("character", ENCODED)
def test_special_character_is_url_encoded_in_the_notification_but_not_in_iam(
    stack: cdk.Stack, server: SftpServer, character: str
) -> None:
    prefix, suffix = f"in{character}b/", f"{character}x"
    template = with_filter(stack, server, Trigger.NOTIFICATION, prefix=prefix, suffix=suffix)
    encoded = ENCODED[character]
    assert filter_of_notification(template) == {"prefix": f"in{encoded}b/", "suffix": f"{encoded}x"}
    assert f":s3:::theirs/{prefix}*" in granted_object_arns(template)


def test_dollar_sign_in_the_prefix_is_not_an_iam_policy_variable(
    stack: cdk.Stack, server: SftpServer
) -> None:
    """`${$}` is a dollar: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html."""
    template = with_filter(stack, server, Trigger.NOTIFICATION, prefix="cost ${eur}/")
    assert ":s3:::theirs/cost ${$}{eur}/*" in granted_object_arns(template)


def test_notification_filter_is_url_encoded(stack: cdk.Stack, server: SftpServer) -> None:
    filtered = {"prefix": "year=2026/Daily Reports/", "suffix": "+é.csv"}
    template = with_filter(stack, server, Trigger.NOTIFICATION, **filtered)
    assert filter_of_notification(template) == {
        "prefix": "year%3D2026/Daily+Reports/",
        "suffix": "%2B%C3%A9.csv",
    }


def test_eventbridge_pattern_is_not_encoded(stack: cdk.Stack, server: SftpServer) -> None:
    """Its events hold the key as it is (Amazon S3 User Guide, "EventBridge event message structure")."""
    filtered = {"prefix": "year=2026/Daily Reports/", "suffix": "+é.csv"}
    template = with_filter(stack, server, Trigger.EVENTBRIDGE, **filtered)
    assert key_patterns_of_rule(template) == [{"wildcard": "year=2026/Daily Reports/*+é.csv"}]


def test_filter_known_at_deployment_adds_a_warning(stack: cdk.Stack, server: SftpServer) -> None:
    prefix = cdk.CfnParameter(stack, "Prefix").value_as_string
    with_filter(stack, server, Trigger.NOTIFICATION, prefix=prefix)
    (warning,) = warnings_of(stack, "filterKnownAtDeployment")
    assert "The prefix of a source is known only at deployment" in warning


def test_encoded_filter_over_1024_characters_is_refused(stack: cdk.Stack, server: SftpServer) -> None:
    """At most 1,024 characters (Amazon S3 API reference, FilterRule)."""
    with pytest.raises(InvalidArgument) as caught:
        with_filter(stack, server, Trigger.NOTIFICATION, prefix="é" * 171)
    assert str(caught.value) == (
        "prefix must be at most 1024 characters long when it is URL-encoded for S3's notification, got 1026: "
        "shorten it, or use trigger=Trigger.EVENTBRIDGE"
    )


@pytest.mark.parametrize(
    ("prefix", "suffix", "keys"),
    [
        ("out/", "/done.csv", ["out/done.csv"]),
        ("aba", "aba", ["ababa", "aba"]),
        ("report.csv", ".csv", ["report.csv"]),
        ("a", "abc", ["abc"]),
        ("out/", ".csv", []),
    ],
)
def test_rule_matches_keys_whose_prefix_and_suffix_overlap(
    stack: cdk.Stack, server: SftpServer, prefix: str, suffix: str, keys: list[str]
) -> None:
    """As it matches S3's own notification, which looks at both ends of the key independently."""
    template = with_filter(stack, server, Trigger.EVENTBRIDGE, prefix=prefix, suffix=suffix)
    assert key_patterns_of_rule(template) == [{"wildcard": f"{prefix}*{suffix}"}, *keys]
    assert all(key.startswith(prefix) and key.endswith(suffix) for key in keys)


def test_event_pattern_over_the_quota_is_refused(stack: cdk.Stack, server: SftpServer) -> None:
    """2,048 characters: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html."""
    with pytest.raises(InvalidArgument, match=r"prefix and suffix make an event pattern of \d+ characters"):
        with_filter(stack, server, Trigger.EVENTBRIDGE, prefix="a" * 100, suffix="a" * 100)
