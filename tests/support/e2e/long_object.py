"""An object that takes many invocations: the function's time is cut to seconds, and the link is slow.

How many seconds is measured: on a busy machine, too, an invocation must not end before it has got anywhere.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.network import Link, start_link
from chaos.aws_proxy import aws_proxy
from local.deployment import configure_function, hide_messages_for
from local.sftp_server import RunningServer, start_asyncssh_server
from tests.support.e2e.bundles import Bundles
from tests.support.e2e.stack_environment import StackEnvironment, deployed_stack, wait_until
from tests.support.restartable_server import RestartableServer

CONTINUATIONS = 25
_WINDOW = 128 * 1024
"""Of the server's SSH channels. What is on its way when time is up must arrive in what is left of it, so a
window of the usual 2 MiB would need an invocation that is ten times as long, and a test that is."""

_PATIENCE_SECONDS = 3000.0
_COLD_STARTS = 2.0
"""So many must fit into an invocation: what is not under way by then is little."""

_REDRIVES = 5
"""So often is the object sent on where a machine that was busy for a while has brought it no further."""


@dataclass(frozen=True, kw_only=True)
class Long:
    """An object, and the link that makes it long.

    Attributes:
        size: Bytes. What is written down are whole buffers of 1,044,480 bytes without a gap before them.
        link: To the partner. What it carries in three quarters of `timeout`, together with the windows, is
            less than two buffers for one connection and less than four for two: so many invocations it takes,
            however fast the machine is. Only at a distance does more than one connection pay, and only while
            there are 32 MiB left to send.
        connections: That the partner allows.
        timeout: Seconds of an invocation. A second login takes some of it.
    """

    size: int
    link: Link
    connections: int
    timeout: int

    def for_a_machine_that_takes(self, cold_start: float) -> Long:
        """The same in slow motion where needed: as many bytes in each invocation, but more time."""
        timeout = max(self.timeout, math.ceil(_COLD_STARTS * cold_start))
        mbit = (self.link.mbit or 0) * self.timeout / timeout
        return replace(self, timeout=timeout, link=replace(self.link, mbit=mbit))


@contextmanager
def stack_of_its_own(bundles: Bundles, folders: pytest.TempPathFactory) -> Iterator[StackEnvironment]:
    """A stack of its own: messages that other tests have left in a queue come back when they like."""
    partner = RestartableServer(folders.mktemp("partner"))
    with deployed_stack(folders.mktemp("long"), partner, bundles) as deployed:
        yield deployed
    partner.stop()


def assert_arrives(env: StackEnvironment, folder: Path, long: Long) -> None:
    """Delivers the object, and compares every byte."""
    key = f"long-{long.connections}.bin"
    body = random.Random(long.size).randbytes(long.size)
    place = env.landing_place(key)
    with _short_of_time(env, long, log=folder / "link") as server:
        _warm_up(env, f"before-{key}")
        env.put(key, body)
        ended = partial(_has_ended, env, place, iter(range(_REDRIVES)))
        wait_until(ended, f"{key} at the partner", env.explain, seconds=_PATIENCE_SECONDS)
        wait_until(lambda: bool(_entries(env, key, "delivered")), "receipt", env.explain)
        assert server.read_log().count("logged in") >= long.connections
    assert hashlib.sha256(place.read_bytes()).digest() == hashlib.sha256(body).digest()
    assert len(_continuations(env, key)) >= CONTINUATIONS
    assert not [path for path in place.parent.iterdir() if path.name.endswith(".part")]


def _has_ended(env: StackEnvironment, place: Path, redrives: Iterator[int]) -> bool:
    """Returns whether it has arrived, and redrives it when it was dead-lettered for lack of progress."""
    if not place.exists() and env.messages(env.deployment.dead_letter_queue_url):
        reason = _entries(env, place.name, "NoProgress", field="error")
        assert reason, f"{place.name} was sent to the dead-letter queue\n{env.explain()}"
        assert next(redrives, None) is not None, f"{place.name} gets nowhere\n{env.explain()}"
        env.redrive()
    return place.exists()


@contextmanager
def _short_of_time(env: StackEnvironment, long: Long, *, log: Path) -> Iterator[RunningServer]:
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
            "SSH_PORT": str(slow.port),
            "SSH_HOST_KEY": slow.host_key,
            "SSH_MAX_CONNECTIONS": str(long.connections),
        }
        configure_function(env.cloud, env.deployment, timeout=before["Timeout"], variables=variables)
        long = long.for_a_machine_that_takes(_cold_start(env, f"fast-{long.connections}.bin"))
        with start_link(long.link, to_port=slow.port, log=log) as port:
            shorter = {**variables, "SSH_PORT": str(port)}
            configure_function(env.cloud, env.deployment, timeout=long.timeout, variables=shorter)
            hide_messages_for(env.cloud, env.deployment, seconds=4 * long.timeout)
            try:
                yield slow
            finally:
                configure_function(
                    env.cloud,
                    env.deployment,
                    timeout=before["Timeout"],
                    variables={"AWS_ENDPOINT_URL": env.cloud.endpoint, **before["Environment"]["Variables"]},
                )


def _cold_start(env: StackEnvironment, key: str) -> float:
    """Seconds that the function takes to start, log in and deliver a few bytes over a fast link."""
    before = len(_durations(env))
    _warm_up(env, key)
    wait_until(lambda: len(_durations(env)) > before, "report of the invocation", env.explain)
    return max(_durations(env)[before:])


def _durations(env: StackEnvironment) -> list[float]:
    return [int(milliseconds) / 1000 for milliseconds in re.findall(r"\tDuration: (\d+) ms", env.log())]


def _warm_up(env: StackEnvironment, small: str) -> None:
    """Lets the function start and log in: two cold starts that got nowhere would count as no progress."""
    env.put(small, b"small")
    wait_until(env.landing_place(small).exists, f"{small} at the partner", env.explain)
    wait_until(lambda: not env.messages(env.deployment.queue_url), "empty queue", env.explain)


def _continuations(env: StackEnvironment, key: str) -> list[dict[str, Any]]:
    return _entries(env, key, "CheckpointSaved", field="error")


def _entries(env: StackEnvironment, key: str, value: str, *, field: str = "message") -> list[dict[str, Any]]:
    """What the function's log says of the object, as far as this field has this value."""
    return [
        entry
        for entry in env.entries()
        if f"/{key} " in f"{entry.get('object')} " and entry.get(field) == value
    ]
