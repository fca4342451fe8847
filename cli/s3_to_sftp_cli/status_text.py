"""A status as lines for people."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.text import Text

from s3_to_sftp_cli.layout import LABEL, labelled, printable
from s3_to_sftp_cli.sizes import count_text, size_text
from s3_to_sftp_cli.status import (
    DeadLetters,
    Partner,
    Pause,
    Queue,
    Status,
    Today,
    Unavailable,
    Upload,
)
from s3_to_sftp_cli.times import clock, from_epoch, in_words

MOST_UPLOADS = 5

_LATE_SECONDS = 45
"""Progress is written every 20 seconds. One that is missing twice is late."""

_BAD, _WARNING, _GOOD = "bold red", "yellow", "green"

_IN_WORDS = {
    "LoginRefused": "login refused",
    "PasswordExpired": "password expired",
    "SecondFactorRequired": "second factor required",
    "HostKeyRefused": "host key not pinned",
    "PartnerUnreachable": "not reachable",
    "TooManyConnections": "too many connections",
    "SftpNotStarted": "SFTP not started",
    "PartnerRefusesWrites": "files refused",
    "DirectoryAmbiguous": "directory ambiguous",
    "DirectoryNameDiffers": "directory name differs",
    "CredentialsError": "secret not usable",
}


def status_lines(status: Status, *, width: int, advice: Sequence[tuple[str, str]]) -> list[Text]:
    """Return what `status` prints.

    Args:
        status: What to show.
        width: Columns of the terminal.
        advice: For each thing to do: why, and the whole command to type (empty: there is none).
    """
    lines = [_header(status, width)]
    lines += [labelled("trigger", [each], width=width) for each in _trigger(status)]
    lines.append(labelled("partner", _partner(status), width=width))
    if queue := list(_queue(status)):
        lines.append(labelled("queue", queue, width=width))
    lines += [labelled("sequence", parts, width=width) for parts in _held(status)]
    lines += [
        labelled("" if number else "sending", upload, width=width, gap=3)
        for number, upload in enumerate(_sending(status))
    ]
    if after := list(_after(status)):
        lines.append(labelled("after", after, width=width))
    lines.append(labelled("today", _today(status.today), width=width))
    for number, (why, command) in enumerate(advice):
        parts: list[str | Text] = [f"({why})"]
        if command:
            parts.insert(0, Text(command, style="bold", no_wrap=True))
        lines.append(labelled("" if number else "next", parts, width=width, gap=2))
    return lines


def _header(status: Status, width: int) -> Text:
    delivery = status.delivery
    target = printable(f"→ {delivery.server} {delivery.directory}".rstrip())
    header, state = Text(f"{printable(delivery.function)} {target}", style="bold"), _paused(status)
    if header.cell_len > width:
        below = labelled("", [Text(target, style="bold", no_wrap=True)], width=width)
        header = Text(f"{printable(delivery.function)}\n", style="bold").append_text(below)
    if not state.plain:
        return header
    if header.cell_len + LABEL + state.cell_len <= width:
        return header.append(" " * LABEL).append_text(state)
    return header.append("\n").append_text(labelled("", [state], width=width))


def _paused(status: Status) -> Text:
    match status.pause:
        case Unavailable():
            return Text(f"pause {status.pause}", style=_WARNING)
        case Pause(windows_open_until=float() as open_until, reason=reason):
            return Text(
                f"WINDOWS OPEN until {clock(from_epoch(open_until), now=status.at)} ({printable(reason)})",
                style=_WARNING,
            )
        case Pause(until=until, reason=reason):
            end = "until resumed" if until is None else f"until {clock(from_epoch(until), now=status.at)}"
            why = f" ({printable(reason)})" if reason else ""
            return Text(f"PAUSED {end}{why}", style=_WARNING)
    return Text("DISABLED", style=_BAD) if status.is_disabled is True else Text()


def _trigger(status: Status) -> Iterator[Text]:
    if isinstance(status.is_disabled, Unavailable):
        yield Text(str(status.is_disabled), style=_WARNING)
    elif status.is_disabled and status.pause is not None:
        yield Text("DISABLED", style=_BAD)
    if status.may_not_run:
        yield Text("MAY NOT RUN: reserved concurrency 0", style=_BAD)


def _partner(status: Status) -> Iterator[str | Text]:
    partner, now = status.partner, status.at
    if isinstance(partner, Unavailable):
        yield Text(str(partner), style=_WARNING)
        return
    yield from _circuit_breaker(partner, now)
    if trusted := partner.trusted_host_key:
        until = clock(from_epoch(trusted.until), now=now)
        yield Text(f"host key {printable(trusted.fingerprint)} trusted until {until}", style=_WARNING)


def _circuit_breaker(partner: Partner, now: datetime) -> Iterator[str | Text]:
    since = clock(from_epoch(partner.since), now=now)
    if not partner.is_open:
        last = f"last delivery {clock(partner.last_delivery, now=now)}" if partner.last_delivery else ""
        if partner.failures:
            failed = count_text(partner.failures, "failed attempt")
            yield Text(f"{failed} since {since}, circuit breaker closed", style=_WARNING)
            yield last or "no delivery in 7 days"
            yield Text(printable(partner.reason))
        else:
            yield Text(f"accepting files, {last or 'no delivery in 7 days'}", style=_GOOD)
        return
    if partner.host_key_is_trusted:
        yield Text(
            f"nothing since {since}; its host key is trusted by now, {_next_attempt(partner, now)}", _BAD
        )
        return
    what = _IN_WORDS.get(partner.error, partner.error)
    attempts = count_text(partner.failures, "attempt")
    yield Text(f"{what} since {since} ({attempts}), {_next_attempt(partner, now)}", style=_BAD)
    if partner.addresses:
        yield f"from {', '.join(partner.addresses)}"
    yield Text(printable(partner.reason))


def _next_attempt(partner: Partner, now: datetime) -> str:
    if partner.is_trying:
        return "an attempt is under way"
    if partner.next_attempt <= now.timestamp():
        return "next attempt due"
    return f"next attempt {clock(from_epoch(partner.next_attempt), now=now)}"


def _queue(status: Status) -> Iterator[str | Text]:
    queue, dead = status.queue, status.dead_letters
    if isinstance(queue, Unavailable):
        yield Text(str(queue), style=_WARNING)
    elif queue is not None:
        yield _waiting(queue, status)
        if queue.in_flight:
            yield f"in flight {queue.in_flight:,}"
        yield _deferred(queue, status)
        yield from _by_rules(status)
    if isinstance(dead, Unavailable):
        if dead != queue:
            yield Text(f"dead-lettered {dead}", style=_WARNING)
    elif dead is not None:
        yield _dead_lettered(dead)


def _waiting(queue: Queue, status: Status) -> str:
    waiting = f"{queue.visible:,} waiting"
    in_flight = status.in_flight
    if isinstance(in_flight, Unavailable):
        return f"{waiting}, oldest {in_flight}"
    if in_flight.oldest is None:
        return waiting
    return f"{waiting}, oldest {in_words((status.at - in_flight.oldest).total_seconds())}"


def _deferred(queue: Queue, status: Status) -> str:
    deferred = f"deferred {queue.delayed:,}"
    if not queue.delayed or isinstance(status.in_flight, Unavailable):
        return deferred
    in_flight = status.in_flight
    unfinished = in_flight.waiting + len(in_flight.uploads) + in_flight.others_being_sent
    if in_flight.is_complete and queue.delayed > unfinished:
        # A second message, of `retry`, was faster. The first one is acknowledged when it comes back.
        deferred += f" ({queue.delayed - unfinished:,} no longer needed)"
    next_try = in_flight.next_try
    if next_try is None:
        return deferred
    is_due = next_try <= status.at.timestamp()
    return f"{deferred}, next {'due' if is_due else clock(from_epoch(next_try), now=status.at)}"


def _by_rules(status: Status) -> Iterator[str]:
    """Yield how many objects wait because of the partner's windows and rate, and until when."""
    in_flight = status.in_flight
    if isinstance(in_flight, Unavailable):
        return
    if in_flight.waiting_for_window:
        opens = in_flight.opens_at
        when = "" if opens is None else f" until {clock(from_epoch(opens), now=status.at)}"
        yield f"{in_flight.waiting_for_window:,} outside the partner's window{when}"
    if in_flight.waiting_for_drop:
        yield f"{in_flight.waiting_for_drop:,} for the partner's rate"


