"""The crash matrix: a function may be killed at any step, and each object still arrives complete and once.

Every step of a delivery is a line of the tables in crash_driver.py. The process is killed there with SIGKILL;
its messages come back to a process that knows of it only what is in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.cloud import LocalCloud
from s3_to_sftp.sftp.protocol import POSIX_RENAME
from tests.support.crash_driver import PAUSING_STEPS, PROBING_STEPS, REPLACING_STEPS, STEPS, WRITE_BYTES
from tests.support.crash_environment import CrashEnvironment, CrashingFunction, crash_environment
from tests.support.faults.sftp_server import without_extensions
from tests.support.noise import noise

SMALL = noise(2 * WRITE_BYTES + 1)
LARGE = noise(24 * WRITE_BYTES + 1)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What is delivered, and how.

    Attributes:
        objects: Key -> bytes; all are announced in one batch.
        streams: Connections over which a large one is sent.
        pause_after: WRITEs after which a first invocation ends; None: one invocation suffices.
    """

    objects: dict[str, bytes]
    streams: int = 1
    pause_after: int | None = None


ATTEMPTS = {
    "one small object": Attempt(objects={"a.csv": SMALL}),
    "a batch of small objects": Attempt(objects={f"{name}.csv": SMALL[ord(name) :] for name in "abc"}),
    "a large object": Attempt(objects={"a.bin": LARGE}),
    "a large object over streams": Attempt(objects={"a.bin": LARGE}, streams=3),
    "a continuation": Attempt(objects={"a.bin": LARGE}, pause_after=9),
    "a continuation over streams": Attempt(objects={"a.bin": LARGE}, streams=3, pause_after=9),
}
CONTINUATIONS = [name for name, attempt in ATTEMPTS.items() if attempt.pause_after]

Announce = Callable[..., CrashEnvironment]


@pytest.fixture(scope="module")
def function(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrashingFunction]:
    with CrashingFunction.started(cloud, tmp_path_factory.mktemp("function") / "log") as function:
        yield function


@pytest.fixture
def announce(cloud: LocalCloud, function: CrashingFunction, root: Path) -> Iterator[Announce]:
    """Announces an attempt in an environment of its own, and watches for partial files."""
    with ExitStack() as stack:

        def announce(attempt: str, *, over_old_files: bool = False) -> CrashEnvironment:
            streams = ATTEMPTS[attempt].streams
            env = stack.enter_context(crash_environment(cloud, function, root, streams=streams))
            env.announce(ATTEMPTS[attempt].objects)
            if over_old_files:
                env.put_old_files()
            stack.enter_context(env.no_partial_file_is_seen())
            return env

        yield announce


def pause(env: CrashEnvironment, attempt: str, *, dies: str = "") -> None:
    """Let a first invocation send what it has time for, where one invocation does not suffice."""
    pause_after = ATTEMPTS[attempt].pause_after
    if pause_after is not None:
        assert env.invoke(pause_after=pause_after, dies=dies) == 1


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_function_that_is_not_killed_uses_the_streams_and_invocations_of_its_attempt(
    attempt: str, announce: Announce
) -> None:
    # Otherwise the matrix could pass with fewer streams, or without continuations.
    env = announce(attempt)
    pause(env, attempt)
    assert env.invoke() == len(ATTEMPTS[attempt].objects)
    assert env.invoke() == 0
    env.assert_delivered_once()
    for key in ATTEMPTS[attempt].objects:
        assert env.receipt(key)["streams"] == {"N": str(ATTEMPTS[attempt].streams)}
        assert env.receipt(key)["attempt"] == {"N": "2" if attempt in CONTINUATIONS else "1"}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_object_is_delivered_once_after_a_kill_at_any_step(
    attempt: str, step: str, announce: Announce
) -> None:
    env = announce(attempt)
    pause(env, attempt)
    env.invoke(dies=step)
    env.redeliver()
    env.assert_delivered_once()


@pytest.mark.parametrize("step", PAUSING_STEPS)
@pytest.mark.parametrize("attempt", CONTINUATIONS)
def test_object_is_delivered_once_after_a_kill_while_its_checkpoint_is_saved(
    attempt: str, step: str, announce: Announce
) -> None:
    env = announce(attempt)
    pause(env, attempt, dies=step)
    env.redeliver()
    env.assert_delivered_once()


@pytest.mark.parametrize("step", PROBING_STEPS)
def test_kill_during_the_probe_for_parallel_writes_leaves_no_file(step: str, announce: Announce) -> None:
    env = announce("a large object over streams")
    env.invoke(dies=step)
    env.redeliver()
    env.assert_delivered_once()


@pytest.mark.parametrize("step", ["after OPEN", "before CLOSE"])
def test_kill_during_the_probe_for_resuming_leaves_no_file(step: str, announce: Announce) -> None:
    # With so little time, the first file that is opened is the probe's.
    env = announce("a large object")
    env.invoke(dies=step, seconds=0.1)
    env.redeliver()
    env.assert_delivered_once()


@pytest.mark.parametrize("step", REPLACING_STEPS)
@pytest.mark.parametrize("attempt", ["one small object", "a large object"])
def test_object_is_delivered_once_after_a_kill_while_it_replaces_a_file(
    attempt: str, step: str, announce: Announce
) -> None:
    with without_extensions(POSIX_RENAME):
        env = announce(attempt, over_old_files=True)
        env.invoke(dies=step)
        env.redeliver()
    env.assert_delivered_once()


@pytest.mark.parametrize("step", ["mid-write", "after the commit, before RENAME"])
@pytest.mark.parametrize("attempt", ["a batch of small objects", "a continuation over streams"])
def test_object_is_delivered_once_after_two_kills(attempt: str, step: str, announce: Announce) -> None:
    env = announce(attempt)
    pause(env, attempt)
    env.invoke(dies="mid-write")
    env.invoke(dies=step)
    env.redeliver()
    env.assert_delivered_once()


@pytest.mark.parametrize("step", ["after the record", "before the acknowledgement"])
@pytest.mark.parametrize("attempt", ["one small object", "a continuation over streams"])
def test_recorded_delivery_makes_no_further_connection(attempt: str, step: str, announce: Announce) -> None:
    env = announce(attempt)
    pause(env, attempt)
    env.invoke(dies=step)
    before = env.connections()
    env.redeliver()
    assert env.connections() == before
