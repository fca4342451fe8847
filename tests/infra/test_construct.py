from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk.assertions import Match, Template

from cdk_s3_to_sftp import InvalidArgument, S3ToSftp, SftpServer, Source, UnknownOutcome
from cdk_s3_to_sftp.queues import most_receives
from s3_to_sftp import configured_by, settings
from s3_to_sftp.delivery import unknown_outcome
from tests.infra.conftest import Synthesise, new_app
from tests.support.infra.keys import ECDSA, ED25519

PARTNER = [{"Key": "s3-to-sftp:partner", "Value": "sftp.partner.example"}]

LEDGER_KEYS: dict[str, Any] = {
    "partition_key": dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
    "sort_key": dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
}


def resources(template: Template, kind: str) -> list[dict[str, Any]]:
    """The resources of this type that belong to the construct."""
    found = template.find_resources(kind)
    return [dict(each) for name, each in sorted(found.items()) if name.startswith("Delivery")]


def only(template: Template, kind: str) -> dict[str, Any]:
    (resource,) = resources(template, kind)
    properties: dict[str, Any] = resource["Properties"]
    return properties


def variables(template: Template) -> dict[str, Any]:
    written: dict[str, Any] = only(template, "AWS::Lambda::Function")["Environment"]["Variables"]
    return written


def work_queue(template: Template) -> dict[str, Any]:
    (queue,) = [
        each for each in resources(template, "AWS::SQS::Queue") if "RedrivePolicy" in each["Properties"]
    ]
    properties: dict[str, Any] = queue["Properties"]
    return properties


def permissions(template: Template) -> dict[str, list[str]]:
    """Resource -> actions of the function's role, the resource in a readable form."""
    statements = [
        statement
        for each in resources(template, "AWS::IAM::Policy")
        for statement in each["Properties"]["PolicyDocument"]["Statement"]
        if "DeliveryRole" in str(each["Properties"]["Roles"]) and statement["Effect"] == "Allow"
    ]
    allowed: dict[str, list[str]] = {}
    for statement in statements:
        actions = statement["Action"]
        allowed[readable(statement["Resource"])] = [actions] if isinstance(actions, str) else actions
    return allowed


def readable(value: Any) -> str:
    match value:
        case {"Ref": str(pseudo)} if pseudo.startswith("AWS::"):
            return pseudo
        case {"Fn::GetAtt": [name, "Arn"]} | {"Ref": name}:
            return str(name)[:-8]  # without the hash
        case {"Fn::Join": [_, parts]}:
            return "".join(readable(part) if isinstance(part, dict) else part for part in parts)
    return str(value)


class TestBucket:
    def test_is_private_encrypted_and_versioned(self, default_template: Template) -> None:
        assert only(default_template, "AWS::S3::Bucket") == {
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
                ]
            },
            "LifecycleConfiguration": {
                "Rules": [
                    {
                        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                        "ExpiredObjectDeleteMarker": True,
                        "Id": "OldVersions",
                        "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
                        "Status": "Enabled",
                    }
                ]
            },
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
            "Tags": PARTNER,
            "VersioningConfiguration": {"Status": "Enabled"},
        }

    def test_stays_when_the_stack_goes(self, default_template: Template) -> None:
        kept = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}
        default_template.has_resource("AWS::S3::Bucket", kept)

    def test_announces_every_object_to_the_queue(self, default_template: Template) -> None:
        (rule,) = only(default_template, "Custom::S3BucketNotifications")["NotificationConfiguration"][
            "QueueConfigurations"
        ]
        assert readable(rule["QueueArn"]) == "DeliveryQueue"
        assert rule["Events"] == ["s3:ObjectCreated:*"]
        assert "Filter" not in rule

    def test_announces_only_what_matches_prefix_and_suffix(self, synthesise: Synthesise) -> None:
        template = synthesise(prefix="outgoing/", suffix=".csv")
        (rule,) = only(template, "Custom::S3BucketNotifications")["NotificationConfiguration"][
            "QueueConfigurations"
        ]
        assert rule["Filter"]["Key"]["FilterRules"] == [
            {"Name": "suffix", "Value": ".csv"},
            {"Name": "prefix", "Value": "outgoing/"},
        ]

    def test_that_is_passed_in_is_used(self, stack: cdk.Stack, synthesise: Synthesise) -> None:
        template = synthesise(bucket=s3.Bucket.from_bucket_name(stack, "Theirs", "their-bucket"))
        template.resource_count_is("AWS::S3::Bucket", 0)
        template.has_resource_properties("Custom::S3BucketNotifications", {"BucketName": "their-bucket"})

    def test_of_another_stack_makes_no_cycle(self, server: SftpServer) -> None:
        app = new_app()
        theirs = s3.Bucket(cdk.Stack(app, "Theirs"), "Bucket")
        ours = cdk.Stack(app, "Ours")
        S3ToSftp(ours, "Delivery", server=server, bucket=theirs)
        app.synth()
        (custom,) = Template.from_stack(ours).find_resources("Custom::S3BucketNotifications").values()
        assert custom["Properties"]["Managed"] is False

    def test_with_a_key_of_its_own_can_be_read(self, stack: cdk.Stack, synthesise: Synthesise) -> None:
        template = synthesise(
            bucket=s3.Bucket(stack, "Theirs", encryption_key=kms.Key(stack, "DeliveryKey")),
        )
        assert permissions(template)["DeliveryKey"] == ["kms:Decrypt"]


