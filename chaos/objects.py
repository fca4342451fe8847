"""What is put into the bucket: the seed determines keys, versions and bytes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from local.samples import MIB

_SIZES = (64, 200, 4_000, 32_768, 100_000, 700_000, MIB, MIB + 1, 3 * MIB)
"""No size from 1 to 63: the bytes begin with the version's name, which makes every body unique."""

LARGE = 56 * MIB
"""Too large for one invocation at the speed of the partner's disk."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """One put of one key.

    Attributes:
        key: Key of the object.
        number: 1 for the first put of this key.
        size: Bytes.
        deliverable: Whether its key can become a remote path.
    """

    key: str
    number: int
    size: int
    deliverable: bool = True

    def __str__(self) -> str:
        return f"{self.key}#{self.number}"

    def body(self) -> bytes:
        """Returns its bytes: the same at every call, and different from every other version."""
        noise = random.Random(str(self)).randbytes(min(self.size, MIB))  # noqa: S311 - not for secrets
        name = f"{self}\n".encode()
        blocks = (name + number.to_bytes(4) + noise for number in range(self.size // MIB + 1))
        return b"".join(blocks)[: self.size]

    @cached_property
    def sha256(self) -> str:
        """Hex digest of its bytes."""
        return hashlib.sha256(self.body()).hexdigest()


FIRST = Version(key="first.txt", number=1, size=64)
"""Put before the first fault."""


def make_versions(rng: random.Random, count: int) -> list[Version]:
    """Returns `count` puts in order: new and overwritten keys, one large object, a few invalid keys."""
    large = rng.randrange(count // 4 + 1)
    versions: list[Version] = []
    latest: dict[str, Version] = {}
    for number in range(count):
        version = _large() if number == large else _next(rng, number, list(latest.values()))
        versions.append(version)
        if version.deliverable and version.size:
            latest[version.key] = version
    return versions


def _next(rng: random.Random, number: int, known: Sequence[Version]) -> Version:
    chance = rng.random()
    if chance < 0.4 and known:
        old = rng.choice(known[-8:])  # recent keys, so that two versions are in flight at the same time
        return Version(key=old.key, number=old.number + 1, size=rng.choice(_SIZES))
    if chance < 0.44:
        return Version(key=f"no//name/{number}", number=1, size=100, deliverable=False)
    if chance < 0.48:  # once per key: two empty files are indistinguishable
        return Version(key=f"empty/{number}.txt", number=1, size=0)
    folder = rng.choice(["", "2026/11/orders/", "a b+ü(1)&%41/"])
    return Version(key=f"{folder}{number}.bin", number=1, size=rng.choice(_SIZES))


def _large() -> Version:
    return Version(key="large.bin", number=1, size=LARGE)
