"""Which login of a secret to try, and to use, where the server refuses that of AWSCURRENT. Does no I/O."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s3_to_sftp.secret_versions import CURRENT, PENDING, PREVIOUS

if TYPE_CHECKING:
    from s3_to_sftp.credentials import Credentials

_log = logging.getLogger(__name__)

YOUNG_SECONDS = 86_400.0
"""Age of AWSCURRENT up to which the partner may not have changed over yet. Later AWSPREVIOUS is not tried:
partners lock accounts."""

_HINTS = {
    PENDING: "The partner has changed over: finish the rotation (aws secretsmanager "
    "update-secret-version-stage --version-stage AWSCURRENT --move-to-version-id ...).",
    PREVIOUS: "The new login is wrong, or not in force at the partner yet: correct the secret, or ask them.",
}


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of the secret.

    Attributes:
        stage: Under which it was read.
        id: Its VersionId.
        created: In seconds since the epoch; 0 where that is not known.
        login: What it holds.
    """

    stage: str
    id: str
    created: float
    login: "Credentials"


class Fallback:
    """Remembers what the server has said since AWSCURRENT changed.

    Attributes:
        used: The version that is used in place of AWSCURRENT; None: there is none.
    """

    def __init__(self) -> None:
        self.used: Version | None = None
        self._offered: Version | None = None
        self._refused: set[Credentials] = set()

    def forget(self) -> None:
        """Forget everything: AWSCURRENT has changed."""
        self.used = self._offered = None
        self._refused = set()

    def offer(
        self,
        current: Version,
        *,
        refused: "Credentials",
        pending: Version | None,
        previous: Callable[[], Version | None],
        now: float,
    ) -> Version | None:
        """Return the version to try now, and remember it. See `SecretCredentials.other_than`.

        Args:
            current: AWSCURRENT.
            refused: The login that was refused just now.
            pending: AWSPENDING, if there is one.
            previous: Reads AWSPREVIOUS, if there is one.
            now: Seconds since the epoch.
        """
        if current.login != refused:
            self._offered = current
        elif pending and pending.id != current.id and pending.login != refused:
            self._offered = self._unless_refused(pending)
        elif now - current.created < YOUNG_SECONDS:
            self._offered = self._unless_refused(previous())
        else:
            self._offered = None
        return self._offered

    def accepted(self, login: "Credentials", current: Version) -> None:
        """Learn that the server has accepted this login."""
        # They meant something else, or the partner has changed over since.
        self._refused.clear()
        if self.used and self.used.login == login:
            return
        offered, self._offered, self.used = self._offered, None, None
        if login != current.login and offered and offered.login == login:
            self.used = offered
            _log.warning(
                "the login of AWSCURRENT (version %s) is refused, and that of %s (version %s) is accepted: "
                "it is used until AWSCURRENT changes",
                *(current.id, offered.stage, offered.id),
                extra={"hint": _HINTS.get(offered.stage, "")},
            )

    def refused(self, login: "Credentials") -> None:
        """Learn that the server has refused this login."""
        self._refused.add(login)
        if self.used and self.used.login == login:
            self.used = None
        offered, self._offered = self._offered, None
        if offered and offered.login == login and offered.stage != CURRENT:
            _log.warning(
                "the login of %s (version %s) is refused, like that of AWSCURRENT: it will not be retried",
                *(offered.stage, offered.id),
            )

    def _unless_refused(self, version: Version | None) -> Version | None:
        return None if version is None or version.login in self._refused else version
