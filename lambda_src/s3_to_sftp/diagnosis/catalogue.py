"""All causes, in the order in which a delivery meets them."""

from s3_to_sftp.diagnosis import connecting, handshake, host_key, login, sftp_start
from s3_to_sftp.diagnosis.cause import Cause

STAGES = {
    "Name, route, port": connecting,
    "SSH handshake": handshake,
    "Host key": host_key,
    "Login": login,
    "Start of SFTP": sftp_start,
}
"""Title of a stage -> its module."""


def causes_of(stage: object) -> tuple[Cause, ...]:
    """Return the causes of a stage, in the order of its module."""
    return tuple(each for each in vars(stage).values() if isinstance(each, Cause))


def causes() -> dict[str, Cause]:
    """Return all of them, by name."""
    return {cause.name: cause for stage in STAGES.values() for cause in causes_of(stage)}