class TestCredentials:
    def test_are_a_placeholder_that_never_changes(self, default_template: Template) -> None:
        # Other text would overwrite the login of every stack that is updated.
        assert only(default_template, "AWS::SecretsManager::Secret")["SecretString"] == (
            '{"username":"REPLACE-ME","password":"","private_key":"","passphrase":""}'
        )

    def test_that_are_passed_in_are_used(self, stack: cdk.Stack, synthesise: Synthesise) -> None:
        arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:bank-AbCdEf"
        template = synthesise(
            credentials=secretsmanager.Secret.from_secret_complete_arn(stack, "Theirs", arn),
        )
        template.resource_count_is("AWS::SecretsManager::Secret", 0)
        assert permissions(template)[arn] == ["secretsmanager:GetSecretValue"]
        assert only(template, "AWS::Lambda::Function")["Environment"]["Variables"]["SSH_SECRET_ARN"] == arn

    def test_known_by_name_can_be_read_whatever_suffix_the_arn_has(
        self, stack: cdk.Stack, synthesise: Synthesise
    ) -> None:
        template = synthesise(credentials=secretsmanager.Secret.from_secret_name_v2(stack, "Theirs", "bank"))
        (resource,) = [each for each in permissions(template) if "secret:" in each]
        assert resource.endswith(":secret:bank-??????")

    def test_with_a_key_of_their_own_can_be_read(self, stack: cdk.Stack, synthesise: Synthesise) -> None:
        template = synthesise(
            credentials=secretsmanager.Secret(stack, "Theirs", encryption_key=kms.Key(stack, "DeliveryKey")),
        )
        assert permissions(template)["DeliveryKey"] == ["kms:Decrypt"]


class TestQueues:
    def test_are_encrypted_and_take_the_largest_notification(self, default_template: Template) -> None:
        queues = resources(default_template, "AWS::SQS::Queue")
        assert len(queues) == 2
        for queue in queues:
            assert queue["Properties"]["SqsManagedSseEnabled"] is True
            assert queue["Properties"]["MaximumMessageSize"] >= 64 * 1024

    def test_keep_messages_as_long_as_sqs_can(self, default_template: Template) -> None:
        for queue in resources(default_template, "AWS::SQS::Queue"):
            assert queue["Properties"]["MessageRetentionPeriod"] == 14 * 24 * 3600

    @pytest.mark.parametrize("kind", ["AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"])
    def test_and_bucket_refuse_plain_http(self, default_template: Template, kind: str) -> None:
        policies = resources(default_template, kind)
        assert policies
        for policy in policies:
            first = policy["Properties"]["PolicyDocument"]["Statement"][0]
            assert (first["Effect"], first["Condition"]) == (
                "Deny",
                {"Bool": {"aws:SecureTransport": "false"}},
            )

    def test_only_the_bucket_and_rules_of_the_account_may_send(self, default_template: Template) -> None:
        senders = [
            statement["Condition"]
            for policy in resources(default_template, "AWS::SQS::QueuePolicy")
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
            if "sqs:SendMessage" in statement["Action"]
        ]
        from_bucket, from_rules = senders
        assert [readable(arn) for arn in from_bucket["ArnLike"]["aws:SourceArn"]] == ["DeliveryBucket"]
        assert ":rule/*" in readable(from_rules["ArnLike"]["aws:SourceArn"])
        assert {readable(each["StringEquals"]["aws:SourceAccount"]) for each in senders} == {"AWS::AccountId"}

    @pytest.mark.parametrize("max_connections", [1, 2])
    def test_hide_a_message_for_longer_than_an_invocation_lasts(
        self, synthesise: Synthesise, max_connections: int
    ) -> None:
        template = synthesise(max_connections=max_connections)
        timeout = only(template, "AWS::Lambda::Function")["Timeout"]
        assert work_queue(template)["VisibilityTimeout"] == timeout + 60


