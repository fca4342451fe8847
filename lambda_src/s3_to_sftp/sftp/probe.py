"""Finds out what a server makes of a file that is not written by one handle from its first byte to its last.

There are servers that keep what each handle writes apart and let the last CLOSE win: gateways to object
stores, and some that encrypt. Others wipe what was written when a second handle is opened. They say OK to
everything, and a file that was written in streams, or resumed another time, would have holes. Two handles and
two bytes show it, before any byte of an object is at stake: in the order and over the connections in which
the real file will be written.
"""

from concurrent.futures import Future, InvalidStateError
from typing import TypeVar

from s3_to_sftp.errors import RequestRefused, TransferError
from s3_to_sftp.sftp.protocol import NOTHING_THERE
from s3_to_sftp.sftp.scheduler import ExternalFuture
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.upload import create
from s3_to_sftp.sftp.wire import Pending

T = TypeVar("T")

_EXPECTED = b"ab"


class CalledOff(Exception):
    """The answer is no longer needed."""


class TwoWriters:
    """A new file that two sessions write a byte each into. Each session is driven by a thread of its own.

    The first writer creates it and writes; when that is acknowledged, the second opens it, writes and closes;
    then the first closes, and the second reads it and removes it. Where it does not, or not in time, the
    first removes it: the caller that waits for the first writer knows what is left. The later byte is
    written first, so that a server which appends everything ends with the two in the wrong order.

    Attributes:
        is_created: Whether the first writer had the file open.
        is_asking: Whether the server owes the first writer an answer: it may be lost for what it was asked.
        is_second_asking: Whether it owes the second writer one.
    """

    def __init__(self, path: str) -> None:
        self.is_created = False
        self.is_asking = False
        self.is_second_asking = False
        self._path = path
        self._begun: Future[None] = Future()
        self._joined: Future[bool] = Future()  # whether the second one has written, and will read
        self._closed: Future[None] = Future()
        self._read: Future[bool] = Future()  # whether the second one has removed it
        self._is_removed = False

    @property
    def may_stand(self) -> bool:
        """Whether the file may be there, once the first writer's part has ended."""
        return self.is_created and not (self._is_removed and not self.is_second_asking)

    async def first(self, session: SftpSession, handle: bytes | None = None) -> None:
        """Do the first writer's part, which ends when the second has done its own, or when it is called off.

        Args:
            session: Of the first stream.
            handle: Of the new file, where it is open already.

        Raises:
            TransferError: The server refused something, or is lost. The second writer gets the same error.
        """
        self.is_asking = True
        try:
            if handle is None:
                handle = await session.create(self._path)
            self.is_created = True
            await self._write_first(session, handle)
        except BaseException as error:  # GeneratorExit: the session no longer runs this task
            _tell(self._begun, error)
            _tell(self._closed, error)
            raise

    async def _write_first(self, session: SftpSession, handle: bytes) -> None:
        clean_up = _CleanUp(session, self._path, handle)
        try:
            async with clean_up:
                await session.write(handle, 1, _EXPECTED[1:], path=self._path)
                _resolve(self._begun, result=None)
                self.is_asking = False
                if await ExternalFuture(self._joined):
                    self.is_asking = True
                    clean_up.handle = None
                    await session.close_file(handle, path=self._path)
                    self.is_asking = False
                    _resolve(self._closed, result=None)
                    clean_up.is_needed = not await _said(self._read)
        finally:
            self._is_removed = clean_up.is_removed
        _resolve(self._closed, result=None)

    def wait_for_first(self) -> None:
        """Wait until the first byte is acknowledged.

        Raises:
            CalledOff: It will not be.
            TransferError: It was refused, or the first writer's connection is lost.
        """
        self._begun.result()

    async def second(self, session: SftpSession) -> bool:
        """Do the second writer's part, and return whether the file holds both bytes.

        Raises:
            CalledOff: The first writer has ended.
            RequestRefused: The server does not allow it, or not that it is read.
            TransferError: The server is lost.
        """
        if self._joined.done():
            raise CalledOff
        await ExternalFuture(self._begun)
        self.is_second_asking = True
        clean_up = _CleanUp(session, self._path)
        try:
            kept = await self._second(session, clean_up)
        except RequestRefused:
            self.is_second_asking = False
            raise
        self.is_second_asking = False
        _resolve(self._read, result=clean_up.is_removed)
        return kept

    async def _second(self, session: SftpSession, clean_up: "_CleanUp") -> bool:
        try:
            await self._write_second(session)
        except BaseException:
            _resolve(self._joined, result=False)
            raise
        if not _resolve(self._joined, result=True) and not self._joined.result():
            # Once more: an object store puts a file back when its last handle is closed.
            await _answers(session.remove(self._path))
            raise CalledOff
        try:
            async with clean_up:
                await ExternalFuture(self._closed)
                return await _read(session, self._path, clean_up)
        except RequestRefused as refused:
            if not _tell(self._read, refused):  # called off, and removed
                raise CalledOff from None
            raise
        except BaseException as error:
            _tell(self._read, error)
            raise

    async def _write_second(self, session: SftpSession) -> None:
        handle = await session.open_existing(self._path)
        writing = session.write(handle, 0, _EXPECTED[:1], path=self._path)
        await _all_of(writing, session.close_file(handle, path=self._path))

    def call_off(self) -> None:
        """Let both writers end as soon as they can."""
        _tell(self._begun, CalledOff())
        _resolve(self._joined, result=False)
        _resolve(self._read, result=False)

    def end(self) -> None:
        """End all waiting: the first writer no longer runs."""
        self.call_off()
        _tell(self._closed, CalledOff())


