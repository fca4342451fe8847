"""The figures of the costs page and the addresses page equal those computed from prices and benchmark."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.state.test_write_units import DELIVERED_BYTES

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "reference" / "what-it-costs.md").read_text()
ADDRESSES = (DOCS / "guides" / "partner-wants-our-ip-addresses.md").read_text()

GB_SECOND = 0.0000166667
HOURS = 730

BENCH = DOCS.parent / "bench" / "results" / "2026-12-01.json"
ROWS: list[dict[str, Any]] = json.loads(BENCH.read_text())["rows"]


_PLAIN: dict[str, object] = {
    "variant": None,
    "curve": None,
    "tls": None,
    "memory_mb": None,
    "link_mbit": None,
}


def measured(what: str, **row: object) -> float:
    """Return the value in the one row of the full benchmark run with these fields."""
    row = {**_PLAIN, **row}
    (value,) = {each[what] for each in ROWS if row.items() <= {**_PLAIN, **each}.items()}
    return float(value)


def cpu_per_tb(seconds_per_gb: float) -> float:
    return 1000 * seconds_per_gb * 1769 / 1024 * GB_SECOND


def line_per_tb(mb_per_s: float) -> float:
    return 1_000_000 / mb_per_s * 512 / 1024 * GB_SECOND


OURS = measured("cpu_s_per_gb", tool="s3-to-sftp", variant=None, work="end-to-end")
NAIVE = measured("cpu_s_per_gb", tool="naive", work="end-to-end")
FAR_ONE = measured("mb_per_s", tool="s3-to-sftp", variant="at most 1", curve="streams", rtt_ms=100)
FAR_EIGHT = measured("mb_per_s", tool="s3-to-sftp", variant="at most 8", curve="streams", rtt_ms=100)
FAR_NAIVE = measured("mb_per_s", tool="naive", work="large", rtt_ms=100)

WRITES = 3 + (1 + 1 + 2)
STORED, RECOVERABLE = 0.25, 0.20
"""$ per GB and month in DynamoDB; point-in-time recovery of the table, without its indexes."""
RECORD_KB = 2 * (DELIVERED_BYTES + 100) / 1000
"""In the table and in the index; DynamoDB charges for 100 bytes more than each has."""
PER_MILLION = {
    "DynamoDB writes": WRITES * 0.625,
    "Lambda, duration": 1e6 * 0.5 * 512 / 1024 * GB_SECOND,
    "SQS": 3 * 0.40,
    "EventBridge": 1.00,
    "CloudWatch Logs": 1.5 * 0.50,
    "S3": 0.40,
    "Lambda, requests": 0.20,
}
PER_PARTNER = {
    "secret": 0.40,
    "9 metrics": 9 * 0.30,
    "8 alarms": 8 * 0.10,
    "dashboard": 3.00,
    "queue": 5 * 3 * 60 * HOURS / 1e6 * 0.40,
}
PER_ADDRESS = HOURS * (0.045 + 0.005)
NAT_PER_TB = 1000 * 0.045
CONNECTOR_PER_GB, CONNECTOR_PER_CALL = 0.40, 0.001


def row(page: str, beginning: str) -> list[float]:
    """The amounts in the row of a table whose first cell starts with this."""
    (line,) = [line for line in page.splitlines() if line.replace("*", "").startswith(f"| {beginning}")]
    cells = line.replace("*", "").replace(",", "").strip("|").split("|")[1:]
    return [
        float(found[1]) for cell in cells if (found := re.fullmatch(r"\s*(?:up to )?\$?([\d.]+)\s*", cell))
    ]


def test_compute_costs_per_tb_with_tls() -> None:
    seconds = measured("cpu_s_per_gb", tool="s3-to-sftp", work="end-to-end", tls=True)
    assert f"{seconds:.2f} s/GB, ${cpu_per_tb(seconds):.2f} per TB" in PAGE


@pytest.mark.parametrize(
    ("beginning", "cpu", "rate"),
    [
        ("this function, one", OURS, FAR_ONE),
        ("this function, eight", None, FAR_EIGHT),
        ("the naive Lambda", NAIVE, FAR_NAIVE),
    ],
)
def test_compute_costs_per_tb(beginning: str, cpu: float | None, rate: float) -> None:
    near = [] if cpu is None else [cpu, cpu_per_tb(cpu)]
    expected = [*near, rate, line_per_tb(rate)]
    assert row(PAGE, beginning) == [pytest.approx(each, abs=0.005) for each in expected]


def test_canary_costs_two_alarms_and_little_else() -> None:
    invocations = 30 * 10 * 512 / 1024 * GB_SECOND
    assert f"`canary=True` costs ${2 * 0.10 + 2 * 0.30 * 30 / HOURS + invocations:.2f} more" in PAGE


def test_minimum_costs_at_the_network_rate_of_a_function() -> None:
    assert f"no less than {line_per_tb(75):.2f} is paid" in PAGE


@pytest.mark.parametrize("item", PER_MILLION)
def test_costs_per_million_objects(item: str) -> None:
    assert row(PAGE, item)[-1] == pytest.approx(PER_MILLION[item], abs=0.005)


@pytest.mark.parametrize("item", PER_PARTNER)
def test_fixed_costs_per_partner(item: str) -> None:
    assert row(PAGE, item) == [pytest.approx(PER_PARTNER[item], abs=0.005)]


def test_record_of_an_object() -> None:
    text = " ".join(PAGE.split())
    assert f"A record takes {RECORD_KB:.1f} KB" in text
    assert f"${RECORD_KB * STORED:.2f} a month, and ${RECORD_KB / 2 * RECOVERABLE:.2f} for" in text


def test_invocation_costs_two_reads() -> None:
    assert f"${2 * 0.125:.2f} per million. A new execution environment" in " ".join(PAGE.split())


def test_sums_of_the_tables() -> None:
    sums = [float(each) for each in re.findall(r"^\| \*\*sum\*\*.*?([\d.]+)\*\*", PAGE, re.MULTILINE)]
    assert sums == [
        pytest.approx(sum(PER_MILLION.values()), abs=0.005),
        pytest.approx(sum(PER_PARTNER.values()), abs=0.005),
    ]


@pytest.mark.parametrize(
    ("beginning", "terabytes", "files"),
    [("1,000 files", 1, 1000), ("1,000,000 files", 1, 1_000_000), ("nothing at all", 0, 0)],
)
def test_comparison_with_managed_connectors(beginning: str, terabytes: int, files: int) -> None:
    here = sum(PER_PARTNER.values()) + terabytes * cpu_per_tb(OURS) + files / 1e6 * sum(PER_MILLION.values())
    fixed = here + PER_ADDRESS + terabytes * NAT_PER_TB
    connectors = terabytes * 1000 * CONNECTOR_PER_GB + files * CONNECTOR_PER_CALL
    assert row(PAGE, beginning) == [pytest.approx(each, abs=0.005) for each in (here, fixed, connectors)]


def test_volume_below_which_a_connector_is_cheaper() -> None:
    fixed_costs = sum(PER_PARTNER.values())
    assert f"less than {fixed_costs / CONNECTOR_PER_GB:.0f} GB a month" in PAGE.replace("\n", " ")
    assert f"({(fixed_costs + PER_ADDRESS) / CONNECTOR_PER_GB:.0f} GB with" in PAGE


def test_costs_of_fixed_addresses() -> None:
    assert row(ADDRESSES, "NAT gateways") == [pytest.approx(n * 0.045 * HOURS) for n in (1, 2)]
    assert row(ADDRESSES, "Elastic IPs") == [pytest.approx(n * 0.005 * HOURS) for n in (1, 2)]
    assert row(ADDRESSES, "fixed") == [pytest.approx(n * PER_ADDRESS) for n in (1, 2)]
    assert row(ADDRESSES, "for every 1,000 GB") == [pytest.approx(NAT_PER_TB)] * 2
