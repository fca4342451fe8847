"""What `AfterDelivery` needs of AWS, and that nothing is moved to where it is delivered from."""

from __future__ import annotations

import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Annotations, Match, Template

from cdk_s3_to_sftp import AfterDelivery, DeliveryRules, Filter, InvalidArgument, S3ToSftp, Source, Trigger
from tests.infra.conftest import new_app, warnings_of
from tests.infra.templates import READ_ACTIONS, new_delivery, role_permissions
from tests.support.infra.delivery_rules import bucket, partner
from tests.support.infra.rule_packs import findings

TAG = DeliveryRules(after_delivery=AfterDelivery.tag({"delivered": "yes"}))
MOVE = DeliveryRules(after_delivery=AfterDelivery.move())
DELETE = DeliveryRules(after_delivery=AfterDelivery.delete())


def to(name: str, prefix: str = "") -> DeliveryRules:
    return DeliveryRules(after_delivery=AfterDelivery.move(prefix=prefix, bucket=name))


def allowed(stack: cdk.Stack) -> dict[str, set[str]]:
    """Everything that the role is allowed on objects and keys, reading left out."""
    statements = [
        statement
        for policy in Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if "Delivery" in str(policy["Properties"]["Roles"])
    ]
    found: dict[str, set[str]] = {}
    for each in statements:
        actions = [each["Action"]] if isinstance(each["Action"], str) else each["Action"]
        if mine := {name for name in actions if name.startswith(("s3:", "kms:"))} - set(READ_ACTIONS):
            found.setdefault(json.dumps(each["Resource"]), set()).update(mine - {"s3:ListBucket"})
    return {resource: actions for resource, actions in found.items() if actions}


def on(stack: cdk.Stack, text: str) -> set[str]:
    return set().union(*(actions for resource, actions in allowed(stack).items() if text in resource))


class TestPermissions:
    def test_nothing_is_granted_by_default(self, stack: cdk.Stack) -> None:
        new_delivery(stack, server=partner(DeliveryRules(name="{name}")), bucket=bucket(stack))
        assert role_permissions(Template.from_stack(stack))["arn:AWS::Partition:s3:::one/*"] == READ_ACTIONS
        assert on(stack, "one") == set()

    def test_tagging_grants_only_tags(self, stack: cdk.Stack) -> None:
        new_delivery(stack, server=partner(TAG), sources=[Source(bucket(stack), prefix="out/")])
        assert on(stack, ":one/out/*") == {
            "s3:GetObjectTagging",
            "s3:GetObjectVersionTagging",
            "s3:PutObjectTagging",
            "s3:PutObjectVersionTagging",
        }

    def test_deleting_grants_only_deletion(self, stack: cdk.Stack) -> None:
        new_delivery(stack, server=partner(DELETE), sources=[Source(bucket(stack), prefix="out/")])
        assert on(stack, ":one/out/*") == {"s3:DeleteObject", "s3:DeleteObjectVersion"}

    def test_bucket_that_the_construct_makes_has_versions_alone_deleted(self, stack: cdk.Stack) -> None:
        S3ToSftp(stack, "Delivery", server=partner(DELETE))
        assert "s3:DeleteObjectVersion" in on(stack, "DeliveryBucket")
        assert "s3:DeleteObject" not in on(stack, "DeliveryBucket")

    def test_moving_grants_writing_below_the_target_alone(self, stack: cdk.Stack) -> None:
        new_delivery(stack, server=partner(MOVE), sources=[Source(bucket(stack), prefix="out/")])
        assert on(stack, ":one/delivered/out/*") == {
            "s3:PutObject",
            "s3:PutObjectTagging",
            "s3:ListMultipartUploadParts",
            "s3:AbortMultipartUpload",
        }
        assert on(stack, ":one/out/*") == {
            "s3:GetObjectTagging",
            "s3:GetObjectVersionTagging",
            "s3:DeleteObject",
            "s3:DeleteObjectVersion",
        }

    def test_only_sources_with_the_rule_are_granted(self, stack: cdk.Stack) -> None:
        theirs = bucket(stack)
        delivery = new_delivery(stack)
        delivery.add_source(theirs, prefix="a/", rules=DELETE)
        delivery.add_source(theirs, prefix="b/")
        delivery.add_former_source(theirs, prefix="c/", rules=DELETE)
        assert "s3:DeleteObjectVersion" in on(stack, "one/a/*")
        assert on(stack, "one/b/*") == set()
        assert "s3:DeleteObjectVersion" in on(stack, "one/c/*")

    def test_key_of_the_target_may_be_used(self, stack: cdk.Stack) -> None:
        key = kms.Key(stack, "Key")
        s3.Bucket.from_bucket_attributes(stack, "Archive", bucket_name="archive", encryption_key=key)
        new_delivery(stack, server=partner(to("archive", "in/")), bucket=bucket(stack))
        assert on(stack, '"Key') == {"kms:Decrypt", "kms:GenerateDataKey"}
        assert "s3:PutObject" in on(stack, ":archive/in/*")

    def test_bucket_of_another_account_must_let_objects_be_deleted(self, stack: cdk.Stack) -> None:
        theirs = bucket(stack)
        delivery = new_delivery(stack)
        delivery.add_source(theirs, prefix="a/", rules=DELETE)
        delivery.add_source(theirs, prefix="b/")
        statements = [
            stack.resolve(each.to_statement_json()) for each in delivery.bucket_policy_statements(theirs)
        ]
        (deletion,) = [each for each in statements if "s3:DeleteObject" in each["Action"]]
        assert "one/a/*" in json.dumps(deletion["Resource"])
        assert "one/b/*" not in json.dumps(deletion["Resource"])


