"""Where objects come from: any bucket, several of them, and what must not go together."""

import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_notifications as s3n
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import InvalidArgument, S3ToSftp, SftpServer, Source, Trigger
from s3_to_sftp.delivery.remote_path import SourceDirectory
from s3_to_sftp.settings import Settings
from tests.infra.conftest import new_app, warned
from tests.support.infra.keys import ED25519

READ_OBJECTS = [
    "s3:GetObject",
    "s3:GetObjectAttributes",
    "s3:GetObjectVersion",
    "s3:GetObjectVersionAttributes",
]


@pytest.fixture
def app() -> cdk.App:
    return new_app()


@pytest.fixture
def stack(app: cdk.App) -> cdk.Stack:
    return cdk.Stack(app, "Test")


def partner(scope: cdk.Stack, name: str = "Delivery", **arguments: Any) -> S3ToSftp:
    """A partner without a source, unless it is given one."""
    server = arguments.pop("server", SftpServer("sftp.partner.example", host_keys=[ED25519]))
    arguments = arguments if "bucket" in arguments else {"sources": [], **arguments}
    return S3ToSftp(scope, name, server=server, **arguments)


def properties(stack: cdk.Stack, kind: str) -> list[dict[str, Any]]:
    found = Template.from_stack(stack).find_resources(kind)
    return [each["Properties"] for _, each in sorted(found.items())]


def notifications(stack: cdk.Stack) -> list[dict[str, Any]]:
    return [
        rule
        for each in properties(stack, "Custom::S3BucketNotifications")
        for rule in each["NotificationConfiguration"]["QueueConfigurations"]
    ]


def filters(rule: dict[str, Any]) -> dict[str, str]:
    return {each["Name"]: each["Value"] for each in rule["Filter"]["Key"]["FilterRules"]}


def the_function(stack: cdk.Stack) -> dict[str, Any]:
    (function,) = [
        each
        for each in properties(stack, "AWS::Lambda::Function")
        if each["Handler"] == "s3_to_sftp.handler.lambda_handler"
    ]
    return function


class TestSeveral:
    def test_are_announced_to_one_queue(self, stack: cdk.Stack) -> None:
        delivery = partner(stack)
        one, other = s3.Bucket(stack, "One"), s3.Bucket(stack, "Other")
        delivery.add_source(one, prefix="a/")
        delivery.add_source(one, prefix="b/", suffix=".csv")
        delivery.add_source(other)
        rules = notifications(stack)
        assert len(rules) == 3
        assert len({json.dumps(rule["QueueArn"]) for rule in rules}) == 1
        assert [filters(rule) for rule in rules if "Filter" in rule] == [
            {"prefix": "a/"},
            {"suffix": ".csv", "prefix": "b/"},
        ]

    def test_may_be_given_to_the_constructor(self, stack: cdk.Stack) -> None:
        sources = [Source(s3.Bucket(stack, "One"), prefix="a/"), Source(s3.Bucket(stack, "Other"))]
        delivery = partner(stack, sources=sources)
        assert delivery.sources == tuple(sources)
        assert len(notifications(stack)) == 2
        Template.from_stack(stack).resource_count_is("AWS::S3::Bucket", 2)

    def test_may_be_added_to_the_bucket_that_is_made(self, stack: cdk.Stack) -> None:
        delivery = partner(stack, sources=None)
        added = delivery.add_source(s3.Bucket(stack, "Other"), directory="/other")
        assert [source.bucket for source in delivery.sources] == [delivery.bucket, added.bucket]
        assert len(notifications(stack)) == 2

    def test_can_be_read_and_nothing_else_can(self, stack: cdk.Stack) -> None:
        delivery = partner(stack)
        delivery.add_source(s3.Bucket.from_bucket_name(stack, "One", "one"), prefix="a/")
        delivery.add_source(s3.Bucket.from_bucket_name(stack, "Other", "other"))
        allowed: dict[str, Any] = {}
        (policy,) = [
            each for each in properties(stack, "AWS::IAM::Policy") if "DeliveryRole" in str(each["Roles"])
        ]
        for statement in policy["PolicyDocument"]["Statement"]:
            if "s3:" in str(statement["Action"]):
                allowed[str(statement["Action"])] = [
                    each["Fn::Join"][1][-1] for each in statement["Resource"]
                ]
        assert allowed == {
            str(READ_OBJECTS): [":s3:::one/a/*", ":s3:::other/*"],
            "s3:ListBucket": [":s3:::one", ":s3:::other"],
        }

    def test_none_at_all_is_refused_at_synth(self, app: cdk.App, stack: cdk.Stack) -> None:
        partner(stack)
        with pytest.raises(
            RuntimeError, match=r"nothing to deliver: leave out `sources`, or call add_source"
        ):
            app.synth()

    def test_there_is_no_bucket_before_the_first(self, stack: cdk.Stack) -> None:
        with pytest.raises(LookupError, match=r"Test/Delivery has no source yet"):
            _ = partner(stack).bucket

    def test_exclude_the_arguments_for_one(self, stack: cdk.Stack) -> None:
        with pytest.raises(InvalidArgument) as caught:
            S3ToSftp(
                stack,
                "Delivery",
                server=SftpServer("sftp.partner.example", host_keys=[ED25519]),
                sources=[],
                prefix="a/",
                trigger=Trigger.EVENTBRIDGE,
            )
        assert str(caught.value) == (
            "sources must not be given together with prefix, trigger: move them into a Source"
        )


