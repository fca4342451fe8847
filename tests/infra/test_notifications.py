"""S3 notifications and EventBridge rules, by the owner of the bucket: this stack, another one, or neither."""

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_notifications as s3n
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import InvalidArgument, Trigger
from tests.infra.conftest import new_app, warnings_of
from tests.infra.templates import READ_ACTIONS, new_delivery, queue_notifications, stack_properties


class TestBucketOfAnotherStack:
    @pytest.fixture
    def owner_stack(self, app: cdk.App) -> cdk.Stack:
        return cdk.Stack(app, "Theirs")

    @pytest.mark.parametrize("trigger", Trigger)
    def test_encrypted_bucket_causes_no_dependency_cycle(
        self, app: cdk.App, owner_stack: cdk.Stack, stack: cdk.Stack, trigger: Trigger
    ) -> None:
        bucket = s3.Bucket(owner_stack, "Bucket", encryption_key=kms.Key(owner_stack, "Key"))
        new_delivery(stack, bucket=bucket, trigger=trigger)
        app.synth()
        (policy,) = [
            each
            for each in stack_properties(stack, "AWS::IAM::Policy")
            if "DeliveryRole" in str(each["Roles"])
        ]
        assert "kms:Decrypt" in str(policy["PolicyDocument"])

    def test_all_deliveries_of_a_stack_share_one_custom_resource(
        self, owner_stack: cdk.Stack, stack: cdk.Stack
    ) -> None:
        bucket = s3.Bucket(owner_stack, "Bucket")
        new_delivery(stack, "ToBank", bucket=bucket, prefix="bank/")
        new_delivery(stack, "ToInsurer", bucket=bucket, prefix="insurer/")
        assert len(stack_properties(stack, "Custom::S3BucketNotifications")) == 1
        assert len(queue_notifications(stack)) == 2

    def test_id_of_the_custom_resource_does_not_depend_on_the_order(self) -> None:
        names = set()
        for partners in [("ToBank", "ToInsurer"), ("ToInsurer", "ToBank")]:
            app = new_app()
            bucket, stack = s3.Bucket(cdk.Stack(app, "Theirs"), "Bucket"), cdk.Stack(app, "Test")
            for name in partners:
                new_delivery(stack, name, bucket=bucket, prefix=name)
            names |= set(Template.from_stack(stack).find_resources("Custom::S3BucketNotifications"))
        assert len(names) == 1

    def test_bucket_whose_stack_overwrites_the_notification_is_refused(
        self, app: cdk.App, owner_stack: cdk.Stack, stack: cdk.Stack
    ) -> None:
        bucket = s3.Bucket(owner_stack, "Bucket")
        new_delivery(stack, bucket=bucket)
        bucket.enable_event_bridge_notification()
        with pytest.raises(
            RuntimeError,
            match=r"the stack of bucket Theirs/Bucket writes all of its notifications \(to EventBridge\) at "
            r"once: its next deployment would remove the notification of Test/Delivery. Use "
            r"trigger=Trigger.EVENTBRIDGE",
        ):
            app.synth()

    def test_overwrite_error_names_the_other_targets(
        self, app: cdk.App, owner_stack: cdk.Stack, stack: cdk.Stack
    ) -> None:
        bucket = s3.Bucket(owner_stack, "Bucket")
        new_delivery(stack, bucket=bucket, prefix="bank/")
        new_delivery(owner_stack, "ToInsurer", bucket=bucket, prefix="insurer/", trigger=Trigger.NOTIFICATION)
        function = lambda_.Function(
            owner_stack,
            "Thumbnails",
            runtime=lambda_.Runtime.PYTHON_3_13,
            code=lambda_.Code.from_inline("-"),
            handler="index.handler",
        )
        bucket.add_object_removed_notification(s3n.LambdaDestination(function))
        with pytest.raises(RuntimeError, match=r"\(to Theirs/ToInsurer/Queue, Theirs/.*Thumbnails.*\)"):
            app.synth()


