"""What the construct adds for a cut-off and a bandwidth, and that it adds nothing without them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Match, Template

from cdk_s3_to_sftp import DeliveryRules, InvalidArgument, Rate, S3ToSftp, SftpServer, Window
from cdk_s3_to_sftp.alarm_thresholds import Alarms
from cdk_s3_to_sftp.cut_off import EVENT
from s3_to_sftp.rules import cut_off
from tests.support.infra.rule_packs import SERVER

OFFICE = DeliveryRules(windows=[Window("Mon-Fri 06:00-18:00")], max_drops=Rate(1, minutes=15))
DUE = replace(OFFICE, cut_off="17:30")


def synthesised(stack: cdk.Stack, server: SftpServer, **arguments: Any) -> Template:
    S3ToSftp(stack, "Delivery", server=server, **arguments)
    return Template.from_stack(stack)


def missed_alarms(template: Template) -> list[dict[str, Any]]:
    alarms = [each["Properties"] for each in template.find_resources("AWS::CloudWatch::Alarm").values()]
    return [each for each in alarms if each["MetricName"] == "MissedCutOff"]


def queries(template: Template) -> list[Any]:
    statements = [
        statement
        for policy in template.find_resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]
    return [each["Resource"] for each in statements if "dynamodb:Query" in each["Action"]]


def test_event_is_the_function_s() -> None:
    assert EVENT == cut_off.EVENT


def test_rules_without_a_cut_off_add_no_alarm_no_schedule_and_no_permission(stack: cdk.Stack) -> None:
    template = synthesised(stack, replace(SERVER, rules=OFFICE))
    template.resource_count_is("AWS::Events::Rule", 0)
    assert missed_alarms(template) == []
    assert queries(template) == []


def test_cut_off_adds_an_alarm_a_schedule_and_a_permission_on_the_index(stack: cdk.Stack) -> None:
    template = synthesised(stack, replace(SERVER, rules=DUE))
    ((_, rule),) = template.find_resources("AWS::Events::Rule").items()
    assert rule["Properties"]["ScheduleExpression"] == "rate(15 minutes)"
    assert json.loads(rule["Properties"]["Targets"][0]["Input"]) == EVENT
    (alarm,) = missed_alarms(template)
    assert (alarm["Threshold"], alarm["Period"], alarm["Statistic"]) == (1, 900, "Maximum")
    ((resource,),) = ([each] for each in queries(template))
    assert resource["Fn::Join"][1][-1] == "/index/by-status"


def test_cut_off_of_a_later_source_is_watched_too(stack: cdk.Stack) -> None:
    delivery = S3ToSftp(stack, "Delivery", server=SERVER)
    delivery.add_source(s3.Bucket(stack, "More"), prefix="due/", rules=replace(DUE, max_drops=None))
    template = Template.from_stack(stack)
    assert len(missed_alarms(template)) == 1
    template.resource_count_is("AWS::Events::Rule", 1)


def test_alarm_of_the_cut_off_can_be_left_out(stack: cdk.Stack) -> None:
    template = synthesised(stack, replace(SERVER, rules=DUE), alarms=Alarms(missed_cut_off=None))
    assert missed_alarms(template) == []


def test_cut_off_and_canary_go_together(stack: cdk.Stack) -> None:
    synthesised(stack, replace(SERVER, rules=DUE), canary=True).resource_count_is("AWS::Events::Rule", 2)


@pytest.mark.parametrize(("megabytes", "variable"), [(2, "2000000"), (0.1, "100000"), (12.5, "12500000")])
def test_bandwidth_is_a_variable_of_the_function(megabytes: float, variable: str, stack: cdk.Stack) -> None:
    template = synthesised(stack, replace(SERVER, max_megabytes_per_second=megabytes))
    wanted = {"Environment": {"Variables": {"SSH_MAX_BYTES_PER_SECOND": variable}}}
    template.has_resource_properties("AWS::Lambda::Function", Match.object_like(wanted))


def test_no_bandwidth_is_no_variable() -> None:
    assert "SSH_MAX_BYTES_PER_SECOND" not in SERVER.variables()


@pytest.mark.parametrize("megabytes", [0, 0.05, -1, 10_001, float("nan")])
def test_bandwidth_out_of_range_is_refused(megabytes: float) -> None:
    with pytest.raises(InvalidArgument, match=r"max_megabytes_per_second must be 0\.1-10,000"):
        replace(SERVER, max_megabytes_per_second=megabytes)
