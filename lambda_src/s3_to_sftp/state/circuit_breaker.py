"""The circuit breaker: nobody asks a partner who is away, has refused the login, or refuses every file.

One item in the ledger's table per server, shared by all functions that deliver to it.

    closed ──failures in a row──> open ──time over, or mended──> half-open ──success──> closed
                                   ^                                │
                                   └────────────failure─────────────┘

Half-open is no state of its own: it is an open breaker with a claim, and whoever has the claim tries.
Every write is a whole item on the condition that its revision is the one that was read. So two functions
never both get the claim, no count is lost, and what was learned before the breaker opened cannot close it.

A server that lets us in and refuses a file is neither away nor is the login wrong: that ends a row of such
failures, and closes a breaker that they have opened. Whether it takes files is another row: so many different
objects, refused alike, open the breaker, too, and only an object that is accepted closes it.

A breaker that cannot be read or written never stops a delivery.
"""

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp.errors import (
    CircuitOpen,
    DeliveryError,
    Disposition,
    HostKeyRefused,
    LedgerError,
    LoginRefused,
    PartnerRefusesWrites,
)
from s3_to_sftp.state.refusal_streak import ALIKE
from s3_to_sftp.untrusted_text import cut, quoted

_log = logging.getLogger(__name__)

_LONGEST_WAIT = 300
"""Seconds that a message waits at most before it asks again: so soon is a mended secret noticed."""

_MOST_REASON_BYTES = 1000
_REMEMBERED_CONFIGURATIONS = 8
_REMEMBERED_OBJECTS = 8
_TRIES = 10
"""Of a write that loses against others. Three of them open the breaker, and then nobody writes any more."""


@dataclass(frozen=True, kw_only=True)
class _Schedule:
    """How many failures in a row open the breaker, for how many seconds, doubling up to how many."""

    failures: int
    first: float
    longest: float

    def open_for(self, openings: int) -> float:
        return min(self.first * 2.0 ** min(openings - 1, 32), self.longest)


