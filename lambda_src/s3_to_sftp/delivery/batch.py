"""Many objects: small ones many at a time, large ones one after the other, versions of a key in order."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from s3_to_sftp.delivery.deadline import SMALL_BYTES, Invocation
from s3_to_sftp.delivery.delivery import Delivery, SmallDelivery
from s3_to_sftp.delivery.inline_executor import InlineExecutor
from s3_to_sftp.errors import DirectoryAmbiguous, DirectoryNameDiffers, is_partner_wide
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.client import SmallFile
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.state.ledger import Lease
from s3_to_sftp.state.receipt import Receipt
from s3_to_sftp.state.refusal_streak import RefusalStreak

T = TypeVar("T")

_THREADS = 8
"""Small objects that are read, or written down, at a time. Memory of a batch of small objects: each is in
memory from its GET to its RENAME, at most (_THREADS + the files at a time of `open_files.py`) x SMALL_BYTES;
those that are sent again, because the server accepts fewer, are among the files at a time.
When an old connection is found dead, those that it had been given are kept for the second attempt."""

Outcome = tuple[ObjectRef, Receipt | Exception]


def deliver_all(delivery: Delivery, refs: Sequence[ObjectRef], invocation: Invocation) -> Iterator[Outcome]:
    """Deliver objects and yield the outcome of each as it is known.

    Small objects travel many at a time, large ones one after the other, each over as many connections
    as pay. Versions of one key keep the order of their events. What blocks every delivery (the partner is
    down, the login is wrong) is met once: the objects behind it get the same error without a try. So it is
    when different objects are refused alike, and none is accepted.

    Args:
        delivery: Delivers one.
        refs: The versions to deliver.
        invocation: Whose the leases are, and how long it lasts.
    """
    blocking = _Blocking()
    for group in _in_order_per_key(refs):
        small = [ref for ref in group if _is_small(ref) and not delivery.travels_alone(ref)]
        large = [ref for ref in group if ref not in small]
        yield from _SmallObjects(delivery, invocation, blocking).deliver(small)
        for ref in large:
            if blocking.error is not None:
                yield ref, blocking.error
                continue
            outcome = _outcome_of(delivery.deliver, ref, invocation)
            blocking.record(ref, outcome)
            blocking.decide()
            yield ref, outcome


def _is_small(ref: ObjectRef) -> bool:
    return ref.size is not None and ref.size <= SMALL_BYTES


class _Blocking:
    """Knows what blocks every delivery of the batch, once it is met.

    Attributes:
        error: The outcome of all that were not tried; None: they are to be tried.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._refusals = RefusalStreak()

    def record(self, ref: ObjectRef, outcome: object, *, accepted_before: int | None = None) -> None:
        """Learn from the outcome of an object; see `RefusalStreak.record`."""
        # One directory of several says nothing about the others.
        if is_partner_wide(outcome) and not isinstance(outcome, DirectoryAmbiguous | DirectoryNameDiffers):
            self.error = self.error or outcome
        self._refusals.record(ref, outcome, accepted_before=accepted_before)

    @property
    def accepted(self) -> int:
        """Objects that the partner has accepted."""
        return self._refusals.accepted

    @property
    def is_likely(self) -> bool:
        """Whether no further object should start before the outcomes of the others are known."""
        return self.error is not None or self._refusals.are_the_partners

    def decide(self) -> None:
        """Make up its mind, now that no object is under way."""
        if self.error is None and self._refusals.are_the_partners:
            self.error = self._refusals.error()


