"""`s3-to-sftp logs`: the function's log, of all objects, of one, or of one invocation."""

import sys

import click

from s3_to_sftp_cli.context import Context, shared_options
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.log_reader import LogLine, LogReader
from s3_to_sftp_cli.log_text import log_text
from s3_to_sftp_cli.object_name import parse_object_name
from s3_to_sftp_cli.option_types import NOT_EMPTY
from s3_to_sftp_cli.output import VERSION
from s3_to_sftp_cli.times import local_now, parse_past


@click.command("logs")
@click.argument("key", type=NOT_EMPTY, required=False)
@click.option(
    "--bucket", type=NOT_EMPTY, metavar="NAME", help="Of the object; by default any that is watched."
)
@click.option("--request", type=NOT_EMPTY, metavar="ID", help="Only the invocation with this request id.")
@click.option(
    "--since", default="1h", show_default=True, metavar="TIME", help="02:00, 2h, 2026-11-29T02:00Z."
)
@click.option("--follow", "-f", is_flag=True, help="Wait for new lines, until Ctrl-C.")
@shared_options
def logs_command(
    context: Context, key: str | None, bucket: str | None, request: str | None, since: str, *, follow: bool
) -> int:
    """Show the function's log; with KEY only what is about this object."""
    if key and request:
        raise CliError(
            "KEY and --request exclude each other.",
            hint="An invocation may send several objects: name one of the two.",
            code=ExitCode.USAGE,
        )
    now = local_now()
    start = parse_past(since, now=now)
    named = parse_object_name(key, bucket) if key else None
    reader = LogReader(context.aws.client("logs"), context.delivery.log_group)
    terms = _terms(context, named, request)
    lines = (
        reader.follow(since=start, terms=terms)
        if follow
        else reader.lines(since=start, until=None, terms=terms)
    )

    chosen = (line for line in lines if _is_wanted(line, named, request))
    count = 0
    try:
        for count, line in enumerate(chosen, start=1):  # noqa: B007 - the last one counts
            if context.output.as_json:
                context.output.line({"version": VERSION, "command": "logs", **line.as_json()})
            else:
                text = log_text(line, now=now, with_object=named is None, with_request=request is None)
                context.output.console.print(text)
            if follow:
                sys.stdout.flush()
    except KeyboardInterrupt:
        if not follow:
            raise
        return ExitCode.OK  # the usual way to end it
    if not count:
        raise CliError(
            f"Nothing in {context.delivery.log_group} since {start:%Y-%m-%d %H:%M %Z}.",
            hint="Look further back: --since 1d. What is being sent just now may have no line yet: "
            "`s3-to-sftp status` shows it.",
            code=ExitCode.NOT_FOUND,
        )
    return ExitCode.OK


def _terms(context: Context, named: tuple[str | None, str] | None, request: str | None) -> list[str]:
    if request:
        return [request]
    if named is None:
        return []
    bucket, key = named
    buckets = [bucket] if bucket else context.delivery.buckets()
    return [f"s3://{each}/{key}" for each in buckets] or [f"/{key}"]


def _is_wanted(line: LogLine, named: tuple[str | None, str] | None, request: str | None) -> bool:
    if named is not None:
        return line.is_about(*named)
    return request is None or request in (line.request_id, *line.message.split())
