"""Lets further streams of a file join the first one, once the server has shown that they may.

The first stream writes meanwhile: its thread does its half of the probe between its WRITEs. The further
stream that is connected first does the other half: the result holds for the connections that will be used.

Where the server has passed the probe over earlier connections, the other streams do not wait for the result.
What they write counts once it is there (`Admission.confirms`).
"""

import threading

from s3_to_sftp.errors import ConnectionLost, PartnerUnreachable, RequestRefused, TransferError
from s3_to_sftp.sftp import probe
from s3_to_sftp.sftp.capabilities import Capabilities, channels_only
from s3_to_sftp.sftp.connection import Connection
from s3_to_sftp.sftp.pool import ConnectionPool
from s3_to_sftp.sftp.session import SftpSession


class Admission:
    """Decides which further streams of one file may write.

    Attributes:
        numbers: The further streams.
        first: The connection of the first stream; None until it is there.
    """

    def __init__(self, pool: ConnectionPool, path: str) -> None:
        """Prepare the admission.

        Args:
            pool: Remembers what the server proves.
            path: The probe file.
        """
        self.numbers: list[int] = []
        self.first: Connection | None = None
        self._pool = pool
        self._path = path
        self._handle: bytes | None = None
        self._one_at_a_time = threading.Lock()
        self._state = threading.Lock()
        self._writers = probe.TwoWriters(path)
        self._is_over = False
        self._needs_free_handle = False
        self._is_tried_alone = False
        self._unproven: set[int] = set()  # streams that have joined without waiting for the result

    @property
    def file_may_stand(self) -> bool:
        """Whether the probe file may be left, once the first stream has ended."""
        return self._writers.may_stand or self._is_tried_alone

    # The first stream's thread.

    async def open(self, session: SftpSession) -> None:
        """Open the probe file where one is needed, in the same round trip as the real file."""
        if not self._is_needed:
            return
        try:
            self._handle = await session.create(self._path)
        except RequestRefused:
            return  # it may be the directory, which is just being made
        except ConnectionLost as lost:
            if session.has_started:  # otherwise it was lost for more than the probe
                self._pool.disable_parallel_streams(lost.reason, permanent=False)
            raise

    @property
    def has_file(self) -> bool:
        """Whether the probe file is open."""
        return self._handle is not None

    async def discard(self, session: SftpSession) -> None:
        """Close and remove the probe file."""
        self.call_off()
        await self.take_part(session)

    async def take_part(self, session: SftpSession) -> None:
        """Do the first stream's half of the probe, if one is needed. Ends when called off at the latest."""
        if not self._is_needed:
            return
        self._needs_free_handle = False
        handle, self._handle = self._handle, None
        try:
            await self._writers.first(session, handle)
        except RequestRefused:
            return  # the further stream gets the error and decides
        except ConnectionLost as lost:
            # Some servers disconnect on requests that they do not know: they are not asked repeatedly.
            if self._writers.is_asking:
                self._pool.disable_parallel_streams(lost.reason, permanent=False)
            raise

    @property
    def needs_free_handle(self) -> bool:
        """Whether the probe waits for the first stream to close its file: one handle per connection."""
        return self._needs_free_handle

    def call_off(self) -> None:
        """Let no further stream join that has not been admitted."""
        with self._state:
            self._is_over = True
            self._needs_free_handle = False
        self._writers.call_off()

    @property
    def is_relied_on(self) -> bool:
        """Whether streams are at work to which the result still matters."""
        return bool(self._unproven)

    @property
    def is_confirmed(self) -> bool:
        """Whether the server has shown what each stream has relied on, as far as is known now."""
        return all(map(self._is_proven, self._unproven))

    def confirms(self) -> bool:
        """Wait for the result, where it matters; return whether what all streams have written counts."""
        if not self.is_relied_on:
            return True
        with self._one_at_a_time:
            return self.is_confirmed

    def end(self) -> None:
        """End all waiting."""
        self.call_off()
        self._writers.end()

    def note_loss(self, lost: ConnectionLost) -> None:
        """Stop asking for a while where the probe may have cost the first stream its connection."""
        if channels_only(self.numbers) and self._writers.is_second_asking:
            self._pool.disable_parallel_streams(lost.reason, permanent=False)

    @property
    def _is_needed(self) -> bool:
        return not all(map(self._is_proven, self.numbers))

    def _is_proven(self, number: int) -> bool:
        return self._pool.capabilities.supports_stream(number)

    # The further streams' threads.

    def admits(self, number: int, connection: Connection) -> bool:
        """Return whether this stream may join; waits for the probe, unless the server is known to pass it.

        Raises:
            PartnerUnreachable: Another server has answered.
            TransferError: The stream's connection is lost.
        """
        first = self.first
        if first is None:
            return False
        if connection.host_key_fingerprint != first.host_key_fingerprint:
            raise PartnerUnreachable(
                f"{connection.server} answers with another host key than before.",
                hint="Several servers share the address; a file is written over connections to one of them.",
            )
        if not self._one_at_a_time.acquire(blocking=not self._pool.expects_parallel_writes(number)):
            return self._joins_unproven(number)  # another stream is asking
        try:
            if not self._is_proven(number) and not self._is_over:
                try:
                    self._ask(number, connection, first)
                except probe.CalledOff:
                    return False
            return self._is_proven(number)
        finally:
            self._one_at_a_time.release()

    def _joins_unproven(self, number: int) -> bool:
        with self._state:
            if not self._is_over:
                self._unproven.add(number)
            return not self._is_over

    def _ask(self, number: int, connection: Connection, first: Connection) -> None:
        session = connection.session
        try:
            if self._first_has_begun(session):
                kept = session.run_one(self._writers.second(session))
                reason = "" if kept else "it does not keep together what two connections write"
            else:
                reason = "a file that exists cannot be written to"
        except RequestRefused as refused:
            reason = refused.reason
        except TransferError as error:
            if session.is_over:  # its own connection, not the first one's
                self._refuse(error.reason, permanent=False)
                raise
            raise probe.CalledOff from None
        if reason:
            self._refuse(reason)
        else:
            self._pool.note_kept_together({number: connection}, first=first)
            self._pool.remember(Capabilities.of_stream(number), first=first)

    def _first_has_begun(self, session: SftpSession) -> bool:
        try:
            self._writers.wait_for_first()
        except RequestRefused:
            if self._writers.is_created:
                raise
            # It may be that a connection has one handle only. Before the first stream is asked to close its
            # own, which costs it some round trips, this connection shows whether that is worth it.
            self._is_tried_alone = True
            session.run_one(probe.begin_file(session, self._path))
            is_resumed = session.run_one(probe.resumes_file(session, self._path))
            self._is_tried_alone = False
            if not is_resumed:
                return False
            self._ask_for_free_handle()
            self._writers.wait_for_first()
        return True

    def _ask_for_free_handle(self) -> None:
        with self._state:
            if self._is_over:
                raise probe.CalledOff
            self._writers = probe.TwoWriters(self._path)
            self._needs_free_handle = True
        self._pool.memory.note_single_handle()

    def _refuse(self, reason: str, *, permanent: bool = True) -> None:
        with self._state:
            was_over, self._is_over = self._is_over, True
        if not was_over:
            self._pool.disable_parallel_streams(reason, permanent=permanent)
