"""All causes: those of the partner in the order in which a delivery meets them, then those of S3."""

from types import ModuleType

from s3_to_sftp.diagnosis import (
    connecting,
    directories,
    handshake,
    host_key,
    login,
    lost_connection,
    objects,
    requests,
    sftp_start,
    storage,
)
from s3_to_sftp.diagnosis.cause import Cause
from s3_to_sftp.errors import (
    CheckpointLost,
    ConfigurationError,
    ConnectionLost,
    DeliveryError,
    DirectoryAmbiguous,
    DirectoryNameDiffers,
    HostKeyRefused,
    LoginRefused,
    PartnerUnreachable,
    PasswordExpired,
    RequestRefused,
    ResumeRefused,
    SecondFactorRequired,
    SftpNotStarted,
    TargetNotAFile,
    TooManyConnections,
)

STAGES: dict[str, ModuleType] = {
    "Name, route, port": connecting,
    "SSH handshake": handshake,
    "Host key": host_key,
    "Login": login,
    "Start of SFTP": sftp_start,
    "Directory": directories,
    "Refused request": requests,
    "The partner's storage": storage,
    "Connection in the middle of the work": lost_connection,
    "Object in S3": objects,
}
"""Title of a stage -> its module."""


def causes_of(stage: ModuleType) -> tuple[Cause, ...]:
    """Return the causes of a stage, in the order of its module."""
    return tuple(each for each in vars(stage).values() if isinstance(each, Cause))


def causes() -> dict[str, Cause]:
    """Return all of them, by name."""
    return {cause.name: cause for stage in STAGES.values() for cause in causes_of(stage)}


def _errors() -> dict[type[DeliveryError], tuple[Cause, ...]]:
    found: dict[type[DeliveryError], list[Cause]] = {}
    for stage in STAGES.values():
        for cause in causes_of(stage):
            usual = objects.kind_of(cause) if stage is objects else _USUAL[stage.__name__]
            for kind in _UNUSUAL.get(cause.name, (usual,)):
                found.setdefault(kind, []).append(cause)
    return {kind: tuple(those) for kind, those in found.items()}


_USUAL: dict[str, type[DeliveryError]] = {
    connecting.__name__: PartnerUnreachable,
    handshake.__name__: PartnerUnreachable,
    host_key.__name__: HostKeyRefused,
    login.__name__: LoginRefused,
    sftp_start.__name__: SftpNotStarted,
    directories.__name__: DirectoryNameDiffers,
    requests.__name__: RequestRefused,
    storage.__name__: RequestRefused,
    lost_connection.__name__: ConnectionLost,
}
_UNUSUAL: dict[str, tuple[type[DeliveryError], ...]] = {
    handshake.TOO_MANY_LOGINS.name: (TooManyConnections,),
    handshake.TOO_MANY_CONNECTIONS.name: (TooManyConnections,),
    handshake.BANNED.name: (PartnerUnreachable, LoginRefused),
    host_key.PIN_IS_NO_KEY.name: (ConfigurationError,),
    login.SECOND_FACTOR.name: (SecondFactorRequired,),
    login.PASSWORD_EXPIRED.name: (PasswordExpired,),
    login.ACCOUNT_DISABLED.name: (LoginRefused, PartnerUnreachable),
    login.CLOSED_BEFORE_LOGIN.name: (PartnerUnreachable,),
    login.LOST_DURING_LOGIN.name: (PartnerUnreachable,),
    login.NO_ANSWER_TO_LOGIN.name: (PartnerUnreachable,),
    login.TOO_MANY_LOGINS.name: (TooManyConnections,),
    directories.AMBIGUOUS.name: (DirectoryAmbiguous,),
    requests.REOPEN_REFUSED.name: (RequestRefused, ResumeRefused),
    requests.TEMPORARY_REMOVED.name: (RequestRefused, CheckpointLost),
    requests.DIRECTORY_IN_THE_WAY.name: (RequestRefused, TargetNotAFile),
}
"""Name of a cause -> classes, where they are not those that are usual in its stage."""

ERRORS = _errors()
"""Class of an error -> the causes that it may have. `PartnerRefusesWrites` has that of the last refusal."""
