"""Whether an object is delivered at all, and whether it is old enough: what its event says, or S3."""

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from s3_to_sftp.errors import DeliveryError
from s3_to_sftp.operator_request import Action
from s3_to_sftp.outcomes import Filtered, TooYoung
from s3_to_sftp.rules.filter import Filter
from s3_to_sftp.rules.object_properties import read_properties
from s3_to_sftp.s3.object_ref import ObjectRef

_LONGEST_WAIT = 900
"""Seconds: what a message of SQS can wait at once."""


def not_wanted(rule: Filter, ref: ObjectRef, *, now: float) -> DeliveryError | None:
    """Return why the object is not delivered, or not yet, as far as its event says. Asks nobody.

    Args:
        rule: Of the object.
        ref: The object.
        now: Seconds since 1970.
    """
    if _is_demanded(ref):
        return None
    why = rule.refusal_of_key(ref.key)
    if not why and ref.size is not None:
        why = rule.refusal_of_size(ref.size)
    if why:
        return _filtered(ref, why)
    return None if ref.event_time is None else _too_young(rule, ref, now - ref.event_time)


def refuse_unwanted(
    rule: Filter,
    ref: ObjectRef,
    s3: Any,
    *,
    tags: Mapping[str, str],
    now: float,
    is_under_way: Callable[[], bool],
) -> None:
    """Refuse an object that is not delivered, or not yet; S3 is asked where the event does not tell.

    Args:
        rule: Of the object.
        ref: The object.
        s3: boto3's S3 client.
        tags: Those of the object that the rule uses.
        now: Seconds since 1970.
        is_under_way: Returns whether some of it is at the partner, or it is delivered and something is left
            to do: then it is finished, whatever its age or tags are by now. Only asked about an object that
            would be refused.

    Raises:
        Filtered, TooYoung: It is not delivered, or not yet.
        ObjectReadError: S3 does not tell.
    """
    if _is_demanded(ref):
        return
    size, put_at = ref.size, ref.event_time
    if (rule.uses_size and size is None) or (rule.uses_age and put_at is None):
        there = read_properties(s3, ref)
        size, put_at = there.size, there.put_at
    why = rule.refusal_of_key(ref.key) or rule.refusal_of_tags(tags)
    if not why and size is not None:
        why = rule.refusal_of_size(size)
    if not why and put_at is not None:
        why = rule.refusal_of_age(now - put_at)
    error = _filtered(ref, why) if why else None
    if error is None and put_at is not None:
        error = _too_young(rule, ref, now - put_at)
    if error is not None and not is_under_way():
        raise error


def _is_demanded(ref: ObjectRef) -> bool:
    """Return whether an operator wants just this object sent again: it is, whatever its age."""
    return ref.operator is not None and ref.operator.action is Action.RESEND


def _filtered(ref: ObjectRef, why: str) -> DeliveryError:
    named = shlex.quote(f"s3://{ref.bucket}/{ref.key}")
    return Filtered(
        f"{ref} is not delivered, as the rule 'only' says: {why}.",
        hint=f"No action needed. `s3-to-sftp resend {named} --even-if-filtered --reason TEXT` sends it all "
        "the same; for all such objects change the rule, then `s3-to-sftp backfill --reason TEXT`.",
    )


def _too_young(rule: Filter, ref: ObjectRef, age: float) -> DeliveryError | None:
    rest = rule.wait(age)
    if not rest:
        return None
    return TooYoung(
        f"{ref} is delivered {rule.min_age} s after it was put, by the rule 'only': in {int(rest) + 1} s.",
        hint="No action needed.",
        retry_after=min(rest, _LONGEST_WAIT),
    )
