"""Which faults happen, and when. The seed determines the faults and their order; timing is the machine's."""

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
"""The longest time until an open circuit breaker admits a try by itself."""

_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 0.05
_FILES_BETWEEN_KILLS = 5
"""Killing a function before it has sent a file tests nothing, and a cold start takes longest."""

Fault = Callable[[], bool | None]
"""Returns False if it did nothing."""


class FaultInjector:
    """Injects two faults at a time: one in the partner and its network, one in the function and its AWS.

    In addition, the partner lacks posix-rename for a period that the seed determines.
    """

    def __init__(self, env: ChaosEnvironment, *, seed: int, seconds: float) -> None:
        """Prepares the threads.

        Args:
            env: Where to inject faults.
            seed: Determines faults, pauses and durations.
            seconds: Planned duration. Injection ends with `end`: a slow machine takes longer to put all.
        """
        self._env = env
        self._ends_at = time.monotonic() + seconds
        self._stopped = threading.Event()
        self._errors: list[BaseException] = []
        self.injected: Counter[str] = Counter()
        self._threads = [
            threading.Thread(target=self._inject, args=(random.Random(f"{seed}/{name}"), faults), daemon=True)  # noqa: S311
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
        """Waits until the last fault has ended, and restores everything.

        Raises:
            Exception: The fault injector itself failed.
        """
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._env.restore_login()
        if self._errors:
            raise self._errors[0]

    def _inject(
        self, rng: random.Random, faults_of: Callable[[random.Random], Sequence[tuple[int, Fault]]]
    ) -> None:
        faults = faults_of(rng)
        weights = [weight for weight, _ in faults]
        try:
            while not self._stopped.wait(rng.uniform(0.2, 1.5)) and self._has_progress():
                (_, fault) = rng.choices(faults, weights)[0]
                self.injected[fault.__name__.strip("_").replace("_", " ")] += fault() is not False
        except Exception as error:  # noqa: BLE001 - raised by `end`
            self._errors.append(error)

    def _has_progress(self) -> bool:
        """Waits until a file has arrived since the previous fault, so that a slow machine makes progress.

        The fault may prevent any arrival, so the wait is limited. Returns False at the end.
        """
        before = self._env.partner.records.renames
        patience = time.monotonic() + _TIMEOUT_SECONDS
        while self._env.partner.records.renames == before and time.monotonic() < patience:
            if self._stopped.wait(_POLL_SECONDS):
                return False
        return True

    def _other_software(self, first: float, last: float) -> None:
        """For one period the partner runs software without posix-rename."""
        try:
            if self._stopped.wait(first):
                return
            self.injected["period without posix-rename"] += 1
            self._env.partner.hide_posix_rename()
            self._stopped.wait(last - first)
            self._env.partner.show_posix_rename()
        except Exception as error:  # noqa: BLE001 - raised by `end`
            self._errors.append(error)

    def _partner_faults(self, rng: random.Random) -> Sequence[tuple[int, Fault]]:
        partner = self._env.partner

        def connections_cut() -> None:
            partner.proxy.cut()

        def connections_stalled() -> None:
            partner.proxy.stall()

        def connections_reset_after_some_bytes() -> None:
            self._plan(rng, Plan(action="reset", to_server=rng.choice([1_000, 5_000, 100_000, 2_000_000])))

        def answers_cut_after_some_bytes() -> None:
            self._plan(rng, Plan(action="cut", to_client=rng.choice([10, 1_500, 3_000, 10_000])))

        def slow_to_accept() -> None:
            self._plan(rng, Plan(accept_delay=rng.uniform(0.5, 2)))

        def port_closed() -> None:
            partner.close_port()
            self._wait(rng, 1, 5)
            partner.open_port()
            self._maybe_restore_login()

        def server_stopped() -> None:
            partner.stop_server()
            self._wait(rng, 1, 5)
            partner.start_server()
            self._maybe_restore_login()

        def disk_full() -> None:
            partner.disk.is_full = True
            self._wait(rng, 1, 4)
            partner.disk.is_full = False

        def temporary_files_removed() -> None:
            partner.remove_temporary_files(rng)

        def disk_backed_up() -> None:
            partner.back_up()

        def disk_exchanged() -> None:
            partner.replace_disk(empty=rng.random() < 0.5)
            self._maybe_restore_login()

        def power_lost() -> None:
            partner.lose_power(rng)
            self._maybe_restore_login()

        def renames_hanging() -> None:
            partner.server_faults.hanging = rng.randint(1, 4)
            self._wait(rng, 1, 4)
            partner.server_faults.hanging = 0
            self._maybe_restore_login()

        def requests_refused() -> None:
            code = rng.choice([PERMISSION_DENIED, FAILURE])
            which: list[Refusable] = rng.choice([["open"], ["rename"], ["open", "rename"]])
            partner.server_faults.refusing = dict.fromkeys(which, code)
            self._wait(rng, 1, 6)
            partner.server_faults.refusing = {}
            self._maybe_restore_login()

        def handles_limited() -> None:
            partner.server_faults.too_many = rng.choice([PERMISSION_DENIED, FAILURE])
            partner.server_faults.most_handles = rng.choice([1, 2, 4])
            self._wait(rng, 2, 8)
            partner.server_faults.most_handles = None
            self._maybe_restore_login()

        def disk_slow() -> None:
            partner.disk.bytes_per_second = rng.choice([0.3e6, 1e6])
            self._wait(rng, 4, 12)
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
            self._wait(rng, 1, 4)
            fault_schedule.clear()

        def answers_lost() -> None:
            fault_schedule.unanswered = rng.choice([0.1, 0.5])
            self._wait(rng, 1, 4)
            fault_schedule.clear()

        def bodies_cut() -> None:
            fault_schedule.cut = 0.5
            self._wait(rng, 1, 3)
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
        proxy = self._env.partner.proxy
        proxy.plan = plan
        self._wait(rng, 0.5, 3)
        proxy.plan = HEALTHY
        self._maybe_restore_login()

    def _wait(self, rng: random.Random, shortest: float, longest: float) -> None:
        self._stopped.wait(rng.uniform(shortest, longest))

    def _maybe_restore_login(self) -> None:
        """Does what an operator does after the alarm about the partner.

        Skipped while there is time for the circuit breaker to recover by itself.
        """
        if self._ends_at - time.monotonic() < _NATURAL_RECOVERY_SECONDS:
            self._env.restore_login()


def _kill(process: int) -> bool:
    """Returns whether the process existed."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
