"""What becomes of the messages of a batch: each error has been classified, here it has its consequence.

Every object of a message is judged by itself, and what is not done with gets a message of its own: none is
lost, and none is dead-lettered, or retried later, for what is wrong with another.

    RETRY, PARTNER      failed: sent anew with backoff, or dead-lettered when it was tried long enough
    WAIT                not tried: sent anew. An open circuit breaker does not stop the clock of what was
                        tried before; waiting for anything else does.
    CONTINUE            got further: sent anew, and its clock starts again
    PERMANENT           dead-lettered
    DONE, delivered     nothing is left to do
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from s3_to_sftp.errors import (
    CircuitOpen,
    DeliveryError,
    Disposition,
    LeaseHeld,
    NothingToSend,
    QueueError,
)
from s3_to_sftp.events import Publisher
from s3_to_sftp.queue.message_part import part_of
from s3_to_sftp.queue.message_queue import Message, MessageQueue
from s3_to_sftp.queue.retry_policy import RetryHistory, RetryPolicy
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.telemetry import NullTelemetry, Telemetry
from s3_to_sftp.untrusted_text import MOST_REASON_BYTES, cut, quoted

_log = logging.getLogger(__name__)

Failure = tuple[ObjectRef | None, Exception]


@dataclass(frozen=True)
class _Later:
    """An object that is tried after a delay."""

    ref: ObjectRef | None
    tries: RetryHistory
    delay: float


@dataclass(frozen=True)
class _Resumed:
    """An object that got further."""

    ref: ObjectRef | None


@dataclass(frozen=True)
class _Dead:
    """An object that is given up.

    Attributes:
        ref: None for a message that names none.
        told: The error as people are told it.
        error: Name of the error's class.
        attempt: The last one.
    """

    ref: ObjectRef | None
    told: DeliveryError
    error: str
    attempt: int


class MessageDisposition:
    """Acknowledges, sends anew or dead-letters messages, so that none is lost and none is tried endlessly."""

    def __init__(
        self,
        queue: MessageQueue,
        *,
        policy: RetryPolicy,
        publisher: Publisher,
        give_up: Callable[[ObjectRef, DeliveryError], None],
        path_of: Callable[[ObjectRef], str | None] = lambda _ref: None,
        telemetry: Telemetry | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Decide about the messages of a queue.

        Args:
            queue: The queue and its dead-letter queue.
            policy: How long messages are tried for.
            publisher: Told of what is dead-lettered.
            give_up: Records that an object is not tried any more.
            path_of: Names where an object was to be delivered, if that is known.
            telemetry: Counts what becomes of messages. By default nobody does.
            clock: Seconds since the epoch.
        """
        self._queue = queue
        self._policy = policy
        self._publisher = publisher
        self._give_up = give_up
        self._path_of = path_of
        self._telemetry = telemetry or NullTelemetry()
        self._clock = clock

    def apply(self, message: Message, failures: Sequence[Failure]) -> bool:
        """Bring about what the outcomes ask for; return whether the message may leave the queue.

        Args:
            message: As it was received.
            failures: Of its objects, those that are not delivered; None for one that names none.
        """
        try:
            waits = self._apply(message, failures)
            may_leave = True
        except QueueError as error:  # the message stays where it is, and comes back
            _log.warning("%s", error)
            waits, may_leave = True, False
        if waits:
            self._telemetry.deferred(age=max(0.0, self._clock() - message.tries.first_sent))
        return may_leave

    def _apply(self, message: Message, failures: Sequence[Failure]) -> bool:
        """Return whether a part of the message has to wait.

        What lives on is sent first: a person sees a message that is dead-lettered twice, the ledger one that
        is sent twice.
        """
        ends = [self._end(message, ref, error) for ref, error in dict.fromkeys(failures)]
        later = [end for end in ends if isinstance(end, _Later)]
        resumed = [end for end in ends if isinstance(end, _Resumed)]
        dead = [end for end in ends if isinstance(end, _Dead)]
        for each in later:
            self._queue.resend(message, body=_body(message, each.ref), tries=each.tries, delay=each.delay)
        for one in resumed:
            self._queue.continue_(message, body=_body(message, one.ref))
        if dead:
            self._dead_letter(message, dead)
        if later or resumed or dead:
            self._queue.acknowledge(message)
        return bool(later)

    def _end(
        self, message: Message, ref: ObjectRef | None, error: Exception
    ) -> _Later | _Resumed | _Dead | None:
        """Judge one object; None when nothing is left to do."""
        disposition = error.disposition if isinstance(error, DeliveryError) else Disposition.RETRY
        match disposition:
            case Disposition.DONE:
                return None
            case Disposition.CONTINUE:
                return _Resumed(ref)
            case Disposition.WAIT:
                return self._waiting(message, ref, error)
        tries = message.tries.failed(self._clock())
        if disposition is Disposition.PERMANENT or self._is_over(tries):
            return self._dead(message, ref, error, attempt=tries.count)
        return _Later(ref, tries, _asked(error, otherwise=self._policy.wait(tries.count)))

    def _waiting(self, message: Message, ref: ObjectRef | None, error: Exception) -> _Later | _Dead | None:
        tries = message.tries
        if isinstance(error, CircuitOpen):
            if self._is_over(tries):
                return self._dead(message, ref, error, attempt=tries.count)
            return _Later(ref, tries.waited(), error.retry_after)
        # Its lease may be given back long before it ends: looked at soon, then less and less often.
        soon = self._policy.wait(tries.waits + 1)
        asked = _asked(error, otherwise=soon)
        delay = min(asked, soon) if isinstance(error, LeaseHeld) else asked
        return _Later(ref, tries.waited(clock_stands_for=min(delay, self._policy.cap)), delay)

    def _is_over(self, tries: RetryHistory) -> bool:
        return self._policy.is_over(first_try=tries.since, now=self._clock())

    def _dead(
        self, message: Message, ref: ObjectRef | None, error: Exception, *, attempt: int
    ) -> _Later | _Dead | None:
        """Record that it is given up, unless it has ended otherwise meanwhile, or somebody has it now.

        The ledger first: after a crash in between the message is still in its queue, and is retried.
        """
        told = _told(error)
        try:
            if ref is not None:
                self._give_up(ref, told)
        except NothingToSend as ended:
            _log.info("%s", ended)
            return None
        except LeaseHeld as elsewhere:
            return self._waiting(message, ref, elsewhere)
        except DeliveryError as trouble:  # the message tells it all the same
            _log.warning("not recorded as failed: %s: %s", ref, trouble)
        return _Dead(ref, told, type(error).__name__, attempt)

    def _dead_letter(self, message: Message, dead: Sequence[_Dead]) -> None:
        """Send it to the dead-letter queue as it is, with why, and tell of it when it is there."""
        first = dead[0].told
        reason, hint = first.reason, first.hint
        if len(dead) > 1:
            reason = "\n".join(f"{each.ref}: {each.told.reason}" for each in dead)
            hint = "\n".join(dict.fromkeys(each.told.hint for each in dead))
        reason, hint = cut(reason, MOST_REASON_BYTES), cut(hint, MOST_REASON_BYTES)
        self._queue.dead_letter(message, reason=reason, hint=hint, error=dead[0].error)
        self._telemetry.dead_lettered()
        # Not "message": logging refuses an extra field of a name that a record has, with a KeyError.
        about = {"message_id": message.id, "receives": message.receive_count, "hint": hint}
        _log.error("dead-lettered: %s", reason, extra=about)
        for each in dead:
            path = self._path_of(each.ref) if each.ref else None
            self._publisher.failed(each.ref, each.told, attempt=each.attempt, remote_path=path)


def _body(message: Message, ref: ObjectRef | None) -> str:
    return message.body if ref is None else part_of(message.body, ref)


def _asked(error: Exception, *, otherwise: float) -> float:
    """Return the seconds after which the error asks to come back, if it does."""
    asked = getattr(error, "retry_after", None)
    return otherwise if asked is None else float(asked)


def _told(error: Exception) -> DeliveryError:
    """Return the error as people are told it."""
    if isinstance(error, DeliveryError):
        return error
    return DeliveryError(
        f"{type(error).__name__}: {quoted(error)}",
        hint="This is a defect of the function; its log has the traceback.",
    )
