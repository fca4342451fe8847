"""docs/architecture.svg shows what templates of the construct have: all of it, and nothing else."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

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
