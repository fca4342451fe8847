"""What rules need of AWS, and what they must not hold."""

import json
import re
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import Companion, DeliveryRules, InvalidArgument, S3ToSftp, Source
from tests.infra.conftest import new_app
from tests.infra.templates import READ_ACTIONS, new_delivery, role_permissions
from tests.support.infra.cfn_lint import reported
from tests.support.infra.delivery_rules import DATED, TAGGED, Synthesised, bucket, partner
from tests.support.infra.rule_packs import findings

TAG_ACTIONS = ["s3:GetObjectTagging", "s3:GetObjectVersionTagging"]


class TestPermissions:
    def test_rules_without_tags_need_no_more_permissions(self, stack: cdk.Stack) -> None:
        of_metadata = DeliveryRules(name="{metadata[partner]}_{name}")
        new_delivery(stack, server=partner(of_metadata), bucket=bucket(stack))
        permissions = role_permissions(Template.from_stack(stack))
        assert permissions["arn:AWS::Partition:s3:::one/*"] == READ_ACTIONS

    def test_only_sources_whose_rules_use_tags_have_their_tags_read(self, stack: cdk.Stack) -> None:
        theirs = bucket(stack)
        delivery = new_delivery(stack)
        delivery.add_source(theirs, prefix="a/", rules=TAGGED)
        delivery.add_source(theirs, prefix="b/", rules=DATED)
        delivery.add_source(theirs, prefix="c/")
        delivery.add_former_source(theirs, prefix="d/", rules=TAGGED)
        permissions = role_permissions(Template.from_stack(stack))
        objects = {
            tuple(actions): re.findall(r"one/\w+", resource)
            for resource, actions in permissions.items()
            if "s3:GetObject" in actions
        }
        assert objects == {
            tuple(sorted([*READ_ACTIONS, *TAG_ACTIONS])): ["one/a", "one/d"],
            tuple(READ_ACTIONS): ["one/b", "one/c"],
        }

    def test_tags_in_the_content_of_a_companion_are_read(self, stack: cdk.Stack) -> None:
        rules = DeliveryRules(companions=[Companion.document("{name}.txt", "{tag[partner]}")])
        new_delivery(stack, server=partner(rules), bucket=bucket(stack))
        permissions = role_permissions(Template.from_stack(stack))
        assert set(TAG_ACTIONS) <= set(permissions["arn:AWS::Partition:s3:::one/*"])

    def test_source_with_rules_of_its_own_needs_no_tags_of_the_partners_rules(self, stack: cdk.Stack) -> None:
        new_delivery(stack, server=partner(TAGGED), sources=[Source(bucket(stack), rules=DATED)])
        permissions = role_permissions(Template.from_stack(stack))
        assert permissions["arn:AWS::Partition:s3:::one/*"] == READ_ACTIONS

    def test_bucket_of_another_account_must_let_tags_be_read(self, stack: cdk.Stack) -> None:
        theirs = bucket(stack)
        delivery = new_delivery(stack)
        delivery.add_source(theirs, prefix="a/", rules=TAGGED)
        delivery.add_source(theirs, prefix="b/")
        statements = [
            stack.resolve(each.to_statement_json()) for each in delivery.bucket_policy_statements(theirs)
        ]
        (tags,) = [each for each in statements if each["Action"] == TAG_ACTIONS]
        assert "one/a/*" in json.dumps(tags["Resource"])
        assert "one/b/*" not in json.dumps(tags["Resource"])


class TestRefusals:
    def test_other_types_than_rules_are_refused(self, stack: cdk.Stack) -> None:
        for make in (
            lambda: partner("{name}"),  # type: ignore[arg-type]  # wrong on purpose
            lambda: Source(bucket(stack), rules={"name": "{name}"}),  # type: ignore[arg-type]
        ):
            with pytest.raises(
                InvalidArgument, match=r"rules must be a DeliveryRules such as DeliveryRules\(name="
            ):
                make()

    @pytest.mark.parametrize("name", ["allowed_names", "source"])
    def test_tokens_in_rules_are_refused(self, stack: cdk.Stack, name: str) -> None:
        given: dict[str, Any] = {name: cdk.CfnParameter(stack, "Parameter").value_as_string}
        rules = DeliveryRules(**given)
        with pytest.raises(InvalidArgument) as caught:
            partner(rules)
        assert str(caught.value) == (
            "rules must be known when the app is synthesised, since they are written into a file, got a "
            f"Token in {name}"
        )

    def test_tokens_in_rules_of_a_source_are_refused(self, stack: cdk.Stack) -> None:
        rules = DeliveryRules(examples=["a", cdk.CfnParameter(stack, "Parameter").value_as_string])
        with pytest.raises(InvalidArgument, match=r"rules must be known .* got a Token in examples"):
            new_delivery(stack).add_source(bucket(stack), rules=rules)

    @pytest.mark.parametrize("name", ["name", "temporary", "time_zone"])
    def test_tokens_where_rules_know_better_are_refused_by_the_rules(
        self, stack: cdk.Stack, name: str
    ) -> None:
        given: dict[str, Any] = {name: cdk.CfnParameter(stack, "Parameter").value_as_string}
        with pytest.raises(ValueError, match=f"^{name} "):
            DeliveryRules(**given)

    def test_private_key_in_rules_is_refused_and_not_shown(self) -> None:
        key = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----"
        rules = DeliveryRules(companions=[Companion.document("{name}.txt", key)])
        with pytest.raises(InvalidArgument, match=r"^rules must not hold a private key") as caught:
            partner(rules)
        assert "c2VjcmV0" not in str(caught.value)


def test_rules_add_no_finding_of_the_rule_packs() -> None:
    app = new_app()
    stack = cdk.Stack(app, "Test")
    S3ToSftp(stack, "Delivery", server=partner(TAGGED))
    assert [path for path, _ in findings(app) if path.startswith("Test/Delivery/")] == []


def test_cfn_lint_reports_nothing_about_rules(stack: cdk.Stack) -> None:
    S3ToSftp(stack, "Delivery", server=partner(TAGGED))
    assert reported(json.dumps(Synthesised(stack).template)) == []