FORGOTTEN_AFTER = 14 * 86_400


class TestMostReceives:
    """What SQS counts: invocations that died, and receives that found the one function busy."""

    def test_leave_a_function_that_is_out_of_order_a_long_weekend(self, default_template: Template) -> None:
        queue = work_queue(default_template)
        assert queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"] >= 4 * 86_400

    @pytest.mark.parametrize("max_connections", [1, 2])
    @pytest.mark.parametrize("seconds", [11, 60, 900, 1800])
    def test_are_over_before_the_message_is_forgotten(
        self, synthesise: Synthesise, seconds: int, max_connections: int
    ) -> None:
        queue = work_queue(
            synthesise(
                server=SftpServer(
                    "sftp.partner.example", host_keys=[ED25519], reply_timeout=cdk.Duration.seconds(10)
                ),
                timeout=cdk.Duration.seconds(seconds),
                max_connections=max_connections,
            )
        )
        lasts = queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"]
        assert lasts < 0.8 * FORGOTTEN_AFTER

    def test_leave_what_waits_behind_the_only_connection_as_long_as_possible(
        self, synthesise: Synthesise
    ) -> None:
        queue = work_queue(synthesise(max_connections=1))
        lasts = queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"]
        assert lasts >= 11 * 86_400

    @pytest.mark.parametrize("may_be_throttled", [True, False])
    def test_are_no_more_than_sqs_allows(self, may_be_throttled: bool) -> None:  # noqa: FBT001 - a parameter
        for seconds in (61, 90, 960, 1860):
            count = most_receives(cdk.Duration.seconds(seconds), may_be_throttled=may_be_throttled)
            assert 100 < count <= 1000

    @pytest.mark.parametrize("hours", [1, 24, 72])
    def test_have_nothing_to_do_with_how_long_objects_are_retried(
        self, synthesise: Synthesise, default_template: Template, hours: int
    ) -> None:
        queue = work_queue(synthesise(retry_for=cdk.Duration.hours(hours)))
        assert queue["RedrivePolicy"] == work_queue(default_template)["RedrivePolicy"]


