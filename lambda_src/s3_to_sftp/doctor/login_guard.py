"""Keeps the doctor from sending a login that the partner has refused before: partners lock accounts."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.doctor.checklist import NotTriedError
from s3_to_sftp.errors import LoginRefused, PartnerError, PasswordExpired, SecondFactorRequired
from s3_to_sftp.state.circuit_breaker import CircuitBreaker, LastFailure, Opened

_REFUSALS = {each.__name__ for each in (LoginRefused, PasswordExpired, SecondFactorRequired)}


class LoginGuard(Protocol):
    """Remembers refused logins."""

    def require_untried(self, login: Credentials) -> None:
        """Refuse a login that was refused before.

        Raises:
            NotTriedError: It was.
        """

    def failed(self, error: PartnerError) -> None:
        """Remember what came of the login."""

    def accepted(self) -> None:
        """Remember that it was accepted."""


class BreakerGuard:
    """Asks and tells the circuit breaker.

    Args:
        breaker: Of the delivery.
        configuration: Identifies the login and the server, as deliveries do.
        opened: Told when a refused login has opened the breaker: no delivery will find that out.
    """

    def __init__(
        self,
        breaker: CircuitBreaker,
        configuration: str,
        *,
        opened: Callable[[Opened], None] = lambda _opened: None,
    ) -> None:
        self._breaker = breaker
        self._configuration = configuration
        self._opened = opened

    def require_untried(self, login: Credentials) -> None:
        """See `LoginGuard`."""
        failure = self._breaker.last_failure(configuration=self._configuration)
        if failure is not None and failure.error in _REFUSALS:
            raise NotTriedError(_reason(login, failure), advice=_ADVICE)

    def failed(self, error: PartnerError) -> None:
        """See `LoginGuard`."""
        if opened := self._breaker.failed(error, configuration=self._configuration):
            self._opened(opened)

    def accepted(self) -> None:
        """Tell nobody: the breaker closes when a delivery gets through."""


class NoGuard:
    """Remembers nothing: there is no table, or the login is not the one of deliveries."""

    def require_untried(self, login: Credentials) -> None:
        """Let it be tried."""

    def failed(self, error: PartnerError) -> None:
        """Tell nobody."""

    def accepted(self) -> None:
        """Tell nobody."""


_ADVICE = (
    "Correct the secret: the doctor logs in again as soon as it has changed. Where the partner has corrected "
    "their side, `s3-to-sftp retry --partner --reason TEXT` lets a delivery try at once."
)


def _reason(login: Credentials, failure: LastFailure) -> str:
    since = f" since {datetime.fromtimestamp(failure.since, UTC):%Y-%m-%d %H:%M} UTC" if failure.since else ""
    return (
        f"the partner has refused this very login of user {login.username!r}{since}, and another refusal may "
        f"lock the account: {failure.reason}"
    )
