"""Names of objects: below the directory whatever others write, one for each object, as the rules allow."""

from __future__ import annotations

import posixpath
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from s3_to_sftp.delivery_plan import DeliveryPlan, IfExists
from s3_to_sftp.errors import RemotePathRefused, RuleRefused
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import Case, DeliveryRules
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.rules.sequence import Sequence
from tests.unit.rules.objects import DIRECTORY, FACTS, HOSTILE, KEYS, planned

FIELDS = [
    "{key}",
    "{relative_key}",
    "{folder}",
    "{relative_folder}",
    "{name}",
    "{stem}",
    "{ext}",
    "{part[0]}",
    "{part[-1]}",
    "{part[-2]}",
    "{metadata[x]}",
    "{tag[x]}",
    "{version}",
    "{stem:.3}",
    "{key:.5}",
    "{tag[x]:.2}",
    "{event_time:%Y%m%d}",
    "{delivery_time:%H%M%S}",
    "{delivery_time:%z}",
    "{sequence}",
    "{sequence:06d}",
]
LITERALS = ["_", "-", "", "a", "1", "/", ".", ".csv", "x/", "{{", "}}", "v.", "..", "\\"]
PIECES = st.lists(st.one_of(st.sampled_from(FIELDS), st.sampled_from(LITERALS)), max_size=3).map("".join)
TELLING = st.sampled_from(
    ["{key}", "{name}", "{stem}", "{stem}{ext}", "{relative_key}", "{tag[x]}", "{version}"]
)
TEMPLATES = st.tuples(PIECES, TELLING, PIECES).map("".join)
COMPANIONS = st.lists(
    st.sampled_from(
        [
            Companion.marker("{name}.done"),
            Companion.marker("{stem}.done", before=True),
            Companion.checksum("sha256"),
            Companion.marker("{stem}_{event_time:%Y}.x"),
            Companion.document("{name}.xml", "<f>{name}</f>"),
        ]
    ),
    max_size=2,
    unique_by=lambda companion: companion.name,
)


@st.composite
def rules_of(draw: st.DrawFn) -> DeliveryRules:
    name = draw(TEMPLATES)
    given_rules: dict[str, Any] = {
        "name": name,
        "case": draw(st.sampled_from([None, Case.UPPER, Case.LOWER])),
        "temporary": draw(
            st.sampled_from([None, "{name}.partial", "{name}", "/staging/{token}_{name}", "{token}.tmp"])
        ),
        "companions": draw(COMPANIONS),
        "sequence": Sequence() if "{sequence" in name else None,
        "max_name_length": draw(st.sampled_from([None, 5, 40])),
        "if_exists": draw(st.sampled_from([IfExists.REPLACE, IfExists.REFUSE])),
    }
    try:
        return DeliveryRules(**given_rules)
    except InvalidRule:
        reject()


def plan_or_none(rules: DeliveryRules, key: str, facts: PlanFacts, **kwargs: str) -> DeliveryPlan | None:
    try:
        return planned(rules, key, facts, **kwargs)
    except RuleRefused as refused:
        require_good_sentence(rules, refused)
        return None


def require_good_sentence(rules: DeliveryRules, refused: RuleRefused) -> None:
    """It names the rule, what it was applied to, and what to do."""
    assert refused.rule in vars(rules)
    assert f"'{refused.rule}'" in str(refused)
    assert refused.hint.startswith(("Put the object again", "Change", "Shorten"))
    if refused.value:
        assert repr(refused.value)[1:-1] in refused.reason or refused.value in refused.reason


@settings(suppress_health_check=[HealthCheck.filter_too_much])  # many rules and keys are refused
@given(rules_of(), KEYS, FACTS, HOSTILE.filter(bool), st.sampled_from(["", "/inbox", "in/box"]))
def test_no_text_of_others_leaves_the_directory(
    rules: DeliveryRules, key: str, facts: PlanFacts, version: str, directory: str
) -> None:
    plan = plan_or_none(rules, key, facts, version_id=version, directory=directory)
    assume(plan is not None)
    assert plan is not None
    base = posixpath.join("/login", directory).rstrip("/")
    for path in plan.paths:
        there = posixpath.normpath(posixpath.join("/login", path))
        assert posixpath.commonpath([base, there]) == base != there
        assert there == posixpath.join("/login", path)
        assert ".." not in path.replace("\\", "/").split("/")
        assert not path.startswith("~") or "/" not in path
        assert not set(path) & set("\0\r\n\x1b\x85\u2028\u202e\u2066")
        assert all(len(name.encode()) <= 255 for name in path.split("/"))
    for file in (plan.file, *plan.companions):
        if file.temporary and not file.is_direct:
            where = posixpath.dirname(file.temporary)
            assert where in {"/staging", posixpath.dirname(file.path)}
            assert posixpath.basename(file.temporary) not in {"", ".", ".."}
            assert len(posixpath.basename(file.temporary).encode()) <= 255


