"""paramiko's transport, less one habit that costs logins."""

from typing import Any

import paramiko
from paramiko.common import cMSG_SERVICE_REQUEST


class Transport(paramiko.Transport):
    """Asks for the authentication service once.

    `paramiko.Transport` asks anew before each attempt. Strict servers hang up then: one that takes only
    keyboard-interactive, or a password after a refused key, could never be logged in to. paramiko's own
    `ServiceRequestingTransport` loses an answer that comes very fast (it makes the event that waits for it
    after the request is sent), and then reports a timeout.
    """

    _service_asked_for = False

    def _send_message(self, data: Any) -> None:
        asks = not self.is_authenticated() and data.asbytes().startswith(cMSG_SERVICE_REQUEST)
        if asks and self._service_asked_for:
            self._take_as_accepted()
            return
        self._service_asked_for = self._service_asked_for or asks
        super()._send_message(data)  # type: ignore[misc] # the stubs leave private methods out

    def _take_as_accepted(self) -> None:
        # What the server would have answered: it makes the handler send its authentication request.
        answer = paramiko.Message()
        answer.add_string("ssh-userauth")
        answer.rewind()
        handler: Any = self.auth_handler
        handler._parse_service_accept(answer)
