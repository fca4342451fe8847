"""The login of connection 0, for which streams wait that are connected beside it.

So a password that the partner has changed is tried once, however many connections are being opened.
"""

import threading

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.errors import ConnectionLost


class OtherLoginAccepted(ConnectionLost):
    """The server has refused this login, and accepted another one.

    Attributes:
        login: The accepted one.
    """

    def __init__(self, login: Credentials) -> None:
        super().__init__("The server accepts another login than this one.", hint="That one is used.")
        self.login = login


class FirstLogin:
    """Tells the threads of further streams how the first login ends.

    Attributes:
        is_awaited: Whether it is under way, and streams are to wait for it.
    """

    def __init__(self, *, is_awaited: bool = False) -> None:
        self.is_awaited = is_awaited
        self._is_over = threading.Event()
        self._is_connected = threading.Event()
        self._login: Credentials | None = None

    def connected(self) -> None:
        """Let the streams connect: the server has accepted connection 0."""
        self._is_connected.set()

    def accepted(self, login: Credentials) -> None:
        """Let those log in that have the same login."""
        self._login = login
        self.end()

    def end(self) -> None:
        """Let nobody wait any longer."""
        self.is_awaited = False
        self._is_over.set()
        self._is_connected.set()

    def wait_until_connected(self) -> None:
        """Wait until connection 0 is accepted, or the login is over.

        Servers that limit connections which are not logged in refuse the last ones: those are to be streams.
        """
        self._is_connected.wait()

    def require_hope(self) -> None:
        """Let no connection be opened for a login that has been refused meanwhile.

        Raises:
            ConnectionLost: It has.
        """
        if self._is_over.is_set() and self._login is None:
            raise _has_failed()

    def wait(self, login: Credentials) -> None:
        """Wait until this login is accepted.

        Raises:
            OtherLoginAccepted: It is not, and another one is.
            ConnectionLost: None is.
        """
        self._is_over.wait()
        if self._login is None:
            raise _has_failed()
        if self._login != login:
            raise OtherLoginAccepted(self._login)


def _has_failed() -> ConnectionLost:
    return ConnectionLost("The first connection could not log in with it.", hint="It will be retried.")