@settings(suppress_health_check=[HealthCheck.filter_too_much])  # many rules and keys are refused
@given(rules_of(), KEYS, KEYS, FACTS, FACTS, st.sampled_from(["", "a/"]), st.sampled_from(["", "b/"]))
def test_two_objects_share_a_name_only_where_it_is_claimed(
    rules: DeliveryRules, one: str, other: str, facts: PlanFacts, others: PlanFacts, first: str, second: str
) -> None:
    one, other = first + one, second + other
    assume(one != other)
    assume(facts.sequence != others.sequence or facts.sequence is None or rules.sequence is None)
    mine = plan_or_none(rules, one, facts, version_id="null", prefix=first)
    their = plan_or_none(rules, other, others, version_id="null", prefix=second)
    if mine is None or their is None or mine.claims_name:
        return
    if rules.sequence is None or None not in (facts.sequence, others.sequence):
        assert not set(mine.paths) & set(their.paths)


@pytest.mark.parametrize(
    ("template", "one", "other"),
    [
        ("{relative_key}", ("a/x.csv", "a/"), ("b/x.csv", "b/")),
        ("{version}.csv", ("a", ""), ("b", "")),
        ("{key}_{metadata[x]}", ("a", ""), ("a_1", "")),
        ("{stem}{sequence}", ("a1", ""), ("a", "")),
        ("{part[0]}_{sequence}{ext}", ("a/a.5_3", ""), ("a_1.5/x", "")),
        ("{stem}_{tag[x]}{ext}", ("a", ""), ("a_b", "")),
    ],
)
def test_names_that_run_together_are_claimed(
    template: str, one: tuple[str, str], other: tuple[str, str]
) -> None:
    rules = DeliveryRules(name=template, sequence=Sequence() if "sequence" in template else None)
    for key, prefix in (one, other):
        facts = PlanFacts(metadata={"x": "1"}, tags={"x": "b"}, sequence=2)
        assert planned(rules, key, facts, prefix=prefix, version_id="null").claims_name


@pytest.mark.parametrize(
    "template",
    [
        "{key}",
        "out/{key}_{event_time:%Y%m%d}",
    ],
)
def test_names_that_tell_objects_apart_are_not_claimed(template: str) -> None:
    assert not planned(DeliveryRules(name=template), "in/a.csv").claims_name


@pytest.mark.parametrize("template", ["B{delivery_time:%Y%m%d}{sequence:04d}.csv", "{sequence:06d}_{name}"])
def test_number_alone_does_not_tell_objects_apart(template: str) -> None:
    """Other rules may count from 1 again."""
    rules = DeliveryRules(name=template, sequence=Sequence())
    assert planned(rules, "in/a.csv", PlanFacts(sequence=3)).claims_name


def test_companion_that_can_have_the_name_of_another_object_is_claimed() -> None:
    marker = [Companion.marker("{name}.done")]
    assert planned(DeliveryRules(companions=marker), "a").claims_name
    assert planned(DeliveryRules(companions=marker), "a.done").file.path == "/inbox/a.done"


def test_prefix_that_ends_within_a_path_leaves_no_empty_name() -> None:
    rules = DeliveryRules(name="{relative_key}")
    assert planned(rules, "in/a/b.csv", prefix="in").file.path == "/inbox/a/b.csv"
    assert planned(rules, "in/a/b.csv", prefix="in/").file.path == "/inbox/a/b.csv"
    assert planned(rules, "in/2024-01.csv", prefix="in/2024-").file.path == "/inbox/01.csv"
    assert planned(rules, "in", prefix="in").file.path == "/inbox/in"


@pytest.mark.parametrize("value", ["../x", "..", "a/b", "a\\b", "/", "\\", "\n", "\u202e", "", "\ud800"])
@pytest.mark.parametrize("field", ["{tag[x]}", "{metadata[x]}"])
def test_hostile_tag_or_metadata_is_refused(field: str, value: str) -> None:
    rules = DeliveryRules(name=f"{field}/{{name}}")
    with pytest.raises(RuleRefused) as caught:
        planned(rules, "a.csv", PlanFacts(metadata={"x": value}, tags={"x": value}))
    assert caught.value.rule == "name"
    assert "'name'" in str(caught.value)


def test_backslash_in_a_part_of_the_path_is_refused_as_in_a_name() -> None:
    for template in ("{part[0]}_x.csv", "{name}", "{stem}.csv"):
        with pytest.raises(RuleRefused, match="would lead to another directory"):
            planned(DeliveryRules(name=template), "a\\b")


