"""Plans of the examples are made at synth: mistakes in rules are seen before the first file is sent."""

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3

from cdk_s3_to_sftp import (
    Case,
    Companion,
    DeliveryRules,
    IfExists,
    InvalidRule,
    Reset,
    Sequence,
    Source,
)
from tests.infra.conftest import warnings_of
from tests.infra.templates import new_delivery
from tests.support.infra.delivery_rules import DATED, NUMBERED, TAGGED, bucket, partner, with_rules


def errors_at_synth(stack: cdk.Stack) -> str:
    app = stack.node.root
    assert isinstance(app, cdk.App)
    with pytest.raises(RuntimeError) as failed:
        app.synth()
    return str(failed.value)


def synthesises(stack: cdk.Stack) -> None:
    app = stack.node.root
    assert isinstance(app, cdk.App)
    app.synth()


class TestExamples:
    def test_examples_that_can_be_delivered_pass(self, stack: cdk.Stack) -> None:
        with_rules(
            stack,
            name="{stem}_{event_time:%Y%m%dT%H%M%S}{ext}",
            case=Case.UPPER,
            allowed_names=r"[A-Z0-9_]{1,40}\.CSV",
            temporary="{name}.partial",
            companions=[Companion.checksum("sha256"), Companion.marker("{name}.done")],
            examples=["in/orders.csv", "in/2026/claims.csv"],
        )
        synthesises(stack)

    @pytest.mark.parametrize(
        ("rules", "key", "says"),
        [
            (
                {"allowed_names": "[A-Z]+"},
                "in/a.csv",
                "the example 'in/a.csv' of the rules cannot be delivered: The name 'a.csv' of 'in/a.csv' "
                "does not match the rule 'allowed_names', '[A-Z]+'. Change the rule 'allowed_names', or the "
                "example",
            ),
            (
                {"max_name_length": 8},
                "in/january.csv",
                "the example 'in/january.csv' of the rules cannot be delivered: The name 'january.csv' of "
                "'in/january.csv' has 11 characters, and the rule 'max_name_length' allows 8. Change the "
                "rule 'max_name_length', or the example",
            ),
            (
                {"name": "{part[2]}_{name}"},
                "in/a.csv",
                "the example 'in/a.csv' of the rules cannot be delivered: The rule 'name', '{part[2]}_{name}'"
                ", needs {part[2]}, which 'in/a.csv' does not have. Change the rule 'name', or the example",
            ),
            (
                {"companions": [Companion.marker("{stem}.csv")]},
                "in/a.csv",
                "the example 'in/a.csv' of the rules cannot be delivered: The rules give two files of "
                "'in/a.csv' the name '/inbox/in/a.csv', or names that differ only in case. Change the rule "
                "'companions', or the example",
            ),
        ],
        ids=["allowed_names", "max_name_length", "name", "companions"],
    )
    def test_example_that_rules_refuse_fails_with_key_rule_and_what_to_change(
        self, stack: cdk.Stack, rules: dict[str, Any], key: str, says: str
    ) -> None:
        with_rules(stack, **rules, examples=[key])
        assert f"[Test/Delivery] {says}" in errors_at_synth(stack)

    @pytest.mark.parametrize("key", ["out/a.csv", "in/a.xml"])
    def test_example_of_no_source_fails(self, stack: cdk.Stack, key: str) -> None:
        with_rules(stack, examples=[key])
        assert (
            f"the example '{key}' of the rules is an object of no source that has these rules ('in/*.csv'): "
            "change the example, or the prefix or suffix of a source"
        ) in errors_at_synth(stack)

    def test_example_of_a_source_with_other_rules_fails(self, stack: cdk.Stack) -> None:
        server = partner(DeliveryRules(name="{name}", examples=["in/a.csv"]))
        new_delivery(stack, server=server, sources=[Source(bucket(stack), rules=NUMBERED)])
        assert "of no source that has these rules (there is none)" in errors_at_synth(stack)

    def test_example_of_a_source_that_is_added_later_passes(self, stack: cdk.Stack) -> None:
        delivery = new_delivery(stack, server=partner(DeliveryRules(examples=["out/a.csv"])))
        delivery.add_source(bucket(stack), prefix="in/")
        delivery.add_source(bucket(stack, "two"), prefix="out/", directory="/out")
        synthesises(stack)

    def test_example_where_a_prefix_is_a_token_passes(self, stack: cdk.Stack) -> None:
        prefix = cdk.CfnParameter(stack, "Prefix").value_as_string
        delivery = new_delivery(stack, server=partner(DeliveryRules(examples=["in/a.csv"])))
        delivery.add_source(s3.Bucket.from_bucket_name(stack, "One", "one"), prefix=prefix)
        synthesises(stack)

    def test_example_in_a_directory_that_is_a_token_passes(self, stack: cdk.Stack) -> None:
        directory = cdk.CfnParameter(stack, "Directory").value_as_string
        with_rules(stack, directory, name="{name}", examples=["in/a.csv"])
        synthesises(stack)

    def test_examples_of_a_source_are_checked(self, stack: cdk.Stack) -> None:
        rules = DeliveryRules(allowed_names="[A-Z]+", examples=["a"])
        new_delivery(stack).add_source(bucket(stack), rules=rules)
        assert "the example 'a' of the rules cannot be delivered" in errors_at_synth(stack)

    def test_every_bad_example_is_named(self, stack: cdk.Stack) -> None:
        with_rules(stack, allowed_names="A.*", examples=["in/a.csv", "in/A.csv", "in/b.csv", "c.csv"])
        said = errors_at_synth(stack)
        assert [key in said for key in ("'in/a.csv'", "'in/A.csv'", "'in/b.csv'", "'c.csv'")] == [
            True,
            False,
            True,
            True,
        ]

    def test_examples_with_one_name_fail(self, stack: cdk.Stack) -> None:
        with_rules(stack, name="{name}", examples=["in/1/a.csv", "in/2/a.csv"])
        assert (
            "the examples 'in/1/a.csv' and 'in/2/a.csv' of the rules have the same name '/inbox/a.csv' at "
            "the partner: add a field to the rule 'name' that tells them apart, or change an example"
        ) in errors_at_synth(stack)

    def test_example_with_the_name_of_a_companion_fails(self, stack: cdk.Stack) -> None:
        rules = DeliveryRules(companions=[Companion.marker("{name}.csv")], examples=["a", "a.csv"])
        new_delivery(stack, server=partner(rules), sources=[Source(bucket(stack))])
        assert "have the same name 'a.csv' at the partner" in errors_at_synth(stack)

    def test_examples_of_different_rules_with_one_name_fail(self, stack: cdk.Stack) -> None:
        delivery = new_delivery(stack, server=partner(DeliveryRules(name="{name}", examples=["in/a.csv"])))
        delivery.add_source(bucket(stack), prefix="in/")
        delivery.add_source(
            bucket(stack, "two"),
            rules=DeliveryRules(name="{stem}.csv", examples=["a.xml"]),
        )
        assert "the examples 'in/a.csv' and 'a.xml' of the rules have the same name" in errors_at_synth(stack)

    def test_one_example_given_twice_passes(self, stack: cdk.Stack) -> None:
        with_rules(stack, examples=["in/a.csv", "in/a.csv"])
        synthesises(stack)

    @pytest.mark.parametrize(
        "rules",
        [
            {"name": "{sequence:06d}.csv", "sequence": Sequence(start=7)},
            {"name": "{tag[partner]}.csv"},
            {"name": "{metadata[partner]}.csv"},
            {"name": "{version}.csv"},
            {"name": "{name}", "if_exists": IfExists.NEW_NAME},
        ],
        ids=["sequence", "tag", "metadata", "version", "new name"],
    )
    def test_examples_whose_names_will_differ_pass(self, stack: cdk.Stack, rules: dict[str, Any]) -> None:
        with_rules(stack, **rules, examples=["in/1/a.csv", "in/2/a.csv"])
        synthesises(stack)

    def test_names_that_depend_on_tags_are_not_matched(self, stack: cdk.Stack) -> None:
        with_rules(stack, name="{tag[partner]}.csv", allowed_names=r"[A-Z]{3}\.csv", examples=["in/a.csv"])
        synthesises(stack)

    def test_first_number_of_a_sequence_is_in_the_name(self, stack: cdk.Stack) -> None:
        with_rules(
            stack,
            name="{sequence:02d}_{delivery_time:%Y%m%d}.csv",
            sequence=Sequence(start=98, reset=Reset.DAY),
            allowed_names=r"\d\d_\d{8}\.csv",
            examples=["in/a.csv", "in/b.csv", "in/c.csv"],
        )
        said = errors_at_synth(stack)
        assert ["'in/b.csv'" in said, "The name '100_20260102.csv' of 'in/c.csv'" in said] == [False, True]