def _dead_lettered(dead: DeadLetters) -> Text:
    if not dead.count:
        return Text("dead-lettered 0")
    text = Text(f"dead-lettered {dead.count:,}", style=_BAD)
    if not dead.groups:
        return text
    known = sum(group.count for group in dead.groups)
    # SQS counts approximately, and a dead letter may have been deleted, or name no object, or one of another.
    last = "" if dead.is_complete else "last "
    note = "" if known == dead.count else f"the ledger's {last}{count_text(known, 'object')}: "
    return text.append(f" ({note}{', '.join(printable(group) for group in dead.groups)})")


def _sending(status: Status) -> Iterator[list[str | Text]]:
    in_flight = status.in_flight
    if isinstance(in_flight, Unavailable):
        yield [Text(str(in_flight), style=_WARNING)]
        return
    shown = in_flight.uploads[:MOST_UPLOADS]
    for upload in shown:
        yield _upload(upload, status.at)
    others = len(in_flight.uploads) - len(shown) + in_flight.others_being_sent
    if others:
        yield [count_text(others, "more object" if shown else "object")]
    elif not shown:
        yield ["nothing"]


def _upload(upload: Upload, now: datetime) -> list[str | Text]:
    sent, total = size_text(upload.sent).split(), size_text(upload.total)
    both = f"{sent[0] if total.endswith(f' {sent[1]}') else ' '.join(sent)} of {total}"
    parts: list[str | Text] = [printable(upload.key), both]
    if upload.total:
        parts.append(f"{100 * upload.sent // upload.total} %")
    if now.timestamp() - upload.at > _LATE_SECONDS:
        # The invocation may have been ended: an old rate says nothing of now.
        parts.append(f"last progress {in_words(now.timestamp() - upload.at)} ago")
        return parts
    if upload.rate:
        parts.append(f"{size_text(upload.rate)}/s")
    if upload.done_at is not None:
        done_at = from_epoch(upload.done_at)
        parts.append(f"done about {clock(done_at, now=now)}" if done_at > now else "done any moment")
    return parts