class TestImportedBucket:
    @pytest.mark.parametrize("here", [True, False], ids=["here", "other-stack"])
    def test_handler_of_an_imported_bucket_uses_its_given_role(
        self, app: cdk.App, stack: cdk.Stack, *, here: bool
    ) -> None:
        scope = stack if here else cdk.Stack(app, "Platform")
        s3.Bucket(scope, "Own")
        role = iam.Role.from_role_arn(scope, "Handler", "arn:aws:iam::123456789012:role/handler")
        existing = s3.Bucket.from_bucket_attributes(
            scope, "Theirs", bucket_name="theirs", notifications_handler_role=role
        )
        new_delivery(stack, bucket=existing)
        handlers = [
            each
            for each in stack_properties(stack, "AWS::Lambda::Function")
            if each["Handler"] != "s3_to_sftp.handler.lambda_handler"
        ]
        assert [each["Role"] for each in handlers] == [role.role_arn]

    def test_bucket_imported_twice_is_refused(self, stack: cdk.Stack) -> None:
        delivery = new_delivery(stack)
        delivery.add_source(s3.Bucket.from_bucket_name(stack, "Once", "theirs"), prefix="a/")
        with pytest.raises(InvalidArgument, match=r"imported once in a stack, got Test/Twice and Test/Once"):
            delivery.add_source(s3.Bucket.from_bucket_name(stack, "Twice", "theirs"), prefix="b/")

    @pytest.mark.parametrize(
        "existing",
        [
            lambda scope: s3.Bucket.from_bucket_name(scope, "Theirs", "theirs"),
            lambda scope: s3.Bucket.from_bucket_arn(scope, "Theirs", "arn:aws:s3:::theirs"),
        ],
        ids=["name", "arn"],
    )
    def test_other_notifications_of_an_imported_bucket_are_kept(
        self, stack: cdk.Stack, existing: Any
    ) -> None:
        new_delivery(stack, bucket=existing(stack))
        (custom,) = stack_properties(stack, "Custom::S3BucketNotifications")
        assert (custom["BucketName"], custom["Managed"]) == ("theirs", False)

    def test_imported_bucket_of_the_same_account_adds_no_policy_warning(self, stack: cdk.Stack) -> None:
        new_delivery(stack, bucket=s3.Bucket.from_bucket_name(stack, "Theirs", "theirs"))
        assert warnings_of(stack, "policyOfForeignBucket") == []

    def test_bucket_of_another_account_gets_a_warning_and_policy_statements(self, app: cdk.App) -> None:
        stack = cdk.Stack(app, "Ours", env=cdk.Environment(account="111111111111", region="eu-west-1"))
        existing = s3.Bucket.from_bucket_attributes(
            stack, "Theirs", bucket_name="theirs", account="222222222222"
        )
        delivery = new_delivery(stack, bucket=existing, prefix="in/", trigger=Trigger.EVENTBRIDGE)
        (warning,) = warnings_of(stack, "policyOfForeignBucket")
        assert "belongs to account 222222222222" in warning
        read, list_bucket = (
            stack.resolve(each.to_statement_json()) for each in delivery.bucket_policy_statements(existing)
        )
        assert read["Action"] == READ_ACTIONS
        assert list_bucket["Action"] == "s3:ListBucket"
        assert (read["Resource"], list_bucket["Resource"]) == (
            "arn:aws:s3:::theirs/in/*",
            "arn:aws:s3:::theirs",
        )
        for statement in (read, list_bucket):
            assert "DeliveryRole" in str(statement["Principal"]["AWS"])

    def test_policy_statements_of_a_bucket_without_source_are_refused(self, stack: cdk.Stack) -> None:
        delivery = new_delivery(stack, bucket=s3.Bucket(stack, "Theirs"))
        with pytest.raises(InvalidArgument, match="must be a source of Test/Delivery, got Test/Other"):
            delivery.bucket_policy_statements(s3.Bucket(stack, "Other"))

    def test_imported_key_of_the_bucket_gets_a_warning_and_policy_statement(self, stack: cdk.Stack) -> None:
        key = kms.Key.from_key_arn(stack, "Key", "arn:aws:kms:eu-west-1:123456789012:key/0")
        existing = s3.Bucket.from_bucket_attributes(stack, "Theirs", bucket_name="theirs", encryption_key=key)
        delivery = new_delivery(stack, bucket=existing)
        (warning,) = warnings_of(stack, "policyOfImportedKey")
        assert "`key_policy_statements(key)`" in warning
        (statement,) = delivery.key_policy_statements(key)
        resolved = stack.resolve(statement.to_statement_json())
        assert (resolved["Action"], resolved["Resource"]) == ("kms:Decrypt", "*")
        assert "DeliveryRole" in str(resolved["Principal"])


