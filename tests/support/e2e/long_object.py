"""An object that takes many invocations: the function has seconds for each, and the link is slow.

The length of an invocation follows from what it achieves, not from the speed of this machine: when
invocations save no checkpoint, both the function and the link get slower, so that an invocation has twice the
time for the same number of bytes.
"""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bench.network import Link, start_link
from chaos.aws_proxy import aws_proxy
from local.deployment import configure_function, hide_messages_for
from local.sftp_server import RunningServer, start_asyncssh_server
from tests.support.e2e.bundles import Bundles
from tests.support.e2e.stack_environment import StackEnvironment, deployed_stack, wait_until
from tests.support.restartable_server import RestartableServer

_WINDOW = 128 * 1024
"""Of the server's SSH channels. What is in flight when the time is up must arrive in the rest of the
invocation, so the usual window of 2 MiB would need invocations, and a test, of ten times the length."""

_LONGEST_INVOCATION_SECONDS = 900
"""The limit of Lambda."""

_STALLED_INVOCATIONS = 10
"""After the time of so many invocations without a checkpoint they get longer: functions may have been killed
while they started, which leaves no trace in the log."""

_PATIENCE_SECONDS = 3000.0
"""Without a checkpoint: the limit for a delivery that hangs."""

_POLL_SECONDS = 1.0  # reading the log is work for the emulator, too


@dataclass(frozen=True, kw_only=True)
class LongObject:
    """An object, and the link that makes its delivery long.

    Attributes:
        size: Bytes. A checkpoint names whole blocks of 261,120 bytes without a gap before them.
        link: To the partner. What it carries in three quarters of `timeout`, together with the windows, sets
            the number of invocations, however fast the machine is. More than one connection pays only at a
            distance, and only while there are 32 MiB left to send.
        connections: The connection limit of the partner.
        timeout: Seconds of an invocation. A second login uses some of them.
        continuations: The least number of checkpoints.
    """

    size: int
    link: Link
    connections: int
    timeout: int
    continuations: int

    def slowed(self) -> LongObject:
        """Return the same with twice the time for an invocation, and as many bytes in each."""
        timeout = min(2 * self.timeout, _LONGEST_INVOCATION_SECONDS)
        mbit = (self.link.mbit or 0) * self.timeout / timeout
        return replace(self, timeout=timeout, link=replace(self.link, mbit=mbit))


@dataclass(kw_only=True)
class _SlowMotion:
    """The deployed function and its link to the partner, both as slow as this machine needs them.

    Attributes:
        env: The deployed stack.
        server: The partner's server behind the link.
        variables: Environment variables of the function, except the port.
        long: What is delivered, and at which speed now.
        folder: Takes the logs of the link.
    """

    env: StackEnvironment
    server: RunningServer
    variables: Mapping[str, str]
    long: LongObject
    folder: Path
    _link: ExitStack = field(default_factory=ExitStack)
    _port: int | None = None

    def start(self) -> None:
        """Start the link at its speed, and give the function its time."""
        self._link.close()
        log = self.folder / f"link-{self.long.timeout}"
        # The same port at every speed: a checkpoint belongs to one server.
        link = start_link(self.long.link, to_port=self.server.port, port=self._port, log=log)
        self._port = self._link.enter_context(link)
        configure_function(
            self.env.cloud,
            self.env.deployment,
            timeout=self.long.timeout,
            variables={**self.variables, "SSH_PORT": str(self._port)},
        )
        hide_messages_for(self.env.cloud, self.env.deployment, seconds=4 * self.long.timeout)

    def slow_down(self) -> None:
        """Halve the speed of everything."""
        is_slowest = self.long.timeout == _LONGEST_INVOCATION_SECONDS
        assert not is_slowest, f"no progress in invocations of {self.long.timeout} s\n{self.env.explain()}"
        self.long = self.long.slowed()
        self.start()

    def stop(self) -> None:
        self._link.close()


