"""Messages are returned to the queue, dead-lettered with an explanation or continued, and never lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3_to_sftp.errors import Disposition, QueueError
from s3_to_sftp.operator_request import Action, OperatorRequest
from s3_to_sftp.queue.message_queue import Message, MessageQueue
from s3_to_sftp.queue.retry_policy import RetryHistory
from tests.support.lambda_events import sqs_record
from tests.support.memory_aws import mock_aws

BODY = '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": "a+b"}}}]}'
EXPLANATION = {"reason": "The path is not safe.", "hint": "Rename it.", "error": "RemotePathRefused"}

MOST_BYTES = 256 * 1024


class QueueEnvironment:
    """Both queues, and their messages as Lambda passes them."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.url, self.dead = (client.create_queue(QueueName=name)["QueueUrl"] for name in ("main", "dead"))
        self.queue = MessageQueue(client, queue_url=self.url, dead_letter_queue_url=self.dead)

    def put(self, body: str = BODY, attributes: dict[str, Any] | None = None) -> None:
        self.client.send_message(QueueUrl=self.url, MessageBody=body, MessageAttributes=attributes or {})

    def received(self, url: str) -> list[Message]:
        answer = self.client.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
            WaitTimeSeconds=0,
        )
        return [Message.from_record(sqs_record(message)) for message in answer.get("Messages", [])]

    def one(self, url: str) -> Message:
        (message,) = self.received(url)
        return message


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Iterator[QueueEnvironment]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield QueueEnvironment(boto3.client("sqs", region_name="eu-west-1"))


def text(value: str) -> dict[str, Any]:
    return {"DataType": "String", "StringValue": value}


def values(message: Message) -> dict[str, str]:
    return {name: attribute["stringValue"] for name, attribute in message.attributes.items()}


def test_message_is_parsed_from_the_lambda_record() -> None:
    message = Message.from_record(
        {
            "messageId": "id-1",
            "receiptHandle": "handle",
            "body": BODY,
            "attributes": {"ApproximateReceiveCount": "3", "SentTimestamp": "1795392000123"},
            "messageAttributes": {"continued": {"stringValue": "7", "dataType": "Number"}},
        }
    )
    assert message == Message(
        id="id-1",
        body=BODY,
        receipt_handle="handle",
        receive_count=3,
        sent_at=1795392000.123,
        attributes={"continued": {"stringValue": "7", "dataType": "Number"}},
    )
    assert message.continued == 7


@pytest.mark.parametrize(
    ("error", "is_operator_resend"), [("OutcomeUnknown", True), ("RequestRefused", False)]
)
def test_operator_resend_is_recognised_and_kept_when_the_message_is_returned(
    error: str,
    is_operator_resend: bool,  # noqa: FBT001 - a parameter
    env: QueueEnvironment,
) -> None:
    env.put()
    env.queue.dead_letter(env.one(env.url), reason="r", hint="h", error=error)
    dead_lettered = env.one(env.dead)
    assert dead_lettered.is_operator_resend is is_operator_resend
    env.queue.return_to_queue(dead_lettered, body=dead_lettered.body, history=HISTORY, delay=0)
    assert env.one(env.url).is_operator_resend is is_operator_resend


@pytest.mark.parametrize("nonsense", ["", "-1", "1.5", "abc", "²", "9" * 5000])
def test_invalid_continuation_count_is_read_as_zero(nonsense: str) -> None:
    attributes = {"continued": {"stringValue": nonsense, "dataType": "String"}}
    assert message_with(attributes=attributes).continued == 0


def message_with(body: str = BODY, attributes: dict[str, Any] | None = None) -> Message:
    return Message(
        id="id-1",
        body=body,
        receipt_handle="handle",
        receive_count=1,
        sent_at=0,
        attributes=attributes or {},
    )


HISTORY = RetryHistory(first_sent=1_795_392_000.0, count=3, since=1_795_392_600.5, waits=2)


def test_returned_message_has_its_retry_history_and_a_new_receive_count(
    env: QueueEnvironment,
) -> None:
    env.put(attributes={"who": text("a person"), "reason": text("of an earlier failure")})
    first = env.one(env.url)
    env.queue.return_to_queue(first, body="a part of it", history=HISTORY, delay=0)
    env.queue.acknowledge(first)
    again = env.one(env.url)
    assert (again.body, again.receive_count, again.history) == ("a part of it", 1, HISTORY)
    assert again.attributes.keys() == {"who", "retries"}