class TestDirectory:
    def test_of_a_source_reaches_the_function(self, stack: cdk.Stack) -> None:
        delivery = partner(stack)
        delivery.add_source(s3.Bucket.from_bucket_name(stack, "One", "one"))
        two = s3.Bucket.from_bucket_name(stack, "Two", "two")
        delivery.add_source(two, prefix="a/", suffix=".csv", directory="/csv")
        delivery.add_source(two, prefix="b/", directory="/b")
        written = the_function(stack)["Environment"]["Variables"]
        texts = {name: value for name, value in written.items() if isinstance(value, str)}
        read = Settings.from_environment({**texts, "SSH_SECRET_ARN": "arn"})
        assert read.sources == (
            SourceDirectory(bucket="one"),
            SourceDirectory(bucket="two", prefix="a/", suffix=".csv", directory="/csv"),
            SourceDirectory(bucket="two", prefix="b/", directory="/b"),
        )

    def test_of_a_bucket_whose_name_only_a_deployment_knows_reaches_the_function(
        self, stack: cdk.Stack
    ) -> None:
        partner(stack).add_source(s3.Bucket(stack, "One"), directory="/one")
        told = the_function(stack)["Environment"]["Variables"]["SSH_SOURCES"]
        (_, (before, reference, after)) = told["Fn::Join"]
        assert reference["Ref"].startswith("One")
        assert json.loads(f"{before}one{after}") == [{"bucket": "one", "directory": "/one"}]

    def test_sources_without_a_directory_are_left_out_where_not_all_fit(self, stack: cdk.Stack) -> None:
        delivery, bucket = partner(stack), s3.Bucket(stack, "Theirs")
        for number in range(90):
            delivery.add_source(bucket, prefix=f"department-of-very-long-names-{number}/")
        delivery.add_source(bucket, prefix="other/", directory="/other")
        told = the_function(stack)["Environment"]["Variables"]["SSH_SOURCES"]["Fn::Join"][1]
        assert "department" not in json.dumps(told)
        assert "/other" in json.dumps(told)

    @pytest.mark.parametrize(("count", "fits"), [(20, True), (60, False)])
    def test_of_more_sources_than_lambda_has_room_for_fails_at_synth(
        self, app: cdk.App, stack: cdk.Stack, count: int, *, fits: bool
    ) -> None:
        delivery, bucket = partner(stack), s3.Bucket(stack, "Theirs")
        for number in range(count):
            delivery.add_source(bucket, prefix=f"department-{number}/", directory=f"/departments/{number}")
        if fits:
            app.synth()
            return
        with pytest.raises(
            RuntimeError, match=r"need \d{4} bytes of the function's environment, and Lambda "
        ):
            app.synth()

    def test_may_be_known_at_deployment_only(self, stack: cdk.Stack) -> None:
        directory = cdk.CfnParameter(stack, "Directory").value_as_string
        partner(stack).add_source(s3.Bucket.from_bucket_name(stack, "One", "one"), directory=directory)
        assert {"Ref": "Directory"} in the_function(stack)["Environment"]["Variables"]["SSH_SOURCES"][
            "Fn::Join"
        ][1]

    @pytest.mark.parametrize("directory", ["", " ", "in\nbox"])
    def test_that_is_none_is_refused(self, stack: cdk.Stack, directory: str) -> None:
        with pytest.raises(InvalidArgument) as caught:
            partner(stack).add_source(s3.Bucket(stack, "One"), directory=directory)
        assert str(caught.value) == (
            "directory must be a remote path such as /inbox (leave it out for the directory of the server), "
            f"got {directory!r}"
        )

    @pytest.mark.parametrize(
        ("one", "other", "meet"),
        [
            ({}, {}, True),
            ({"directory": "/a"}, {"directory": "/a/b"}, True),
            ({"prefix": "x/"}, {"prefix": "x/y/"}, True),
            ({"directory": "/a"}, {"directory": "/b"}, False),
            ({"prefix": "x/"}, {"prefix": "y/"}, False),
            ({"suffix": ".csv"}, {"suffix": ".pdf"}, False),
            ({}, {"directory": "/elsewhere"}, False),
        ],
    )
    def test_that_two_buckets_share_is_warned_about(
        self, stack: cdk.Stack, one: dict[str, Any], other: dict[str, Any], *, meet: bool
    ) -> None:
        server = SftpServer("sftp.partner.example", directory="/in", host_keys=[ED25519])
        delivery = partner(stack, server=server)
        delivery.add_source(s3.Bucket(stack, "One"), **one)
        delivery.add_source(s3.Bucket(stack, "Other"), **other)
        assert bool(warned(stack, "sharedRemotePaths")) is meet