@contextmanager
def own_stack(bundles: Bundles, folders: pytest.TempPathFactory) -> Iterator[StackEnvironment]:
    """Deploys a stack for long objects alone: messages of other tests could come back at any time."""
    partner = RestartableServer(folders.mktemp("partner"))
    with deployed_stack(folders.mktemp("long"), partner, bundles) as deployed:
        yield deployed
    partner.stop()


def assert_arrives(env: StackEnvironment, folder: Path, long: LongObject) -> None:
    """Deliver the object, and assert that every byte arrives, and that it took its continuations."""
    key = f"long-{long.connections}.bin"
    body = random.Random(long.size).randbytes(long.size)
    path = env.landing_place(key)
    with _slow_motion(env, long, folder) as motion:
        env.put(key, body)
        _wait_until_arrived(env, motion, path)
        wait_until(lambda: _is_delivered(env, key), "receipt", env.explain)
        assert motion.server.read_log().count("logged in") >= long.connections
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(body).digest()
    assert len(_checkpoints(env, key)) >= long.continuations
    assert not [path for path in path.parent.iterdir() if path.name.endswith(".part")]


def _wait_until_arrived(env: StackEnvironment, motion: _SlowMotion, path: Path) -> None:
    """Wait, and slow down whenever invocations have saved no checkpoint."""
    known = 0
    progressed_at = slowed_at = time.monotonic()
    while not path.exists():
        time.sleep(_POLL_SECONDS)
        now = time.monotonic()
        if (number := len(_checkpoints(env, path.name))) > known:
            known, progressed_at = number, now
        assert now - progressed_at < _PATIENCE_SECONDS, f"{path.name} hangs\n{env.explain()}"
        stalled_for = now - max(progressed_at, slowed_at)
        is_dead_lettered = bool(env.messages(env.deployment.dead_letter_queue_url))
        if is_dead_lettered or stalled_for > _STALLED_INVOCATIONS * motion.long.timeout:
            motion.slow_down()
            slowed_at = time.monotonic()
            while env.messages(env.deployment.dead_letter_queue_url):
                # Without an error: SQS itself moved it, since the function was killed too often.
                errors = set(env.redrive())
                assert errors <= {"NoProgress", ""}, f"{errors}\n{env.explain()}"


@contextmanager
def _slow_motion(env: StackEnvironment, long: LongObject, folder: Path) -> Iterator[_SlowMotion]:
    """Gives the function seconds, and a link on which these suffice for a small part of the object."""
    queue = env.deployment.queue_url
    wait_until(lambda: not env.messages(queue), "empty queue", env.explain)
    before = env.cloud.client("lambda").get_function_configuration(FunctionName=env.deployment.function)
    server = start_asyncssh_server(
        env.partner.root, password=env.partner.password, options={"window": _WINDOW}
    )
    # The proxy adds what the emulator lacks: ranges of an object version.
    proxy = aws_proxy(env.cloud.endpoint, random.Random())
    with server as slow, proxy as (aws, _):
        variables = {
            "AWS_ENDPOINT_URL": aws,
            "SSH_HOST_KEY": slow.host_key,
            "SSH_MAX_CONNECTIONS": str(long.connections),
        }
        motion = _SlowMotion(env=env, server=slow, variables=variables, long=long, folder=folder)
        try:
            motion.start()
            yield motion
        finally:
            motion.stop()
            configure_function(
                env.cloud,
                env.deployment,
                timeout=before["Timeout"],
                variables={"AWS_ENDPOINT_URL": env.cloud.endpoint, **before["Environment"]["Variables"]},
            )


def _is_delivered(env: StackEnvironment, key: str) -> bool:
    return any(
        entry.get("message") == "delivered" and f"/{key} " in f"{entry.get('object')} "
        for entry in env.entries()
    )


def _checkpoints(env: StackEnvironment, key: str) -> set[int]:
    """The offsets of the checkpoints of the object, as the function has logged them."""
    reasons = (
        str(entry.get("message"))
        for entry in env.entries()
        if entry.get("error") == "CheckpointSaved" and f"/{key} " in f"{entry.get('object')} "
    )
    return {int(found[1]) for reason in reasons if (found := re.search(r"(\d+) of \d+ bytes of", reason))}
