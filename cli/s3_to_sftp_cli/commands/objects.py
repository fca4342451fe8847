"""`resend`, `retry`, `cancel`, `confirm`: what an operator does about single objects, or about many."""

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import click
from botocore.exceptions import BotoCoreError, ClientError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from s3_to_sftp_cli.aws import explained
from s3_to_sftp_cli.context import Context, dry_run_option, reason_option, shared_options
from s3_to_sftp_cli.errors import CliError, ExitCode, Interrupted
from s3_to_sftp_cli.filtered_object import named_object
from s3_to_sftp_cli.layout import wrapped
from s3_to_sftp_cli.ledger import Record
from s3_to_sftp_cli.ledger_changes import LedgerWriter, confirmed_receipt
from s3_to_sftp_cli.object_dead_letters import remove_dead_letters
from s3_to_sftp_cli.object_name import typed_object
from s3_to_sftp_cli.object_selection import (
    IN_FLIGHT_STATES,
    DeliveredInPeriod,
    WaitingVersions,
    find_version,
    require_not_being_sent,
    require_resendable,
    was_done,
    wrong_state,
)
from s3_to_sftp_cli.operator_messages import Request, Sender, new_id
from s3_to_sftp_cli.option_types import NOT_EMPTY
from s3_to_sftp_cli.pace import Rate
from s3_to_sftp_cli.partner_attempt import (
    admit_one_attempt,
    require_not_paused,
    wait_for_partner,
    what_all_wait_for,
)
from s3_to_sftp_cli.partner_files import (
    confirmed_file,
    files_at_partner,
    has_lost_number,
    is_refused_beside_its_data,
    number_given_up,
)
from s3_to_sftp_cli.questions import confirm
from s3_to_sftp_cli.receipt_text import state_in_words
from s3_to_sftp_cli.sequences import version_of
from s3_to_sftp_cli.sizes import count_text, size_text
from s3_to_sftp_cli.stored_objects import StoredObject, notification_of

Command = TypeVar("Command", bound=Callable[..., Any])

_FOLLOW = "Follow it with `s3-to-sftp status`."

_MAX_TEXT_BYTES = 1000
"""The function keeps so much of a reason."""

_CANCELLABLE = (*IN_FLIGHT_STATES, "FAILED", "UNKNOWN")


def bucket_option(command: Command) -> Command:
    """Add `--bucket`, needed where the delivery watches several and the key is in more than one."""
    return click.option(
        "--bucket", type=NOT_EMPTY, metavar="NAME", help="Where the key is in several buckets."
    )(command)


def version_option(command: Command) -> Command:
    """Add `--version`: one of an object's versions; by default the one that was seen last."""
    return click.option(
        "--version",
        type=NOT_EMPTY,
        metavar="ID",
        help="VersionId, or ETag where there are no versions. Default: the latest.",
    )(command)


