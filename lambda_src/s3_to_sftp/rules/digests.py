"""Checksums that a partner wants to read beside the data."""

import hashlib
import time
from collections.abc import Callable, Iterable
from typing import Any

from s3_to_sftp.delivery.deadline import Deadline
from s3_to_sftp.errors import NoProgress
from s3_to_sftp.outcomes import DeadlineTooClose
from s3_to_sftp.s3.object_reader import ObjectReader
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.session import SftpSession

_BLOCK_BYTES = 1024 * 1024
_TURN_SECONDS = 10.0
"""So often is the partner asked something meanwhile: servers cut connections that are idle."""
_FRESH = 0.75
"""Share of an invocation that is enough to call it a whole one."""


def digests_of(data: bytes, algorithms: Iterable[str]) -> dict[str, str]:
    """Return the digests of bytes at hand, in hexadecimal."""
    return {name: hashlib.new(name, data, usedforsecurity=False).hexdigest() for name in algorithms}


async def read_digests(
    session: SftpSession,
    s3: Any,
    ref: ObjectRef,
    algorithms: Iterable[str],
    *,
    etag: str | None,
    deadline: Deadline | None,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, str]:
    """Read the object once more, in order, and return its digests: its upload may have been in any order.

    Args:
        session: Kept awake meanwhile.
        s3: boto3's S3 client.
        ref: The version.
        algorithms: Names that hashlib knows.
        etag: Of the bytes that were sent, where it is known.
        deadline: Of the invocation.
        clock: Seconds.

    Raises:
        ObjectReadError: It is gone, changed, or not what S3 has a checksum of.
        DeadlineTooClose: The next invocation has more time for it.
        NoProgress: A whole invocation is not enough.
    """
    started = asked_at = clock()
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    reader = ObjectReader(s3, ref, pinned_etag=etag)
    for _offset, block in reader.blocks(iter([(0, reader.size)]), _BLOCK_BYTES, read_ahead=True):
        for each in hashes.values():
            each.update(block)
        if clock() - asked_at >= _TURN_SECONDS:
            await session.turn()
            asked_at = clock()
        if deadline is not None and deadline.is_near():
            raise _out_of_time(ref, deadline, spent=clock() - started)
    reader.verify()
    return {name: each.hexdigest() for name, each in hashes.items()}


def _out_of_time(ref: ObjectRef, deadline: Deadline, *, spent: float) -> DeadlineTooClose | NoProgress:
    if spent >= _FRESH * (deadline.seconds - deadline.reserve):
        return NoProgress(
            f"One invocation is too short to read {ref} for the checksum in a companion file.",
            hint="Give the function more memory (it is faster then) or more time, or leave the checksum out "
            "of the rule 'companions'.",
        )
    return DeadlineTooClose(
        f"{ref} is at the partner under its temporary name; its checksum takes longer than this invocation.",
        hint="It will be retried at once.",
        retry_after=0,
    )
