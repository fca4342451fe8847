"""Metrics, alarms and dashboard, compared with what the function emits."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Template
from constructs import Construct

from cdk_s3_to_sftp.alarm_thresholds import Alarms
from cdk_s3_to_sftp.arguments import InvalidArgument
from cdk_s3_to_sftp.metrics import DeliveryMetrics
from cdk_s3_to_sftp.monitoring import Monitoring
from s3_to_sftp.errors import ConnectionLost, ObjectGone
from s3_to_sftp.outcomes import AlreadyGone, Filtered, Superseded
from s3_to_sftp.state.hold import LONGEST_WAIT
from tests.infra.conftest import load_script, new_app
from tests.support.function_environment import HOUR, batch, emitted, installed
from tests.support.infra.cfn_lint import IMPLIED_DEPENDENCY, reported
from tests.support.infra.rule_packs import findings

DOCS = Path(__file__).parents[2] / "docs"


class Delivery(DeliveryMetrics, Construct):
    """The attributes of `S3ToSftp` that monitoring uses."""

    def __init__(self, scope: Construct, name: str = "Delivery", **function: Any) -> None:
        super().__init__(scope, name)
        self.queue = sqs.Queue(self, "Queue", enforce_ssl=True)
        self.dead_letter_queue = sqs.Queue(self, "DeadLetterQueue", enforce_ssl=True)
        self.log_group = logs.LogGroup(self, "Log")
        self.function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            code=lambda_.Code.from_inline("-"),
            handler="index.handler",
            log_group=self.log_group,
            **function,
        )


Watch = Callable[..., Template]


@pytest.fixture
def watch(stack: cdk.Stack) -> Watch:
    """Return the template of a stack with a delivery and `Monitoring` with these arguments."""

    def template(*, function: dict[str, Any] | None = None, **arguments: Any) -> Template:
        delivery = Delivery(stack, **(function or {}))
        Monitoring(delivery, "Monitoring", delivery=delivery, partner="sftp.partner.example", **arguments)
        return Template.from_stack(stack)

    return template


def alarms_in(template: Template) -> dict[str, dict[str, Any]]:
    """Map the construct id of each alarm to its properties."""
    return {
        name.removeprefix("DeliveryMonitoring")[:-8]: alarm["Properties"]
        for name, alarm in template.find_resources("AWS::CloudWatch::Alarm").items()
    }


def load_draw_dashboard() -> ModuleType:
    return load_script(DOCS / "draw_dashboard.py")


def dashboard_in(template: Template) -> list[dict[str, Any]]:
    widgets: list[dict[str, Any]] = load_draw_dashboard().dashboard_body(template.to_json())["widgets"]
    return widgets


# --- metrics and log lines of the function ---


@pytest.fixture
def metric_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The metric log lines of invocations in which every counted outcome occurs."""
    env = installed(monkeypatch)
    env.credentials.fallback = "AWSPENDING"
    env.outcomes = {
        "b": ConnectionLost("cut.", hint="wait."),
        "c": Superseded("newer.", hint="nothing."),
        "d": ObjectGone("gone.", hint="put it again."),
        "e": AlreadyGone("gone.", hint="put it again."),
        "f": Filtered("too small.", hint=""),
    }
    busy = emitted(capsys, batch("a", "b", "c", "d", "e", "f", age=HOUR))
    env.breaker.is_open = True
    env.pause.keys = {"b"}
    return [busy, emitted(capsys, batch("a", "b"))]


def metric_names(metric_lines: list[dict[str, Any]]) -> set[str]:
    groups = [line["_aws"]["CloudWatchMetrics"][0] for line in metric_lines]
    assert {group["Namespace"] for group in groups} == {"S3ToSftp"}
    return {metric["Name"] for group in groups for metric in group["Metrics"]}


def shown_metrics(widgets: list[dict[str, Any]]) -> list[list[Any]]:
    """Return namespace, name and dimensions of the function's metrics on the dashboard."""
    return [
        metric[:-1]
        for widget in widgets
        if widget["type"] == "metric"
        for metric in widget["properties"]["metrics"]
        if metric[0] == "S3ToSftp"
    ]


def test_dashboard_shows_exactly_the_metrics_of_the_function(
    watch: Watch, metric_lines: list[dict[str, Any]]
) -> None:
    shown = {metric[1] for metric in shown_metrics(dashboard_in(watch()))}
    assert shown == metric_names(metric_lines)


def test_alarms_use_metrics_that_the_function_emits(watch: Watch, metric_lines: list[dict[str, Any]]) -> None:
    text = json.dumps(alarms_in(watch()))
    of_ours = re.findall(r'"MetricName": "(\w+)", "Namespace": "S3ToSftp"', text)
    assert sorted(of_ours) == ["CircuitBreakerOpen", "LoginFallback", "PausedSeconds", "WaitingSeconds"]
    assert set(of_ours) <= metric_names(metric_lines)


