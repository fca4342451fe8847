"""Many objects: small ones many at a time, large ones one after the other, versions of a key in order."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from s3_to_sftp.deadline import SMALL_BYTES, Deadline
from s3_to_sftp.delivery import Delivery
from s3_to_sftp.errors import CredentialsError, PartnerError
from s3_to_sftp.events import ObjectRef
from s3_to_sftp.inline_executor import InlineExecutor
from s3_to_sftp.ledger import Commit, Lease
from s3_to_sftp.leftovers import aside_name
from s3_to_sftp.receipt import Receipt
from s3_to_sftp.sftp.partner import SmallFile
from s3_to_sftp.sftp.protocol import FileAttributes
from s3_to_sftp.shipment import Shipment
from s3_to_sftp.source import WholeObject, read_whole

T = TypeVar("T")

_THREADS = 8
"""Small objects that are read, or written down, at a time. Memory of a batch of small objects: each is in
memory from its GET to its RENAME, at most (_THREADS + the files at a time of `partner.py`) x SMALL_BYTES.
When an old connection is found dead, those that it had been given are kept for the second attempt."""

Outcome = tuple[ObjectRef, Receipt | Exception]


def deliver_all(delivery: Delivery, refs: Sequence[ObjectRef], deadline: Deadline) -> Iterator[Outcome]:
    """Deliver objects and yield the outcome of each as it is known.

    Small objects travel many at a time, large ones one after the other, each over as many connections
    as pay. Versions of one key keep the order of their events. What hinders every delivery (the partner is
    down, the login is wrong) is met once: the objects behind it get the same error without a try.

    Args:
        delivery: Delivers one.
        refs: What was announced.
        deadline: Of the invocation.
    """
    hindrance: Exception | None = None
    for group in _in_order_per_key(refs):
        if hindrance is not None:
            yield from ((ref, hindrance) for ref in group)
            continue
        small = [ref for ref in group if ref.size is not None and ref.size <= SMALL_BYTES]
        large = [ref for ref in group if ref not in small]
        for ref, outcome in _SmallObjects(delivery, deadline).deliver(small):
            hindrance = _hindrance(outcome) or hindrance
            yield ref, outcome
        for ref in large:
            if hindrance is not None:
                yield ref, hindrance
                continue
            tried = _outcome_of(delivery.deliver, ref, deadline)
            hindrance = _hindrance(tried)
            yield ref, tried


def _hindrance(outcome: Receipt | Exception | None) -> Exception | None:
    return outcome if isinstance(outcome, PartnerError | CredentialsError) else None


@dataclass(frozen=True)
class _Read:
    """A small object in memory.

    Attributes:
        shipment: The right to send it, and how far it is.
        whole: Its bytes, their checksum, and what that was compared with.
    """

    shipment: Shipment
    whole: WholeObject


class _SmallObjects:
    """The small objects of a batch, over one connection: while some are read, others are sent."""

    def __init__(self, delivery: Delivery, deadline: Deadline) -> None:
        self._delivery = delivery
        self._deadline = deadline

    def deliver(self, refs: Sequence[ObjectRef]) -> Iterator[Outcome]:
        """Deliver them and yield their outcomes."""
        if not refs:
            return
        # For one object a thread would cost more than it saves.
        with InlineExecutor() if len(refs) == 1 else ThreadPoolExecutor(_THREADS, "small") as threads:
            unread: list[Outcome] = []
            with_history: list[Lease] = []

            def files() -> Iterator[SmallFile[_Read]]:
                for ref, read in _read_ahead(self._read, refs, threads):
                    if isinstance(read, _Read):
                        yield self._file(read, threads)
                    elif isinstance(read, Lease):
                        with_history.append(read)
                    else:
                        unread.append((ref, read))

            recorded: list[tuple[ObjectRef, Future[Receipt | Exception]]] = []
            hindrance: Exception | None = None
            for file, error in self._delivery.partner.send_small(files()):
                hindrance = _hindrance(error) or hindrance
                end = threads.submit(_outcome_of, self._end, file.ticket, error)
                recorded.append((file.ticket.shipment.lease.ref, end))
                yield from _taken_if(recorded, lambda end: end.done())
            yield from unread
            yield from _taken_if(recorded, lambda _end: True)
        for lease in with_history:
            outcome = _outcome_of(self._fulfil, lease, hindrance)
            hindrance = _hindrance(outcome) or hindrance
            yield lease.ref, outcome

    def _read(self, ref: ObjectRef) -> _Read | Lease:
        """Take a lease and read the object; just the lease where an earlier attempt has left something."""
        lease = self._delivery.lease(ref, self._deadline)
        if lease.has_history:
            return lease
        shipment = self._delivery.shipment(lease)
        shipment.may_ask = False  # the connection belongs to the thread that sends
        with self._delivery.giving_back(shipment):
            whole = read_whole(self._delivery.s3, ref)
        shipment.has_written = True
        return _Read(shipment, whole)

    def _fulfil(self, lease: Lease, hindrance: Exception | None) -> Receipt:
        if hindrance is None:
            return self._delivery.fulfil(lease, self._deadline)
        with self._delivery.giving_back(self._delivery.shipment(lease)):
            raise hindrance

    def _file(self, read: _Read, threads: Executor) -> SmallFile[_Read]:
        delivery, shipment = self._delivery, read.shipment
        lease = shipment.lease

        def permit(temporary: str, seen: FileAttributes | None) -> Future[None]:
            commit = self._commit_of(read, temporary, seen)
            return threads.submit(delivery.commit, shipment, commit)

        return SmallFile(
            read,
            lease.remote_path,
            lease.temporary,
            read.whole.data,
            aside=aside_name(lease.temporary, lease.attempt),
            journal=delivery.journal(shipment, threads),
            permit=permit if delivery.has_ledger else None,
        )

    def _end(self, read: _Read, error: Exception | None) -> Receipt:
        delivery, shipment = self._delivery, read.shipment
        with delivery.giving_back(shipment):
            if error is not None:
                raise error
            delivery.published(shipment)
            commit = shipment.commit or self._commit_of(read, shipment.lease.temporary, None)
            receipt = delivery.receipt(shipment, commit)
            delivery.record(shipment, receipt)
        return receipt

    def _commit_of(self, read: _Read, temporary: str, seen: FileAttributes | None) -> Commit:
        return self._delivery.commit_of(
            read.shipment,
            temporary,
            seen,
            size=len(read.whole.data),
            checksum=read.whole.checksum,
            verified_by=read.whole.verified_by,
            sha256=self._delivery.sha256_of(read.whole.data),
        )


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
    read: Callable[[ObjectRef], T], refs: Sequence[ObjectRef], threads: Executor
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
