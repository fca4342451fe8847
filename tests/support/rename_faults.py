"""What a partner does wrong with the names that it is asked to give."""

from __future__ import annotations

from s3_to_sftp.sftp.protocol import Request, Status
from tests.support.killable_function import KillableEnvironment
from tests.support.scripted_server import NOTHING, Asked, Hanging, Script, is_rename, renamed, status

FAULTS = ("refused", "denied", "silent", "lost answer", "hangs")


def script_with(fault: str, end: str, env: KillableEnvironment, hanging: list[Hanging]) -> Script:
    """Script: one fault at the names that end like this; none if it is empty.

    Args:
        fault: One of `FAULTS`, or `full` (no byte is written).
        end: Of the names.
        env: The partner's.
        hanging: Gets what hangs, so that it can wake up.
    """

    def is_due(request: Asked) -> bool:
        return is_rename(request) and renamed(request)[1].endswith(end)

    if fault == "hangs":
        hanging.append(Hanging(is_due, env.disk))
        return hanging[-1]

    def script(request: Asked) -> bytes | None:
        if fault == "full":
            return status(request, Status.FAILURE) if request.kind == Request.WRITE else None
        if not fault or not is_due(request):
            return None
        if fault in ("refused", "denied"):
            return status(request, Status.FAILURE if fault == "refused" else Status.PERMISSION_DENIED)
        if fault == "lost answer":
            env.env.connection(0).server.healthy(request)
        return NOTHING

    return script
