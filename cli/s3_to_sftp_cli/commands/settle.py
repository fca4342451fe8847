"""`cancel`, `confirm`: an operator says how the delivery of an object ends."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp_cli.aws import explained
from s3_to_sftp_cli.context import Context, dry_run_option, reason_option, shared_options
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.layout import wrapped
from s3_to_sftp_cli.ledger import Record
from s3_to_sftp_cli.ledger_changes import LedgerWriter, confirmed_receipt
from s3_to_sftp_cli.object_dead_letters import remove_dead_letters
from s3_to_sftp_cli.object_name import typed_object
from s3_to_sftp_cli.object_selection import (
    IN_FLIGHT_STATES,
    find_version,
    require_not_being_sent,
    wrong_state,
)
from s3_to_sftp_cli.operator_messages import Request, Sender, new_id
from s3_to_sftp_cli.operator_request import bucket_option, operator_request, version_option
from s3_to_sftp_cli.option_types import NOT_EMPTY
from s3_to_sftp_cli.partner_files import (
    confirmed_file,
    files_at_partner,
    has_lost_number,
    is_refused_beside_its_data,
    number_given_up,
)
from s3_to_sftp_cli.receipt_text import state_in_words
from s3_to_sftp_cli.sequences import version_of
from s3_to_sftp_cli.sizes import count_text

_CANCELLABLE = (*IN_FLIGHT_STATES, "FAILED", "UNKNOWN")


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
    request = operator_request(context, "cancel", reason=reason)
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
    request = operator_request(context, "confirm", reason=reason)
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
