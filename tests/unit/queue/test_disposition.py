"""The disposition of a message: acknowledged, returned to the queue, continued or dead-lettered."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from s3_to_sftp.errors import (
    AfterDeliveryFailed,
    ConfigurationError,
    ConnectionLost,
    CredentialsError,
    DeliveryError,
    Disposition,
    EventError,
    LedgerError,
    LoginRefused,
    NoProgress,
    ObjectAccessDenied,
    ObjectGone,
    ObjectReadInterrupted,
    PartnerUnreachable,
    QueueError,
    RemotePathRefused,
    RequestRefused,
    ResumeNotSupported,
)
from s3_to_sftp.events import NullPublisher
from s3_to_sftp.outcomes import (
    AlreadyDelivered,
    AlreadyGone,
    CheckpointSaved,
    CircuitOpen,
    DeadlineTooClose,
    DeliveriesPaused,
    Filtered,
    LeaseHeld,
    Superseded,
    TooYoung,
)
from s3_to_sftp.queue.disposition import Failure, MessageDisposition
from s3_to_sftp.queue.message_queue import Message, MessageQueue
from s3_to_sftp.queue.retry_policy import RetryHistory, RetryPolicy
from s3_to_sftp.s3.envelopes import objects_in_message
from s3_to_sftp.s3.object_ref import ObjectRef
from tests.support.lambda_events import s3_notification, s3_record, sqs_record
from tests.support.ledger_environment import ref
from tests.support.memory_aws import mock_aws

A, B, C = (ref(key=key) for key in ("a", "b", "c"))
SENT_AT = 1_795_392_000.0
RETRY_FOR = 3600.0


def message(
    *, history: RetryHistory | None = None, sent_at: float = SENT_AT, objects: tuple[ObjectRef, ...] = (A,)
) -> Message:
    """Return a message as received for the first time, or after it was returned to the queue."""
    attributes = {}
    if history is not None:
        attributes["retries"] = {"stringValue": history.as_text(sent=sent_at), "dataType": "String"}
    return Message(
        id="m1",
        body=json.dumps(s3_notification(*(record_of(ref) for ref in objects))),
        receipt_handle="receipt",
        receive_count=1,
        sent_at=sent_at,
        attributes=attributes,
    )


def record_of(ref: ObjectRef) -> Any:
    record = s3_record(ref.bucket, ref.key, size=ref.size, etag=ref.etag)
    record["s3"]["object"] |= {"versionId": ref.version_id, "sequencer": ref.sequencer}
    return record


@dataclass
class ReturnedMessage:
    """A message that was returned to the queue.

    Attributes:
        body: Its body.
        history: Its retry history.
        delay: Seconds.
    """

    body: str
    history: RetryHistory
    delay: float

    @property
    def objects(self) -> list[ObjectRef]:
        return objects_in_message(self.body)


class RecordingQueue:
    """Records its operations, and refuses those in `refused`."""

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.sent: list[ReturnedMessage] = []
        self.dead_lettered: list[dict[str, str]] = []
        self.continued: list[str] = []
        self.refused: set[str] = set()

    def _record(self, what: str) -> None:
        if what in self.refused:
            raise QueueError(f"{what} did not work.", hint="")
        self.events.append(what)

    @property
    def delays(self) -> list[float]:
        return [sent.delay for sent in self.sent]

    def return_to_queue(self, _message: Message, *, body: str, history: RetryHistory, delay: float) -> None:
        self._record("return to queue")
        self.sent.append(ReturnedMessage(body, history, delay))

    def dead_letter(self, _message: Message, **why: str) -> None:
        self._record("dead_letter")
        self.dead_lettered.append(why)

    def send_continuation(self, _message: Message, *, body: str) -> None:
        self._record("continue")
        self.continued.append(body)

    def acknowledge(self, _message: Message) -> None:
        self._record("acknowledge")


class RecordingPublisher(NullPublisher):
    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.failures: list[tuple[ObjectRef | None, DeliveryError, int]] = []
        self.paths: list[str | None] = []

    def failed(
        self, ref: ObjectRef | None, error: DeliveryError, *, attempt: int, remote_path: str | None = None
    ) -> None:
        self.events.append("publish")
        self.failures.append((ref, error, attempt))
        self.paths.append(remote_path)


class DispositionEnvironment:
    """A message disposition whose every action is recorded.

    Attributes:
        events: The actions, in order.
        given_up: Objects whose failure the ledger recorded.
        meanwhile: Errors that the ledger raises instead of recording the failure.
        now: Seconds since the epoch.
    """

    def __init__(self) -> None:
        self.events: list[str] = []
        self.queue = RecordingQueue(self.events)
        self.publisher = RecordingPublisher(self.events)
        self.given_up: list[tuple[ObjectRef, DeliveryError]] = []
        self.meanwhile: dict[ObjectRef, DeliveryError] = {}
        self.now = SENT_AT
        self.noted: list[tuple[ObjectRef, str, float, bool]] = []
        self.cannot_note: DeliveryError | None = None

    def apply(self, *failures: Failure, of: Message | None = None) -> bool:
        return self.message_disposition().apply(of or message(), failures)

    def message_disposition(self, *, base: float = 100, cap: float = 100) -> MessageDisposition:
        return MessageDisposition(
            self.queue,  # type: ignore[arg-type] # a stand-in
            policy=RetryPolicy(retry_for=RETRY_FOR, base=base, cap=cap),
            publisher=self.publisher,
            give_up=self._give_up,
            note_deferred=self._note_deferred,
            path_of=lambda ref: f"inbox/{ref.key}",
            clock=lambda: self.now,
        )

    def _note_deferred(
        self, ref: ObjectRef, error: DeliveryError, *, next_try: float, was_tried: bool
    ) -> None:
        if self.cannot_note is not None:
            raise self.cannot_note
        self.noted.append((ref, error.reason, next_try, was_tried))

    def _give_up(self, ref: ObjectRef, error: DeliveryError) -> None:
        self.events.append("give up")
        if ref in self.meanwhile:
            raise self.meanwhile[ref]
        self.given_up.append((ref, error))


@pytest.fixture
def env() -> DispositionEnvironment:
    return DispositionEnvironment()


RETRIED = [
    ConnectionLost("cut.", hint="wait."),
    ObjectReadInterrupted("S3.", hint="wait."),
    RequestRefused("full.", hint="wait.", code=14, disposition=Disposition.RETRY),
    LedgerError("busy.", hint="wait."),
    PartnerUnreachable("down.", hint="wait."),
    LoginRefused("no.", hint="fix."),
    CredentialsError("empty.", hint="fill."),
    ZeroDivisionError("surprise"),
]
TOO_LATE = DeadlineTooClose("late.", hint="", retry_after=0)
WAITING = [
    LeaseHeld("another.", hint="", retry_after=77),
    TOO_LATE,
    TooYoung("young.", hint="", retry_after=9),
]
CIRCUIT_OPEN = CircuitOpen("open.", hint="later.", retry_after=60)
PAUSED = DeliveriesPaused("paused.", hint="wait.", retry_after=300, paused_for=60)
PERMANENT = [
    EventError("not S3.", hint="look."),
    RemotePathRefused("no path.", hint="rename."),
    ObjectAccessDenied("forbidden.", hint="allow."),
    ObjectGone("gone.", hint="put."),
    ConfigurationError("unset.", hint="set."),
    RequestRefused("forbidden.", hint="ask.", code=3, disposition=Disposition.PERMANENT),
    LedgerError("corrupt.", hint="fix.", disposition=Disposition.PERMANENT),
    ResumeNotSupported("too large.", hint="split."),
    NoProgress("stuck.", hint="ask."),
]
NOTHING_TO_SEND = [
    AlreadyDelivered("before.", hint=""),
    AlreadyGone("gone.", hint=""),
    Superseded("older.", hint=""),
    Filtered("too small.", hint=""),
]


def class_name(value: object) -> str:
    return type(value).__name__


# --- one object ---


def test_delivered_message_leaves_the_queue(env: DispositionEnvironment) -> None:
    assert env.apply()
    assert env.events == []


@pytest.mark.parametrize("error", NOTHING_TO_SEND, ids=class_name)
def test_object_that_needs_no_delivery_leaves_the_queue(
    error: Exception, env: DispositionEnvironment
) -> None:
    env.now += 2 * RETRY_FOR
    assert env.apply((A, error))
    assert env.events == []


def test_end_of_a_filtered_object_that_waited_before_is_recorded(env: DispositionEnvironment) -> None:
    filtered = Filtered("too old.", hint="")
    waited = message(history=RetryHistory(first_sent=SENT_AT, waits=1))
    assert env.apply((A, filtered), of=waited)
    assert env.given_up == [(A, filtered)]
    assert env.queue.dead_lettered == []
    env.meanwhile[A] = AlreadyDelivered("before.", hint="")
    assert env.apply((A, filtered), of=waited)  # nothing to record


def test_unfinished_action_of_a_delivered_object_is_retried_and_dead_lettered(
    env: DispositionEnvironment,
) -> None:
    failed = AfterDeliveryFailed("It is delivered, but not deleted.", hint="allow.")
    assert env.apply((A, failed))
    assert env.events == ["return to queue", "acknowledge"]
    assert env.apply((A, failed), of=message_retried_for(RETRY_FOR))
    (dead,) = env.queue.dead_lettered
    assert (dead["error"], dead["reason"]) == ("AfterDeliveryFailed", failed.reason)


@pytest.mark.parametrize("error", RETRIED, ids=class_name)
def test_retryable_error_returns_the_message_to_the_queue_with_jitter(
    error: Exception, env: DispositionEnvironment
) -> None:
    for _ in range(20):
        assert env.apply((A, error))
    assert env.events == ["return to queue", "acknowledge"] * 20
    assert len(set(env.queue.delays)) > 1
    assert all(1 <= delay <= 100 for delay in env.queue.delays)
    assert env.queue.sent[0].body == message().body


def test_delay_grows_with_the_number_of_failed_attempts(env: DispositionEnvironment) -> None:
    message_disposition = env.message_disposition(base=5, cap=900)
    for count, longest in ((0, 5), (7, 640)):
        env.queue.sent.clear()
        history = RetryHistory(first_sent=SENT_AT, count=count, since=SENT_AT if count else None, waits=40)
        for _ in range(40):
            message_disposition.apply(message(history=history), [(A, RETRIED[0])])
        assert 0.4 * longest < max(env.queue.delays) <= longest


@pytest.mark.parametrize("error", [TOO_LATE, CIRCUIT_OPEN, PAUSED], ids=class_name)
def test_deferred_message_returns_after_the_delay_of_the_error(
    error: Any, env: DispositionEnvironment
) -> None:
    assert env.apply((A, error))
    assert env.queue.delays == [error.retry_after]
    assert env.events == ["return to queue", "acknowledge"]


@pytest.mark.parametrize(("rest", "longest"), [(900, 100), (5, 5)])
def test_message_that_waits_for_a_lease_returns_before_the_lease_ends(
    rest: float, longest: float, env: DispositionEnvironment
) -> None:
    for _ in range(30):
        assert env.apply((A, LeaseHeld("another.", hint="", retry_after=rest)))
    assert 0 < max(env.queue.delays) <= longest


def test_delay_of_a_message_that_waits_for_a_lease_grows(env: DispositionEnvironment) -> None:
    message_disposition, busy = (
        env.message_disposition(base=5, cap=900),
        LeaseHeld("another.", hint="", retry_after=900),
    )
    for waits, longest in ((0, 5), (7, 640)):
        env.queue.sent.clear()
        for _ in range(40):
            message_disposition.apply(
                message(history=RetryHistory(first_sent=SENT_AT, waits=waits)), [(A, busy)]
            )
        assert 0.4 * longest < max(env.queue.delays) <= longest


def test_pause_uses_up_no_tries_and_stops_the_clock(env: DispositionEnvironment) -> None:
    history = RetryHistory(first_sent=SENT_AT, count=3, since=SENT_AT)
    env.now += 2 * RETRY_FOR
    assert env.message_disposition(base=5, cap=900).apply(message(history=history), [(A, PAUSED)])
    (sent,) = env.queue.sent
    assert (sent.history.count, sent.history.since) == (3, SENT_AT + 300)


def test_saved_checkpoint_sends_a_continuation_and_acknowledges_the_message(
    env: DispositionEnvironment,
) -> None:
    assert env.apply((A, CheckpointSaved("half.", hint="")), of=message_retried_for(2 * RETRY_FOR))
    assert env.events == ["continue", "acknowledge"]


@pytest.mark.parametrize("error", PERMANENT, ids=class_name)
def test_permanent_failure_is_dead_lettered_with_the_reason(error: Any, env: DispositionEnvironment) -> None:
    assert env.apply((A, error))
    (told,) = env.queue.dead_lettered
    assert told.items() >= {"reason": error.reason, "hint": error.hint, "error": class_name(error)}.items()
    assert env.given_up == [(A, error)]
    assert env.publisher.failures == [(A, error, 1)]


def test_failure_is_recorded_before_the_message_is_dead_lettered_and_published_after(
    env: DispositionEnvironment,
) -> None:
    env.apply((A, PERMANENT[1]))
    assert env.events == ["give up", "dead_letter", "publish", "acknowledge"]


def test_message_that_names_no_object_is_dead_lettered(env: DispositionEnvironment) -> None:
    assert env.apply((None, PERMANENT[0]))
    assert env.queue.dead_lettered[0]["error"] == "EventError"
    assert env.given_up == []
    assert env.publisher.failures == [(None, PERMANENT[0], 1)]


# --- retries ---


def message_retried_for(seconds: float, *, objects: tuple[ObjectRef, ...] = (A,)) -> Message:
    """Return a returned message whose first attempt failed this many seconds ago."""
    history = RetryHistory(first_sent=SENT_AT - 10 * RETRY_FOR, count=4, since=SENT_AT - seconds)
    return message(history=history, objects=objects)


def apply_in_turn(env: DispositionEnvironment, received: Message, *errors: Exception) -> Message:
    """Apply these outcomes in turn, each to the message that the last one returned to the queue."""
    for error in errors:
        assert env.apply((A, error), of=received)
        received = message(history=env.queue.sent[-1].history, sent_at=env.now)
    return received


@pytest.mark.parametrize("error", RETRIED, ids=class_name)
def test_time_in_a_backlog_does_not_count_towards_retry_for(
    error: Exception, env: DispositionEnvironment
) -> None:
    env.now = SENT_AT + 100 * RETRY_FOR
    assert env.apply((A, error))
    assert env.queue.dead_lettered == []
    (again,) = env.queue.sent
    assert again.history == RetryHistory(first_sent=SENT_AT, count=1, since=env.now)


@pytest.mark.parametrize("error", [*RETRIED, CIRCUIT_OPEN], ids=class_name)
def test_object_is_dead_lettered_when_its_first_try_is_retry_for_ago(
    error: Exception, env: DispositionEnvironment
) -> None:
    assert env.apply((A, error), of=message_retried_for(RETRY_FOR - 1))
    assert env.queue.dead_lettered == []
    assert env.apply((A, error), of=message_retried_for(RETRY_FOR))
    assert len(env.queue.dead_lettered) == 1


@pytest.mark.parametrize("error", WAITING, ids=class_name)
def test_deferred_object_is_never_dead_lettered(error: Exception, env: DispositionEnvironment) -> None:
    assert env.apply((A, error), of=message_retried_for(100 * RETRY_FOR))
    assert env.events == ["return to queue", "acknowledge"]


@pytest.mark.parametrize("error", [*WAITING, CIRCUIT_OPEN], ids=class_name)
def test_deferral_does_not_count_as_a_try(error: Exception, env: DispositionEnvironment) -> None:
    received = apply_in_turn(env, message(), *[error] * 2000)
    assert received.history == RetryHistory(first_sent=SENT_AT, waits=2000)
    env.now += 100 * RETRY_FOR
    assert apply_in_turn(env, received, RETRIED[0]).history == RetryHistory(
        first_sent=SENT_AT, count=1, since=env.now
    )


def test_retry_time_is_paused_while_an_object_waits_for_a_lease(env: DispositionEnvironment) -> None:
    received = apply_in_turn(
        env, message_retried_for(RETRY_FOR - 50), LeaseHeld("another.", hint="", retry_after=77)
    )
    env.now += env.queue.delays[-1]
    assert env.apply((A, RETRIED[0]), of=received)
    assert env.queue.dead_lettered == []


def test_retry_time_continues_while_the_circuit_is_open(env: DispositionEnvironment) -> None:
    received = apply_in_turn(env, message_retried_for(RETRY_FOR - 50), CIRCUIT_OPEN)
    env.now += CIRCUIT_OPEN.retry_after
    assert env.apply((A, CIRCUIT_OPEN), of=received)
    assert [dead_lettered["reason"] for dead_lettered in env.queue.dead_lettered] == ["open."]


def test_attempts_are_counted_across_all_messages_of_an_object(env: DispositionEnvironment) -> None:
    received = apply_in_turn(env, message(), RETRIED[0], WAITING[0], CIRCUIT_OPEN, RETRIED[4], RETRIED[0])
    assert (received.history.count, received.history.since) == (3, SENT_AT + env.queue.delays[1])
    assert env.apply((A, PERMANENT[1]), of=received)
    assert env.publisher.failures == [(A, PERMANENT[1], 4)]


def test_redrive_resets_the_retries(env: DispositionEnvironment) -> None:
    old = RetryHistory(first_sent=SENT_AT, count=9, since=SENT_AT).as_text(sent=SENT_AT)
    back = dataclasses.replace(
        message(sent_at=SENT_AT + 2 * RETRY_FOR),
        attributes={"retries": {"stringValue": old, "dataType": "String"}},
    )
    env.now = SENT_AT + 2 * RETRY_FOR
    assert env.apply((A, RETRIED[0]), of=back)
    assert env.queue.dead_lettered == []
    assert env.queue.sent[0].history.count == 1


def test_unexpected_error_is_dead_lettered_with_its_class_name(env: DispositionEnvironment) -> None:
    env.apply((A, ZeroDivisionError("surprise")), of=message_retried_for(RETRY_FOR))
    (dead_lettered,) = env.queue.dead_lettered
    assert (dead_lettered["reason"], dead_lettered["error"]) == (
        "ZeroDivisionError: surprise",
        "ZeroDivisionError",
    )
    assert "defect of the function" in dead_lettered["hint"]


# --- several objects ---

CONTINUED = CheckpointSaved("half.", hint="")


@dataclass(frozen=True)
class Case:
    """An outcome of one object of a message, and its expected disposition.

    Attributes:
        error: Its outcome; None: it was delivered.
        over: The disposition after `retry_for`.
        young: The disposition before that.
        meanwhile: The error that the ledger raises instead of recording a failure.
    """

    error: Exception | None
    young: str
    over: str
    meanwhile: DeliveryError | None = None


LEDGER_AWAY = LedgerError("busy.", hint="")
ELSEWHERE = AlreadyDelivered("delivered elsewhere.", hint="")
TAKEN = LeaseHeld("another.", hint="", retry_after=60)
CASES = {
    "delivered": Case(None, "done", "done"),
    "nothing to send": Case(NOTHING_TO_SEND[2], "done", "done"),
    "retry": Case(ConnectionLost("cut.", hint=""), "later", "dead"),
    "retry, ended elsewhere": Case(ConnectionLost("cut.", hint=""), "later", "done", ELSEWHERE),
    "retry, being sent elsewhere": Case(ConnectionLost("cut.", hint=""), "later", "later", TAKEN),
    "retry, ledger out of reach": Case(ConnectionLost("cut.", hint=""), "later", "dead", LEDGER_AWAY),
    "surprise": Case(ZeroDivisionError("surprise"), "later", "dead"),
    "partner": Case(PartnerUnreachable("down.", hint=""), "later", "dead"),
    "partner, ended elsewhere": Case(PartnerUnreachable("down.", hint=""), "later", "done", ELSEWHERE),
    "circuit": Case(CIRCUIT_OPEN, "later", "dead"),
    "circuit, ended elsewhere": Case(CIRCUIT_OPEN, "later", "done", ELSEWHERE),
    "lease": Case(WAITING[0], "later", "later"),
    "deadline": Case(TOO_LATE, "later", "later"),
    "permanent": Case(RemotePathRefused("no path.", hint=""), "dead", "dead"),
    "permanent, ended elsewhere": Case(ObjectAccessDenied("forbidden.", hint=""), "done", "done", ELSEWHERE),
    "permanent, being sent elsewhere": Case(
        ObjectAccessDenied("forbidden.", hint=""), "later", "later", TAKEN
    ),
    "continue": Case(CONTINUED, "continued", "continued"),
}


@pytest.mark.parametrize("is_over", [False, True], ids=["young", "over"])
@pytest.mark.parametrize("first", CASES)
@pytest.mark.parametrize("second", CASES)
def test_each_object_of_a_message_gets_its_own_disposition(
    first: str,
    second: str,
    is_over: bool,  # noqa: FBT001 - a parameter
    env: DispositionEnvironment,
) -> None:
    cases = {A: CASES[first], B: CASES[second]}
    env.meanwhile = {ref: case.meanwhile for ref, case in cases.items() if case.meanwhile}
    received = message_retried_for(2 * RETRY_FOR if is_over else 1, objects=(A, B))
    assert env.apply(*((ref, case.error) for ref, case in cases.items() if case.error), of=received)
    wanted = {ref: case.over if is_over else case.young for ref, case in cases.items()}
    dead = [ref for ref, end in wanted.items() if end == "dead"]
    assert [sent.objects for sent in env.queue.sent] == [[ref] for ref in wanted if wanted[ref] == "later"]
    assert [objects_in_message(body) for body in env.queue.continued] == [
        [ref] for ref in wanted if wanted[ref] == "continued"
    ]
    assert [ref for ref, _, _ in env.publisher.failures] == dead
    assert len(env.queue.dead_lettered) == bool(dead)
    for one in dead:
        assert getattr(cases[one].error, "reason", "surprise") in env.queue.dead_lettered[0]["reason"]
    moved = set(wanted.values()) != {"done"}
    assert env.events.count("acknowledge") == moved
    assert not moved or env.events[-1] == "acknowledge"


def test_returned_objects_keep_separate_retry_histories(
    env: DispositionEnvironment,
) -> None:
    received = message_retried_for(10, objects=(A, B, C))
    assert env.apply((A, RETRIED[0]), (B, CIRCUIT_OPEN), (C, TOO_LATE), of=received)
    history = received.history
    assert {sent.objects[0]: sent.history for sent in env.queue.sent} == {
        A: dataclasses.replace(history, count=5),
        B: dataclasses.replace(history, waits=1),
        C: dataclasses.replace(history, waits=1),
    }


def test_object_named_twice_in_a_message_is_returned_once(env: DispositionEnvironment) -> None:
    assert env.apply((A, RETRIED[0]), (A, RETRIED[0]), of=message(objects=(A, A)))
    assert [sent.objects for sent in env.queue.sent] == [[A]]


def test_every_failed_object_of_a_dead_lettered_message_is_recorded_and_published(
    env: DispositionEnvironment,
) -> None:
    failures = [(A, PERMANENT[1]), (B, RETRIED[0]), (C, NOTHING_TO_SEND[0])]
    assert env.apply(*failures, of=message_retried_for(RETRY_FOR, objects=(A, B, C)))
    assert {ref for ref, _ in env.given_up} == {A, B}
    assert {ref for ref, _, _ in env.publisher.failures} == {A, B}
    (dead_lettered,) = env.queue.dead_lettered
    assert dead_lettered == {
        "reason": f"{A}: no path.\n{B}: cut.",
        "hint": "rename.\nwait.",
        "error": "RemotePathRefused",
        "operation": "",
        "status": "",
        "bucket": A.bucket,
        "key": A.key,
    }


@pytest.mark.parametrize(
    ("code", "status"), [(3, "PERMISSION_DENIED"), (14, "NO_SPACE_ON_FILESYSTEM"), (99, "99")]
)
def test_dead_letter_of_a_refusal_says_which_request_and_which_status(
    code: int, status: str, env: DispositionEnvironment
) -> None:
    refused = RequestRefused("no.", hint="", code=code, disposition=Disposition.PERMANENT, request="create")
    assert env.apply((A, refused))
    (told,) = env.queue.dead_lettered
    assert (told["operation"], told["status"]) == ("create", status)
    assert (told["bucket"], told["key"]) == (A.bucket, A.key)


def test_attributes_of_a_dead_letter_are_those_of_the_first_object_that_failed(
    env: DispositionEnvironment,
) -> None:
    refused = RequestRefused("no.", hint="", code=3, disposition=Disposition.PERMANENT, request="rename")
    env.apply((A, NOTHING_TO_SEND[0]), (B, refused), (C, PERMANENT[1]), of=message(objects=(A, B, C)))
    (told,) = env.queue.dead_lettered
    assert [told[name] for name in ("error", "operation", "status", "key")] == [
        "RequestRefused",
        "rename",
        "PERMISSION_DENIED",
        B.key,
    ]


def test_dead_letter_that_names_no_object_has_no_key(env: DispositionEnvironment) -> None:
    env.apply((None, PERMANENT[0]))
    (told,) = env.queue.dead_lettered
    assert (told["bucket"], told["key"]) == ("", "")


def test_returned_and_continued_objects_are_sent_before_the_message_is_dead_lettered(
    env: DispositionEnvironment,
) -> None:
    failures = [(A, PERMANENT[1]), (B, RETRIED[0]), (C, CONTINUED)]
    assert env.apply(*failures, of=message(objects=(A, B, C)))
    assert env.events == ["give up", "return to queue", "continue", "dead_letter", "publish", "acknowledge"]


# --- errors of the queue and the ledger ---


@pytest.mark.parametrize(
    ("act", "error"),
    [("return to queue", RETRIED[0]), ("dead_letter", PERMANENT[1]), ("continue", CONTINUED)],
)
def test_message_stays_when_the_queue_refuses_to_move_it(
    act: str, error: Exception, env: DispositionEnvironment
) -> None:
    env.queue.refused.add(act)
    assert not env.apply((A, error))
    assert "acknowledge" not in env.events


@pytest.mark.parametrize("act", ["return to queue", "dead_letter", "continue"])
def test_message_stays_when_the_queue_refuses_a_part_of_it(act: str, env: DispositionEnvironment) -> None:
    env.queue.refused.add(act)
    failures = [(A, PERMANENT[1]), (B, RETRIED[0]), (C, CONTINUED)]
    assert not env.apply(*failures, of=message(objects=(A, B, C)))
    assert "acknowledge" not in env.events


def test_failure_is_not_published_when_the_message_could_not_be_dead_lettered(
    env: DispositionEnvironment,
) -> None:
    env.queue.refused.add("dead_letter")
    env.apply((A, PERMANENT[1]))
    assert env.publisher.failures == []


def test_message_is_dead_lettered_although_the_ledger_is_unavailable(env: DispositionEnvironment) -> None:
    env.meanwhile[A] = LedgerError("busy.", hint="")
    assert env.apply((A, PERMANENT[1]))
    assert len(env.queue.dead_lettered) == len(env.publisher.failures) == 1


def test_object_delivered_meanwhile_is_not_dead_lettered(env: DispositionEnvironment) -> None:
    env.meanwhile[A] = AlreadyDelivered("delivered before.", hint="")
    assert env.apply((A, PERMANENT[1]))
    assert (env.queue.dead_lettered, env.publisher.failures) == ([], [])


def test_published_failure_has_the_remote_path_if_any(env: DispositionEnvironment) -> None:
    env.apply((A, PERMANENT[1]))
    env.apply((None, EventError("no JSON.", hint="")))
    assert env.publisher.paths == [f"inbox/{A.key}", None]


# --- with real queues ---


@pytest.fixture
def sqs() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("sqs", region_name="eu-west-1")


def test_dead_lettered_message_has_its_body_and_the_reason_as_attributes(sqs: Any) -> None:
    queue_url = sqs.create_queue(QueueName="q")["QueueUrl"]
    dead_letters = sqs.create_queue(QueueName="dlq")["QueueUrl"]
    message_disposition = MessageDisposition(
        MessageQueue(sqs, queue_url=queue_url, dead_letter_queue_url=dead_letters),
        policy=RetryPolicy(),
        publisher=NullPublisher(),
        give_up=lambda _ref, _error: None,
    )
    assert message_disposition.apply(message(), [(A, RemotePathRefused("no path.", hint="rename."))])
    (dead_lettered,) = sqs.receive_message(QueueUrl=dead_letters, MessageAttributeNames=["All"])["Messages"]
    assert dead_lettered["Body"] == message().body
    assert {name: value["StringValue"] for name, value in dead_lettered["MessageAttributes"].items()} == {
        "reason": "no path.",
        "hint": "rename.",
        "error": "RemotePathRefused",
        "bucket": A.bucket,
        "key": A.key,
    }


def test_every_deferral_sends_a_new_message(sqs: Any) -> None:
    queue_url = sqs.create_queue(QueueName="q")["QueueUrl"]
    dead_letters = sqs.create_queue(QueueName="dlq")["QueueUrl"]
    message_disposition = MessageDisposition(
        MessageQueue(sqs, queue_url=queue_url, dead_letter_queue_url=dead_letters),
        policy=RetryPolicy(),
        publisher=NullPublisher(),
        give_up=lambda _ref, _error: None,
    )
    sqs.send_message(QueueUrl=queue_url, MessageBody=message().body)
    for waits in range(30):
        (received,) = sqs.receive_message(
            QueueUrl=queue_url, AttributeNames=["All"], MessageAttributeNames=["All"], MaxNumberOfMessages=10
        )["Messages"]
        again = Message.from_record(sqs_record(received))
        assert (again.receive_count, again.history.waits, again.history.count) == (1, waits, 0)
        assert message_disposition.apply(again, [(A, DeadlineTooClose("late.", hint="", retry_after=0))])


# What people can read of an object that comes back later


@pytest.mark.parametrize("error", RETRIED, ids=lambda error: type(error).__name__)
def test_every_failed_attempt_is_recorded_with_its_next_try(
    error: Exception, env: DispositionEnvironment
) -> None:
    history = RetryHistory(first_sent=SENT_AT, count=4, since=SENT_AT, waits=2)
    env.apply((A, error), of=message(history=history))
    ((ref, reason, next_try, was_tried),) = env.noted
    assert (ref, next_try, was_tried) == (A, SENT_AT + env.queue.delays[0], True)
    assert str(getattr(error, "reason", "surprise")) in reason


@pytest.mark.parametrize("error", [LeaseHeld("another.", hint="", retry_after=77), CIRCUIT_OPEN])
def test_only_the_first_wait_is_recorded(error: DeliveryError, env: DispositionEnvironment) -> None:
    env.apply((A, error))
    assert env.noted == [(A, error.reason, SENT_AT + env.queue.delays[0], False)]
    env.apply((A, error), of=message(history=env.queue.sent[0].history))
    assert len(env.noted) == 1


def test_wait_between_two_attempts_is_not_recorded(env: DispositionEnvironment) -> None:
    env.apply((A, CIRCUIT_OPEN), of=message(history=RetryHistory(first_sent=SENT_AT, count=1, since=SENT_AT)))
    assert env.noted == []


def test_object_that_comes_back_at_once_is_not_recorded(env: DispositionEnvironment) -> None:
    env.apply((A, TOO_LATE))
    assert env.noted == []


@pytest.mark.parametrize("error", [*NOTHING_TO_SEND, *PERMANENT, CheckpointSaved("half.", hint="")])
def test_object_that_does_not_wait_is_not_recorded_as_waiting(
    error: DeliveryError, env: DispositionEnvironment
) -> None:
    env.apply((A, error))
    assert env.noted == []


def test_message_without_an_object_is_not_recorded(env: DispositionEnvironment) -> None:
    env.apply((None, LedgerError("busy.", hint="")))
    assert env.noted == []
    assert len(env.queue.sent) == 1


def test_ledger_that_cannot_be_written_defers_all_the_same(env: DispositionEnvironment) -> None:
    env.cannot_note = LedgerError("busy.", hint="")
    assert env.apply((A, CIRCUIT_OPEN))
    assert env.events == ["return to queue", "acknowledge"]
