"""Puts objects through the deployed stack while everything goes wrong, and counts what became of them.

Connections are cut, stalled and reset; functions are killed; notifications come twice, late and in the wrong
order; keys are overwritten while their old version is on its way; AWS throttles and swallows answers; the
partner goes away and comes back, with a full disk or a slow one. Then everything is mended, what is waiting
is waited for, and the partner's folder is compared with what was put.

The exit status is 0 if nothing was lost, no partial file was ever visible under a final name, everything in
the dead-letter queue says why, and the newest version of every key stands at the partner.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import time
from collections.abc import Callable, Sequence

from chaos.objects import FIRST, Version, make_versions
from chaos.reconciliation import Observations, Reconciliation, reconcile
from chaos.site import Site, set_up
from chaos.storm import Storm
from chaos.watch import appearance, final_names, temporary_names, watched
from local.deployment import function_log, missing_tool
from local.processes import CannotRun, end_on_signals
from local.progress import Progress

_PROGRESS_SECONDS = 5.0
_LOG_LINES = 30


def main() -> int:
    """Returns the exit status."""
    options = _options()
    if lacking := missing_tool():
        return _give_up(lacking)
    end_on_signals()
    progress = Progress()
    progress.say(f"seed {options.seed}: the same again with --seed {options.seed}")
    try:
        with set_up(progress, random.Random(f"{options.seed}/aws")) as site:  # noqa: S311 - not for secrets
            result = _run(site, progress, options)
            print(f"\nseed {options.seed}\n{result.table()}\n", flush=True)
            if not result.is_good:
                _explain(site, result)
    except KeyboardInterrupt:
        print("\nstopped, everything is cleaned up")
        return 130
    except CannotRun as error:
        return _give_up(str(error))
    progress.say("every guarantee held" if result.is_good else f"FAILED with seed {options.seed}: see above")
    return 0 if result.is_good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, help="repeat a run's objects and faults; by default a new one")
    parser.add_argument("--objects", type=int, default=300, help="how many puts (default: 300)")
    parser.add_argument("--seconds", type=float, default=120, help="how long the storm lasts (default: 120)")
    parser.add_argument(
        "--settle", type=float, default=300, help="how long to wait afterwards at most (default: 300)"
    )
    options = parser.parse_args()
    if options.objects < 1:
        parser.error(f"--objects must be at least 1, got {options.objects}")
    if options.seed is None:
        options.seed = secrets.randbelow(10**6)
    return options


def _run(site: Site, progress: Progress, options: argparse.Namespace) -> Reconciliation:
    rng = random.Random(options.seed)  # noqa: S311 - not for secrets
    versions = make_versions(rng, options.objects)
    with watched(site.partner.inbox) as seen:
        with progress.step("the first object, while nothing is wrong"):
            site.put(FIRST)
            _wait_until_settled(site, seconds=options.settle)
        storm = Storm(site, seed=options.seed, seconds=options.seconds)
        storm.begin()
        _put_all(site, versions, progress, seconds=options.seconds)
        storm.end()
        strikes = {**storm.struck, **{f"AWS: {what}": n for what, n in site.weather.struck.items()}}
        progress.say("struck: " + ", ".join(f"{what} {number}" for what, number in sorted(strikes.items())))
        progress.say(f"{site.weather.requests} requests of the function to AWS")
        _settle(site, progress, seconds=options.settle)
    progress.say(f"{site.weather.continuations} continuations")
    inbox = site.partner.inbox
    return reconcile(
        Observations(
            puts=site.puts,
            renames=site.partner.records.renames,
            seen=seen,
            direct_writes=site.partner.records.direct_writes,
            standing=[appearance(path, inbox) for path in final_names(inbox)],
            temporaries=[str(path.relative_to(inbox)) for path in temporary_names(inbox)],
            parked=site.parked(),
            ledger=site.ledger(),
            waiting=site.waiting(),
        )
    )


def _put_all(site: Site, versions: Sequence[Version], progress: Progress, *, seconds: float) -> None:
    """Puts them, spread over the storm: later ones meet what the earlier ones have left."""
    started = time.monotonic()
    told = started
    for number, version in enumerate(versions):
        time.sleep(max(0.0, started + seconds * number / len(versions) - time.monotonic()))
        site.put(version)
        if time.monotonic() - told > _PROGRESS_SECONDS:
            told = time.monotonic()
            _tell(site, progress)


def _settle(site: Site, progress: Progress, *, seconds: float) -> None:
    """Waits until the queue is empty, at most so long."""
    progress.say("the storm is over, everything is mended; waiting until the queue is empty")
    _wait_until_settled(site, seconds=seconds, tell=lambda: _tell(site, progress))


def _wait_until_settled(site: Site, *, seconds: float, tell: Callable[[], None] = lambda: None) -> None:
    deadline = time.monotonic() + seconds
    told = time.monotonic()
    while not site.is_settled() and time.monotonic() < deadline:
        time.sleep(0.2)
        if time.monotonic() - told > _PROGRESS_SECONDS:
            told = time.monotonic()
            tell()


def _tell(site: Site, progress: Progress) -> None:
    renames = len(site.partner.records.renames)
    progress.say(f"  {len(site.puts)} put, {renames} renamed at the partner, {site.waiting()} waiting")


def _explain(site: Site, result: Reconciliation) -> None:
    """Prints what the function said about what went wrong."""
    wrong = [*result.lost, *result.duplicates]
    keys = {version.key for version in wrong} | {name.split("#")[0].split(":")[0] for name in result.outdated}
    lines = function_log(site.cloud, site.deployment.function)
    about = [line for line in lines if any(f"/{key}" in line for key in keys)]
    print("The function's log about these objects, or its end:")
    print("\n".join((about or lines)[-_LOG_LINES:]), flush=True)


def _give_up(reason: str) -> int:
    print(f"cannot go on: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
