"""What a failed connection means: by error and address."""

from __future__ import annotations

import errno
import os

import pytest

from s3_to_sftp.diagnosis.connecting import connection_failed, is_private
from s3_to_sftp.errors import PartnerUnreachable


def failed(error: OSError, *addresses: str) -> PartnerUnreachable:
    return connection_failed(error, server="sftp.example:22", addresses=addresses, seconds=15)


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("10.0.0.1", True),
        ("172.31.255.255", True),
        ("172.32.0.1", False),
        ("192.168.7.7", True),
        ("100.64.0.1", True),
        ("fd00::1", True),
        ("fe80::1%eth0", False),
        ("127.0.0.1", False),
        ("192.0.2.22", False),
        ("2001:db8::22", False),
        ("8.8.8.8", False),
    ],
)
def test_private_addresses_are_those_of_private_networks(address: str, *, private: bool) -> None:
    assert is_private(address) is private


def test_time_out_is_about_a_private_address_only_where_all_are_private() -> None:
    error = TimeoutError("timed out")
    assert failed(error, "10.0.0.1", "192.168.0.1").cause == "private-address"
    assert failed(error, "10.0.0.1", "8.8.8.8").cause == "no-answer"
    assert failed(error).cause == "no-answer"


def test_reset_of_a_connection_that_is_being_made_is_a_reset_at_once() -> None:
    error = failed(ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)), "8.8.8.8")
    assert error.cause == "reset-at-once"
    assert "Tried: 8.8.8.8" in error.reason
    assert "sftp.example:22" in error.to_partner
