"""Announced objects, from S3 to their final names at the partner: the story of the program."""

import itertools
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from s3_to_sftp.errors import ConnectionLost, CredentialsError, PartnerError
from s3_to_sftp.events import ObjectRef
from s3_to_sftp.remote_path import remote_path, temporary_path
from s3_to_sftp.sftp.partner import Partner, SmallFile
from s3_to_sftp.source import S3Object, read_whole

T = TypeVar("T")

SMALL_BYTES = 1024 * 1024
"""Objects up to this size are read whole, many at a time, and share the round trips of one connection."""

_READERS = 8
"""Small objects being read from S3 at a time. Memory of a batch of small objects: each is in memory from its
GET to its RENAME, at most (_READERS + the files at a time of `partner.py`) x SMALL_BYTES. When an old
connection is found dead, those that it had been given are kept for the second attempt."""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What was delivered.

    Attributes:
        ref: The object version.
        remote_path: Its final name at the partner.
        size: Bytes.
        seconds: From its turn to the rename.
        checksum_algorithm: CRC64NVME, CRC32C or CRC32.
        checksum: Of all bytes that were sent, in base64 as S3 writes it.
        lanes: Connections that carried it.
        host_key_fingerprint: Of the server that took it, `SHA256:...`.
    """

    ref: ObjectRef
    remote_path: str
    size: int
    seconds: float
    checksum_algorithm: str
    checksum: str
    lanes: int
    host_key_fingerprint: str


Outcome = tuple[ObjectRef, Receipt | Exception]


class Delivery:
    """Delivers objects to one partner."""

    def __init__(
        self,
        *,
        s3: Any,
        partner: Partner,
        directory: str,
        new_token: Callable[[], str] = lambda: secrets.token_hex(8),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._s3 = s3
        self._partner = partner
        self._directory = directory
        self._new_token = new_token
        self._clock = clock

    def deliver(self, ref: ObjectRef) -> Receipt:
        """Deliver the announced bytes: when it returns, they stand under their final name.

        Raises:
            DeliveryError: They do not, and nothing half-written stands there either.
        """
        for _, outcome in self.deliver_all([ref]):
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        raise AssertionError("every object has an outcome")

    def deliver_all(
        self, refs: Sequence[ObjectRef], *, before_each: Callable[[ObjectRef], None] = lambda _ref: None
    ) -> Iterator[Outcome]:
        """Deliver objects and yield the outcome of each as it is known.

        Small objects travel many at a time, large ones one after the other, each over as many connections
        as pay. Versions of one key keep the order of their events.

        Args:
            refs: What was announced.
            before_each: Called before an object is read; what it raises is the object's outcome.
        """
        partner_error: Exception | None = None

        def deliver_large(ref: ObjectRef) -> Receipt:
            if partner_error is not None:
                raise partner_error
            return self._deliver_large(ref, before_each)

        for group in _in_order_per_key(refs):
            small = [ref for ref in group if ref.size is not None and ref.size <= SMALL_BYTES]
            large = [ref for ref in group if ref not in small]
            outcomes = itertools.chain(
                self._deliver_small(small, before_each),
                ((ref, _outcome_of(deliver_large, ref)) for ref in large),
            )
            for ref, outcome in outcomes:
                if isinstance(outcome, PartnerError | CredentialsError):
                    # The others would meet the same: a wrong password is not tried once per object.
                    partner_error = outcome
                yield ref, outcome
            if partner_error is not None:
                before_each = _raising(partner_error)

    def _deliver_small(
        self, refs: Sequence[ObjectRef], before_each: Callable[[ObjectRef], None]
    ) -> Iterator[Outcome]:
        started = {ref: self._clock() for ref in refs}
        checksums: dict[ObjectRef, tuple[str, str]] = {}
        unread: list[Outcome] = []

        def read(ref: ObjectRef) -> SmallFile[ObjectRef]:
            before_each(ref)
            path = remote_path(directory=self._directory, key=ref.key)
            data, checksums[ref] = read_whole(self._s3, ref)
            return SmallFile(ref, path, temporary_path(path, token=self._new_token()), data)

        def files() -> Iterator[SmallFile[ObjectRef]]:
            for ref, file in _read_ahead(read, refs):
                if isinstance(file, Exception):
                    unread.append((ref, file))
                else:
                    yield file

        for file, error in self._partner.send_small(files()):
            if error is not None:
                yield file.ticket, error
                continue
            algorithm, checksum = checksums[file.ticket]
            yield (
                file.ticket,
                Receipt(
                    ref=file.ticket,
                    remote_path=file.path,
                    size=len(file.data),
                    seconds=self._clock() - started[file.ticket],
                    checksum_algorithm=algorithm,
                    checksum=checksum,
                    lanes=1,
                    host_key_fingerprint=self._partner.host_key_fingerprint,
                ),
            )
        yield from unread

    def _deliver_large(self, ref: ObjectRef, before_each: Callable[[ObjectRef], None]) -> Receipt:
        before_each(ref)
        started = self._clock()
        path = remote_path(directory=self._directory, key=ref.key)
        try:
            source, lanes = self._send_large(ref, path)
        except ConnectionLost:
            if not self._partner.was_reused:
                raise
            # An old connection may have died of its age; that says nothing about the partner.
            source, lanes = self._send_large(ref, path)
        algorithm, checksum = source.checksum()
        return Receipt(
            ref=ref,
            remote_path=path,
            size=source.size,
            seconds=self._clock() - started,
            checksum_algorithm=algorithm,
            checksum=checksum,
            lanes=lanes,
            host_key_fingerprint=self._partner.host_key_fingerprint,
        )

    def _send_large(self, ref: ObjectRef, path: str) -> tuple[S3Object, int]:
        # The object first: nobody logs in at the partner for one that is gone.
        source = S3Object(self._s3, ref)
        lanes = self._partner.send_large(
            source,
            path=path,
            temporary=temporary_path(path, token=self._new_token()),
            complete=source.checksum,
        )
        return source, lanes


def _in_order_per_key(refs: Sequence[ObjectRef]) -> Iterator[list[ObjectRef]]:
    """Split the objects so that no group holds two versions of one key, older ones in earlier groups."""
    of_key: defaultdict[tuple[str, str], list[ObjectRef]] = defaultdict(list)
    for ref in refs:
        of_key[ref.bucket, ref.key].append(ref)
    longest = max((len(ref.sequencer or "") for ref in refs), default=0)
    for versions in of_key.values():
        # Sequencers are compared as text, the shorter one padded on the right (S3 user guide).
        versions.sort(key=lambda ref: (ref.sequencer or "").ljust(longest, "0"))
    while group := [versions.pop(0) for versions in of_key.values() if versions]:
        yield group


def _read_ahead(
    read: Callable[[ObjectRef], SmallFile[ObjectRef]], refs: Sequence[ObjectRef]
) -> Iterator[tuple[ObjectRef, SmallFile[ObjectRef] | Exception]]:
    if len(refs) == 1:  # a thread would cost more than it saves
        yield refs[0], _outcome_of(read, refs[0])
        return
    with ThreadPoolExecutor(_READERS, "s3-reader") as readers:
        under_way: dict[Future[SmallFile[ObjectRef] | Exception], ObjectRef] = {}
        for ref in refs:
            under_way[readers.submit(_outcome_of, read, ref)] = ref
            while len(under_way) == _READERS:
                yield from _done(under_way)
        while under_way:
            yield from _done(under_way)


def _done(under_way: dict[Future[T], ObjectRef]) -> Iterator[tuple[ObjectRef, T]]:
    for future in wait(under_way, return_when=FIRST_COMPLETED).done:
        yield under_way.pop(future), future.result()


def _raising(error: Exception) -> Callable[[ObjectRef], None]:
    def refuse(_ref: ObjectRef) -> None:
        raise error

    return refuse


def _outcome_of(step: Callable[..., T], *arguments: Any) -> T | Exception:
    try:
        return step(*arguments)
    except Exception as error:  # noqa: BLE001 - it is the object's outcome, and told as such
        return error
