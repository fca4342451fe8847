"""Why a connection ended in the middle of the work, as far as what has gone over it tells."""

from __future__ import annotations

import pytest

from s3_to_sftp.diagnosis.lost_connection import Traffic, lost
from s3_to_sftp.diagnosis.server_messages import Ending, ServerMessages
from s3_to_sftp.errors import ConnectionLost

SERVER = "sftp.partner.example:22"


def error(ending: Ending, traffic: Traffic, why: str = "") -> ConnectionLost:
    return lost("was lost", ending, traffic, server=SERVER, why=why)


def saying(code: int, text: bytes) -> Traffic:
    return Traffic(received=ServerMessages(goodbye=(code, text)))


@pytest.mark.parametrize(
    ("ending", "traffic", "why", "cause"),
    [
        (Ending.CLOSED, Traffic(), "", "connection-closed"),
        (Ending.RESET, Traffic(), "reset by peer", "connection-closed"),
        (Ending.SILENT, Traffic(idle=900), "", "server-hangs"),
        (Ending.CLOSED, Traffic(idle=59), "", "connection-closed"),
        (Ending.RESET, Traffic(idle=351), "", "idle-cut"),
        (Ending.CLOSED, Traffic(largest_sent=261_120), "", "large-write-closes"),
        (Ending.CLOSED, Traffic(largest_sent=261_120, largest_accepted=32_768), "", "large-write-closes"),
        (Ending.CLOSED, Traffic(largest_sent=261_120, largest_accepted=261_120), "", "connection-closed"),
        (Ending.CLOSED, Traffic(largest_sent=4096), "", "connection-closed"),
        (Ending.SILENT, Traffic(largest_sent=261_120), "", "server-hangs"),
        (Ending.CLOSED, saying(3, b""), "", "rekey-failed"),
        (Ending.CLOSED, saying(2, b"rekey: no matching kex"), "", "rekey-failed"),
        (Ending.RESET, Traffic(), "Key-exchange timed out waiting for key negotiation", "rekey-failed"),
        (Ending.CLOSED, saying(11, b"maintenance"), "", "server-disconnects"),
        (Ending.CLOSED, Traffic(received=ServerMessages(banner=b"rekey")), "", "connection-closed"),
    ],
)
def test_cause_of_a_lost_connection(ending: Ending, traffic: Traffic, why: str, cause: str) -> None:
    found = error(ending, traffic, why)
    assert (found.cause, found.silent) == (cause, ending is Ending.SILENT)
    assert found.reason.count(SERVER) == 1
    assert "retried" in found.hint


def test_last_words_of_the_server_are_quoted_and_its_greeting_is_not() -> None:
    assert (
        "reason 11 (by application) and said 'maintenance at 3'"
        in error(Ending.CLOSED, saying(11, b"maintenance\r\n at 3")).reason
    )
    greeted = Traffic(received=ServerMessages(banner=b"Welcome"))
    assert "Welcome" not in error(Ending.CLOSED, greeted).reason


def test_minutes_and_bytes_are_named() -> None:
    assert "for 5 min" in error(Ending.RESET, Traffic(idle=350.7)).reason
    assert "261120 bytes" in error(Ending.CLOSED, Traffic(largest_sent=261_120)).to_partner
