"""The figures of the scale page equal those computed from the benchmark, the code and the quotas of AWS.

Each quota has its source on the page. What is said of the resources of a partner is in
tests/infra/test_scale_page.py.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from typing import Any

import pytest

from tests.support import write_units
from tests.support.delivery_environment import DeliveryEnvironment
from tests.support.write_units import MeteredClient, index_units
from tests.unit.partner_rules import test_writes_of_a_delivery as writes
from tests.unit.state.test_write_units import DELIVERED_BYTES
from tests.unit.tools import test_costs as costs

PAGE = (costs.DOCS / "guides" / "scale.md").read_text()
TEXT = " ".join(PAGE.split())

PER_DAY = 10_000_000
PER_SECOND = PER_DAY / 86_400
FUNCTIONS = 2

CPU_MB = 1769
"""Memory at which a function has one CPU."""
PARTITION_WRITES = 1000
NEW_TABLE_WRITES = 4000
GETS_OF_A_PREFIX = 5500
TABLE_WRITES, INDEX_WRITES = 3, 4
PAGE_BYTES = 2**20
LOG_KB = 1.5

RUN = costs.DOCS.parent / "bench" / "results" / "2026-12-01.json"
ROWS: list[dict[str, Any]] = json.loads(RUN.read_text())["rows"]
DEPLOYED: list[dict[str, Any]] = json.loads(RUN.with_name("2026-11-30-deployed.json").read_text())["rows"]


def measured(what: str, *, rows: list[dict[str, Any]] = ROWS, **row: object) -> float:
    """Return the value in the one row with these fields, by default of the full run."""
    (value,) = {each[what] for each in rows if row.items() <= {"variant": None, **each}.items()}
    return float(value)


def deployed(what: str, files: int = 1000) -> float:
    return measured(what, rows=DEPLOYED, variant="deployed", curve="deployed", files=files)


def alone(files: int) -> float:
    return measured("files_per_s", rows=DEPLOYED, variant=None, curve="deployed", files=files)


def by_batches(rtt_ms: int) -> float:
    """Objects a second of all functions, if nothing took time but the SFTP of their batches."""
    return FUNCTIONS * measured("files_per_s", rows=DEPLOYED, curve="batch", rtt_ms=rtt_ms)


def by_cpu(memory_mb: int) -> float:
    """Objects a second of all functions, if nothing took time but their CPU."""
    seconds = deployed("function_cpu_ms_per_file", 10_000) / 1000
    return FUNCTIONS * (memory_mb / CPU_MB) / seconds


def millions_a_day(per_second: float) -> float:
    return per_second * 86_400 / 1e6


def cells(beginning: str) -> list[str]:
    """The numbers in the row of a table whose first cell starts with this."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {beginning}")]
    texts = [cell.strip().replace(",", "") for cell in line.strip("|").split("|")[1:]]
    return [text for text in texts if re.fullmatch(r"[\d.]+", text)]


def row_equals(beginning: str, *expected: float) -> bool:
    """Whether the numbers in this row are these, rounded to the digits that the page shows."""
    shown = cells(beginning)
    return len(shown) == len(expected) and all(
        text == f"{figure:.{len(text.partition('.')[2])}f}"
        for text, figure in zip(shown, expected, strict=True)
    )


def test_average_rate() -> None:
    assert f"{PER_SECOND:.0f} objects a second" in TEXT


@pytest.mark.parametrize("rtt_ms", [20, 100])
def test_limit_of_the_round_trip(rtt_ms: int) -> None:
    rate = by_batches(rtt_ms)
    assert row_equals(f"round trip of {rtt_ms} ms", rate, millions_a_day(rate))


@pytest.mark.parametrize("memory_mb", [512, CPU_MB])
def test_limit_of_the_cpu(memory_mb: int) -> None:
    rate = by_cpu(memory_mb)
    assert row_equals(f"CPU of a function at {memory_mb:,} MB", rate, millions_a_day(rate))


