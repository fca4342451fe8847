"""Each wrong value of `AfterDelivery` has its sentence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from s3_to_sftp.rules.after_delivery import AfterDelivery
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.document import RulesDocument
from s3_to_sftp.rules.explanation import steps_of
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.plan import PlannedObject, plan
from s3_to_sftp.rules.plan_facts import PlanFacts

TAG, MOVE = AfterDelivery.tag, AfterDelivery.move
WRONG: list[tuple[Callable[[], AfterDelivery], str]] = [
    (lambda: TAG({}), "after_delivery.tags must be 1-10, which is what S3 allows of one object, got 0"),
    (lambda: TAG({str(n): "" for n in range(11)}), "after_delivery.tags must be at most 10, .* got 11"),
    (lambda: TAG("x"), "after_delivery must have tags such as"),  # type: ignore[arg-type] # wrong on purpose
    (lambda: TAG({"a": 1}), "after_delivery.tags must be texts by name"),  # type: ignore[dict-item] # wrong
    (lambda: TAG({"aws:x": ""}), "after_delivery.tags must have names .* got 'aws:x'"),
    (lambda: TAG({"x" * 129: ""}), "after_delivery.tags must have names of 1-128 characters"),
    (lambda: TAG({"x": "y" * 257}), "after_delivery.tags must have values of at most 256 characters"),
    (lambda: TAG({"x": "a\tb"}), "after_delivery.tags must consist of .* got '.t'"),
    (lambda: TAG({"\U0001d11e" * 65: ""}), "after_delivery.tags must have names of 1-128 characters"),
    (lambda: TAG({"x": "a&b"}), "after_delivery.tags must consist of .* got '&'"),
    (lambda: MOVE(prefix=""), "after_delivery.prefix must not be empty in the same bucket"),
    (lambda: MOVE(prefix="/x/"), "after_delivery.prefix must not begin with '/', which keys do not"),
    (lambda: MOVE(prefix="a%20b/"), "after_delivery.prefix must be written as keys are, not URL-encoded"),
    (lambda: MOVE(prefix="{event_time:%Y}/"), r"after_delivery.prefix must not hold '\{': it has no fields"),
    (lambda: MOVE(prefix="done/*"), r"after_delivery.prefix must not hold '\*': it is no pattern"),
    (lambda: MOVE(prefix="x" * 1024), "after_delivery.prefix must be shorter than a key"),
    (lambda: MOVE(bucket=""), "after_delivery.bucket must be the name of a bucket, got ''"),
    (lambda: MOVE(bucket="s3://x/"), "after_delivery.bucket must be the name of a bucket, such as"),
    (lambda: MOVE(prefix=1), "after_delivery.prefix must be a text"),  # type: ignore[arg-type] # wrong on purpose
]


@pytest.mark.parametrize(("make", "sentence"), WRONG)
def test_wrong_value_has_its_sentence(make: Callable[[], AfterDelivery], sentence: str) -> None:
    with pytest.raises(InvalidRule, match=f"^{sentence}"):
        make()


@pytest.mark.parametrize(
    "rule",
    [
        AfterDelivery.keep(),
        TAG({"b": "2", "a": "1"}),
        MOVE(prefix="x/", bucket="archive"),
        AfterDelivery.delete(),
    ],
    ids=lambda rule: str(rule.action),
)
def test_rule_is_read_as_it_was_written(rule: AfterDelivery) -> None:
    document = RulesDocument(partner=DeliveryRules(after_delivery=rule), sources={})
    assert RulesDocument.from_text(document.as_text()) == document


@pytest.mark.parametrize(
    ("rule", "step"),
    [
        (TAG({"b": "2", "a": "1"}), "tag the version in S3: a=1, b=2"),
        (MOVE(prefix="x/"), "move the version in S3 to 's3://b/x/in/a.csv'"),
        (MOVE(prefix="", bucket="archive"), "move the version in S3 to 's3://archive/in/a.csv'"),
        (AfterDelivery.delete(), "delete the version in S3"),
    ],
)
def test_plan_ends_with_the_action(rule: AfterDelivery, step: str) -> None:
    made = plan(DeliveryRules(after_delivery=rule), PlannedObject(bucket="b", key="in/a.csv"), PlanFacts())
    assert steps_of(made)[-2:] == ["record the receipt", step]


def test_keeping_is_no_step() -> None:
    made = plan(DeliveryRules(), PlannedObject(bucket="b", key="a"), PlanFacts())
    assert steps_of(made)[-1] == "record the receipt"
