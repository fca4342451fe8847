"""What a person should do about a status: whether anything, and which command to type."""

from collections.abc import Iterator

from s3_to_sftp_cli.doctor_checks import how_to_lift
from s3_to_sftp_cli.layout import typed
from s3_to_sftp_cli.ledger import Record
from s3_to_sftp_cli.object_name import typed_object, typed_pattern
from s3_to_sftp_cli.object_selection import IN_FLIGHT_STATES
from s3_to_sftp_cli.sequences import Sequence
from s3_to_sftp_cli.status import DeadLetters, InFlight, Partner, Pause, Queue, Status, Unavailable
from s3_to_sftp_cli.unfinished_actions import UnfinishedActions

PAUSE_FORGOTTEN_SECONDS = 12 * 3600
"""A pause without an end is forgotten after this time; the alarm uses the same."""

WAITING_TOO_LONG_SECONDS = 3600
"""Likewise for an object that waits although nothing is paused."""

_ABOUT_PARTNER = {
    "PasswordExpired": ("the partner wants a new password; the log has its words", "logs --since 1h"),
    "SecondFactorRequired": ("the partner asks for a code; the log has its words", "logs --since 1h"),
    "PartnerRefusesWrites": ("finds out what the partner refuses, with a small file", "doctor --write"),
}
_DOCTOR = ("names the cause, and what to write to the partner", "doctor")
_TRY_ONCE = "when the cause is fixed: tries once, then everything that waits"

_NEVER_DELIVERED = {"RemotePathRefused", "ObjectGone", "ObjectChanged"}
"""Errors about the object version itself, for which sending it again cannot help."""


def needs_attention(status: Status) -> bool:
    """Return whether something needs a person: dead letters, an open circuit breaker, a forgotten pause."""
    now = status.at.timestamp()
    return (
        (isinstance(status.dead_letters, DeadLetters) and status.dead_letters.count > 0)
        or (isinstance(status.partner, Partner) and status.partner.is_open)
        or (isinstance(status.pause, Pause) and is_forgotten(status.pause, now))
        or status.is_disabled is True
        or status.may_not_run
        or _waits_too_long(status)
    )


def unreadable(status: Status) -> list[Unavailable]:
    """Return the parts that could not be read, and that may hide what needs a person."""
    parts = (
        status.dead_letters,
        status.partner,
        status.pause,
        status.is_disabled,
        status.in_flight,
        status.queue,
    )
    return [part for part in parts if isinstance(part, Unavailable)]


def is_forgotten(pause: Pause, now: float) -> bool:
    """Return whether a pause has lasted for too long."""
    return pause.is_in_force and pause.until is None and now - pause.since > PAUSE_FORGOTTEN_SECONDS


def advice(status: Status) -> list[tuple[str, str]]:
    """Return for each abnormal thing why, and the command to type, without the name of the program.

    A command is empty where there is none that helps.
    """
    return list(_advice(status))


def _advice(status: Status) -> Iterator[tuple[str, str]]:
    if status.is_disabled is True:
        yield "the trigger is disabled: deploy with enabled=True", ""
    if status.may_not_run:
        yield f"the reserved concurrency is 0: {how_to_lift(status.delivery.function)}", ""
    if isinstance(status.pause, Pause) and status.pause.is_in_force:
        yield "deliveries are paused", "resume"
    if isinstance(status.in_flight, InFlight) and status.in_flight.waiting_for_window and not status.pause:
        yield "opens the partner's window by hand", "resume --until TIME --reason TEXT"
    if isinstance(status.partner, Partner) and status.partner.is_open:
        yield from _about_partner(status.partner)
    if isinstance(status.partner, Partner) and status.partner.trusted_host_key is not None:
        yield "pin the trusted host key and deploy before its time is over", ""
    if isinstance(status.dead_letters, DeadLetters) and status.dead_letters.count:
        yield from _about_dead_letters(status.dead_letters)
    if (
        isinstance(status.after, UnfinishedActions)
        and status.after.failed
        and not _names_failed_action(status)
    ):
        yield "when the cause is fixed: does what is left to do in S3", "redrive --error AfterDeliveryFailed"
    if not isinstance(status.held, Unavailable):
        for sequence in status.held:
            yield from _about_number(sequence, status)
    if _waits_too_long(status):
        yield "objects are waiting, and nothing is paused", "logs --since 1h"


def _names_failed_action(status: Status) -> bool:
    """Return whether the dead letters lead to the same command."""
    groups = status.dead_letters.groups if isinstance(status.dead_letters, DeadLetters) else None
    return any(group.error == "AfterDeliveryFailed" for group in groups or ())