class TestEventBridge:
    @pytest.mark.parametrize(
        ("given", "key"),
        [
            ({"prefix": "in/"}, {"prefix": "in/"}),
            ({"suffix": ".csv"}, {"suffix": ".csv"}),
            ({"prefix": "in/", "suffix": ".csv"}, {"wildcard": "in/*.csv"}),
            ({"prefix": "in\\", "suffix": ".csv"}, {"wildcard": "in\\\\*.csv"}),
            ({"prefix": "a=1/B ü+/"}, {"prefix": "a=1/B ü+/"}),
        ],
    )
    def test_rule_matches_prefix_and_suffix(
        self, stack: cdk.Stack, given: dict[str, Any], key: dict[str, str]
    ) -> None:
        existing = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
        new_delivery(stack).add_source(existing, trigger=Trigger.EVENTBRIDGE, **given)
        (rule,) = stack_properties(stack, "AWS::Events::Rule")
        assert rule["EventPattern"] == {
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {"bucket": {"name": ["theirs"]}, "object": {"key": [key]}},
        }

    def test_rule_targets_the_queue_and_has_a_dead_letter_queue(self, stack: cdk.Stack) -> None:
        bucket = s3.Bucket(stack, "Theirs")
        new_delivery(stack, bucket=bucket, trigger=Trigger.EVENTBRIDGE)
        (rule,) = stack_properties(stack, "AWS::Events::Rule")
        assert list(rule["EventPattern"]["detail"]) == ["bucket"]
        (target,) = rule["Targets"]
        assert "DeliveryQueue" in str(target["Arn"])
        assert "DeliveryDeadLetterQueue" in str(target["DeadLetterConfig"])
        assert "Input" not in str(target)

    def test_eventbridge_is_enabled_for_a_bucket_of_the_app(self, stack: cdk.Stack) -> None:
        new_delivery(stack, bucket=s3.Bucket(stack, "Theirs"), trigger=Trigger.EVENTBRIDGE)
        (custom,) = stack_properties(stack, "Custom::S3BucketNotifications")
        assert custom["NotificationConfiguration"] == {"EventBridgeConfiguration": {}}
        assert warnings_of(stack, "eventBridgeOfImportedBucket") == []

    def test_imported_bucket_without_eventbridge_adds_a_warning(self, stack: cdk.Stack) -> None:
        existing = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
        new_delivery(stack, bucket=existing, trigger=Trigger.EVENTBRIDGE)
        (warning,) = warnings_of(stack, "eventBridgeOfImportedBucket")
        assert '"Send notifications to Amazon EventBridge"' in warning
        Template.from_stack(stack).resource_count_is("Custom::S3BucketNotifications", 0)

    def test_rules_do_not_depend_on_the_order_of_sources(self) -> None:
        rules = []
        for prefixes in (["a/", "b/"], ["b/", "a/", "c/"]):
            stack = cdk.Stack(new_app(), "Test")
            delivery, bucket = new_delivery(stack), s3.Bucket(stack, "Theirs")
            for prefix in prefixes:
                delivery.add_source(bucket, prefix=prefix, trigger=Trigger.EVENTBRIDGE)
            rules.append(Template.from_stack(stack).find_resources("AWS::Events::Rule"))
        before, after = rules
        assert before.items() <= after.items()
