"""What becomes of a sequence, and of objects that have its numbers, when an operator sets the next one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from s3_to_sftp.rules.sequence_counter import (
    BEGUN,
    COUNTER,
    OF_THE_NEXT,
    SEQUENCE,
    begin_change,
    kept_key,
    sequence_key,
)
from s3_to_sftp.state.items import instant
from s3_to_sftp.state.update_expression import Change, Put
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.layout import printable, typed
from s3_to_sftp_cli.ledger import LedgerReader
from s3_to_sftp_cli.ledger_changes import forgetting_cancel
from s3_to_sftp_cli.object_name import typed_object
from s3_to_sftp_cli.object_selection import require_not_being_sent
from s3_to_sftp_cli.operator_messages import Request
from s3_to_sftp_cli.sequences import Holder, Sequence

_KEPT_ACTIONS = 100
_KEPT_NUMBERS = 50
"""Of the objects that keep one: those that have ended since count, too, until they are this old."""


@dataclass(frozen=True, kw_only=True)
class NextNumber:
    """What is to be done about a number that is set.

    Attributes:
        sequence: As it was before.
        number: The next number.
        keeps: The version that held the last number and keeps it: files with it may be at the partner.
        released: The version that held the last number, of which the partner can have seen nothing.
        loses: Versions that had numbers which others get now: they are cancelled.
    """

    sequence: Sequence
    number: int
    keeps: Holder | None = None
    released: Holder | None = None
    loses: tuple[Holder, ...] = ()

    @property
    def holder(self) -> Holder | None:
        """The version that held the last number; None: none did."""
        return self.sequence.holder


def decide(sequence: Sequence, number: int, *, reuse: bool, now: float) -> NextNumber:
    """Return what setting the next number means for those that have one.

    Args:
        sequence: As it is.
        number: The next one.
        reuse: Whether the operator knows that numbers are used again.
        now: Seconds since 1970.

    Raises:
        CliError: An object is on its way with a number, or files with the number may be at the partner.
    """
    holder = sequence.holder
    if holder is not None and holder.record is not None:
        require_not_being_sent(holder.record, now=now)
        if holder.is_in_flight and not holder.may_be_seen:
            raise _on_its_way(sequence, holder)
    used = sequence.may_be_used(now)
    if used is not None and number <= used and not reuse:
        raise _used(sequence, used, number)
    loses = _losers(sequence, number) if used is not None else ()
    for each in loses:
        if each.record is not None:
            require_not_being_sent(each.record, now=now)
    if holder is None or holder in loses:
        return NextNumber(sequence=sequence, number=number, loses=loses)
    if holder.record is not None and holder.may_be_seen and holder.state != "DELIVERED":
        return NextNumber(sequence=sequence, number=number, loses=loses, keeps=holder)
    return NextNumber(sequence=sequence, number=number, loses=loses, released=holder)


def _losers(sequence: Sequence, number: int) -> tuple[Holder, ...]:
    holder = sequence.holder
    seen = (holder,) if holder is not None and holder.may_be_seen else ()
    return tuple(each for each in (*sequence.kept, *seen) if _is_used_again(each, sequence, number))


def _is_used_again(held: Holder, sequence: Sequence, number: int) -> bool:
    is_open = held.record is not None and held.state != "DELIVERED"
    return is_open and held.number >= number and held.period == sequence.period


def changes_of(done: NextNumber, request: Request, ledger: LedgerReader) -> list[Change]:
    """Return the changes of the ledger's items, on condition that nobody has changed them since."""
    return [*_changes_of_counter(done, request, ledger), *_changes_of_versions(done, request)]


def _changes_of_counter(done: NextNumber, request: Request, ledger: LedgerReader) -> Iterator[Change]:
    sequence = done.sequence
    action = {**request.as_action(), "number": done.number}
    begins: Put = {}
    if not sequence.revision:
        begins |= {"number": done.number - 1, "period": "", "taken_at": 0}
        begins |= {"status": SEQUENCE, "status_at": instant(request.at)}
        if ledger.item(sequence_key(sequence.name), BEGUN) is None:
            yield begin_change(sequence.name, at=int(request.at))
    yield Change(
        pk=sequence_key(sequence.name),
        sk=COUNTER,
        expected={"revision": sequence.revision} if sequence.revision else {"pk": None},
        put={
            **begins,
            "set_next": done.number,
            "kept": _kept(done),
            "operator_actions": [*sequence.operator_actions, action][-_KEPT_ACTIONS:],
        },
        remove=("holder_pk", "holder_sk", "holder_name", *(set(OF_THE_NEXT) - {"set_next"})),
        is_permanent=True,
    )


def _kept(done: NextNumber) -> dict[str, Any]:
    kept = [each for each in done.sequence.kept if each not in done.loses]
    kept += [done.keeps] if done.keeps is not None else []
    return {
        kept_key((each.pk, each.sk)): {
            "number": each.number,
            "taken_at": int(each.taken_at),
            "period": each.period,
            "name": each.name,
        }
        for each in kept[-_KEPT_NUMBERS:]
    }


def _changes_of_versions(done: NextNumber, request: Request) -> Iterator[Change]:
    holder = done.holder
    if holder is not None and holder.record is not None and holder not in done.loses:
        # Nobody has let it be sent meanwhile.
        revision = holder.record.item["revision"]
        yield Change(pk=holder.pk, sk=holder.record.stored_as, expected={"revision": revision})
    for each in done.loses:
        assert each.record is not None  # noqa: S101 - it has a state
        yield forgetting_cancel(each.record, request)


def _on_its_way(sequence: Sequence, holder: Holder) -> CliError:
    assert holder.record is not None  # noqa: S101 - it has a state
    key = typed_object(holder.record)
    return CliError(
        f"{printable(holder.name)} has number {holder.number} of the sequence {sequence.name!r}, and "
        f"is {holder.state}: the function still tries to deliver it.",
        hint=f"`s3-to-sftp retry {key}` tries it now; `s3-to-sftp cancel {key} --reason TEXT` returns "
        "its number.",
        code=ExitCode.CONFLICT,
    )


def _used(sequence: Sequence, used: int, number: int) -> CliError:
    of = f" of {sequence.period}" if sequence.period else ""
    held = sequence.holder
    has = "" if held is None or held.number != used else f" {used} is that of {printable(held.name)}."
    return CliError(
        f"Files with numbers up to {used}{of} of the sequence {sequence.name!r} may be at the partner, and "
        f"with {number} they are used again: the next files would replace them, or be refused.{has}",
        hint=f"`s3-to-sftp sequence {typed(sequence.name)} --set {used + 1} --reason TEXT` goes on behind "
        f"them. If the partner wants {number} again, add --reuse: objects that are not delivered lose their "
        "numbers then, and are cancelled.",
        code=ExitCode.CONFLICT,
    )
