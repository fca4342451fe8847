"""Each outcome has its consequence: acknowledged, sent anew, continued or dead-lettered."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto import mock_aws

from s3_to_sftp.errors import (
    AlreadyDelivered,
    AlreadyGone,
    BeingSent,
    CannotContinue,
    ConfigurationError,
    ConnectionLost,
    CredentialsError,
    DeadlineTooClose,
    DeliveryError,
    Disposition,
    EventError,
    LedgerError,
    LoginRefused,
    NoProgress,
    ObjectGone,
    PartnerLeftInPeace,
    PartnerUnreachable,
    QueueError,
    RemotePathRefused,
    RequestRefused,
    SourceDenied,
    SourceInterrupted,
    Superseded,
    ToBeContinued,
)
from s3_to_sftp.events import Silent
from s3_to_sftp.queue.disposition import Failure, Settlement
from s3_to_sftp.queue.message_queue import Message, MessageQueue
from s3_to_sftp.queue.retry_policy import RetryPolicy, Tries
from s3_to_sftp.s3.envelopes import objects_in_message
from s3_to_sftp.s3.object_ref import ObjectRef
from tests.lambda_events import s3_notification, s3_record, sqs_record
from tests.ledger_site import ref

A, B, C = (ref(key=key) for key in ("a", "b", "c"))
SENT_AT = 1_795_392_000.0
RETRY_FOR = 3600.0


def message(
    *, tries: Tries | None = None, sent_at: float = SENT_AT, objects: tuple[ObjectRef, ...] = (A,)
) -> Message:
    """A message as it is received, the first time or after it was sent anew."""
    attributes = {}
    if tries is not None:
        attributes["retries"] = {"stringValue": tries.as_text(sent=sent_at), "dataType": "String"}
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
class Sent:
    """A message that was sent anew.

    Attributes:
        body: Its body.
        tries: What it carries along.
        delay: Seconds.
    """

    body: str
    tries: Tries
    delay: float

    @property
    def announces(self) -> list[ObjectRef]:
        return objects_in_message(self.body)


class NotingQueue:
    """Notes what it is asked for, and refuses what it is told to."""

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.sent: list[Sent] = []
        self.parked: list[dict[str, str]] = []
        self.continued: list[str] = []
        self.refused: set[str] = set()

    def _note(self, what: str) -> None:
        if what in self.refused:
            raise QueueError(f"{what} did not work.", hint="")
        self.events.append(what)

    @property
    def delays(self) -> list[float]:
        return [sent.delay for sent in self.sent]

    def send_anew(self, _message: Message, *, body: str, tries: Tries, delay: float) -> None:
        self._note("send anew")
        self.sent.append(Sent(body, tries, delay))

    def park(self, _message: Message, **why: str) -> None:
        self._note("park")
        self.parked.append(why)

    def continue_(self, _message: Message, *, body: str) -> None:
        self._note("continue")
        self.continued.append(body)

    def acknowledge(self, _message: Message) -> None:
        self._note("acknowledge")


class NotingAnnouncements(Silent):
    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.failures: list[tuple[ObjectRef | None, DeliveryError, int]] = []
        self.paths: list[str | None] = []

    def failed(
        self, ref: ObjectRef | None, error: DeliveryError, *, attempt: int, remote_path: str | None = None
    ) -> None:
        self.events.append("announce")
        self.failures.append((ref, error, attempt))
        self.paths.append(remote_path)


class SettlementSite:
    """A settlement whose every act is noted.

    Attributes:
        events: What was done, in order.
        given_up: Objects that the ledger was told of.
        meanwhile: What the ledger answers instead of taking that an object is given up.
        now: Seconds since the epoch.
    """

    def __init__(self) -> None:
        self.events: list[str] = []
        self.queue = NotingQueue(self.events)
        self.announcements = NotingAnnouncements(self.events)
        self.given_up: list[tuple[ObjectRef, DeliveryError]] = []
        self.meanwhile: dict[ObjectRef, DeliveryError] = {}
        self.now = SENT_AT

    def settle(self, *failures: Failure, of: Message | None = None) -> bool:
        return self.settlement().settle(of or message(), failures)

    def settlement(self, *, base: float = 100, cap: float = 100) -> Settlement:
        return Settlement(
            self.queue,  # type: ignore[arg-type] # a stand-in
            policy=RetryPolicy(retry_for=RETRY_FOR, base=base, cap=cap),
            announcements=self.announcements,
            give_up=self._give_up,
            path_of=lambda ref: f"inbox/{ref.key}",
            clock=lambda: self.now,
        )

    def _give_up(self, ref: ObjectRef, error: DeliveryError) -> None:
        self.events.append("give up")
        if ref in self.meanwhile:
            raise self.meanwhile[ref]
        self.given_up.append((ref, error))


@pytest.fixture
def site() -> SettlementSite:
    return SettlementSite()


RETRIED = [
    ConnectionLost("cut.", hint="wait."),
    SourceInterrupted("S3.", hint="wait."),
    RequestRefused("full.", hint="wait.", code=14, disposition=Disposition.RETRY),
    LedgerError("busy.", hint="wait."),
    PartnerUnreachable("down.", hint="wait."),
    LoginRefused("no.", hint="mend."),
    CredentialsError("empty.", hint="fill."),
    ZeroDivisionError("surprise"),
]
TOO_LATE = DeadlineTooClose("late.", hint="", retry_after=0)
WAITING = [BeingSent("another.", hint="", retry_after=77), TOO_LATE]
LEFT_IN_PEACE = PartnerLeftInPeace("open.", hint="later.", retry_after=60)
PERMANENT = [
    EventError("not S3.", hint="look."),
    RemotePathRefused("no path.", hint="rename."),
    SourceDenied("forbidden.", hint="allow."),
    ObjectGone("gone.", hint="put."),
    ConfigurationError("unset.", hint="set."),
    RequestRefused("forbidden.", hint="ask.", code=3, disposition=Disposition.PERMANENT),
    LedgerError("corrupt.", hint="mend.", disposition=Disposition.PERMANENT),
    CannotContinue("too large.", hint="split."),
    NoProgress("stuck.", hint="ask."),
]
SETTLED = [
    AlreadyDelivered("before.", hint=""),
    AlreadyGone("gone.", hint=""),
    Superseded("older.", hint=""),
]


def names(value: object) -> str:
    return type(value).__name__


# --- one object ---


def test_delivered_message_leaves_the_queue(site: SettlementSite) -> None:
    assert site.settle()
    assert site.events == []


@pytest.mark.parametrize("error", SETTLED, ids=names)
def test_what_needs_no_delivery_leaves_the_queue(error: Exception, site: SettlementSite) -> None:
    site.now += 2 * RETRY_FOR
    assert site.settle((A, error))
    assert site.events == []


@pytest.mark.parametrize("error", RETRIED, ids=names)
def test_what_may_work_later_is_sent_anew_with_jitter_and_acknowledged(
    error: Exception, site: SettlementSite
) -> None:
    for _ in range(20):
        assert site.settle((A, error))
    assert site.events == ["send anew", "acknowledge"] * 20
    assert len(set(site.queue.delays)) > 1
    assert all(1 <= delay <= 100 for delay in site.queue.delays)
    assert site.queue.sent[0].body == message().body


def test_delay_grows_with_the_tries_that_failed(site: SettlementSite) -> None:
    settlement = site.settlement(base=5, cap=900)
    for count, longest in ((0, 5), (7, 640)):
        site.queue.sent.clear()
        tries = Tries(first_sent=SENT_AT, count=count, since=SENT_AT if count else None, waits=40)
        for _ in range(40):
            settlement.settle(message(tries=tries), [(A, RETRIED[0])])
        assert 0.4 * longest < max(site.queue.delays) <= longest


@pytest.mark.parametrize("error", [TOO_LATE, LEFT_IN_PEACE], ids=names)
def test_what_waits_for_its_turn_comes_back_when_the_error_says(error: Any, site: SettlementSite) -> None:
    assert site.settle((A, error))
    assert site.queue.delays == [error.retry_after]
    assert site.events == ["send anew", "acknowledge"]


@pytest.mark.parametrize(("rest", "longest"), [(900, 100), (5, 5)])
def test_what_another_function_sends_is_looked_at_soon_and_at_the_latest_when_its_lease_ends(
    rest: float, longest: float, site: SettlementSite
) -> None:
    for _ in range(30):
        assert site.settle((A, BeingSent("another.", hint="", retry_after=rest)))
    assert 0 < max(site.queue.delays) <= longest


def test_what_another_function_sends_is_looked_at_less_and_less_often(site: SettlementSite) -> None:
    settlement, busy = site.settlement(base=5, cap=900), BeingSent("another.", hint="", retry_after=900)
    for waits, longest in ((0, 5), (7, 640)):
        site.queue.sent.clear()
        for _ in range(40):
            settlement.settle(message(tries=Tries(first_sent=SENT_AT, waits=waits)), [(A, busy)])
        assert 0.4 * longest < max(site.queue.delays) <= longest


def test_what_is_under_way_is_continued_and_acknowledged(site: SettlementSite) -> None:
    assert site.settle((A, ToBeContinued("half.", hint="")), of=tried_for(2 * RETRY_FOR))
    assert site.events == ["continue", "acknowledge"]


@pytest.mark.parametrize("error", PERMANENT, ids=names)
def test_what_nobody_can_deliver_is_parked_with_the_reason(error: Any, site: SettlementSite) -> None:
    assert site.settle((A, error))
    assert site.queue.parked == [{"reason": error.reason, "hint": error.hint, "error": names(error)}]
    assert site.given_up == [(A, error)]
    assert site.announcements.failures == [(A, error, 1)]


def test_ledger_is_told_before_the_message_is_parked_and_people_after(site: SettlementSite) -> None:
    site.settle((A, PERMANENT[1]))
    assert site.events == ["give up", "park", "announce", "acknowledge"]


def test_message_that_names_no_object_is_parked(site: SettlementSite) -> None:
    assert site.settle((None, PERMANENT[0]))
    assert site.queue.parked[0]["error"] == "EventError"
    assert site.given_up == []
    assert site.announcements.failures == [(None, PERMANENT[0], 1)]


# --- how long it is tried, and how often ---


def tried_for(seconds: float, *, objects: tuple[ObjectRef, ...] = (A,)) -> Message:
    """A message whose first try failed so long ago, received after it was sent anew."""
    tries = Tries(first_sent=SENT_AT - 10 * RETRY_FOR, count=4, since=SENT_AT - seconds)
    return message(tries=tries, objects=objects)


def after(site: SettlementSite, received: Message, *errors: Exception) -> Message:
    """Settle these outcomes one after the other; what comes of it is received at once each time."""
    for error in errors:
        assert site.settle((A, error), of=received)
        received = message(tries=site.queue.sent[-1].tries, sent_at=site.now)
    return received


@pytest.mark.parametrize("error", RETRIED, ids=names)
def test_what_lay_in_a_backlog_for_longer_than_it_is_retried_for_gets_more_than_one_try(
    error: Exception, site: SettlementSite
) -> None:
    site.now = SENT_AT + 100 * RETRY_FOR
    assert site.settle((A, error))
    assert site.queue.parked == []
    (again,) = site.queue.sent
    assert again.tries == Tries(first_sent=SENT_AT, count=1, since=site.now)


@pytest.mark.parametrize("error", [*RETRIED, LEFT_IN_PEACE], ids=names)
def test_object_is_given_up_when_its_first_try_was_long_enough_ago(
    error: Exception, site: SettlementSite
) -> None:
    assert site.settle((A, error), of=tried_for(RETRY_FOR - 1))
    assert site.queue.parked == []
    assert site.settle((A, error), of=tried_for(RETRY_FOR))
    assert len(site.queue.parked) == 1


@pytest.mark.parametrize("error", WAITING, ids=names)
def test_what_only_waits_for_its_turn_is_never_given_up(error: Exception, site: SettlementSite) -> None:
    assert site.settle((A, error), of=tried_for(100 * RETRY_FOR))
    assert site.events == ["send anew", "acknowledge"]


@pytest.mark.parametrize("error", [*WAITING, LEFT_IN_PEACE], ids=names)
def test_a_wait_is_no_try_and_starts_no_clock(error: Exception, site: SettlementSite) -> None:
    received = after(site, message(), *[error] * 2000)
    assert received.tries == Tries(first_sent=SENT_AT, waits=2000)
    site.now += 100 * RETRY_FOR
    assert after(site, received, RETRIED[0]).tries == Tries(first_sent=SENT_AT, count=1, since=site.now)


def test_clock_stands_while_an_object_waits_for_what_is_nobodys_fault(site: SettlementSite) -> None:
    received = after(site, tried_for(RETRY_FOR - 50), BeingSent("another.", hint="", retry_after=77))
    site.now += 77
    assert site.settle((A, RETRIED[0]), of=received)
    assert site.queue.parked == []


def test_clock_runs_while_the_circuit_is_open(site: SettlementSite) -> None:
    received = after(site, tried_for(RETRY_FOR - 50), LEFT_IN_PEACE)
    site.now += LEFT_IN_PEACE.retry_after
    assert site.settle((A, LEFT_IN_PEACE), of=received)
    assert [parked["reason"] for parked in site.queue.parked] == ["open."]


def test_tries_are_counted_over_all_messages_of_an_object(site: SettlementSite) -> None:
    received = after(site, message(), RETRIED[0], WAITING[0], LEFT_IN_PEACE, RETRIED[4], RETRIED[0])
    assert (received.tries.count, received.tries.since) == (3, SENT_AT + site.queue.delays[1])
    assert site.settle((A, PERMANENT[1]), of=received)
    assert site.announcements.failures == [(A, PERMANENT[1], 4)]


def test_message_that_a_person_sent_back_is_tried_anew(site: SettlementSite) -> None:
    old = Tries(first_sent=SENT_AT, count=9, since=SENT_AT).as_text(sent=SENT_AT)
    back = dataclasses.replace(
        message(sent_at=SENT_AT + 2 * RETRY_FOR),
        attributes={"retries": {"stringValue": old, "dataType": "String"}},
    )
    site.now = SENT_AT + 2 * RETRY_FOR
    assert site.settle((A, RETRIED[0]), of=back)
    assert site.queue.parked == []
    assert site.queue.sent[0].tries.count == 1


def test_unexpected_error_is_told_by_its_name_when_it_is_given_up(site: SettlementSite) -> None:
    site.settle((A, ZeroDivisionError("surprise")), of=tried_for(RETRY_FOR))
    (parked,) = site.queue.parked
    assert (parked["reason"], parked["error"]) == ("ZeroDivisionError: surprise", "ZeroDivisionError")
    assert "defect of the function" in parked["hint"]


# --- several objects ---

CONTINUED = ToBeContinued("half.", hint="")


@dataclass(frozen=True)
class Case:
    """What may become of one object of a message whose first try was long ago, or not.

    Attributes:
        error: Its outcome; None: it was delivered.
        over: What is right for it when the message was tried long enough.
        young: What is right for it before that.
        meanwhile: What the ledger answers when it is given up.
    """

    error: Exception | None
    young: str
    over: str
    meanwhile: DeliveryError | None = None


LEDGER_AWAY = LedgerError("busy.", hint="")
ELSEWHERE = AlreadyDelivered("delivered elsewhere.", hint="")
TAKEN = BeingSent("another.", hint="", retry_after=60)
CASES = {
    "delivered": Case(None, "done", "done"),
    "settled": Case(SETTLED[2], "done", "done"),
    "retry": Case(ConnectionLost("cut.", hint=""), "later", "dead"),
    "retry, ended elsewhere": Case(ConnectionLost("cut.", hint=""), "later", "done", ELSEWHERE),
    "retry, being sent elsewhere": Case(ConnectionLost("cut.", hint=""), "later", "later", TAKEN),
    "retry, ledger out of reach": Case(ConnectionLost("cut.", hint=""), "later", "dead", LEDGER_AWAY),
    "surprise": Case(ZeroDivisionError("surprise"), "later", "dead"),
    "partner": Case(PartnerUnreachable("down.", hint=""), "later", "dead"),
    "partner, ended elsewhere": Case(PartnerUnreachable("down.", hint=""), "later", "done", ELSEWHERE),
    "circuit": Case(LEFT_IN_PEACE, "later", "dead"),
    "circuit, ended elsewhere": Case(LEFT_IN_PEACE, "later", "done", ELSEWHERE),
    "lease": Case(WAITING[0], "later", "later"),
    "deadline": Case(TOO_LATE, "later", "later"),
    "permanent": Case(RemotePathRefused("no path.", hint=""), "dead", "dead"),
    "permanent, ended elsewhere": Case(SourceDenied("forbidden.", hint=""), "done", "done", ELSEWHERE),
    "permanent, being sent elsewhere": Case(SourceDenied("forbidden.", hint=""), "later", "later", TAKEN),
    "continue": Case(CONTINUED, "continued", "continued"),
}


@pytest.mark.parametrize("is_over", [False, True], ids=["young", "over"])
@pytest.mark.parametrize("first", CASES)
@pytest.mark.parametrize("second", CASES)
def test_each_object_of_a_message_gets_what_is_right_for_it(
    first: str,
    second: str,
    is_over: bool,  # noqa: FBT001 - a parameter
    site: SettlementSite,
) -> None:
    cases = {A: CASES[first], B: CASES[second]}
    site.meanwhile = {ref: case.meanwhile for ref, case in cases.items() if case.meanwhile}
    received = tried_for(2 * RETRY_FOR if is_over else 1, objects=(A, B))
    assert site.settle(*((ref, case.error) for ref, case in cases.items() if case.error), of=received)
    wanted = {ref: case.over if is_over else case.young for ref, case in cases.items()}
    dead = [ref for ref, end in wanted.items() if end == "dead"]
    assert [sent.announces for sent in site.queue.sent] == [[ref] for ref in wanted if wanted[ref] == "later"]
    assert [objects_in_message(body) for body in site.queue.continued] == [
        [ref] for ref in wanted if wanted[ref] == "continued"
    ]
    assert [ref for ref, _, _ in site.announcements.failures] == dead
    assert len(site.queue.parked) == bool(dead)
    for one in dead:
        assert getattr(cases[one].error, "reason", "surprise") in site.queue.parked[0]["reason"]
    moved = set(wanted.values()) != {"done"}
    assert site.events.count("acknowledge") == moved
    assert not moved or site.events[-1] == "acknowledge"


def test_object_that_goes_on_does_not_take_along_what_another_has_been_through(site: SettlementSite) -> None:
    received = tried_for(10, objects=(A, B, C))
    assert site.settle((A, RETRIED[0]), (B, LEFT_IN_PEACE), (C, TOO_LATE), of=received)
    tries = received.tries
    assert {sent.announces[0]: sent.tries for sent in site.queue.sent} == {
        A: dataclasses.replace(tries, count=5),
        B: dataclasses.replace(tries, waits=1),
        C: dataclasses.replace(tries, waits=1),
    }


def test_object_that_a_message_names_twice_is_sent_anew_once(site: SettlementSite) -> None:
    assert site.settle((A, RETRIED[0]), (A, RETRIED[0]), of=message(objects=(A, A)))
    assert [sent.announces for sent in site.queue.sent] == [[A]]


def test_every_object_of_a_dead_lettered_message_is_recorded_announced_and_explained(
    site: SettlementSite,
) -> None:
    failures = [(A, PERMANENT[1]), (B, RETRIED[0]), (C, SETTLED[0])]
    assert site.settle(*failures, of=tried_for(RETRY_FOR, objects=(A, B, C)))
    assert {ref for ref, _ in site.given_up} == {A, B}
    assert {ref for ref, _, _ in site.announcements.failures} == {A, B}
    (parked,) = site.queue.parked
    assert parked == {
        "reason": f"{A}: no path.\n{B}: cut.",
        "hint": "rename.\nwait.",
        "error": "RemotePathRefused",
    }


def test_what_lives_on_is_sent_before_the_message_is_dead_lettered(site: SettlementSite) -> None:
    failures = [(A, PERMANENT[1]), (B, RETRIED[0]), (C, CONTINUED)]
    assert site.settle(*failures, of=message(objects=(A, B, C)))
    assert site.events == ["give up", "send anew", "continue", "park", "announce", "acknowledge"]


# --- when it does not work ---


@pytest.mark.parametrize(
    ("act", "error"),
    [("send anew", RETRIED[0]), ("park", PERMANENT[1]), ("continue", CONTINUED)],
)
def test_message_that_the_queue_refuses_to_move_stays(
    act: str, error: Exception, site: SettlementSite
) -> None:
    site.queue.refused.add(act)
    assert not site.settle((A, error))
    assert "acknowledge" not in site.events


@pytest.mark.parametrize("act", ["send anew", "park", "continue"])
def test_message_stays_when_a_part_of_it_could_not_be_moved(act: str, site: SettlementSite) -> None:
    site.queue.refused.add(act)
    failures = [(A, PERMANENT[1]), (B, RETRIED[0]), (C, CONTINUED)]
    assert not site.settle(*failures, of=message(objects=(A, B, C)))
    assert "acknowledge" not in site.events


def test_nothing_is_announced_of_a_message_that_could_not_be_parked(site: SettlementSite) -> None:
    site.queue.refused.add("park")
    site.settle((A, PERMANENT[1]))
    assert site.announcements.failures == []


def test_message_is_parked_although_the_ledger_cannot_be_told(site: SettlementSite) -> None:
    site.meanwhile[A] = LedgerError("busy.", hint="")
    assert site.settle((A, PERMANENT[1]))
    assert len(site.queue.parked) == len(site.announcements.failures) == 1


def test_object_that_has_ended_otherwise_meanwhile_is_not_parked(site: SettlementSite) -> None:
    site.meanwhile[A] = AlreadyDelivered("delivered before.", hint="")
    assert site.settle((A, PERMANENT[1]))
    assert (site.queue.parked, site.announcements.failures) == ([], [])


def test_announcement_of_a_failure_names_the_path_where_there_is_one(site: SettlementSite) -> None:
    site.settle((A, PERMANENT[1]))
    site.settle((None, EventError("no JSON.", hint="")))
    assert site.announcements.paths == [f"inbox/{A.key}", None]


# --- with real queues ---


@pytest.fixture
def sqs() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("sqs", region_name="eu-west-1")


def test_parked_message_is_in_the_dead_letter_queue_as_it_was_with_why(sqs: Any) -> None:
    queue_url = sqs.create_queue(QueueName="q")["QueueUrl"]
    dead_letters = sqs.create_queue(QueueName="dlq")["QueueUrl"]
    settlement = Settlement(
        MessageQueue(sqs, queue_url=queue_url, dead_letter_queue_url=dead_letters),
        policy=RetryPolicy(),
        announcements=Silent(),
        give_up=lambda _ref, _error: None,
    )
    assert settlement.settle(message(), [(A, RemotePathRefused("no path.", hint="rename."))])
    (parked,) = sqs.receive_message(QueueUrl=dead_letters, MessageAttributeNames=["All"])["Messages"]
    assert parked["Body"] == message().body
    assert {name: value["StringValue"] for name, value in parked["MessageAttributes"].items()} == {
        "reason": "no path.",
        "hint": "rename.",
        "error": "RemotePathRefused",
    }


def test_no_message_is_received_a_second_time_however_often_its_object_waits(sqs: Any) -> None:
    queue_url = sqs.create_queue(QueueName="q")["QueueUrl"]
    dead_letters = sqs.create_queue(QueueName="dlq")["QueueUrl"]
    settlement = Settlement(
        MessageQueue(sqs, queue_url=queue_url, dead_letter_queue_url=dead_letters),
        policy=RetryPolicy(),
        announcements=Silent(),
        give_up=lambda _ref, _error: None,
    )
    sqs.send_message(QueueUrl=queue_url, MessageBody=message().body)
    for waits in range(30):
        (received,) = sqs.receive_message(
            QueueUrl=queue_url, AttributeNames=["All"], MessageAttributeNames=["All"], MaxNumberOfMessages=10
        )["Messages"]
        its = Message.from_record(sqs_record(received))
        assert (its.receive_count, its.tries.waits, its.tries.count) == (1, waits, 0)
        assert settlement.settle(its, [(A, DeadlineTooClose("late.", hint="", retry_after=0))])
