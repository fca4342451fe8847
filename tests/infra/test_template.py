"""The template for use without CDK: plain resources that equal those of the construct."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3

from cdk_s3_to_sftp import Bundling, InvalidArgument, SftpServer, Source, Trigger, template
from cdk_s3_to_sftp.bundling import RUNTIME
from cdk_s3_to_sftp.template_parameters import GROUPS, PARAMETERS
from cdk_s3_to_sftp.template_stack import TemplateStack, build_template, synthesise
from cdk_s3_to_sftp.template_variants import combine
from local.processes import CannotRun
from tests.infra.checkov import prepare_checkov, scan
from tests.infra.conftest import Synthesise, new_app
from tests.infra.templates import OUTPUT_NAMES
from tests.support.infra.cfn_lint import reported
from tests.support.infra.keys import ECDSA, ED25519, RSA
from tests.support.infra.rule_packs import findings

STACK: dict[str, Any] = {
    "architecture": lambda_.Architecture.X86_64,
    "runtime": RUNTIME,
    "bundle_key": "s3-to-sftp/0123456789abcdef.zip",
}
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:login-AbCdEf"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:on-call"


@pytest.fixture(scope="module")
def built() -> dict[str, Any]:
    return build_template(**STACK)


def resolve(built: dict[str, Any], **values: str) -> dict[str, Any]:
    """Return resources and outputs as CloudFormation resolves them for these parameter values."""
    given = {name: str(each.get("Default", "")) for name, each in built["Parameters"].items()} | values
    conditions: dict[str, bool] = {}

    def holds(expression: Any) -> bool:
        match expression:
            case {"Fn::Equals": [{"Ref": name}, value]}:
                return bool(given[name] == value)
            case {"Fn::Not": [inner]}:
                return not holds(inner)
        raise AssertionError(expression)

    def taken(value: Any) -> Any:
        match value:
            case {"Fn::If": [condition, yes, no]}:
                return taken(yes if conditions[condition] else no)
            case dict():
                pairs = {key: taken(each) for key, each in value.items()}
                return {key: each for key, each in pairs.items() if each != {"Ref": "AWS::NoValue"}}
            case list():
                return [taken(each) for each in value]
        return value

    conditions |= {name: holds(expression) for name, expression in built.get("Conditions", {}).items()}
    resources = {
        name: each
        for name, each in built["Resources"].items()
        if "Condition" not in each or conditions[each["Condition"]]
    }
    for_cloudformation = {
        name: {key: taken(value) for key, value in each.items() if key not in ("Metadata", "Condition")}
        for name, each in resources.items()
    }
    return {"Resources": for_cloudformation, "Outputs": taken(built["Outputs"])}


@pytest.mark.parametrize(
    ("values", "arguments"),
    [
        ({}, {}),
        ({"MaxConnections": "1"}, {"max_connections": 1}),
        ({"MaxConnections": "128"}, {"max_connections": 128}),
        (
            {"MaxConnections": "1", "ExistingSecretArn": SECRET, "ExistingSecretKeyArn": KEY},
            {"max_connections": 1, "existing_secret": True},
        ),
        (
            {"ExistingSecretArn": SECRET, "AlarmTopicArn": TOPIC},
            {"existing_secret": True, "alarm_topic": True},
        ),
        ({"MaxConnections": "1", "AlarmTopicArn": TOPIC}, {"max_connections": 1, "alarm_topic": True}),
    ],
    ids=["defaults", "one", "most", "one, secret", "secret, topic", "one, topic"],
)
def test_template_with_parameters_equals_the_construct_with_arguments(
    built: dict[str, Any], values: dict[str, str], arguments: dict[str, Any]
) -> None:
    assert resolve(built, **values) == resolve(synthesise(**STACK, **arguments), **values)


@pytest.mark.parametrize("number", [1, 3, 8, 128])
def test_mapping_has_the_connections_per_function(
    built: dict[str, Any], synthesise: Synthesise, number: int
) -> None:
    (function,) = synthesise(max_connections=number).find_resources("AWS::Lambda::Function", OURS).values()
    share = function["Properties"]["Environment"]["Variables"]["SSH_MAX_CONNECTIONS"]
    table = built["Mappings"]["Connections"]
    assert table[str(number)] == {"PerFunction": share}
    assert list(table) == built["Parameters"]["MaxConnections"]["AllowedValues"]


OURS = {"Properties": {"Handler": "s3_to_sftp.handler.lambda_handler"}}


def variables(built: dict[str, Any]) -> dict[str, Any]:
    (function,) = of_type(built, "AWS::Lambda::Function")
    found: dict[str, Any] = function["Properties"]["Environment"]["Variables"]
    return found


def of_type(built: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each for each in built["Resources"].values() if each["Type"] == kind]


def test_template_contains_only_plain_aws_resources(built: dict[str, Any]) -> None:
    text = json.dumps(built)
    assert {each["Type"].partition("::")[0] for each in built["Resources"].values()} == {"AWS"}
    assert len(of_type(built, "AWS::Lambda::Function")) == 1
    assert [word for word in ("CustomResource", "CDKMetadata", "Bootstrap", "cdk-hnb") if word in text] == []
    assert built.keys() == {
        "AWSTemplateFormatVersion",
        "Description",
        "Metadata",
        "Parameters",
        "Mappings",
        "Conditions",
        "Resources",
        "Outputs",
    }


def test_parameters_reach_the_function(built: dict[str, Any]) -> None:
    found = variables(built)
    assert found["SSH_HOST"] == {"Ref": "Host"}
    assert found["SSH_PORT"] == {"Ref": "Port"}
    assert found["SSH_DIR"] == {"Ref": "Directory"}
    assert found["SSH_HOST_KEY"] == {"Fn::Join": ["\n", {"Ref": "HostKey"}]}
    assert found["SSH_MAX_CONNECTIONS"] == {
        "Fn::FindInMap": ["Connections", {"Ref": "MaxConnections"}, "PerFunction"]
    }
    assert found["CONFIGURED_BY"] == "template"
    (function,) = of_type(built, "AWS::Lambda::Function")
    assert function["Properties"]["Code"] == {
        "S3Bucket": {"Ref": "BundleBucket"},
        "S3Key": {"Ref": "BundleKey"},
    }


def test_rule_matches_the_raw_prefix_or_every_key(built: dict[str, Any]) -> None:
    # An empty prefix matches every key. https://github.com/aws/event-ruler, JsonRuleCompiler:
    # Patterns.prefixMatch('"' + text).
    (rule,) = of_type(built, "AWS::Events::Rule")
    assert rule["Properties"]["EventPattern"]["detail"]["object"] == {"key": [{"prefix": {"Ref": "Prefix"}}]}
    assert built["Parameters"]["Prefix"]["Default"] == ""


def test_bucket_enables_eventbridge_by_its_own_property(built: dict[str, Any]) -> None:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-s3-bucket-eventbridgeconfiguration.html
    (bucket,) = of_type(built, "AWS::S3::Bucket")
    assert bucket["Properties"]["NotificationConfiguration"] == {
        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
    }


@pytest.mark.parametrize(("enabled", "resources"), [(True, 0), (False, 1)])
def test_bucket_with_eventbridge_enabled_needs_no_custom_resource(
    stack: cdk.Stack, synthesise: Synthesise, *, enabled: bool, resources: int
) -> None:
    bucket = s3.Bucket(stack, "Theirs")
    resource = bucket.node.default_child
    assert isinstance(resource, s3.CfnBucket)
    resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
        event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=enabled)
    )
    synthesised = synthesise(bucket=bucket, trigger=Trigger.EVENTBRIDGE)
    synthesised.resource_count_is("Custom::S3BucketNotifications", resources)
    synthesised.resource_count_is("AWS::Events::Rule", 1)


def test_function_may_decrypt_with_the_key_of_an_existing_secret(built: dict[str, Any]) -> None:
    (policy,) = [each for each in of_type(built, "AWS::IAM::Policy") if "Condition" in each]
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": {"Ref": "ExistingSecretKeyArn"},
    }
    assert policy["Condition"] == "ExistingSecretKey"


def test_every_parameter_is_described_constrained_and_grouped(built: dict[str, Any]) -> None:
    assert list(built["Parameters"]) == list(PARAMETERS)
    for name, each in built["Parameters"].items():
        assert each["Description"], name
        assert each["ConstraintDescription"].startswith("must"), name
        assert name in ("Port", "MaxConnections") or each["AllowedPattern"], name
    shown = built["Metadata"]["AWS::CloudFormation::Interface"]
    assert [name for group in GROUPS.values() for name in group] == list(PARAMETERS)
    assert [each["Parameters"] for each in shown["ParameterGroups"]] == [
        list(each) for each in GROUPS.values()
    ]
    assert shown["ParameterLabels"].keys() == PARAMETERS.keys()


def test_required_parameters_are_host_host_key_and_bundle_bucket(built: dict[str, Any]) -> None:
    required = [name for name, each in built["Parameters"].items() if "Default" not in each]
    assert required == ["Host", "HostKey", "BundleBucket"]


def test_outputs_equal_those_of_the_stock_stack(built: dict[str, Any]) -> None:
    assert built["Outputs"].keys() == OUTPUT_NAMES


def test_description_with_the_longest_host_fits_the_quota(built: dict[str, Any]) -> None:
    (function,) = of_type(built, "AWS::Lambda::Function")
    (_, words) = function["Properties"]["Description"]["Fn::Join"]
    # https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html, Description
    rest = sum(len(word) for word in words if isinstance(word, str))
    assert built["Parameters"]["Host"]["MaxLength"] + rest == 256


def allows(parameter: str, value: str) -> bool:
    pattern = PARAMETERS[parameter].pattern
    assert pattern is not None
    return re.search(pattern, value) is not None


def is_accepted(parameter: str, value: str) -> bool:
    """Return whether the construct accepts the value."""
    bucket = s3.Bucket.from_bucket_name(cdk.Stack(), "Theirs", "theirs")
    try:
        match parameter:
            case "Host":
                SftpServer(value, host_keys=[ED25519])
            case "HostKey":
                SftpServer("sftp.partner.example", host_keys=[value])
            case "Directory":
                SftpServer("sftp.partner.example", host_keys=[ED25519], directory=value)
            case "Prefix":
                Source(bucket, prefix=value)
    except InvalidArgument:
        return False
    return True


@pytest.mark.parametrize("value", [f"a.example {ED25519}", f"{ED25519} comment"])
def test_pattern_of_the_host_key_accepts_only_type_and_key_where_the_construct_reads_whole_lines(
    value: str,
) -> None:
    assert is_accepted("HostKey", value)
    assert not allows("HostKey", value)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        *(("Host", value) for value in ("sftp.partner.example", "192.0.2.1", "2001:db8::1", "a_b.example")),
        *(
            ("Host", value)
            for value in ("sftp://a.example", "a.example:22", "u@a.example", "a/b", "-a", "a b")
        ),
        *(("Host", value) for value in ("a" * 63 + ".example", "a" * 64 + ".example")),
        *(("HostKey", value) for value in (ED25519, ECDSA, RSA, f"@cert-authority *.a.example {ED25519}")),
        *(("HostKey", value) for value in ("ssh-ed25519", "#")),
        *(("HostKey", value) for value in (ED25519.split()[1], f"@cert-authority {ED25519}", "SHA256:abc")),
        *(("Directory", value) for value in ("/", "/inbox", "a b/\u00fc", "~/inbox", " ", "/in\nbox")),
        *(("Prefix", value) for value in ("", "outgoing/", "year=2026/Daily Reports/\u00e9", "a.b", "..a/")),
        *(("Prefix", value) for value in ("/a", "a//b", "./a", "a/../b", "..", "*.csv", "a/.../b", "a/./b")),
    ],
)
def test_patterns_accept_exactly_what_the_construct_accepts(parameter: str, value: str) -> None:
    assert allows(parameter, value) == is_accepted(parameter, value)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("Directory", ""),
        ("ExistingSecretArn", ""),
        ("ExistingSecretArn", SECRET),
        ("ExistingSecretKeyArn", KEY),
        ("AlarmTopicArn", TOPIC),
        ("AlarmTopicArn", TOPIC.replace("arn:aws:", "arn:aws-us-gov:")),
        ("BundleBucket", "my-bucket.1"),
        ("BundleKey", STACK["bundle_key"]),
    ],
)
def test_pattern_accepts_valid_value(parameter: str, value: str) -> None:
    assert allows(parameter, value)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        # IAM would replace it in the resource of the role's policy.
        ("Prefix", "${aws:username}/"),
        ("ExistingSecretArn", SECRET.rpartition("-")[0]),
        ("ExistingSecretArn", "login"),
        ("ExistingSecretArn", SECRET.replace("login", "*")),
        ("ExistingSecretKeyArn", KEY.replace("key/", "alias/")),
        ("AlarmTopicArn", "on-call"),
        ("BundleBucket", "s3://my-bucket"),
        ("BundleKey", "/function.zip"),
    ],
)
def test_pattern_refuses_invalid_value(parameter: str, value: str) -> None:
    assert not allows(parameter, value)


@pytest.mark.skipif(
    not hasattr(cdk, "Acknowledgment"), reason="an older CDK adds metadata that suppresses findings"
)
def test_template_fits_in_a_request_body(built: dict[str, Any]) -> None:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
    assert len(template.as_text(built).encode()) <= template.LARGEST_IN_REQUEST == 51_200


def test_file_equals_the_template(built: dict[str, Any]) -> None:
    assert json.loads(template.as_text(built)) == built


def test_template_and_bundle_are_reproducible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def package(output: Path, **_: Any) -> float:
        output.write_bytes(b"zip")
        return 1.0

    monkeypatch.setattr(template, "write_package", package)
    arm = {"architecture": lambda_.Architecture.ARM_64, "bundling": Bundling.LOCAL}
    keys = [template.write(tmp_path / name, **arm) for name in ("one", "other")]
    assert keys == [f"s3-to-sftp/{hashlib.sha256(b'zip').hexdigest()[:16]}.zip"] * 2
    for file in (template.TEMPLATE, template.BUNDLE):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()
    written = json.loads((tmp_path / "one" / template.TEMPLATE).read_text())
    assert written["Parameters"]["BundleKey"]["Default"] == keys[0]
    (function,) = of_type(written, "AWS::Lambda::Function")
    assert function["Properties"]["Architectures"] == ["arm64"]


def test_variants_of_the_same_value_are_refused() -> None:
    def with_size(size: int) -> dict[str, Any]:
        queue = {"Type": "AWS::SQS::Queue", "Properties": {"MaximumMessageSize": size}}
        return {"Resources": {"Queue": queue}, "Outputs": {}}

    with pytest.raises(ValueError, match=r"A and B change Queue\.MaximumMessageSize: only one of them can"):
        combine(with_size(1), {"A": with_size(2), "B": with_size(3)})


def test_variant_with_another_type_or_more_resources_is_refused() -> None:
    queue = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}, "Outputs": {}}
    topic = {"Resources": {"Queue": {"Type": "AWS::SNS::Topic"}}, "Outputs": {}}
    with pytest.raises(ValueError, match="A changes Type of Queue: no condition can"):
        combine(queue, {"A": topic})
    with pytest.raises(ValueError, match=r"A has resources that the base does not have: \['Queue'\]"):
        combine({"Resources": {}, "Outputs": {}}, {"A": queue})


def test_cfn_lint_reports_nothing(built: dict[str, Any]) -> None:
    assert reported(template.as_text(built)) == []


@pytest.mark.parametrize(
    "arguments", [{}, {"max_connections": 1, "existing_secret": True, "alarm_topic": True}]
)
def test_cdk_nag_has_no_unsuppressed_finding(arguments: dict[str, Any]) -> None:
    app = new_app()
    TemplateStack(app, **STACK, **arguments)
    assert findings(app) == set()


def test_checkov_has_no_unsuppressed_finding(built: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "S3ToSftp.template.json").write_text(template.as_text(built))
    try:
        interpreter = prepare_checkov()
    except CannotRun as error:
        pytest.skip(f"checkov cannot be installed here: {error}")
    assert scan(interpreter, tmp_path).failed_in("S3ToSftp") == set()