def sending_options(command: Command) -> Command:
    """Add what `resend` and `retry` share: how fast, continued from where, without a question."""
    for option in (
        shared_options,
        dry_run_option,
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option(
            "--id", "id_", type=NOT_EMPTY, metavar="ID", help="Continue the command that printed this id."
        ),
        click.option(
            "--max-rate", type=Rate(min=0.1), metavar="N", help="Objects per second. Default: no limit."
        ),
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
    request = _request(context, "resend", reason, id_)
    sender = Sender(context.aws.client("sqs"), queue_url, max_rate=max_rate)
    if key is not None:
        find = named_object if even_if_filtered else find_version
        record = find(context, key, bucket=bucket, version=version)
        if isinstance(record, StoredObject):
            return _send_stored(context, request, sender, record, dry_run=dry_run)
        if was_done(record, request.id):
            outcome = _outcome(record, request)
            done = _Sending(
                context, request, count=0, size=0, done_before=1, outcome=outcome, dry_run=dry_run
            )
            return done.tell()
        require_resendable(context, record)
        chosen: Callable[[], Iterable[Record]] = lambda: [record]  # noqa: E731
        numbered = int(record.state == "DELIVERED" and "sequence" in record.receipt)
        size = record.size or 0
        sending = _Sending(context, request, count=1, size=size, numbered=numbered, dry_run=dry_run)
    else:
        chosen = found = DeliveredInPeriod(context, str(period), prefix=prefix, bucket=bucket, id_=request.id)
        sending = _Sending(
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
    sending = _Sending(context, request, count=1, size=stored.size, dry_run=dry_run)
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
    request = _request(context, "retry", reason, id_)
    waiting = WaitingVersions(context, key, bucket=bucket, version=version, now=request.at, id_=request.id)
    ask = (lambda _question: None) if yes else functools.partial(confirm, context)
    is_open = admit_one_attempt(context, partner=partner, ask=ask, dry_run=dry_run, now=request.at)
    sender = Sender(context.aws.client("sqs"), queue_url, max_rate=max_rate)
    sending = _Sending(
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


@click.command("cancel")
@click.argument("key", type=NOT_EMPTY)
@version_option
@bucket_option
@reason_option
@dry_run_option
@shared_options
def cancel_command(
    context: Context, *, key: str, version: str | None, bucket: str | None, reason: str, dry_run: bool
) -> int:
    """Give up the delivery of an object: it is not sent, whatever messages name it.

    Refused while it is being sent, and where files with its number of a sequence may be at the partner: the
    next object would get the number again. Its dead letter is removed. `resend` sends it after all.
    """
    request = _request(context, "cancel", reason, None)
    record = find_version(context, key, bucket=bucket, version=version)
    if record.state not in _CANCELLABLE:
        raise wrong_state(record, "there is nothing to cancel")
    require_not_being_sent(record, now=request.at)
    number = number_given_up(context.ledger, record)
    writer = LedgerWriter(context.aws.client("dynamodb"), context.ledger.table)
    if not dry_run:
        cancel = writer.cancel_and_forget if has_lost_number(context.ledger, record) else writer.cancel
        cancel(record, request)
    about = None if number is None else {"sequence": number.name, "number": number.number}
    told = ""
    if files := ", ".join(files_at_partner(version_of(record))):
        told = f"at the partner stays: {files}"
    if number is not None:
        told = f"number {number.number} of the sequence {number.name!r} goes to the next object"
    more = {"number_returned": about}
    return _tell_ended(
        context, "cancel", record, request, state="CANCELLED", dry_run=dry_run, more=more, told=told
    )


@click.command("confirm")
@click.argument("key", type=NOT_EMPTY)
@version_option
@bucket_option
@reason_option
@dry_run_option
@shared_options
def confirm_command(
    context: Context, *, key: str, version: str | None, bucket: str | None, reason: str, dry_run: bool
) -> int:
    """Record that the partner has a file whose outcome is unknown.

    Ask the partner first. The object gets a receipt whose evidence is `confirmed`, and its dead letter is
    removed. If the partner does not have the file: `s3-to-sftp resend KEY --reason TEXT`.

    Where the partner's rules ask for more, such as a file beside the data, the object is in flight again: the
    function puts what is missing, and writes the receipt.
    """
    request = _request(context, "confirm", reason, None)
    record = find_version(context, key, bucket=bucket, version=version)
    without_the_rest = is_refused_beside_its_data(record)
    if record.state != "UNKNOWN" and not without_the_rest:
        raise wrong_state(record, "only an object whose outcome is unknown can be confirmed")
    require_not_being_sent(record, now=request.at)
    found = None if without_the_rest else confirmed_file(record)
    if found is not None:
        return _confirm_file(context, record, request, *found, dry_run=dry_run)
    receipt = confirmed_receipt(record)
    if not dry_run:
        LedgerWriter(context.aws.client("dynamodb"), context.ledger.table).confirm(record, request)
    more = {"remote_path": receipt["remote_path"], "receipt": receipt}
    return _tell_ended(context, "confirm", record, request, state="DELIVERED", dry_run=dry_run, more=more)


def _confirm_file(
    context: Context,
    record: Record,
    request: Request,
    path: str,
    found: Mapping[str, Any],
    *,
    dry_run: bool,
) -> int:
    """Record that a file is at the partner, and let the function do what is left."""
    queue_url, _ = context.delivery.require_queues()
    if not dry_run:
        LedgerWriter(context.aws.client("dynamodb"), context.ledger.table).confirm_file(
            record, request, found
        )
        # Its message is dead-lettered: without another one nothing happens.
        again = (
            f"`s3-to-sftp retry {typed_object(record)}` has the function complete it: {path!r} is confirmed."
        )
        sender = Sender(context.aws.client("sqs"), queue_url, hint=again)
        retry = replace(request, action="retry", id=new_id("retry"))
        for _ in sender.send([record], retry):
            pass
    told = f"{path!r} is recorded as confirmed; the function puts what is missing and writes the receipt"
    return _tell_ended(
        context,
        "confirm",
        record,
        request,
        state=str(found["state"]),
        dry_run=dry_run,
        more={"remote_path": path, "receipt": None},
        told=told,
    )


# What is done, and told


def _request(context: Context, action: str, reason: str, id_: str | None) -> Request:
    if action != "retry" and not reason.strip():
        raise CliError("The reason is empty.", hint="Say why with --reason.", code=ExitCode.USAGE)
    for name, text in (("--reason", reason), ("--id", id_ or "")):
        if len(text.encode()) > _MAX_TEXT_BYTES:
            raise CliError(
                f"{name} has {len(text.encode())} bytes; at most {_MAX_TEXT_BYTES} are kept.",
                hint="Shorten it.",
                code=ExitCode.USAGE,
            )
    return Request(action=action, id=id_ or new_id(action), who=context.caller, at=time.time(), reason=reason)


def _refuse_useless_options(key: str | None, *, prefix: str, version: str | None) -> None:
    if key is not None and prefix:
        raise CliError(
            "--prefix goes with --delivered, not with one object.", hint="Leave it out.", code=ExitCode.USAGE
        )
    if key is None and version is not None:
        raise CliError("--version needs an object.", hint="Name the key.", code=ExitCode.USAGE)


class _Sending:
    """What `resend` and `retry` send, and tell. As a context it also tells what an error has interrupted."""

    def __init__(
        self,
        context: Context,
        request: Request,
        *,
        count: int,
        size: int,
        dry_run: bool,
        done_before: int = 0,
        numbered: int = 0,
        outcome: str = "",
    ) -> None:
        """Prepare it.

        Args:
            context: The delivery.
            request: Whose messages are sent.
            count: Object versions that it is about.
            size: Their bytes, as far as the ledger knows them.
            dry_run: Whether nothing is sent.
            done_before: Object versions that were sent with this id before.
            numbered: Those that were delivered with a number of a sequence, and take another one.
            outcome: What came of the only one of them.
        """
        self._context = context
        self._request = request
        self._count = count
        self._size = size
        self._dry_run = dry_run
        self._done_before = done_before
        self._numbered = numbered
        self._outcome = outcome
        self._sent = 0
        self._has_told_id = False

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Tell what was sent before an error; without one the caller tells it."""
        if error is None or not self._sent:
            return
        self.tell(interrupted=True)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(
                f"the same command with `--id {self._request.id}` sends the rest, and only that"
            ) from None

    @property
    def _about(self) -> str:
        # Of what was recorded by an earlier release the size may not be known.
        return count_text(self._count, "object") + (f", {size_text(self._size)}" if self._size else "")

    @property
    def _about_numbers(self) -> str:
        those = "it takes" if self._count == 1 else f"{count_text(self._numbered, 'object')} of them take"
        return f"{those} another number of the sequence: the one of the receipt is not used again"

    def count_all(self, sent: Iterable[object]) -> None:
        """Count what is sent, one by one."""
        for _ in sent:
            self._sent += 1

    def send_all(self, sender: Sender, chosen: Callable[[], Iterable[Record]], *, ask: bool) -> None:
        """Send a message for each version that was chosen, after a question where one is due."""
        output, rest = self._context.output, self._count - self._sent
        if rest <= 0 or self._dry_run:
            return
        if ask:
            output.note(f"{self._about} to {self._context.delivery.target}")
            if self._numbered:
                output.note(self._about_numbers)
            confirm(self._context, f"Send {'it' if self._count == 1 else 'them'} again")
        if ask or self._count > 1:
            output.note(f"id {self._request.id}: --id continues an interrupted command")
            self._has_told_id = True
        sent = sender.send(chosen(), self._request)
        if rest == 1 or not output.messages.is_terminal or output.as_json:
            self.count_all(sent)
            return
        columns = (TextColumn("sent"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=output.messages, transient=True) as progress:
            self.count_all(progress.track(sent, total=rest))

    def tell(self, *, interrupted: bool = False) -> int:
        """Print what was done; return the exit code."""
        context, request = self._context, self._request
        waits = what_all_wait_for(context) if self._sent and not interrupted else ""

        def show(console: Any) -> None:
            if self._done_before:
                done = count_text(self._done_before, "object")
                console.print(f"{request.action}: {done} already sent with the id {request.id}", markup=False)
                if self._outcome:
                    console.print(self._outcome, markup=False)
            if self._numbered and self._count:
                console.print(wrapped(self._about_numbers, width=console.width))
            if interrupted:
                part = f"{self._sent:,} of {count_text(self._count, 'object')}"
                console.print(f"{request.action}: {part} in the queue", markup=False)
            elif not self._count:
                console.print(f"There is nothing {'else ' * bool(self._done_before)}to send.", markup=False)
            elif self._dry_run:
                console.print(f"would send {self._about} to {context.delivery.target}", markup=False)
            else:
                id_ = "" if self._has_told_id else f" (id {request.id})"
                console.print(f"{request.action}: {self._about} in the queue{id_}", markup=False)
                console.print(wrapped(waits or _FOLLOW, width=console.width))

        result = {
            "delivery": context.delivery.as_json(),
            "id": request.id,
            "objects": self._count,
            "bytes": self._size,
            "sent": self._sent,
            "done_before": self._done_before,
            "numbered": self._numbered,
            "interrupted": interrupted,
            "dry_run": self._dry_run,
        }
        context.output.result(request.action, result, show)
        return ExitCode.OK if self._count or self._done_before else ExitCode.NOT_FOUND


def _outcome(record: Record, request: Request) -> str:
    return f"{record.key} is {state_in_words(record, request.at)}."


def _tell_ended(
    context: Context,
    command: str,
    record: Record,
    request: Request,
    *,
    state: str,
    dry_run: bool,
    more: Mapping[str, Any],
    told: str = "",
) -> int:
    """Remove the dead letter, and print what was done; `more` in JSON, `told` to people."""
    removed = 0
    dead_letters = context.delivery.dead_letter_queue_url
    has_letter = record.state in {"FAILED", "UNKNOWN"} and dead_letters is not None
    if has_letter and not dry_run:
        try:
            removed = remove_dead_letters(context.aws.client("sqs"), str(dead_letters), record)
        except (ClientError, BotoCoreError) as error:
            why = explained(error)
            raise CliError(
                f"{record.key} is {state}, and its dead letter could not be removed: {why.message}",
                hint="It can stay: redriven, it is acknowledged and nothing is sent.",
                code=why.code,
            ) from None

    def show(console: Any) -> None:
        would = "would become" if dry_run else "is"
        was = state_in_words(record, request.at)
        console.print(f"{record.key} {would} {state} (was {was})", markup=False)
        if told:
            console.print(wrapped(told, width=console.width))
        if removed:
            console.print(f"removed {count_text(removed, 'dead letter')}", markup=False)
        elif has_letter and not dry_run:
            console.print("no dead letter names this object alone", markup=False)

    result = {
        "delivery": context.delivery.as_json(),
        "bucket": record.bucket,
        "key": record.key,
        "version_id": record.version or None,
        "state": state,
        "state_before": state_in_words(record, request.at).upper(),
        "action": request.as_action(),
        "dead_letters_removed": removed,
        "dry_run": dry_run,
    }
    context.output.result(command, {**result, **more}, show)
    return ExitCode.OK
