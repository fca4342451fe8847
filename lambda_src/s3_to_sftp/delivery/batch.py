"""Many objects: small ones many at a time, large ones one after the other, versions of a key in order."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from s3_to_sftp.delivery.attempt import Attempt
from s3_to_sftp.delivery.deadline import SMALL_BYTES, Deadline
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.delivery.inline_executor import InlineExecutor
from s3_to_sftp.delivery.leftovers import aside_name
from s3_to_sftp.errors import CredentialsError, DirectoryAmbiguous, NameTaken, PartnerError, RemotePathRefused
from s3_to_sftp.s3.object_reader import SmallObject, read_whole
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.client import SmallFile
from s3_to_sftp.sftp.protocol import FileAttributes
from s3_to_sftp.state.ledger import Commit, Lease
from s3_to_sftp.state.receipt import Receipt
from s3_to_sftp.state.refusal_streak import RefusalStreak

T = TypeVar("T")

_THREADS = 8
"""Small objects that are read, or written down, at a time. Memory of a batch of small objects: each is in
memory from its GET to its RENAME, at most (_THREADS + the files at a time of `concurrency.py`) x SMALL_BYTES;
those that are sent again, because the server bears fewer, are among the files at a time.
When an old connection is found dead, those that it had been given are kept for the second attempt."""

_NOBODY_LET_IN = (PartnerError, CredentialsError)

Outcome = tuple[ObjectRef, Receipt | Exception]


def deliver_all(delivery: Delivery, refs: Sequence[ObjectRef], deadline: Deadline) -> Iterator[Outcome]:
    """Deliver objects and yield the outcome of each as it is known.

    Small objects travel many at a time, large ones one after the other, each over as many connections
    as pay. Versions of one key keep the order of their events. What hinders every delivery (the partner is
    down, the login is wrong) is met once: the objects behind it get the same error without a try. So it is
    when different objects are refused alike, and none is accepted.

    Args:
        delivery: Delivers one.
        refs: What was announced.
        deadline: Of the invocation.
    """
    blocking = _Blocking()
    for group in _in_order_per_key(refs):
        small = [ref for ref in group if ref.size is not None and ref.size <= SMALL_BYTES]
        large = [ref for ref in group if ref not in small]
        yield from _SmallObjects(delivery, deadline, blocking).deliver(small)
        for ref in large:
            if blocking.error is not None:
                yield ref, blocking.error
                continue
            outcome = _outcome_of(delivery.deliver, ref, deadline)
            blocking.heard(ref, outcome)
            blocking.decide()
            yield ref, outcome


class _Blocking:
    """Knows what blocks every delivery of the batch, once it is met.

    Attributes:
        error: The outcome of all that were not tried; None: they are to be tried.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._refusals = RefusalStreak()

    def heard(self, ref: ObjectRef, outcome: object, *, accepted_before: int | None = None) -> None:
        """Learn from what came of an object at the partner; see `RefusalStreak.heard`."""
        # One directory of several says nothing about the others.
        if isinstance(outcome, _NOBODY_LET_IN) and not isinstance(outcome, DirectoryAmbiguous):
            self.error = self.error or outcome
        self._refusals.heard(ref, outcome, accepted_before=accepted_before)

    @property
    def accepted(self) -> int:
        """Objects that the partner has accepted."""
        return self._refusals.accepted

    @property
    def is_likely(self) -> bool:
        """Whether no further object should be begun before the outcomes of the others are known."""
        return self.error is not None or self._refusals.are_the_partners

    def decide(self) -> None:
        """Make up its mind, now that no object is under way."""
        if self.error is None and self._refusals.are_the_partners:
            self.error = self._refusals.error()


@dataclass(frozen=True)
class _Read:
    """A small object in memory.

    Attributes:
        attempt: The right to send it, and how far it is.
        whole: Its bytes, their checksum, and what that was compared with.
        accepted_before: Objects of the batch that the partner had accepted when it was sent.
    """

    attempt: Attempt
    whole: SmallObject
    accepted_before: int = 0


