"""Alarms and dashboard: built on what the function really says, and raised when they should be."""

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
from cfnlint import api as cfnlint  # type: ignore[import-untyped]  # it ships no types
from constructs import Construct

from cdk_s3_to_sftp.alarm_thresholds import Alarms
from cdk_s3_to_sftp.arguments import InvalidArgument
from cdk_s3_to_sftp.metrics import DeliveryMetrics
from cdk_s3_to_sftp.monitoring import Monitoring
from s3_to_sftp.errors import AlreadyGone, ConnectionLost, ObjectGone, Superseded
from s3_to_sftp.state.hold import LONGEST_WAIT
from tests.infra.conftest import load_script, new_app
from tests.support.function_environment import HOUR, batch, emitted, installed
from tests.support.infra.rule_packs import findings

DOCS = Path(__file__).parents[2] / "docs"


class Delivery(DeliveryMetrics, Construct):
    """What `S3ToSftp` shows of itself."""

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
    """The template of a stack with a delivery that is watched by these arguments."""

    def template(*, function: dict[str, Any] | None = None, **arguments: Any) -> Template:
        delivery = Delivery(stack, **(function or {}))
        Monitoring(delivery, "Monitoring", delivery=delivery, partner="sftp.partner.example", **arguments)
        return Template.from_stack(stack)

    return template


def alarms_in(template: Template) -> dict[str, dict[str, Any]]:
    """Properties of the alarms by the id that they have in the construct."""
    return {
        name.removeprefix("DeliveryMonitoring")[:-8]: alarm["Properties"]
        for name, alarm in template.find_resources("AWS::CloudWatch::Alarm").items()
    }


def drawing() -> ModuleType:
    return load_script(DOCS / "draw_dashboard.py")


def dashboard_in(template: Template) -> list[dict[str, Any]]:
    widgets: list[dict[str, Any]] = drawing().dashboard_body(template.to_json())["widgets"]
    return widgets


# --- what the function says ---


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines of metrics of invocations in which everything happens that is counted."""
    env = installed(monkeypatch)
    env.outcomes = {
        "b": ConnectionLost("cut.", hint="wait."),
        "c": Superseded("newer.", hint="nothing."),
        "d": ObjectGone("gone.", hint="put it again."),
        "e": AlreadyGone("gone.", hint="put it again."),
    }
    busy = emitted(capsys, batch("a", "b", "c", "d", "e", age=HOUR))
    env.breaker.is_open = True
    env.pause.keys = {"b"}
    return [busy, emitted(capsys, batch("a", "b"))]


def counted(said: list[dict[str, Any]]) -> set[str]:
    groups = [line["_aws"]["CloudWatchMetrics"][0] for line in said]
    assert {group["Namespace"] for group in groups} == {"S3ToSftp"}
    return {metric["Name"] for group in groups for metric in group["Metrics"]}


def shown_metrics(widgets: list[dict[str, Any]]) -> list[list[Any]]:
    """Namespace, name and dimensions of the function's own metrics on the dashboard."""
    return [
        metric[:-1]
        for widget in widgets
        if widget["type"] == "metric"
        for metric in widget["properties"]["metrics"]
        if metric[0] == "S3ToSftp"
    ]


def test_dashboard_shows_what_the_function_counts_and_nothing_else(
    watch: Watch, said: list[dict[str, Any]]
) -> None:
    shown = {metric[1] for metric in shown_metrics(dashboard_in(watch()))}
    assert shown == counted(said)


def test_alarms_watch_what_the_function_counts(watch: Watch, said: list[dict[str, Any]]) -> None:
    text = json.dumps(alarms_in(watch()))
    of_ours = re.findall(r'"MetricName": "(\w+)", "Namespace": "S3ToSftp"', text)
    assert sorted(of_ours) == ["CircuitBreakerOpen", "PausedSeconds", "WaitingSeconds"]
    assert set(of_ours) <= counted(said)


