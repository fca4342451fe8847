"""The item that pauses deliveries, or lets them begin outside windows: keys, attributes, when it is in force.

Nothing here does I/O.
"""

from dataclasses import dataclass

from s3_to_sftp.state.attributes import Fields, Item, to_attribute

HOLD_PK = "delivery"
"""Partition key of the item."""

HOLD_SK = "hold"
"""Sort key of the item."""

LONGEST_WAIT = 300
"""Seconds that a message waits at most before it asks again: an end that comes early is noticed that soon."""


@dataclass(frozen=True, kw_only=True)
class Hold:
    """An operator's pause: no new delivery starts.

    Attributes:
        since: When it was set, in seconds since 1970.
        until: When it is over by itself, in seconds since 1970; None: when somebody resumes deliveries.
        reason: Why, in the operator's words.
        who: The operator.
        revision: Counts the writes to the item; 0 where a person has written it by hand.
        open_until: Until when deliveries may begin outside the partner's windows, too, in seconds since 1970;
            None: only in its windows. The pause itself is over then.
    """

    since: float
    until: float | None = None
    reason: str = ""
    who: str = ""
    revision: int = 0
    open_until: float | None = None

    def opens_windows(self, now: float) -> bool:
        """Return whether deliveries may begin outside the partner's windows at this time."""
        return self.open_until is not None and now < self.open_until

    def is_in_force(self, now: float) -> bool:
        """Return whether deliveries are paused at this time (seconds since 1970)."""
        return self.until is None or now < self.until

    def wait(self, now: float) -> float:
        """Return after how many seconds to ask again, for a pause that is in force."""
        return LONGEST_WAIT if self.until is None else min(max(self.until - now, 0), LONGEST_WAIT)

    def age(self, now: float) -> float:
        """Return how many seconds it has lasted."""
        return max(now - self.since, 0)


def hold_attributes(hold: Hold) -> Item:
    """Return the attributes of the item; the keys are not among them."""
    attributes = {
        "since": to_attribute(hold.since),
        "reason": to_attribute(hold.reason),
        "who": to_attribute(hold.who),
        "revision": to_attribute(hold.revision),
    }
    if hold.until is not None:
        attributes["until"] = to_attribute(hold.until)
    if hold.open_until is not None:
        attributes["open_until"] = to_attribute(hold.open_until)
    return attributes


def read_hold(item: Item) -> Hold:
    """Read and check the item.

    Raises:
        LedgerError: It is corrupt.
    """
    fields = Fields(item, hint="End it with `s3-to-sftp resume`.")
    return Hold(
        since=fields.number("since"),
        until=fields.number("until") if "until" in item else None,
        reason=fields.optional_text("reason") or "",
        who=fields.optional_text("who") or "",
        revision=fields.integer("revision") if "revision" in item else 0,
        open_until=fields.number("open_until") if "open_until" in item else None,
    )
