"""The policy of the circuit breaker: its state after a failure, and who may try. Nothing here does I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from s3_to_sftp.errors import DeliveryError, HostKeyRefused, LoginRefused, PartnerRefusesWrites
from s3_to_sftp.state.refusal_streak import ALIKE
from s3_to_sftp.untrusted_text import cut

_MAX_REASON_BYTES = 1000
_MAX_HINT_BYTES = 3000
"""A hint may hold a host key that is to be pinned: 1,400 bytes for RSA with 8,192 bits."""

_REMEMBERED_CONFIGURATIONS = 8
_REMEMBERED_OBJECTS = 8


@dataclass(frozen=True, kw_only=True)
class _Schedule:
    """When the breaker opens, and for how long.

    Attributes:
        failures: How many in a row open it.
        first: Seconds that it stays open the first time; every further time doubles them.
        longest: Upper bound of these seconds.
    """

    failures: int
    first: float
    longest: float

    def open_for(self, openings: int) -> float:
        return min(self.first * 2.0 ** min(openings - 1, 32), self.longest)


_UNREACHABLE = _Schedule(failures=3, first=60, longest=900)
_REFUSES_WRITES = _Schedule(failures=ALIKE, first=60, longest=900)
_HOST_KEY = _Schedule(failures=1, first=300, longest=3600)
# Accounts get locked, under PCI DSS after ten attempts at the latest (8.3.4): doubled up to eight hours, a
# day has nine. A fix on the partner's side is noticed after at most as long again as the outage lasted.
_LOGIN = _Schedule(failures=1, first=300, longest=28_800)


@dataclass(frozen=True, kw_only=True)
class BreakerState:
    """What the breaker remembers of one server.

    Attributes:
        revision: Writes so far; 0 where there is no item yet.
        failures: In a row.
        since: First of them, seconds since the epoch.
        error: Class of the last of them.
        reason: Of the last of them.
        hint: Of the last of them.
        openings: Class of error -> how often in a row it has opened the breaker. Empty: closed. Counted per
            class, so that a server that is unreachable every other time does not get more login attempts.
        retry_at: Open until then, in seconds since the epoch.
        claimed_until: One function is trying; its invocation must have ended by then.
        refused: Configurations that failed in this streak. More than one, because functions that still have
            an old secret may alternate with others, and neither is news to the partner.
        alike: What the refusals of this streak have in common. Empty: it is another kind of failure.
        objects: Those that were refused, as many as are needed to recognise them.
    """

    revision: int = 0
    failures: int = 0
    since: float = 0
    error: str = ""
    reason: str = ""
    hint: str = ""
    openings: Mapping[str, int] = field(default_factory=dict)
    retry_at: float = 0
    claimed_until: float = 0
    refused: tuple[str, ...] = ()
    alike: str = ""
    objects: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether nobody may connect without a claim."""
        return bool(self.openings)

    def wait(self, configuration: str, now: float) -> float | None:
        """Return after how many seconds a function may ask an open breaker again; None: it may try now."""
        if self.claimed_until > now:
            return self.claimed_until - now
        if self.retry_at > now and configuration in self.refused:
            return self.retry_at - now
        return None

    def after_failure(
        self, error: DeliveryError, *, configuration: str, now: float, jitter: float
    ) -> "BreakerState":
        """Return the state after this failure.

        Args:
            error: Blocks every delivery.
            configuration: With which it failed.
            now: Seconds since the epoch.
            jitter: Factor, from 1 on, of the time that the breaker stays open.
        """
        schedule, name = _schedule(error), type(error).__name__
        streak = self._streak_of(error)
        failures, objects = _counted(streak, error)
        failed = replace(
            streak,
            failures=failures,
            objects=objects,
            since=streak.since or now,
            error=name,
            reason=cut(error.reason, _MAX_REASON_BYTES),
            hint=cut(error.hint, _MAX_HINT_BYTES),
            claimed_until=0,
            refused=_with(self.refused, configuration),
        )
        if not self.is_open and failed.failures < schedule.failures:
            return failed
        # A changed configuration is retried soon, so that its author learns whether it works.
        earlier = self.openings if configuration in self.refused else {}
        openings = {**earlier, name: earlier.get(name, 0) + 1}
        return replace(failed, openings=openings, retry_at=now + schedule.open_for(openings[name]) * jitter)

    def _streak_of(self, error: DeliveryError) -> "BreakerState":
        """Return the streak that this failure continues: one of its kind, or that of an open breaker."""
        alike = error.alike if isinstance(error, PartnerRefusesWrites) else ""
        if self.is_open or alike == self.alike:
            return replace(self, alike=alike)
        return replace(self, failures=0, since=0, alike=alike, objects=())


def _schedule(error: DeliveryError) -> _Schedule:
    if isinstance(error, LoginRefused):
        return _LOGIN
    if isinstance(error, PartnerRefusesWrites):
        return _REFUSES_WRITES
    return _HOST_KEY if isinstance(error, HostKeyRefused) else _UNREACHABLE


def _counted(streak: BreakerState, error: DeliveryError) -> tuple[int, tuple[str, ...]]:
    """Return the failures of the streak with this one, and the objects to remember."""
    if not isinstance(error, PartnerRefusesWrites):
        return streak.failures + 1, ()
    new = tuple(each for each in error.objects if each not in streak.objects)
    # A function that tries for an open breaker has failed, whichever object it was.
    failed = len(new) or int(streak.is_open)
    return streak.failures + failed, (*streak.objects, *new)[:_REMEMBERED_OBJECTS]


def _with(refused: tuple[str, ...], configuration: str) -> tuple[str, ...]:
    others = tuple(other for other in refused if other != configuration)
    return (*others, configuration)[-_REMEMBERED_CONFIGURATIONS:]
