"""`s3-to-sftp backfill`: sends what was in the bucket before the deployment, or during an outage."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from s3_to_sftp_cli.backfill_plan import Marker, Plan
from s3_to_sftp_cli.context import Context, dry_run_option, reason_option, shared_options
from s3_to_sftp_cli.costs import EXTRA, PARTS, SOURCE, Cost
from s3_to_sftp_cli.delivery import WatchedSource
from s3_to_sftp_cli.errors import CliError, ExitCode, Interrupted
from s3_to_sftp_cli.filters import read_filters
from s3_to_sftp_cli.inventory import objects_of, read_manifest
from s3_to_sftp_cli.operator_messages import Request, Sender, new_id
from s3_to_sftp_cli.option_types import FILE_PATH, NOT_EMPTY
from s3_to_sftp_cli.pace import Rate
from s3_to_sftp_cli.questions import confirm
from s3_to_sftp_cli.sizes import count_text, size_text
from s3_to_sftp_cli.stored_objects import StoredObject, listed, notification_of
from s3_to_sftp_cli.times import local_now, parse_past

_MARK_EVERY = 10
"""Messages of one request."""

_WHY = {
    "delivered": "delivered already",
    "in_flight": "waiting or being sent",
    "operator": "outcome unknown, cancelled or skipped: see `s3-to-sftp confirm`, `resend`",
    "settled": "superseded or gone",
    "not_watched": "not watched",
    "filtered": "left out by the rule 'only': `s3-to-sftp plan KEY` says why, "
    "`s3-to-sftp resend KEY --even-if-filtered --reason TEXT` sends one",
    "folder_marker": "markers of folders",
    "older": "older than --since",
    "before": "before the place in --state",
}


@click.command("backfill")
@click.option(
    "--bucket", type=NOT_EMPTY, metavar="NAME", help="Only this bucket. Default: all that are watched."
)
@click.option("--prefix", default="", metavar="TEXT", help="Only keys with this prefix.")
@click.option(
    "--since",
    type=NOT_EMPTY,
    metavar="TIME",
    help="Only what was put at this time or later, e.g. 2026-11-29T02:00.",
)
@click.option("--max-rate", type=Rate(), metavar="N", help="Objects per second. Default: no limit.")
@click.option(
    "--inventory",
    metavar="URL",
    help="Take the list from an S3 Inventory in CSV: s3://BUCKET/.../manifest.json. For millions of objects.",
)
@click.option(
    "--state",
    type=FILE_PATH,
    metavar="FILE",
    help="Keep in this file how far it is; repeated, the command continues there.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@reason_option
@dry_run_option
@shared_options
def backfill_command(
    context: Context,
    *,
    bucket: str | None,
    prefix: str,
    since: str | None,
    max_rate: float | None,
    inventory: str | None,
    state: Path | None,
    yes: bool,
    reason: str,
    dry_run: bool,
) -> int:
    """Send what is in the bucket and was never delivered.

    The current versions of what is watched: not what the ledger has delivered, or has on its way. Shows how
    many there are and what they cost, and asks. Interrupted, it can be repeated.

    \b
    s3-to-sftp backfill --dry-run
    s3-to-sftp backfill --since 2h --reason "outage of last night"
    """  # noqa: D301 - click's mark
    queue_url, _ = context.delivery.require_queues()
    start = None if since is None else parse_past(since, now=local_now())
    s3 = context.aws.client("s3")
    listing = None if inventory is None else read_manifest(s3, inventory)
    sources = _sources(context, bucket, listing.bucket if listing else None)
    marker = Marker(state, _about(context, bucket=bucket, prefix=prefix, since=since, inventory=inventory))
    if listing is None:
        stored = listed(s3, sources, prefix=prefix)
    else:
        stored = objects_of(s3, listing, with_time=start is not None)
    filters = read_filters(context)
    with Plan(
        context.ledger,
        sources,
        prefix=prefix,
        since=start,
        after=marker.read(),
        is_filtered=lambda stored: filters.refuses(stored, now=time.time()),
    ) as plan:
        _look(context, plan, stored)
        request = Request(
            action="backfill", id=new_id("backfill"), who=context.caller, at=time.time(), reason=reason
        )
        if dry_run or not plan.count:
            return _tell(context, plan, request, sent=0, dry_run=dry_run)
        if not yes:
            _show_plan(context.output.messages, plan)
            confirm(context, f"Send {'it' if plan.count == 1 else 'them'} to {context.delivery.target}")
        hint = "Repeat the command: what the ledger knows by then is not sent again."
        sender = Sender(context.aws.client("sqs"), queue_url, max_rate=max_rate, hint=hint)
        sent = _send(context, plan, sender.send(plan.objects(), request, notification_of), marker, request)
        return _tell(context, plan, request, sent=sent, dry_run=False)


def _sources(context: Context, bucket: str | None, listed_bucket: str | None) -> tuple[WatchedSource, ...]:
    """Return the sources that are meant.

    Raises:
        CliError: None is, or the function does not tell.
    """
    sources = context.delivery.sources
    if not sources and bucket is not None:
        context.output.note(
            "The function's configuration does not tell what it watches: "
            "everything in the bucket is taken for watched."
        )
        sources = (WatchedSource(bucket=bucket),)
    if not sources:
        raise CliError(
            f"The configuration of {context.delivery.function} does not tell what it watches.",
            hint="Name the bucket with --bucket, and the part of it that is watched with --prefix.",
            code=ExitCode.USAGE,
        )
    meant = [name for name in (bucket, listed_bucket) if name is not None]
    found = tuple(source for source in sources if all(source.bucket == name for name in meant))
    if not found:
        watched = ", ".join(dict.fromkeys(source.bucket for source in sources))
        raise CliError(
            f"{' and '.join(dict.fromkeys(meant))}: {context.delivery.function} watches {watched}.",
            hint="Name a bucket that is watched, and the inventory of it.",
            code=ExitCode.NOT_FOUND,
        )
    return found


def _about(context: Context, **options: Any) -> dict[str, Any]:
    return {"function": context.delivery.arn or context.delivery.function, **options}


def _look(context: Context, plan: Plan, stored: Iterator[StoredObject]) -> None:
    """Go through the list, and show how far it is."""
    console = context.output.messages
    if not console.is_terminal:
        plan.add_all(stored, lambda _seen: None)
        return
    with console.status("Looking for objects that were not delivered") as status:
        plan.add_all(
            stored,
            lambda seen: status.update(
                f"{count_text(seen, 'object')} listed, {plan.count:,} of them not delivered"
            ),
        )


def _send(
    context: Context, plan: Plan, sent: Iterator[StoredObject], marker: Marker, request: Request
) -> int:
    console = context.output.messages
    columns = (TextColumn("queued"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    last: StoredObject | None = None
    number = 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=plan.count)
        try:
            for number, last in enumerate(sent, start=1):
                progress.advance(task)
                if number % _MARK_EVERY == 0:
                    marker.write(last.position)
        except BaseException as error:
            if last is not None:
                with contextlib.suppress(CliError):  # the first error says more
                    marker.write(last.position)
            context.output.note(f"{number:,} of {count_text(plan.count, 'object')} are in the queue")
            if number and context.output.as_json:
                _tell(context, plan, request, sent=number, dry_run=False, interrupted=True)
                if isinstance(error, KeyboardInterrupt):
                    raise Interrupted from None
            raise
    marker.remove()
    return number


def _tell(
    context: Context, plan: Plan, request: Request, *, sent: int, dry_run: bool, interrupted: bool = False
) -> int:
    def show(console: Console) -> None:
        if sent:
            console.print(f"{count_text(sent, 'object')} in the queue (id {request.id})", markup=False)
            console.print("Follow the progress with `s3-to-sftp status`.", markup=False)
        else:
            _show_plan(console, plan)

    cost = Cost(plan.count)
    result = {
        "delivery": context.delivery.as_json(),
        "id": request.id,
        "objects": plan.count,
        "bytes": plan.size,
        "sent": sent,
        "failed_before": plan.failed_before,
        "skipped": {name: plan.skipped[name] for name in _WHY},
        "cost": cost.as_json(),
        "interrupted": interrupted,
        "dry_run": dry_run,
    }
    context.output.result("backfill", result, show)
    return ExitCode.OK


def _show_plan(console: Console, plan: Plan) -> None:
    if plan.count:
        cost = Cost(plan.count)
        console.print(
            f"{count_text(plan.count, 'object')}, {size_text(plan.size)} to send: {cost}", markup=False
        )
        if plan.failed_before:
            console.print(
                f"{plan.failed_before:>10,}  of them failed before, and are sent again", markup=False
            )
        for part in PARTS:
            console.print(
                f"{part.each:>10}  {part.what} per object, ${part.per_million:g} per million", markup=False
            )
        console.print(f"            {SOURCE[0]}:\n            {SOURCE[1]}; {EXTRA}", markup=False)
    else:
        console.print("There is nothing to send.", markup=False)
    for name, words in _WHY.items():
        if plan.skipped[name]:
            console.print(f"{plan.skipped[name]:>10,}  {words}", markup=False)