def _about_partner(partner: Partner) -> Iterator[tuple[str, str]]:
    if partner.host_key_is_trusted:
        yield "the host key is trusted now: tries once, then everything that waits", "retry --partner"
        return
    if partner.error != "HostKeyRefused":
        yield _ABOUT_PARTNER.get(partner.error, _DOCTOR)
    elif partner.offered_host_key:
        why = "when the partner has confirmed this fingerprint out of band"
        yield why, f"trust-host-key {partner.offered_host_key} --reason TEXT"
    else:
        yield "shows the fingerprint of the server; when it is confirmed, trust-host-key", "doctor"
    if partner.error == "PartnerUnreachable":
        yield "ask the partner whether these addresses are allowed", "addresses"
    yield _TRY_ONCE, "retry --partner"


def _about_dead_letters(dead_letters: DeadLetters) -> Iterator[tuple[str, str]]:
    groups = dead_letters.groups or ()
    if not groups:
        yield "read why they failed; when it is fixed, redrive", "redrive --dry-run"
        return
    errors = list(dict.fromkeys(group.error for group in groups if group.state == "FAILED" and group.error))
    for error in [each for each in errors if each not in _NEVER_DELIVERED][:3]:
        yield "when the cause is fixed", f"redrive --error {error}"
    if hopeless := [each for each in errors if each in _NEVER_DELIVERED]:
        why = f"{', '.join(hopeless)}: sending again cannot help; note the keys, then cancel"
        yield why, "receipts --failed"
    if any(group.state == "UNKNOWN" for group in groups):
        yield "ask the partner whether these files have arrived; then confirm or redrive", "receipts --failed"
    elif not hopeless and (len(errors) != 1 or not all(group.error for group in groups)):
        yield "reason and hint of each", "receipts --failed"


def _about_number(sequence: Sequence, status: Status) -> Iterator[tuple[str, str]]:
    holder, number = sequence.holder, sequence.number
    if holder is None:
        return
    record = holder.record
    if record is None or holder.state not in (*IN_FLIGHT_STATES, "FAILED", "UNKNOWN"):
        why = f"number {number} was given up: lets the others go on behind it"
        yield why, _go_on(sequence)
        return
    key = typed_object(record)
    match holder.state:
        case "FAILED" if sequence.stopped:
            yield f"the others wait, since number {number} is refused: when that is fixed", _redrive(record)
            yield "if the partner expects another number", _go_on(sequence, "N")
        case "FAILED":
            yield f"the others wait for number {number}: when the cause is fixed", _redrive(record)
        case "UNKNOWN":
            why = f"the others wait for number {number}: ask the partner whether it has arrived; then"
            yield why, f"confirm {key} --reason TEXT"
            yield "if it has not", f"resend {key} --reason TEXT"
        case _ if not record.is_being_sent(status.at.timestamp()) and _may_send(status):
            yield f"the others wait for number {number}: tries it now", f"retry {key}"


def _redrive(record: Record) -> str:
    return f"redrive --key {typed_pattern(record)}"


def _go_on(sequence: Sequence, number: int | str | None = None) -> str:
    return f"sequence {typed(sequence.name)} --set {number or sequence.number + 1} --reason TEXT"


def _may_send(status: Status) -> bool:
    is_closed = isinstance(status.partner, Partner) and not status.partner.is_open
    return is_closed and not _is_paused(status) and status.is_disabled is not True and not status.may_not_run


def _is_paused(status: Status) -> bool:
    """Return whether deliveries are paused, or that is not known."""
    pause = status.pause
    return isinstance(pause, Unavailable) or (pause is not None and pause.is_in_force)


def _waits_too_long(status: Status) -> bool:
    is_quiet = not _is_paused(status) and status.is_disabled is not True and not status.may_not_run
    is_closed = isinstance(status.partner, Partner) and not status.partner.is_open
    if not (is_quiet and is_closed and isinstance(status.in_flight, InFlight)):
        return False
    if status.in_flight.waiting and status.in_flight.oldest_is_explained:
        return False
    waiting = status.in_flight.waiting or (isinstance(status.queue, Queue) and status.queue.visible)
    oldest = status.in_flight.oldest
    is_sending = status.in_flight.uploads or status.in_flight.others_being_sent
    return bool(
        waiting
        and not is_sending
        and oldest
        and (status.at - oldest).total_seconds() > WAITING_TOO_LONG_SECONDS
    )
