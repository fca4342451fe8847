"""A group that a server chooses for the key exchange is checked before anything is computed with it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import paramiko
import pytest

from s3_to_sftp.ssh.group_exchange import CheckedGroupExchange

PRIME = 2**2203 - 1


def exchange_with_group(prime: int, generator: int) -> Any:
    """Return the exchange after the server has named this group."""
    sent: list[paramiko.Message] = []
    transport = SimpleNamespace(
        _send_message=sent.append, _expect_packet=lambda *_: None, _log=lambda *_: None, server_mode=False
    )
    exchange: Any = CheckedGroupExchange(transport)
    message = paramiko.Message()
    message.add_mpint(prime)
    message.add_mpint(generator)
    message.rewind()
    exchange._parse_kexdh_gex_group(message)
    assert len(sent) == 1
    return exchange


def test_valid_group_is_accepted() -> None:
    exchange = exchange_with_group(PRIME, 2)
    assert (exchange.p, exchange.g) == (PRIME, 2)


@pytest.mark.parametrize(
    ("prime", "generator"),
    [
        (-PRIME, 2),
        (0, 2),
        (PRIME - 1, 2),
        (2**1279 - 1, 2),
        (2**9689 - 1, 2),
        (PRIME, 1),
        (PRIME, PRIME - 1),
        (PRIME, -2),
    ],
    ids=["negative", "zero", "even", "short", "long", "one", "minus one", "negative generator"],
)
def test_invalid_group_is_refused(prime: int, generator: int) -> None:
    with pytest.raises(paramiko.SSHException, match="cannot be used"):
        exchange_with_group(prime, generator)
