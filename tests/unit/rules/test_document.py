"""Rules and facts as text: what is written is read again, and anything else is a ValueError."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from s3_to_sftp.delivery_plan import DeliveryPlan, IfExists
from s3_to_sftp.errors import RuleRefused
from s3_to_sftp.rules.companion import ENCODINGS, Companion
from s3_to_sftp.rules.delivery_rules import Case, DeliveryRules
from s3_to_sftp.rules.document import RulesDocument
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.rules.sequence import Reset, Sequence
from tests.unit.rules.objects import FACTS, HOSTILE, planned

LITERALS = st.text(max_size=4).map(lambda text: text.replace("{", "{{").replace("}", "}}"))
COMPANIONS = st.builds(
    lambda name, content, **others: (name, content, others),
    LITERALS,
    LITERALS,
    before=st.booleans(),
    encoding=st.sampled_from(ENCODINGS),
)


@st.composite
def rules_of(draw: st.DrawFn) -> DeliveryRules:
    number = draw(st.booleans())
    times = "{delivery_time:%Y%m%d}"
    try:
        return DeliveryRules(
            name=f"{draw(LITERALS)}{times}_{{stem}}" + ("_{sequence:06d}" if number else ""),
            time_zone=draw(st.sampled_from(["UTC", "Europe/Zurich", "Asia/Kathmandu"])),
            case=draw(st.sampled_from([None, *Case])),
            max_name_length=draw(st.one_of(st.none(), st.integers(50, 255))),
            allowed_names=draw(st.sampled_from([None, ".*", r"(?s)[^\ud800]+", "ü*.*"])),
            temporary=draw(st.sampled_from([None, "{name}.part", "/tmp/{token}"])),
            if_exists=draw(st.sampled_from([IfExists.REPLACE, IfExists.REFUSE])),
            mode=draw(st.one_of(st.none(), st.integers(0o400, 0o777))),
            preserve_time=True,
            require_attributes=draw(st.booleans()),
            sequence=draw(
                st.builds(Sequence, start=st.integers(0, 99), reset=st.sampled_from(Reset), name=st.just("n"))
            )
            if number
            else None,
            companions=[
                Companion(name=f"{{name}}.{place}{name}", content=content, **others)
                for place, (name, content, others) in enumerate(draw(st.lists(COMPANIONS, max_size=3)))
            ],
            examples=draw(st.lists(st.text(max_size=3), max_size=2)),
            source=draw(st.text(max_size=3)),
        )
    except InvalidRule:
        reject()


@settings(suppress_health_check=[HealthCheck.filter_too_much])  # many rules are refused
@given(st.one_of(st.none(), rules_of()), st.dictionaries(st.text(max_size=4), rules_of(), max_size=2))
def test_document_is_read_as_it_was_written(
    partner: DeliveryRules | None, sources: dict[str, DeliveryRules]
) -> None:
    try:
        document = RulesDocument(partner=partner, sources=sources)
    except InvalidRule as refused:  # two kinds of one sequence
        assume(refused.rule != "sequence")
        raise
    text = document.as_text()
    again = RulesDocument.from_text(text)
    assert again == document
    assert again.as_text() == text
    assert again.digest == document.digest
    text.encode("ascii")


def numbered(sequence: Sequence) -> DeliveryRules:
    return DeliveryRules(name="{delivery_time:%Y%m%d}_{sequence}.csv", sequence=sequence)


def outcome_of(rules: DeliveryRules, facts: PlanFacts) -> DeliveryPlan | str:
    try:
        return planned(rules, "in/a.csv", facts)
    except RuleRefused as refused:
        return str(refused)


@settings(suppress_health_check=[HealthCheck.filter_too_much])  # many rules are refused
@given(rules_of())
def test_rules_that_are_read_plan_the_same(rules: DeliveryRules) -> None:
    again = RulesDocument.from_text(RulesDocument(partner=rules, sources={}).as_text()).partner
    assert again is not None
    facts = PlanFacts(sequence=3, size=1)
    assert outcome_of(rules, facts) == outcome_of(again, facts)


@pytest.mark.parametrize(
    "other",
    [
        numbered(Sequence(start=2)),
        numbered(Sequence(reset=Reset.DAY)),
        replace(numbered(Sequence()), time_zone="Asia/Tokyo"),
    ],
)
def test_sequence_counts_alike_in_all_rules_that_share_it(other: DeliveryRules) -> None:
    with pytest.raises(InvalidRule, match="sequence must be the same in all rules"):
        RulesDocument(partner=numbered(Sequence()), sources={"1": other})
    assert other.sequence is not None
    apart = replace(other, sequence=replace(other.sequence, name="apart"))
    assert RulesDocument(partner=numbered(Sequence()), sources={"1": apart}).sequences == ("apart", "default")


def test_text_of_equal_rules_is_the_same() -> None:
    marker, checksum = Companion.marker("{name}.done"), Companion.checksum("md5")
    one, other = DeliveryRules(companions=[marker, checksum]), DeliveryRules(companions=(marker, checksum))
    assert one == other
    assert hash(one) == hash(other)
    first = RulesDocument(partner=one, sources={"a": one, "b": other})
    second = RulesDocument(partner=other, sources={"b": one, "a": one})
    assert first.as_text() == second.as_text()
    turned = replace(one, companions=[checksum, marker])
    assert RulesDocument(partner=turned, sources={}).digest != RulesDocument(partner=one, sources={}).digest


def test_examples_and_source_change_no_digest() -> None:
    told = DeliveryRules(examples=["a.csv"], source="https://bank.example/onboarding")
    assert (
        RulesDocument(partner=told, sources={}).digest
        == RulesDocument(partner=DeliveryRules(), sources={}).digest
    )


def test_only_what_is_not_as_by_default_is_written() -> None:
    text = RulesDocument(partner=DeliveryRules(), sources={}).as_text()
    assert json.loads(text) == {"format": 1, "partner": {"is": "DeliveryRules"}, "sources": {}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
RULE_NAMES = [*vars(DeliveryRules()), "unknown", "reset", "start", "content", "before", "encoding"]
NEARLY = st.fixed_dictionaries(
    {"format": st.just(1) | JSON, "partner": st.dictionaries(st.sampled_from(RULE_NAMES), JSON, max_size=3)},
    optional={"sources": st.just({}) | JSON, "else": JSON},
)


@given(st.one_of(st.text(), JSON.map(json.dumps), NEARLY.map(json.dumps)))
def test_other_text_is_rules_or_a_value_error(text: str) -> None:
    try:
        document = RulesDocument.from_text(text)
    except ValueError:
        return
    assert RulesDocument.from_text(document.as_text()) == document


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"rules"',
        "{}",
        "[" * 100_000,
        '{"format": 2, "partner": null, "sources": {}}',
        '{"format": 1, "partner": null}',
        '{"format": 1, "partner": null, "sources": []}',
        '{"format": 1, "partner": null, "sources": {}, "windows": []}',
        '{"format": 1, "partner": {"windows": []}, "sources": {}}',
        '{"format": 1, "partner": {"case": "title"}, "sources": {}}',
        '{"format": 1, "partner": {"case": []}, "sources": {}}',
        '{"format": 1, "partner": {"sequence": 1}, "sources": {}}',
        '{"format": 1, "partner": {"sequence": {"start": 1}}, "sources": {}}',
        '{"format": 1, "partner": {"companions": null}, "sources": {}}',
        '{"format": 1, "partner": {"companions": "a"}, "sources": {}}',
        '{"format": 1, "partner": {"companions": [{"nme": "a"}]}, "sources": {}}',
        '{"format": 1, "partner": {"name": null}, "sources": {}}',
        '{"format": 1, "partner": {"mode": 1e400}, "sources": {}}',
        '{"format": 1, "partner": {"name": "{stem}", "name": "x"}, "sources": {}}',
    ],
)
def test_garbage_and_what_other_code_wrote_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        RulesDocument.from_text(text)


@given(FACTS, HOSTILE, HOSTILE, st.dictionaries(HOSTILE, HOSTILE, max_size=3))
def test_facts_are_read_as_they_were_written(
    facts: PlanFacts, rules: str, name: str, tags: dict[str, str]
) -> None:
    facts = replace(facts, rules=rules, name=name, tags=tags)
    text = facts.as_text()
    assert PlanFacts.from_text(text) == facts
    assert text.startswith(f"{rules} ")


def test_what_identifies_the_rules_may_have_blanks() -> None:
    facts = PlanFacts(rules='0123 /in box/{"delivery_time": 1')
    assert PlanFacts.from_text(facts.as_text()) == facts


def facts_with(**changed: Any) -> str:
    return " " + json.dumps({**vars(PlanFacts()), **changed}, sort_keys=True)


@given(st.one_of(st.text(), JSON.map(lambda value: facts_with(sequence=value, tags=value, size=value))))
def test_other_text_is_facts_or_a_value_error(text: str) -> None:
    try:
        facts = PlanFacts.from_text(text)
    except ValueError:
        return
    planned(DeliveryRules(), "a", facts)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        " null",
        " []",
        ' {"delivery_time": 1',
        ' {"delivery_time": ' + "[" * 100_000,
        "other" + facts_with(),
        facts_with(extra=1),
        facts_with(sequence="7"),
        facts_with(sequence=True),
        facts_with(sequence=-1),
        facts_with(sequence=1.0),
        facts_with(size=-1),
        facts_with(delivery_time=None),
        facts_with(delivery_time=1e300),
        facts_with(event_time=10**12),
        facts_with(event_time=-1),
        facts_with(metadata=None),
        facts_with(metadata={"x": 1}),
        facts_with(tags=[]),
        facts_with(digests={"sha256": None}),
        facts_with(name=None),
        facts_with(rules=1),
    ],
)
def test_corrupt_facts_are_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        PlanFacts.from_text(text)


def test_latest_time_of_facts_is_one_in_every_time_zone() -> None:
    facts = PlanFacts.from_text(facts_with(event_time=253_402_127_999))
    for zone in ("Pacific/Kiritimati", "Etc/GMT+12"):
        assert planned(DeliveryRules(time_zone=zone), "a", facts)
