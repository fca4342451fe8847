"""`s3-to-sftp trust-host-key`: accept a changed host key for a day at most, until it is deployed."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import click
from rich.console import Console

from s3_to_sftp.configured_by import CONSTRUCT, PARTNER_FILE, TEMPLATE
from s3_to_sftp.errors import HostKeyRefused, LedgerError
from s3_to_sftp.state.attributes import Item
from s3_to_sftp.state.breaker_item import BREAKER, breaker_attributes, breaker_key, read_breaker
from s3_to_sftp.state.trusted_host_key import (
    TRUSTED_HOST_KEY,
    read_trusted_host_key,
    trusted_host_key_attributes,
    trusted_host_key_pk,
)
from s3_to_sftp.trusted_host_key import LONGEST_SECONDS, TrustedHostKey
from s3_to_sftp_cli.context import Context, dry_run_option, reason_option, shared_options
from s3_to_sftp_cli.control_items import (
    ControlItems,
    checked_reason,
    earlier_values,
    next_revision,
    readable,
)
from s3_to_sftp_cli.delivery import DeployedDelivery
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.host_keys import (
    OfferedKey,
    PinnedKey,
    last_offered,
    parse_fingerprint,
    pinned_keys,
    pinned_lines,
)
from s3_to_sftp_cli.layout import printable
from s3_to_sftp_cli.times import clock, from_epoch, local_now, parse_future

_ATTEMPTS = 5
"""Of a change of the circuit breaker that meets one of the function's."""

Attempt = Literal["now", "as planned", "not needed"]
"""When the function connects again."""


@dataclass(frozen=True, kw_only=True)
class _Result:
    """What was decided, or would be.

    Attributes:
        trusted: The new word.
        instead_of: The one that was in force before.
        pinned: What the configuration pins.
        offered: What the server showed last; None: not known.
        attempt: When the function connects again.
    """

    trusted: TrustedHostKey
    instead_of: TrustedHostKey | None
    pinned: tuple[PinnedKey, ...]
    offered: OfferedKey | None
    attempt: Attempt


@click.command("trust-host-key")
@click.argument("fingerprint", metavar="SHA256:...")
@reason_option
@click.option("--for", "lasting", metavar="TIME", help="For how long; a day at most, which is the default.")
@click.option("--withdraw", is_flag=True, help="Stop trusting this key now.")
@dry_run_option
@shared_options
def trust_host_key_command(
    context: Context, fingerprint: str, reason: str, lasting: str | None, *, withdraw: bool, dry_run: bool
) -> int:
    """Accept a changed host key on your word, until it is deployed.

    Verify the fingerprint with the partner out of band (a call, their portal): what the server shows is
    no proof of who it is. Only a key with this very fingerprint is accepted.
    """
    now, delivery = local_now(), context.delivery
    asked = parse_fingerprint(fingerprint, server=f"-p {delivery.port} {delivery.host}")
    why = checked_reason(reason)
    if withdraw:
        if lasting is not None:
            raise CliError(
                "--for and --withdraw exclude each other.", hint="Leave one out.", code=ExitCode.USAGE
            )
        _withdraw(context, asked, why, now, dry_run=dry_run)
        return ExitCode.OK
    until = _until(lasting or "24h", now)
    pinned = pinned_keys(delivery)
    if any(key.fingerprint == asked for key in pinned):
        raise CliError(
            f"{asked} is pinned already: the function accepts it.",
            hint="Why nothing is delivered: `s3-to-sftp status`",
            code=ExitCode.CONFLICT,
        )
    items = ControlItems(context.aws.client("dynamodb"), delivery.require_table())
    breaker = items.read(breaker_key(delivery.server), BREAKER)
    pk = trusted_host_key_pk(delivery.server)
    before = items.read(pk, TRUSTED_HOST_KEY)
    earlier = readable(read_trusted_host_key, before)
    trusted = TrustedHostKey(
        fingerprint=asked,
        since=now.timestamp(),
        until=until.timestamp(),
        reason=why,
        who=context.caller,
        revision=next_revision(before),
    )
    offered = last_offered(breaker, context.ledger)
    if not dry_run:
        attributes: Item = {**trusted_host_key_attributes(trusted), **earlier_values(before)}
        items.replace(pk, TRUSTED_HOST_KEY, attributes, before=before)
    result = _Result(
        trusted=trusted,
        instead_of=earlier if earlier is not None and earlier.is_in_force(now.timestamp()) else None,
        pinned=pinned,
        offered=offered,
        attempt=_next_attempt(items, delivery.server, breaker, now.timestamp(), dry_run=dry_run),
    )
    _show(context, result, now, dry_run=dry_run)
    return ExitCode.OK


