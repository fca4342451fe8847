"""What becomes of the messages of a batch: each error has been classified, here it has its consequence."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from s3_to_sftp.announcements import Announcements
from s3_to_sftp.errors import (
    BeingSent,
    DeliveryError,
    Disposition,
    NothingToSend,
    PartnerLeftInPeace,
    QueueError,
)
from s3_to_sftp.events import ObjectRef
from s3_to_sftp.message_queue import Message, MessageQueue
from s3_to_sftp.retry import RetryPolicy

_log = logging.getLogger(__name__)

_KEEP = (Disposition.RETRY, Disposition.PARTNER, Disposition.WAIT)

Failure = tuple[ObjectRef | None, Exception]


class Tally(Protocol):
    """Counts what becomes of messages."""

    def postponed(self, *, age: float) -> None:
        """A message stays in the queue, so many seconds after it was sent."""

    def parked(self) -> None:
        """A message went to the dead-letter queue."""


class NoTally:
    """Counts nothing."""

    def postponed(self, *, age: float) -> None:
        """Count nothing."""

    def parked(self) -> None:
        """Count nothing."""


class Settlement:
    """Acknowledges, postpones, continues or parks a message, so that none is lost and none turns for ever."""

    def __init__(
        self,
        queue: MessageQueue,
        *,
        policy: RetryPolicy,
        announcements: Announcements,
        give_up: Callable[[ObjectRef, DeliveryError], None],
        path_of: Callable[[ObjectRef], str | None] = lambda _ref: None,
        tally: Tally | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Settle messages of a queue.

        Args:
            queue: The queue and its dead-letter queue.
            policy: How long messages are tried for.
            announcements: Told of what is parked.
            give_up: Records that an object is not tried any more.
            path_of: Names where an object was to be delivered, if that is known.
            tally: Counts what becomes of messages. By default nobody does.
            clock: Seconds since the epoch.
        """
        self._queue = queue
        self._policy = policy
        self._announcements = announcements
        self._give_up = give_up
        self._path_of = path_of
        self._tally = tally or NoTally()
        self._clock = clock

    def settle(self, message: Message, failures: Sequence[Failure]) -> bool:
        """Bring about what the outcomes ask for; say whether the message may leave the queue.

        Args:
            message: As it was received.
            failures: Of its objects, those that are not delivered; None for one that names none.
        """
        try:
            may_leave = self._settle(message, failures)
        except QueueError as error:  # the message stays where it is, and comes back
            _log.warning("%s", error)
            may_leave = False
        if not may_leave:
            self._tally.postponed(age=max(0.0, self._clock() - message.sent_at))
        return may_leave

    def _settle(self, message: Message, failures: Sequence[Failure]) -> bool:
        keep, permanent = _with(failures, *_KEEP), _with(failures, Disposition.PERMANENT)
        if keep and not self._is_over(message, keep):
            self._queue.postpone(message, min(self._wait(message, error) for _, error in keep))
            return False
        if not keep and _with(failures, Disposition.CONTINUE):
            self._queue.continue_(message)
        elif keep or permanent:
            self._park(message, [*keep, *permanent])
        return True

    def _is_over(self, message: Message, failures: Sequence[Failure]) -> bool:
        """Say whether it was tried long enough. What only waits for its turn is not at fault."""
        at_fault = any(
            _disposition(error) is not Disposition.WAIT or isinstance(error, PartnerLeftInPeace)
            for _, error in failures
        )
        return at_fault and self._policy.is_over(first_sent=message.sent_at, now=self._clock())

    def _wait(self, message: Message, error: Exception) -> float:
        backoff = self._policy.wait(message.receive_count)
        if isinstance(error, BeingSent):
            # Its lease may be given back long before it ends: looked at soon, then less and less often.
            return min(error.retry_after, backoff)
        retry_after = getattr(error, "retry_after", None)
        return backoff if retry_after is None else float(retry_after)

    def _park(self, message: Message, failures: Sequence[Failure]) -> None:
        """Send it to the dead-letter queue, with why, and tell of it when it is there.

        The ledger first: after a crash in between the message is still in its queue, and is tried again.
        """
        told = [failure for failure in failures if self._record(failure[0], _told(failure[1]))]
        if not told:
            return
        first = _told(told[0][1])
        self._queue.park(message, reason=first.reason, hint=first.hint, error=type(told[0][1]).__name__)
        self._tally.parked()
        # Not "message": logging refuses an extra field of a name that a record has, with a KeyError.
        about = {"message_id": message.id, "hint": first.hint}
        _log.error("parked in the dead-letter queue: %s", first.reason, extra=about)
        for ref, error in told:
            path = self._path_of(ref) if ref else None
            self._announcements.failed(ref, _told(error), attempt=message.receive_count, remote_path=path)

    def _record(self, ref: ObjectRef | None, error: DeliveryError) -> bool:
        """Write down that it failed; say whether that is so: it may have ended otherwise meanwhile."""
        if ref is None:
            return True
        try:
            self._give_up(ref, error)
        except NothingToSend as ended:
            _log.info("%s", ended)
            return False
        except DeliveryError as trouble:  # the message tells it all the same
            _log.warning("not recorded as failed: %s: %s", ref, trouble)
        return True


def _with(failures: Sequence[Failure], *dispositions: Disposition) -> list[Failure]:
    return [failure for failure in failures if _disposition(failure[1]) in dispositions]


def _disposition(error: Exception) -> Disposition:
    return error.disposition if isinstance(error, DeliveryError) else Disposition.RETRY


def _told(error: Exception) -> DeliveryError:
    """Return the error as people are told it."""
    if isinstance(error, DeliveryError):
        return error
    return DeliveryError(
        f"{type(error).__name__}: {error}",
        hint="This is a defect of the function; its log has the traceback.",
    )
