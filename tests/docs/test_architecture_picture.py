"""docs/architecture.svg shows what templates of the construct have: all of it, and nothing else."""

import ast
import copy
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from cdk_s3_to_sftp import S3ToSftp
from docs import draw_architecture as drawn
from docs.architecture_model import NOT_DRAWN, Unknown, model_of

SNAPSHOT = Path(__file__).parents[1] / "infra" / "snapshot.json"


@pytest.fixture(scope="module")
def default() -> dict[str, Any]:
    return drawn.default_template()


@pytest.fixture(scope="module")
def full() -> dict[str, Any]:
    return drawn.full_template()


def test_architecture_picture_in_the_docs_is_current(default: dict[str, Any], full: dict[str, Any]) -> None:
    assert drawn.PICTURE.read_text() == drawn.draw(model_of(default), model_of(full)), (
        "run python -m docs.draw_architecture"
    )


def test_defaults_and_stock_stack_have_the_same_parts(default: dict[str, Any]) -> None:
    stock, bare = model_of(json.loads(SNAPSHOT.read_text())), model_of(default)
    assert stock.counts == bare.counts
    assert stock.edges == bare.edges


def changed(template: dict[str, Any], **resources: Any) -> dict[str, Any]:
    """The template with more resources, or with other ones under their names."""
    other = copy.deepcopy(template)
    other["Resources"].update(resources)
    return other


def test_resource_of_an_unknown_type_is_noticed(full: dict[str, Any]) -> None:
    template = changed(full, Extra={"Type": "AWS::Kinesis::Stream", "Properties": {}})
    with pytest.raises(Unknown, match=r"Extra is of type AWS::Kinesis::Stream: give it a kind"):
        model_of(template)


@pytest.mark.parametrize("kind", ["AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::SecretsManager::Secret"])
def test_second_resource_of_a_kind_is_noticed(
    default: dict[str, Any], full: dict[str, Any], kind: str
) -> None:
    template = changed(default, Extra={"Type": kind, "Properties": {}})
    with pytest.raises(Unknown, match="One box stands for several"):
        drawn.draw(model_of(template), model_of(full))


def test_defaults_have_one_of_each(default: dict[str, Any]) -> None:
    counts = model_of(default).counts
    assert {kind for kind, count in counts.items() if count != 1} == {"alarms"}


def test_second_optional_resource_of_a_kind_is_noticed(default: dict[str, Any], full: dict[str, Any]) -> None:
    template = changed(full, Extra={"Type": "AWS::SNS::Topic", "Properties": {}})
    with pytest.raises(Unknown, match=r"One box stands for several: \{'topic': 2\}"):
        drawn.draw(model_of(default), model_of(template))


def test_second_function_of_ours_is_noticed(full: dict[str, Any]) -> None:
    template = changed(full, ToPartnerSweeper={"Type": "AWS::Lambda::Function", "Properties": {}})
    with pytest.raises(Unknown, match=r"ToPartnerSweeper is of type AWS::Lambda::Function"):
        model_of(template)


MAKES_NOTHING_ELSE = {
    *("server", "bucket", "prefix", "suffix", "trigger", "sources", "keep_versions_for"),
    *("credentials", "ledger", "dead_letter_queue", "role", "log_group"),  # in place of what is made
    *("max_connections", "keep_connection", "retry_for", "receipts_for", "sha256", "memory_size", "timeout"),
    *("architecture", "runtime", "enabled", "tracing", "log_retention", "log_level", "removal_policy"),
    *("alarms", "dashboard", "bundling", "code", "outputs"),
}
"""Arguments that add nothing to the picture beyond the defaults."""


def test_every_argument_that_makes_more_is_in_the_full_template() -> None:
    (call,) = (
        node
        for node in ast.walk(ast.parse(inspect.getsource(drawn.full_template)))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "S3ToSftp"
    )
    given = {keyword.arg for keyword in call.keywords} - {"server"}
    arguments = inspect.signature(S3ToSftp.__init__).parameters.keys() - {"self", "scope", "id"}
    assert arguments - given == MAKES_NOTHING_ELSE, (
        "What does the new argument make? Draw it, or list it here."
    )


def test_new_flow_is_noticed(default: dict[str, Any], full: dict[str, Any]) -> None:
    (role,) = (name for name in full["Resources"] if re.fullmatch(r"ToPartnerRole[0-9A-F]{8}", name))
    (topic,) = (name for name, each in full["Resources"].items() if each["Type"] == "AWS::SNS::Topic")
    statement = {"Effect": "Allow", "Action": "sns:Publish", "Resource": {"Ref": topic}}
    policy = {"Roles": [{"Ref": role}], "PolicyDocument": {"Statement": [statement]}}
    template = changed(full, More={"Type": "AWS::IAM::Policy", "Properties": policy})
    with pytest.raises(Unknown, match=r"lacks edges of the template: \[\('function', 'topic'\)\]"):
        drawn.draw(model_of(default), model_of(template))


@pytest.mark.parametrize("kind", ["AWS::DynamoDB::Table", "AWS::Events::Rule", "AWS::CloudWatch::Dashboard"])
def test_removed_resource_is_noticed(default: dict[str, Any], full: dict[str, Any], kind: str) -> None:
    template = copy.deepcopy(full)
    for name in [name for name, each in full["Resources"].items() if each["Type"] == kind]:
        del template["Resources"][name]
    with pytest.raises(Unknown, match="that no template has"):
        drawn.draw(model_of(default), model_of(template))


def test_new_default_is_no_longer_drawn_as_optional(default: dict[str, Any], full: dict[str, Any]) -> None:
    before = drawn.draw(model_of(default), model_of(full))
    after = drawn.draw(model_of(full), model_of(full))
    assert before.count("optional") > after.count("optional")


def test_everything_that_is_not_drawn_is_in_a_template(full: dict[str, Any]) -> None:
    types = {each["Type"] for each in full["Resources"].values()}
    assert NOT_DRAWN.keys() <= types


def test_words_stay_in_their_boxes() -> None:
    """Letters of wide fonts take 9 units in a title, and 6.6 in a detail."""
    for place in drawn.PLACES.values():
        assert len(place.title) * 9 <= place.width + 4, place.title
        for detail in place.details:
            assert len(detail) * 6.6 <= place.width, detail