class TestOverlap:
    @pytest.mark.parametrize("trigger", Trigger)
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({}, {}),
            ({"prefix": "in/"}, {}),
            ({"prefix": "in/"}, {"prefix": "in/deep/"}),
            ({"suffix": ".csv"}, {"prefix": "in/"}),
            ({"suffix": ".csv"}, {"suffix": ".old.csv"}),
            ({"prefix": "in/", "suffix": "v"}, {"prefix": "in/a", "suffix": ".csv"}),
        ],
    )
    def test_in_one_construct_is_refused(
        self, stack: cdk.Stack, one: dict[str, Any], other: dict[str, Any], trigger: Trigger
    ) -> None:
        delivery, bucket = partner(stack), s3.Bucket(stack, "Theirs")
        delivery.add_source(bucket, **one, trigger=trigger)
        with pytest.raises(InvalidArgument, match="objects of both would be announced twice"):
            delivery.add_source(bucket, **other, trigger=trigger)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"prefix": "in/"}, {"prefix": "out/"}),
            ({"suffix": ".csv"}, {"suffix": ".pdf"}),
            ({"prefix": "in/", "suffix": ".csv"}, {"prefix": "in/", "suffix": ".pdf"}),
        ],
    )
    def test_is_what_s3_calls_so(self, stack: cdk.Stack, one: dict[str, Any], other: dict[str, Any]) -> None:
        delivery, bucket = partner(stack), s3.Bucket(stack, "Theirs")
        delivery.add_source(bucket, **one)
        delivery.add_source(bucket, **other)
        assert len(notifications(stack)) == 2

    def test_of_two_constructs_names_both(self, stack: cdk.Stack) -> None:
        bucket = s3.Bucket(stack, "Theirs")
        partner(stack, "ToBank", bucket=bucket, prefix="in/")
        with pytest.raises(InvalidArgument) as caught:
            partner(stack, "ToInsurer", bucket=bucket, prefix="in/deep/", suffix=".csv")
        assert str(caught.value) == (
            "prefix and suffix must not overlap those of another notification of the bucket, got "
            "'in/deep/*.csv' of Test/ToInsurer and 'in/*' of Test/ToBank: S3 allows only one. With "
            "trigger=Trigger.EVENTBRIDGE both get the objects"
        )

    def test_of_two_stacks_is_found_by_the_name_of_the_bucket(self, app: cdk.App) -> None:
        stacks = [cdk.Stack(app, name) for name in ("One", "Other")]
        buckets = [s3.Bucket.from_bucket_name(each, "Theirs", "their-bucket") for each in stacks]
        partner(stacks[0], bucket=buckets[0])
        with pytest.raises(InvalidArgument, match=r"of Other/Delivery and '\*' of One/Delivery"):
            partner(stacks[1], bucket=buckets[1])

    def test_of_rules_of_two_partners_is_what_they_are_for(self, stack: cdk.Stack) -> None:
        bucket = s3.Bucket(stack, "Theirs")
        for name in ("ToBank", "ToInsurer"):
            partner(stack, name, bucket=bucket, prefix="in/", trigger=Trigger.EVENTBRIDGE)
        assert len(properties(stack, "AWS::Events::Rule")) == 2

    def test_that_only_a_deployment_knows_is_left_to_it(self, stack: cdk.Stack) -> None:
        delivery, bucket = partner(stack), s3.Bucket(stack, "Theirs")
        delivery.add_source(bucket)
        delivery.add_source(bucket, prefix=cdk.CfnParameter(stack, "Prefix").value_as_string)
        assert len(notifications(stack)) == 2


