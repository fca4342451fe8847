"""What goes wrong, and when. The seed gives the faults and their order; the machine, what they meet."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from chaos.environment import ChaosEnvironment
from chaos.server import Refusable
from tests.support.faults.sftp_server import FAILURE, PERMISSION_DENIED
from tests.support.faults.tcp_proxy import HEALTHY, Plan

_NATURAL_RECOVERY_SECONDS = 100.0
"""What an open breaker may take to let somebody try again by itself."""

_PATIENCE_SECONDS = 10.0
_GLANCE_SECONDS = 0.05
_FILES_BETWEEN_KILLS = 5
"""A function that is killed before it has sent a file shows nothing, and its start is what takes longest."""

Fault = Callable[[], bool | None]
"""Returns False where it did nothing."""


class FaultInjector:
    """Two hands at a time: one breaks the partner and the way to it, the other the function and its AWS.

    For a part of the time, given by the seed, the partner has no posix-rename besides.
    """

    def __init__(self, env: ChaosEnvironment, *, seed: int, seconds: float) -> None:
        """Prepares a storm.

        Args:
            env: What it strikes.
            seed: Gives faults, pauses and durations.
            seconds: How long it is to last. It ends with `end`: a slow machine takes longer to put all.
        """
        self._env = env
        self._ends_at = time.monotonic() + seconds
        self._calm = threading.Event()
        self._troubles: list[BaseException] = []
        self.struck: Counter[str] = Counter()
        self._threads = [
            threading.Thread(target=self._rage, args=(random.Random(f"{seed}/{name}"), faults), daemon=True)  # noqa: S311
            for name, faults in (("partner", self._partner_faults), ("function", self._function_faults))
        ]
        rng = random.Random(f"{seed}/software")  # noqa: S311 - not for secrets
        first, last = sorted(rng.uniform(0, seconds) for _ in range(2))
        self._threads.append(threading.Thread(target=self._other_software, args=(first, last), daemon=True))

    def begin(self) -> None:
        """Returns at once."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Waits until it is over, and leaves everything mended.

        Raises:
            Exception: What went wrong with the storm itself.
        """
        self._calm.set()
        for thread in self._threads:
            thread.join()
        self._env.mend_login()
        if self._troubles:
            raise self._troubles[0]

    def _rage(
        self, rng: random.Random, faults_of: Callable[[random.Random], Sequence[tuple[int, Fault]]]
    ) -> None:
        faults = faults_of(rng)
        weights = [weight for weight, _ in faults]
        try:
            while not self._calm.wait(rng.uniform(0.2, 1.5)) and self._has_progress():
                (_, fault) = rng.choices(faults, weights)[0]
                self.struck[fault.__name__.strip("_").replace("_", " ")] += fault() is not False
        except Exception as trouble:  # noqa: BLE001 - told by `end`
            self._troubles.append(trouble)

    def _has_progress(self) -> bool:
        """Waits until a file has arrived since the fault before, so that a slow machine is struck at work.

        What was broken may keep files from arriving: then not for long. Returns False at the end.
        """
        before = self._env.partner.records.renames
        patience = time.monotonic() + _PATIENCE_SECONDS
        while self._env.partner.records.renames == before and time.monotonic() < patience:
            if self._calm.wait(_GLANCE_SECONDS):
                return False
        return True

    def _other_software(self, first: float, last: float) -> None:
        """For one period the partner is a software without posix-rename."""
        try:
            if self._calm.wait(first):
                return
            self.struck["period without posix-rename"] += 1
            self._env.partner.hide_posix_rename()
            self._calm.wait(last - first)
            self._env.partner.show_posix_rename()
        except Exception as trouble:  # noqa: BLE001 - told by `end`
            self._troubles.append(trouble)

    def _partner_faults(self, rng: random.Random) -> Sequence[tuple[int, Fault]]:
        partner = self._env.partner

        def connections_cut() -> None:
            partner.line.cut()

        def connections_stalled() -> None:
            partner.line.stall()

        def connections_reset_after_some_bytes() -> None:
            self._plan(rng, Plan(action="reset", to_server=rng.choice([1_000, 5_000, 100_000, 2_000_000])))

        def answers_cut_after_some_bytes() -> None:
            self._plan(rng, Plan(action="cut", to_client=rng.choice([10, 1_500, 3_000, 10_000])))

        def slow_to_accept() -> None:
            self._plan(rng, Plan(accept_delay=rng.uniform(0.5, 2)))

        def port_closed() -> None:
            partner.close_port()
            self._last(rng, 1, 5)
            partner.open_port()
            self._perhaps_mend_login()

        def server_stopped() -> None:
            partner.stop_server()
            self._last(rng, 1, 5)
            partner.start_server()
            self._perhaps_mend_login()

        def disk_full() -> None:
            partner.disk.is_full = True
            self._last(rng, 1, 4)
            partner.disk.is_full = False

        def temporary_files_removed() -> None:
            partner.tidy_up(rng)

        def disk_backed_up() -> None:
            partner.back_up()

        def disk_exchanged() -> None:
            partner.exchange_disk(empty=rng.random() < 0.5)
            self._perhaps_mend_login()

        def power_lost() -> None:
            partner.lose_power(rng)
            self._perhaps_mend_login()

        def renames_hanging() -> None:
            partner.temper.hanging = rng.randint(1, 4)
            self._last(rng, 1, 4)
            partner.temper.hanging = 0
            self._perhaps_mend_login()

        def requests_refused() -> None:
            code = rng.choice([PERMISSION_DENIED, FAILURE])
            which: list[Refusable] = rng.choice([["open"], ["rename"], ["open", "rename"]])
            partner.temper.refusing = dict.fromkeys(which, code)
            self._last(rng, 1, 6)
            partner.temper.refusing = {}
            self._perhaps_mend_login()

        def handles_limited() -> None:
            partner.temper.too_many = rng.choice([PERMISSION_DENIED, FAILURE])
            partner.temper.most_handles = rng.choice([1, 2, 4])
            self._last(rng, 2, 8)
            partner.temper.most_handles = None
            self._perhaps_mend_login()

        def disk_slow() -> None:
            partner.disk.bytes_per_second = rng.choice([0.3e6, 1e6])
            self._last(rng, 4, 12)
            partner.disk.bytes_per_second = None

        return [
            (4, connections_cut),
            (1, connections_stalled),
            (2, connections_reset_after_some_bytes),
            (2, answers_cut_after_some_bytes),
            (1, slow_to_accept),
            (1, port_closed),
            (1, server_stopped),
            (1, disk_full),
            (2, disk_slow),
            (3, temporary_files_removed),
            (1, disk_backed_up),
            (1, disk_exchanged),
            (2, power_lost),
            (4, renames_hanging),
            (2, requests_refused),
            (2, handles_limited),
        ]

    def _function_faults(self, rng: random.Random) -> Sequence[tuple[int, Fault]]:
        env, fault_schedule = self._env, self._env.fault_schedule

        killed_at = -_FILES_BETWEEN_KILLS

        def may_kill() -> bool:
            nonlocal killed_at
            renames = env.partner.records.renames
            if renames < killed_at + _FILES_BETWEEN_KILLS:
                return False
            killed_at = renames
            return True

        def one_function_killed() -> bool:
            workers = env.function_processes() if may_kill() else []
            return bool(workers) and _kill(rng.choice(workers))

        def all_functions_killed() -> bool:
            workers = env.function_processes() if may_kill() else []
            return sum(map(_kill, workers)) > 0

        def events_doubled() -> None:
            events = env.events()
            env.send(rng.sample(events, min(len(events), 5)))

        def old_events_replayed_backwards() -> None:
            events = env.events()
            if events:
                key = rng.choice(events).key
                env.send(list(reversed([event for event in events if event.key == key])))

        def throttled() -> None:
            fault_schedule.throttled = rng.choice([0.3, 0.9, 1.0])
            self._last(rng, 1, 4)
            fault_schedule.clear()

        def answers_lost() -> None:
            fault_schedule.unanswered = rng.choice([0.1, 0.5])
            self._last(rng, 1, 4)
            fault_schedule.clear()

        def bodies_cut() -> None:
            fault_schedule.cut = 0.5
            self._last(rng, 1, 3)
            fault_schedule.clear()

        return [
            (3, one_function_killed),
            (1, all_functions_killed),
            (3, events_doubled),
            (3, old_events_replayed_backwards),
            (3, throttled),
            (3, answers_lost),
            (1, bodies_cut),
        ]

    def _plan(self, rng: random.Random, plan: Plan) -> None:
        line = self._env.partner.line
        line.plan = plan
        self._last(rng, 0.5, 3)
        line.plan = HEALTHY
        self._perhaps_mend_login()

    def _last(self, rng: random.Random, shortest: float, longest: float) -> None:
        self._calm.wait(rng.uniform(shortest, longest))

    def _perhaps_mend_login(self) -> None:
        """What an operator does who is told that the partner was unavailable.

        Left out where there is time for the breaker to recover by itself.
        """
        if self._ends_at - time.monotonic() < _NATURAL_RECOVERY_SECONDS:
            self._env.mend_login()


def _kill(process: int) -> bool:
    """Returns whether it was there."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
