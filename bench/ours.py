"""Our own tool, as the harness starts it."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Literal

from bench.clients.job import Job
from bench.tools import Tool

NAME = "s3-to-sftp"
CONNECTIONS = 8
"""What the function may open at most, unless a measurement says otherwise."""


def ours(
    variant: str = "",
    *,
    connections: int = CONNECTIONS,
    warm: Literal["", "tiny", "same"] = "",
    boto3: bool = False,
    reads_object: bool = False,
) -> Tool:
    """The transfer engine on bytes in memory, or on an object in S3."""

    def command(job: Job) -> list[str]:
        return dataclasses.replace(job, connections=connections, warm=warm, boto3=boto3).command("ours")

    return Tool(
        name=NAME,
        variant=variant,
        command=command,
        missing=_missing,
        warm=bool(warm),
        reads_object=reads_object,
    )


def _missing() -> str | None:
    if importlib.util.find_spec("s3_to_sftp.sftp.partner") is None:
        return "s3_to_sftp.sftp.partner, the transfer engine, cannot be imported"
    return None
