"""How many files are sent at a time over one connection: as many as the server accepts.

Servers limit the open handles of a session, to 1, to 8, to 64, and tell it by refusing an OPEN, with
PERMISSION_DENIED or FAILURE or whatever they like. Such a refusal says nothing about the file. So an OPEN
that is refused while other files of ours are open is no outcome: fewer files are sent at a time from then
on, and the file is sent again when there is room. If it is refused again, it gets its last chance while
nothing else of ours is open: only that refusal is about the file.
"""

import functools
import logging
import time
import types
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, TypeVar

from s3_to_sftp.errors import RequestRefused
from s3_to_sftp.sftp.scheduler import SftpTask
from s3_to_sftp.sftp.session import SftpSession

F = TypeVar("F")
T = TypeVar("T")
_log = logging.getLogger(__name__)

FILES_AT_A_TIME = 64
"""Files under way on one connection; more bring nothing at any distance measured (bench: `small`)."""

_GROWS_AFTER_SECONDS = 600.0
"""So long after a limit was found, or was doubled, it is doubled: the partner may allow more later. Asking
too much costs a refused OPEN."""

_CREATING = frozenset({"create", "mkdir"})
_HOLDING_A_HANDLE = frozenset({"write", "close", "fstat"})
"""What is waited for while a handle is open."""