def _withdraw(context: Context, fingerprint: str, why: str, now: datetime, *, dry_run: bool) -> None:
    """Let the word on this key end now, and tell it.

    Raises:
        CliError: It is not trusted on an operator's word.
    """
    delivery, pinned = context.delivery, pinned_keys(context.delivery)
    items = ControlItems(context.aws.client("dynamodb"), delivery.require_table())
    pk = trusted_host_key_pk(delivery.server)
    before = items.read(pk, TRUSTED_HOST_KEY)
    word = readable(read_trusted_host_key, before)
    if word is None or not word.is_in_force(now.timestamp()) or word.fingerprint != fingerprint:
        is_other = word is not None and word.is_in_force(now.timestamp())
        raise CliError(
            f"{fingerprint} is not trusted on an operator's word.",
            hint=f"The trusted one is {printable(word.fingerprint)}." if word and is_other else "No key is.",
            code=ExitCode.NOT_FOUND,
        )
    if not dry_run:
        ended = replace(
            word, until=now.timestamp(), reason=why, who=context.caller, revision=next_revision(before)
        )
        attributes: Item = {**trusted_host_key_attributes(ended), **earlier_values(before)}
        items.replace(pk, TRUSTED_HOST_KEY, attributes, before=before)

    def show(console: Console) -> None:
        console.print(f"{delivery.function} → {delivery.server}", markup=False)
        for key in pinned:
            console.print(f"pinned    {key.fingerprint} {printable(key.kind)}".rstrip(), markup=False)
        console.print(f"{'withdraw' if dry_run else 'withdrawn':<10}{fingerprint}", markup=False)
        if any(key.fingerprint == fingerprint for key in pinned):
            console.print("          stays accepted: it is pinned", markup=False)
        else:
            console.print(
                "          from the next connection on only the pinned keys are accepted", markup=False
            )

    offered = last_offered(items.read(breaker_key(delivery.server), BREAKER), context.ledger)
    data = {
        "delivery": delivery.as_json(),
        "dry_run": dry_run,
        "trusted": None,
        "replaced": _as_json(word),
        "pinned": [vars(key) for key in pinned],
        "offered": _offered_as_json(offered),
        "next_attempt": "not needed",
        "deploy": None,
    }
    context.output.result("trust-host-key", data, show)


def _until(text: str, now: datetime) -> datetime:
    until = parse_future(text, now=now)
    if (until - now).total_seconds() > LONGEST_SECONDS:
        raise CliError(
            f"--for {text} is longer than a day.",
            hint="A key that stays is pinned: deploy it. A day is enough for that.",
            code=ExitCode.USAGE,
        )
    return until


def _next_attempt(
    items: ControlItems, server: str, item: Item | None, now: float, *, dry_run: bool
) -> Attempt:
    """Let the function connect now, where a refused host key has opened the circuit breaker."""
    for _ in range(_ATTEMPTS):
        try:
            state = None if item is None else read_breaker(item)
        except LedgerError:
            return "not needed"  # a corrupt item stops no delivery, and the log names it
        if state is None or not state.is_open:
            return "not needed"
        if state.error != HostKeyRefused.__name__:
            return "as planned"  # another trouble: that of a login must not be tried too often
        if dry_run or state.retry_at <= now:
            return "now"
        ready = replace(state, retry_at=now, revision=state.revision + 1)
        try:
            items.replace(breaker_key(server), BREAKER, breaker_attributes(ready), before=item)
        except CliError:
            item = items.read(breaker_key(server), BREAKER)
        else:
            return "now"
    return "as planned"


