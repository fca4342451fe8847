"""Every example is a complete app that synthesises without warnings and creates what its page says."""

import json
import runpy
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from tests.infra.conftest import REPOSITORY
from tests.support.infra.cfn_lint import reported

EXAMPLES = REPOSITORY / "examples"

Templates = dict[str, dict[str, Any]]


def synthesised(example: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Templates:
    """Map the name of each stack of the example to its template, without bundling."""
    if example == "one_line_on_a_bucket" and not hasattr(cdk, "Mixins"):
        pytest.skip("this CDK has no mixins, which the example uses")
    real = cdk.App
    settings = json.loads((EXAMPLES / example / "cdk.json").read_text())
    assert settings["app"] == "python3 app.py"
    context = {"aws:cdk:bundling-stacks": [], **settings.get("context", {})}
    monkeypatch.setattr(cdk, "App", lambda: real(context=context, outdir=str(folder)))
    runpy.run_path(str(EXAMPLES / example / "app.py"), run_name="__main__")
    return {
        path.name.partition(".")[0]: json.loads(path.read_text()) for path in folder.glob("*.template.json")
    }


def resources(template: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each for each in template["Resources"].values() if each["Type"] == kind]


def warnings(folder: Path) -> list[str]:
    """Return the warnings and errors of the synth."""
    return [
        entry["data"]
        for path in folder.glob("*.metadata.json")
        for entries in json.loads(path.read_text()).values()
        for entry in entries
        if entry["type"] in {"aws:cdk:warning", "aws:cdk:error"}
    ]


@pytest.mark.parametrize("example", sorted(path.parent.name for path in EXAMPLES.glob("*/app.py")))
def test_every_example_creates_the_function_without_warnings(
    example: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    templates = synthesised(example, monkeypatch, tmp_path)
    functions = [
        each["Properties"]
        for template in templates.values()
        for each in resources(template, "AWS::Lambda::Function")
    ]
    assert "s3_to_sftp.handler.lambda_handler" in {each.get("Handler") for each in functions}
    assert warnings(tmp_path) == []


def test_notifications_of_an_existing_bucket_are_in_the_stack_of_the_delivery(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    templates = synthesised("existing_bucket_in_another_stack", monkeypatch, tmp_path)
    assert set(templates) == {"Shop", "Delivery"}
    owned = {each["Type"] for each in templates["Shop"]["Resources"].values()}
    assert owned == {"AWS::S3::Bucket", "AWS::S3::BucketPolicy"}
    (notifications,) = resources(templates["Delivery"], "Custom::S3BucketNotifications")
    assert notifications["Properties"]["Managed"] is False


def test_many_sources_share_one_function_and_one_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    template = synthesised("many_sources_one_partner", monkeypatch, tmp_path)["Audit"]
    assert len(resources(template, "AWS::S3::Bucket")) == 2
    assert len(resources(template, "AWS::SecretsManager::Secret")) == 1
    assert len(resources(template, "AWS::Lambda::EventSourceMapping")) == 1
    assert (
        sum(
            len(each["Properties"]["NotificationConfiguration"]["QueueConfigurations"])
            for each in resources(template, "Custom::S3BucketNotifications")
        )
        == 3
    )


def test_every_partner_has_its_own_rule(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    templates = synthesised("many_partners_one_bucket", monkeypatch, tmp_path)
    assert set(templates) == {"Lake", "ToBank", "ToInsurer"}
    for name in ("ToBank", "ToInsurer"):
        (rule,) = resources(templates[name], "AWS::Events::Rule")
        assert rule["Properties"]["EventPattern"]["detail"]["object"] == {"key": [{"prefix": "reports/"}]}
    (enabled,) = resources(templates["Lake"], "Custom::S3BucketNotifications")
    assert enabled["Properties"]["NotificationConfiguration"] == {"EventBridgeConfiguration": {}}


def test_customer_managed_key_encrypts_every_resource_with_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    template = synthesised("customer_managed_keys", monkeypatch, tmp_path)["Statements"]
    assert len(resources(template, "AWS::KMS::Key")) == 2
    for kind, named in {
        "AWS::SecretsManager::Secret": "KmsKeyId",
        "AWS::Logs::LogGroup": "KmsKeyId",
        "AWS::SQS::Queue": "KmsMasterKeyId",
        "AWS::DynamoDB::Table": "SSESpecification",
    }.items():
        found = resources(template, kind)
        assert found
        assert all("DeliveryKey" in str(each["Properties"][named]) for each in found), kind


def test_mixin_on_two_buckets_creates_one_delivery(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    template = synthesised("one_line_on_a_bucket", monkeypatch, tmp_path)["Accounting"]
    assert len(resources(template, "AWS::Lambda::EventSourceMapping")) == 1
    assert len(resources(template, "Custom::S3BucketNotifications")) == 2


def test_owner_of_a_bucket_in_another_account_gets_a_template_and_policy_statements(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-account.html"""
    template = synthesised("bucket_in_another_account", monkeypatch, tmp_path)["ToBank"]
    forwarding = json.loads((tmp_path / "forwarding.json").read_text())
    assert reported(json.dumps(forwarding), ignored=()) == []
    (rule,) = resources(forwarding, "AWS::Events::Rule")
    assert rule["Properties"]["EventPattern"]["detail"]["bucket"]["name"] == ["finance-statements"]
    (target,) = rule["Properties"]["Targets"]
    assert ":events:eu-west-1:111122223333:event-bus/default" in json.dumps(target["Arn"])
    (let_in,) = resources(template, "AWS::Events::EventBusPolicy")
    assert "444455556666" in json.dumps(let_in["Properties"]["Statement"]["Principal"])

    printed = template["Outputs"]["BucketPolicyStatements"]["Value"]["Fn::Join"][1]
    role = next(part["Fn::GetAtt"][0] for part in printed if isinstance(part, dict) and "Fn::GetAtt" in part)
    assert template["Resources"][role]["Type"] == "AWS::IAM::Role"
    read, listed = json.loads("".join(part if isinstance(part, str) else "-" for part in printed))
    assert "s3:GetObjectVersion" in read["Action"]
    assert read["Resource"].endswith(":s3:::finance-statements/out/*")
    assert listed["Resource"].endswith(":s3:::finance-statements")


@pytest.mark.parametrize("example", sorted(path.parent.name for path in EXAMPLES.glob("*/app.py")))
def test_every_example_has_a_readme_that_the_index_links(example: str) -> None:
    page = (EXAMPLES / example / "README.md").read_text()
    for heading in ("What it creates.", "What to change.", "Good to know"):
        assert f"**{heading}" in page
    assert f"[{example}]({example}/README.md)" in (EXAMPLES / "README.md").read_text()