class _SmallObjects:
    """The small objects of a batch, over one connection: while some are read, others are sent."""

    def __init__(self, delivery: Delivery, deadline: Deadline, blocking: _Blocking) -> None:
        self._delivery = delivery
        self._deadline = deadline
        self._blocking = blocking

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
        unread: list[Outcome] = []
        with_history: list[Lease] = []
        recorded: list[tuple[ObjectRef, Future[Receipt | Exception]]] = []
        reads = _read_ahead(self._read, self._taken(waiting), threads)
        exhausted = False

        def to_send(ref: ObjectRef, read: _Read | Lease | Exception) -> _Read | None:
            if isinstance(read, _Read):
                return read
            if isinstance(read, Lease):
                with_history.append(read)
            else:
                unread.append((ref, read))
            return None

        def files() -> Iterator[SmallFile[_Read]]:
            nonlocal exhausted
            # What may block all is waited for: it does not when one of those under way is accepted.
            while not self._blocking.is_likely:
                found = next(reads, None)
                if found is None:
                    exhausted = True
                    return
                if read := to_send(*found):
                    yield self._file(replace(read, accepted_before=self._blocking.accepted), threads)

        while not exhausted and self._blocking.error is None:
            for file, error in self._delivery.partner.send_small(files()):
                ref = file.ticket.attempt.lease.ref
                self._blocking.heard(ref, error, accepted_before=file.ticket.accepted_before)
                file.ticket.attempt.has_written = file.was_sent or not _is_before_writing(error)
                end = threads.submit(_outcome_of, self._end, file.ticket, error)
                recorded.append((ref, end))
                yield from _taken_if(recorded, lambda end: end.done())
            self._blocking.decide()
        for found in reads:  # being read when something blocked all
            if read := to_send(*found):
                end = threads.submit(_outcome_of, self._end, read, self._blocking.error)
                recorded.append((read.attempt.lease.ref, end))
        yield from unread
        yield from _taken_if(recorded, lambda _end: True)
        for lease in with_history:
            outcome = _outcome_of(self._fulfil, lease)
            self._blocking.heard(lease.ref, outcome)
            self._blocking.decide()
            yield lease.ref, outcome

    def _taken(self, waiting: deque[ObjectRef]) -> Iterator[ObjectRef]:
        """Take out those that wait, as long as nothing blocks them."""
        while waiting and self._blocking.error is None:
            yield waiting.popleft()

    def _read(self, ref: ObjectRef) -> _Read | Lease:
        """Take a lease and read the object; just the lease where an earlier attempt has left something."""
        lease = self._delivery.lease(ref, self._deadline)
        if lease.has_history:
            return lease
        attempt = self._delivery.attempt(lease)
        attempt.may_ask = False  # the connection belongs to the thread that sends
        with self._delivery.released_on_error(attempt):
            whole = read_whole(self._delivery.s3, ref)
        return _Read(attempt, whole)

    def _fulfil(self, lease: Lease) -> Receipt:
        blocking = self._blocking.error
        if blocking is None:
            return self._delivery.fulfil(lease, self._deadline)
        with self._delivery.released_on_error(self._delivery.attempt(lease)):
            raise blocking

    def _file(self, read: _Read, threads: Executor) -> SmallFile[_Read]:
        delivery, attempt = self._delivery, read.attempt
        lease = attempt.lease

        def permit(temporary: str, seen: FileAttributes | None) -> Future[None]:
            commit = self._commit_of(read, temporary, seen)
            return threads.submit(delivery.commit, attempt, commit)

        return SmallFile(
            read,
            lease.remote_path,
            lease.temporary,
            read.whole.data,
            aside=aside_name(lease.temporary, lease.attempt),
            journal=delivery.journal(attempt, threads),
            permit=permit if delivery.has_ledger else None,
        )

    def _end(self, read: _Read, error: Exception | None) -> Receipt:
        delivery, attempt = self._delivery, read.attempt
        with delivery.released_on_error(attempt):
            if error is not None:
                raise error
            delivery.published(attempt)
            commit = attempt.commit or self._commit_of(read, attempt.lease.temporary, None)
            receipt = delivery.receipt(attempt, commit)
            delivery.record(attempt, receipt)
        return receipt

    def _commit_of(self, read: _Read, temporary: str, seen: FileAttributes | None) -> Commit:
        return self._delivery.commit_of(
            read.attempt,
            temporary,
            seen,
            size=len(read.whole.data),
            checksum=read.whole.checksum,
            verified_by=read.whole.verified_by,
            sha256=self._delivery.sha256_of(read.whole.data),
        )


def _is_before_writing(error: Exception | None) -> bool:
    """Return whether the file was not begun: nobody was let in, or the name was refused."""
    is_name = isinstance(error, RemotePathRefused) and not isinstance(error, NameTaken)
    return is_name or isinstance(error, _NOBODY_LET_IN)


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


def _outcome_of(step: Callable[..., T], *arguments: Any) -> T | Exception:
    try:
        return step(*arguments)
    except Exception as error:  # noqa: BLE001 - it is the object's outcome, and told as such
        return error
