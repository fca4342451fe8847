"""Sends objects through the deployed stack while faults are injected, and reconciles the outcomes.

Connections are cut, stalled and reset; functions are killed; notifications arrive twice, late and out of
order; keys are overwritten while their old version is in flight; AWS throttles requests and drops responses;
the partner goes down and comes back with a full or slow disk, with another disk, or after a power failure. It
removes temporary files, hangs in a RENAME and completes it after the client has disconnected, refuses
requests for a while, limits open files, and lacks posix-rename for part of the time. Then all faults are
removed, the queue drains, and the partner's directory is compared with what was put.

The exit status is 0 if nothing was lost, no partial file was ever visible under a final name, no older
version replaced a newer one, no receipt is false, every dead-lettered message has a reason, every held object
can only be decided by an operator, the ledger knows every temporary file that is left, and the newest version
of every key was delivered last. Files that the partner itself loses after they have their final name are not
counted. With --rules numbers must have no gap and no repetition, each file its companions, in order; what is
compared is what the partner decrypts.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from chaos.environment import ChaosEnvironment, set_up
from chaos.fault_injector import FaultInjector
from chaos.objects import FIRST, Version, make_versions
from chaos.reconciliation import Observations, Reconciliation, reconcile
from chaos.records import Appearance, appearance, final_names, temporary_names
from chaos.rules import VARIABLES, data_only, publish_rules, violations
from chaos.watch import watched
from local.deployment import function_log, missing_tool
from local.processes import CannotRun, end_on_signals
from local.progress import Progress

_PROGRESS_SECONDS = 5.0
_LOG_LINES = 30


def main() -> int:
    """Returns the exit status."""
    options = _options()
    if lacking := missing_tool():
        return _fail(lacking)
    end_on_signals()
    progress = Progress()
    progress.say(f"seed {options.seed}: repeat this run with --seed {options.seed}")
    try:
        rng = random.Random(f"{options.seed}/aws")  # noqa: S311 - not for secrets
        variables, layer = (VARIABLES, publish_rules) if options.rules else (None, None)
        with set_up(progress, rng, variables=variables, layer=layer) as env:
            result = _run(env, progress, options)
            print(f"\nseed {options.seed}\n{result.table()}\n", flush=True)
            if not result.is_good:
                _explain(env, result)
            if options.log:
                _write_log(env, options.log)
    except KeyboardInterrupt:
        print("\nstopped, everything is cleaned up")
        return 130
    except CannotRun as error:
        return _fail(str(error))
    progress.say("every guarantee held" if result.is_good else f"FAILED with seed {options.seed}: see above")
    return 0 if result.is_good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, help="repeat the objects and faults of a run (default: random)")
    parser.add_argument("--objects", type=int, default=300, help="number of puts (default: 300)")
    parser.add_argument(
        "--seconds", type=float, default=120, help="how long faults are injected (default: 120)"
    )
    parser.add_argument(
        "--settle",
        type=float,
        default=300,
        help="seconds without progress after which to stop waiting (default: 300)",
    )
    parser.add_argument(
        "--rules", action="store_true", help="a partner who wants encrypted, numbered files with companions"
    )
    parser.add_argument(
        "--log", type=Path, help="write the records of the function and the partner to this file"
    )
    options = parser.parse_args()
    if options.objects < 1:
        parser.error(f"--objects must be at least 1, got {options.objects}")
    if not options.seconds > 0:  # also where it is no number: nothing would be injected
        parser.error(f"--seconds must be more than 0, got {options.seconds}")
    if options.seed is None:
        options.seed = secrets.randbelow(10**6)
    return options


def _run(env: ChaosEnvironment, progress: Progress, options: argparse.Namespace) -> Reconciliation:
    rng = random.Random(options.seed)  # noqa: S311 - not for secrets
    versions = make_versions(rng, options.objects)
    with watched(env.partner.inbox) as seen:
        with progress.step("delivering the first object before any fault"):
            env.put(FIRST)
            _wait_until_settled(env, seconds=options.settle)
        fault_injector = FaultInjector(env, seed=options.seed, seconds=options.seconds)
        fault_injector.begin()
        _put_all(env, versions, progress, seconds=options.seconds)
        fault_injector.end()
        injected = {
            **fault_injector.injected,
            **{f"AWS: {what}": n for what, n in env.fault_schedule.injected.items()},
        }
        progress.say(
            "injected faults: " + ", ".join(f"{what} {number}" for what, number in sorted(injected.items()))
        )
        progress.say(f"{env.fault_schedule.requests} requests from the function to AWS")
        _settle(env, progress, seconds=options.settle)
        env.partner.complete_delayed_renames()  # what still hangs is completed now, after everything else
    progress.say(f"{env.fault_schedule.continuations} continuations")
    known = _observed(env, seen)
    if not options.rules:
        return reconcile(known)
    result = reconcile(data_only(known))
    result.broken_rules = violations(known)
    return result


def _observed(env: ChaosEnvironment, seen: set[Appearance]) -> Observations:
    inbox = env.partner.inbox
    return Observations(
        puts=env.puts,
        events=env.partner.records.events,
        seen=seen,
        direct_writes=env.partner.records.direct_writes,
        removed=env.partner.records.removed,
        brought_back=env.partner.records.brought_back,
        standing=[appearance(path, inbox) for path in final_names(inbox)],
        temporaries=[str(path.relative_to(inbox)) for path in temporary_names(inbox)],
        dead_lettered=env.dead_lettered(),
        ledger=env.ledger(),
        names=env.names_in_ledger(),
        waiting=env.waiting(),
    )


def _put_all(
    env: ChaosEnvironment, versions: Sequence[Version], progress: Progress, *, seconds: float
) -> None:
    """Puts the versions, spread over the whole run: later ones meet what earlier ones have left."""
    started = time.monotonic()
    reported_at = started
    for number, version in enumerate(versions):
        time.sleep(max(0.0, started + seconds * number / len(versions) - time.monotonic()))
        env.put(version)
        if time.monotonic() - reported_at > _PROGRESS_SECONDS:
            reported_at = time.monotonic()
            _report(env, progress)


def _settle(env: ChaosEnvironment, progress: Progress, *, seconds: float) -> None:
    """Waits until the queue is empty."""
    progress.say("all faults are removed; waiting until the queue is empty")
    _wait_until_settled(env, seconds=seconds, report=lambda: _report(env, progress))


def _wait_until_settled(
    env: ChaosEnvironment, *, seconds: float, report: Callable[[], None] = lambda: None
) -> None:
    """Waits until the queue is empty, or until nothing has progressed for `seconds`."""
    deadline = time.monotonic() + seconds
    reported_at = time.monotonic()
    best = _progress(env)
    while not env.is_settled() and time.monotonic() < deadline:
        time.sleep(0.2)
        if (now := _progress(env)) > best:
            best, deadline = now, time.monotonic() + seconds
        if time.monotonic() - reported_at > _PROGRESS_SECONDS:
            reported_at = time.monotonic()
            report()


def _progress(env: ChaosEnvironment) -> tuple[int, int]:
    return len(env.partner.records.events), -env.waiting()


def _report(env: ChaosEnvironment, progress: Progress) -> None:
    renames = env.partner.records.renames
    progress.say(f"  {len(env.puts)} put, {renames} renamed at the partner, {env.waiting()} waiting")


def _explain(env: ChaosEnvironment, result: Reconciliation) -> None:
    """Prints what the function logged about the violations."""
    violations = result.violations()
    keys = {version.key for version in result.put if any(version.key in name for name in violations)}
    lines = function_log(env.cloud, env.deployment.function)
    about = [line for line in lines if any(f"/{key}" in line for key in keys)]
    print("The function's log about these objects, or its end:")
    print("\n".join((about or lines)[-_LOG_LINES:]), flush=True)


def _write_log(env: ChaosEnvironment, path: Path) -> None:
    events = "\n".join(map(repr, env.partner.records.events))
    removed = "\n".join(sorted(env.partner.records.removed))
    ledger = "\n".join(f"{key} {recorded}" for key, recorded in sorted(env.ledger().items()))
    said = "\n".join(function_log(env.cloud, env.deployment.function))
    path.write_text(f"EVENTS\n{events}\nREMOVED\n{removed}\nLEDGER\n{ledger}\nFUNCTION\n{said}\n")


def _fail(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
