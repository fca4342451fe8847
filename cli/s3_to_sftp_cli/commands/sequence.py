"""`s3-to-sftp sequence`: the numbers that a partner's objects get, and which one is next."""

import time
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console

from s3_to_sftp.rules.sequence_counter import COUNTER, sequence_key
from s3_to_sftp.state.update_expression import Change
from s3_to_sftp_cli.context import Context, shared_options
from s3_to_sftp_cli.control_items import checked_reason
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.layout import labelled, printable, typed
from s3_to_sftp_cli.ledger_changes import LedgerWriter
from s3_to_sftp_cli.operator_messages import Request, new_id
from s3_to_sftp_cli.option_types import NOT_EMPTY
from s3_to_sftp_cli.sequences import Holder, Sequence, holder_json, read_sequences
from s3_to_sftp_cli.times import clock, from_epoch, local_now

_HIGHEST = 10**15
_KEPT_ACTIONS = 100


@dataclass(frozen=True)
class _Set:
    """What was set.

    Attributes:
        sequence: As it was before.
        number: The next number now.
        released: The version that held the last number; None: none did.
    """

    sequence: Sequence
    number: int
    released: Holder | None


@click.command("sequence")
@click.argument("sequence", type=NOT_EMPTY, required=False)
@click.option(
    "--set", "number", type=click.IntRange(0, _HIGHEST), metavar="N", help="The next object gets N."
)
@click.option("--reason", metavar="TEXT", help="With --set: why; recorded in the ledger.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@shared_options
def sequence_command(
    context: Context, *, sequence: str | None, number: int | None, reason: str | None, dry_run: bool
) -> int:
    """Show the sequences of numbers: the last one, who holds it, and the next one.

    With --set: give the next object this number, because the partner expects it. Refused while an object
    that the function still tries to deliver holds a number; one that was given up releases it.

    \b
    s3-to-sftp sequence
    s3-to-sftp sequence --set 57 --reason "their NOC: we expect 57 next"
    """  # noqa: D301 - click's mark
    chosen = _chosen(context, sequence)
    if number is None:
        if reason is not None or dry_run:
            raise CliError(
                "--reason and --dry-run go with --set.", hint="Leave them out.", code=ExitCode.USAGE
            )
        return _tell(context, chosen, None, dry_run=False)
    if reason is None and not dry_run:
        raise CliError("--set needs a reason.", hint="Say why with --reason.", code=ExitCode.USAGE)
    why = checked_reason(reason) if reason is not None else "dry run"
    if len(chosen) != 1:
        named = ", ".join(each.name for each in chosen)
        raise CliError(
            f"There are several sequences: {named}.",
            hint=f"Name one: `s3-to-sftp sequence NAME --set {number} --reason TEXT`.",
            code=ExitCode.USAGE,
        )
    return _set_number(context, chosen[0], number, why, dry_run=dry_run)


def _chosen(context: Context, name: str | None) -> list[Sequence]:
    """Return the sequences that are meant: the named one, or all.

    Raises:
        CliError: There is none, or the ledger's item of one is corrupt.
    """
    try:
        known = read_sequences(context.ledger)
    except (ValueError, KeyError, TypeError) as error:
        raise CliError(
            f"The ledger's item of a sequence is corrupt ({type(error).__name__}: {error}).",
            hint="docs/reference/ledger.md says what it holds.",
            code=ExitCode.CONFLICT,
        ) from None
    chosen = [each for each in known if name in (None, each.name)]
    if not chosen:
        others = f" There is {', '.join(each.name for each in known)}." if known else ""
        about = (
            "No number has been taken yet" if name is None else f"No number of {name!r} has been taken yet"
        )
        raise CliError(
            f"{about}.{others}",
            hint="The first one is `start` of the rule `sequence`.",
            code=ExitCode.NOT_FOUND,
        )
    return chosen


def _set_number(context: Context, sequence: Sequence, number: int, reason: str, *, dry_run: bool) -> int:
    holder = sequence.holder
    if holder is not None and holder.is_in_flight:
        assert holder.record is not None  # noqa: S101 - it has a state
        key = typed(holder.record.key)
        raise CliError(
            f"{printable(holder.name)} has number {sequence.number} of the sequence {sequence.name!r}, and "
            f"is {holder.state}: the function still tries to deliver it.",
            hint=f"`s3-to-sftp retry {key}` tries it now; `s3-to-sftp cancel {key} --reason TEXT` returns "
            "its number where nothing with it can be at the partner.",
            code=ExitCode.CONFLICT,
        )
    request = Request(
        action="sequence", id=new_id("sequence"), who=context.caller, at=time.time(), reason=reason
    )
    changes = _changes(sequence, number, request)
    if not dry_run and LedgerWriter(context.aws.client("dynamodb"), context.ledger.table).transact(*changes):
        raise CliError(
            "The function, or somebody else, has changed the sequence meanwhile. Nothing was changed.",
            hint="Look at it (`s3-to-sftp sequence`), then repeat the command where it is still needed.",
            code=ExitCode.CONFLICT,
        )
    told = [sequence] if dry_run else _chosen(context, sequence.name)
    return _tell(context, told, _Set(sequence, number, holder), dry_run=dry_run)


def _changes(sequence: Sequence, number: int, request: Request) -> list[Change]:
    action = {**request.as_action(), "number": number}
    counter = Change(
        pk=sequence_key(sequence.name),
        sk=COUNTER,
        expected={"revision": sequence.revision},
        put={
            "number": number - 1,
            "operator_actions": [*sequence.operator_actions, action][-_KEPT_ACTIONS:],
        },
        remove=("holder_pk", "holder_sk", "holder_name"),
        is_permanent=True,
    )
    holder = sequence.holder
    if holder is None or holder.record is None:
        return [counter]
    item = holder.record.item
    # Nobody has let it be sent meanwhile.
    return [counter, Change(pk=holder.pk, sk=holder.sk, expected={"revision": item["revision"]})]


def _tell(context: Context, sequences: list[Sequence], done: _Set | None, *, dry_run: bool) -> int:
    def show(console: Console) -> None:
        for each in sequences:
            for label, parts in _lines(each):
                console.print(labelled(label, [printable(part) for part in parts], width=console.width))
        if done is not None:
            for text in _told(done, dry_run=dry_run):
                console.print(labelled("", [printable(text)], width=console.width, label_width=0))

    change = None
    if done is not None:
        released = done.released
        change = {
            "next_number": done.number,
            "next_number_before": done.sequence.next_number,
            "released": None if released is None else holder_json(released),
        }
    data: dict[str, Any] = {
        "delivery": context.delivery.as_json(),
        "sequences": [each.as_json() for each in sequences],
        "set": change,
        "dry_run": dry_run,
    }
    context.output.result("sequence", data, show)
    return ExitCode.OK


def _lines(sequence: Sequence) -> list[tuple[str, list[str]]]:
    now, holder = local_now(), sequence.holder
    since = clock(from_epoch(sequence.taken_at), now=now)
    period = f" of {sequence.period}" if sequence.period else ""
    is_set = [each for each in sequence.operator_actions if float(each["at"]) > sequence.taken_at]
    lines = [("sequence", [sequence.name])]
    if holder is not None:
        state = holder.state or "no longer in the ledger"
        lines.append(("last", [f"{sequence.number}{period}: {holder.name} holds it since {since} ({state})"]))
    elif is_set:
        last = is_set[-1]
        lines.append(("set", [f"by {last['who']}: {last['reason']}"]))
    else:
        lines.append(("last", [f"{sequence.number}{period}, delivered; taken {since}"]))
    lines.append(("next", [f"{sequence.next_number}{period}"]))
    return lines


def _told(done: _Set, *, dry_run: bool) -> list[str]:
    would = "would get" if dry_run else "gets"
    sequence, told = done.sequence, []
    if done.released is not None:
        verb = "would be released" if dry_run else "is released"
        told.append(
            f"{done.released.name} {verb}: it was given up with number {sequence.number}, and takes another "
            "one if it is sent after all"
        )
    before = "" if done.number == sequence.next_number else f" (not {sequence.next_number})"
    told.append(f"the next object {would} {done.number}{before}")
    if done.number <= sequence.number:
        told.append(f"warning: numbers up to {sequence.number} were taken before, and are used again")
    if sequence.period:
        told.append(f"this is the sequence of {sequence.period}: with another one the numbers begin anew")
    return told
