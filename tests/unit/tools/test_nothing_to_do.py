"""Tools that look for defects refuse a command line with which they would look at nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("tests.mutants", "named", "--only", "no-such-mutant"), "no mutant has 'no-such-mutant'"),
        (("tests.mutants", "chosen", "--only", "no-such-function"), "no mutant has 'no-such-function'"),
        (("tests.mutants", "named", "--only", "breaker", "--workers", "0"), "--workers must be at least 1"),
        (("fuzz", "--seed", "1", "--seconds", "0"), "--seconds must be more than 0"),
        (("chaos", "--seconds", "0"), "--seconds must be more than 0"),
        (("chaos", "--seconds", "nan"), "--seconds must be more than 0"),
        (("chaos", "--objects", "0"), "--objects must be at least 1"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_command_line_that_examines_nothing_is_refused(command: tuple[str, ...], said: str) -> None:
    try:
        done = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, check=False, timeout=600
        )
    except subprocess.TimeoutExpired:
        pytest.fail("it runs")
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
