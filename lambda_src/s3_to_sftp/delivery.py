"""One object, from the lease to the receipt: the story of the program."""

import contextlib
import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from s3_to_sftp.deadline import Deadline
from s3_to_sftp.errors import (
    AlreadyGone,
    CannotContinue,
    CheckpointLost,
    ConnectionLost,
    DeliveryError,
    Disposition,
    LedgerError,
    NoProgress,
    NothingToSend,
    ObjectChanged,
    ObjectCorrupt,
    ObjectGone,
    RemotePathRefused,
    SourceError,
    Superseded,
    ToBeContinued,
)
from s3_to_sftp.events import ObjectRef
from s3_to_sftp.ledger import Checkpoint, Lease, Ledger, NoLedger
from s3_to_sftp.receipt import Receipt
from s3_to_sftp.remote_path import SourceDirectory, directory_of, remote_path, temporary_path
from s3_to_sftp.sftp.lanes import Sent, another_name, probe_name
from s3_to_sftp.sftp.partner import Partner
from s3_to_sftp.source import ChecksumSoFar, S3Object

_log = logging.getLogger(__name__)

_LONGEST_INVOCATION_SECONDS = 900.0

_FRUITLESS_ROUNDS = 2
"""So many invocations in a row that bring an object no further are the end."""


@dataclass
class _Shipment:
    """An object under way.

    Attributes:
        lease: Changes when it is begun anew.
        has_answered: Whether the partner has answered since its turn came: the connection is not too old.
        committed: Whether it may have got its final name.
        started: By the clock of the delivery.
        fruitless: Invocations in a row, before this one, that have brought it no further.
        fell_back: Whether what they had sent is lost.
    """

    lease: Lease
    started: float
    fruitless: int = 0
    fell_back: bool = False
    has_answered: bool = False
    committed: bool = False


