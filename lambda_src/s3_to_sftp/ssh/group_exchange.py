"""Diffie-Hellman group exchange (RFC 4419) with a group that the server chooses: checked before it is used.

The SSH library takes any number for the prime. With a negative one its thread never ends, before the host key
is known.
"""

from typing import Any

import paramiko
from paramiko.kex_gex import KexGexSHA256


class CheckedGroupExchange(KexGexSHA256):
    """Refuses what cannot be a group, and one that is shorter than was asked for."""

    def _parse_kexdh_gex_group(self, message: paramiko.Message) -> None:
        prime, generator = message.get_mpint(), message.get_mpint()
        bits = prime.bit_length()
        is_group = prime > 0 and prime % 2 == 1 and 1 < generator < prime - 1
        if not is_group or not self.min_bits <= bits <= self.max_bits:
            raise paramiko.SSHException(
                f"it offers a group of {bits} bits for the key exchange that cannot be used"
            )
        message.rewind()
        parse: Any = super()._parse_kexdh_gex_group  # type: ignore[misc] # private to the stubs
        parse(message)
