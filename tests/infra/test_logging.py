"""The log group, created or existing, and the log level."""

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import InvalidArgument, S3ToSftp, SftpServer
from tests.infra.conftest import Synthesise, new_app
from tests.infra.templates import as_text, own_properties, role_permissions

Level = lambda_.ApplicationLogLevel


class TestLogGroup:
    def test_existing_log_group_is_used(self, stack: cdk.Stack, synthesise: Synthesise) -> None:
        template = synthesise(log_group=logs.LogGroup(stack, "DeliveryTheirs"))
        template.resource_count_is("AWS::Logs::LogGroup", 1)
        logging = own_properties(template, "AWS::Lambda::Function")["LoggingConfig"]
        assert as_text(logging["LogGroup"]) == "DeliveryTheirs"
        assert role_permissions(template)["DeliveryTheirs"] == ["logs:CreateLogStream", "logs:PutLogEvents"]

    def test_existing_log_group_is_an_attribute_without_log_retention(
        self, stack: cdk.Stack, server: SftpServer
    ) -> None:
        existing = logs.LogGroup.from_log_group_name(stack, "Theirs", "their-log")
        delivery = S3ToSftp(stack, "Delivery", server=server, log_group=existing)
        assert delivery.log_group is existing
        assert delivery.log_retention is None
        assert delivery.outputs["LogGroupName"] == "their-log"
        # The resource of an imported log group includes its streams.
        (resource,) = [each for each in role_permissions(Template.from_stack(stack)) if "their-log" in each]
        assert resource.endswith(":log-group:their-log:*")

    def test_log_group_of_another_stack_causes_no_dependency_cycle(self, server: SftpServer) -> None:
        app = new_app()
        existing = logs.LogGroup(cdk.Stack(app, "Theirs"), "Log")
        S3ToSftp(cdk.Stack(app, "Ours"), "Delivery", server=server, log_group=existing)
        assert [each.stack_name for each in app.synth().stacks] == ["Theirs", "Ours"]

    def test_log_retention_with_log_group_is_refused(self, stack: cdk.Stack, synthesise: Synthesise) -> None:
        existing = logs.LogGroup(stack, "Theirs")
        with pytest.raises(InvalidArgument) as caught:
            synthesise(log_group=existing, log_retention=logs.RetentionDays.ONE_WEEK)
        assert str(caught.value) == (
            "log_retention must not be given together with log_group, got both: set the retention of "
            "Test/Theirs itself"
        )

    def test_log_group_of_another_region_is_refused(self, server: SftpServer) -> None:
        # Lambda accepts the name of a log group, not its ARN:
        # https://docs.aws.amazon.com/lambda/latest/api/API_LoggingConfig.html
        stack = cdk.Stack(new_app(), "Test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
        arn = "arn:aws:logs:us-east-1:111111111111:log-group:theirs"
        existing = logs.LogGroup.from_log_group_arn(stack, "Theirs", arn)
        with pytest.raises(InvalidArgument, match=r"^log_group must be in account .* in Region us-east-1"):
            S3ToSftp(stack, "Delivery", server=server, log_group=existing)


class TestLogLevel:
    def test_log_level_is_not_set_by_default(self, default_template: Template) -> None:
        logging = own_properties(default_template, "AWS::Lambda::Function")["LoggingConfig"]
        assert set(logging) == {"LogFormat", "LogGroup"}

    @pytest.mark.parametrize("level", [Level.TRACE, Level.DEBUG, Level.INFO])
    def test_log_level_is_set_on_the_function(self, synthesise: Synthesise, level: Level) -> None:
        logging = own_properties(synthesise(log_level=level), "AWS::Lambda::Function")["LoggingConfig"]
        assert (logging["LogFormat"], logging["ApplicationLogLevel"]) == ("JSON", level.name)

    @pytest.mark.parametrize("level", [Level.WARN, Level.ERROR, Level.FATAL])
    def test_log_level_that_drops_metrics_is_refused(self, synthesise: Synthesise, level: Level) -> None:
        # "If the "level" value field is invalid or missing, Lambda will assign the log output the level
        # INFO":
        # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
        with pytest.raises(InvalidArgument) as caught:
            synthesise(log_level=level)
        assert str(caught.value) == (
            f"log_level must be one of TRACE, DEBUG, INFO, got {level.name}: the metrics are log lines of "
            "level INFO, and without them the alarms Retrying and CircuitBreakerOpen never fire. A short "
            "log_retention keeps the log small"
        )


def test_metric_log_lines_have_no_level(capsys: pytest.CaptureFixture[str]) -> None:
    """This is why higher log levels are refused. If it fails, they can be allowed."""
    from s3_to_sftp.handler import metrics

    metrics.add_metric(name="Delivered", unit="Count", value=1)
    metrics.set_default_dimensions(function_name="test")
    metrics.flush_metrics()
    line: Any = capsys.readouterr().out
    assert '"CloudWatchMetrics"' in line
    assert '"level"' not in line
