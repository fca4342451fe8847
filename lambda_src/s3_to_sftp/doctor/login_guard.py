"""Keeps the doctor from sending a login that the partner has refused before: partners lock accounts."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.doctor.checklist import NotTriedError
from s3_to_sftp.errors import (
    LedgerError,
    LoginRefused,
    PartnerError,
    PasswordExpired,
    SecondFactorRequired,
)
from s3_to_sftp.state.circuit_breaker import CircuitBreaker, LastFailure, Opened
from s3_to_sftp.state.refused_logins import DynamoRefusedLogins, Refusal, RefusedLogins
from s3_to_sftp.untrusted_text import quoted
from s3_to_sftp.utc_time import utc_text

_log = logging.getLogger(__name__)

_REFUSALS = {each.__name__ for each in (LoginRefused, PasswordExpired, SecondFactorRequired)}
_CLAIM_SECONDS = 120.0
CANARY_REMEMBERS_SECONDS = 23 * 3600.0
"""A canary may send a refused login once a day: it is how it notices that the partner has corrected their
side, and five in five minutes are what locks an account."""


class LoginGuard(Protocol):
    """Remembers refused logins."""

    def require_untried(self, login: Credentials) -> None:
        """Refuse a login that was refused before.

        Raises:
            NotTriedError: It was, or another examination is logging in.
        """

    def failed(self, error: PartnerError) -> None:
        """Remember what came of the login."""

    def accepted(self) -> None:
        """Remember that it was accepted."""


class NoGuard:
    """Remembers nothing: there is no table."""

    def require_untried(self, login: Credentials) -> None:
        """Let it be tried."""

    def failed(self, error: PartnerError) -> None:
        """Tell nobody."""

    def accepted(self) -> None:
        """Tell nobody."""


class TellsNobody:
    """The circuit breaker where deliveries do not use the login, or use another one."""

    def last_failure(self) -> LastFailure | None:
        """Know of no failure."""

    def failed(self, error: PartnerError) -> None:
        """Tell nobody."""


class TellsBreaker:
    """Asks the circuit breaker what deliveries have met with this login, and tells it of a refusal.

    Args:
        breaker: Of the delivery.
        configuration: Identifies the login and the server, as deliveries do.
        opened: Told when a refusal has opened the breaker: no delivery will find that out.
        login_in_use: Returns the stage of the login that deliveries use where this one is refused;
            empty: they do not. Then the breaker stays as it is.
    """

    def __init__(
        self,
        breaker: CircuitBreaker,
        configuration: str,
        *,
        opened: Callable[[Opened], None],
        login_in_use: Callable[[], str],
    ) -> None:
        self._breaker = breaker
        self._configuration = configuration
        self._opened = opened
        self._login_in_use = login_in_use

    def last_failure(self) -> LastFailure | None:
        """Return the refusal that deliveries have met last with this login; None: there is none."""
        failure = self._breaker.last_failure(configuration=self._configuration)
        return failure if failure is not None and failure.error in _REFUSALS else None

    def failed(self, error: PartnerError) -> None:
        """Open the breaker, unless deliveries use another login."""
        if stage := self._login_in_use():
            error.hint = f"{error.hint} Deliveries may use the login of {stage} meanwhile."
            return
        if opened := self._breaker.failed(error, configuration=self._configuration):
            self._opened(opened)


class LedgerGuard:
    """Remembers refused logins in the ledger's table, by the version of the secret.

    Args:
        logins: The item.
        version: Of the secret; "environment" where there is none.
        breaker: What deliveries know of the login.
        again: Whether an operator wants it to be sent although it was refused.
        remembers: For how many seconds a refusal counts; None: until the secret changes.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        logins: DynamoRefusedLogins,
        version: str,
        *,
        breaker: TellsBreaker | TellsNobody,
        again: bool = False,
        remembers: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._logins = logins
        self._version = version
        self._breaker = breaker
        self._again = again
        self._remembers = remembers
        self._clock = clock
        self._state: RefusedLogins | None = None

    def require_untried(self, login: Credentials) -> None:
        """See `LoginGuard`. What cannot be read or written stops no examination."""
        try:
            self._claim(login)
        except LedgerError as error:
            _log.warning("nothing tells whether this login was refused before: %s", error)

    def _claim(self, login: Credentials) -> None:
        state = self._logins.read()
        now = self._clock()
        if not self._again:
            self._require_unrefused(state, login, now)
        if state.claimed_until > now:
            raise NotTriedError("another examination is logging in just now", advice=_WAIT)
        self._state = self._logins.write(replace(state, claimed_until=now + _CLAIM_SECONDS))
        if self._state is None:
            raise NotTriedError("another examination has just begun to log in", advice=_WAIT)

    def _require_unrefused(self, state: RefusedLogins, login: Credentials, now: float) -> None:
        refusal = state.refused.get(self._version)
        if refusal is not None and (self._remembers is None or now - refusal.at < self._remembers):
            raise NotTriedError(_reason(login, refusal.at, refusal.reason), advice=_ADVICE)
        # A canary comes once a day, and may be the first to notice that it works again.
        if self._remembers is None and (failure := self._breaker.last_failure()) is not None:
            raise NotTriedError(_reason(login, failure.since, failure.reason), advice=_ADVICE)

    def failed(self, error: PartnerError) -> None:
        """See `LoginGuard`: only a refusal of the login counts."""
        if not isinstance(error, LoginRefused):
            self._write(_unclaimed)
            return
        refusal = Refusal(at=self._clock(), reason=error.reason)
        self._write(lambda state: state.with_refusal(self._version, refusal))
        self._breaker.failed(error)

    def accepted(self) -> None:
        """See `LoginGuard`."""
        self._write(lambda state: state.without(self._version))

    def _write(self, changed: Callable[[RefusedLogins], RefusedLogins]) -> None:
        if self._state is None:
            return
        try:
            self._logins.write(changed(self._state))
        except LedgerError as error:
            _log.warning("what came of the login is not remembered: %s", error)


def _unclaimed(state: RefusedLogins) -> RefusedLogins:
    return replace(state, claimed_until=0)


_WAIT = "Wait for its report: two logins at a time would be two refusals where the login is wrong."
_ADVICE = (
    "Correct the secret: the doctor logs in again as soon as it has changed. Where the partner has corrected "
    "their side, `s3-to-sftp doctor --retry-login` sends it once more."
)


def _reason(login: Credentials, at: float, reason: str) -> str:
    since = f" since {utc_text(at)}" if at else ""
    user = quoted(login.username)
    return (
        f"the partner has refused this very login of user {user!r}{since}, and another refusal may lock the "
        f"account: {reason}"
    )
