"""Which of several addresses' errors tells why none of them accepts."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from s3_to_sftp.errors import PartnerUnreachable
from s3_to_sftp.server import Server
from s3_to_sftp.ssh import connect, tcp
from s3_to_sftp.ssh.connect import MOST_ADDRESSES, Timeouts, open_socket

V4, PRIVATE, V6 = "203.0.113.10", "10.0.0.1", "2001:db8::1"
TIMED_OUT = TimeoutError("timed out")
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
NO_WAY = OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))


def error_of(monkeypatch: pytest.MonkeyPatch, answers: dict[str, OSError]) -> PartnerUnreachable:
    def answer(address: str, _port: int, **_more: object) -> socket.socket:
        raise answers[address]

    monkeypatch.setattr(tcp, "open_connection", answer)
    with pytest.raises(PartnerUnreachable) as raised:
        open_socket(Server(host="sftp.example", port=22, host_keys=()), Timeouts(), list(answers))
    return raised.value


@pytest.mark.parametrize(
    ("answers", "cause"),
    [
        ({V4: TIMED_OUT, V6: NO_WAY}, "no-answer"),
        ({V4: REFUSED, V6: NO_WAY}, "connection-refused"),
        ({V6: NO_WAY, V4: REFUSED}, "connection-refused"),
        ({PRIVATE: TIMED_OUT, V6: NO_WAY}, "private-address"),
        ({V4: NO_WAY, V6: REFUSED}, "connection-refused"),
        ({V4: NO_WAY, V6: NO_WAY}, "no-route"),
        ({V6: NO_WAY}, "ipv6-only"),
    ],
)
def test_cause_is_that_of_the_address_that_tells_most(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, OSError], cause: str
) -> None:
    assert error_of(monkeypatch, answers).cause == cause


def test_unreachable_ipv6_is_not_named_where_ipv4_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert V6 not in error_of(monkeypatch, {V4: TIMED_OUT, V6: NO_WAY}).reason


def test_name_with_many_addresses_is_given_up_after_some(monkeypatch: pytest.MonkeyPatch) -> None:
    many: dict[str, OSError] = {f"203.0.113.{number}": TIMED_OUT for number in range(1, 41)}
    reason = error_of(monkeypatch, many).reason
    assert [address for address in many if f"{address}," in reason or f"{address} (" in reason] == list(many)[
        :MOST_ADDRESSES
    ]


def test_many_addresses_fit_into_an_invocation() -> None:
    assert connect.MOST_ADDRESSES * Timeouts().connect <= 120
