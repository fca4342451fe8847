"""The report: figures, the page, and the command."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from s3_to_sftp_cli.checksums import hexadecimal
from s3_to_sftp_cli.commands import report as command
from s3_to_sftp_cli.context import Context
from s3_to_sftp_cli.delivery import DeployedDelivery
from s3_to_sftp_cli.ledger import Record
from s3_to_sftp_cli.main import main
from s3_to_sftp_cli.report import page
from s3_to_sftp_cli.report.charts import Bar, bar_chart
from s3_to_sftp_cli.report.figures import Figures, Times, as_row
from tests.support.cli import check_schema

BEGIN = datetime(2026, 11, 2, 8, tzinfo=UTC)
DELIVERY = DeployedDelivery(
    function="acme-Function", arn="", host="sftp.acme.example", port=22, directory="/inbox", table="ledger"
)


def record(number: int = 0, *, state: str = "DELIVERED", **changes: Any) -> Record:
    fields: dict[str, Any] = {
        "bucket": "orders",
        "key": f"2026/{number:05}.csv",
        "version": "",
        "state": state,
        "attempts": 1,
        "remote_path": f"/inbox/2026/{number:05}.csv",
        "reason": "",
        "hint": "",
        "error": "",
        "operation": "",
        "sftp_status": "",
        "size": 1000,
        "first_seen": BEGIN + timedelta(hours=number),
        "changed": BEGIN + timedelta(hours=number, seconds=2),
        "next_try": None,
        "owner": None,
        "lease_until": 0.0,
        "progress": {},
        "receipt": {
            "bytes": 1000,
            "checksum_algorithm": "CRC32C",
            "checksum": "yZRlqg==",
            "verified_by": "full_object:CRC32C",
            "evidence": "rename_ok",
        },
        "earlier_receipts": (),
        "operator_actions": (),
        "item": {},
    }
    return Record(**{**fields, **changes})


class FakeLedger:
    def __init__(
        self, delivered: Iterable[Record], others: Iterable[Record] = (), later: Iterable[Record] = ()
    ) -> None:
        self._delivered = delivered
        self._later = list(later)
        self._others = list(others)

    def delivered(
        self, first: date, last: date, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Record]:
        assert until is not None
        for each in self._delivered:
            assert each.changed is not None
            if first <= each.changed.date() <= last and (since is None or each.changed >= since):
                yield each

    def sent_again(self, since: datetime, today: date) -> Iterator[Record]:
        assert today >= BEGIN.date()
        return iter([each for each in self._later if each.changed is not None and each.changed >= since])

    def in_state(self, state: str, *, since: datetime) -> Iterator[Record]:
        return iter([each for each in self._others if each.state == state])


class Page(HTMLParser):
    """What a browser would load, and the rows that it would show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self._in_cell = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag != "td"

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data

    def row_with(self, text: str) -> list[str]:
        return next(row for row in self.rows if any(text in cell for cell in row))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    def run(ledger: FakeLedger, *arguments: str) -> int:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(Context, "delivery", DELIVERY)
        monkeypatch.setattr(Context, "ledger", ledger)
        with pytest.raises(SystemExit) as ended:
            main(["report", *arguments])
        return int(ended.value.code or 0)

    return run


def test_checksums_are_hexadecimal_as_partners_compare_them() -> None:
    assert hexadecimal("yZRlqg==") == "c99465aa"
    assert hexadecimal("not base64!") == "not base64!"


def test_percentiles_are_right_to_nine_percent() -> None:
    times = Times()
    for number in range(1, 1001):
        times.add(number / 10)
    assert times.percentile(0.5) == pytest.approx(50, rel=0.1)
    assert times.percentile(0.99) == pytest.approx(99, rel=0.1)
    assert times.percentile(1) == 100
    assert Times().percentile(0.5) is None


def test_histogram_counts_every_time_once() -> None:
    times = Times()
    for seconds in (0.001, 0.5, 0.6, 3, 3600):
        times.add(seconds)
    assert sum(count for _, count in times.histogram()) == 5


def test_a_period_of_weeks_is_counted_by_day_and_of_a_day_by_hour() -> None:
    month = Figures(first=date(2026, 11, 1), last=date(2026, 11, 30))
    day = Figures(first=date(2026, 11, 2), last=date(2026, 11, 2))
    for figures in (month, day):
        for number in range(3):
            figures.add_delivery(record(number))
    assert [count for count, _ in month.per_slot.values()] == [3]
    assert [count for count, _ in day.per_slot.values()] == [1, 1, 1]


def test_failures_group_by_error_status_and_request() -> None:
    figures = Figures(first=BEGIN.date(), last=BEGIN.date())
    refused = {"error": "RequestRefused", "sftp_status": "PERMISSION_DENIED", "operation": "create"}
    for number in range(3):
        figures.add_other_end(record(number, state="FAILED", **refused))
    figures.add_other_end(record(4, state="SUPERSEDED"))
    assert figures.failures == {"RequestRefused PERMISSION_DENIED create": 3}
    assert figures.by_state["SUPERSEDED"] == 1


