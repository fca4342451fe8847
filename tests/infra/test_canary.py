"""The schedule of the canary, its alarms, and that neither is there unless it is asked for."""

from __future__ import annotations

import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import S3ToSftp
from cdk_s3_to_sftp.alarm_thresholds import Alarms
from cdk_s3_to_sftp.canary import EVENT
from s3_to_sftp.doctor.request import DoctorRequest, is_doctor_request
from tests.infra.conftest import new_app
from tests.infra.stock_app import Main
from tests.support.function_environment import installed
from tests.support.infra.rule_packs import SERVER, findings, stock
from tests.support.lambda_events import LambdaContext

ALARMS = ("CanaryFailed", "PartnerChanged")


def synthesised(stack: cdk.Stack, **arguments: Any) -> Template:
    S3ToSftp(stack, "Delivery", server=SERVER, **arguments)
    return Template.from_stack(stack)


def canary_alarms(template: Template) -> dict[str, dict[str, Any]]:
    alarms = [each["Properties"] for each in template.find_resources("AWS::CloudWatch::Alarm").values()]
    return {each["MetricName"]: each for each in alarms if each["MetricName"] in ALARMS}


def test_event_asks_for_a_canary() -> None:
    assert is_doctor_request(EVENT)
    assert DoctorRequest.from_event(EVENT) == DoctorRequest(canary=True)


def test_there_is_none_by_default(stack: cdk.Stack) -> None:
    template = synthesised(stack)
    template.resource_count_is("AWS::Events::Rule", 0)
    template.resource_count_is("AWS::Lambda::EventInvokeConfig", 0)
    assert canary_alarms(template) == {}


def test_rule_invokes_the_function_once_a_day(stack: cdk.Stack) -> None:
    template = synthesised(stack, canary=True)
    ((name, rule),) = template.find_resources("AWS::Events::Rule").items()
    (function,) = (
        key
        for key, each in template.find_resources("AWS::Lambda::Function").items()
        if each["Properties"]["Handler"].startswith("s3_to_sftp.")
    )
    (target,) = rule["Properties"]["Targets"]
    assert rule["Properties"]["ScheduleExpression"] == "rate(1 day)"
    assert target["Arn"] == {"Fn::GetAtt": [function, "Arn"]}
    assert json.loads(target["Input"]) == EVENT
    permissions = [
        each["Properties"]
        for each in template.find_resources("AWS::Lambda::Permission").values()
        if each["Properties"]["Principal"] == "events.amazonaws.com"
    ]
    assert permissions == [
        {
            "Action": "lambda:InvokeFunction",
            "FunctionName": {"Fn::GetAtt": [function, "Arn"]},
            "Principal": "events.amazonaws.com",
            "SourceArn": {"Fn::GetAtt": [name, "Arn"]},
        }
    ]


def test_failed_examination_is_not_repeated(stack: cdk.Stack) -> None:
    template = synthesised(stack, canary=True)
    (config,) = template.find_resources("AWS::Lambda::EventInvokeConfig").values()
    assert config["Properties"]["MaximumRetryAttempts"] == 0
    assert "DestinationConfig" not in config["Properties"]


def test_alarms_stay_as_they_are_until_the_next_examination(stack: cdk.Stack) -> None:
    alarms = canary_alarms(synthesised(stack, canary=True))
    assert set(alarms) == set(ALARMS)
    for alarm in alarms.values():
        assert (alarm["Namespace"], alarm["Statistic"], alarm["Threshold"]) == ("S3ToSftp", "Maximum", 1)
        assert (alarm["TreatMissingData"], alarm["EvaluationPeriods"]) == ("ignore", 1)
        text = json.dumps(alarm["AlarmDescription"])
        assert "sftp.partner.example" in text
        assert "`s3-to-sftp " in text
        assert len(text) < 1024


def test_alarms_can_be_left_out(stack: cdk.Stack) -> None:
    none = Alarms(canary_failed=None, partner_changed=None)
    assert canary_alarms(synthesised(stack, canary=True, alarms=none)) == {}


def test_alarms_use_metrics_that_the_function_emits(
    stack: cdk.Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from s3_to_sftp import handler

    installed(monkeypatch)
    monkeypatch.delenv("SSH_HOST", raising=False)
    handler.lambda_handler(EVENT, LambdaContext(function_name="acme"))
    (line,) = [json.loads(text) for text in capsys.readouterr().out.splitlines() if '"_aws"' in text]
    (group,) = line["_aws"]["CloudWatchMetrics"]
    assert {metric["Name"] for metric in group["Metrics"]} == set(ALARMS)
    for alarm in canary_alarms(synthesised(stack, canary=True)).values():
        assert sorted(each["Name"] for each in alarm["Dimensions"]) == sorted(group["Dimensions"][0])


@pytest.mark.parametrize("max_connections", [1, 2])
def test_rule_packs_find_nothing_more(max_connections: int) -> None:
    app = new_app()
    stock(app, canary=True, max_connections=max_connections)
    assert findings(app) == set()


@pytest.mark.parametrize(("written", "rules"), [("", 0), ("canary = false", 0), ("canary = true", 1)])
def test_partner_file_turns_it_on(main: Main, written: str, rules: int) -> None:
    template = main(f'ssh_host = "sftp.partner.example"\nssh_host_key = "{SERVER.host_keys[0]}"\n{written}')
    found = [each for each in template["Resources"].values() if each["Type"] == "AWS::Events::Rule"]
    assert len(found) == rules