class TestWarnings:
    def test_files_under_their_final_names_add_a_warning(self, stack: cdk.Stack) -> None:
        with_rules(stack, temporary="{name}")
        (warning,) = warnings_of(stack, "filesUnderFinalNames")
        assert "the partner can see and take a part of a file" in warning
        assert "temporary='{name}.partial'" in warning

    def test_advice_against_final_names_is_possible_with_the_other_rules(self, stack: cdk.Stack) -> None:
        with_rules(stack, temporary="{name}", companions=[Companion.marker("{name}.partial")])
        (warning,) = warnings_of(stack, "filesUnderFinalNames")
        assert "leave temporary out" in warning
        assert ".partial" not in warning

    def test_allowed_names_without_examples_add_a_warning(self, stack: cdk.Stack) -> None:
        delivery = new_delivery(stack, server=partner(DATED))
        delivery.add_source(bucket(stack), rules=DeliveryRules(allowed_names=r"\w+\.csv"))
        (warning,) = warnings_of(stack, "rulesWithoutExamples")
        assert r"'\\w+\\.csv'" in warning
        assert "examples=[...]" in warning

    def test_rules_of_several_sources_add_one_warning(self, stack: cdk.Stack) -> None:
        delivery, theirs = new_delivery(stack), bucket(stack)
        for prefix in "abc":
            delivery.add_source(theirs, prefix=f"{prefix}/", rules=DeliveryRules(temporary="{name}"))
        assert len(warnings_of(stack, "filesUnderFinalNames")) == 1

    @pytest.mark.parametrize("rules", [DATED, NUMBERED, TAGGED, None])
    def test_other_rules_add_no_warning(self, stack: cdk.Stack, rules: DeliveryRules | None) -> None:
        new_delivery(stack, server=partner(rules), bucket=bucket(stack))
        assert warnings_of(stack, "") == []


def test_wrong_rules_are_refused_where_they_are_written() -> None:
    with pytest.raises(InvalidRule, match=r"^mode must be 0o000-0o777"):
        partner(DeliveryRules(mode=0o1777))
