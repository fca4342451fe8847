"""`s3-to-sftp pause` and `resume`: no new delivery starts, until then or until somebody resumes.

`resume --until` also lets deliveries begin outside the partner's windows: the same item says both.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

import click
from rich.console import Console

from s3_to_sftp.state.attributes import Item, to_attribute
from s3_to_sftp.state.hold import HOLD_PK, HOLD_SK, LONGEST_WAIT, Hold, hold_attributes, read_hold
from s3_to_sftp_cli.context import Context, dry_run_option, reason_option, shared_options
from s3_to_sftp_cli.control_items import (
    ControlItems,
    checked_reason,
    earlier_values,
    next_revision,
    readable,
)
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.layout import headline, printable
from s3_to_sftp_cli.times import clock, from_epoch, in_words, is_clock, local_now, parse_future

ALARM_SECONDS = 12 * 3600
"""The alarm PausedTooLong is raised after this time, unless another one was deployed."""

_YEAR_9999 = 253_370_764_800

_NOTICED_WITHIN = f"{LONGEST_WAIT * 1.2 / 60:.0f} minutes"
"""How long a message may wait before it asks again."""

_WINDOWS_WITHIN = "16 minutes"
"""The same for one that waits for a window: SQS delays a message by 15 minutes at most."""


@click.command("pause")
@click.option(
    "--until",
    metavar="TIME",
    help="When it ends by itself: 06:00, 2h, 2026-11-29T06:00. Without it: until `resume`.",
)
@click.option("--replace", "replaces", is_flag=True, help="Change the pause that is in force.")
@reason_option
@dry_run_option
@shared_options
def pause_command(context: Context, until: str | None, reason: str, *, replaces: bool, dry_run: bool) -> int:
    """Pause deliveries: no new one starts.

    What is under way may finish. Objects wait in the queue, lose none of their tries, and are delivered
    when the pause is over. The deployed stack is not changed.
    """
    now = local_now()
    ends = parse_future(until, now=now) if until else None
    why = checked_reason(reason)
    # Without the queue, Lambda would try an object twice more and drop it.
    context.delivery.require_queues()
    items = ControlItems(context.aws.client("dynamodb"), context.delivery.require_table())
    before = items.read(HOLD_PK, HOLD_SK)
    in_force = _in_force(before, now)
    if in_force is not None and not replaces:
        raise CliError(
            f"Deliveries are paused already, {_in_words(in_force, now)}.",
            hint="`s3-to-sftp pause --replace --reason TEXT` changes that, `s3-to-sftp resume` ends it.",
            code=ExitCode.CONFLICT,
        )
    hold = Hold(
        # One that is extended has lasted from its beginning: the alarm counts from there.
        since=in_force.since if in_force is not None else now.timestamp(),
        until=ends.timestamp() if ends else None,
        reason=why,
        who=context.caller,
        revision=next_revision(before),
    )
    if not dry_run:
        items.replace(HOLD_PK, HOLD_SK, {**hold_attributes(hold), **earlier_values(before)}, before=before)
    _show_pause(context, hold, in_force, now, dry_run=dry_run)
    if until and ends and is_clock(until) and ends.date() > now.date():
        context.output.note(f"note: {until} is tomorrow, in {in_words((ends - now).total_seconds())}.")
    return ExitCode.OK


@click.command("resume")
@click.option(
    "--until",
    metavar="TIME",
    help="Let deliveries begin outside the partner's windows, too, until then: 20:00, 2h, 2026-11-29T20:00.",
)
@click.option("--reason", default="", metavar="TEXT", help="Why; recorded in the ledger.")
@dry_run_option
@shared_options
def resume_command(context: Context, until: str | None, reason: str, *, dry_run: bool) -> int:
    """Resume deliveries after `pause`, or let them begin outside the partner's windows.

    Without --until the windows of the partner's rules apply again, if an operator has opened them. A rate of
    drops (`max_drops`) is kept in any case.
    """
    now = local_now()
    opens_until = parse_future(until, now=now) if until else None
    why = checked_reason(reason) if reason or (opens_until and not dry_run) else ""
    items = ControlItems(context.aws.client("dynamodb"), context.delivery.require_table())
    before = items.read(HOLD_PK, HOLD_SK)
    in_force = _in_force(before, now)
    opened = _opened(before, now)
    if (in_force or opened or opens_until) and not dry_run:
        last = in_force or opened or Hold(since=now.timestamp(), reason=why, who=context.caller)
        ended = replace(
            last,
            until=now.timestamp(),
            revision=next_revision(before),
            open_until=opens_until.timestamp() if opens_until else None,
        )
        resumed = {"who": context.caller, "at": now.timestamp(), "reason": why}
        kept = _kept(before) if in_force is not None else earlier_values(before)
        attributes: Item = {**hold_attributes(ended), "resumed": to_attribute(resumed), **kept}
        items.replace(HOLD_PK, HOLD_SK, attributes, before=before)
    _show_resume(context, in_force, now, opens_until=opens_until, closed=opened, dry_run=dry_run)
    return ExitCode.OK


def _kept(before: Item | None) -> dict[str, Any]:
    """Return the earlier values of an item that stays the same but for its end."""
    return {"earlier": before["earlier"]} if before is not None and "earlier" in before else {}


def _opened(item: Item | None, now: datetime) -> Hold | None:
    """Return the item where it lets deliveries begin outside windows now."""
    hold = readable(read_hold, item)
    return hold if hold is not None and hold.opens_windows(now.timestamp()) else None


def _in_force(item: Item | None, now: datetime) -> Hold | None:
    """Return the pause that is in force. One that is corrupt is: the function takes it for one, too."""
    if item is None:
        return None
    hold = readable(read_hold, item) or Hold(since=now.timestamp(), reason="the item is corrupt")
    if not hold.is_in_force(now.timestamp()):
        return None
    # Written by hand: a time that no calendar has.
    is_endless = hold.until is not None and hold.until > _YEAR_9999
    return replace(
        hold, since=max(0, min(hold.since, now.timestamp())), until=None if is_endless else hold.until
    )


def _show_pause(context: Context, hold: Hold, before: Hold | None, now: datetime, *, dry_run: bool) -> None:
    delivery = context.delivery

    def show(console: Console) -> None:
        verb = "would be paused" if dry_run else "PAUSED"
        console.print(headline(delivery.function, delivery.target, width=console.width))
        console.print(f"{verb} {_end(hold, now)} ({printable(hold.reason)})", markup=False)
        if before is not None:
            console.print(f"instead of: {_in_words(before, now)}", markup=False)
        console.print("No new delivery starts. What is under way may finish.")
        console.print("Objects wait in the queue, lose none of their tries, and are delivered")
        console.print(
            f"within {_NOTICED_WITHIN} after {'somebody resumes' if hold.until is None else 'the end'}."
        )

    data = {
        "delivery": delivery.as_json(),
        "dry_run": dry_run,
        "paused": _as_json(hold),
        "replaced": None if before is None else _as_json(before),
    }
    context.output.result("pause", data, show)
    if hold.until is None:
        context.output.note(
            f"warning: without --until, deliveries stay paused until `s3-to-sftp resume`. "
            f"An alarm reminds after {in_words(ALARM_SECONDS)}."
        )
    elif hold.until - hold.since > ALARM_SECONDS:
        context.output.note(
            f"note: the alarm PausedTooLong is raised after {in_words(ALARM_SECONDS)}, where objects wait."
        )


def _show_resume(
    context: Context,
    ended: Hold | None,
    now: datetime,
    *,
    opens_until: datetime | None,
    closed: Hold | None,
    dry_run: bool,
) -> None:
    delivery = context.delivery

    def show(console: Console) -> None:
        console.print(headline(delivery.function, delivery.target, width=console.width))
        if opens_until is not None:
            verb = "windows would be open" if dry_run else "WINDOWS OPEN"
            console.print(f"{verb} until {clock(opens_until, now=now)}, whatever the partner's rules say")
            console.print(f"Objects that wait for one are delivered within {_WINDOWS_WITHIN}.")
        elif closed is not None:
            console.print("The windows of the partner's rules apply again.")
        if ended is None and opens_until is None:
            console.print("Deliveries are not paused. Why objects wait: `s3-to-sftp status`")
        if ended is None:
            return
        console.print("would be resumed" if dry_run else "RESUMED")
        console.print(
            f"paused for {in_words(ended.age(now.timestamp()))}, {_in_words(ended, now)}", markup=False
        )
        console.print(f"Objects that wait are delivered within {_NOTICED_WITHIN}.")

    data = {
        "delivery": delivery.as_json(),
        "dry_run": dry_run,
        "resumed": ended is not None,
        "paused": None if ended is None else _as_json(ended),
        "windows_open_until": opens_until,
    }
    context.output.result("resume", data, show)


def _end(hold: Hold, now: datetime) -> str:
    return "until resumed" if hold.until is None else f"until {clock(from_epoch(hold.until), now=now)}"


def _in_words(hold: Hold, now: datetime) -> str:
    by = f"paused by {printable(hold.who)}: " if hold.who else ""
    return f"{_end(hold, now)} ({by}{printable(hold.reason) or 'no reason was given'})"


def _as_json(hold: Hold) -> dict[str, Any]:
    return {
        "since": from_epoch(hold.since),
        "until": None if hold.until is None else from_epoch(hold.until),
        "reason": hold.reason,
        "who": hold.who,
    }
