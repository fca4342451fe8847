"""The function's role in a cloud that enforces IAM: it may do its job, and nothing else.

The emulator does not judge what Lambda itself does with the role (taking messages from the queue, writing the
log), nor `iam:PassRole`. That the role holds no action besides those that are tried is a test of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import ACCOUNT, REGION
from tests.support.e2e.function_role import OTHER, OURS, PREFIX, PRIVATE, Function
from tests.support.e2e.stack_environment import StackEnvironment, wait_until

ITEM = {"pk": {"S": "somebody's"}, "sk": {"S": "item"}}
CDK_ROLE = f"arn:aws:iam::{ACCOUNT}:role/cdk-hnb659fds-deploy-role-{ACCOUNT}-{REGION}"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"

DENIALS = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"}
"""Error codes of a denial; the last two are those of SNS and EC2."""

# Policies name a log group with `:*` behind, which MiniStack does not know: it would deny both.
WRITE_LOG = {"logs:CreateLogStream", "logs:PutLogEvents"}

Call = Callable[[Function], object]


def test_function_delivers_an_object_and_publishes_an_event(function: Function) -> None:
    env = function.env
    queue = event_queue(function)
    env.put(f"{PREFIX}delivered.csv", b"id,amount\n1,2\n")
    assert env.wait_for_file(f"{PREFIX}delivered.csv") == b"id,amount\n1,2\n"
    received: list[str] = []

    def is_published() -> bool:
        messages = function.root("sqs").receive_message(QueueUrl=queue).get("Messages", [])
        received.extend(message["Body"] for message in messages)
        return any("delivered.csv" in body for body in received)

    wait_until(is_published, "event", env.explain)
    assert denials_in_the_log(env) == []


def event_queue(function: Function) -> str:
    """Return the URL of a queue that receives the events of the function."""
    sqs, events = function.root("sqs"), function.root("events")
    queue: str = sqs.create_queue(QueueName="events")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:events"
    events.put_rule(Name="events", EventPattern=json.dumps({"source": ["s3-to-sftp"]}))
    events.put_targets(Rule="events", Targets=[{"Id": "queue", "Arn": arn}])
    return queue


def test_function_defers_a_refused_object(function: Function) -> None:
    env = function.env
    env.partner.stop()
    env.put(f"{PREFIX}deferred.csv", b"patient")
    env.wait_for_failure(f"{PREFIX}deferred.csv")
    env.partner.start()
    env.close_breaker()
    # A message that could not be deferred would stay hidden for as long as the queue hides it: 16 minutes.
    assert env.wait_for_file(f"{PREFIX}deferred.csv") == b"patient"
    assert denials_in_the_log(env) == []


def test_function_dead_letters_what_it_cannot_read(function: Function) -> None:
    env = function.env
    before = env.messages(function.own.dead_letter_queue_url)
    function.root("sqs").send_message(QueueUrl=function.own.queue_url, MessageBody="no notification")
    wait_until(
        lambda: env.messages(function.own.dead_letter_queue_url) > before,
        "dead-lettered message",
        env.explain,
    )
    assert denials_in_the_log(env) == []


def denials_in_the_log(env: StackEnvironment) -> list[str]:
    return [line for line in env.log().splitlines() if "not authorized" in line]


def no_such_message(call: Callable[..., object], **arguments: object) -> None:
    """Calls with an unknown receipt handle, which SQS reports only to principals with the permission."""
    with pytest.raises(ClientError, match="ReceiptHandleIsInvalid"):
        call(ReceiptHandle="none", **arguments)


MAY: dict[str, tuple[str, Call]] = {
    "read an object below the prefix": (
        "s3:GetObject",
        lambda it: it.client("s3").get_object(Bucket=it.own.bucket, Key=OURS),
    ),
    "read a version below the prefix": (
        "s3:GetObjectVersion",
        lambda it: it.client("s3").get_object(
            Bucket=it.own.bucket,
            Key=OURS,
            VersionId=it.root("s3").head_object(Bucket=it.own.bucket, Key=OURS)["VersionId"],
        ),
    ),
    "ask for the parts of an object below the prefix": (
        "s3:GetObjectAttributes",
        lambda it: it.client("s3").get_object_attributes(
            Bucket=it.own.bucket, Key=OURS, ObjectAttributes=["ObjectParts"]
        ),
    ),
    "ask for the parts of a version below the prefix": (
        "s3:GetObjectVersionAttributes",
        lambda it: it.client("s3").get_object_attributes(
            Bucket=it.own.bucket,
            Key=OURS,
            VersionId=it.root("s3").head_object(Bucket=it.own.bucket, Key=OURS)["VersionId"],
            ObjectAttributes=["ObjectParts"],
        ),
    ),
    # On the whole bucket, and the keys are all it learns. S3 tells only those who may list that an object is
    # gone; to others it says 403, as if reading it were not allowed.
    "list the keys of the watched bucket": (
        "s3:ListBucket",
        lambda it: it.client("s3").list_objects_v2(Bucket=it.own.bucket),
    ),
    "read its secret": (
        "secretsmanager:GetSecretValue",
        lambda it: it.client("secretsmanager").get_secret_value(SecretId=it.own.secret_arn),
    ),
    "put an item into the ledger": (
        "dynamodb:PutItem",
        lambda it: it.client("dynamodb").put_item(TableName=it.own.ledger_table, Item=ITEM),
    ),
    "read an item of the ledger": (
        "dynamodb:GetItem",
        lambda it: it.client("dynamodb").get_item(TableName=it.own.ledger_table, Key=ITEM),
    ),
    "read items of its ledger in a transaction": (
        "dynamodb:GetItem",
        lambda it: it.client("dynamodb").transact_get_items(
            TransactItems=[{"Get": {"TableName": it.own.ledger_table, "Key": ITEM}}]
        ),
    ),
    "update an item of the ledger": (
        "dynamodb:UpdateItem",
        lambda it: it.client("dynamodb").update_item(TableName=it.own.ledger_table, Key=ITEM),
    ),
    "take messages from its queue": (
        "sqs:ReceiveMessage",
        # Visible again at once, since it is not this test that they are for.
        lambda it: it.client("sqs").receive_message(QueueUrl=it.own.queue_url, VisibilityTimeout=0),
    ),
    "delete a message of its queue": (
        "sqs:DeleteMessage",
        lambda it: no_such_message(it.client("sqs").delete_message, QueueUrl=it.own.queue_url),
    ),
    "hide a message of its queue": (
        "sqs:ChangeMessageVisibility",
        lambda it: no_such_message(
            it.client("sqs").change_message_visibility, QueueUrl=it.own.queue_url, VisibilityTimeout=1
        ),
    ),
    "ask what its queue is like": (
        "sqs:GetQueueAttributes",
        lambda it: it.client("sqs").get_queue_attributes(QueueUrl=it.own.queue_url, AttributeNames=["All"]),
    ),
    "send a continuation to its queue": (
        "sqs:SendMessage",
        lambda it: it.client("sqs").send_message(
            QueueUrl=it.own.queue_url,
            MessageBody=json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"}),
        ),
    ),
    "park a message": (
        "sqs:SendMessage",
        lambda it: it.client("sqs").send_message(
            QueueUrl=it.own.dead_letter_queue_url, MessageBody="dead_lettered"
        ),
    ),
    "put events on its event bus": (
        "events:PutEvents",
        lambda it: it.client("events").put_events(Entries=[event_for("default")]),
    ),
}


def event_for(bus: str) -> dict[str, str]:
    return {"Source": "test", "DetailType": "test", "Detail": "{}", "EventBusName": bus}


@pytest.mark.parametrize("call", [call for _, call in MAY.values()], ids=list(MAY))
def test_role_allows_action(function: Function, call: Call) -> None:
    try:
        call(function)
    except ClientError as error:
        pytest.fail(f"the role is denied: {error}")


def test_role_allows_only_the_tried_actions(function: Function) -> None:
    iam = function.root("iam")
    names = iam.list_role_policies(RoleName=function.role_name)["PolicyNames"]
    policies = [iam.get_role_policy(RoleName=function.role_name, PolicyName=name) for name in names]
    statements = [each for policy in policies for each in policy["PolicyDocument"]["Statement"]]
    assert {action for each in statements for action in actions_of(each)} == (
        {action for action, _ in MAY.values()} | WRITE_LOG
    )
    assert iam.list_attached_role_policies(RoleName=function.role_name)["AttachedPolicies"] == []


def actions_of(statement: dict[str, Any]) -> list[str]:
    actions: str | list[str] = statement["Action"]
    return [actions] if isinstance(actions, str) else actions


MAY_NOT: dict[str, tuple[str, Call]] = {
    "read an object outside of the prefix": (
        "s3:GetObject",
        lambda it: it.client("s3").get_object(Bucket=it.own.bucket, Key=PRIVATE),
    ),
    "read a version outside of the prefix": (
        "s3:GetObjectVersion",
        lambda it: it.client("s3").get_object(
            Bucket=it.own.bucket,
            Key=PRIVATE,
            VersionId=it.root("s3").head_object(Bucket=it.own.bucket, Key=PRIVATE)["VersionId"],
        ),
    ),
    "ask for the parts of an object outside of the prefix": (
        "s3:GetObjectAttributes",
        lambda it: it.client("s3").get_object_attributes(
            Bucket=it.own.bucket, Key=PRIVATE, ObjectAttributes=["ObjectParts"]
        ),
    ),
    "ask for the parts of a version outside of the prefix": (
        "s3:GetObjectVersionAttributes",
        lambda it: it.client("s3").get_object_attributes(
            Bucket=it.own.bucket,
            Key=PRIVATE,
            VersionId=it.root("s3").head_object(Bucket=it.own.bucket, Key=PRIVATE)["VersionId"],
            ObjectAttributes=["ObjectParts"],
        ),
    ),
    "read an object of another bucket": (
        "s3:GetObject",
        lambda it: it.client("s3").get_object(Bucket=OTHER, Key=OURS),
    ),
    "list another bucket": ("s3:ListBucket", lambda it: it.client("s3").list_objects_v2(Bucket=OTHER)),
    "list the buckets": ("s3:ListAllMyBuckets", lambda it: it.client("s3").list_buckets()),
    "list the versions of the watched bucket": (
        "s3:ListBucketVersions",
        lambda it: it.client("s3").list_object_versions(Bucket=it.own.bucket),
    ),
    "put an object": (
        "s3:PutObject",
        lambda it: it.client("s3").put_object(Bucket=it.own.bucket, Key=OURS, Body=b"forged"),
    ),
    "copy an object": (
        "s3:PutObject",
        lambda it: it.client("s3").copy_object(
            Bucket=it.own.bucket, Key=f"{PREFIX}2.csv", CopySource={"Bucket": it.own.bucket, "Key": OURS}
        ),
    ),
    "begin a multipart upload": (
        "s3:PutObject",
        lambda it: it.client("s3").create_multipart_upload(Bucket=it.own.bucket, Key=OURS),
    ),
    "tag an object": (
        "s3:PutObjectTagging",
        lambda it: it.client("s3").put_object_tagging(Bucket=it.own.bucket, Key=OURS, Tagging={"TagSet": []}),
    ),
    "delete an object": (
        "s3:DeleteObject",
        lambda it: it.client("s3").delete_object(Bucket=it.own.bucket, Key=OURS),
    ),
    "delete a version": (
        "s3:DeleteObjectVersion",
        lambda it: it.client("s3").delete_object(Bucket=it.own.bucket, Key=OURS, VersionId="any"),
    ),
    "delete many objects": (
        "s3:DeleteObject",
        lambda it: it.client("s3").delete_objects(Bucket=it.own.bucket, Delete={"Objects": [{"Key": OURS}]}),
    ),
    "stop the notifications": (
        "s3:PutBucketNotification",
        lambda it: it.client("s3").put_bucket_notification_configuration(
            Bucket=it.own.bucket, NotificationConfiguration={}
        ),
    ),
    "read another secret": (
        "secretsmanager:GetSecretValue",
        lambda it: it.client("secretsmanager").get_secret_value(SecretId=OTHER),
    ),
    "change its secret": (
        "secretsmanager:PutSecretValue",
        lambda it: it.client("secretsmanager").put_secret_value(
            SecretId=it.own.secret_arn, SecretString="forged"
        ),
    ),
    "delete its secret": (
        "secretsmanager:DeleteSecret",
        lambda it: it.client("secretsmanager").delete_secret(SecretId=it.own.secret_arn),
    ),
    "list the secrets": (
        "secretsmanager:ListSecrets",
        lambda it: it.client("secretsmanager").list_secrets(),
    ),
    "read another table": (
        "dynamodb:GetItem",
        lambda it: it.client("dynamodb").get_item(TableName=OTHER, Key=ITEM),
    ),
    "write to another table": (
        "dynamodb:PutItem",
        lambda it: it.client("dynamodb").put_item(TableName=OTHER, Item=ITEM),
    ),
    "write to another table beside the ledger": (
        "dynamodb:PutItem",
        lambda it: it.client("dynamodb").transact_write_items(
            TransactItems=[
                {"Put": {"TableName": table, "Item": ITEM}} for table in (it.own.ledger_table, OTHER)
            ]
        ),
    ),
    "delete an item of the ledger": (
        "dynamodb:DeleteItem",
        lambda it: it.client("dynamodb").delete_item(TableName=it.own.ledger_table, Key=ITEM),
    ),
    "delete an item of the ledger in a transaction": (
        "dynamodb:DeleteItem",
        lambda it: it.client("dynamodb").transact_write_items(
            TransactItems=[{"Delete": {"TableName": it.own.ledger_table, "Key": ITEM}}]
        ),
    ),
    "scan the ledger": (
        "dynamodb:Scan",
        lambda it: it.client("dynamodb").scan(TableName=it.own.ledger_table),
    ),
    "query the ledger": (
        "dynamodb:Query",
        lambda it: it.client("dynamodb").query(
            TableName=it.own.ledger_table,
            IndexName="by-status",
            KeyConditionExpression="#status = :status",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":status": {"S": "DELIVERED"}},
        ),
    ),
    "delete the ledger": (
        "dynamodb:DeleteTable",
        lambda it: it.client("dynamodb").delete_table(TableName=it.own.ledger_table),
    ),
    "send to another queue": (
        "sqs:SendMessage",
        lambda it: it.client("sqs").send_message(QueueUrl=other_queue(it), MessageBody="x"),
    ),
    "take messages from another queue": (
        "sqs:ReceiveMessage",
        lambda it: it.client("sqs").receive_message(QueueUrl=other_queue(it)),
    ),
    "take messages from its dead-letter queue": (
        "sqs:ReceiveMessage",
        lambda it: it.client("sqs").receive_message(QueueUrl=it.own.dead_letter_queue_url),
    ),
    "delete a message of its dead-letter queue": (
        "sqs:DeleteMessage",
        lambda it: it.client("sqs").delete_message(
            QueueUrl=it.own.dead_letter_queue_url, ReceiptHandle="none"
        ),
    ),
    "purge its queue": (
        "sqs:PurgeQueue",
        lambda it: it.client("sqs").purge_queue(QueueUrl=it.own.queue_url),
    ),
    "change its queue": (
        "sqs:SetQueueAttributes",
        lambda it: it.client("sqs").set_queue_attributes(
            QueueUrl=it.own.queue_url, Attributes={"VisibilityTimeout": "0"}
        ),
    ),
    "put events on another event bus": (
        "events:PutEvents",
        lambda it: it.client("events").put_events(Entries=[event_for("default"), event_for(OTHER)]),
    ),
    "make a rule": (
        "events:PutRule",
        lambda it: it.client("events").put_rule(Name="mine", ScheduleExpression="rate(1 minute)"),
    ),
    "write another log": (
        "logs:CreateLogStream",
        lambda it: it.client("logs").create_log_stream(logGroupName=OTHER, logStreamName="x"),
    ),
    "read another log": (
        "logs:FilterLogEvents",
        lambda it: it.client("logs").filter_log_events(logGroupName=OTHER),
    ),
    "delete another log": (
        "logs:DeleteLogGroup",
        lambda it: it.client("logs").delete_log_group(logGroupName=OTHER),
    ),
    "invoke itself": (
        "lambda:InvokeFunction",
        lambda it: it.client("lambda").invoke(FunctionName=it.own.function),
    ),
    "change itself": (
        "lambda:UpdateFunctionConfiguration",
        lambda it: it.client("lambda").update_function_configuration(FunctionName=it.own.function, Timeout=1),
    ),
    "change its code": (
        "lambda:UpdateFunctionCode",
        lambda it: it.client("lambda").update_function_code(FunctionName=it.own.function, ZipFile=b""),
    ),
    "make a function": (
        "lambda:CreateFunction",
        lambda it: it.client("lambda").create_function(
            FunctionName="mine", Role=CDK_ROLE, Code={"ZipFile": b""}, Runtime="python3.13", Handler="a.b"
        ),
    ),
    "make a role": (
        "iam:CreateRole",
        lambda it: it.client("iam").create_role(RoleName="mine", AssumeRolePolicyDocument="{}"),
    ),
    "give itself permissions": (
        "iam:PutRolePolicy",
        lambda it: it.client("iam").put_role_policy(
            RoleName=it.role_name, PolicyName="more", PolicyDocument="{}"
        ),
    ),
    "make itself administrator": (
        "iam:AttachRolePolicy",
        lambda it: it.client("iam").attach_role_policy(RoleName=it.role_name, PolicyArn=ADMINISTRATOR),
    ),
    "make a user": ("iam:CreateUser", lambda it: it.client("iam").create_user(UserName="mine")),
    # The trust policy of this one admits the whole account.
    "assume another role": (
        "sts:AssumeRole",
        lambda it: it.client("sts").assume_role(RoleArn=CDK_ROLE, RoleSessionName="function"),
    ),
    "encrypt": (
        "kms:Encrypt",
        lambda it: it.client("kms").encrypt(KeyId=it.key, Plaintext=b"x"),
    ),
    "decrypt": (
        "kms:Decrypt",
        lambda it: it.client("kms").decrypt(
            CiphertextBlob=it.root("kms").encrypt(KeyId=it.key, Plaintext=b"x")["CiphertextBlob"]
        ),
    ),
    "make a key": ("kms:CreateKey", lambda it: it.client("kms").create_key()),
    "publish to a topic": (
        "sns:Publish",
        lambda it: it.client("sns").publish(TopicArn=f"arn:aws:sns:{REGION}:{ACCOUNT}:{OTHER}", Message="x"),
    ),
    "read a parameter": ("ssm:GetParameter", lambda it: it.client("ssm").get_parameter(Name="any")),
    "look at the network": (
        "ec2:DescribeNetworkInterfaces",
        lambda it: it.client("ec2").describe_network_interfaces(),
    ),
    "delete its stack": (
        "cloudformation:DeleteStack",
        lambda it: it.client("cloudformation").delete_stack(StackName="S3ToSftp"),
    ),
}


def other_queue(function: Function) -> str:
    return f"{function.own.queue_url.rpartition('/')[0]}/{OTHER}"


@pytest.mark.parametrize(("action", "call"), list(MAY_NOT.values()), ids=list(MAY_NOT))
def test_role_denies_action(function: Function, action: str, call: Call) -> None:
    message = denial(lambda: call(function))
    assert f"assumed-role/{function.role_name}/" in message
    assert f"not authorized to perform: {action} " in message


def test_only_lambda_can_assume_the_role(function: Function) -> None:
    iam = function.root("iam")
    iam.create_user(UserName="administrator")
    iam.attach_user_policy(UserName="administrator", PolicyArn=ADMINISTRATOR)
    key = iam.create_access_key(UserName="administrator")["AccessKey"]
    sts = function.env.cloud.client(
        "sts", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
    )
    message = denial(lambda: sts.assume_role(RoleArn=function.role, RoleSessionName="administrator"))
    assert f"not authorized to perform: sts:AssumeRole on resource: {function.role}" in message
    assert sts.assume_role(RoleArn=CDK_ROLE, RoleSessionName="administrator")["Credentials"]


def test_queue_denies_events_of_another_bucket(function: Function) -> None:
    queue = function.own.queue_url.rpartition("/")[2]
    configuration = {
        "QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}",
        "Events": ["s3:ObjectCreated:*"],
    }
    with pytest.raises(ClientError, match="Unable to validate the following destination"):
        function.root("s3").put_bucket_notification_configuration(
            Bucket=OTHER, NotificationConfiguration={"QueueConfigurations": [configuration]}
        )


def test_forged_signature_is_not_an_access_denial(function: Function) -> None:
    forged = {**function.credentials, "aws_secret_access_key": "forged"}
    s3 = function.env.cloud.client("s3", **forged)
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        s3.get_object(Bucket=function.own.bucket, Key=PRIVATE)


def denial(call: Callable[[], object]) -> str:
    """Return the message of a denial, which must be the outcome of the call."""
    with pytest.raises(ClientError) as raised:
        call()
    error = raised.value.response["Error"]
    assert error["Code"] in DENIALS
    return error["Message"]
