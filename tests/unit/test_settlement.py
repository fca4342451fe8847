"""Each outcome has its consequence: acknowledged, postponed, continued or parked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from s3_to_sftp.announcements import Silent
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
from s3_to_sftp.events import ObjectRef
from s3_to_sftp.message_queue import Message, MessageQueue
from s3_to_sftp.retry import RetryPolicy
from s3_to_sftp.settlement import Failure, Settlement
from tests.ledger_site import raising, ref

A, B, C = (ref(key=key) for key in ("a", "b", "c"))
SENT_AT = 1_795_392_000.0
RETRY_FOR = 3600.0


def message(*, receive_count: int = 3) -> Message:
    return Message(
        id="m1",
        body='{"Records": "as they came"}',
        receipt_handle="receipt",
        receive_count=receive_count,
        sent_at=SENT_AT,
        attributes={},
    )


class NotingQueue:
    """Notes what it is asked for, and refuses what it is told to."""

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.postponed: list[float] = []
        self.parked: list[dict[str, str]] = []
        self.continued = 0
        self.refused: set[str] = set()

    def _note(self, what: str) -> None:
        if what in self.refused:
            raise QueueError(f"{what} did not work.", hint="")
        self.events.append(what)

    def postpone(self, _message: Message, seconds: float) -> None:
        self._note("postpone")
        self.postponed.append(seconds)

    def park(self, _message: Message, **why: str) -> None:
        self._note("park")
        self.parked.append(why)

    def continue_(self, _message: Message) -> None:
        self._note("continue")
        self.continued += 1


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
        now: Seconds since the epoch.
    """

    def __init__(self) -> None:
        self.events: list[str] = []
        self.queue = NotingQueue(self.events)
        self.announcements = NotingAnnouncements(self.events)
        self.given_up: list[tuple[ObjectRef, DeliveryError]] = []
        self.before_giving_up: Callable[[], None] = lambda: None
        self.now = SENT_AT

    def settle(self, *failures: Failure, receive_count: int = 3) -> bool:
        settlement = Settlement(
            self.queue,  # type: ignore[arg-type] # a stand-in
            policy=RetryPolicy(retry_for=RETRY_FOR, base=100, cap=100),
            announcements=self.announcements,
            give_up=self._give_up,
            path_of=lambda ref: f"inbox/{ref.key}",
            clock=lambda: self.now,
        )
        return settlement.settle(message(receive_count=receive_count), failures)

    def _give_up(self, ref: ObjectRef, error: DeliveryError) -> None:
        self.events.append("give up")
        self.before_giving_up()
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
def test_what_may_work_later_is_postponed_with_jitter(error: Exception, site: SettlementSite) -> None:
    for _ in range(20):
        assert not site.settle((A, error))
    assert len(set(site.queue.postponed)) > 1
    assert all(1 <= wait <= 100 for wait in site.queue.postponed)


def test_wait_grows_with_the_receipts_of_the_message(site: SettlementSite) -> None:
    settlement = Settlement(
        site.queue,  # type: ignore[arg-type] # a stand-in
        policy=RetryPolicy(base=5, cap=900),
        announcements=site.announcements,
        give_up=site._give_up,
        clock=lambda: SENT_AT,
    )
    for _ in range(30):
        settlement.settle(message(receive_count=1), [(A, RETRIED[0])])
    assert max(site.queue.postponed) <= 5
    for _ in range(30):
        settlement.settle(message(receive_count=8), [(A, RETRIED[0])])
    assert 5 < max(site.queue.postponed) <= 640


@pytest.mark.parametrize("error", [TOO_LATE, LEFT_IN_PEACE], ids=names)
def test_what_waits_for_its_turn_comes_back_when_the_error_says(error: Any, site: SettlementSite) -> None:
    assert not site.settle((A, error))
    assert site.queue.postponed == [error.retry_after]


@pytest.mark.parametrize(("rest", "longest"), [(900, 100), (5, 5)])
def test_what_another_function_sends_is_looked_at_soon_and_at_the_latest_when_its_lease_ends(
    rest: float, longest: float, site: SettlementSite
) -> None:
    for _ in range(30):
        assert not site.settle((A, BeingSent("another.", hint="", retry_after=rest)))
    assert 0 < max(site.queue.postponed) <= longest


def test_what_is_under_way_is_continued_and_acknowledged(site: SettlementSite) -> None:
    site.now += 2 * RETRY_FOR
    assert site.settle((A, ToBeContinued("half.", hint="")))
    assert site.events == ["continue"]


@pytest.mark.parametrize("error", PERMANENT, ids=names)
def test_what_nobody_can_deliver_is_parked_with_the_reason(error: Any, site: SettlementSite) -> None:
    assert site.settle((A, error))
    assert site.queue.parked == [{"reason": error.reason, "hint": error.hint, "error": names(error)}]
    assert site.given_up == [(A, error)]
    assert site.announcements.failures == [(A, error, 3)]


def test_ledger_is_told_before_the_message_is_parked_and_people_after(site: SettlementSite) -> None:
    site.settle((A, PERMANENT[1]))
    assert site.events == ["give up", "park", "announce"]