class Limit:
    """How many open files one server accepts at a time, as far as is known. Lives with the environment."""

    def __init__(self, server: str, *, known: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._value = min(known or FILES_AT_A_TIME, FILES_AT_A_TIME)
        self._since = clock()
        self._unconfirmed: tuple[int, bool] | None = None  # what it was before it was lowered
        self._is_found = False

    @property
    def value(self) -> int:
        """Files at a time."""
        if self._value < FILES_AT_A_TIME and self._clock() - self._since >= _GROWS_AFTER_SECONDS:
            self._value = min(2 * self._value, FILES_AT_A_TIME)
            self._since = self._clock()
            self._is_found = True
        return self._value

    @property
    def found(self) -> int | None:
        """Files at a time, if that is not just what was known at the beginning."""
        return self._value if self._is_found else None

    def lower(self, to: int, refused: RequestRefused) -> None:
        """Take a refused OPEN as a sign that the server accepts no more files than this."""
        if to >= self._value:
            return
        self._unconfirmed = self._unconfirmed or (self._value, self._is_found)
        self._value, self._since, self._is_found = to, self._clock(), True
        _log.info("%s accepts only %d open files at a time: %s", self._server, to, refused.reason)

    def confirm(self) -> None:
        """Learn that a file which was refused beside others was accepted: it was the number of files."""
        self._unconfirmed = None

    def restore(self) -> None:
        """Learn that a file was refused with nothing beside it, too: it was not the number of files."""
        if self._unconfirmed is not None:
            (self._value, self._is_found), self._unconfirmed = self._unconfirmed, None


def send_all(
    session: SftpSession,
    files: Iterable[F],
    send: Callable[[F], SftpTask[Any]],
    limit: Limit,
    *,
    is_complete: Callable[[F], bool] = lambda _file: False,
) -> Iterator[tuple[F, Exception | None]]:
    """Send files, as many at a time as the server accepts, and yield each with its error as it is done.

    Files that are to be sent again are kept, and no further one is started meanwhile: never more than
    FILES_AT_A_TIME are in memory.

    Args:
        session: Where to.
        files: Each is requested when there is room for it.
        send: Returns the task that sends one.
        limit: Of this server; is changed by what the server shows.
        is_complete: Whether all bytes of a file are at the server: an OPEN that is refused then is that of
            another file, and this one is not sent again.
    """
    return _Run(session, files, send, limit, is_complete).outcomes()


@dataclass(eq=False)
class _Try(Generic[F]):
    """A file under way.

    Attributes:
        refusals: How often it was refused beside others.
        open_at_start: Files that were open when its OPEN was sent.
        opened_before: How many had been opened until then.
        holds: Whether it has a handle; None as long as it is being created.
    """

    file: F
    refusals: int
    open_at_start: int
    opened_before: int
    holds: bool | None = None


class _Run(Generic[F]):
    """Files on their way.

    Attributes:
        _again: Refused once beside others.
        _alone: Refused twice.
        _undecided: Refused while others were being created, and none was open yet.
        _open: Files that hold a handle, and the most that did since nothing was under way.
        _opened: Handles so far.
    """

    def __init__(
        self,
        session: SftpSession,
        files: Iterable[F],
        send: Callable[[F], SftpTask[Any]],
        limit: Limit,
        is_complete: Callable[[F], bool],
    ) -> None:
        self._session = session
        self._files = iter(files)
        self._send = send
        self._limit = limit
        self._is_complete = is_complete
        self._exhausted = False
        self._again: deque[F] = deque()
        self._alone: deque[F] = deque()
        self._undecided: list[tuple[_Try[F], RequestRefused]] = []
        self._under_way: dict[int, _Try[F]] = {}
        self._is_alone = False
        self._open = self._most_open = self._opened = 0

    def outcomes(self) -> Iterator[tuple[F, Exception | None]]:
        while self._again or self._alone or not self._exhausted:
            for place, outcome in self._session.run(self._tasks(), at_a_time=self._room):
                yield from self._judged(self._under_way.pop(place), outcome)
            yield from self._decided()
            self._most_open = 0

    def _room(self) -> int:
        return 1 if self._is_alone else self._limit.value

    def _tasks(self) -> Iterator[SftpTask[Any]]:
        """Start what is next, until that must wait for what is under way."""
        for place in count():
            following = self._next()
            if following is None:
                return
            self._under_way[place] = following
            yield _watched(self._send(following.file), functools.partial(self._waits, following))

    def _next(self) -> _Try[F] | None:
        if self._undecided or (self._alone and self._under_way):
            return None
        if self._alone:
            self._is_alone = True
            return self._try(self._alone.popleft(), 2)
        if self._again:
            return self._try(self._again.popleft(), 1)
        for file in self._files:
            return self._try(file, 0)
        self._exhausted = True
        return None

    def _try(self, file: F, refusals: int) -> _Try[F]:
        return _Try(file, refusals, self._open, self._opened)

    def _waits(self, one: _Try[F], request: str) -> None:
        """Learn from what a task waits for whether its file is open."""
        if one.holds is None and request in _HOLDING_A_HANDLE:
            one.holds = True
            self._opened += 1
            self._open += 1
            self._most_open = max(self._most_open, self._open)
        elif one.holds and request not in _HOLDING_A_HANDLE:
            self._closed(one)

    def _closed(self, one: _Try[F]) -> None:
        if one.holds:
            one.holds = False
            self._open -= 1

    def _judged(self, one: _Try[F], outcome: object) -> Iterator[tuple[F, Exception | None]]:
        self._closed(one)
        self._is_alone = False
        if not isinstance(outcome, RequestRefused) or self._is_final(one, outcome):
            if one.refusals:
                self._limit.confirm()
            yield one.file, outcome if isinstance(outcome, Exception) else None
        elif one.open_at_start or self._opened > one.opened_before:
            self._send_again(one, outcome, beside=max(self._open, one.open_at_start))
        elif any(other.holds is None for other in self._under_way.values()):
            self._undecided.append((one, outcome))  # one of these may have been opened before it
        else:
            yield self._refused(one, outcome)

    def _is_final(self, one: _Try[F], refused: RequestRefused) -> bool:
        """Return whether a refusal has nothing to do with other open files, or comes after the last byte."""
        return refused.request not in _CREATING or self._is_complete(one.file)

    def _decided(self) -> Iterator[tuple[F, Exception]]:
        """Judge, now that nothing is under way, those of which it depended on the others."""
        undecided, self._undecided = self._undecided, []
        for one, refused in undecided:
            if self._opened > one.opened_before:
                self._send_again(one, refused, beside=self._most_open)
            else:
                yield self._refused(one, refused)

    def _send_again(self, one: _Try[F], refused: RequestRefused, *, beside: int) -> None:
        if one.refusals:
            self._alone.append(one.file)
        else:
            self._limit.lower(max(1, beside), refused)
            self._again.append(one.file)

    def _refused(self, one: _Try[F], refused: RequestRefused) -> tuple[F, Exception]:
        if one.refusals:
            self._limit.restore()
        return one.file, refused


@types.coroutine
def _watched(task: SftpTask[T], waits: Callable[[str], None]) -> Generator[Any, None, T]:
    """Run a task, and tell before each wait which request it waits for; "" for another thread."""
    step = functools.partial(task.send, None)
    while True:
        try:
            waits_for = step()
        except StopIteration as end:
            result: T = end.value
            return result
        waits(getattr(waits_for, "request", ""))
        try:
            yield waits_for
        except GeneratorExit:
            task.close()
            raise
        except Exception as error:  # noqa: BLE001 - it is for the task
            step = functools.partial(task.throw, error)
        else:
            step = functools.partial(task.send, None)