def test_returned_message_is_received_after_its_delay(env: QueueEnvironment) -> None:
    env.queue.return_to_queue(message_with(), body=BODY, history=HISTORY, delay=600)
    assert env.received(env.url) == []
    names = ["ApproximateNumberOfMessagesDelayed"]
    answer = env.client.get_queue_attributes(QueueUrl=env.url, AttributeNames=names)
    assert answer["Attributes"] == {names[0]: "1"}


@pytest.mark.parametrize(("delay", "sent"), [(0.2, 1), (7, 7), (-3, 0), (1e9, 900)])
def test_delay_is_rounded_up_and_within_the_limits_of_sqs(delay: float, sent: int) -> None:
    request = sent_request(
        lambda q: q.return_to_queue(message_with(), body=BODY, history=HISTORY, delay=delay)
    )
    assert (request["QueueUrl"], request["DelaySeconds"]) == ("url", sent)


def test_new_message_has_an_empty_retry_history() -> None:
    message = dataclasses.replace(message_with(), sent_at=1000)
    assert message.history == RetryHistory(first_sent=1000)


def test_dead_lettered_message_has_no_retry_history(env: QueueEnvironment) -> None:
    env.queue.return_to_queue(message_with(), body=BODY, history=HISTORY, delay=0)
    env.queue.dead_letter(env.one(env.url), **EXPLANATION)
    assert "retries" not in env.one(env.dead).attributes


def test_continuation_resets_the_retry_history(env: QueueEnvironment) -> None:
    env.queue.return_to_queue(message_with(), body=BODY, history=HISTORY, delay=0)
    env.queue.send_continuation(env.one(env.url), body=BODY)
    (continued,) = env.received(env.url)
    assert (continued.history.count, continued.history.since, continued.continued) == (0, None, 1)


def test_redrive_of_a_message_moved_by_sqs_resets_the_retry_history(
    env: QueueEnvironment,
) -> None:
    old = HISTORY.as_text(sent=HISTORY.first_sent)
    env.put(attributes={"retries": text(old)})
    (back,) = env.received(env.url)
    assert back.history == RetryHistory(first_sent=back.sent_at)


OPERATOR = '{"action": "resend", "id": "r1", "who": "arn:me", "at": 7, "reason": "they lost it"}'


@pytest.mark.parametrize("way", ["returned", "continued", "dead-lettered"])
def test_request_of_an_operator_travels_with_the_message(env: QueueEnvironment, way: str) -> None:
    env.put(attributes={"operator": text(OPERATOR)} | {f"n{n}": text("x") for n in range(9)})
    message = env.one(env.url)
    if way == "returned":
        env.queue.return_to_queue(message, body=BODY, history=HISTORY, delay=0)
    elif way == "continued":
        env.queue.send_continuation(message, body=BODY)
    else:
        env.queue.dead_letter(message, **EXPLANATION)
    env.queue.acknowledge(message)
    asked = env.one(env.dead if way == "dead-lettered" else env.url)
    assert asked.operator == OperatorRequest(
        action=Action.RESEND, id="r1", who="arn:me", at=7, reason="they lost it"
    )
    assert len(asked.attributes) <= 10


@pytest.mark.parametrize(
    "nonsense",
    [
        "no JSON",
        "[]",
        "null",
        "{}",
        '{"action": "resend"}',
        '{"action": "resend", "id": ""}',
        '{"action": "resend", "id": 7}',
        '{"action": "delete", "id": "r"}',
        '{"action": "resend", "id": "r", "at": "now"}',
        '{"action": "resend", "id": "r", "at": NaN}',
        '{"action": "resend", "id": "r", "who": ["x"]}',
        '{"action": "resend", "id": "\\ud800"}',
        "[" * 100_000,
    ],
    ids=lambda nonsense: nonsense[:60],
)
def test_nonsense_in_the_request_of_an_operator_leaves_an_ordinary_message(
    nonsense: str, caplog: pytest.LogCaptureFixture
) -> None:
    attributes = {"operator": {"stringValue": nonsense, "dataType": "String"}}
    assert message_with(attributes=attributes).operator is None
    assert "attribute 'operator' of message id-1 ignored" in caplog.text


