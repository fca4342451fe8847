"""The circuit breaker in the ledger's DynamoDB table.

Every write is a whole item, on condition that its revision is the one that was read. So two functions never
both get the claim, no count is lost, and what was learned before the breaker opened cannot close it.
"""

import contextlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from s3_to_sftp.errors import DeliveryError, LedgerError, is_partner_wide
from s3_to_sftp.outcomes import CircuitOpen
from s3_to_sftp.state.attributes import Item
from s3_to_sftp.state.breaker_item import BREAKER, breaker_attributes, breaker_key, read_breaker
from s3_to_sftp.state.breaker_state import BreakerState
from s3_to_sftp.state.circuit_breaker import LastFailure, Opened, Recovered
from s3_to_sftp.state.known_server import DynamoKnownServers
from s3_to_sftp.state.table import Table

_log = logging.getLogger(__name__)

_MAX_WAIT = 300
"""Upper bound of the seconds that a message waits: after that, a fixed secret is noticed."""

_MAX_ATTEMPTS = 10
"""Of a write that conflicts with others. Three failures open the breaker, and then no function writes."""


class DynamoCircuitBreaker:
    """One per execution environment, used by one invocation at a time.

    Args:
        client: A low-level DynamoDB client; needs `dynamodb:GetItem` and `dynamodb:PutItem`.
        table: The name of the ledger's table.
        server: host:port.
        beside: What is read in the same request, where it has not been read yet.
        clock: Seconds since the epoch.
        random: Returns a number from 0 up to, but not including, 1.
    """

    def __init__(
        self,
        client: Any,
        table: str,
        server: str,
        *,
        beside: DynamoKnownServers | None = None,
        clock: Callable[[], float] = time.time,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._table = Table(client, table)
        self._server = server
        self._beside = beside
        self._clock = clock
        self._random = random
        self._admitted: BreakerState | None = None  # as it was when this function was admitted
        self._has_claim = False
        self._is_open = False
        self._warnings: set[str] = set()

    @property
    def is_open(self) -> bool:
        """Whether it was open when it was last read or written."""
        return self._is_open

    def admit(self, *, configuration: str, until: float) -> None:
        """Let the caller connect, or raise an error with the time to wait.

        Raises:
            CircuitOpen: The breaker is open, or another function is trying.
        """
        self._admitted, self._has_claim = None, False
        try:
            self._admit(configuration, until)
        except LedgerError as error:
            self._warn_once(error)

    def _admit(self, configuration: str, until: float) -> None:
        for _ in range(_MAX_ATTEMPTS):
            state = self._read()
            if not state.is_open:
                self._admitted = state
                return
            wait = state.wait(configuration, self._clock())
            if wait is not None:
                raise self._circuit_open(state, wait)
            claimed = replace(state, claimed_until=until)
            if written := self._write(claimed):
                self._admitted, self._has_claim = written, True
                _log.info("probing whether %s is accepting files again", self._server)
                return
        raise self._circuit_open(state, 1)

    def _circuit_open(self, state: BreakerState, wait: float) -> CircuitOpen:
        return CircuitOpen(
            f"The circuit breaker for {self._server} is open: {state.reason}",
            hint="It will be retried later, and at once when the secret or the host keys have been changed.",
            # Jitter: messages that wait for the same moment do not return in the same second.
            retry_after=min(wait, _MAX_WAIT) * (1 + 0.2 * self._random()),
        )

    def failed(self, error: DeliveryError, *, configuration: str) -> Opened | None:
        """Count an error that blocks every delivery, and open the breaker when there are enough.

        Returns:
            The event to publish: the breaker has opened, or stays open for a new reason. Else None.
        """
        if not is_partner_wide(error):
            return None
        claim = self._admitted.revision if self._admitted and self._has_claim else None
        self._has_claim = False
        try:
            return self._failed(error, configuration, claim)
        except LedgerError as trouble:
            self._warn_once(trouble)
            return None

    def _failed(self, error: DeliveryError, configuration: str, claim: int | None) -> Opened | None:
        for _ in range(_MAX_ATTEMPTS):
            before = self._read()
            if before.is_open and before.revision != claim:
                return None  # it has opened meanwhile; the function with the claim reports its state
            after = before.after_failure(
                error,
                configuration=configuration,
                now=self._clock(),
                jitter=1 + 0.1 * self._random(),
            )
            if not after.is_open and after.objects and after.objects == before.objects:
                return None  # this object was counted before
            if written := self._write(after):
                return self._opened(before, written, configuration)
        return None

    def _opened(self, before: BreakerState, after: BreakerState, configuration: str) -> Opened | None:
        if not after.is_open:
            return None
        _log.warning(
            "the circuit breaker for %s is open for %d s: %s",
            self._server,
            after.retry_at - self._clock(),
            after.reason,
        )
        if before.is_open and before.error == after.error and configuration in before.refused:
            return None
        return Opened(
            server=self._server,
            reason=after.reason,
            error=after.error,
            since=after.since,
            failures=after.failures,
            retry_at=after.retry_at,
        )

    def last_failure(self, *, configuration: str) -> LastFailure | None:
        """Return the last failure, if this configuration has failed since the partner accepted anything."""
        try:
            state = self._read()
        except LedgerError as error:
            self._warn_once(error)
            return None
        if not state.failures or configuration not in state.refused:
            return None
        return LastFailure(error=state.error, reason=state.reason, since=state.since)

    def login_accepted(self) -> Recovered | None:
        """Close the breaker, unless refused files have opened it; reset the count of failures likewise.

        Returns:
            The event to publish, when the breaker was open and this function had the claim.
        """
        return None if self._admitted is None or self._admitted.alike else self.succeeded()

    def succeeded(self) -> Recovered | None:
        """Close the breaker when it was open, or had counted failures; otherwise this costs nothing.

        Returns:
            The event to publish, when the breaker was open and this function had the claim.
        """
        admitted, self._has_claim = self._admitted, False
        if admitted is None or not admitted.failures:
            return None
        try:
            # Another function has written since this one was admitted: its result counts.
            self._admitted = self._write(BreakerState(revision=admitted.revision))
        except LedgerError as error:
            self._warn_once(error)
            return None
        if self._admitted is None or not admitted.is_open:
            return None
        _log.info("%s is accepting files again", self._server)
        return Recovered(
            server=self._server,
            reason=admitted.reason,
            error=admitted.error,
            since=admitted.since,
            failures=admitted.failures,
        )

    def release(self) -> None:
        """Release the claim, if this function has it and learned nothing: another one may try."""
        admitted, had_claim = self._admitted, self._has_claim
        self._has_claim = False
        if admitted is None or not had_claim:
            return
        try:
            self._write(replace(admitted, claimed_until=0))
        except LedgerError as error:
            self._warn_once(error)

    def _read(self) -> BreakerState:
        item = self._read_item()
        state = BreakerState() if item is None else read_breaker(item)
        self._is_open = state.is_open
        if self._beside is not None:
            self._beside.note_breaker(is_open=state.is_open)
        return state

    def _read_item(self) -> Item | None:
        keys, other_keys = (breaker_key(self._server), BREAKER), self._beside and self._beside.keys()
        if self._beside is not None and other_keys:
            with contextlib.suppress(LedgerError):  # the breaker is read alone, and says what is wrong
                item, other = self._table.read_both(keys, other_keys)
                self._beside.take(other)
                return item
        return self._table.read(*keys)

    def _write(self, state: BreakerState) -> BreakerState | None:
        """Write the state as the next revision, and return it. None: another function was first."""
        written = replace(state, revision=state.revision + 1)
        is_written = self._table.put(
            breaker_key(self._server),
            BREAKER,
            breaker_attributes(written),
            expected_revision=state.revision,
        )
        if not is_written:
            return None
        self._is_open = written.is_open
        return written

    def _warn_once(self, error: LedgerError) -> None:
        if str(error) not in self._warnings:
            _log.warning("deliveries continue without the circuit breaker: %s", error)
        self._warnings.add(str(error))
