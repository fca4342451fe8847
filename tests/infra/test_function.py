"""The function: its configuration, its event source mapping and its environment variables."""

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import DeliveryRules, OpenPgp, SftpServer, Source, UnknownOutcome
from s3_to_sftp import configured_by, settings, unknown_outcome
from tests.infra.conftest import Synthesise
from tests.infra.templates import (
    PARTNER_TAGS,
    as_text,
    environment_variables,
    own_properties,
)
from tests.support.infra.keys import ECDSA, ED25519


class TestFunction:
    def test_function_defaults(self, default_template: Template) -> None:
        function = own_properties(default_template, "AWS::Lambda::Function")
        expected = {
            "Runtime": "python3.13",
            "Architectures": ["x86_64"],
            "Handler": "s3_to_sftp.handler.lambda_handler",
            "Timeout": 900,
            "MemorySize": 512,
        }
        assert {name: function.get(name) for name in expected} == expected

    def test_function_is_not_traced_by_default(self, default_template: Template) -> None:
        assert "TracingConfig" not in own_properties(default_template, "AWS::Lambda::Function")

    def test_function_logs_json_to_its_own_log_group(self, default_template: Template) -> None:
        logging = own_properties(default_template, "AWS::Lambda::Function")["LoggingConfig"]
        assert logging["LogFormat"] == "JSON"
        assert as_text(logging["LogGroup"]) == "DeliveryLog"
        assert own_properties(default_template, "AWS::Logs::LogGroup") == {
            "RetentionInDays": 90,
            "Tags": PARTNER_TAGS,
        }

    def test_memory_timeout_architecture_and_log_retention_are_arguments(
        self, synthesise: Synthesise
    ) -> None:
        template = synthesise(
            memory_size=1769,
            timeout=cdk.Duration.minutes(30),
            architecture=lambda_.Architecture.ARM_64,
            log_retention=logs.RetentionDays.ONE_YEAR,
        )
        function = own_properties(template, "AWS::Lambda::Function")
        assert (function["MemorySize"], function["Timeout"]) == (1769, 1800)
        assert function["Architectures"] == ["arm64"]
        assert own_properties(template, "AWS::Logs::LogGroup") == {
            "RetentionInDays": 365,
            "Tags": PARTNER_TAGS,
        }

    def test_each_architecture_has_its_own_bundle(
        self, default_template: Template, synthesise: Synthesise
    ) -> None:
        arm = synthesise(architecture=lambda_.Architecture.ARM_64)
        codes = [own_properties(each, "AWS::Lambda::Function")["Code"] for each in (arm, default_template)]
        assert codes[0] != codes[1]

    def test_event_source_mapping_reads_batches_and_reports_item_failures(
        self, default_template: Template
    ) -> None:
        mapping = own_properties(default_template, "AWS::Lambda::EventSourceMapping")
        assert mapping["BatchSize"] == 10
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert as_text(mapping["EventSourceArn"]) == "DeliveryQueue"

    @pytest.mark.parametrize(("allowed", "of_each"), [(2, "1"), (3, "1"), (4, "2"), (17, "8"), (128, "64")])
    def test_connection_limit_is_split_between_two_concurrent_invocations(
        self, allowed: int, of_each: str, synthesise: Synthesise
    ) -> None:
        template = synthesise(max_connections=allowed)
        mapping = own_properties(template, "AWS::Lambda::EventSourceMapping")
        assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}
        variables = own_properties(template, "AWS::Lambda::Function")["Environment"]["Variables"]
        assert variables["SSH_MAX_CONNECTIONS"] == of_each
        assert "ReservedConcurrentExecutions" not in own_properties(template, "AWS::Lambda::Function")

    def test_one_connection_reserves_one_concurrent_execution(self, synthesise: Synthesise) -> None:
        template = synthesise(max_connections=1)
        assert own_properties(template, "AWS::Lambda::Function")["ReservedConcurrentExecutions"] == 1
        assert "ScalingConfig" not in own_properties(template, "AWS::Lambda::EventSourceMapping")

    def test_recursive_loop_detection_is_off(self, default_template: Template) -> None:
        assert own_properties(default_template, "AWS::Lambda::Function")["RecursiveLoop"] == "Allow"


SIGNING_KEY = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:signing-AbCdEf"


def as_deployed(written: dict[str, Any]) -> dict[str, str]:
    """The variables, with the name of each in place of a value that only a deployment knows."""
    texts = {name: value if isinstance(value, str) else name for name, value in written.items()}
    return {**texts, "SSH_SOURCES": '[{"bucket": "b"}]'}


