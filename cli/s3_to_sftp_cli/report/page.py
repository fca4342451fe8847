"""The report as one HTML file: everything is in it, nothing is loaded from elsewhere."""

import csv
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any, TextIO

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from s3_to_sftp_cli.delivery import DeployedDelivery
from s3_to_sftp_cli.report.charts import Bar, bar_chart
from s3_to_sftp_cli.report.figures import Figures
from s3_to_sftp_cli.sizes import size_text
from s3_to_sftp_cli.spreadsheet import safe_cell
from s3_to_sftp_cli.times import in_words

MOST_ROWS = 50_000
"""Deliveries in the table: browsers become slow with more. All are in the CSV file beside it then."""

_ROWS = "<!-- rows -->"
_COLUMNS = (
    ("delivered (UTC)", ""),
    ("key", "path"),
    ("remote path", "path"),
    ("bytes", "n"),
    ("seconds", "n"),
    ("checksum", "hash"),
    ("verified by", ""),
    ("evidence", ""),
    ("delivery", "n"),
)
_EVIDENCE = {
    "close_ok": "It was written under its final name, and the server answered all of that with OK.",
    "rename_ok": "The server answered the RENAME with OK.",
    "seen_after_rename": "The answer was lost; the file was then seen with its size and modification time.",
    "assumed": "The answer was lost, and the configuration counts that as delivered.",
    "confirmed": "The answer was lost; an operator confirmed the delivery.",
}
_STATES = {
    "SUPERSEDED": "A newer version of the object was delivered.",
    "GONE": "The object was deleted before it was delivered.",
    "SKIPPED": "Something else had the final name, and the rules say to skip the object then.",
    "CANCELLED": "An operator cancelled the delivery.",
}


class Rows:
    """The rows of the table, and of the CSV file: written as they come, in bounded memory."""

    def __init__(self, html: TextIO, rows: TextIO) -> None:
        self._html = html
        self._csv = csv.writer(rows)
        self._has_header = False
        self.count = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Write one delivery (see `figures.as_row`)."""
        if not self._has_header:
            self._csv.writerow(row)
            self._has_header = True
        self._csv.writerow([safe_cell(value) for value in row.values()])
        self.count += 1
        if self.count <= MOST_ROWS:
            self._html.write(_html_row(row))


def write_page(
    path: Path,
    delivery: DeployedDelivery,
    figures: Figures,
    rows: TextIO,
    *,
    made: datetime,
    named: Path,
) -> None:
    """Write the report.

    Args:
        path: The HTML file.
        delivery: What it is about.
        figures: All added up.
        rows: The rows of the table, at its beginning.
        made: The time.
        named: What the file will be called when it is complete.
    """
    before, after = _page(named, delivery, figures, made).split(_ROWS)
    with path.open("w", encoding="utf-8") as file:
        file.write(before)
        for line in rows:
            file.write(line)
        file.write(after)


def _page(path: Path, delivery: DeployedDelivery, figures: Figures, made: datetime) -> str:
    environment = Environment(
        loader=PackageLoader("s3_to_sftp_cli.report", ""), autoescape=True, undefined=StrictUndefined
    )
    period = str(figures.first) if figures.first == figures.last else f"{figures.first} to {figures.last}"
    median, p95, p99 = (_duration(figures.times.percentile(share)) for share in (0.5, 0.95, 0.99))
    return environment.get_template("page.html.j2").render(
        host=delivery.server,
        directory=delivery.directory,
        function=delivery.function,
        period=period,
        made=f"{made:%Y-%m-%d %H:%M %Z}",
        delivered=f"{figures.delivered:,}",
        sent_again=f"{figures.sent_again:,}" if figures.sent_again else "",
        volume=size_text(figures.volume),
        median=median,
        p95=p95,
        p99=p99,
        waiting_for_a_person=figures.by_state["FAILED"] + figures.by_state["UNKNOWN"],
        superseded=figures.by_state["SUPERSEDED"],
        slot="hour" if figures.is_by_hour else "day",
        unverified=figures.unverified,
        evidence=[(name, _EVIDENCE.get(name, ""), f"{n:,}") for name, n in figures.evidence.most_common()],
        failures=figures.failures.most_common(),
        others=[
            (name, text, figures.by_state[name]) for name, text in _STATES.items() if figures.by_state[name]
        ],
        shown=f"{MOST_ROWS:,}",
        left_out=figures.delivered > MOST_ROWS,
        csv_name=path.with_suffix(".csv").name,
        columns=_COLUMNS,
        **{name: Markup(chart) for name, chart in _charts(figures).items()},  # noqa: S704 - escaped in charts.py
    )


def _charts(figures: Figures) -> dict[str, str]:
    slots = sorted(figures.per_slot)
    form = "%H:%M" if figures.is_by_hour else "%d %b"
    objects = [
        Bar(label=f"{slot:{form}}", value=(n := figures.per_slot[slot][0]), text=f"{n:,}") for slot in slots
    ]
    volumes = [
        Bar(label=f"{slot:{form}}", value=(size := figures.per_slot[slot][1]), text=size_text(size))
        for slot in slots
    ]
    times = [
        Bar(label="longer" if up_to == math.inf else f"≤ {_bound(up_to)}", value=n, text=f"{n:,}")
        for up_to, n in figures.times.histogram()
    ]
    return {
        "objects_chart": _chart(objects, "Deliveries"),
        "volume_chart": _chart(volumes, "Volume"),
        "times_chart": _chart(times, "Time to deliver"),
    }


def _chart(bars: list[Bar], title: str) -> str:
    return bar_chart(bars, title=title, top=max(bars, key=lambda bar: bar.value).text if bars else "")


def _html_row(row: Mapping[str, Any]) -> str:
    algorithm, checksum = row["checksum_algorithm"], row["checksum"]
    hashes = [f"{algorithm} {checksum}"] if checksum else []
    hashes += [f"SHA256 {row['sha256']}"] if row["sha256"] else []
    seconds = row["seconds"]
    name = row["key"] if not row["version"] else f"{row['key']} ({row['version']})"
    cells: Iterable[tuple[str, object]] = (
        (row["delivered"], None),
        (name, None),
        (row["remote_path"], None),
        (f"{row['bytes']:,}", row["bytes"]),
        ("" if seconds is None else f"{seconds:,.1f}", -1 if seconds is None else seconds),
        ("\n".join(hashes), None),
        (row["verified_by"], None),
        (row["evidence"], None),
        (str(row["delivery"] or ""), row["delivery"] or 0),
    )
    return (
        "<tr>"
        + "".join(_cell(title, kind, *cell) for (title, kind), cell in zip(_COLUMNS, cells, strict=True))
        + "</tr>\n"
    )


def _cell(title: str, kind: str, text: str, sort: object) -> str:
    sorts = "" if sort is None else f' data-sort="{sort}"'
    of_kind = f' class="{kind}"' if kind else ""
    return f'<td{of_kind}{sorts} data-name="{title}">{escape(text)}</td>'


def _bound(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 60 else in_words(seconds)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "none"
    return f"{seconds:.1f} s" if seconds < 59.95 else in_words(seconds)
