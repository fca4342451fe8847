"""Functions share a partner's bandwidth: no interval has more than it allows, nobody waits for the dead."""

from __future__ import annotations

import heapq
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3_to_sftp.errors import LedgerError
from s3_to_sftp.sftp.pace import Pace
from s3_to_sftp.state.bandwidth import BANDWIDTH, SharedBandwidth
from tests.support.ledger_environment import START
from tests.support.memory_table import MemoryTable

RATE = 1_000_000.0
KEY = ("partner#sftp.example:22", BANDWIDTH)


class Line:
    """A table, and the clock of all functions.

    Attributes:
        now: Seconds since 1970.
        slept: By one function.
    """

    def __init__(self) -> None:
        self.table = MemoryTable()
        self.now = START
        self.slept: list[float] = []

    def bandwidth(self) -> SharedBandwidth:
        return SharedBandwidth(self.table, "sftp.example:22", bytes_per_second=RATE, clock=lambda: self.now)

    def pace(self) -> Pace:
        return Pace(self.bandwidth(), clock=lambda: self.now, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.now += seconds


def test_one_function_sends_at_the_rate_after_its_first_portion() -> None:
    line = Line()
    pace = line.pace()
    for _ in range(400):
        pace.wait_for(50_000)
    assert line.now - START == pytest.approx(19, abs=0.01)
    assert max(line.slept) <= 1.001


def test_a_portion_costs_one_write_and_no_read() -> None:
    line = Line()
    pace, puts, reads = line.pace(), [], []
    put, read = line.table.put, line.table.read

    def counted(*key: Any, **about: Any) -> bool:
        puts.append(key)
        return put(*key, **about)

    line.table.put = counted  # type: ignore[method-assign]
    line.table.read = lambda *key: (reads.append(key), read(*key))[1]  # type: ignore[method-assign,func-returns-value]
    for _ in range(200):
        pace.wait_for(50_000)
    assert (len(puts), len(reads)) == (10, 1)


def test_what_is_larger_than_a_portion_waits_for_all_of_it() -> None:
    line = Line()
    pace = line.pace()
    pace.wait_for(3_000_000)
    pace.wait_for(1)
    assert line.now - START == pytest.approx(3, abs=0.01)


def test_nothing_is_saved_up_while_nobody_sends() -> None:
    line = Line()
    pace = line.pace()
    pace.wait_for(1)
    line.now += 3600
    pace.wait_for(900_000)
    pace.wait_for(200_000)
    assert line.now - START - 3600 == pytest.approx(1, abs=0.01)


def test_function_that_died_has_wasted_one_portion() -> None:
    line = Line()
    line.pace().wait_for(1)
    line.pace().wait_for(1)
    assert line.now - START == pytest.approx(1, abs=0.01)


def test_item_of_a_clock_that_was_ahead_stops_nobody() -> None:
    line = Line()
    line.table.put(*KEY, {"revision": {"N": "1"}, "free_at": {"N": str(START + 86_400)}}, expected_revision=0)
    line.pace().wait_for(1)
    assert line.now == START


@pytest.mark.parametrize("method", ["read", "put"])
def test_function_keeps_to_the_bandwidth_by_itself_where_the_table_does_not_answer(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    line = Line()

    def fails(*_key: Any, **_about: Any) -> Any:
        raise LedgerError("down.", hint="wait.")

    setattr(line.table, method, fails)
    pace = line.pace()
    for _ in range(100):
        pace.wait_for(50_000)
    assert line.now - START == pytest.approx(4, abs=0.01)
    assert [record.getMessage() for record in caplog.records] == [
        "the bandwidth is not shared with other functions: down. wait."
    ]


def test_corrupt_item_is_told_and_replaced_by_nobody() -> None:
    line = Line()
    line.table.put(*KEY, {"revision": {"N": "1"}, "free_at": {"S": "soon"}}, expected_revision=0)
    assert line.bandwidth().reserve(1) == 0
    assert line.table.items[KEY]["free_at"] == {"S": "soon"}


Asks = st.lists(
    st.lists(st.tuples(st.integers(1, 2_500_000), st.floats(0, 3)), min_size=1, max_size=8),
    min_size=1,
    max_size=5,
)


@settings(max_examples=100, deadline=None)
@given(Asks)
def test_no_interval_has_more_than_the_rate_and_one_portion(
    functions: list[list[tuple[int, float]]],
) -> None:
    """Each function takes portions in turn, pausing in between; they share nothing but the table."""
    line = Line()
    shares = [line.bandwidth() for _ in functions]
    due = [(START, number, 0) for number in range(len(functions))]
    heapq.heapify(due)
    sent: list[tuple[float, int]] = []
    while due:
        line.now, number, turn = heapq.heappop(due)
        size, pause = functions[number][turn]
        begins = line.now + shares[number].reserve(size)
        sent.append((begins, size))
        if turn + 1 < len(functions[number]):
            heapq.heappush(due, (begins + pause, number, turn + 1))
    sent.sort()
    for first, (since, _) in enumerate(sent):
        total = 0
        for until, size in sent[first:]:
            # All that began before this one has had its time by then.
            assert total / RATE <= until - since + 0.01
            total += size