class TestLedger:
    def test_has_the_keys_and_the_index_that_the_function_writes(self, default_template: Template) -> None:
        table = only(default_template, "AWS::DynamoDB::Table")
        assert table["KeySchema"] == keys("pk", "sk")
        (index,) = table["GlobalSecondaryIndexes"]
        assert index["IndexName"] == "by-status"
        assert index["KeySchema"] == keys("status", "status_at")
        assert index["Projection"] == {"ProjectionType": "ALL"}
        assert {each["AttributeType"] for each in table["AttributeDefinitions"]} == {"S"}

    def test_forgets_receipts_when_their_time_is_over(self, default_template: Template) -> None:
        forgets = {"AttributeName": "expires", "Enabled": True}
        assert only(default_template, "AWS::DynamoDB::Table")["TimeToLiveSpecification"] == forgets
        assert variables(default_template)["RECEIPTS_FOR_SECONDS"] == str(400 * 86_400)

    def test_is_paid_per_request(self, default_template: Template) -> None:
        assert only(default_template, "AWS::DynamoDB::Table")["BillingMode"] == "PAY_PER_REQUEST"

    def test_survives_mistakes(self, default_template: Template) -> None:
        kept = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}
        default_template.has_resource("AWS::DynamoDB::Table", kept)
        table = only(default_template, "AWS::DynamoDB::Table")
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}

    def test_that_is_passed_in_is_used(self, stack: cdk.Stack, synthesise: Synthesise) -> None:
        arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/theirs"
        template = synthesise(ledger=dynamodb.Table.from_table_arn(stack, "Theirs", arn))
        template.resource_count_is("AWS::DynamoDB::Table", 0)
        assert variables(template)["LEDGER_TABLE"] == "theirs"
        assert permissions(template)[arn] == ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]

    def test_of_another_stack_makes_no_cycle(self, server: SftpServer) -> None:
        app = new_app()
        theirs = dynamodb.Table(cdk.Stack(app, "Theirs"), "Table", **LEDGER_KEYS)
        S3ToSftp(cdk.Stack(app, "Ours"), "Delivery", server=server, ledger=theirs)
        app.synth()

    def test_with_a_key_of_its_own_can_be_used(self, stack: cdk.Stack, synthesise: Synthesise) -> None:
        key = kms.Key(stack, "DeliveryKey")
        theirs = dynamodb.Table(stack, "Theirs", encryption_key=key, **LEDGER_KEYS)
        assert "kms:Decrypt" in permissions(synthesise(ledger=theirs))["DeliveryKey"]

    def test_is_not_shared(self, stack: cdk.Stack, server: SftpServer, synthesise: Synthesise) -> None:
        insurer = S3ToSftp(stack, "ToInsurer", server=server)
        with pytest.raises(InvalidArgument) as caught:
            synthesise(ledger=insurer.ledger)
        assert str(caught.value) == (
            "ledger must be a table of its own, got the table of Test/ToInsurer: what the other has "
            "delivered would count as delivered here, too"
        )

    def test_that_is_passed_in_is_not_shared_either(
        self, stack: cdk.Stack, server: SftpServer, synthesise: Synthesise
    ) -> None:
        theirs = dynamodb.Table.from_table_name(stack, "Theirs", "theirs")
        S3ToSftp(stack, "ToInsurer", server=server, ledger=theirs)
        with pytest.raises(InvalidArgument, match="got the table of Test/ToInsurer"):
            synthesise(ledger=theirs)


def keys(partition: str, sort: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": sort, "KeyType": "RANGE"},
    ]


class TestEventBus:
    def test_is_the_accounts_own_by_default(self, default_template: Template) -> None:
        default_template.resource_count_is("AWS::Events::EventBus", 0)
        assert readable(variables(default_template)["EVENT_BUS"]).endswith(":event-bus/default")

    def test_that_is_passed_in_is_used_even_in_another_account(
        self, stack: cdk.Stack, synthesise: Synthesise
    ) -> None:
        arn = "arn:aws:events:eu-west-1:210987654321:event-bus/central"
        template = synthesise(event_bus=events.EventBus.from_event_bus_arn(stack, "Theirs", arn))
        assert variables(template)["EVENT_BUS"] == arn
        assert permissions(template)[arn] == ["events:PutEvents"]