class TestBucketOfAnotherStack:
    @pytest.fixture
    def theirs(self, app: cdk.App) -> cdk.Stack:
        return cdk.Stack(app, "Theirs")

    @pytest.mark.parametrize("trigger", Trigger)
    def test_makes_no_cycle_even_with_a_key(
        self, app: cdk.App, theirs: cdk.Stack, stack: cdk.Stack, trigger: Trigger
    ) -> None:
        bucket = s3.Bucket(theirs, "Bucket", encryption_key=kms.Key(theirs, "Key"))
        partner(stack, bucket=bucket, trigger=trigger)
        app.synth()
        (policy,) = [
            each for each in properties(stack, "AWS::IAM::Policy") if "DeliveryRole" in str(each["Roles"])
        ]
        assert "kms:Decrypt" in str(policy["PolicyDocument"])

    def test_has_one_custom_resource_for_all_partners_of_a_stack(
        self, theirs: cdk.Stack, stack: cdk.Stack
    ) -> None:
        bucket = s3.Bucket(theirs, "Bucket")
        partner(stack, "ToBank", bucket=bucket, prefix="bank/")
        partner(stack, "ToInsurer", bucket=bucket, prefix="insurer/")
        assert len(properties(stack, "Custom::S3BucketNotifications")) == 1
        assert len(notifications(stack)) == 2

    def test_keeps_its_custom_resource_whoever_is_first(self, app: cdk.App) -> None:
        names = set()
        for number, partners in enumerate([("ToBank", "ToInsurer"), ("ToInsurer",)]):
            app = new_app()
            bucket, stack = s3.Bucket(cdk.Stack(app, "Theirs"), "Bucket"), cdk.Stack(app, "Test")
            for name in partners:
                partner(stack, name, bucket=bucket, prefix=name)
            names |= set(Template.from_stack(stack).find_resources("Custom::S3BucketNotifications"))
            assert number < 2
        assert len(names) == 1

    def test_whose_own_stack_would_overwrite_the_notification_is_refused(
        self, app: cdk.App, theirs: cdk.Stack, stack: cdk.Stack
    ) -> None:
        bucket = s3.Bucket(theirs, "Bucket")
        partner(stack, bucket=bucket)
        bucket.enable_event_bridge_notification()
        with pytest.raises(
            RuntimeError,
            match=r"the stack of bucket Theirs/Bucket writes all of its notifications \(to EventBridge\) at "
            r"once: its next deployment would remove the notification of Test/Delivery. Use "
            r"trigger=Trigger.EVENTBRIDGE",
        ):
            app.synth()

    def test_whose_own_stack_would_overwrite_the_notification_names_who_is_notified(
        self, app: cdk.App, theirs: cdk.Stack, stack: cdk.Stack
    ) -> None:
        bucket = s3.Bucket(theirs, "Bucket")
        partner(stack, bucket=bucket, prefix="bank/")
        partner(theirs, "ToInsurer", bucket=bucket, prefix="insurer/", trigger=Trigger.NOTIFICATION)
        function = lambda_.Function(
            theirs,
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
    def test_has_its_notifications_written_with_the_role_that_it_came_with(
        self, app: cdk.App, stack: cdk.Stack, *, here: bool
    ) -> None:
        scope = stack if here else cdk.Stack(app, "Platform")
        s3.Bucket(scope, "Own")
        role = iam.Role.from_role_arn(scope, "Handler", "arn:aws:iam::123456789012:role/handler")
        theirs = s3.Bucket.from_bucket_attributes(
            scope, "Theirs", bucket_name="theirs", notifications_handler_role=role
        )
        partner(stack, bucket=theirs)
        handlers = [
            each
            for each in properties(stack, "AWS::Lambda::Function")
            if each["Handler"] != "s3_to_sftp.handler.lambda_handler"
        ]
        assert [each["Role"] for each in handlers] == [role.role_arn]

    def test_imported_twice_is_refused(self, stack: cdk.Stack) -> None:
        delivery = partner(stack)
        delivery.add_source(s3.Bucket.from_bucket_name(stack, "Once", "theirs"), prefix="a/")
        with pytest.raises(InvalidArgument, match=r"imported once in a stack, got Test/Twice and Test/Once"):
            delivery.add_source(s3.Bucket.from_bucket_name(stack, "Twice", "theirs"), prefix="b/")

    @pytest.mark.parametrize(
        "theirs",
        [
            lambda scope: s3.Bucket.from_bucket_name(scope, "Theirs", "theirs"),
            lambda scope: s3.Bucket.from_bucket_arn(scope, "Theirs", "arn:aws:s3:::theirs"),
        ],
        ids=["name", "arn"],
    )
    def test_is_watched_without_touching_what_else_it_announces(self, stack: cdk.Stack, theirs: Any) -> None:
        partner(stack, bucket=theirs(stack))
        (custom,) = properties(stack, "Custom::S3BucketNotifications")
        assert (custom["BucketName"], custom["Managed"]) == ("theirs", False)

    def test_needs_no_statement_in_its_policy_in_this_account(self, stack: cdk.Stack) -> None:
        partner(stack, bucket=s3.Bucket.from_bucket_name(stack, "Theirs", "theirs"))
        assert warned(stack, "policyOfForeignBucket") == []

    def test_of_another_account_comes_with_the_statements_for_its_policy(self, app: cdk.App) -> None:
        stack = cdk.Stack(app, "Ours", env=cdk.Environment(account="111111111111", region="eu-west-1"))
        theirs = s3.Bucket.from_bucket_attributes(
            stack, "Theirs", bucket_name="theirs", account="222222222222"
        )
        delivery = partner(stack, bucket=theirs, prefix="in/", trigger=Trigger.EVENTBRIDGE)
        (warning,) = warned(stack, "policyOfForeignBucket")
        assert "belongs to account 222222222222" in warning
        read, look = (
            stack.resolve(each.to_statement_json()) for each in delivery.bucket_policy_statements(theirs)
        )
        assert read["Action"] == READ_OBJECTS
        assert look["Action"] == "s3:ListBucket"
        assert (read["Resource"], look["Resource"]) == ("arn:aws:s3:::theirs/in/*", "arn:aws:s3:::theirs")
        for statement in (read, look):
            assert "DeliveryRole" in str(statement["Principal"]["AWS"])

    def test_that_is_no_source_has_no_statements(self, stack: cdk.Stack) -> None:
        delivery = partner(stack, bucket=s3.Bucket(stack, "Theirs"))
        with pytest.raises(InvalidArgument, match="must be a source of Test/Delivery, got Test/Other"):
            delivery.bucket_policy_statements(s3.Bucket(stack, "Other"))

    def test_with_an_imported_key_comes_with_the_statement_for_its_policy(self, stack: cdk.Stack) -> None:
        key = kms.Key.from_key_arn(stack, "Key", "arn:aws:kms:eu-west-1:123456789012:key/0")
        theirs = s3.Bucket.from_bucket_attributes(stack, "Theirs", bucket_name="theirs", encryption_key=key)
        delivery = partner(stack, bucket=theirs)
        (warning,) = warned(stack, "policyOfImportedKey")
        assert "`key_policy_statements(key)`" in warning
        (statement,) = delivery.key_policy_statements(key)
        said = stack.resolve(statement.to_statement_json())
        assert (said["Action"], said["Resource"]) == ("kms:Decrypt", "*")
        assert "DeliveryRole" in str(said["Principal"])


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
    def test_passes_on_what_matches(
        self, stack: cdk.Stack, given: dict[str, Any], key: dict[str, str]
    ) -> None:
        theirs = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
        partner(stack).add_source(theirs, trigger=Trigger.EVENTBRIDGE, **given)
        (rule,) = properties(stack, "AWS::Events::Rule")
        assert rule["EventPattern"] == {
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {"bucket": {"name": ["theirs"]}, "object": {"key": [key]}},
        }

    def test_passes_on_all_objects_to_the_queue_and_what_it_cannot_to_the_other_queue(
        self, stack: cdk.Stack
    ) -> None:
        bucket = s3.Bucket(stack, "Theirs")
        partner(stack, bucket=bucket, trigger=Trigger.EVENTBRIDGE)
        (rule,) = properties(stack, "AWS::Events::Rule")
        assert list(rule["EventPattern"]["detail"]) == ["bucket"]
        (target,) = rule["Targets"]
        assert "DeliveryQueue" in str(target["Arn"])
        assert "DeliveryDeadLetterQueue" in str(target["DeadLetterConfig"])
        assert "Input" not in str(target)

    def test_is_switched_on_for_a_bucket_of_the_app(self, stack: cdk.Stack) -> None:
        partner(stack, bucket=s3.Bucket(stack, "Theirs"), trigger=Trigger.EVENTBRIDGE)
        (custom,) = properties(stack, "Custom::S3BucketNotifications")
        assert custom["NotificationConfiguration"] == {"EventBridgeConfiguration": {}}
        assert warned(stack, "eventBridgeOfImportedBucket") == []

    def test_must_be_switched_on_for_an_imported_bucket_by_its_owner(self, stack: cdk.Stack) -> None:
        theirs = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
        partner(stack, bucket=theirs, trigger=Trigger.EVENTBRIDGE)
        (warning,) = warned(stack, "eventBridgeOfImportedBucket")
        assert '"Send notifications to Amazon EventBridge"' in warning
        Template.from_stack(stack).resource_count_is("Custom::S3BucketNotifications", 0)

    def test_rules_stay_as_they_are_when_sources_change_places(self) -> None:
        rules = []
        for prefixes in (["a/", "b/"], ["b/", "a/", "c/"]):
            stack = cdk.Stack(new_app(), "Test")
            delivery, bucket = partner(stack), s3.Bucket(stack, "Theirs")
            for prefix in prefixes:
                delivery.add_source(bucket, prefix=prefix, trigger=Trigger.EVENTBRIDGE)
            rules.append(Template.from_stack(stack).find_resources("AWS::Events::Rule"))
        before, after = rules
        assert before.items() <= after.items()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("prefix", "/in/", "must not begin with '/'"),
        ("prefix", "in//", "must not hold '//'"),
        ("prefix", "in/../", "must not hold '//'"),
        ("suffix", "/", "must not end with '/'"),
        ("suffix", "//a", "must not hold '//'"),
        ("directory", "~/inbox", "must not begin with '~'"),
    ],
)
def test_what_no_object_can_be_delivered_by_is_refused(
    stack: cdk.Stack, name: str, value: str, why: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Source(s3.Bucket(stack, "Theirs"), **{name: value})  # type: ignore[arg-type]  # one of its texts
    assert str(caught.value).startswith(f"{name} {why}")


@pytest.mark.parametrize(("prefix", "suffix"), [("in", None), ("in/", ".csv"), ("in/..", "/a.csv"), ("", "")])
def test_a_filter_of_deliverable_keys_is_taken(stack: cdk.Stack, prefix: str, suffix: str | None) -> None:
    assert Source(s3.Bucket(stack, "Theirs"), prefix=prefix, suffix=suffix).prefix == prefix


@pytest.mark.parametrize("name", ["prefix", "suffix"])
def test_a_wildcard_is_refused(stack: cdk.Stack, name: str) -> None:
    filtered: dict[str, Any] = {name: "a*"}
    with pytest.raises(InvalidArgument) as caught:
        partner(stack).add_source(s3.Bucket(stack, "Theirs"), **filtered)
    assert str(caught.value) == (
        f"{name} must not contain '*': S3 compares it literally, got 'a*'; remove the '*'"
    )
