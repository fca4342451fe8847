"""`tracing`: X-Ray mode and permissions."""

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import S3ToSftp, SftpServer
from tests.infra.conftest import Synthesise
from tests.infra.templates import own_properties, own_resources, role_permissions

TRACES = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
"""https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html"""


@pytest.mark.parametrize(
    ("tracing", "mode"),
    [(lambda_.Tracing.ACTIVE, "Active"), (lambda_.Tracing.PASS_THROUGH, "PassThrough")],
)
def test_tracing_sets_the_mode_and_adds_only_xray_permissions(
    synthesise: Synthesise, default_template: Template, tracing: lambda_.Tracing, mode: str
) -> None:
    template = synthesise(tracing=tracing)
    assert own_properties(template, "AWS::Lambda::Function")["TracingConfig"] == {"Mode": mode}
    assert role_permissions(template) == {**role_permissions(default_template), "*": TRACES}


def test_function_depends_on_the_tracing_permissions(synthesise: Synthesise) -> None:
    (function,) = own_resources(synthesise(tracing=lambda_.Tracing.ACTIVE), "AWS::Lambda::Function")
    assert any(each.startswith("DeliveryTracing") for each in function["DependsOn"])


def test_tracing_disabled_gives_the_default_template(
    synthesise: Synthesise, default_template: Template
) -> None:
    assert synthesise(tracing=lambda_.Tracing.DISABLED).to_json() == default_template.to_json()


def test_policy_statements_of_an_immutable_role_include_xray(stack: cdk.Stack, server: SftpServer) -> None:
    role = iam.Role.from_role_arn(stack, "Theirs", "arn:aws:iam::111111111111:role/theirs", mutable=False)
    delivery = S3ToSftp(stack, "Delivery", server=server, role=role, tracing=lambda_.Tracing.ACTIVE)
    statements = [each.to_statement_json() for each in delivery.role_policy_statements]
    assert [each["Resource"] for each in statements if each["Action"] == TRACES] == ["*"]
    assert "xray" not in str(own_resources(Template.from_stack(stack), "AWS::IAM::Policy"))
