"""Finds out what a server makes of a file that is not written by one handle from its first byte to its last.

There are servers that keep what each handle writes apart and let the last CLOSE win: gateways to object
stores, and some that encrypt. They say OK to everything, and a file that was written in lanes, or gone on
with another time, would have holes. Two handles and two bytes show it, before any byte of an object is at
stake.
"""

from collections.abc import Iterable
from typing import TypeVar

from s3_to_sftp.errors import RequestRefused
from s3_to_sftp.sftp.session import Pending, SftpSession
from s3_to_sftp.sftp.upload import create

T = TypeVar("T")

_EXPECTED = b"ab"


async def keeps_writers_together(session: SftpSession, path: str) -> bool:
    """Let two writers write a byte each into a new file, and say whether both are in it. Removes the file.

    Three round trips: both open, both write and close, one reads. The handle that has written the later byte
    is closed first, so that a server which keeps the two apart ends with one byte.

    Raises:
        RequestRefused: The server does not allow it, or not that it is read. Nothing is left behind.
    """
    async with _Probe(session, path) as probe:
        first, second = await probe.opened(session.create(path), session.open_existing(path))
        return await probe.read(
            probe.write(first, 1, b"b"),
            probe.write(second, 0, b"a"),
            probe.close(first),
            probe.close(second),
        )


async def goes_on_with_files(session: SftpSession, path: str) -> bool:
    """Write two bytes into a new file, write over the second when it is closed, and say whether that counts.

    Four round trips. Removes the file. More than was acknowledged may be in a file that is gone on with: that
    must be written over.

    Raises:
        RequestRefused: The server does not allow it, or not that it is read. Nothing is left behind.
    """
    async with _Probe(session, path) as probe:
        first = await probe.created()
        written = [probe.write(first, 0, b"a?"), probe.close(first)]
        (second,) = await probe.opened(session.open_existing(path))
        return await probe.read(*written, probe.write(second, 1, b"b"), probe.close(second))


class _Probe:
    """A file of two bytes that is removed at the end, as far as the server lets it."""

    def __init__(self, session: SftpSession, path: str) -> None:
        self._session = session
        self._path = path
        self._open: list[bytes] = []
        self._cleaning_up: list[Pending[None]] = []

    async def __aenter__(self) -> "_Probe":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not GeneratorExit and not self._session.is_over:
            self._clean_up()
            await _answers(*self._cleaning_up)

    def _clean_up(self) -> None:
        if not self._cleaning_up:
            self._cleaning_up = [self.close(handle) for handle in tuple(self._open)]
            self._cleaning_up.append(self._session.remove(self._path))

    async def created(self) -> bytes:
        """Return the handle; makes the directory if that is missing."""
        handle = await create(self._session, self._path)
        self._open.append(handle)
        return handle

    async def opened(self, *opening: Pending[bytes]) -> list[bytes]:
        """Return the handles."""
        answers = await _answers(*opening)
        self._open += [answer for answer in answers if isinstance(answer, bytes)]
        return _all_of(answers)

    def write(self, handle: bytes, offset: int, data: bytes) -> Pending[None]:
        """Write there."""
        return self._session.write(handle, offset, data, path=self._path)

    def close(self, handle: bytes) -> Pending[None]:
        """Close one of the handles."""
        self._open.remove(handle)
        return self._session.close_file(handle, path=self._path)

    async def read(self, *written: Pending[None]) -> bool:
        """Say whether the file is as it should be, all these requests having been answered with OK."""
        opening = self._session.open_reading(self._path)
        answers = await _answers(*written)
        (handle,) = await self.opened(opening)
        _all_of(answers)
        reading = self._session.read(handle, 0, len(_EXPECTED) + 1, path=self._path)
        self._clean_up()  # travels with it
        return await reading == _EXPECTED


async def _answers(*requests: Pending[T]) -> list[T | RequestRefused]:
    """Wait for all of them: what is refused is not raised, since each answer counts for the clean-up."""
    answers: list[T | RequestRefused] = []
    for request in requests:
        try:
            answers.append(await request)
        except RequestRefused as refused:
            answers.append(refused)
    return answers


def _all_of(answers: Iterable[T | RequestRefused]) -> list[T]:
    """Return the answers, or raise the first that is a refusal."""
    results = []
    for answer in answers:
        if isinstance(answer, RequestRefused):
            raise answer
        results.append(answer)
    return results
