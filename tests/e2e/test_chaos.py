"""A short chaos run with a fixed seed. `make chaos` does a long one."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from local.environments import REPOSITORY
from local.processes import CannotRun, read, run

_SEED = 11
_NONE_OF = (
    "lost",
    "partial files ever visible",
    "older version over newer",
    "false receipts",
    "held, though decidable",
    "names not in the ledger",
    "messages still in the queue",
    "partner's rules broken",
)


@pytest.mark.usefixtures("_tools")
@pytest.mark.parametrize(
    ("more", "least"), [(["--objects", "60"], 30), (["--objects", "40", "--rules"], 20)], ids=["", "rules"]
)
def test_faults_of_every_kind_lose_no_object_and_expose_no_partial_file(
    tmp_path: Path, more: list[str], least: int
) -> None:
    log = tmp_path / "log"
    options = ["--seed", str(_SEED), *more, "--seconds", "25", "--settle", "900"]
    try:
        run(
            [sys.executable, "-m", "chaos", *options],
            log=log,
            seconds=1500,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            cwd=REPOSITORY,
        )
    except CannotRun:
        pytest.fail(read(log))
    figures = dict(re.findall(r"^(\S.*?) +(\d+)$", read(log), re.MULTILINE))
    assert {name: figures[name] for name in _NONE_OF} == dict.fromkeys(_NONE_OF, "0"), read(log)
    assert int(figures["delivered"]) > least
