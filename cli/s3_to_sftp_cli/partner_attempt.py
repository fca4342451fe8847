"""Whether the partner can be tried now, and one attempt in spite of an open circuit breaker."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from s3_to_sftp_cli.context import Context
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.ledger_changes import LedgerWriter
from s3_to_sftp_cli.times import clock, from_epoch, local_now

_LOCKING = ("LoginRefused", "PasswordExpired", "SecondFactorRequired")
"""Errors of the circuit breaker at which another attempt counts against the login."""

_ANSWER_SECONDS = 60
_POLL_SECONDS = 2


def require_not_paused(context: Context) -> None:
    """Refuse while deliveries are paused.

    Raises:
        CliError: They are.
    """
    if paused := _pause(context):
        raise CliError(
            f"{paused}: nothing can be tried.",
            hint="`s3-to-sftp resume` ends the pause, and starts what waits.",
            code=ExitCode.CONFLICT,
        )


def what_all_wait_for(context: Context) -> str:
    """Return why nothing is tried now, for people; empty: there is no such reason."""
    if paused := _pause(context):
        return f"{paused}: it waits until then, or for `s3-to-sftp resume`."
    breaker = _breaker(context)
    if breaker is None or _is_due(breaker, time.time()):
        return ""
    retry_at = clock(from_epoch(float(breaker["retry_at"])), now=local_now())
    return f"The circuit breaker is open ({breaker['reason']}): it waits, next attempt {retry_at}."


def _is_due(breaker: Mapping[str, Any], now: float) -> bool:
    """Return whether the open breaker lets the next object through."""
    return max(float(breaker["retry_at"]), float(breaker["claimed_until"])) <= now


def _pause(context: Context) -> str:
    hold = context.ledger.item("delivery", "hold")
    if hold is None or ("until" in hold and float(hold["until"]) <= time.time()):
        return ""
    until = f" until {clock(from_epoch(float(hold['until'])), now=local_now())}" if "until" in hold else ""
    return f"Deliveries are paused{until} ({hold.get('reason', 'no reason')})"


def admit_one_attempt(
    context: Context, *, partner: bool, ask: Callable[[str], None], dry_run: bool, now: float
) -> bool:
    """Return whether the circuit breaker is open, and lets one function try now.

    Raises:
        CliError: It is open, and `--partner` was not given.
    """
    breaker = _breaker(context)
    if breaker is None or _is_due(breaker, now):
        return False  # closed, or the next object that comes is let through
    retry_at = from_epoch(max(float(breaker["retry_at"]), float(breaker["claimed_until"])))
    told = f"The circuit breaker for {context.delivery.server} is open: {breaker['reason']}"
    if not partner:
        raise CliError(
            f"{told} Next attempt {clock(retry_at, now=local_now())}.",
            hint="Fix the cause, then add --partner to try the partner now.",
            code=ExitCode.CONFLICT,
        )
    if float(breaker["claimed_until"]) > now:
        raise CliError(
            f"{told} A function is trying at this moment.",
            hint="Look at `s3-to-sftp status`, and repeat the command if it is still open.",
            code=ExitCode.CONFLICT,
        )
    context.output.note(told)
    if str(breaker["error"]) in _LOCKING:
        context.output.note(
            "warning: the login was refused. Each attempt counts: partners lock accounts after a few. "
            "Be sure that the password or key is right now."
        )
        if not dry_run:
            ask("Try the login now")
    if not dry_run:
        writer = LedgerWriter(context.aws.client("dynamodb"), context.ledger.table)
        if not writer.try_partner_now(context.delivery.server, breaker, now=now):
            raise CliError(
                "The circuit breaker has changed meanwhile: a function has tried the partner.",
                hint="Look at `s3-to-sftp status`, and repeat the command if it is still open.",
                code=ExitCode.CONFLICT,
            )
    return True


def _breaker(context: Context) -> Mapping[str, Any] | None:
    """Return the item of the circuit breaker; None where it is closed."""
    item = context.ledger.item(f"partner#{context.delivery.server}", "breaker")
    return item if item is not None and item.get("openings") else None


def wait_for_partner(context: Context) -> None:
    """Wait until the one attempt has closed the breaker.

    Raises:
        CliError: It has failed, or takes long.
    """
    context.output.note("trying one object ...")
    started = time.time()
    before = _breaker(context)
    while time.time() - started < _ANSWER_SECONDS:
        time.sleep(_POLL_SECONDS)
        breaker = _breaker(context)
        if breaker is None:
            context.output.note(f"{context.delivery.server} is accepting files")
            return
        has_failed = before is not None and breaker["openings"] != before["openings"]
        if has_failed or float(breaker["retry_at"]) > started + 1:
            raise CliError(
                f"{context.delivery.server} still does not accept files: {breaker['reason']}",
                hint=f"Next attempt {clock(from_epoch(float(breaker['retry_at'])), now=local_now())}. "
                "Nothing else was sent; what waits keeps waiting.",
            )
    raise CliError(
        f"The attempt has no result after {_ANSWER_SECONDS} s.",
        hint="Look at `s3-to-sftp status`: what waits comes back by itself once the partner accepts files.",
    )