class TestFunction:
    def test_is_what_the_documentation_says(self, default_template: Template) -> None:
        function = only(default_template, "AWS::Lambda::Function")
        expected = {
            "Runtime": "python3.13",
            "Architectures": ["x86_64"],
            "Handler": "s3_to_sftp.handler.lambda_handler",
            "Timeout": 900,
            "MemorySize": 512,
        }
        assert {name: function.get(name) for name in expected} == expected

    def test_is_not_traced_by_default(self, default_template: Template) -> None:
        assert "TracingConfig" not in only(default_template, "AWS::Lambda::Function")

    def test_logs_json_into_a_group_of_its_own(self, default_template: Template) -> None:
        logging = only(default_template, "AWS::Lambda::Function")["LoggingConfig"]
        assert logging["LogFormat"] == "JSON"
        assert readable(logging["LogGroup"]) == "DeliveryLog"
        assert only(default_template, "AWS::Logs::LogGroup") == {"RetentionInDays": 90, "Tags": PARTNER}

    def test_takes_size_cpu_and_log_retention_from_the_caller(self, synthesise: Synthesise) -> None:
        template = synthesise(
            memory_size=1769,
            timeout=cdk.Duration.minutes(30),
            architecture=lambda_.Architecture.ARM_64,
            log_retention=logs.RetentionDays.ONE_YEAR,
        )
        function = only(template, "AWS::Lambda::Function")
        assert (function["MemorySize"], function["Timeout"]) == (1769, 1800)
        assert function["Architectures"] == ["arm64"]
        assert only(template, "AWS::Logs::LogGroup") == {"RetentionInDays": 365, "Tags": PARTNER}

    def test_of_the_other_cpu_gets_other_code(
        self, default_template: Template, synthesise: Synthesise
    ) -> None:
        arm = synthesise(architecture=lambda_.Architecture.ARM_64)
        codes = [only(each, "AWS::Lambda::Function")["Code"] for each in (arm, default_template)]
        assert codes[0] != codes[1]

    def test_gets_objects_in_batches_and_reports_failures(self, default_template: Template) -> None:
        mapping = only(default_template, "AWS::Lambda::EventSourceMapping")
        assert mapping["BatchSize"] == 10
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert readable(mapping["EventSourceArn"]) == "DeliveryQueue"

    @pytest.mark.parametrize(("allowed", "of_each"), [(2, "1"), (3, "1"), (4, "2"), (17, "8"), (128, "64")])
    def test_opens_no_more_connections_than_stated(
        self, allowed: int, of_each: str, synthesise: Synthesise
    ) -> None:
        template = synthesise(max_connections=allowed)
        mapping = only(template, "AWS::Lambda::EventSourceMapping")
        assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}
        variables = only(template, "AWS::Lambda::Function")["Environment"]["Variables"]
        assert variables["SSH_MAX_CONNECTIONS"] == of_each
        assert "ReservedConcurrentExecutions" not in only(template, "AWS::Lambda::Function")

    def test_opens_one_connection_where_the_partner_allows_one(self, synthesise: Synthesise) -> None:
        template = synthesise(max_connections=1)
        assert only(template, "AWS::Lambda::Function")["ReservedConcurrentExecutions"] == 1
        assert "ScalingConfig" not in only(template, "AWS::Lambda::EventSourceMapping")

    def test_may_continue_through_its_own_queue_as_often_as_it_takes(
        self, default_template: Template
    ) -> None:
        assert only(default_template, "AWS::Lambda::Function")["RecursiveLoop"] == "Allow"


class TestRole:
    def test_may_do_exactly_this(self, default_template: Template) -> None:
        assert permissions(default_template) == {
            "DeliveryLog": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "DeliveryQueue": [
                "sqs:ChangeMessageVisibility",
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "sqs:ReceiveMessage",
                "sqs:SendMessage",
            ],
            "DeliveryDeadLetterQueue": ["sqs:SendMessage"],
            "DeliveryLedger": ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
            "arn:AWS::Partition:events:AWS::Region:AWS::AccountId:event-bus/default": ["events:PutEvents"],
            "DeliveryBucket/*": [
                "s3:GetObject",
                "s3:GetObjectAttributes",
                "s3:GetObjectVersion",
                "s3:GetObjectVersionAttributes",
            ],
            "DeliveryBucket": ["s3:ListBucket"],
            "DeliveryCredentials": ["secretsmanager:GetSecretValue"],
        }

    def test_reads_only_below_the_prefix(self, synthesise: Synthesise) -> None:
        assert "DeliveryBucket/outgoing/*" in permissions(synthesise(prefix="outgoing/"))

    def test_has_no_managed_policy(self, default_template: Template) -> None:
        default_template.has_resource_properties(
            "AWS::IAM::Role",
            {
                "AssumeRolePolicyDocument": Match.any_value(),
                "ManagedPolicyArns": Match.absent(),
            },
        )
        assert "ManagedPolicyArns" not in only(default_template, "AWS::IAM::Role")


