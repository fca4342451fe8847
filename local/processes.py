"""Child processes that never outlive the block that started them."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

LOOPBACK = "127.0.0.1"

# Limits for hanging processes, not slow ones: a busy machine may take ten times as long as an idle one.
_START_SECONDS = 120.0
_STOP_SECONDS = 2.0
_PORT_ATTEMPTS = 5
_PORTS = range(20_000, 32_768)
"""Below the ephemeral ports: no outgoing connection takes one while its server is stopped."""


class CannotRun(RuntimeError):
    """A required program is missing or failed; the text names it and holds the end of its output."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How to start a server.

    Attributes:
        command: Program and arguments.
        env: Its complete environment; None inherits ours.
        ready: The text that it logs once it listens.
    """

    command: Sequence[str | Path]
    env: Mapping[str, str] | None = None
    ready: str


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `command` until the block ends, then ends it together with everything it started.

    It gets its own session, so that Ctrl-C reaches only this process, which decides the order of the end.
    Output of both streams goes to `log`.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def run(
    command: Sequence[str | Path],
    *,
    log: Path,
    seconds: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Runs `command` to its end; an interrupt ends it, too.

    Raises:
        CannotRun: Its exit status is not 0, or it took longer than `seconds`.
    """
    shown = " ".join(str(part) for part in command)
    with running(command, log=log, env=env, cwd=cwd) as process:
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise CannotRun(f"did not end within {seconds:.0f} s: {shown}\n{tail(log)}") from None
    if status:
        raise CannotRun(f"exit status {status} from: {shown}\n{tail(log)}")


@contextmanager
def server_on_a_free_port(
    name: str,
    launch: Callable[[int], Launch],
    *,
    log: Path,
    port: int | None = None,
) -> Iterator[int]:
    """Runs a server whose port is an argument; yields the port once it listens.

    Another process may take the free port first. Then another one is tried, unless `port` is given.

    Raises:
        CannotRun: The server did not come up.
    """
    for attempt in range(1, _PORT_ATTEMPTS + 1):
        chosen = port or free_port()
        how = launch(chosen)
        with running(how.command, log=log, env=how.env) as process:
            if _says(process, log, how.ready):
                yield chosen
                return
        if port or attempt == _PORT_ATTEMPTS or "already in use" not in read(log):
            break
    raise CannotRun(f"{name} did not start on {LOOPBACK}:{chosen}. It said:\n{tail(log)}")


def read(log: Path) -> str:
    """Returns the text of a log so far, whatever its bytes."""
    return log.read_text(errors="replace")


def tail(log: Path, lines: int = 40) -> str:
    """Returns the last lines of a log."""
    return "\n".join(read(log).splitlines()[-lines:])


def end_on_signals() -> None:
    """Makes SIGTERM and SIGHUP unwind every open block, as Ctrl-C does; only the first one counts."""
    for number in _ENDING:
        signal.signal(number, _leave)


_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    for other in _ENDING:
        signal.signal(other, signal.SIG_IGN)  # a second one must not cut the cleanup short
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def free_port() -> int:
    """Returns a port on loopback on which nothing listens now.

    Raises:
        CannotRun: None was found.
    """
    # Not the shared generator: hypothesis gives it the same seed in all processes. From there on in turn.
    first = random.SystemRandom().randrange(len(_PORTS))
    for number in range(len(_PORTS)):
        port = _PORTS[(first + number) % len(_PORTS)]
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            probe.bind((LOOPBACK, port))
            return port
    raise CannotRun(f"no port is free on {LOOPBACK} among {_PORTS.start}-{_PORTS.stop - 1}")


def _says(process: subprocess.Popen[bytes], log: Path, text: str) -> bool:
    # Read from its log, not tried by connecting: the server of another process may answer on that port.
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if text in read(log):
            return True
        time.sleep(0.02)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    # Listed before the end, since orphans have another parent. Needed besides the process group, because sshd
    # gives each connection its own session.
    descendants = _descendants(process.pid)
    _signal_group(process.pid, signal.SIGTERM)
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    finally:
        _signal_group(process.pid, signal.SIGKILL)
        for pid in descendants:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    # PermissionError: what macOS answers for a group that holds only zombies.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _descendants(root: int) -> list[int]:
    try:
        listing = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
        ).stdout
    except FileNotFoundError:  # a slim container has no ps: the process group must suffice
        return []
    children: dict[int, list[int]] = {}
    for line in listing.splitlines():
        pid, parent = (int(number) for number in line.split())
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    waiting = [root]
    while waiting:
        offspring = children.get(waiting.pop(), [])
        found += offspring
        waiting += offspring
    return found