_UNREACHABLE = _Schedule(failures=3, first=60, longest=900)
_REFUSES_WRITES = _Schedule(failures=ALIKE, first=60, longest=900)
_HOST_KEY = _Schedule(failures=1, first=300, longest=3600)
# Accounts get locked, where PCI DSS holds after ten attempts at the latest (8.3.4): doubled up to eight
# hours, a day has nine. A partner who mends his side is noticed after at most as long again as he took.
_LOGIN = _Schedule(failures=1, first=300, longest=28_800)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The partner has its circuit breaker open from now on, or for another reason than before.

    Attributes:
        server: host:port.
        reason: What is wrong.
        error: Name of the error's class.
        since: First failure of this row, in seconds since the epoch.
        failures: In a row.
        retry_at: When one function will try again, in seconds since the epoch.
    """

    server: str
    reason: str
    error: str
    since: float
    failures: int
    retry_at: float


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """The partner takes files again.

    Attributes:
        server: host:port.
        reason: What was wrong last.
        error: Name of that error's class.
        since: First failure of the row that has ended, in seconds since the epoch.
        failures: In that row.
    """

    server: str
    reason: str
    error: str
    since: float
    failures: int


class CircuitBreaker(Protocol):
    """Decides who may connect to the partner. None of its methods fails a delivery but `admit`."""

    @property
    def is_open(self) -> bool:
        """Whether it was open when it was last read or written."""

    def admit(self, *, configuration: str, until: float) -> None:
        """Let the caller connect, or say when to come back.

        Args:
            configuration: Names what a person can mend (secret's version, host keys) and shows none of it.
            until: When the caller's invocation has ended for sure, in seconds since the epoch.

        Raises:
            CircuitOpen: Not now.
        """

    def failed(self, error: DeliveryError, *, configuration: str) -> Opened | None:
        """Count what hinders every delivery; other errors say nothing about the partner.

        Returns:
            What to tell people: the breaker has opened, or stays open for a reason that is new. Else None.
        """

    def let_in(self) -> Recovered | None:
        """Learn that the server has let us in, and refused a file: all that is known so far.

        Returns:
            What to tell people, when the breaker was open for another reason than refused files.
        """

    def succeeded(self) -> Recovered | None:
        """Close the breaker: the server has accepted a file. Told once per invocation.

        Returns:
            What to tell people, when the breaker was open.
        """

    def give_back(self) -> None:
        """Let another function try, if this one was let through to try and learned nothing."""


class NoCircuitBreaker:
    """Lets everybody through: there is no table to remember in."""

    is_open = False

    def admit(self, *, configuration: str, until: float) -> None:
        """Let everybody through."""

    def failed(self, error: DeliveryError, *, configuration: str) -> None:
        """Count nothing."""

    def let_in(self) -> None:
        """Close nothing."""

    def succeeded(self) -> None:
        """Close nothing."""

    def give_back(self) -> None:
        """Have nothing to give back."""


@dataclass(frozen=True, kw_only=True)
class _State:
    """The item.

    Attributes:
        revision: Writes so far; 0 where there is no item yet.
        failures: In a row.
        since: First of them, seconds since the epoch.
        error: Class of the last of them.
        reason: Of the last of them.
        openings: Class of error -> how often in a row it has opened the breaker. Empty: closed. Counted per
            class, so that a server who is away every other time is not asked for the login more often.
        retry_at: Open until then.
        claimed_until: One function is trying; it has ended by then.
        refused: Configurations that failed in this row. More than one, because functions that still have
            an old secret may alternate with others, and neither is news to the partner.
        alike: What the refusals of this row have in common. Empty: it is another kind of failure.
        objects: Those that were refused, as many as are needed to tell the next one from them.
    """

    revision: int = 0
    failures: int = 0
    since: float = 0
    error: str = ""
    reason: str = ""
    openings: Mapping[str, int] = field(default_factory=dict)
    retry_at: float = 0
    claimed_until: float = 0
    refused: tuple[str, ...] = ()
    alike: str = ""
    objects: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        return bool(self.openings)

    def row_for(self, error: DeliveryError) -> "_State":
        """Return the state with the row that this failure continues: that of its kind, or what is open."""
        alike = error.alike if isinstance(error, PartnerRefusesWrites) else ""
        if self.is_open or alike == self.alike:
            return replace(self, alike=alike)
        return replace(self, failures=0, since=0, alike=alike, objects=())


class DynamoCircuitBreaker:
    """A breaker in the ledger's table. One per execution environment, used by one invocation at a time."""

    def __init__(
        self,
        client: Any,
        table: str,
        server: str,
        *,
        clock: Callable[[], float] = time.time,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._table = table
        self._server = server
        self._clock = clock
        self._random = random
        self._key = {"pk": {"S": f"partner#{server}"}, "sk": {"S": "breaker"}}
        self._seen: _State | None = None  # as it was when we were let through
        self._has_claim = False
        self._is_open = False
        self._complaints: set[str] = set()

    @property
    def is_open(self) -> bool:
        """Whether it was open when it was last read or written."""
        return self._is_open

    def admit(self, *, configuration: str, until: float) -> None:
        """Let the caller connect, or say when to come back.

        Raises:
            CircuitOpen: The breaker is open, or another function is trying.
        """
        self._seen, self._has_claim = None, False
        try:
            self._admit(configuration, until)
        except LedgerError as error:
            self._complain(error)

    def _admit(self, configuration: str, until: float) -> None:
        for _ in range(_TRIES):
            state = self._read()
            if not state.is_open:
                self._seen = state
                return
            self._require_turn(state, configuration)
            claimed = replace(state, claimed_until=until)
            if written := self._write(claimed):
                self._seen, self._has_claim = written, True
                _log.info("trying whether %s takes files again", self._server)
                return
        raise self._circuit_open(state, 1)

    def _require_turn(self, state: _State, configuration: str) -> None:
        now = self._clock()
        if state.claimed_until > now:
            raise self._circuit_open(state, state.claimed_until - now)
        if state.retry_at > now and configuration in state.refused:
            raise self._circuit_open(state, state.retry_at - now)

    def _circuit_open(self, state: _State, rest: float) -> CircuitOpen:
        return CircuitOpen(
            f"{self._server} has its circuit breaker open: {state.reason}",
            hint="It is tried again later, and at once when the secret or the host keys have been changed.",
            # What waits for the same moment does not come back in the same second.
            retry_after=min(rest, _LONGEST_WAIT) * (1 + 0.2 * self._random()),
        )

    def failed(self, error: DeliveryError, *, configuration: str) -> Opened | None:
        """Count what hinders every delivery, and open the breaker when it is enough.

        Returns:
            What to tell people: the breaker has opened, or stays open for a reason that is new. Else None.
        """
        if error.disposition is not Disposition.PARTNER:
            return None
        claim = self._seen.revision if self._seen and self._has_claim else None
        self._has_claim = False
        try:
            return self._failed(error, configuration, claim)
        except LedgerError as trouble:
            self._complain(trouble)
            return None

    def _failed(self, error: DeliveryError, configuration: str, claim: int | None) -> Opened | None:
        for _ in range(_TRIES):
            before = self._read()
            if before.is_open and before.revision != claim:
                return None  # it has opened meanwhile; whoever has the claim will say how it is now
            after = self._after_failure(before, error, configuration)
            if not after.is_open and after.objects and after.objects == before.objects:
                return None  # refused before
            if written := self._write(after):
                return self._opened(before, written, configuration)
        return None

    def _after_failure(self, state: _State, error: DeliveryError, configuration: str) -> _State:
        now, schedule, name = self._clock(), _schedule(error), type(error).__name__
        row = state.row_for(error)
        failures, objects = _counted(row, error)
        failed = replace(
            row,
            failures=failures,
            objects=objects,
            since=row.since or now,
            error=name,
            reason=cut(error.reason, _MOST_REASON_BYTES),
            claimed_until=0,
            refused=_with(state.refused, configuration),
        )
        if not state.is_open and failed.failures < schedule.failures:
            return failed
        # Whoever has mended something deserves a quick answer whether it was the right thing.
        earlier = state.openings if configuration in state.refused else {}
        openings = {**earlier, name: earlier.get(name, 0) + 1}
        wait = schedule.open_for(openings[name]) * (1 + 0.1 * self._random())
        return replace(failed, openings=openings, retry_at=now + wait)

    def _opened(self, before: _State, after: _State, configuration: str) -> Opened | None:
        if not after.is_open:
            return None
        _log.warning(
            "%s has its circuit breaker open for %d s: %s",
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

    def let_in(self) -> Recovered | None:
        """Close the breaker, unless it was open for refused files; the like for failures counted so far.

        Returns:
            What to tell people, when the breaker was open and it was this function that tried.
        """
        return None if self._seen is None or self._seen.alike else self.succeeded()

    def succeeded(self) -> Recovered | None:
        """Close the breaker, when it was open or had counted failures: else this costs nothing.

        Returns:
            What to tell people, when the breaker was open and it was this function that tried.
        """
        seen, self._has_claim = self._seen, False
        if seen is None or not seen.failures:
            return None
        try:
            # Lost against others: then something was learned since we were let through, and that counts.
            self._seen = self._write(_State(revision=seen.revision))
        except LedgerError as error:
            self._complain(error)
            return None
        if self._seen is None or not seen.is_open:
            return None
        _log.info("%s takes files again", self._server)
        return Recovered(
            server=self._server,
            reason=seen.reason,
            error=seen.error,
            since=seen.since,
            failures=seen.failures,
        )

    def give_back(self) -> None:
        """Let another function try, if this one was let through to try and learned nothing."""
        seen, had_claim = self._seen, self._has_claim
        self._has_claim = False
        if seen is None or not had_claim:
            return
        try:
            self._write(replace(seen, claimed_until=0))
        except LedgerError as error:
            self._complain(error)

    def _read(self) -> _State:
        try:
            answer = self._client.get_item(TableName=self._table, Key=self._key, ConsistentRead=True)
        except (ClientError, BotoCoreError) as error:
            raise self._out_of_reach("read", error) from None
        try:
            state = _parsed(answer["Item"]) if "Item" in answer else _State()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LedgerError(
                f"The circuit breaker's item in {self._table} holds what nobody wrote ({error!r}).",
                hint=f"Delete the item with pk '{self._key['pk']['S']}' and sk 'breaker'; it is made anew.",
            ) from None
        self._is_open = state.is_open
        return state

    def _write(self, state: _State) -> _State | None:
        """Write the state as the successor of the revision it has, and return it. None: others were first."""
        written = replace(state, revision=state.revision + 1)
        try:
            self._client.put_item(
                TableName=self._table,
                Item={**self._key, **_item(written)},
                **_unless_changed(state.revision),
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return None
            raise self._out_of_reach("written", error) from None
        except BotoCoreError as error:
            raise self._out_of_reach("written", error) from None
        self._is_open = written.is_open
        return written

    def _out_of_reach(self, verb: str, error: Exception) -> LedgerError:
        return LedgerError(
            f"The circuit breaker in {self._table} cannot be {verb}: {quoted(error)}.",
            hint="Check that the table exists and that the function's role has dynamodb:GetItem and "
            "dynamodb:PutItem on it.",
        )

    def _complain(self, error: LedgerError) -> None:
        if str(error) not in self._complaints:
            _log.warning("deliveries go on without the circuit breaker: %s", error)
        self._complaints.add(str(error))


def _schedule(error: DeliveryError) -> _Schedule:
    if isinstance(error, LoginRefused):
        return _LOGIN
    if isinstance(error, PartnerRefusesWrites):
        return _REFUSES_WRITES
    return _HOST_KEY if isinstance(error, HostKeyRefused) else _UNREACHABLE


def _counted(row: _State, error: DeliveryError) -> tuple[int, tuple[str, ...]]:
    """Return the failures of the row with this one, and the objects to remember."""
    if not isinstance(error, PartnerRefusesWrites):
        return row.failures + 1, ()
    new = tuple(each for each in error.objects if each not in row.objects)
    # Whoever tries for an open breaker has failed, whichever object it was.
    failed = len(new) or int(row.is_open)
    return row.failures + failed, (*row.objects, *new)[:_REMEMBERED_OBJECTS]


def _with(refused: tuple[str, ...], configuration: str) -> tuple[str, ...]:
    others = tuple(other for other in refused if other != configuration)
    return (*others, configuration)[-_REMEMBERED_CONFIGURATIONS:]


def _unless_changed(revision: int) -> dict[str, Any]:
    if not revision:
        return {"ConditionExpression": "attribute_not_exists(pk)"}
    return {
        "ConditionExpression": "revision = :revision",
        "ExpressionAttributeValues": {":revision": {"N": str(revision)}},
    }


def _item(state: _State) -> dict[str, Any]:
    return {
        "revision": {"N": str(state.revision)},
        "failures": {"N": str(state.failures)},
        "since": {"N": _number(state.since)},
        "error": {"S": state.error},
        "reason": {"S": state.reason},
        "openings": {"M": {error: {"N": str(count)} for error, count in state.openings.items()}},
        "retry_at": {"N": _number(state.retry_at)},
        "claimed_until": {"N": _number(state.claimed_until)},
        "refused": {"L": [{"S": configuration} for configuration in state.refused]},
        "alike": {"S": state.alike},
        "objects": {"L": [{"S": each} for each in state.objects]},
    }


def _number(seconds: float) -> str:
    return f"{seconds:.3f}"


def _parsed(item: Mapping[str, Any]) -> _State:
    return _State(
        revision=int(item["revision"]["N"]),
        failures=int(item["failures"]["N"]),
        since=float(item["since"]["N"]),
        error=item["error"]["S"],
        reason=item["reason"]["S"],
        openings={error: int(count["N"]) for error, count in item["openings"]["M"].items()},
        retry_at=float(item["retry_at"]["N"]),
        claimed_until=float(item["claimed_until"]["N"]),
        refused=tuple(configuration["S"] for configuration in item["refused"]["L"]),
        alike=item["alike"]["S"],
        objects=tuple(each["S"] for each in item["objects"]["L"]),
    )
