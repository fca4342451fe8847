"""The item of the circuit breaker: its keys, and its state written to and read from attributes."""

from s3_to_sftp.state.attributes import Fields, Item, to_attribute
from s3_to_sftp.state.breaker_state import BreakerState

BREAKER = "breaker"
"""Sort key of the item."""


def breaker_key(server: str) -> str:
    """Return the partition key of the item for a server, given as host:port."""
    return f"partner#{server}"


def breaker_attributes(state: BreakerState) -> Item:
    """Return the attributes of the state; the keys are not among them."""
    return {
        "revision": to_attribute(state.revision),
        "failures": to_attribute(state.failures),
        "since": _seconds(state.since),
        "error": to_attribute(state.error),
        "reason": to_attribute(state.reason),
        "hint": to_attribute(state.hint),
        "openings": to_attribute(state.openings),
        "retry_at": _seconds(state.retry_at),
        "claimed_until": _seconds(state.claimed_until),
        "refused": to_attribute(state.refused),
        "alike": to_attribute(state.alike),
        "objects": to_attribute(state.objects),
    }


def read_breaker(item: Item) -> BreakerState:
    """Read and check the item.

    Raises:
        LedgerError: It is corrupt.
    """
    fields = Fields(item, hint="Delete the item: the circuit breaker starts closed and writes a new one.")
    return BreakerState(
        revision=fields.integer("revision"),
        failures=fields.integer("failures"),
        since=fields.number("since"),
        error=fields.text("error"),
        reason=fields.text("reason"),
        hint=fields.optional_text("hint") or "",  # an item of an earlier release has none
        openings=fields.map("openings").integers(),
        retry_at=fields.number("retry_at"),
        claimed_until=fields.number("claimed_until"),
        refused=fields.texts("refused"),
        alike=fields.text("alike"),
        objects=fields.texts("objects"),
    )


def _seconds(seconds: float) -> dict[str, str]:
    return {"N": f"{seconds:.3f}"}
