"""`s3-to-sftp sequence`: the numbers that a partner's objects get, and which one is next."""

import time
from typing import Any

import click
from rich.console import Console

from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.sequence import Sequence as Rule
from s3_to_sftp_cli.context import Context, shared_options
from s3_to_sftp_cli.control_items import checked_reason
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.layout import labelled, printable
from s3_to_sftp_cli.ledger_changes import LedgerWriter
from s3_to_sftp_cli.object_name import typed_object, typed_pattern
from s3_to_sftp_cli.operator_messages import Request, new_id
from s3_to_sftp_cli.option_types import NOT_EMPTY
from s3_to_sftp_cli.sequence_changes import NextNumber, changes_of, decide
from s3_to_sftp_cli.sequences import Holder, Sequence, holder_json, read_sequences
from s3_to_sftp_cli.times import clock, from_epoch, local_now

_HIGHEST = 10**15


@click.command("sequence")
@click.argument("sequence", type=NOT_EMPTY, required=False)
@click.option(
    "--set", "number", type=click.IntRange(0, _HIGHEST), metavar="N", help="The next object gets N."
)
@click.option("--reuse", is_flag=True, help="With --set: although files with this number may be there.")
@click.option("--reason", metavar="TEXT", help="With --set: why; recorded in the ledger.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@shared_options
def sequence_command(
    context: Context,
    *,
    sequence: str | None,
    number: int | None,
    reuse: bool,
    reason: str | None,
    dry_run: bool,
) -> int:
    """Show the sequences of numbers: the last one, who holds it, and the next one.

    With --set: give the next object this number, because the partner expects it. An object whose files may be
    at the partner keeps its number, and is completed with it. A number that the partner may have seen is
    refused, unless --reuse says that they want it again.

    \b
    s3-to-sftp sequence
    s3-to-sftp sequence --set 57 --reason "their NOC: we expect 57 next"
    """  # noqa: D301 - click's mark
    may_begin = sequence is not None and number is not None
    chosen = _chosen(context, sequence, may_begin=may_begin)
    if number is None:
        if reason is not None or dry_run or reuse:
            raise CliError(
                "--reason, --reuse and --dry-run go with --set.", hint="Leave them out.", code=ExitCode.USAGE
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
    done = decide(chosen[0], number, reuse=reuse, now=time.time())
    return _set_number(context, done, why, dry_run=dry_run)


def _chosen(context: Context, name: str | None, *, may_begin: bool = False) -> list[Sequence]:
    """Return the sequences that are meant: the named one, or all.

    Raises:
        CliError: There is none, the name is none, or the ledger's item of one is corrupt.
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
    if not chosen and name is not None and may_begin:
        return [_new(name)]
    if not chosen:
        others = f" There is {', '.join(each.name for each in known)}." if known else ""
        about = (
            "No number has been taken yet" if name is None else f"No number of {name!r} has been taken yet"
        )
        raise CliError(
            f"{about}.{others}",
            hint="The first one is `start` of the rule `sequence`. To begin with another one: "
            "`s3-to-sftp sequence NAME --set N --reason TEXT`; NAME is in the rule, by default 'default'.",
            code=ExitCode.NOT_FOUND,
        )
    return chosen


def _new(name: str) -> Sequence:
    """Return a sequence that no number was taken of.

    Raises:
        CliError: No rules can name it.
    """
    try:
        Rule(name=name)
    except InvalidRule as error:
        raise CliError(str(error), hint="Name it as the rules do.", code=ExitCode.USAGE) from None
    return Sequence(name=name)


def _set_number(context: Context, done: NextNumber, reason: str, *, dry_run: bool) -> int:
    request = Request(
        action="sequence", id=new_id("sequence"), who=context.caller, at=time.time(), reason=reason
    )
    changes = changes_of(done, request, context.ledger)
    if not dry_run and LedgerWriter(context.aws.client("dynamodb"), context.ledger.table).transact(*changes):
        raise CliError(
            "The function, or somebody else, has changed the sequence meanwhile. Nothing was changed.",
            hint="Look at it (`s3-to-sftp sequence`), then repeat the command where it is still needed.",
            code=ExitCode.CONFLICT,
        )
    name = done.sequence.name
    told = [done.sequence] if dry_run else [each for each in _chosen(context, None) if each.name == name]
    return _tell(context, told, done, dry_run=dry_run)


def _tell(context: Context, sequences: list[Sequence], done: NextNumber | None, *, dry_run: bool) -> int:
    def show(console: Console) -> None:
        for each in sequences:
            for label, parts in _lines(each):
                console.print(labelled(label, [printable(part) for part in parts], width=console.width))
        if done is not None:
            for text in _told(done, dry_run=dry_run):
                console.print(labelled("", [printable(text)], width=console.width, label_width=0))

    change = None
    if done is not None:
        holder = done.holder if done.holder not in done.loses else None
        change = {
            "next_number": done.number,
            "next_number_before": done.sequence.next_number if done.sequence.revision else None,
            "released": None if holder is None else holder_json(holder),
            "keeps_number": done.keeps is not None,
            "cancelled": [holder_json(each) for each in done.loses],
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
    lines = [("sequence", [sequence.name])]
    if not sequence.taken_at:
        lines.append(("last", ["none was taken yet"]))
    elif holder is not None:
        state = holder.state or "no longer in the ledger"
        back = ", and gives it to the next object" if sequence.is_given_back else ""
        what = f"{sequence.number}{period}: {holder.name} holds it since {since} ({state}){back}"
        lines.append(("last", [what]))
    else:
        # After a change by hand it may have been given up.
        delivered = ", delivered" if sequence.set_next is None else ""
        lines.append(("last", [f"{sequence.number}{period}{delivered}; taken {since}"]))
    lines += [
        ("kept", [f"{each.number}: {each.name} ({each.state or 'no longer in the ledger'})"])
        for each in sequence.kept
        if each.state != "DELIVERED"
    ]
    if sequence.stopped and holder is not None and holder.state == "FAILED":
        lines.append(("stopped", [sequence.stopped]))
    if sequence.set_next is not None and sequence.operator_actions:
        last = sequence.operator_actions[-1]
        lines.append(("set", [f"by {last['who']}: {last['reason']}"]))
    lines.append(("next", [f"{sequence.next_number}{'' if sequence.set_next is not None else period}"]))
    return lines


def _told(done: NextNumber, *, dry_run: bool) -> list[str]:
    sequence = done.sequence
    would, is_now = ("would get", "would be") if dry_run else ("gets", "is")
    told = _about_holder(done, is_now)
    if not sequence.revision:
        told.append(f"no number of {sequence.name!r} was taken yet: it begins once the rules name it")
    told += [_loses(each, is_now) for each in done.loses]
    is_other = sequence.revision and done.number != sequence.next_number
    told.append(
        f"the next object {would} {done.number}" + (f" (not {sequence.next_number})" * bool(is_other))
    )
    used = sequence.may_be_used(time.time())
    if used is not None and done.number <= used:
        told.append(f"warning: numbers up to {used} were taken before, and are used again")
    if sequence.period:
        unit = "day" if "-" in sequence.period else "year"
        told.append(
            f"{sequence.number} was of {sequence.period}: the next object {would} {done.number}, whichever "
            f"{unit} it is of; with the {unit} after that the numbers begin anew"
        )
    return told


def _about_holder(done: NextNumber, is_now: str) -> list[str]:
    if done.keeps is not None:
        about = f"keeps number {done.keeps.number}, with which files may be at the partner"
        return [f"{done.keeps.name} {about}{_completes(done.keeps)}"]
    if done.released is not None:
        about = f"released from number {done.released.number}, and takes another one if it is sent after all"
        return [f"{done.released.name} {is_now} {about}"]
    return []


def _completes(holder: Holder) -> str:
    record = holder.record
    assert record is not None  # noqa: S101 - the ledger shows that the partner may have seen it
    # A version that is older than what was sent is superseded, whatever it has.
    unless = ", unless a newer version of the key is sent before" if record.has_newer else ""
    key, completed = typed_object(record), f", and is completed with it{unless}"
    if holder.is_in_flight:
        return f"{completed}: it is being retried"
    match holder.state:
        case "UNKNOWN":
            return f"{completed}: ask them, then `s3-to-sftp confirm {key} --reason TEXT`, or `resend` it"
        case "CANCELLED":
            return f"{completed} where `s3-to-sftp resend {key} --reason TEXT` sends it after all"
        case "FAILED":
            return f"{completed}: `s3-to-sftp redrive --key {typed_pattern(record)}` when the cause is fixed"
    return ""


def _loses(holder: Holder, is_now: str) -> str:
    assert holder.record is not None  # noqa: S101 - it has a state
    return (
        f"{holder.name} {is_now} cancelled: it has lost number {holder.number}; "
        f"`s3-to-sftp resend {typed_object(holder.record)} --reason TEXT` sends it with another one"
    )