class TestEnvironment:
    def test_names_are_exactly_those_that_the_settings_read(
        self, stack: cdk.Stack, synthesise: Synthesise
    ) -> None:
        everything = SftpServer(
            "sftp.partner.example",
            port=2222,
            directory="/inbox",
            host_keys=[ED25519],
            ciphers=["aes256-ctr"],
            connect_timeout=cdk.Duration.seconds(5),
            reply_timeout=cdk.Duration.minutes(5),
            unknown_outcome=UnknownOutcome.RESEND,
        )
        source = Source(s3.Bucket(stack, "Theirs"), directory="/theirs")
        written = variables(
            synthesise(server=everything, sha256=True, sources=[source], keep_connection=False)
        )
        read = settings.VARIABLES | {configured_by.VARIABLE}
        assert set(written) == read - settings.PLAIN_LAMBDA_ONLY
        assert written[configured_by.VARIABLE] == configured_by.CONSTRUCT

    def test_is_understood_by_the_settings(self, synthesise: Synthesise) -> None:
        partner = SftpServer(
            "sftp.partner.example", port=2222, directory="/inbox", host_keys=[ED25519, ECDSA]
        )
        written = variables(synthesise(server=partner))
        # What only the deployment knows is a reference; any text stands for it.
        deployed = {name: value if isinstance(value, str) else name for name, value in written.items()}
        read = settings.Settings.from_environment(deployed)
        assert (read.server.host, read.server.port) == ("sftp.partner.example", 2222)
        assert read.server.host_keys == (ED25519, ECDSA)
        assert read.directory == "/inbox"
        assert (read.retry_for, read.receipts_for) == (24 * 3600, 400 * 24 * 3600)
        assert (read.ledger_table, read.queue_url) == ("LEDGER_TABLE", "QUEUE_URL")

    def test_leaves_to_the_function_what_is_not_given(self, default_template: Template) -> None:
        assert set(variables(default_template)) == {
            "SSH_HOST",
            "SSH_PORT",
            "SSH_HOST_KEY",
            "SSH_SECRET_ARN",
            "SSH_MAX_CONNECTIONS",
            "LEDGER_TABLE",
            "QUEUE_URL",
            "DEAD_LETTER_QUEUE_URL",
            "CONFIGURED_BY",
            "EVENT_BUS",
            "RETRY_FOR_SECONDS",
            "RECEIPTS_FOR_SECONDS",
        }

    def test_names_the_parts_of_this_construct(self, default_template: Template) -> None:
        written = variables(default_template)
        assert readable(written["LEDGER_TABLE"]) == "DeliveryLedger"
        assert readable(written["QUEUE_URL"]) == "DeliveryQueue"
        assert readable(written["DEAD_LETTER_QUEUE_URL"]) == "DeliveryDeadLetterQueue"

    def test_tells_times_in_seconds(self, synthesise: Synthesise) -> None:
        written = variables(
            synthesise(retry_for=cdk.Duration.minutes(90), receipts_for=cdk.Duration.days(32))
        )
        assert (written["RETRY_FOR_SECONDS"], written["RECEIPTS_FOR_SECONDS"]) == ("5400", "2764800")

    def test_lets_the_ledger_remember_long_enough_whatever_else_is_asked_for(
        self, synthesise: Synthesise
    ) -> None:
        written = variables(synthesise(retry_for=cdk.Duration.hours(72), receipts_for=cdk.Duration.days(32)))
        deployed = {name: value if isinstance(value, str) else name for name, value in written.items()}
        assert settings.Settings.from_environment(deployed).receipts_for == 32 * 86_400

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ({}, None),
            ({"max_connections": 1}, "false"),
            ({"max_connections": 1, "keep_connection": True}, None),
            ({"keep_connection": False}, "false"),
        ],
    )
    def test_keeps_a_connection_unless_it_would_lock_out_its_successor(
        self, synthesise: Synthesise, arguments: dict[str, Any], told: str | None
    ) -> None:
        assert variables(synthesise(**arguments)).get("SSH_KEEP_CONNECTION") == told

    @pytest.mark.parametrize("outcome", list(UnknownOutcome))
    def test_names_the_policy_for_unknown_outcomes_as_the_settings_do(
        self, synthesise: Synthesise, outcome: UnknownOutcome
    ) -> None:
        partner = SftpServer("sftp.partner.example", host_keys=[ED25519], unknown_outcome=outcome)
        written = variables(synthesise(server=partner)).get("UNKNOWN_OUTCOME", "hold")
        assert written == unknown_outcome.UnknownOutcome(outcome.value)

    def test_asks_for_sha256_where_it_is_wanted(self, synthesise: Synthesise) -> None:
        assert variables(synthesise(sha256=True))["SSH_SHA256"] == "true"

    def test_can_hold_what_a_deployment_decides(self, stack: cdk.Stack, synthesise: Synthesise) -> None:
        host = cdk.CfnParameter(stack, "Host").value_as_string
        port: Any = cdk.CfnParameter(stack, "Port", type="Number").value_as_number
        template = synthesise(server=SftpServer(host, port=port, host_keys=[ED25519]))
        written = only(template, "AWS::Lambda::Function")["Environment"]["Variables"]
        assert written["SSH_HOST"] == {"Ref": "Host"}
        assert written["SSH_PORT"] == {"Ref": "Port"}