def test_report_holds_every_delivery_with_its_checksum_and_loads_nothing(run: Any, tmp_path: Path) -> None:
    assert run(FakeLedger(record(number) for number in range(48)), "--month", "2026-11", "-o", "r.html") == 0
    shown = Page((tmp_path / "r.html").read_text())
    assert shown.loaded == []
    assert len([row for row in shown.rows if len(row) == 9]) == 48
    row = shown.row_with("2026/00007.csv")
    assert "CRC32C c99465aa" in row
    assert "full_object:CRC32C" in row


def test_an_object_that_was_sent_again_has_a_row_for_each_delivery(run: Any, tmp_path: Path) -> None:
    """Also for one that was sent again after the period: an auditor counts what the partner has got in it."""
    first = {**record().receipt, "at": BEGIN.timestamp(), "bytes": 10}
    again = record(5, earlier_receipts=(first,))
    later = record(6, changed=BEGIN + timedelta(days=40), earlier_receipts=(first, {"bytes": 3}))
    ledger = FakeLedger([record(), again], later=[later])
    assert run(ledger, "--day", "2026-11-02", "-o", "r.html", "--json") == 0
    text = (tmp_path / "r.html").read_text()
    rows = [row for row in Page(text).rows if len(row) == 9]
    assert [(row[1], row[3], row[-1]) for row in rows] == [
        ("2026/00000.csv", "1,000", "1"),
        ("2026/00005.csv", "10", "1"),
        ("2026/00005.csv", "1,000", "2"),
        ("2026/00006.csv", "10", "1"),
    ]
    assert rows[1][0] == "2026-11-02 08:00:00"
    assert rows[2][4] == ""
    assert "<b>1</b> of them sent again" in text


def test_hostile_keys_cannot_leave_their_cell(run: Any, tmp_path: Path) -> None:
    key = '</td><script>alert(1)</script>"&.csv'
    run(FakeLedger([record(key=key, remote_path="/inbox/<img src=x>")]), "--month", "2026-11", "-o", "r.html")
    text = (tmp_path / "r.html").read_text()
    assert text.count("<script") == 1
    assert "<img" not in text
    assert Page(text).row_with("alert(1)")[1] == key


def test_more_deliveries_than_a_browser_can_show_are_all_in_the_csv_file(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MOST_ROWS", 10)
    monkeypatch.setattr(command, "MOST_ROWS", 10)
    run(FakeLedger(record(number) for number in range(25)), "--month", "2026-11", "-o", "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "first 10 of 25 deliveries" in text
    rows = list(csv.DictReader((tmp_path / "r.csv").open(newline="")))
    assert len(rows) == 25
    assert rows[0]["checksum"] == "c99465aa"


def test_keys_in_the_csv_file_are_no_formulas_for_a_spreadsheet() -> None:
    html, rows = io.StringIO(), io.StringIO()
    page.Rows(html, rows).add(as_row(record(key="=HYPERLINK(1)")))
    assert next(csv.DictReader(io.StringIO(rows.getvalue())))["key"] == "'=HYPERLINK(1)"


def test_an_existing_file_is_replaced_only_by_force(run: Any, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "r.html").write_text("mine")
    assert run(FakeLedger([]), "--month", "2026-11", "-o", "r.html") == 6
    assert (tmp_path / "r.html").read_text() == "mine"
    assert "r.html exists" in capsys.readouterr().err
    assert run(FakeLedger([]), "--month", "2026-11", "-o", "r.html", "--force") == 0
    assert (tmp_path / "r.html").read_text() != "mine"


def test_a_folder_that_does_not_exist_is_refused(run: Any, capsys: Any) -> None:
    assert run(FakeLedger([]), "--month", "2026-11", "-o", "nowhere/r.html") == 2
    assert "The folder nowhere does not exist" in capsys.readouterr().err


def test_a_report_that_is_interrupted_leaves_no_file(run: Any, tmp_path: Path) -> None:
    def deliveries() -> Iterator[Record]:
        yield record()
        raise KeyboardInterrupt

    assert run(FakeLedger(deliveries()), "--month", "2026-11", "-o", "r.html") == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--month", "november"], "not a month"),
        (["--month", "2099-01"], "in the future"),
        (["--day", "2026-02-30"], "not a day"),
        (["--since", "later"], "not a time"),
        (["--month", "2026-11", "--day", "today"], "More than one period"),
    ],
)
def test_a_period_that_cannot_be_is_refused(run: Any, capsys: Any, arguments: list[str], said: str) -> None:
    assert run(FakeLedger([]), *arguments) == 2
    assert said in capsys.readouterr().err


def test_json_names_the_files_and_the_figures(run: Any, capsys: Any) -> None:
    failed = record(9, state="FAILED", error="RequestRefused")
    run(FakeLedger([record()], [failed]), "--month", "2026-11", "-o", "r.html", "--json")
    document = json.loads(capsys.readouterr().out)
    check_schema("report", document)
    assert document["files"] == ["r.html"]
    assert (document["delivered"], document["sent_again"]) == (1, 0)
    assert (document["bytes"], document["failed"]) == (1000, 1)


def test_chart_is_empty_without_bars_and_escapes_labels() -> None:
    assert "<svg" not in bar_chart([], title="t", top="")
    drawn = bar_chart([Bar(label="<b>", value=0, text="0")], title="t", top="0")
    assert "<b>" not in drawn
    assert re.search(r'height="0\.0"', drawn)
