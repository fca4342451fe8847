"""A short run of the fuzzers, of which `make fuzz` is the long one; and that they find what they look for."""

from __future__ import annotations

import logging
import random

import pytest

import fuzz.__main__ as fuzzer
from fuzz.__main__ import TRIES, Report, run
from fuzz.targets import Said, Target


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="s3_to_sftp")  # log lines with text that no report can carry


def test_fuzzers_find_no_unexpected_exception_hang_leak_or_secret() -> None:
    report = run(seed=2026, share=0.02, seconds=10)
    assert report.is_clean, "\n".join(report.lines())
    assert set(report.tried) == set(TRIES)


def found(monkeypatch: pytest.MonkeyPatch, target: Target) -> Report:
    monkeypatch.setattr(fuzzer, "targets", lambda: [target])
    monkeypatch.setitem(TRIES, "it", 3)
    return run(seed=1)


def test_unexpected_exception_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = 0

    def raises(_chance: random.Random) -> Said:
        nonlocal tried
        tried += 1
        if tried > 1:  # the first one is no test
            raise KeyError(192)
        return []

    report = found(monkeypatch, Target("it", raises))
    assert len(report.unexpected) == 3
    assert not report.is_clean


def test_secret_in_an_error_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    report = found(monkeypatch, Target("it", lambda _chance: ["you sent hunter2"], secrets=("hunter2",)))
    assert report.secrets == 3
    assert not report.is_clean


def test_same_seed_makes_the_same_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []

    def notes(chance: random.Random) -> Said:
        made.append(chance.randbytes(8))
        return []

    found(monkeypatch, Target("it", notes))
    found(monkeypatch, Target("it", notes))
    assert made[:4] == made[4:]