def _held(status: Status) -> Iterator[list[str | Text]]:
    if isinstance(status.held, Unavailable):
        if status.held != status.in_flight:
            yield [Text(str(status.held), style=_WARNING)]
        return
    waiting = 0 if isinstance(status.in_flight, Unavailable) else status.in_flight.waiting_for_number
    for sequence in status.held:
        assert sequence.holder is not None  # noqa: S101 - that is why it is here
        state = sequence.holder.state or "no longer in the ledger"
        since = clock(from_epoch(sequence.taken_at), now=status.at)
        held = f"{sequence.name}: {sequence.holder.name} has number {sequence.number} since {since} ({state})"
        yield [Text(printable(held), style=_WARNING), f"{count_text(waiting, 'object')} waiting for the next"]


def _after(status: Status) -> Iterator[str | Text]:
    if isinstance(status.after, Unavailable):
        if status.after != status.in_flight:
            yield Text(str(status.after), style=_WARNING)
    elif status.after is not None:
        style = _WARNING if status.after.failed else ""
        yield from (Text(part, style=style) for part in status.after.in_words())


def _today(today: Today | Unavailable) -> Iterator[str | Text]:
    if isinstance(today, Unavailable):
        yield Text(str(today), style=_WARNING)
        return
    parts = [f"{today.delivered:,} delivered", size_text(today.size)]
    if today.p95 is not None:
        parts.append(f"p95 {_seconds(today.p95)}")
    parts.append(f"{today.superseded:,} superseded")
    if today.skipped:
        parts.append(f"{today.skipped:,} skipped")
    yield ", ".join(parts)
    yield f"(UTC day {today.day}{', by CloudWatch' if today.source == 'cloudwatch' else ''})"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else in_words(seconds)
