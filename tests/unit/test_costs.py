"""The figures of docs/what-it-costs.md and the page about addresses are those that their formulas give."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "what-it-costs.md").read_text()
ADDRESSES = (DOCS / "partner-wants-our-ip-addresses.md").read_text()

GB_SECOND = 0.0000166667
HOURS = 730

CPU_PER_TB = {c: 1000 * c * 1769 / 1024 * GB_SECOND for c in (2, 4, 8)}
LINE_PER_TB = {rate: 1_000_000 / rate * 512 / 1024 * GB_SECOND for rate in (75, 17, 5)}

WRITES = 3 * 2 * 2 + (1 + 1 + 2)
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
    "6 alarms": 6 * 0.10,
    "dashboard": 3.00,
    "queue": 5 * 3 * 60 * HOURS / 1e6 * 0.40,
}
PER_ADDRESS = HOURS * (0.045 + 0.005)
NAT_PER_TB = 1000 * 0.045
CONNECTOR_PER_GB, CONNECTOR_PER_CALL = 0.40, 0.001


def row(page: str, beginning: str) -> list[float]:
    """The amounts in the row of a table that begins so."""
    (line,) = [line for line in page.splitlines() if line.replace("*", "").startswith(f"| {beginning}")]
    cells = line.replace("*", "").replace(",", "").strip("|").split("|")[1:]
    return [
        float(found[1]) for cell in cells if (found := re.fullmatch(r"\s*(?:up to )?\$?([\d.]+)\s*", cell))
    ]


@pytest.mark.parametrize(("cpu", "rate"), [(2, 75), (4, 17), (8, 5)])
def test_compute_per_tb(cpu: int, rate: int) -> None:
    assert row(PAGE, f"{cpu} |") == [
        pytest.approx(CPU_PER_TB[cpu], abs=0.005),
        *([float(rate)] if rate == 5 else []),
        pytest.approx(LINE_PER_TB[rate], abs=0.005),
    ]


@pytest.mark.parametrize("item", PER_MILLION)
def test_per_million_objects(item: str) -> None:
    assert row(PAGE, item)[-1] == pytest.approx(PER_MILLION[item], abs=0.005)


@pytest.mark.parametrize("item", PER_PARTNER)
def test_per_partner(item: str) -> None:
    assert row(PAGE, item) == [pytest.approx(PER_PARTNER[item], abs=0.005)]


def test_sums() -> None:
    sums = [float(each) for each in re.findall(r"^\| \*\*sum\*\*.*?([\d.]+)\*\*", PAGE, re.MULTILINE)]
    assert sums == [
        pytest.approx(sum(PER_MILLION.values()), abs=0.005),
        pytest.approx(sum(PER_PARTNER.values()), abs=0.005),
    ]


@pytest.mark.parametrize(
    ("beginning", "terabytes", "files"),
    [("1,000 files", 1, 1000), ("1,000,000 files", 1, 1_000_000), ("nothing at all", 0, 0)],
)
def test_beside_the_managed_connectors(beginning: str, terabytes: int, files: int) -> None:
    here = sum(PER_PARTNER.values()) + terabytes * CPU_PER_TB[4] + files / 1e6 * sum(PER_MILLION.values())
    fixed = here + PER_ADDRESS + terabytes * NAT_PER_TB
    connectors = terabytes * 1000 * CONNECTOR_PER_GB + files * CONNECTOR_PER_CALL
    assert row(PAGE, beginning) == [pytest.approx(each, abs=0.005) for each in (here, fixed, connectors)]


def test_where_a_connector_is_cheaper() -> None:
    fixed_costs = sum(PER_PARTNER.values())
    assert f"less than {fixed_costs / CONNECTOR_PER_GB:.0f} GB a month" in PAGE.replace("\n", " ")
    assert f"({(fixed_costs + PER_ADDRESS) / CONNECTOR_PER_GB:.0f} GB with" in PAGE


def test_addresses() -> None:
    assert row(ADDRESSES, "NAT gateways") == [pytest.approx(n * 0.045 * HOURS) for n in (1, 2)]
    assert row(ADDRESSES, "Elastic IPs") == [pytest.approx(n * 0.005 * HOURS) for n in (1, 2)]
    assert row(ADDRESSES, "fixed") == [pytest.approx(n * PER_ADDRESS) for n in (1, 2)]
    assert row(ADDRESSES, "for every 1,000 GB") == [pytest.approx(NAT_PER_TB)] * 2
