"""`make mutants`: run both sets, print what survives, exit 1 if anything does that is not explained."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.mutants.chosen_mutants import GroupRun, Survivor, selection
from tests.mutants.copy_of_the_code import make_copy
from tests.mutants.named_mutants import Fate, NamedMutant, NamedRun, named_mutants

T = TypeVar("T")


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("set", nargs="?", choices=["named", "chosen"], help="one of the two; by default both")
    parser.add_argument("--only", default="", help="mutants whose name (or function) or file has this text")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="mutants at a time")
    asked = parser.parse_args()
    if asked.workers < 1:
        parser.error(f"--workers must be at least 1, got {asked.workers}")
    if not _any_matches(asked.set, asked.only):
        parser.error(f"no mutant has {asked.only!r} in its name, function or file")
    begun = time.monotonic()
    good = True
    if asked.set != "chosen":
        good &= _run_named(_matching(named_mutants(), asked.only), asked.workers)
    if asked.set != "named":
        good &= _run_chosen(asked.only, asked.workers)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{time.monotonic() - begun:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of CPU")
    return 0 if good else 1


def _any_matches(which: str | None, text: str) -> bool:
    """A misspelt name would run nothing, and so let nothing survive."""
    named = which != "chosen" and _matching(named_mutants(), text)
    chosen = which != "named" and any(each.narrowed_to(text).functions for each in selection().groups)
    return bool(named or chosen)


def _matching(mutants: Sequence[NamedMutant], text: str) -> list[NamedMutant]:
    return [one for one in mutants if text in one.name or text in one.file]


def _run_named(mutants: Sequence[NamedMutant], workers: int) -> bool:
    fates: Counter[Fate] = Counter()
    if not mutants:
        return True
    for outcome in NamedRun(make_copy("named", {}), workers=workers).outcomes(mutants):
        fates[outcome.fate] += 1
        print(
            f"{outcome.fate.value}: {outcome.mutant.file}: {outcome.mutant.name} ({outcome.told})", flush=True
        )
    print(f"named mutants: {_counts(fates, lambda fate: fate.value)}", flush=True)
    return not fates[Fate.SURVIVED] and not fates[Fate.BROKEN]


def _run_chosen(only: str, workers: int) -> bool:
    chosen = selection()
    fates: Counter[str] = Counter()
    survivors: list[Survivor] = []
    for group in (each.narrowed_to(only) for each in chosen.groups):
        if group.functions:
            run = GroupRun(make_copy("chosen", chosen.settings(group)), chosen, group, workers=workers)
            counted, survived = run.result()
            print(f"{group.name}: {_counts(counted, str)}", flush=True)
            for survivor in survived:
                print(_told(survivor), flush=True)
            fates += counted
            survivors += survived
    used = {survivor.why for survivor in survivors}
    unused = [] if only else [one for one in chosen.equivalent if one not in used]
    for one in unused:
        print(f"NO LONGER NEEDED in chosen.toml: {one.function}: {one.before} -> {one.after}")
    print(f"chosen mutants: {_counts(fates, str)}", flush=True)
    return all(survivor.why for survivor in survivors) and not unused


def _told(survivor: Survivor) -> str:
    head = f"equivalent ({survivor.why.why})" if survivor.why else "SURVIVED"
    return f"{head}: {survivor.name}\n  - {survivor.before}\n  + {survivor.after}"


def _counts(counter: Counter[T], name: Callable[[T], str]) -> str:
    return f"{sum(counter.values())}: " + ", ".join(
        f"{count} {name(one)}" for one, count in counter.most_common()
    )


if __name__ == "__main__":
    sys.exit(main())
