"""Runs many SFTP tasks at a time over one connection, in the calling thread.

A task is a coroutine. While it waits for a reply, the others run, and what they all send meanwhile travels
together. There is no event loop.
"""

import contextlib
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Generic, NamedTuple, TypeVar

from s3_to_sftp.errors import TransferError
from s3_to_sftp.sftp.wire import Pending, Wire

T = TypeVar("T")
SftpTask = Coroutine["Pending[Any] | ExternalFuture[Any]", None, T]
"""A coroutine that awaits replies of the server, or the work of other threads."""


class ExternalFuture(Generic[T]):
    """The result of work that another thread does. A task awaits it.

    The scheduler looks for it when a reply has arrived, or when no task waits for a reply.
    """

    __slots__ = ("future",)

    def __init__(self, future: "Future[T]") -> None:
        self.future = future

    def __await__(self) -> Generator["ExternalFuture[T]", None, T]:
        """Wait for the result; raise what the work raised."""
        while not self.future.done():
            yield self
        return self.future.result()


def run_tasks(
    wire: Wire, tasks: Iterable[SftpTask[T]], *, at_a_time: int | Callable[[], int] = 1
) -> Iterator[tuple[int, T | Exception]]:
    """Run tasks, some at a time, and yield their outcomes as they end.

    Args:
        wire: Sends their requests and receives the replies.
        tasks: Started in this order, each as soon as there is room for it.
        at_a_time: How many may be running; a function is asked before each is started.

    Yields:
        The task's place in the order, and its result or the exception that it raised.
    """
    upcoming = enumerate(tasks)
    running: _Running[T] = _Running()
    exhausted = False
    limit = at_a_time if callable(at_a_time) else lambda: at_a_time
    try:
        while not exhausted or running.count():
            while not exhausted and running.count() < limit():
                following = next(upcoming, None)
                exhausted = following is None
                if following is not None:
                    running.advance(*following)
            if not running.ended:
                _wait_and_advance(wire, running)
            ended, running.ended = running.ended, []
            yield from ended
    finally:  # the caller wants no more outcomes
        for waiting in running.on_replies.values():
            wire.abandon(waiting.waits_for)
        running.close()


def _wait_and_advance(wire: Wire, running: "_Running[T]") -> None:
    """Wait until a task can continue, and let it."""
    if running.advance_external():
        return
    if running.on_replies:
        _receive_for(wire, running)
    elif running.on_futures:
        with contextlib.suppress(TransferError):  # raised to the task that sends the next request
            wire.flush("go on")
        wait([waiting.waits_for.future for waiting in running.on_futures], return_when=FIRST_COMPLETED)


def _receive_for(wire: Wire, running: "_Running[T]") -> None:
    try:
        arrived = wire.receive(next(iter(running.on_replies.values())).waits_for.doing)
    except TransferError as error:
        running.throw(error)
        return
    for request_id in arrived:
        running.reply_arrived(request_id)


class _Waiting(NamedTuple, Generic[T]):
    """A task and what it waits for."""

    place: int
    task: SftpTask[T]
    waits_for: Any


class _Running(Generic[T]):
    """The tasks that have started and not ended, by what they wait for.

    Attributes:
        on_replies: Those that wait for a reply, by request id.
        on_futures: Those that wait for another thread.
        ended: The outcomes that have not been yielded yet.
    """

    def __init__(self) -> None:
        self.on_replies: dict[int, _Waiting[T]] = {}
        self.on_futures: list[_Waiting[T]] = []
        self.ended: list[tuple[int, T | Exception]] = []

    def count(self) -> int:
        """Return how many have not ended."""
        return len(self.on_replies) + len(self.on_futures)

    def advance(self, place: int, task: SftpTask[T], error: Exception | None = None) -> None:
        """Let a task run to its next wait, or to its end."""
        try:
            waits_for = task.throw(error) if error else task.send(None)
        except StopIteration as end:
            self.ended.append((place, end.value))
        except Exception as failure:  # noqa: BLE001 - it is the task's outcome
            self.ended.append((place, failure))
        else:
            waiting = _Waiting(place, task, waits_for)
            if isinstance(waits_for, ExternalFuture):
                self.on_futures.append(waiting)
            else:
                self.on_replies[waits_for.id] = waiting

    def reply_arrived(self, request_id: int) -> None:
        """Advance the task that waits for this reply, if there is one."""
        if request_id in self.on_replies:
            waiting = self.on_replies.pop(request_id)
            self.advance(waiting.place, waiting.task)

    def advance_external(self) -> bool:
        """Advance the tasks whose futures are done; return whether there were any."""
        done = [waiting for waiting in self.on_futures if waiting.waits_for.future.done()]
        for waiting in done:
            self.on_futures.remove(waiting)
            self.advance(waiting.place, waiting.task)
        return bool(done)

    def throw(self, error: Exception) -> None:
        """Raise the error in each task that waits for a reply. Those that wait for other threads stay."""
        failed, self.on_replies = list(self.on_replies.values()), {}
        for waiting in failed:
            self.advance(waiting.place, waiting.task, error)

    def close(self) -> None:
        """End all tasks where they are."""
        for waiting in (*self.on_replies.values(), *self.on_futures):
            waiting.task.close()