class TestLoops:
    REFUSED = "^rules must not move delivered objects to where they are delivered from"

    def test_target_in_the_same_source_is_refused(self, stack: cdk.Stack) -> None:
        with pytest.raises(InvalidArgument, match=self.REFUSED):
            new_delivery(stack, server=partner(MOVE), bucket=bucket(stack))

    def test_target_with_the_prefix_of_the_source_is_refused(self, stack: cdk.Stack) -> None:
        with pytest.raises(InvalidArgument, match=self.REFUSED):
            new_delivery(stack, server=partner(MOVE), sources=[Source(bucket(stack), prefix="del")])

    @pytest.mark.parametrize("target_first", [True, False], ids=["target first", "source first"])
    def test_target_that_overlaps_a_source_of_another_delivery_is_refused(
        self, stack: cdk.Stack, *, target_first: bool
    ) -> None:
        theirs = bucket(stack)
        sources: list[dict[str, Any]] = [
            {"server": partner(MOVE), "sources": [Source(theirs, prefix="out/")]},
            {"sources": [Source(theirs, prefix="delivered/out/", trigger=Trigger.EVENTBRIDGE)]},
        ]
        first, second = sources if target_first else reversed(sources)
        new_delivery(stack, "First", **first)
        with pytest.raises(InvalidArgument, match=self.REFUSED):
            new_delivery(stack, "Second", **second)

    def test_other_suffix_and_other_prefix_are_no_loop(self, stack: cdk.Stack) -> None:
        theirs = bucket(stack)
        new_delivery(
            stack, "First", server=partner(MOVE), sources=[Source(theirs, prefix="a/", suffix=".csv")]
        )
        new_delivery(
            stack,
            "Second",
            sources=[Source(theirs, prefix="delivered/a/", suffix=".xml", trigger=Trigger.EVENTBRIDGE)],
        )

    def test_bucket_of_another_stack_is_known_by_its_name(self) -> None:
        app = new_app()
        there, here = cdk.Stack(app, "There"), cdk.Stack(app, "Test")
        archive = s3.Bucket(there, "Archive", bucket_name="archive-of-orders")
        new_delivery(there, sources=[Source(archive, trigger=Trigger.EVENTBRIDGE)])
        with pytest.raises(InvalidArgument, match=self.REFUSED):
            new_delivery(here, server=partner(to("archive-of-orders")), bucket=bucket(here))

    def test_bucket_of_which_the_app_knows_nothing_is_warned_of(self, stack: cdk.Stack) -> None:
        new_delivery(stack, server=partner(to("archive-of-orders")), bucket=bucket(stack))
        Annotations.from_stack(stack).has_warning(
            "/Test/Delivery", Match.string_like_regexp("'archive-of-orders', of which the app knows nothing")
        )

    def test_prefix_that_is_known_only_at_deployment_is_warned_of(self, stack: cdk.Stack) -> None:
        prefix = cdk.CfnParameter(stack, "Prefix").value_as_string
        new_delivery(stack, server=partner(MOVE), sources=[Source(bucket(stack), prefix=prefix)])
        Annotations.from_stack(stack).has_warning(
            "/Test/Delivery",
            Match.string_like_regexp("S3 must not send an event of the source"),
        )

    def test_bucket_that_the_app_imports_is_not_warned_of(self, stack: cdk.Stack) -> None:
        bucket(stack, "archive-of-orders")
        new_delivery(stack, server=partner(to("archive-of-orders")), bucket=bucket(stack))
        warnings = Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("knows nothing"))
        assert warnings == []

    def test_name_that_is_known_only_at_deployment_is_refused(self, stack: cdk.Stack) -> None:
        made = s3.Bucket(stack, "Archive")
        with pytest.raises(ValueError, match="must be the name of a bucket"):
            to(made.bucket_name)


