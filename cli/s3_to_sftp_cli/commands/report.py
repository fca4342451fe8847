"""`s3-to-sftp report`: one HTML file about a period."""

import tempfile
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path

import click
from rich.console import Console

from s3_to_sftp_cli.context import Context, shared_options
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.files_to_write import require_writable
from s3_to_sftp_cli.option_types import FILE_PATH
from s3_to_sftp_cli.receipts import Selection
from s3_to_sftp_cli.report.figures import Figures, as_row
from s3_to_sftp_cli.report.page import MOST_ROWS, Rows, write_page
from s3_to_sftp_cli.times import local_now, parse_day, parse_month, parse_past

_PROGRESS_EVERY = 10_000


@click.command("report")
@click.option("--month", metavar="YYYY-MM", help="A month (UTC).")
@click.option("--day", metavar="YYYY-MM-DD", help="A day (UTC), or today, yesterday.")
@click.option("--since", metavar="TIME", help="From a time to now: 7d, 2026-11-01, ...")
@click.option("-o", "--output", "path", type=FILE_PATH, help="The HTML file.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@shared_options
def report_command(
    context: Context, month: str | None, day: str | None, since: str | None, path: Path | None, *, force: bool
) -> int:
    """Write a report for an auditor or a manager: one HTML file.

    Counts, volume, times to deliver, failures by reason, and every delivery with its checksum. Without a
    period: this month.
    """
    first, last, start = _period(month, day, since)
    delivery = context.delivery
    path = path or Path(f"{delivery.function}-{first}{'' if first == last else f'-to-{last}'}.html")
    require_writable(path, "-o", force=force)
    figures = _write(context, path, first, last, start)

    def show(console: Console) -> None:
        console.print(f"{path}: {figures.delivered:,} deliveries, {first} to {last} (UTC)", markup=False)

    files = [str(path)] + ([str(path.with_suffix(".csv"))] if figures.delivered > MOST_ROWS else [])
    failed = figures.by_state["FAILED"] + figures.by_state["UNKNOWN"]
    data = {
        "files": files,
        "first_day": first.isoformat(),
        "last_day": last.isoformat(),
        "delivered": figures.delivered,
        "sent_again": figures.sent_again,
        "bytes": figures.volume,
        "failed": failed,
    }
    context.output.result("report", data, show)
    return ExitCode.OK


def _write(context: Context, path: Path, first: date, last: date, start: datetime | None) -> Figures:
    figures = Figures(first=first, last=last)
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as html,
        tempfile.TemporaryDirectory(dir=path.parent, prefix=".report-") as folder,
        (Path(folder) / "rows.csv").open("w", encoding="utf-8", newline="") as rows_of_csv,
    ):
        rows = Rows(html, rows_of_csv)
        since = start or datetime.combine(first, datetime.min.time(), UTC)
        until = datetime.combine(last + timedelta(days=1), datetime.min.time(), UTC)
        selection = Selection(since=since, until=until)
        records = selection.records(context.ledger, today=datetime.now(UTC).date())
        for record in chain.from_iterable(map(selection.events, records)):
            if record.state != "DELIVERED":
                figures.add_other_end(record)
                continue
            figures.add_delivery(record)
            rows.add(as_row(record))
            if rows.count % _PROGRESS_EVERY == 0:
                context.output.note(f"{rows.count:,} deliveries read, now {record.changed:%Y-%m-%d}")
        html.seek(0)
        page = Path(folder) / "page.html"
        write_page(page, context.delivery, figures, html, made=local_now(), named=path)
        if figures.delivered > MOST_ROWS:
            rows_of_csv.close()
            Path(rows_of_csv.name).replace(path.with_suffix(".csv"))
        page.replace(path)
    return figures


def _period(month: str | None, day: str | None, since: str | None) -> tuple[date, date, datetime | None]:
    if sum(given is not None for given in (month, day, since)) > 1:
        raise CliError(
            "More than one period was given.", hint="Use one of --month, --day, --since.", code=ExitCode.USAGE
        )
    today = datetime.now(UTC).date()
    if day is not None:
        return (parse_day(day), parse_day(day), None)
    if since is not None:
        start = parse_past(since, now=local_now())
        return start.astimezone(UTC).date(), today, start
    first, last = parse_month(month or f"{today:%Y-%m}")
    return first, min(last, today), None