def test_metrics_have_the_dimensions_under_which_the_function_counts(
    watch: Watch, said: list[dict[str, Any]]
) -> None:
    (dimensions,) = said[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
    template = watch()
    (function,) = template.find_resources("AWS::Lambda::Function")
    values = {**{name: said[0][name] for name in dimensions}, "function_name": f"<{function}>"}
    for metric in shown_metrics(dashboard_in(template)):
        assert dict(zip(metric[2::2], metric[3::2], strict=True)) == values


def test_queries_ask_for_what_the_log_has(
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
    """The fields of the log that a query names."""
    made = set(re.findall(r" as (\w+)", query))
    text = re.sub(r"SOURCE '[^']*'|'[^']*'|@\w+|\d+", "", query)
    return set(re.findall(r"\w+", text)) - made - (KEYWORDS - {"level"})


# --- alarms ---


def test_there_is_an_alarm_for_everything_that_needs_a_person(watch: Watch) -> None:
    assert set(alarms_in(watch())) == {
        "DeadLettered",
        "Backlog",
        "Retrying",
        "CircuitBreakerOpen",
        "PausedTooLong",
        "Errors",
        "Throttles",
    }


def test_first_message_in_the_dead_letter_queue_is_told(watch: Watch) -> None:
    alarm = alarms_in(watch())["DeadLettered"]
    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0].startswith("DeliveryDeadLetterQueue")
    assert (alarm["Statistic"], alarm["Threshold"], alarm["EvaluationPeriods"]) == ("Maximum", 1, 1)


def test_age_is_watched_of_messages_that_sqs_leaves_out_too(watch: Watch) -> None:
    alarms = alarms_in(watch())
    watched = [(alarms[name]["MetricName"], alarms[name]["Statistic"]) for name in ("Backlog", "Retrying")]
    assert watched == [("ApproximateAgeOfOldestMessage", "Maximum"), ("WaitingSeconds", "Maximum")]
    assert {alarms[name]["Threshold"] for name in ("Backlog", "Retrying")} == {HOUR}


def test_alarm_of_retrying_lasts_from_one_try_to_the_next(watch: Watch) -> None:
    alarm = alarms_in(watch())["Retrying"]
    longest_wait_between_tries = 900
    assert alarm["DatapointsToAlarm"] == 1
    assert alarm["Period"] * (alarm["EvaluationPeriods"] - 1) >= longest_wait_between_tries


def test_alarms_are_of_one_metric_each(watch: Watch) -> None:
    """An expression costs as much as its metrics, and says less about what is wrong."""
    assert [name for name, alarm in alarms_in(watch()).items() if "Metrics" in alarm] == []


def test_breaker_stays_open_while_nobody_asks_and_is_closed_by_one_delivery(watch: Watch) -> None:
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
        (Alarms(errors=5), "Errors", {"Threshold": 5}),
        (Alarms(throttles=100), "Throttles", {"Threshold": 100}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_threshold_is_an_argument(alarms: Alarms, name: str, expected: dict[str, Any], watch: Watch) -> None:
    assert alarms_in(watch(alarms=alarms))[name].items() >= expected.items()


def test_forgotten_pause_is_told_after_half_a_day_with_the_command_that_ends_it(watch: Watch) -> None:
    alarm = alarms_in(watch())["PausedTooLong"]
    assert (alarm["MetricName"], alarm["Statistic"], alarm["Threshold"]) == (
        "PausedSeconds",
        "Maximum",
        12 * HOUR,
    )
    assert alarm["TreatMissingData"] == "notBreaching"
    assert "s3-to-sftp resume" in json.dumps(alarm["AlarmDescription"])


def test_alarm_of_a_pause_lasts_from_one_look_of_an_object_to_the_next(watch: Watch) -> None:
    longest_wait = LONGEST_WAIT * 1.2
    assert alarms_in(watch())["PausedTooLong"]["Period"] > 2 * longest_wait


def test_how_long_the_breaker_may_be_open_is_an_argument(watch: Watch) -> None:
    alarm = alarms_in(watch(alarms=Alarms(breaker_open_for=cdk.Duration.hours(2))))["CircuitBreakerOpen"]
    assert alarm["Period"] == 2 * HOUR


def test_alarm_that_nobody_wants_is_not_made(watch: Watch) -> None:
    none = Alarms(**dict.fromkeys(field.name for field in dataclasses.fields(Alarms)))
    template = watch(alarms=none)
    assert alarms_in(template) == {}
    assert "alarm" not in {widget["type"] for widget in dashboard_in(template)}


def test_function_that_is_held_to_one_at_a_time_has_no_alarm_for_being_throttled(watch: Watch) -> None:
    assert "Throttles" not in alarms_in(watch(function={"reserved_concurrent_executions": 1}))


def test_topic_is_told_when_an_alarm_is_raised_and_when_it_is_over(stack: cdk.Stack, watch: Watch) -> None:
    template = watch(alarm_topic=sns.Topic(stack, "OnCall"))
    (topic,) = template.find_resources("AWS::SNS::Topic")
    for alarm in alarms_in(template).values():
        assert (alarm["AlarmActions"], alarm["OKActions"]) == ([{"Ref": topic}], [{"Ref": topic}])


def test_without_a_topic_alarms_are_made_and_tell_nobody(watch: Watch) -> None:
    for alarm in alarms_in(watch()).values():
        assert "AlarmActions" not in alarm


def test_every_alarm_names_the_partner_and_says_what_to_do(watch: Watch) -> None:
    for alarm in alarms_in(watch()).values():
        text = json.dumps(alarm["AlarmDescription"])
        assert "sftp.partner.example" in text
        assert "{partner}" not in text
        assert len(text) < 1024


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
def test_wrong_threshold_is_told_in_a_sentence(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        Alarms(**arguments)
    assert str(error.value) == sentence


def test_tokens_pass_unchecked(stack: cdk.Stack, watch: Watch) -> None:
    number = int(cdk.CfnParameter(stack, "Number", type="Number").value_as_number)
    alarms = alarms_in(
        watch(alarms=Alarms(dead_lettered=number, oldest_waiting=cdk.Duration.seconds(number)))
    )
    assert alarms["DeadLettered"]["Threshold"] == alarms["Backlog"]["Threshold"] == {"Ref": "Number"}


# --- metrics ---


def test_metric_takes_what_every_metric_takes(stack: cdk.Stack) -> None:
    metric = Delivery(stack).metric_duration(statistic="p99", period=cdk.Duration.hours(1), label="slow")
    assert (metric.statistic, metric.period.to_seconds(), metric.label) == ("p99", HOUR, "slow")


def test_one_graph_can_show_several_partners(stack: cdk.Stack) -> None:
    partners = [Delivery(stack, name) for name in ("Acme", "Bank")]
    waiting = [partner.metric_oldest_waiting(label=partner.node.id) for partner in partners]
    cloudwatch.Dashboard(stack, "All", widgets=[[cloudwatch.GraphWidget(left=waiting)]])
    Template.from_stack(stack)


# --- the dashboard ---


def test_no_dashboard_where_none_is_wanted(watch: Watch) -> None:
    watch(dashboard=False).resource_count_is("AWS::CloudWatch::Dashboard", 0)


def test_dashboard_has_its_widgets_in_order(watch: Watch) -> None:
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


def test_every_row_of_the_dashboard_is_full(watch: Watch) -> None:
    widths: dict[int, int] = {}
    for widget in dashboard_in(watch()):
        widths[widget["y"]] = widths.get(widget["y"], 0) + widget["width"]
    assert set(widths.values()) == {24}


def test_picture_in_the_docs_is_the_one_of_this_dashboard() -> None:
    """After a change that is meant: `python docs/draw_dashboard.py`."""
    drawn = drawing()
    assert drawn.PICTURE.read_text() == drawn.picture()


# --- what others say ---


def test_cdk_nag_finds_nothing_to_explain() -> None:
    without, app = new_app(), new_app()
    Delivery(cdk.Stack(without, "Test"))
    stack = cdk.Stack(app, "Test")
    Monitoring(stack, "Monitoring", delivery=Delivery(stack), partner="sftp.partner.example")
    assert findings(app) <= findings(without)


def test_cfn_lint_has_nothing_to_say(stack: cdk.Stack, watch: Watch) -> None:
    config = cfnlint.ManualArgs(ignore_checks=["W3005", "W2001"], regions=["eu-west-1"])
    assert (
        cfnlint.lint(json.dumps(watch(alarm_topic=sns.Topic(stack, "OnCall")).to_json()), config=config) == []
    )