def test_nothing_has_a_physical_name(default_template: Template) -> None:
    names = {"BucketName", "QueueName", "TableName", "FunctionName", "RoleName", "LogGroupName", "Name"}
    for name, resource in default_template.to_json()["Resources"].items():
        if resource["Type"] in {"Custom::S3BucketNotifications", "AWS::Lambda::EventSourceMapping"}:
            continue  # they refer to others by these names
        assert not names & set(resource.get("Properties", {})), name


def test_one_stack_can_hold_several(stack: cdk.Stack, server: SftpServer) -> None:
    S3ToSftp(stack, "ToBank", server=server)
    S3ToSftp(stack, "ToInsurer", server=server)
    Template.from_stack(stack).resource_count_is("AWS::S3::Bucket", 2)


def test_its_parts_are_attributes(stack: cdk.Stack, server: SftpServer) -> None:
    delivery = S3ToSftp(stack, "Delivery", server=server)
    parts = (
        "bucket",
        "credentials",
        "ledger",
        "event_bus",
        "queue",
        "dead_letter_queue",
        "function",
        "log_group",
    )
    assert {stack.of(getattr(delivery, part)).stack_name for part in parts} == {"Test"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"max_connections": 0}, "max_connections must be 1-128, got 0"),
        ({"max_connections": 129}, "max_connections must be 1-128, got 129"),
        ({"memory_size": 127}, "memory_size must be 128-10240 MB, got 127"),
        ({"memory_size": 10241}, "memory_size must be 128-10240 MB, got 10241"),
        ({"timeout": cdk.Duration.minutes(31)}, "timeout must be 1-1800 seconds, got 1860"),
        ({"timeout": cdk.Duration.seconds(0)}, "timeout must be 1-1800 seconds, got 0"),
        (
            {"timeout": cdk.Duration.seconds(120)},
            "timeout must be longer than the 120 seconds that the server may take for one reply, got 120; "
            "SftpServer(reply_timeout=...) lowers the former",
        ),
        ({"timeout": cdk.Duration.millis(1500)}, "timeout must be whole seconds, got 1.5"),
        ({"retry_for": cdk.Duration.minutes(30)}, "retry_for must be 1-72 hours, got 0.5"),
        ({"retry_for": cdk.Duration.days(4)}, "retry_for must be 1-72 hours, got 96"),
        ({"receipts_for": cdk.Duration.days(31)}, "receipts_for must be 32-3650 days, got 31"),
        ({"receipts_for": cdk.Duration.days(3651)}, "receipts_for must be 32-3650 days, got 3651"),
        (
            {"suffix": "*.csv"},
            "suffix must not contain '*': S3 compares it literally, got '*.csv'; remove the '*'",
        ),
        (
            {"prefix": "out/*"},
            "prefix must not contain '*': S3 compares it literally, got 'out/*'; remove the '*'",
        ),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value)[:30],
)
def test_a_value_that_cannot_be_right_is_refused(
    synthesise: Synthesise, arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        synthesise(**arguments)
    assert str(caught.value) == sentence


def test_a_value_that_only_a_deployment_knows_passes_unchecked(
    stack: cdk.Stack, synthesise: Synthesise
) -> None:
    number: Any = cdk.CfnParameter(stack, "Number", type="Number").value_as_number
    seconds = cdk.Duration.seconds(number)
    template = synthesise(memory_size=number, timeout=seconds, retry_for=seconds, receipts_for=seconds)
    function = only(template, "AWS::Lambda::Function")
    assert (function["MemorySize"], function["Timeout"]) == ({"Ref": "Number"}, {"Ref": "Number"})
    # Whatever the timeout will be, a message stays hidden for longer.
    assert work_queue(template)["VisibilityTimeout"] == 1860
    assert variables(template)["RECEIPTS_FOR_SECONDS"] == {"Ref": "Number"}


def test_the_number_of_connections_must_be_known_at_synth(stack: cdk.Stack, synthesise: Synthesise) -> None:
    number: Any = cdk.CfnParameter(stack, "Number", type="Number").value_as_number
    with pytest.raises(InvalidArgument) as caught:
        synthesise(max_connections=number)
    assert str(caught.value) == (
        "max_connections must be known when the app is synthesised, since it decides how many functions "
        "there are at a time: got a Token"
    )