def test_message_that_names_no_object_is_parked(site: SettlementSite) -> None:
    assert site.settle((None, PERMANENT[0]))
    assert site.queue.parked[0]["error"] == "EventError"
    assert site.given_up == []
    assert site.announcements.failures == [(None, PERMANENT[0], 3)]


# --- how long it is tried ---


@pytest.mark.parametrize("error", [*RETRIED, LEFT_IN_PEACE], ids=names)
def test_message_is_parked_only_when_it_was_tried_long_enough(error: Exception, site: SettlementSite) -> None:
    site.now = SENT_AT + RETRY_FOR - 1
    assert not site.settle((A, error), receive_count=500)
    assert site.queue.parked == []
    site.now = SENT_AT + RETRY_FOR
    assert site.settle((A, error), receive_count=500)
    assert len(site.queue.parked) == 1


@pytest.mark.parametrize("error", WAITING, ids=names)
def test_what_only_waits_for_its_turn_is_never_given_up(error: Exception, site: SettlementSite) -> None:
    site.now = SENT_AT + 100 * RETRY_FOR
    assert not site.settle((A, error))
    assert site.events == ["postpone"]


def test_unexpected_error_is_told_by_its_name_when_it_is_given_up(site: SettlementSite) -> None:
    site.now += RETRY_FOR
    site.settle((A, ZeroDivisionError("surprise")))
    (parked,) = site.queue.parked
    assert (parked["reason"], parked["error"]) == ("ZeroDivisionError: surprise", "ZeroDivisionError")
    assert "defect of the function" in parked["hint"]


# --- several objects ---


def test_message_waits_for_the_earliest_of_its_objects(site: SettlementSite) -> None:
    errors = [PartnerLeftInPeace("open.", hint="", retry_after=seconds) for seconds in (300, 200, 250)]
    assert not site.settle(*zip((A, B, C), errors, strict=True))
    assert site.queue.postponed == [200]


@pytest.mark.parametrize("other", [PERMANENT[1], ToBeContinued("half.", hint=""), SETTLED[0]], ids=names)
def test_message_stays_as_long_as_one_of_its_objects_may_work_later(
    other: Exception, site: SettlementSite
) -> None:
    assert not site.settle((A, other), (B, RETRIED[0]))
    assert site.events == ["postpone"]


def test_message_is_continued_before_it_is_parked(site: SettlementSite) -> None:
    assert site.settle((A, PERMANENT[1]), (B, ToBeContinued("half.", hint="")))
    assert site.events == ["continue"]


def test_object_that_waits_does_not_keep_a_message_whose_time_is_over(site: SettlementSite) -> None:
    site.now += RETRY_FOR
    assert site.settle((A, WAITING[0]), (B, RETRIED[0]))
    assert len(site.queue.parked) == 1


def test_message_whose_time_is_over_is_parked_although_another_object_is_under_way(
    site: SettlementSite,
) -> None:
    site.now += RETRY_FOR
    assert site.settle((A, RETRIED[0]), (B, ToBeContinued("half.", hint="")))
    assert (site.queue.continued, len(site.queue.parked)) == (0, 1)


def test_every_object_of_a_parked_message_is_recorded_and_announced(site: SettlementSite) -> None:
    site.now += RETRY_FOR
    failures = [(A, PERMANENT[1]), (B, RETRIED[0]), (C, SETTLED[0])]
    assert site.settle(*failures)
    assert {ref for ref, _ in site.given_up} == {A, B}
    assert {ref for ref, _, _ in site.announcements.failures} == {A, B}
    assert len(site.queue.parked) == 1


# --- when it does not work ---


@pytest.mark.parametrize(
    ("act", "error"),
    [("postpone", RETRIED[0]), ("park", PERMANENT[1]), ("continue", ToBeContinued("half.", hint=""))],
)
def test_message_that_the_queue_refuses_to_move_stays(
    act: str, error: Exception, site: SettlementSite
) -> None:
    site.queue.refused.add(act)
    assert not site.settle((A, error))


def test_nothing_is_announced_of_a_message_that_could_not_be_parked(site: SettlementSite) -> None:
    site.queue.refused.add("park")
    site.settle((A, PERMANENT[1]))
    assert site.announcements.failures == []


def test_message_is_parked_although_the_ledger_cannot_be_told(site: SettlementSite) -> None:
    site.before_giving_up = raising(LedgerError("busy.", hint=""))
    assert site.settle((A, PERMANENT[1]))
    assert len(site.queue.parked) == len(site.announcements.failures) == 1


def test_object_that_has_ended_otherwise_meanwhile_is_not_parked(site: SettlementSite) -> None:
    site.before_giving_up = raising(AlreadyDelivered("delivered before.", hint=""))
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
    assert json.loads(parked["Body"]) == {"Records": "as they came"}
    assert {name: value["StringValue"] for name, value in parked["MessageAttributes"].items()} == {
        "reason": "no path.",
        "hint": "rename.",
        "error": "RemotePathRefused",
    }