def writes_by_partition(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Write units of each partition of the index for one ordinary object; of a day's, without the day."""
    counted: Counter[str] = Counter()

    def count(before: Any, after: Any) -> int:
        was, now = (item.get("status", {}).get("S", "").partition("#")[0] for item in (before, after))
        if was and was != now:
            counted[was] += write_units.units_of(before)
        if now:
            counted[now] += write_units.units_of(after)
        return index_units(before, after)

    monkeypatch.setattr(write_units, "index_units", count)
    client = MeteredClient(dynamodb)
    env = DeliveryEnvironment(client, writes.OBJECTS)
    env.deliver(
        dataclasses.replace(env.ref(writes.KEY, writes.FIRST), version_id="3sL4kqtJlcpXroDTDmJ-rmSpXd3dIbrH")
    )
    assert client.units.index == counted.total()
    assert client.units.table == TABLE_WRITES
    return counted


def test_limit_of_the_index(ledger_table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = writes_by_partition(ledger_table, monkeypatch)
    assert counted == {"IN_FLIGHT": 3, "DELIVERED": 1}
    assert counted.total() == INDEX_WRITES
    rate = PARTITION_WRITES / counted["IN_FLIGHT"]
    assert row_equals("partition `IN_FLIGHT` of the index", rate, millions_a_day(rate))
    assert f"a burst of {rate / PER_SECOND:.1f} times the average" in TEXT


def test_limit_of_a_new_table() -> None:
    rate = NEW_TABLE_WRITES / INDEX_WRITES  # the index takes more than the table
    assert row_equals("writes of a new table", rate, millions_a_day(rate))


def test_limit_of_s3() -> None:
    assert row_equals("S3: GET of a prefix", GETS_OF_A_PREFIX, millions_a_day(GETS_OF_A_PREFIX))


def test_messages_in_flight() -> None:
    assert f"{FUNCTIONS * 10} of 120,000" in TEXT


def test_costs_of_a_day() -> None:
    by_item = {name: price * PER_DAY / 1e6 for name, price in costs.PER_MILLION.items()}
    assert f"${sum(by_item.values()):.0f} a day" in TEXT
    assert f"${by_item['DynamoDB writes']:.0f} of them for DynamoDB" in TEXT


def test_volume_of_the_log() -> None:
    gigabytes = PER_DAY * LOG_KB / 1e6
    assert f"{gigabytes:.0f} GB a day" in TEXT
    assert f"${gigabytes * 0.50:.2f} a day" in TEXT
    assert f"${gigabytes * 0.005:.3f}" in TEXT


def test_volume_of_the_ledger() -> None:
    for days in (400, 32):
        gigabytes = PER_DAY * days * costs.RECORD_KB / 1e6
        assert f"{gigabytes:,.0f} GB" in TEXT
        assert f"${gigabytes * costs.STORED:,.0f} a month" in TEXT
        assert f"${gigabytes / 2 * costs.RECOVERABLE:,.0f}." in TEXT


def test_pages_of_a_day() -> None:
    pages = PER_DAY * DELIVERED_BYTES / PAGE_BYTES
    assert f"{pages:,.0f} pages" in TEXT
    assert f"${PER_DAY * DELIVERED_BYTES / 4096 / 2 * 0.125 / 1e6:.2f}" in TEXT


def test_writes_of_the_table() -> None:
    assert f"{PER_SECOND * (TABLE_WRITES + INDEX_WRITES):.0f} write units a second" in TEXT


@pytest.mark.parametrize("files", [10, 100, 1000, 10_000, 100_000])
def test_measured_through_the_deployed_function(files: int) -> None:
    rate, engine = deployed("files_per_s", files), alone(files)
    expected = (
        rate,
        engine,
        rate / engine,
        deployed("function_cpu_ms_per_file", files),
        deployed("emulator_cpu_ms_per_file", files),
        deployed("peak_rss_mb", files),
    )
    assert row_equals(f"{files:,} objects", *expected)


def test_growth_with_the_number_of_objects() -> None:
    few, more, most = 10, 10_000, 100_000
    growth = deployed("peak_rss_mb", most) - deployed("peak_rss_mb", few)
    assert f"the memory grows by {growth:.1f} MB" in TEXT
    assert deployed("files_per_s", most) >= deployed("files_per_s", more)
    assert deployed("function_cpu_ms_per_file", most) <= deployed("function_cpu_ms_per_file", more)


@pytest.mark.parametrize("partners", [1, 10, 50])
def test_measured_partners(partners: int) -> None:
    figures = ("last_receipt_s", "peak_rss_mb", "alarms")
    expected = [measured(figure, variant="partners", partners=partners) for figure in figures]
    assert row_equals(f"{partners} partner", *expected)


@pytest.mark.parametrize("mib", [1, 64, 1024, 4096])
def test_measured_memory(mib: int) -> None:
    peak = measured("peak_rss_mb", curve="end-to-end", mib=float(mib))
    name = f"{mib} MiB" if mib < 1024 else f"{mib // 1024} GiB"
    assert row_equals(f"{name}, from S3", peak)


@pytest.mark.parametrize("gib", [8, 16])
def test_memory_of_a_large_object_without_s3(gib: int) -> None:
    peak = measured("peak_rss_mb", curve="size", mib=gib * 1024.0, rtt_ms=0)
    assert row_equals(f"{gib} GiB, from memory", peak)