def test_message_that_s3_has_sent_asks_for_nothing() -> None:
    assert message_with().operator is None


def test_message_may_be_acknowledged_twice(env: QueueEnvironment) -> None:
    env.put()
    message = env.one(env.url)
    for _ in range(2):
        env.queue.acknowledge(message)
    assert env.received(env.url) == []


def test_failed_acknowledgement_is_logged_and_raises_no_error(caplog: pytest.LogCaptureFixture) -> None:
    client = offline_client("sqs")
    with Stubber(client) as stub:
        stub.add_client_error("delete_message", "AccessDenied", "not authorized")
        MessageQueue(client, queue_url="url", dead_letter_queue_url="dead").acknowledge(message_with())
    assert "id-1" in caplog.text
    assert "not authorized" in caplog.text


def test_dead_lettered_message_has_its_body_and_explanation(env: QueueEnvironment) -> None:
    env.put()
    env.queue.dead_letter(env.one(env.url), **EXPLANATION)
    dead_lettered = env.one(env.dead)
    assert dead_lettered.body == BODY
    assert values(dead_lettered) == EXPLANATION


def test_dead_lettered_message_keeps_its_own_attributes(env: QueueEnvironment) -> None:
    own = {
        "who": text("a person"),
        "count": {"DataType": "Number", "StringValue": "12"},
        "blob": {"DataType": "Binary.png", "BinaryValue": b"\x00\xff"},
    }
    env.put(attributes=own)
    env.queue.dead_letter(env.one(env.url), **EXPLANATION)
    answer = env.client.receive_message(QueueUrl=env.dead, MessageAttributeNames=["All"])
    kept = answer["Messages"][0]["MessageAttributes"]
    assert {name: kept[name] for name in own} == own


def test_second_dead_lettering_replaces_the_explanation(env: QueueEnvironment) -> None:
    env.put()
    env.queue.dead_letter(env.one(env.url), reason="old", hint="old", error="Old")
    env.queue.dead_letter(env.one(env.dead), reason="new", hint="", error="New")
    assert values(env.one(env.dead)) == {"reason": "new", "error": "New"}


def test_foreign_attributes_make_room_for_the_explanation(env: QueueEnvironment) -> None:
    env.put(attributes={f"n{n}": text("x") for n in range(9)} | {"continued": text("4")})
    env.queue.dead_letter(env.one(env.url), **EXPLANATION)
    dead_lettered = env.one(env.dead)
    assert len(dead_lettered.attributes) == 10
    assert values(dead_lettered).items() >= {**EXPLANATION, "continued": "4"}.items()


REFUSAL = {
    "reason": "refused.",
    "hint": "ask.",
    "error": "RequestRefused",
    "operation": "create",
    "status": "PERMISSION_DENIED",
    "bucket": "orders",
    "key": "2026/a b.csv",
}


def test_dead_letter_of_a_refusal_names_request_status_and_object(env: QueueEnvironment) -> None:
    env.put()
    env.queue.dead_letter(env.one(env.url), **REFUSAL)
    assert values(env.one(env.dead)) == REFUSAL


def test_operator_request_survives_with_all_explanations_of_a_dead_letter(env: QueueEnvironment) -> None:
    strangers = {f"n{n}": text("x") for n in range(8)}
    env.put(attributes=strangers | {"continued": text("4"), "operator": text("{}")})
    env.queue.dead_letter(env.one(env.url), **REFUSAL)
    dead_lettered = values(env.one(env.dead))
    assert len(dead_lettered) == 10
    assert dead_lettered.items() >= {**REFUSAL, "continued": "4", "operator": "{}"}.items()


def test_outdated_explanations_of_a_dead_letter_are_dropped(env: QueueEnvironment) -> None:
    env.put()
    env.queue.dead_letter(env.one(env.url), **REFUSAL)
    env.queue.dead_letter(env.one(env.dead), **EXPLANATION)
    assert values(env.one(env.dead)) == EXPLANATION


def test_long_reason_does_not_displace_what_dead_letters_are_selected_by() -> None:
    body = "x" * (MOST_BYTES - 400)
    told = {**REFUSAL, "reason": "r" * 5000, "hint": "h" * 5000}
    sent = sent_request(lambda queue: queue.dead_letter(message_with(body), **told))["MessageAttributes"]
    names = ("error", "operation", "status", "bucket", "key")
    assert {name: sent[name]["StringValue"] for name in names} == {name: REFUSAL[name] for name in names}


