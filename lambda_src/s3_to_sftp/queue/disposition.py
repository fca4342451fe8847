"""What happens to the messages of a batch: each error has been classified; its disposition follows here.

Every object of a message is decided by itself, and an unfinished one gets a message of its own: none is lost,
and none is dead-lettered, or retried later, because of an error of another.

    RETRY, PARTNER      failed: returned to the queue with backoff, or dead-lettered after `retry_for`
    WAIT                not tried: returned to the queue. An open circuit breaker does not pause the time that
                        an object is retried for; waiting for anything else does.
    CONTINUE            made progress: continued by a new message, and its time starts again
    PERMANENT           dead-lettered
    DONE, delivered     nothing is left to do
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from s3_to_sftp.errors import DeliveryError, Disposition, QueueError
from s3_to_sftp.events import Publisher
from s3_to_sftp.explanation import failure_fields
from s3_to_sftp.outcomes import (
    CircuitOpen,
    DeadlineTooClose,
    DeliveriesPaused,
    Filtered,
    LeaseHeld,
    NothingToSend,
    TooYoung,
)
from s3_to_sftp.queue.message_part import part_of
from s3_to_sftp.queue.message_queue import Message, MessageQueue
from s3_to_sftp.queue.retry_policy import RetryHistory, RetryPolicy
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.telemetry import NullTelemetry, Telemetry
from s3_to_sftp.untrusted_text import MOST_REASON_BYTES, cut, quoted

_log = logging.getLogger(__name__)

Failure = tuple[ObjectRef | None, Exception]


class NoteDeferred(Protocol):
    """Records when an object will be retried; see `Ledger.note_deferred`."""

    def __call__(self, ref: ObjectRef, error: DeliveryError, *, next_try: float, was_tried: bool) -> None:
        """Record it."""


@dataclass(frozen=True)
class _Deferred:
    """An object that returns to the queue, to be retried after a delay.

    Attributes:
        ref: None for a message that names none.
        error: Why.
        history: Of its message, this time included.
        delay: Seconds.
    """

    ref: ObjectRef | None
    error: Exception
    history: RetryHistory
    delay: float

    @property
    def was_tried(self) -> bool:
        """Whether an attempt has failed; otherwise the object only waits for something."""
        return self.history.waits == 0

    @property
    def is_news(self) -> bool:
        """Whether people want to know: that is each failed attempt, and what an object waits for at first.

        What comes back at once is not worth a write.
        """
        if isinstance(self.error, DeadlineTooClose):
            return False
        return self.was_tried or (self.history.count == 0 and self.history.waits == 1)


@dataclass(frozen=True)
class _Continued:
    """An object that made progress."""

    ref: ObjectRef | None


@dataclass(frozen=True)
class _DeadLettered:
    """An object that will not be retried.

    Attributes:
        ref: None for a message that names none.
        error: With reason and hint.
        error_class: Name of the class of the original error.
        attempt: The last one.
    """

    ref: ObjectRef | None
    error: DeliveryError
    error_class: str
    attempt: int


class MessageDisposition:
    """Acknowledges, defers, continues or dead-letters messages. None is lost or retried indefinitely."""

    def __init__(
        self,
        queue: MessageQueue,
        *,
        policy: RetryPolicy,
        publisher: Publisher,
        give_up: Callable[[ObjectRef, DeliveryError], None],
        note_deferred: NoteDeferred | None = None,
        path_of: Callable[[ObjectRef], str | None] = lambda _ref: None,
        telemetry: Telemetry | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Create the disposition for the messages of a queue.

        Args:
            queue: The queue and its dead-letter queue.
            policy: How long messages are retried for, and when.
            publisher: Publishes what is dead-lettered.
            give_up: Records that an object will not be retried.
            note_deferred: Records when an object will be retried, and why. By default nothing does.
            path_of: Returns the remote path that an object was meant for, if it is known.
            telemetry: Counts dispositions. By default nothing does.
            clock: Seconds since the epoch.
        """
        self._queue = queue
        self._policy = policy
        self._publisher = publisher
        self._give_up = give_up
        self._note_deferred = note_deferred
        self._path_of = path_of
        self._telemetry = telemetry or NullTelemetry()
        self._clock = clock

    def apply(self, message: Message, failures: Sequence[Failure]) -> bool:
        """Apply the dispositions of the failures; return whether the message may leave the queue.

        Args:
            message: As it was received.
            failures: Its objects that were not delivered, and why; None for a message that names no object.
        """
        try:
            waits = self._apply(message, failures)
            may_leave = True
        except QueueError as error:  # the message stays in the queue and is received again
            _log.warning("%s", error)
            waits, may_leave = True, False
        if waits:
            # Its age counts for those that keep failing; what a person has paused does not fail.
            is_paused = all(isinstance(error, DeliveriesPaused | TooYoung) for _, error in failures)
            age = max(0.0, self._clock() - message.history.first_sent)
            self._telemetry.deferred(age=None if is_paused else age)
        return may_leave

    def _apply(self, message: Message, failures: Sequence[Failure]) -> bool:
        """Return whether any object of the message was deferred.

        Deferred and continued objects are sent before any is dead-lettered: the ledger detects a message that
        is sent twice, but a person would see one that is dead-lettered twice.
        """
        decisions = [self._decide(message, ref, error) for ref, error in dict.fromkeys(failures)]
        deferred = [each for each in decisions if isinstance(each, _Deferred)]
        continued = [each for each in decisions if isinstance(each, _Continued)]
        dead = [each for each in decisions if isinstance(each, _DeadLettered)]
        for each in deferred:
            self._note(each)
            body = _body(message, each.ref)
            self._queue.return_to_queue(message, body=body, history=each.history, delay=each.delay)
        for one in continued:
            self._queue.send_continuation(message, body=_body(message, one.ref))
        if dead:
            self._dead_letter(message, dead)
        if deferred or continued or dead:
            self._queue.acknowledge(message)
        return bool(deferred)

    def _decide(
        self, message: Message, ref: ObjectRef | None, error: Exception
    ) -> _Deferred | _Continued | _DeadLettered | None:
        """Decide about one object; None when nothing is left to do."""
        disposition = error.disposition if isinstance(error, DeliveryError) else Disposition.RETRY
        match disposition:
            case Disposition.DONE:
                if isinstance(error, Filtered) and message.history.has_waited:
                    self._record_end(ref, error)
                return None
            case Disposition.CONTINUE:
                return _Continued(ref)
            case Disposition.WAIT:
                return self._defer(message, ref, error)
        history = message.history.failed(self._clock())
        if disposition is Disposition.PERMANENT or self._is_over(history):
            return self._give_up_on(message, ref, error, attempt=history.count)
        return _Deferred(ref, error, history, _retry_after(error, default=self._policy.wait(history.count)))

    def _defer(
        self, message: Message, ref: ObjectRef | None, error: Exception
    ) -> _Deferred | _DeadLettered | None:
        history = message.history
        if isinstance(error, CircuitOpen):
            if self._is_over(history):
                return self._give_up_on(message, ref, error, attempt=history.count)
            return _Deferred(ref, error, history.waited(), error.retry_after)
        # The lease may be released long before it expires: it is checked soon, then less and less often.
        soon = self._policy.wait(history.waits + 1)
        asked = _retry_after(error, default=soon)
        delay = min(asked, soon) if isinstance(error, LeaseHeld) else asked
        return _Deferred(ref, error, history.waited(paused_for=min(delay, self._policy.cap)), delay)

    def _note(self, deferred: _Deferred) -> None:
        """Record when the object will be retried. Nothing that happens here can fail a delivery.

        Before the message is sent: the invocation that receives it finds the record, and replaces it.
        """
        if self._note_deferred is None or deferred.ref is None or not deferred.is_news:
            return
        error, next_try = _as_delivery_error(deferred.error), self._clock() + deferred.delay
        try:
            self._note_deferred(deferred.ref, error, next_try=next_try, was_tried=deferred.was_tried)
        except DeliveryError as trouble:
            _log.warning("not recorded as deferred: %s: %s", deferred.ref, trouble)

    def _is_over(self, history: RetryHistory) -> bool:
        return self._policy.is_over(first_try=history.since, now=self._clock())

    def _give_up_on(
        self, message: Message, ref: ObjectRef | None, error: Exception, *, attempt: int
    ) -> _Deferred | _DeadLettered | None:
        """Record that the object failed, unless it has another final state or another function has it.

        The ledger comes first: after a crash in between, the message is still in its queue and is retried.
        """
        shown = _as_delivery_error(error)
        try:
            if ref is not None:
                self._give_up(ref, shown)
        except NothingToSend as finished:
            _log.info("%s", finished)
            return None
        except LeaseHeld as held:
            return self._defer(message, ref, held)
        except DeliveryError as trouble:  # the dead-lettered message has the reason anyway
            _log.warning("not recorded as failed: %s: %s", ref, trouble)
        return _DeadLettered(ref, shown, type(error).__name__, attempt)

    def _record_end(self, ref: ObjectRef | None, error: DeliveryError) -> None:
        """Record that an object is not delivered that the ledger may have as waiting. Never raises."""
        try:
            if ref is not None:
                self._give_up(ref, error)
        except DeliveryError as trouble:
            _log.info("not recorded as skipped: %s: %s", ref, trouble)

    def _dead_letter(self, message: Message, dead: Sequence[_DeadLettered]) -> None:
        """Send the message to the dead-letter queue, unchanged and with the reason, and publish that.

        Where its objects have failed differently, the attributes are those of the first one.
        """
        first = dead[0].error
        reason, hint = first.reason, first.hint
        if len(dead) > 1:
            reason = "\n".join(f"{each.ref}: {each.error.reason}" for each in dead)
            hint = "\n".join(dict.fromkeys(each.error.hint for each in dead))
        reason, hint = cut(reason, MOST_REASON_BYTES), cut(hint, MOST_REASON_BYTES)
        about = failure_fields(dead[0].error)
        self._queue.dead_letter(
            message,
            reason=reason,
            hint=hint,
            error=dead[0].error_class,
            operation=about.get("operation", ""),
            status=about.get("sftp_status", ""),
            bucket=dead[0].ref.bucket if dead[0].ref else "",
            key=dead[0].ref.key if dead[0].ref else "",
        )
        self._telemetry.dead_lettered()
        # Not "message": logging refuses an extra field of a name that a record has, with a KeyError.
        extra = {"message_id": message.id, "receives": message.receive_count, "hint": hint}
        _log.error("dead-lettered: %s", reason, extra=extra)
        for each in dead:
            path = self._path_of(each.ref) if each.ref else None
            self._publisher.failed(each.ref, each.error, attempt=each.attempt, remote_path=path)


def _body(message: Message, ref: ObjectRef | None) -> str:
    return message.body if ref is None else part_of(message.body, ref)


def _retry_after(error: Exception, *, default: float) -> float:
    """Return after how many seconds the error asks to be retried, if it does."""
    asked = getattr(error, "retry_after", None)
    return default if asked is None else float(asked)


def _as_delivery_error(error: Exception) -> DeliveryError:
    """Return the error as a DeliveryError with reason and hint."""
    if isinstance(error, DeliveryError):
        return error
    shown = DeliveryError(
        f"{type(error).__name__}: {quoted(error)}",
        hint="This is a defect of the function; its log has the traceback.",
    )
    shown.__cause__ = error
    return shown
