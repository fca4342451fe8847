"""`resend`, `retry`: sends messages for single objects, or for many."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import click

from s3_to_sftp_cli.context import Context, dry_run_option, reason_option, shared_options
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.filtered_object import named_object
from s3_to_sftp_cli.ledger import Record
from s3_to_sftp_cli.object_selection import (
    DeliveredInPeriod,
    WaitingVersions,
    find_version,
    require_resendable,
    was_done,
)
from s3_to_sftp_cli.operator_messages import Request, Sender
from s3_to_sftp_cli.operator_request import bucket_option, operator_request, version_option
from s3_to_sftp_cli.option_types import NOT_EMPTY
from s3_to_sftp_cli.pace import Rate
from s3_to_sftp_cli.partner_attempt import (
    admit_one_attempt,
    require_not_paused,
    wait_for_partner,
)
from s3_to_sftp_cli.questions import confirm
from s3_to_sftp_cli.receipt_text import state_in_words
from s3_to_sftp_cli.sending import Sending
from s3_to_sftp_cli.stored_objects import StoredObject, notification_of

Command = TypeVar("Command", bound=Callable[..., Any])


def sending_options(command: Command) -> Command:
    """Add what `resend` and `retry` share: how fast, continued from where, without a question."""
    for option in (
        shared_options,
        dry_run_option,
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option(
            "--id", "id_", type=NOT_EMPTY, metavar="ID", help="Continue the command that printed this id."
        ),
        click.option("--max-rate", type=Rate(), metavar="N", help="Objects per second. Default: no limit."),
    ):
        command = option(command)
    return command


@click.command("resend")
@click.argument("key", type=NOT_EMPTY, required=False)
@version_option
@bucket_option
@click.option(
    "--delivered", "period", metavar="FROM..TO", help="All that was delivered then; a day as TO is included."
)
@click.option("--prefix", default="", metavar="TEXT", help="With --delivered: keys with this prefix.")
@click.option(
    "--even-if-filtered", is_flag=True, help="Also an object that was never sent: rule 'only' leaves it out."
)
@reason_option
@sending_options
def resend_command(
    context: Context,
    *,
    key: str | None,
    version: str | None,
    bucket: str | None,
    period: str | None,
    prefix: str,
    even_if_filtered: bool,
    reason: str,
    max_rate: float | None,
    id_: str | None,
    yes: bool,
    dry_run: bool,
) -> int:
    """Send again what was delivered, and lost by the partner.

    The earlier receipts are kept. Nothing is sent again that a newer version has replaced. An interrupted
    command continues with --id: what it has sent is not sent twice.

    \b
    s3-to-sftp resend 2026/a.csv --reason "ticket 4711"
    s3-to-sftp resend --delivered 2026-11-22..2026-11-28 --reason "they lost a week"
    """  # noqa: D301 - click's mark
    if (key is None) == (period is None):
        raise CliError(
            "Name one object, or a period with --delivered: one of the two.",
            hint="s3-to-sftp resend 2026/a.csv, or s3-to-sftp resend --delivered 2026-11-22..2026-11-28",
            code=ExitCode.USAGE,
        )
    _refuse_useless_options(key, prefix=prefix, version=version)
    if even_if_filtered and key is None:
        raise CliError("--even-if-filtered needs an object.", hint="Name the key.", code=ExitCode.USAGE)
    queue_url, _ = context.delivery.require_queues()
    request = operator_request(context, "resend", reason=reason, id_=id_)
    sender = Sender(context.aws.client("sqs"), queue_url, max_rate=max_rate)
    if key is not None:
        find = named_object if even_if_filtered else find_version
        record = find(context, key, bucket=bucket, version=version)
        if isinstance(record, StoredObject):
            return _send_stored(context, request, sender, record, dry_run=dry_run)
        if was_done(record, request.id):
            outcome = _outcome(record, request)
            done = Sending(context, request, count=0, size=0, done_before=1, outcome=outcome, dry_run=dry_run)
            return done.tell()
        require_resendable(context, record)
        chosen: Callable[[], Iterable[Record]] = lambda: [record]  # noqa: E731
        numbered = int(record.state == "DELIVERED" and "sequence" in record.receipt)
        size = record.size or 0
        sending = Sending(context, request, count=1, size=size, numbered=numbered, dry_run=dry_run)
    else:
        chosen = found = DeliveredInPeriod(context, str(period), prefix=prefix, bucket=bucket, id_=request.id)
        sending = Sending(
            context,
            request,
            count=found.count,
            size=found.size,
            done_before=found.done_before,
            numbered=found.numbered,
            dry_run=dry_run,
        )
    with sending:
        sending.send_all(sender, chosen, ask=period is not None and not yes)
    return sending.tell()


def _send_stored(
    context: Context, request: Request, sender: Sender, stored: StoredObject, *, dry_run: bool
) -> int:
    """Send an object that the ledger does not know, whatever the rule 'only' says."""
    sending = Sending(context, request, count=1, size=stored.size, dry_run=dry_run)
    if not dry_run:
        with sending:
            sent = list(sender.send([stored], request, notification_of))
            sending.count_all(sent)
    return sending.tell()


@click.command("retry")
@click.argument("key", type=NOT_EMPTY, required=False)
@version_option
@bucket_option
@click.option("--partner", is_flag=True, help="Also if the circuit breaker is open: try the partner now.")
@click.option("--reason", default="", metavar="TEXT", help="Why; recorded in the ledger.")
@sending_options
def retry_command(
    context: Context,
    *,
    key: str | None,
    version: str | None,
    bucket: str | None,
    partner: bool,
    reason: str,
    max_rate: float | None,
    id_: str | None,
    yes: bool,
    dry_run: bool,
) -> int:
    """Try now what waits for its next attempt; without KEY everything that waits.

    A second message is sent. The first one comes back in its time, and finds the object delivered.

    \b
    s3-to-sftp retry
    s3-to-sftp retry --partner --reason "they say it is fixed"
    """  # noqa: D301 - click's mark
    _refuse_useless_options(key, prefix="", version=version)
    queue_url, _ = context.delivery.require_queues()
    require_not_paused(context)
    request = operator_request(context, "retry", reason=reason, id_=id_)
    waiting = WaitingVersions(context, key, bucket=bucket, version=version, now=request.at, id_=request.id)
    ask = (lambda _question: None) if yes else functools.partial(confirm, context)
    is_open = admit_one_attempt(context, partner=partner, ask=ask, dry_run=dry_run, now=request.at)
    sender = Sender(context.aws.client("sqs"), queue_url, max_rate=max_rate)
    sending = Sending(
        context,
        request,
        count=waiting.count,
        size=waiting.size,
        done_before=waiting.done_before,
        outcome=_outcome(waiting.one, request) if waiting.one else "",
        dry_run=dry_run,
    )
    chosen: Callable[[], Iterable[Record]] = waiting
    with sending:
        if is_open and not dry_run and (first := next(waiting(), None)) is not None:
            # The breaker lets one function try. The others would only wait again before it has closed.
            sending.count_all(sender.send([first], request))
            wait_for_partner(context)
            chosen = functools.partial(_all_but, first, waiting)
        sending.send_all(sender, chosen, ask=False)
    return sending.tell()


def _all_but(first: Record, records: Callable[[], Iterable[Record]]) -> Iterator[Record]:
    known = (first.item["pk"], first.item["sk"])
    return (each for each in records() if (each.item["pk"], each.item["sk"]) != known)


def _refuse_useless_options(key: str | None, *, prefix: str, version: str | None) -> None:
    if key is not None and prefix:
        raise CliError(
            "--prefix goes with --delivered, not with one object.", hint="Leave it out.", code=ExitCode.USAGE
        )
    if key is None and version is not None:
        raise CliError("--version needs an object.", hint="Name the key.", code=ExitCode.USAGE)


def _outcome(record: Record, request: Request) -> str:
    return f"{record.key} is {state_in_words(record, request.at)}."