def test_characters_that_sqs_refuses_are_replaced(env: QueueEnvironment) -> None:
    env.put()
    reason = "bell \x07, half a pair \ud800, not a character \uffff, fine: ü\t😀"
    env.queue.dead_letter(env.one(env.url), reason=reason, hint="h", error="E")
    expected = "bell \ufffd, half a pair \ufffd, not a character \ufffd, fine: ü\t😀"
    assert values(env.one(env.dead))["reason"] == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(
    room=st.integers(0, 20_000),
    reason=st.text(st.characters(exclude_categories=[]), max_size=50).map(lambda text: text * 200),
    hint=st.sampled_from(["", "short", "ü" * 9000]),
)
def test_dead_lettered_message_is_never_too_large(room: int, reason: str, hint: str) -> None:
    body = "x" * (MOST_BYTES - room)
    sent = sent_request(
        lambda queue: queue.dead_letter(message_with(body), reason=reason, hint=hint, error="E")
    )
    attributes = sent["MessageAttributes"]
    size = len(sent["MessageBody"]) + sum(
        len(name) + len("String") + len(attribute["StringValue"].encode())
        for name, attribute in attributes.items()
    )
    assert size <= MOST_BYTES
    assert sent["MessageBody"] == body
    assert all(attribute["StringValue"] for attribute in attributes.values())
    if room > 10_000 and reason:
        assert {"reason", "error"} <= attributes.keys()


def test_message_of_the_maximum_size_is_dead_lettered_without_explanation() -> None:
    sent = sent_request(lambda queue: queue.dead_letter(message_with("x" * MOST_BYTES), **EXPLANATION))
    assert sent["MessageAttributes"] == {}


def test_continuation_has_the_same_body_in_the_same_queue(env: QueueEnvironment) -> None:
    env.put(attributes={"who": text("a person"), "reason": text("of an earlier failure")})
    env.queue.send_continuation(env.one(env.url), body=BODY)
    first = env.one(env.url)
    assert (first.body, values(first)) == (BODY, {"who": "a person", "continued": "1"})
    env.queue.send_continuation(first, body=BODY)
    assert env.one(env.url).continued == 2
    assert env.received(env.dead) == []


@pytest.mark.parametrize(
    ("operation", "call", "words"),
    [
        (
            "send_message",
            lambda q: q.return_to_queue(message_with(), body=BODY, history=HISTORY, delay=1),
            "cannot be returned to the queue",
        ),
        (
            "send_message",
            lambda q: q.dead_letter(message_with(), **EXPLANATION),
            "cannot be sent to the dead-letter",
        ),
        ("send_message", lambda q: q.send_continuation(message_with(), body=BODY), "cannot be continued"),
    ],
)
def test_refusal_by_sqs_raises_a_retryable_error(operation: str, call: Any, words: str) -> None:
    client = offline_client("sqs")
    with Stubber(client) as stub:
        stub.add_client_error(operation, "AccessDenied", "not authorized")
        with pytest.raises(QueueError, match=words) as raised:
            call(MessageQueue(client, queue_url="url", dead_letter_queue_url="dead"))
    assert raised.value.disposition is Disposition.RETRY
    assert "not authorized" in raised.value.reason
    assert "sqs:" in raised.value.hint


def test_unreachable_sqs_raises_a_queue_error() -> None:
    class Unreachable:
        def send_message(self, **request: Any) -> None:
            raise EndpointConnectionError(endpoint_url="https://sqs")

    with pytest.raises(QueueError, match="Could not connect"):
        MessageQueue(Unreachable(), queue_url="url", dead_letter_queue_url="dead").send_continuation(
            message_with(), body=BODY
        )


def offline_client(service: str) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]  # the stubs know literal names only
        region_name="eu-west-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )


def sent_request(call: Any) -> dict[str, Any]:
    """Return the request that the queue sends to SQS."""
    requests: list[dict[str, Any]] = []

    class Recorder:
        def send_message(self, **request: Any) -> None:
            requests.append(request)

    call(MessageQueue(Recorder(), queue_url="url", dead_letter_queue_url="dead"))
    (request,) = requests
    return request
