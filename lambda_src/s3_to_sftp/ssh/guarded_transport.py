"""paramiko's transport, hardened: a server can neither exhaust memory and threads nor block it."""

import threading
from typing import Any, ClassVar

import paramiko
from paramiko.common import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_CHANNEL_FAILURE,
    MSG_CHANNEL_WINDOW_ADJUST,
    MSG_NAMES,
    cMSG_CHANNEL_DATA,
    cMSG_UNIMPLEMENTED,
)

from s3_to_sftp.ssh import incoming

_MOST_HELD_BACK = 1000
"""Messages that wait for the end of a key exchange."""

_SSH_ERRORS = (paramiko.SSHException, OSError, EOFError)


class _ChannelsSeen(dict[int, bool]):
    """The numbers of all channels so far. paramiko hangs up over another one, and says nothing of it."""

    def __contains__(self, number: object) -> bool:
        if not super().__contains__(number):
            raise paramiko.SSHException("The server named a channel that was never opened.")
        return True


class GuardedTransport(paramiko.Transport):
    """Takes what comes within the bounds of `receiving`, and shows each foreign exception as an SSHException.

    paramiko's own thread ends with whatever was raised over what a server has sent (UnicodeDecodeError,
    KeyError, ValueError, InvalidTag, ...), and hands that to the waiting caller. Here
    that is a protocol error.
    """

    _channel_handler_table: ClassVar = {
        **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined] # private to the stubs
        MSG_CHANNEL_DATA: incoming.feed,
        MSG_CHANNEL_EXTENDED_DATA: incoming.feed_extended,
        MSG_CHANNEL_FAILURE: incoming.note_refused_request,
        MSG_CHANNEL_WINDOW_ADJUST: incoming.adjust_window,
    }

    clear_to_send_lock: threading.Lock
    clear_to_send: threading.Event
    active: bool
    host_key: paramiko.PKey | None
    _handler_table: dict[int, Any]

    def __init__(self, sock: Any, **more: Any) -> None:
        self._held_back: list[paramiko.Message] = []
        super().__init__(sock, default_window_size=incoming.WINDOW_BYTES, **more)
        self.channels_seen = _ChannelsSeen()
        for number in range(256):
            if number not in MSG_NAMES:
                self._handler_table[number] = self._unknown

    def get_exception(self) -> Exception | None:
        """Return what ended the connection, as one of the errors that connections have."""
        error = super().get_exception()
        return error if error is None or isinstance(error, _SSH_ERRORS) else incoming.as_ssh_error(error)

    def _unknown(self, message: paramiko.Message) -> None:
        """Say that we do not know this message (RFC 4253, section 11.4). paramiko fails with a KeyError."""
        answer = paramiko.Message()
        answer.add_byte(cMSG_UNIMPLEMENTED)
        answer.add_int(message.seqno)
        self._send_message(answer)  # type: ignore[attr-defined] # private to the stubs

    def _verify_key(self, host_key: bytes, signature: bytes) -> None:
        """Check the host key; when keys are renewed, it must be the one that was compared with the pins."""
        known = self.host_key if self.initial_kex_done else None
        verify: Any = super()._verify_key  # type: ignore[misc] # private to the stubs
        verify(host_key, signature)
        if known is not None and self.host_key is not None and self.host_key.asbytes() != known.asbytes():
            self.host_key = known
            raise paramiko.SSHException("The server showed another host key when keys were renewed.")

    def _send_user_message(self, data: paramiko.Message) -> None:
        """Send now, or once keys are exchanged, and wait for that with data alone.

        Waiting in paramiko's thread, which is the one that exchanges keys, would end the connection. Waiting
        to close a channel would hold up an invocation for half a minute.
        """
        if data.asbytes().startswith(cMSG_CHANNEL_DATA):
            wait_and_send: Any = super()._send_user_message  # type: ignore[misc] # private to the stubs
            wait_and_send(data)
            return
        with self.clear_to_send_lock:
            if not self.active:
                return
            if self.clear_to_send.is_set():
                self._send_message(data)  # type: ignore[attr-defined] # private to the stubs
            elif len(self._held_back) < _MOST_HELD_BACK:
                self._held_back.append(data)
            else:
                raise paramiko.SSHException("The server asks for answers while keys are exchanged.")

    def _parse_newkeys(self, message: paramiko.Message) -> None:
        parse: Any = super()._parse_newkeys  # type: ignore[misc] # private to the stubs
        parse(message)
        with self.clear_to_send_lock:
            held_back, self._held_back = self._held_back, []
            for each in held_back:
                self._send_message(each)  # type: ignore[attr-defined] # private to the stubs
