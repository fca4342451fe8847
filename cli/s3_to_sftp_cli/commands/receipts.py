"""`s3-to-sftp receipts`: what happened to an object, or to all of a time."""

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import chain, islice
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError
from rich.text import Text

from s3_to_sftp_cli.aws import denied_action, explained
from s3_to_sftp_cli.context import Context, shared_options
from s3_to_sftp_cli.deliveries import earlier_deliveries
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.layout import printable
from s3_to_sftp_cli.ledger import Record
from s3_to_sftp_cli.log_reader import LogLine, LogReader
from s3_to_sftp_cli.log_text import log_text
from s3_to_sftp_cli.missing_object import missing_object, not_watched
from s3_to_sftp_cli.object_name import parse_object_name
from s3_to_sftp_cli.object_selection import parse_period, possible_buckets, versions_by_bucket
from s3_to_sftp_cli.option_types import NOT_EMPTY
from s3_to_sftp_cli.output import VERSION
from s3_to_sftp_cli.receipt_text import details, summary
from s3_to_sftp_cli.receipts import CsvWriter, Selection, row
from s3_to_sftp_cli.times import local_now, parse_day, parse_month, parse_past

_DAYS_OF_KEYS = 30
_MOST_VERSIONS_WITH_LOG = 5
_MOST_LOG_LINES = 200


@click.command("receipts")
@click.argument("key", type=NOT_EMPTY, required=False)
@click.option(
    "--bucket", type=NOT_EMPTY, metavar="NAME", help="Of the object; by default any that is watched."
)
@click.option(
    "--key", "pattern", type=NOT_EMPTY, metavar="GLOB", help="Keys like 'in/*.csv'; by default of 30 days."
)
@click.option("--since", type=NOT_EMPTY, metavar="TIME", help="From then on: 02:00, 2h, 7d, 2026-11-29.")
@click.option("--day", type=NOT_EMPTY, metavar="DAY", help="A day in UTC: 2026-11-29, today, yesterday.")
@click.option("--until", type=NOT_EMPTY, metavar="TIME", help="With --since: before then. A day is included.")
@click.option("--month", type=NOT_EMPTY, metavar="YYYY-MM", help="A month in UTC.")
@click.option("--failed", is_flag=True, help="Only what was given up, or whose outcome is unknown.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV for spreadsheets.")
@click.option("--no-logs", is_flag=True, help="With KEY: do not read the log.")
@shared_options
def receipts_command(
    context: Context,
    key: str | None,
    bucket: str | None,
    pattern: str | None,
    since: str | None,
    until: str | None,
    day: str | None,
    month: str | None,
    *,
    failed: bool,
    as_csv: bool,
    no_logs: bool,
) -> int:
    """Show what happened to an object, or to all objects of a time.

    With KEY: all its versions, with times, attempts, checksums, evidence and log. Without: one line for each
    object version that came into its state today (UTC), or as --month, --day, --since, --until, --key
    and --failed say.
    """
    if as_csv and context.output.as_json:
        raise _exclusive("--csv", "--json")
    times = {"--since": since, "--until": until, "--day": day, "--month": month}
    now = local_now()
    if key is not None:
        for option, given in {"--key": pattern, **times, "--failed": failed}.items():
            if given:
                raise _exclusive("KEY", option)
        _show_object(context, now, *parse_object_name(key, bucket), as_csv=as_csv, with_log=not no_logs)
        return ExitCode.OK
    since_then, until_then = _period(now, **{name[2:]: given for name, given in times.items()})
    if since_then is None and not failed:
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        since_then = now - timedelta(days=_DAYS_OF_KEYS) if pattern else midnight
    selection = Selection(since=since_then, until=until_then, name=pattern, bucket=bucket, failed=failed)
    records = selection.records(context.ledger, today=now.astimezone(UTC).date())
    if not context.output.as_json:  # a document has all deliveries of its version
        records = chain.from_iterable(map(selection.events, records))
    printed = _printer(context, now, as_csv=as_csv)
    count = 0
    for count, record in enumerate(records, start=1):  # noqa: B007 - the last one counts
        printed(record, [])
    if not count:
        context.output.note("The ledger has no record of that time. Other times: --month, --day, --since.")
        if bucket and (unwatched := not_watched(context.delivery, bucket)):
            context.output.note(unwatched)
    return ExitCode.OK