class _SmallObjects:
    """The small objects of a batch, over one connection: while some are read, others are sent."""

    def __init__(self, delivery: Delivery, invocation: Invocation, blocking: _Blocking) -> None:
        self._delivery = delivery
        self._invocation = invocation
        self._blocking = blocking
        self._accepted_before: dict[
            ObjectRef, int
        ] = {}  # objects that the partner had accepted when it was sent

    def deliver(self, refs: Sequence[ObjectRef]) -> Iterator[Outcome]:
        """Deliver them and yield their outcomes."""
        waiting = deque(refs)
        if waiting and self._blocking.error is None:
            # For one object a thread would cost more than it saves.
            with InlineExecutor() if len(refs) == 1 else ThreadPoolExecutor(_THREADS, "small") as threads:
                yield from self._deliver(waiting, threads)
        if self._blocking.error is not None:
            yield from ((ref, self._blocking.error) for ref in waiting)

    def _deliver(self, waiting: deque[ObjectRef], threads: Executor) -> Iterator[Outcome]:
        """Deliver those that wait, until all are taken or something blocks every delivery."""
        delivery = self._delivery
        unread: list[Outcome] = []
        with_history: list[Lease] = []
        recorded: list[tuple[ObjectRef, Future[Receipt | Exception]]] = []
        reads = _read_ahead(self._read, self._taken(waiting), threads)
        exhausted = False

        def to_send(ref: ObjectRef, read: SmallDelivery | Lease | Exception) -> SmallDelivery | None:
            if isinstance(read, SmallDelivery):
                return read
            if isinstance(read, Lease):
                with_history.append(read)
            else:
                unread.append((ref, read))
            return None

        def files() -> Iterator[SmallFile[SmallDelivery]]:
            nonlocal exhausted
            # What may block all is waited for: it does not when one of those under way is accepted.
            while not self._blocking.is_likely:
                found = next(reads, None)
                if found is None:
                    exhausted = True
                    return
                if small := to_send(*found):
                    self._accepted_before[found[0]] = self._blocking.accepted
                    yield delivery.small_file(small, threads)

        async def send(session: SftpSession, file: SmallFile[SmallDelivery]) -> None:
            await delivery.send_small(session, file, threads)

        while not exhausted and self._blocking.error is None:
            for file, error in delivery.sftp.send_small(files(), send):
                ref = file.ticket.attempt.lease.ref
                self._blocking.record(ref, error, accepted_before=self._accepted_before[ref])
                end = threads.submit(_outcome_of, self._finish, file.ticket, error)
                recorded.append((ref, end))
                yield from _taken_if(recorded, lambda end: end.done())
            self._blocking.decide()
        for ref, read in reads:  # being read when something blocked all
            if small := to_send(ref, read):
                end = threads.submit(_outcome_of, self._finish, small, self._blocking.error)
                recorded.append((ref, end))
        yield from unread
        yield from _taken_if(recorded, lambda _end: True)
        for lease in with_history:
            outcome = _outcome_of(self._deliver_leased, lease)
            self._blocking.record(lease.ref, outcome)
            self._blocking.decide()
            yield lease.ref, outcome

    def _taken(self, waiting: deque[ObjectRef]) -> Iterator[ObjectRef]:
        """Take out those that wait, as long as nothing blocks them."""
        while waiting and self._blocking.error is None:
            yield waiting.popleft()

    def _read(self, ref: ObjectRef) -> SmallDelivery | Lease:
        return self._delivery.read_small(ref, self._invocation)

    def _finish(self, small: SmallDelivery, error: Exception | None) -> Receipt:
        return self._delivery.finish_small(small, error)

    def _deliver_leased(self, lease: Lease) -> Receipt:
        blocked_by = self._blocking.error
        return self._delivery.deliver_leased(lease, self._invocation.deadline, blocked_by=blocked_by)


def _taken_if(
    recorded: list[tuple[ObjectRef, Future[Receipt | Exception]]],
    is_due: Callable[[Future[Receipt | Exception]], bool],
) -> Iterator[Outcome]:
    """Take out, and yield, those that are due, waiting for them where they are not done."""
    due = [entry for entry in recorded if is_due(entry[1])]
    for entry in due:
        recorded.remove(entry)
        yield entry[0], entry[1].result()


def _in_order_per_key(refs: Sequence[ObjectRef]) -> Iterator[list[ObjectRef]]:
    """Split the objects so that no group holds two versions of one key, older ones in earlier groups."""
    of_key: defaultdict[tuple[str, str], list[ObjectRef]] = defaultdict(list)
    for ref in refs:
        of_key[ref.bucket, ref.key].append(ref)
    for versions in of_key.values():
        versions.sort(key=lambda ref: ref.padded_sequencer)
    while group := [versions.pop(0) for versions in of_key.values() if versions]:
        yield group


def _read_ahead(
    read: Callable[[ObjectRef], T], refs: Iterable[ObjectRef], threads: Executor
) -> Iterator[tuple[ObjectRef, T | Exception]]:
    under_way: dict[Future[T | Exception], ObjectRef] = {}
    for ref in refs:
        under_way[threads.submit(_outcome_of, read, ref)] = ref
        while len(under_way) == _THREADS:
            yield from _done(under_way)
    while under_way:
        yield from _done(under_way)


def _done(under_way: dict[Future[T], ObjectRef]) -> Iterator[tuple[ObjectRef, T]]:
    for future in wait(under_way, return_when=FIRST_COMPLETED).done:
        yield under_way.pop(future), future.result()


def _outcome_of(step: Callable[..., T], *arguments: Any, **options: Any) -> T | Exception:
    try:
        return step(*arguments, **options)
    except Exception as error:  # noqa: BLE001 - it is the object's outcome, and told as such
        return error
