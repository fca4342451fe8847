"""Our own tool, as the harness starts it."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Literal

from bench.clients.job import Job
from bench.tools import Tool

NAME = "s3-to-sftp"
CONNECTIONS = 10
"""The connection limit of the function, unless a measurement sets another."""


def ours(
    variant: str = "",
    *,
    connections: int = CONNECTIONS,
    warm: Literal["", "tiny", "same", "known"] = "",
    checksum: Literal["", "crc", "crc and sha256"] = "",
    boto3: bool = False,
    reads_object: bool = False,
) -> Tool:
    """The transfer engine on bytes in memory, or on an object in S3."""

    def command(job: Job) -> list[str]:
        ours = dataclasses.replace(job, connections=connections, warm=warm, checksum=checksum, boto3=boto3)
        return ours.command("ours")

    return Tool(
        name=NAME,
        variant=variant,
        command=command,
        missing=_missing,
        warm=bool(warm),
        reads_object=reads_object,
    )


def _missing() -> str | None:
    if importlib.util.find_spec("s3_to_sftp.sftp.client") is None:
        return "s3_to_sftp.sftp.client, the transfer engine, cannot be imported"
    return None