async def begin_file(session: SftpSession, path: str) -> None:
    """Write two bytes into a new file and close it: the part of the earlier connection.

    Raises:
        RequestRefused: The server does not allow it. Nothing is left behind.
    """
    handle = await create(session, path)
    async with _CleanUp(session, path) as clean_up:
        writing = session.write(handle, 0, _EXPECTED[:1] + b"?", path=path)
        await _all_of(writing, session.close_file(handle, path=path))
        clean_up.is_needed = False


async def resumes_file(session: SftpSession, path: str) -> bool:
    """Write over the second byte of a file that was begun, and return whether that counts. Removes the file.

    More than was acknowledged may be in a file that is resumed: that must be written over.

    Raises:
        RequestRefused: The server does not allow it, or not that it is read. Nothing is left behind.
    """
    async with _CleanUp(session, path) as clean_up:
        handle = await session.open_existing(path)
        writing = session.write(handle, 1, _EXPECTED[1:], path=path)
        await _all_of(writing, session.close_file(handle, path=path))
        return await _read(session, path, clean_up)


async def _read(session: SftpSession, path: str, clean_up: "_CleanUp") -> bool:
    """Return whether the file is as it should be."""
    clean_up.handle = handle = await session.open_reading(path)
    reading = session.read(handle, 0, len(_EXPECTED) + 1, path=path)
    clean_up.begin()  # travels with it
    return await reading == _EXPECTED


class _CleanUp:
    """Closes and removes a file at the end of the block, as far as the server lets it.

    Attributes:
        handle: To be closed.
        is_needed: Whether there is anything to do.
        is_removed: Whether the server has confirmed that the file is gone.
    """

    def __init__(self, session: SftpSession, path: str, handle: bytes | None = None) -> None:
        self.handle = handle
        self.is_needed = True
        self.is_removed = False
        self._session = session
        self._path = path
        self._under_way: list[Pending[None]] = []

    async def __aenter__(self) -> "_CleanUp":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A task that no longer runs cannot wait.
        if kind is not GeneratorExit and not self._session.is_over:
            self.begin()
            refusals = await _answers(*self._under_way)
            self.is_removed = all(
                refused.request == "remove" and refused.code in NOTHING_THERE for refused in refusals
            )

    def begin(self) -> None:
        """Ask for it, and wait for the answers at the end of the block."""
        if self.is_needed and not self._under_way:
            if self.handle is not None:
                self._under_way.append(self._session.close_file(self.handle, path=self._path))
            self._under_way.append(self._session.remove(self._path))


async def _said(future: "Future[bool]") -> bool:
    """Wait for the answer; one that never comes is a no."""
    try:
        return await ExternalFuture(future)
    except (TransferError, CalledOff):
        return False


def _resolve(future: "Future[T]", *, result: T) -> bool:
    """Give the result; return whether there was none yet."""
    try:
        future.set_result(result)
    except InvalidStateError:
        return False
    return True


def _tell(future: "Future[T]", error: BaseException) -> bool:
    """Give the error, unless there is a result. What is not the server's says only that it is over.

    Returns:
        Whether there was none.
    """
    try:
        future.set_exception(error if isinstance(error, TransferError | CalledOff) else CalledOff())
    except InvalidStateError:
        return False
    return True


async def _answers(*requests: Pending[None]) -> list[RequestRefused]:
    """Wait for all of them and return the refusals: each answer counts for the clean-up."""
    refusals = []
    for request in requests:
        try:
            await request
        except RequestRefused as refused:
            refusals.append(refused)
    return refusals


async def _all_of(*requests: Pending[None]) -> None:
    """Wait for all of them, then raise the first refusal."""
    for refused in await _answers(*requests):
        raise refused
