"""`enabled=False` pauses deliveries: messages stay in the queue."""

from aws_cdk.assertions import Template

from tests.infra.conftest import REPOSITORY, Synthesise
from tests.infra.templates import own_properties, work_queue_properties


def backlog_description(template: Template) -> str:
    (alarm,) = [
        each["Properties"]
        for name, each in template.find_resources("AWS::CloudWatch::Alarm").items()
        if "Backlog" in name
    ]
    return str(alarm["AlarmDescription"])


def test_enabled_false_disables_the_event_source_mapping(
    synthesise: Synthesise, default_template: Template
) -> None:
    template = synthesise(enabled=False)
    assert own_properties(template, "AWS::Lambda::EventSourceMapping")["Enabled"] is False
    assert work_queue_properties(template) == work_queue_properties(default_template)
    assert "Enabled" not in own_properties(default_template, "AWS::Lambda::EventSourceMapping")


def test_backlog_alarm_says_that_deliveries_are_paused(
    synthesise: Synthesise, default_template: Template
) -> None:
    paused = backlog_description(synthesise(enabled=False))
    assert "paused (enabled=False)" in paused
    assert "more arrives" not in paused
    assert "paused" not in backlog_description(default_template)


def test_backlog_alarm_and_guide_name_the_retention_of_the_queue(synthesise: Synthesise) -> None:
    template = synthesise(enabled=False)
    days = work_queue_properties(template)["MessageRetentionPeriod"] // 86_400
    assert f"after {days} days" in backlog_description(template)
    assert f"after {days} days" in (REPOSITORY / "docs" / "guides" / "monitoring.md").read_text()