def _period(
    now: datetime, *, since: str | None, until: str | None, day: str | None, month: str | None
) -> tuple[datetime | None, datetime | None]:
    """Return begin and end of the time that was asked for; None: not bounded, or not over.

    Raises:
        CliError: It cannot be read, or two times were given.
    """
    given = [f"--{name}" for name, text in (("since", since), ("day", day), ("month", month)) if text]
    if len(given) > 1:
        raise _exclusive(*given[:2])
    if until and not since:
        raise CliError(
            "--until needs --since.", hint="For a whole month: --month YYYY-MM.", code=ExitCode.USAGE
        )
    if since:
        return parse_period(f"{since}..{until}", now=now) if until else (parse_past(since, now=now), None)
    if not given:
        return None, None
    first, last = parse_month(month) if month else (parse_day(str(day)),) * 2
    begin, end = (datetime.combine(each, time(), UTC) for each in (first, last + timedelta(days=1)))
    return begin, end if end <= now else None


def _show_object(
    context: Context, now: datetime, bucket: str | None, key: str, *, as_csv: bool, with_log: bool
) -> None:
    buckets = possible_buckets(context, bucket)
    found = versions_by_bucket(context, buckets, key)
    if not found:
        raise missing_object(context.aws, context.delivery, buckets, key)
    is_text = not (as_csv or context.output.as_json)
    printed = _printer(context, now, as_csv=as_csv, in_detail=True)
    for name, records in found.items():
        if is_text:
            context.output.console.print(Text(printable(f"s3://{name}/{key}"), style="bold"))
        for number, record in enumerate(records):
            if as_csv:
                for earlier in earlier_deliveries(record):
                    printed(earlier, [])
            reads_log = with_log and not as_csv and number < _MOST_VERSIONS_WITH_LOG
            printed(record, _log(context, record, now) if reads_log else [])


def _printer(
    context: Context, now: datetime, *, as_csv: bool, in_detail: bool = False
) -> Callable[[Record, list[LogLine] | str], None]:
    """Return what prints one version, and its log (text: why there is none)."""
    console = context.output.console
    seconds = now.timestamp()
    if as_csv:
        writer = CsvWriter(sys.stdout)
        return lambda record, _: writer.write(row(record, now=seconds))
    if context.output.as_json:

        def print_json(record: Record, log: list[LogLine] | str) -> None:
            document: dict[str, Any] = {"version": VERSION, "command": "receipts", **row(record, now=seconds)}
            if in_detail:
                document["log"] = [] if isinstance(log, str) else [line.as_json() for line in log]
            context.output.line(document)

        return print_json
    if not in_detail:
        return lambda record, _: console.print(summary(record, now=now))

    def print_details(record: Record, log: list[LogLine] | str) -> None:
        for line in details(record, now=now, width=console.width):
            console.print(line)
        if isinstance(log, str):
            console.print(Text(f"log           {log}"))
        elif log:
            console.print(Text("log"))
            for each in log:
                console.print(log_text(each, now=now, with_object=False, with_request=False))

    return print_details


def _log(context: Context, record: Record, now: datetime) -> list[LogLine] | str:
    """Return the lines of the log about a version; text: why there are none."""
    is_final = bool(record.changed) and record.state not in ("WAITING", "SENDING", "STAGED", "COMMITTING")
    first = record.first_seen or record.changed or now
    last = record.changed + timedelta(minutes=2) if is_final and record.changed else None
    try:
        return list(islice(_lines(context, record, first - timedelta(minutes=1), last), _MOST_LOG_LINES))
    except CliError as error:
        return error.message
    except (ClientError, BotoCoreError) as error:
        action = denied_action(error, "logs")
        return f"not allowed: {action}" if action else explained(error).message


def _lines(context: Context, record: Record, since: datetime, until: datetime | None) -> Iterator[LogLine]:
    receipts = (record.receipt, *record.earlier_receipts)
    requests = {str(each["request_id"]) for each in receipts if each.get("request_id")}
    requests |= {record.owner} if record.owner else set()
    reader = LogReader(context.aws.client("logs"), context.delivery.log_group)
    terms = [f"s3://{record.bucket}/{record.key}", *sorted(requests)]
    for line in reader.lines(since=since, until=until, terms=terms):
        if line.object_name:
            names_version = "(version " in line.object_name
            is_other = names_version and f"(version {record.version})" not in line.object_name
            if not is_other and line.is_about(record.bucket, record.key):
                yield line
        elif line.request_id in requests or line.is_about(record.bucket, record.key):
            yield line


def _exclusive(one: str, other: str) -> CliError:
    return CliError(f"{one} and {other} exclude each other.", hint="Leave one out.", code=ExitCode.USAGE)