def test_target_without_room_for_any_key_is_refused(stack: cdk.Stack) -> None:
    rules = to("archive", "x" * 1000 + "/")
    delivery = new_delivery(stack, server=partner(rules))
    with pytest.raises(
        InvalidArgument, match=r"^rules must move objects to keys of at most 1024 bytes, .* 1027"
    ):
        delivery.add_source(bucket(stack), prefix="y" * 22 + "/", suffix=".md")


class TestPrefixThatIsNoFolder:
    def said(self, stack: cdk.Stack) -> list[str]:
        return warnings_of(stack, "prefixOfMoveIsNoFolder")

    @pytest.mark.parametrize("prefix", ["done", "in/done"])
    def test_it_is_warned_of_with_the_key_that_it_makes(self, stack: cdk.Stack, prefix: str) -> None:
        rules = DeliveryRules(after_delivery=AfterDelivery.move(prefix=prefix))
        new_delivery(stack, server=partner(rules), sources=[Source(bucket(stack), prefix="out/")])
        (sentence,) = self.said(stack)
        assert f"makes '{prefix}out/a.csv' of 'out/a.csv'" in sentence
        assert f"prefix='{prefix}/'" in sentence

    @pytest.mark.parametrize("prefix", ["done/", "in/done/"])
    def test_a_folder_is_not(self, stack: cdk.Stack, prefix: str) -> None:
        rules = DeliveryRules(after_delivery=AfterDelivery.move(prefix=prefix))
        new_delivery(stack, server=partner(rules), sources=[Source(bucket(stack), prefix="out/")])
        assert self.said(stack) == []

    def test_none_in_another_bucket_is_not(self, stack: cdk.Stack) -> None:
        new_delivery(stack, server=partner(to("archive")), bucket=bucket(stack))
        assert self.said(stack) == []


class TestEarlierCopies:
    def said(self, stack: cdk.Stack) -> list[str]:
        found = Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("is replaced, and"))
        return [str(each.entry.data) for each in found]

    def test_bucket_that_is_imported_is_warned_of(self, stack: cdk.Stack) -> None:
        bucket(stack, "archive")
        new_delivery(stack, server=partner(to("archive", "in/")), bucket=bucket(stack))
        (sentence,) = self.said(stack)
        assert sentence.startswith(
            "Delivered objects are moved to 'in/*' in 'archive', which is not known to"
        )
        assert "Turn on versioning (versioned=True), or put objects only under keys with a date" in sentence

    def test_bucket_without_versions_is_warned_of(self, stack: cdk.Stack) -> None:
        s3.Bucket(stack, "Archive", bucket_name="archive")
        new_delivery(stack, server=partner(to("archive")), bucket=bucket(stack))
        assert len(self.said(stack)) == 1

    def test_bucket_of_which_nothing_is_known_is_warned_of(self, stack: cdk.Stack) -> None:
        new_delivery(stack, server=partner(to("archive-of-orders")), bucket=bucket(stack))
        assert len(self.said(stack)) == 1

    def test_own_bucket_without_versions_is_warned_of(self, stack: cdk.Stack) -> None:
        new_delivery(stack, server=partner(MOVE), sources=[Source(s3.Bucket(stack, "Theirs"), prefix="out/")])
        (sentence,) = self.said(stack)
        assert "to 'delivered/out/*' in the bucket of the source, which" in sentence

    def test_versions_are_enough(self, stack: cdk.Stack) -> None:
        s3.Bucket(stack, "Archive", bucket_name="archive", versioned=True)
        new_delivery(stack, server=partner(to("archive")), bucket=bucket(stack))
        assert self.said(stack) == []

    def test_versions_that_are_turned_on_later_are_enough(self, stack: cdk.Stack) -> None:
        made = s3.Bucket(stack, "Archive", bucket_name="archive")
        new_delivery(stack, server=partner(to("archive")), bucket=bucket(stack))
        child = made.node.default_child
        assert isinstance(child, s3.CfnBucket)
        child.versioning_configuration = s3.CfnBucket.VersioningConfigurationProperty(status="Enabled")
        assert self.said(stack) == []

    def test_bucket_that_the_construct_creates_has_versions(self, stack: cdk.Stack) -> None:
        S3ToSftp(stack, "Delivery", server=partner(MOVE), prefix="out/")
        assert self.said(stack) == []