class TestEnvironment:
    def test_variable_names_equal_those_of_the_settings(
        self, stack: cdk.Stack, synthesise: Synthesise
    ) -> None:
        everything = SftpServer(
            "sftp.partner.example",
            port=2222,
            directory="/inbox",
            host_keys=[ED25519],
            ciphers=["aes256-ctr"],
            connect_timeout=cdk.Duration.seconds(5),
            reply_timeout=cdk.Duration.minutes(5),
            unknown_outcome=UnknownOutcome.RESEND,
            rules=DeliveryRules(name="{name}", transforms=[OpenPgp(sign_with=SIGNING_KEY)]),
        )
        source = Source(s3.Bucket(stack, "Theirs"), directory="/theirs")
        written = environment_variables(
            synthesise(server=everything, sha256=True, sources=[source], keep_connection=False)
        )
        read = settings.VARIABLES | {configured_by.VARIABLE}
        assert set(written) == read - settings.PLAIN_LAMBDA_ONLY
        assert written[configured_by.VARIABLE] == configured_by.CONSTRUCT

    def test_settings_parse_the_variables(self, synthesise: Synthesise) -> None:
        partner = SftpServer(
            "sftp.partner.example", port=2222, directory="/inbox", host_keys=[ED25519, ECDSA]
        )
        written = environment_variables(synthesise(server=partner))
        deployed = as_deployed(written)
        read = settings.Settings.from_environment(deployed)
        assert (read.server.host, read.server.port) == ("sftp.partner.example", 2222)
        assert read.server.host_keys == (ED25519, ECDSA)
        assert read.directory == "/inbox"
        assert (read.retry_for, read.receipts_for) == (24 * 3600, 400 * 24 * 3600)
        assert (read.ledger_table, read.queue_url) == ("LEDGER_TABLE", "QUEUE_URL")

    def test_omitted_arguments_set_no_variable(self, default_template: Template) -> None:
        assert set(environment_variables(default_template)) == {
            "SSH_HOST",
            "SSH_PORT",
            "SSH_HOST_KEY",
            "SSH_SECRET_ARN",
            "SSH_SOURCES",
            "SSH_MAX_CONNECTIONS",
            "LEDGER_TABLE",
            "QUEUE_URL",
            "DEAD_LETTER_QUEUE_URL",
            "CONFIGURED_BY",
            "EVENT_BUS",
            "RETRY_FOR_SECONDS",
            "RECEIPTS_FOR_SECONDS",
        }

    def test_variables_refer_to_the_resources_of_the_construct(self, default_template: Template) -> None:
        written = environment_variables(default_template)
        assert as_text(written["LEDGER_TABLE"]) == "DeliveryLedger"
        assert as_text(written["QUEUE_URL"]) == "DeliveryQueue"
        assert as_text(written["DEAD_LETTER_QUEUE_URL"]) == "DeliveryDeadLetterQueue"

    def test_durations_are_in_seconds(self, synthesise: Synthesise) -> None:
        written = environment_variables(
            synthesise(retry_for=cdk.Duration.minutes(90), receipts_for=cdk.Duration.days(32))
        )
        assert (written["RETRY_FOR_SECONDS"], written["RECEIPTS_FOR_SECONDS"]) == ("5400", "2764800")

    def test_settings_accept_the_longest_retry_with_the_shortest_receipt_retention(
        self, synthesise: Synthesise
    ) -> None:
        written = environment_variables(
            synthesise(retry_for=cdk.Duration.hours(72), receipts_for=cdk.Duration.days(32))
        )
        deployed = as_deployed(written)
        assert settings.Settings.from_environment(deployed).receipts_for == 32 * 86_400

    @pytest.mark.parametrize(
        ("arguments", "variable"),
        [
            ({}, None),
            ({"max_connections": 1}, "false"),
            ({"max_connections": 1, "keep_connection": True}, None),
            ({"keep_connection": False}, "false"),
        ],
    )
    def test_connection_is_kept_unless_only_one_is_allowed(
        self, synthesise: Synthesise, arguments: dict[str, Any], variable: str | None
    ) -> None:
        assert environment_variables(synthesise(**arguments)).get("SSH_KEEP_CONNECTION") == variable

    @pytest.mark.parametrize("outcome", list(UnknownOutcome))
    def test_unknown_outcome_has_the_value_of_the_settings(
        self, synthesise: Synthesise, outcome: UnknownOutcome
    ) -> None:
        partner = SftpServer("sftp.partner.example", host_keys=[ED25519], unknown_outcome=outcome)
        written = environment_variables(synthesise(server=partner)).get("UNKNOWN_OUTCOME", "hold")
        assert written == unknown_outcome.UnknownOutcome(outcome.value)

    def test_sha256_sets_its_variable(self, synthesise: Synthesise) -> None:
        assert environment_variables(synthesise(sha256=True))["SSH_SHA256"] == "true"

    def test_host_and_port_can_be_tokens(self, stack: cdk.Stack, synthesise: Synthesise) -> None:
        host = cdk.CfnParameter(stack, "Host").value_as_string
        port: Any = cdk.CfnParameter(stack, "Port", type="Number").value_as_number
        template = synthesise(server=SftpServer(host, port=port, host_keys=[ED25519]))
        written = own_properties(template, "AWS::Lambda::Function")["Environment"]["Variables"]
        assert written["SSH_HOST"] == {"Ref": "Host"}
        assert written["SSH_PORT"] == {"Ref": "Port"}
