"""What keeps deliveries from happening although everything works: a pause, an open circuit breaker."""

import time
from collections.abc import Callable
from typing import Any

from s3_to_sftp.doctor.checklist import Finding, NotTriedError, Step
from s3_to_sftp.doctor.report import BREAKER_CHECK, PAUSE
from s3_to_sftp.errors import LedgerError
from s3_to_sftp.settings import Settings
from s3_to_sftp.state.breaker_item import BREAKER, breaker_key, read_breaker
from s3_to_sftp.state.breaker_state import BreakerState
from s3_to_sftp.state.hold import HOLD_PK, HOLD_SK, read_hold
from s3_to_sftp.state.table import Table
from s3_to_sftp.utc_time import utc_text


class HoldChecks:
    """Looks whether deliveries are held back. Both are warnings: the way to the partner may be fine.

    Args:
        settings: Of the function.
        new_client: `boto3.client`, with short timeouts.
        clock: Seconds since 1970.
    """

    def __init__(
        self, settings: Settings, new_client: Callable[..., Any], clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._new_client = new_client
        self._clock = clock

    def steps(self) -> list[tuple[str, Step]]:
        """Return the checks; each stands for itself."""
        if self._settings.ledger_table is None:
            return []
        return [(PAUSE, self._pause), (BREAKER_CHECK, self._breaker)]

    def _pause(self) -> Finding | str:
        item = self._read(HOLD_PK, HOLD_SK)
        if item is None:
            return "deliveries are not paused"
        hold = read_hold(item)
        if not hold.is_in_force(self._clock()):
            return f"deliveries are not paused (a pause ended at {utc_text(hold.until or 0)})"
        end = "until somebody resumes them" if hold.until is None else f"until {utc_text(hold.until)}"
        by = f" by {hold.who}" if hold.who else ""
        return Finding(
            text="nothing is delivered",
            warning=f"paused since {utc_text(hold.since)}{by}, {end}: {hold.reason or 'no reason was given'}",
            advice="`s3-to-sftp resume` ends the pause.",
        )

    def _breaker(self) -> Finding | str:
        item = self._read(breaker_key(str(self._settings.server)), BREAKER)
        state = BreakerState() if item is None else read_breaker(item)
        if not state.is_open:
            failed = f", after {state.failures} failures in a row: {state.reason}" if state.failures else ""
            return f"closed{failed}"
        return Finding(
            text="nothing is delivered",
            warning=f"open since {utc_text(state.since)}, {self._next_attempt(state)}: {state.reason}",
            advice="When the cause is fixed, `s3-to-sftp retry --partner --reason TEXT` tries at once.",
        )

    def _next_attempt(self, state: BreakerState) -> str:
        now = self._clock()
        if state.claimed_until > now:
            return "an attempt is under way"
        return "next attempt due" if state.retry_at <= now else f"next attempt {utc_text(state.retry_at)}"

    def _read(self, pk: str, sk: str) -> Any:
        """Return the item; None: there is none.

        Raises:
            NotTriedError: The table cannot be read; its own check says why.
        """
        table = Table(self._new_client("dynamodb"), self._settings.ledger_table or "")
        try:
            return table.read(pk, sk)
        except LedgerError:
            raise NotTriedError("(ledger)") from None
