"""Starts one client and measures it. Run as a script, `python -I -S launch.py SPEC`, never imported.

A process of its own because a child's peak memory starts at that of the process it was forked from: from the
harness, with everything that it has loaded, every small tool would look large. From here the floor is 10 MB.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

SPEC = json.loads(sys.argv[1])
"""command, stdout (path), result (path), cgroup (paths of `cgroup.procs` to join), run_s and rest_s (a duty
cycle instead of a cgroup, 0 = none)."""


def _join_cgroup() -> None:
    for path in SPEC["cgroup"]:
        with open(path, "w") as members:  # noqa: PTH123 - pathlib costs memory that the child inherits
            members.write(str(os.getpid()))


def _spawn() -> int:
    output = (os.POSIX_SPAWN_OPEN, 1, SPEC["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    command = SPEC["command"]
    if SPEC["rest_s"]:  # a duty cycle stops and continues a whole process group
        return os.posix_spawnp(command[0], command, os.environ, file_actions=[output], setpgroup=0)
    return os.posix_spawnp(command[0], command, os.environ, file_actions=[output])


def _adopt_orphans() -> None:
    # lftp does not reap its ssh processes; their CPU time belongs to its cost.
    import ctypes  # after the start of the client, whose floor would rise with our memory

    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wait(pid: int) -> int:
    if not SPEC["rest_s"]:
        return os.waitpid(pid, 0)[1]
    os.sched_setaffinity(pid, {min(os.sched_getaffinity(0))})
    while True:
        time.sleep(SPEC["run_s"])
        os.killpg(pid, signal.SIGSTOP)
        time.sleep(SPEC["rest_s"])
        os.killpg(pid, signal.SIGCONT)
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status


def _reap_orphans() -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _main() -> None:
    _join_cgroup()
    begun = time.monotonic()
    pid = _spawn()
    _adopt_orphans()
    status = _wait(pid)
    wall = time.monotonic() - begun
    _reap_orphans()
    import resource  # late for the same reason as ctypes

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = {
        "wall_s": wall,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_rss_mb": used.ru_maxrss * 1024 / 1e6,
        "status": os.waitstatus_to_exitcode(status),
    }
    with open(SPEC["result"], "w") as file:  # noqa: PTH123 - as above
        json.dump(result, file)


_main()