def test_dashboard_metrics_have_the_dimensions_of_the_function(
    watch: Watch, metric_lines: list[dict[str, Any]]
) -> None:
    (dimensions,) = metric_lines[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
    template = watch()
    (function,) = template.find_resources("AWS::Lambda::Function")
    values = {**{name: metric_lines[0][name] for name in dimensions}, "function_name": f"<{function}>"}
    for metric in shown_metrics(dashboard_in(template)):
        assert dict(zip(metric[2::2], metric[3::2], strict=True)) == values


def test_log_queries_use_fields_of_the_log(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    for handler in logging.getLogger("s3-to-sftp").handlers:
        monkeypatch.setattr(handler, "stream", stream)
    env = installed(monkeypatch)
    env.outcomes["b"] = ConnectionLost("cut.", hint="wait.")
    emitted(capsys, batch("a", "b"))
    delivered, failed = (json.loads(line) for line in stream.getvalue().splitlines())
    why, last = (each["properties"]["query"] for each in dashboard_in(watch()) if each["type"] == "log")
    assert {"error", "level", "reason", "hint", "object"} == fields_of(why)
    assert fields_of(why) <= set(failed)
    assert failed["level"] in re.findall("'([A-Z]+)'", why)
    assert {"message", "object", "remote_path", "bytes", "seconds", "checksum"} == fields_of(last)
    assert fields_of(last) <= set(delivered)
    assert f"message = '{delivered['message']}'" in last


KEYWORDS = {"SOURCE", "fields", "filter", "ispresent", "and", "level", "in", "stats", "count", "as", "max"}
KEYWORDS |= {"latest", "by", "sort", "desc", "limit"}


def fields_of(query: str) -> set[str]:
    """Return the log fields that a query uses."""
    aliases = set(re.findall(r" as (\w+)", query))
    text = re.sub(r"SOURCE '[^']*'|'[^']*'|@\w+|\d+", "", query)
    return set(re.findall(r"\w+", text)) - aliases - (KEYWORDS - {"level"})


# --- alarms ---


def test_default_alarms(watch: Watch) -> None:
    assert set(alarms_in(watch())) == {
        "DeadLettered",
        "Backlog",
        "Retrying",
        "CircuitBreakerOpen",
        "PausedTooLong",
        "LoginFallback",
        "Errors",
        "Throttles",
    }


def test_first_dead_lettered_message_raises_the_alarm(watch: Watch) -> None:
    alarm = alarms_in(watch())["DeadLettered"]
    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0].startswith("DeliveryDeadLetterQueue")
    assert (alarm["Statistic"], alarm["Threshold"], alarm["EvaluationPeriods"]) == ("Maximum", 1, 1)


def test_alarms_cover_the_age_of_visible_and_of_retried_messages(watch: Watch) -> None:
    alarms = alarms_in(watch())
    watched = [(alarms[name]["MetricName"], alarms[name]["Statistic"]) for name in ("Backlog", "Retrying")]
    assert watched == [("ApproximateAgeOfOldestMessage", "Maximum"), ("WaitingSeconds", "Maximum")]
    assert {alarms[name]["Threshold"] for name in ("Backlog", "Retrying")} == {HOUR}


def test_retrying_alarm_stays_raised_between_two_tries(watch: Watch) -> None:
    alarm = alarms_in(watch())["Retrying"]
    longest_wait_between_tries = 900
    assert alarm["DatapointsToAlarm"] == 1
    assert alarm["Period"] * (alarm["EvaluationPeriods"] - 1) >= longest_wait_between_tries


def test_alarms_use_no_metric_math(watch: Watch) -> None:
    """An alarm on an expression costs as much as one for each metric, and is less specific."""
    assert [name for name, alarm in alarms_in(watch()).items() if "Metrics" in alarm] == []


def test_circuit_breaker_alarm_keeps_its_state_without_data_and_clears_on_one_success(watch: Watch) -> None:
    alarm = alarms_in(watch())["CircuitBreakerOpen"]
    assert alarm["TreatMissingData"] == "ignore"
    assert alarm["Statistic"] == "Minimum"


@pytest.mark.parametrize(
    ("alarms", "name", "expected"),
    [
        (Alarms(dead_lettered=10), "DeadLettered", {"Threshold": 10}),
        (Alarms(oldest_waiting=cdk.Duration.hours(6)), "Backlog", {"Threshold": 6 * HOUR}),
        (Alarms(oldest_waiting=cdk.Duration.hours(6)), "Retrying", {"Threshold": 6 * HOUR}),
        (Alarms(paused_for=cdk.Duration.days(2)), "PausedTooLong", {"Threshold": 48 * HOUR}),
        (Alarms(login_fallback=3), "LoginFallback", {"Threshold": 3}),
        (Alarms(errors=5), "Errors", {"Threshold": 5}),
        (Alarms(throttles=100), "Throttles", {"Threshold": 100}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_thresholds_are_arguments(alarms: Alarms, name: str, expected: dict[str, Any], watch: Watch) -> None:
    assert alarms_in(watch(alarms=alarms))[name].items() >= expected.items()


def test_pause_of_twelve_hours_raises_an_alarm_that_names_the_command(watch: Watch) -> None:
    alarm = alarms_in(watch())["PausedTooLong"]
    assert (alarm["MetricName"], alarm["Statistic"], alarm["Threshold"]) == (
        "PausedSeconds",
        "Maximum",
        12 * HOUR,
    )
    assert alarm["TreatMissingData"] == "notBreaching"
    assert "s3-to-sftp resume" in json.dumps(alarm["AlarmDescription"])


def test_login_of_another_stage_raises_an_alarm_that_names_both(watch: Watch) -> None:
    alarm = alarms_in(watch())["LoginFallback"]
    assert (alarm["MetricName"], alarm["Statistic"], alarm["Threshold"]) == ("LoginFallback", "Sum", 1)
    assert alarm["TreatMissingData"] == "notBreaching"
    assert "AWSPENDING: finish the rotation" in json.dumps(alarm["AlarmDescription"])


def test_period_of_the_pause_alarm_is_longer_than_two_waits(watch: Watch) -> None:
    longest_wait = LONGEST_WAIT * 1.2
    assert alarms_in(watch())["PausedTooLong"]["Period"] > 2 * longest_wait


def test_breaker_open_for_is_the_period_of_the_alarm(watch: Watch) -> None:
    alarm = alarms_in(watch(alarms=Alarms(breaker_open_for=cdk.Duration.hours(2))))["CircuitBreakerOpen"]
    assert alarm["Period"] == 2 * HOUR


def test_threshold_none_creates_no_alarm(watch: Watch) -> None:
    none = Alarms(**dict.fromkeys(field.name for field in dataclasses.fields(Alarms)))
    template = watch(alarms=none)
    assert alarms_in(template) == {}
    assert "alarm" not in {widget["type"] for widget in dashboard_in(template)}


def test_reserved_concurrency_creates_no_throttles_alarm(watch: Watch) -> None:
    assert "Throttles" not in alarms_in(watch(function={"reserved_concurrent_executions": 1}))


def test_topic_is_notified_of_alarm_and_ok(stack: cdk.Stack, watch: Watch) -> None:
    template = watch(alarm_topic=sns.Topic(stack, "OnCall"))
    (topic,) = template.find_resources("AWS::SNS::Topic")
    alarms = alarms_in(template)
    assert alarms
    for alarm in alarms.values():
        assert (alarm["AlarmActions"], alarm["OKActions"]) == ([{"Ref": topic}], [{"Ref": topic}])


def test_alarms_without_a_topic_have_no_action(watch: Watch) -> None:
    alarms = alarms_in(watch())
    assert alarms
    for alarm in alarms.values():
        assert "AlarmActions" not in alarm


def test_every_alarm_description_names_the_partner_and_fits_the_quota(watch: Watch) -> None:
    alarms = alarms_in(watch())
    assert alarms
    for alarm in alarms.values():
        text = json.dumps(alarm["AlarmDescription"])
        assert "sftp.partner.example" in text
        assert "{partner}" not in text
        assert len(text) < 1024


# What to type at each alarm.
COMMANDS = {
    "DeadLettered": ["status", "redrive --error ERROR"],
    "Backlog": ["status"],
    "Retrying": ["status", "logs", "retry KEY"],
    "CircuitBreakerOpen": ["status"],
    "Errors": ["logs"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_alarm_description_names_the_commands_to_type(name: str, watch: Watch) -> None:
    template = watch()
    (function,) = template.find_resources("AWS::Lambda::Function")
    text = joined(alarms_in(template)[name]["AlarmDescription"])
    assert re.findall("`(s3-to-sftp [^`]*)`", text) == [
        f"s3-to-sftp {command} --name <{function}>" for command in COMMANDS[name]
    ]


def test_dashboard_heading_names_the_commands_to_type(watch: Watch) -> None:
    (heading,) = [each for each in dashboard_in(watch()) if each["type"] == "text"]
    typed = re.findall("`s3-to-sftp ([^`]*) --name <[^`]*>`", heading["properties"]["markdown"])
    assert typed == ["status", "redrive --dry-run"]


def test_every_command_in_a_text_is_documented() -> None:
    page = (DOCS / "reference" / "cli.md").read_text()
    named = {command.split()[0] for commands in COMMANDS.values() for command in commands}
    assert [command for command in sorted(named) if f"`{command}`" not in page] == []


def test_guide_names_the_command_of_each_alarm() -> None:
    page = (DOCS / "guides" / "monitoring.md").read_text()
    for name, commands in COMMANDS.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
        assert [command for command in commands if f"`s3-to-sftp {command}`" not in row] == []


def joined(value: Any) -> str:
    """Return a text of the template, with the logical id of each reference in angle brackets."""
    match value:
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(joined(part) for part in parts)
        case {"Ref": name} | {"Fn::GetAtt": [name, _]}:
            return f"<{name}>"
    return str(value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"dead_lettered": 0}, "dead_lettered must be at least 1, or None for no such alarm, got 0"),
        ({"errors": -1}, "errors must be at least 1, or None for no such alarm, got -1"),
        ({"throttles": 0}, "throttles must be at least 1, or None for no such alarm, got 0"),
        ({"oldest_waiting": cdk.Duration.seconds(9)}, "oldest_waiting must be 300-1209600 seconds, got 9"),
        ({"paused_for": cdk.Duration.seconds(9)}, "paused_for must be 300-1209600 seconds, got 9"),
        ({"breaker_open_for": cdk.Duration.days(2)}, "breaker_open_for must be 60-86400 seconds, got 172800"),
        (
            {"breaker_open_for": cdk.Duration.seconds(90)},
            "breaker_open_for must be whole minutes, got 90 seconds",
        ),
    ],
)
def test_invalid_threshold_is_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        Alarms(**arguments)
    assert str(error.value) == sentence


def test_thresholds_can_be_tokens(stack: cdk.Stack, watch: Watch) -> None:
    number = int(cdk.CfnParameter(stack, "Number", type="Number").value_as_number)
    alarms = alarms_in(
        watch(alarms=Alarms(dead_lettered=number, oldest_waiting=cdk.Duration.seconds(number)))
    )
    assert alarms["DeadLettered"]["Threshold"] == alarms["Backlog"]["Threshold"] == {"Ref": "Number"}


# --- metrics of the construct ---


def test_metric_accepts_statistic_period_and_label(stack: cdk.Stack) -> None:
    metric = Delivery(stack).metric_duration(statistic="p99", period=cdk.Duration.hours(1), label="slow")
    assert (metric.statistic, metric.period.to_seconds(), metric.label) == ("p99", HOUR, "slow")


def test_one_graph_shows_several_partners(stack: cdk.Stack) -> None:
    partners = [Delivery(stack, name) for name in ("Acme", "Bank")]
    waiting = [partner.metric_oldest_waiting(label=partner.node.id) for partner in partners]
    cloudwatch.Dashboard(stack, "All", widgets=[[cloudwatch.GraphWidget(left=waiting)]])
    (graph,) = dashboard_in(Template.from_stack(stack))
    expressions = [metric[0] for metric in graph["properties"]["metrics"] if "expression" in metric[0]]
    assert [each["label"] for each in expressions] == ["Acme", "Bank"]
    assert len({each["expression"] for each in expressions}) == 2


# --- the dashboard ---


def test_dashboard_false_creates_no_dashboard(watch: Watch) -> None:
    watch(dashboard=False).resource_count_is("AWS::CloudWatch::Dashboard", 0)


def test_dashboard_widgets_are_in_order(watch: Watch) -> None:
    questions = [each["properties"].get("title") for each in dashboard_in(watch())]
    assert questions == [
        None,
        "Active alarms",
        "Circuit breaker (1 = open)",
        "Queue",
        "Totals",
        "Deliveries over time",
        "Delivery time and throughput",
        "Failures",
        "Errors by kind: reason and hint",
        "Latest deliveries",
    ]


def test_every_dashboard_row_is_24_columns_wide(watch: Watch) -> None:
    widths: dict[int, int] = {}
    for widget in dashboard_in(watch()):
        widths[widget["y"]] = widths.get(widget["y"], 0) + widget["width"]
    assert set(widths.values()) == {24}


def test_dashboard_picture_in_the_docs_is_current() -> None:
    """After an intended change, run `python docs/draw_dashboard.py`."""
    drawn = load_draw_dashboard()
    assert drawn.PICTURE.read_text() == drawn.picture()


# --- linters ---


def test_monitoring_adds_no_cdk_nag_finding() -> None:
    without, app = new_app(), new_app()
    Delivery(cdk.Stack(without, "Test"))
    stack = cdk.Stack(app, "Test")
    Monitoring(stack, "Monitoring", delivery=Delivery(stack), partner="sftp.partner.example")
    assert findings(app) <= findings(without)


def test_cfn_lint_reports_nothing(stack: cdk.Stack, watch: Watch) -> None:
    built = watch(alarm_topic=sns.Topic(stack, "OnCall"))
    assert reported(json.dumps(built.to_json()), ignored=(IMPLIED_DEPENDENCY, "W2001")) == []