class TestPartsOfCopies:
    RULE = s3.LifecycleRule(abort_incomplete_multipart_upload_after=cdk.Duration.days(7))

    def said(self, stack: cdk.Stack) -> list[str]:
        return warnings_of(stack, "moveMayLeaveParts")

    def archive(self, stack: cdk.Stack, *rules: s3.LifecycleRule) -> None:
        s3.Bucket(stack, "Archive", bucket_name="archive", lifecycle_rules=list(rules))
        new_delivery(stack, server=partner(to("archive", "in/")), bucket=bucket(stack))

    def test_bucket_that_is_imported_is_warned_of(self, stack: cdk.Stack) -> None:
        bucket(stack, "archive")
        new_delivery(stack, server=partner(to("archive", "in/")), bucket=bucket(stack))
        (sentence,) = self.said(stack)
        assert "copied in parts to 'in/*' in 'archive', which is not known to abort" in sentence
        assert (
            "a lifecycle rule: LifecycleRule(abort_incomplete_multipart_upload_after=Duration.days(7))"
            in sentence
        )

    def test_bucket_of_which_nothing_is_known_is_warned_of(self, stack: cdk.Stack) -> None:
        new_delivery(stack, server=partner(to("archive-of-orders")), bucket=bucket(stack))
        assert len(self.said(stack)) == 1

    def test_bucket_without_the_lifecycle_rule_is_warned_of(self, stack: cdk.Stack) -> None:
        self.archive(stack, s3.LifecycleRule(expiration=cdk.Duration.days(400)))
        assert len(self.said(stack)) == 1

    @pytest.mark.parametrize(
        ("about", "is_warned_of"),
        [({}, False), ({"prefix": "i"}, False), ({"prefix": "out/"}, True), ({"enabled": False}, True)],
        ids=["all", "prefix", "other prefix", "disabled"],
    )
    def test_lifecycle_rule_has_to_be_about_the_copies(
        self, stack: cdk.Stack, about: dict[str, Any], *, is_warned_of: bool
    ) -> None:
        after = cdk.Duration.days(7)
        self.archive(stack, s3.LifecycleRule(abort_incomplete_multipart_upload_after=after, **about))
        assert bool(self.said(stack)) is is_warned_of

    def test_rule_that_is_added_later_is_enough(self, stack: cdk.Stack) -> None:
        made = s3.Bucket(stack, "Archive", bucket_name="archive")
        new_delivery(stack, server=partner(to("archive")), bucket=bucket(stack))
        made.add_lifecycle_rule(abort_incomplete_multipart_upload_after=cdk.Duration.days(7))
        assert self.said(stack) == []

    def test_bucket_that_the_construct_creates_has_the_rule(self, stack: cdk.Stack) -> None:
        S3ToSftp(stack, "Delivery", server=partner(MOVE), prefix="out/")
        assert self.said(stack) == []

    @pytest.mark.parametrize(("most", "is_warned_of"), [(5 * 1024**3, False), (5 * 1024**3 + 1, True)])
    def test_objects_that_one_request_copies_have_no_parts(
        self, stack: cdk.Stack, most: int, *, is_warned_of: bool
    ) -> None:
        rules = DeliveryRules(
            only=Filter(max_bytes=most), after_delivery=AfterDelivery.move(prefix="", bucket="archive")
        )
        new_delivery(stack, server=partner(rules), bucket=bucket(stack))
        assert bool(self.said(stack)) is is_warned_of


@pytest.mark.parametrize("rules", [TAG, MOVE, DELETE], ids=["tag", "move", "delete"])
def test_rules_add_no_finding_of_the_rule_packs(rules: DeliveryRules) -> None:
    app = new_app()
    stack = cdk.Stack(app, "Test")
    S3ToSftp(stack, "Delivery", server=partner(rules), prefix="out/")
    assert [path for path, _ in findings(app) if path.startswith("Test/Delivery/")] == []