class Delivery:
    """Delivers objects to one partner.

    With a ledger an object is sent once, whatever happens to the function, and may be larger than one
    invocation can send. Without one it is sent again for every event.
    """

    def __init__(
        self,
        *,
        s3: Any,
        partner: Partner,
        directory: str,
        sources: Sequence[SourceDirectory] = (),
        ledger: Ledger | None = None,
        sha256: bool = False,
        request_id: Callable[[], str] = lambda: "",
        new_token: Callable[[], str] = lambda: secrets.token_hex(8),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.s3 = s3
        self.partner = partner
        self._directory = directory
        self._sources = sources
        self._ledger = ledger or NoLedger()
        self._sha256 = sha256
        self._request_id = request_id
        self._new_token = new_token
        self._clock = clock

    @property
    def has_ledger(self) -> bool:
        """Whether anything is remembered."""
        return not isinstance(self._ledger, NoLedger)

    def deliver(self, ref: ObjectRef, deadline: Deadline | None = None) -> Receipt:
        """Deliver the announced bytes: when it returns, they stand under their final name.

        Args:
            ref: What was announced.
            deadline: Of the invocation; by default that of the longest one that there is.

        Raises:
            NothingToSend: They need not be delivered, now or later.
            ToBeContinued: A part of them is at the partner, and recorded.
            DeliveryError: They are not delivered, and nothing half-written stands under the final name.
        """
        deadline = deadline or Deadline(_longest_invocation())
        return self.fulfil(self.lease(ref, deadline), deadline)

    def lease(self, ref: ObjectRef, deadline: Deadline) -> Lease:
        """Take the object until the end of the invocation.

        Raises:
            NothingToSend, BeingSent, DeadlineTooClose, RemotePathRefused, LedgerError: It is not ours.
        """
        deadline.insist(ref, can_be_continued=self.has_ledger)
        path = self._path(ref)
        return self._ledger.acquire(
            ref, remote_path=path, temporary=self._temporary(path), until=deadline.ends_at
        )

    def fulfil(self, lease: Lease, deadline: Deadline) -> Receipt:
        """Deliver what the lease is for, going on where earlier attempts have left off.

        Raises:
            See `deliver`.
        """
        fruitless = lease.checkpoint.rounds_without_progress if lease.checkpoint else 0
        shipment = _Shipment(lease, self._clock(), fruitless)
        with self.giving_back(lease):
            if lease.committing:
                receipt = self._recover(shipment, lease.committing)
            else:
                if leftovers := _leftovers(lease):
                    self.partner.discard(*leftovers)
                    shipment.has_answered = True
                receipt = self._send(shipment, deadline)
            self.record(shipment.lease, receipt)
        return receipt

    @contextlib.contextmanager
    def giving_back(self, lease: Lease) -> Iterator[None]:
        """Give the lease back when the block raises, and record an end that is none of ours."""
        try:
            yield
        except (NothingToSend, ToBeContinued):  # the ledger knows
            raise
        except ObjectGone as gone:
            if not self.has_ledger:
                raise
            self._discard_remains(lease)
            self._ledger.settle(lease.ref, state="GONE", reason=gone.reason, hint=gone.hint, lease=lease)
            raise AlreadyGone(gone.reason, hint=gone.hint) from None
        except ObjectChanged as changed:
            if not self.has_ledger:
                raise
            self._discard_remains(lease)
            self._ledger.settle(
                lease.ref, state="SUPERSEDED", reason=changed.reason, hint=changed.hint, lease=lease
            )
            raise Superseded(changed.reason, hint=changed.hint) from None
        except Exception as error:
            self._release(lease, error)
            raise

    def commit(self, lease: Lease, temporary: str) -> None:
        """Record that the file is about to get its final name.

        Raises:
            Superseded, LedgerError: It must not.
        """
        self._ledger.commit(replace(lease, temporary=temporary))

    def record(self, lease: Lease, receipt: Receipt) -> None:
        """Write the receipt down, and remove what is left of earlier attempts and of older versions.

        Raises:
            LedgerError: It could not be written. The next attempt finds out that the object is delivered.
        """
        self._clear(*lease.abandoned, *lease.outdated)
        self._ledger.delivered(lease, receipt.as_item(request_id=self._request_id()))

    def receipt(
        self, lease: Lease, *, size: int, started: float, checksum: tuple[str, str], **more: Any
    ) -> Receipt:
        """Make the receipt of what has just been delivered."""
        return Receipt(
            ref=lease.ref,
            remote_path=lease.remote_path,
            size=size,
            seconds=self._clock() - started,
            checksum_algorithm=checksum[0],
            checksum=checksum[1],
            host_key_fingerprint=self.partner.host_key_fingerprint,
            attempt=lease.attempt,
            **more,
        )

    def sha256_of(self, data: bytes) -> str | None:
        """Return it in hexadecimal where receipts are to have it."""
        return hashlib.sha256(data).hexdigest() if self._sha256 else None

    def now(self) -> float:
        """Return the time by the clock that measures deliveries, in seconds."""
        return self._clock()

    def path_of(self, ref: ObjectRef) -> str | None:
        """Return the final name; None where the key cannot have one."""
        try:
            return self._path(ref)
        except RemotePathRefused:
            return None

    def give_up(self, ref: ObjectRef, error: DeliveryError) -> None:
        """Record that the object is not tried any more until a person sends its message again.

        Raises:
            DeliveryError: It could not be recorded, or has ended otherwise meanwhile.
        """
        self._ledger.settle(ref, state="FAILED", reason=error.reason, hint=error.hint)

    def _discard_remains(self, lease: Lease) -> None:
        """Remove what earlier invocations have sent of an object that is not delivered any more."""
        begun = (lease.checkpoint.temporary,) if lease.checkpoint else ()
        self._clear(*begun, *lease.abandoned)

    def _release(self, lease: Lease, error: Exception) -> None:
        reason = error.reason if isinstance(error, DeliveryError) else f"{type(error).__name__}: {error}"
        try:
            self._ledger.release(lease, reason=reason, temporary_is_gone=False)
        except LedgerError as trouble:  # the error to tell is the first one; the lease ends by itself
            _log.warning("the lease of %s was not given back: %s", lease.ref, trouble)

    def _clear(self, *temporaries: str) -> None:
        """Remove what nobody needs at the partner, as far as that works: it is never what counts."""
        if temporaries:
            with contextlib.suppress(DeliveryError):
                self.partner.discard(*temporaries)

    def _recover(self, shipment: _Shipment, committing: str) -> Receipt:
        """Complete what an invocation began that died: it had sent everything, and may have renamed it."""
        lease = shipment.lease
        renamed_now = self.partner.publish(committing, lease.remote_path)
        _log.warning(
            "%s was sent by an invocation that ended before its time; its final name was given %s",
            lease.ref,
            "now" if renamed_now else "before",
        )
        size, checksum = self._known_of(lease.ref)
        return self.receipt(
            lease, size=size, started=shipment.started, checksum=checksum, lanes=1, recovered=True
        )

    def _known_of(self, ref: ObjectRef) -> tuple[int, tuple[str, str]]:
        try:
            source = S3Object(self.s3, ref)
        except SourceError:  # it is delivered, wherever it is now
            return ref.size or 0, ("", "")
        return source.size, source.stored or ("", "")

    def _send(self, shipment: _Shipment, deadline: Deadline) -> Receipt:
        try:
            return self._send_once(shipment, deadline)
        except CheckpointLost as lost:
            shipment.fell_back = True
            _log.warning("%s is sent from its beginning: %s", shipment.lease.ref, lost.reason)
        except ConnectionLost:
            # An old connection may have died of its age; that says nothing about the partner.
            if shipment.committed or shipment.has_answered or not self.partner.was_reused:
                raise
            if shipment.lease.checkpoint:
                return self._send_once(shipment, deadline)
        deadline.insist(shipment.lease.ref, can_be_continued=self.has_ledger)
        self._start_over(shipment)
        return self._send_once(shipment, deadline)

    def _send_once(self, shipment: _Shipment, deadline: Deadline) -> Receipt:
        lease = shipment.lease
        # The object first: nobody logs in at the partner for one that is gone.
        source = S3Object(self.s3, lease.ref, before=_checksum_of(lease.checkpoint), sha256=self._sha256)
        if lease.checkpoint and source.start != lease.checkpoint.offset:
            raise CheckpointLost("Its checksum so far is of another kind.", hint="It is sent anew.")
        self._insist_on_an_end(lease, source, deadline)
        sent = self.partner.send_large(
            source,
            path=lease.remote_path,
            temporary=lease.temporary,
            check=lambda: self._check(shipment, source),
            permit=(lambda temporary, _seen: self._commit(shipment, temporary)) if self.has_ledger else None,
            start=source.start,
            pause=deadline.is_near if self.has_ledger else lambda: False,
            # In order where the SHA-256 needs it; where several lanes got nowhere, one may.
            lanes=1 if self._sha256 or shipment.fruitless else None,
        )
        if sent.lost is not None:
            raise sent.lost
        if not sent.complete:
            self._pause(shipment, source, sent)
        return self.receipt(
            shipment.lease,
            size=source.size,
            started=shipment.started,
            checksum=source.checksum(),
            sha256=source.sha256(),
            lanes=sent.lanes,
        )

    def _insist_on_an_end(self, lease: Lease, source: S3Object, deadline: Deadline) -> None:
        """Refuse, before a byte is wasted, what no invocation could finish and no other could go on with."""
        if self.has_ledger and not source.start and not deadline.suffices_for(source.size, at_best=True):
            self._insist_on_continuing(lease, source)

    def _insist_on_continuing(self, lease: Lease, source: S3Object) -> None:
        if not self.partner.continues_files(probe_name(lease.temporary)):
            raise CannotContinue(
                f"{source.ref} ({source.size} bytes) takes longer than one invocation, and the partner's "
                "server does not let a file be gone on with.",
                hint="The server must allow writing into a file that exists: ask the partner. More memory "
                "gives the function more speed; otherwise send the object in smaller pieces.",
            )

    def _check(self, shipment: _Shipment, source: S3Object) -> None:
        try:
            source.checksum()
        except ObjectCorrupt as corrupt:
            if source.start:  # what is wrong may have been sent by an earlier invocation
                self._start_over(shipment)
                # A message that is continued is tried for anew each time: this would never end.
                corrupt.disposition = Disposition.PERMANENT
            raise

    def _commit(self, shipment: _Shipment, temporary: str) -> None:
        shipment.committed = True
        self.commit(shipment.lease, temporary)

    def _start_over(self, shipment: _Shipment) -> None:
        anew = self._temporary(shipment.lease.remote_path)
        shipment.lease = self._ledger.start_over(shipment.lease, temporary=anew)

    def _pause(self, shipment: _Shipment, source: S3Object, sent: Sent) -> None:
        """Write down how far it is.

        Raises:
            ToBeContinued: Always, when all is well.
            NoProgress, CannotContinue, LedgerError: When not.
        """
        lease = shipment.lease
        # A server that is not asked may say OK to all that the next invocation writes, and keep only that.
        self._insist_on_continuing(lease, source)
        so_far = source.checksum_up_to(sent.acknowledged)
        is_further = so_far.size > source.start and not shipment.fell_back
        rounds = 0 if is_further else shipment.fruitless + 1
        if rounds >= _FRUITLESS_ROUNDS:
            raise NoProgress(
                f"{rounds} invocations in a row have brought {lease.ref} no further: {so_far.size} of "
                f"{source.size} bytes are at the partner.",
                hint="Ask the partner whether the server hangs, or removes files before they are complete; "
                "give the function more time (timeout).",
            )
        checkpoint = Checkpoint(
            temporary=sent.temporary,
            offset=so_far.size,
            algorithm=so_far.algorithm,
            crc=so_far.crc,
            rounds_without_progress=rounds,
        )
        self._ledger.checkpoint(lease, checkpoint)
        raise ToBeContinued(
            f"{so_far.size} of {source.size} bytes of {lease.ref} are at the partner.",
            hint="The next invocation goes on.",
        )

    def _path(self, ref: ObjectRef) -> str:
        directory = directory_of(ref.bucket, ref.key, self._sources, otherwise=self._directory)
        return remote_path(directory=directory, key=ref.key)

    def _temporary(self, path: str) -> str:
        return temporary_path(path, token=self._new_token())


def _leftovers(lease: Lease) -> list[str]:
    """Return what dead attempts have left, but for what may lead to the file that is gone on with."""
    return [name for name in lease.abandoned if another_name(name) != lease.temporary]


def _longest_invocation() -> Callable[[], float]:
    begun = time.monotonic()
    return lambda: begun + _LONGEST_INVOCATION_SECONDS - time.monotonic()


def _checksum_of(checkpoint: Checkpoint | None) -> ChecksumSoFar | None:
    if checkpoint is None:
        return None
    return ChecksumSoFar(size=checkpoint.offset, algorithm=checkpoint.algorithm, crc=checkpoint.crc)
