"""The action after the delivery of one object."""

from typing import Protocol

from s3_to_sftp.delivery_plan import PlannedAction
from s3_to_sftp.errors import RuleRefused
from s3_to_sftp.rules.after_delivery import RULE, AfterAction, AfterDelivery

_MOST_KEY_BYTES = 1024


class _Item(Protocol):
    @property
    def bucket(self) -> str: ...

    @property
    def key(self) -> str: ...


def planned_action(rule: AfterDelivery, item: _Item) -> PlannedAction | None:
    """Return what happens to the object in S3; None: nothing.

    Raises:
        RuleRefused: It would be moved to where it is, or nowhere. Known before anything is sent.
    """
    if rule.action is AfterAction.KEEP:
        return None
    if rule.action is not AfterAction.MOVE:
        return PlannedAction(action=str(rule.action), tags=rule.tags)
    bucket, key = rule.bucket or item.bucket, rule.prefix + item.key
    if bucket == item.bucket and item.key.startswith(rule.prefix):
        raise RuleRefused(
            RULE,
            f"{item.key!r} is where the rule {RULE!r} moves delivered objects to, {rule.prefix!r} of "
            f"{bucket!r}: each delivery would cause the next one.",
            value=item.key,
            hint="Give the source another prefix, or move delivered objects to another one.",
        )
    if len(key.encode()) > _MOST_KEY_BYTES:
        raise RuleRefused(
            RULE,
            f"The rule {RULE!r} would move {item.key!r} to a key of {len(key.encode())} bytes, and S3 allows "
            f"{_MOST_KEY_BYTES}.",
            value=key,
            hint="Put the object again under a shorter key, or shorten the prefix of the rule.",
        )
    return PlannedAction(action=str(rule.action), bucket=bucket, key=key)
