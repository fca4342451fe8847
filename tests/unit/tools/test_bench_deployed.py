"""The clock of the benchmark that delivers through the deployed stack."""

from __future__ import annotations

from bench.deployed import wave_seconds


def test_clock_starts_when_the_function_does() -> None:
    assert wave_seconds([100.0], [101.0, 103.5]) == [3.5]


def test_clock_stands_still_while_more_objects_are_put() -> None:
    assert wave_seconds([100.0, 200.0], [101.0, 103.0, 202.0, 204.0]) == [3.0, 4.0]