def test_value_with_braces_stays_text() -> None:
    rules = DeliveryRules(name="{tag[x]}_{name}")
    plan = planned(rules, "{name}{token}.csv", PlanFacts(tags={"x": "{key}"}))
    assert plan.file.path == "/inbox/{key}_{name}{token}.csv"


def test_part_that_the_key_does_not_have_is_named() -> None:
    with pytest.raises(RuleRefused, match=r"needs \{part\[-3\]\}, which 'a/b' does not have"):
        planned(DeliveryRules(name="{part[-3]}"), "a/b")


def test_case_is_that_of_file_names_only() -> None:
    upper = DeliveryRules(case=Case.UPPER, companions=[Companion.marker("{name}.done")])
    assert planned(upper, "in/Straße.csv").paths == ("/inbox/in/STRASSE.CSV", "/inbox/in/STRASSE.CSV.done")
    assert planned(DeliveryRules(case=Case.LOWER), "In/A.CSV").file.path == "/inbox/In/a.csv"
    assert planned(upper, "a").claims_name, "two keys that differ in case have one name"


def test_length_is_checked_after_the_case() -> None:
    rules = DeliveryRules(name="{name}", case=Case.UPPER, max_name_length=6)
    assert planned(rules, "strase").file.path == "/inbox/STRASE"
    with pytest.raises(RuleRefused, match="has 7 characters, and the rule 'max_name_length' allows 6"):
        planned(rules, "straße")


def test_rule_counts_characters_and_the_file_system_bytes() -> None:
    rules = DeliveryRules(max_name_length=200)
    assert planned(rules, "ü" * 127).file.path
    with pytest.raises(RuleRefused, match="longer than 255 bytes") as caught:
        planned(rules, "ü" * 128)
    assert caught.value.value == "ü" * 128
    with pytest.raises(RuleRefused, match="has 201 characters"):
        planned(rules, "a" * 201)


def test_name_of_255_bytes_leaves_no_room_for_a_companion() -> None:
    rules = DeliveryRules(companions=[Companion.marker("{name}.done")])
    assert planned(rules, "a" * 250).paths[1].endswith("a.done")
    with pytest.raises(RuleRefused, match="no file name: a name in it is longer than 255 bytes") as caught:
        planned(rules, "a" * 251)
    assert caught.value.rule == "companions"


def test_path_is_no_longer_than_a_key_may_be() -> None:
    rules = DeliveryRules(name="{folder}{folder}{name}")
    key = "a/" * 300 + "b"
    with pytest.raises(RuleRefused, match="longer than 1024 bytes"):
        planned(rules, key)
    assert planned(DeliveryRules(), "a/" * 511 + "bb").file.path


@pytest.mark.parametrize(
    ("expression", "name", "is_allowed"),
    [
        (r"[A-Z]+", "ABC", True),
        (r"[A-Z]+", "ABCd", False),
        (r"[A-Z]+", "aABC", False),
        (r"^[A-Z]+$", "ABC", True),
        (r"A|AB", "AB", True),
        (r"\d+", "١٢", True),
        (r"(?a)\d+", "١٢", False),
        (r"(?i)[a-z]+", "ABC", True),
    ],
)
def test_expression_must_match_the_whole_name(expression: str, name: str, *, is_allowed: bool) -> None:
    rules = DeliveryRules(allowed_names=expression)
    if is_allowed:
        assert planned(rules, f"in/{name}").file.path == f"/inbox/in/{name}"
    else:
        with pytest.raises(RuleRefused, match="does not match the rule 'allowed_names'"):
            planned(rules, f"in/{name}")


def test_line_end_behind_a_name_is_refused() -> None:
    for expression in (None, r"[A-Z]+$", r"(?s).*"):
        with pytest.raises(RuleRefused):
            planned(DeliveryRules(allowed_names=expression), "ABC\n")


def test_field_is_cut_in_characters() -> None:
    assert planned(DeliveryRules(name="{stem:.3}.csv"), "äöüß.x").file.path == "/inbox/äöü.csv"


def test_refused_name_is_that_of_the_remote_path_too() -> None:
    with pytest.raises(RemotePathRefused):
        planned(DeliveryRules(), "a//b")


def test_chosen_name_is_used_and_checked() -> None:
    rules = DeliveryRules(name="{name}", if_exists=IfExists.NEW_NAME, allowed_names=r"[a-z]+(-\d)?\.csv")
    assert planned(rules, "in/a.csv", PlanFacts(name="x/a-2.csv")).file.path == f"{DIRECTORY}/x/a-2.csv"
    for name in ("../a.csv", "a-22.csv", "/a.csv"):
        with pytest.raises(RuleRefused):
            planned(rules, "in/a.csv", PlanFacts(name=name))