def _show(context: Context, result: _Result, now: datetime, *, dry_run: bool) -> None:
    delivery, trusted, offered = context.delivery, result.trusted, result.offered
    setting, lines = _deployment(delivery, result)
    is_other = offered is not None and offered.fingerprint != trusted.fingerprint

    def show(console: Console) -> None:
        def line(text: str = "") -> None:
            console.print(text, markup=False)

        line(f"{delivery.function} → {delivery.server}")
        for key in result.pinned:
            line(f"pinned    {key.fingerprint} {printable(key.kind)}".rstrip())
        if not result.pinned:
            line("pinned    none")
        line(f"offered   {offered.fingerprint if offered else 'not known'}")
        line(f"{'to trust' if dry_run else 'trusted':<10}{trusted.fingerprint}")
        line(f"          until {clock(from_epoch(trusted.until), now=now)}: {printable(trusted.reason)}")
        if result.instead_of is not None:
            line(f"          instead of {printable(result.instead_of.fingerprint)}")
        line(f"attempt   {_ATTEMPT_IN_WORDS[result.attempt]}")
        line()
        line("To make it last, deploy it, and drop the old key when the server shows it no more:")
        line()
        for text in _paste(setting, lines, known=_line_of(result) is not None, delivery=delivery):
            line(text)

    data = {
        "delivery": delivery.as_json(),
        "dry_run": dry_run,
        "trusted": _as_json(trusted),
        "replaced": None if result.instead_of is None else _as_json(result.instead_of),
        "pinned": [vars(key) for key in result.pinned],
        "offered": _offered_as_json(offered),
        "next_attempt": result.attempt,
        "deploy": {"setting": setting, "host_keys": lines, "complete": _line_of(result) is not None},
    }
    context.output.result("trust-host-key", data, show)
    if is_other:
        context.output.note(
            "warning: the server showed another key when it was last refused. As long as it does, it stays "
            "refused. Ask the partner; do not trust a key only because the server shows it."
        )


_ATTEMPT_IN_WORDS: dict[Attempt, str] = {
    "now": "with the next object that comes back, within 6 minutes",
    "as planned": "when the circuit breaker allows it: it is open for another reason",
    "not needed": "with the next object; the circuit breaker is not open",
}


def _line_of(result: _Result) -> str | None:
    """Return the key itself, where the server has shown it."""
    offered = result.offered
    return offered.line if offered and offered.fingerprint == result.trusted.fingerprint else None


def _deployment(delivery: DeployedDelivery, result: _Result) -> tuple[str, list[str]]:
    """Return the setting that pins keys, as its author calls it, and its new value as far as it is known."""
    setting = {
        CONSTRUCT: "SftpServer(host_keys=...)",
        PARTNER_FILE: "ssh_host_key in partner.toml",
        TEMPLATE: "the parameter HostKey",
    }.get(delivery.configured_by, "SSH_HOST_KEY")
    new = _line_of(result)
    return setting, [*pinned_lines(delivery), *([new] if new else [])]


def _paste(setting: str, lines: list[str], *, known: bool, delivery: DeployedDelivery) -> list[str]:
    shown = [printable(line) for line in lines]
    if not known:
        shown.append("<the new key>")
    match delivery.configured_by:
        case "construct":
            pasted = ["SftpServer(host_keys=[", *(f'    "{line}",' for line in shown), "])"]
        case "partner.toml":
            pasted = ["ssh_host_key = [", *(f'    "{line}",' for line in shown), "]"]
        case _:
            pasted = [f"{setting}, one key a line:", *shown]
    if not known:
        pasted += [
            "",
            f"`ssh-keyscan -p {delivery.port} {delivery.host}` prints the new key, with `| ssh-keygen -lf -`",
            "its fingerprint: pin the one that you have trusted.",
        ]
    return pasted


def _offered_as_json(offered: OfferedKey | None) -> dict[str, str] | None:
    return None if offered is None else {"fingerprint": offered.fingerprint, "key": offered.line}


def _as_json(trusted: TrustedHostKey) -> dict[str, Any]:
    return {
        "fingerprint": trusted.fingerprint,
        "since": from_epoch(trusted.since),
        "until": from_epoch(trusted.ends_at),
        "reason": trusted.reason,
        "who": trusted.who,
    }
