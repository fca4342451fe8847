"""Everything that can go wrong with a delivery, classified once, where the foreign exception is caught.

DeliveryError
├── ConfigurationError        an environment variable is missing or wrong
├── EventError                a message that is not an S3 notification
├── CredentialsError          the secret cannot be read, or does not hold a usable login
├── RemotePathRefused         the key cannot become a safe remote path
├── SourceError
│   ├── ObjectGone            the announced version is no longer in S3
│   ├── ObjectChanged         the key holds other bytes than were announced
│   ├── SourceDenied          the function's role may not read the object
│   └── SourceInterrupted     S3 stopped answering in the middle
├── PartnerError              concerns the partner as a whole, not this object
│   ├── PartnerUnreachable    no name, no route, no answer, or no SSH behind the port
│   ├── HostKeyRefused        the server's key is not the pinned one
│   └── LoginRefused          the server does not accept the credentials
├── TransferError
│   ├── ConnectionLost        cut, or silent for too long
│   ├── ProtocolViolation     an answer that no SFTP server may give
│   └── RequestRefused        the server answered a request with an error status
└── DeadlineTooClose          not started: the invocation would end first
"""

from enum import Enum


class Disposition(Enum):
    """What to do with the message of an object that was not delivered."""

    RETRY = "retry"
    """May work later without anybody doing anything."""
    PERMANENT = "permanent"
    """Will fail again until a person changes something about this object or the configuration."""
    PARTNER = "partner"
    """Every other object would fail, too: the partner is down or has changed."""


class DeliveryError(Exception):
    """An object was not delivered.

    Attributes:
        reason: What is wrong and what was got. Never holds a secret.
        hint: What a person can do next.
        disposition: What to do with the message.
    """

    disposition: Disposition = Disposition.RETRY

    def __init__(self, reason: str, *, hint: str) -> None:
        super().__init__(f"{reason} {hint}")
        self.reason = reason
        self.hint = hint


class ConfigurationError(DeliveryError):
    """An environment variable is missing or wrong."""

    disposition = Disposition.PERMANENT


class EventError(DeliveryError):
    """A message that is not an S3 notification."""

    disposition = Disposition.PERMANENT


class CredentialsError(DeliveryError):
    """The secret cannot be read, or does not hold a usable login."""

    # A person can mend the secret while the message waits.
    disposition = Disposition.PARTNER


class RemotePathRefused(DeliveryError):
    """The object's key cannot become a safe remote path."""

    disposition = Disposition.PERMANENT


class SourceError(DeliveryError):
    """The object could not be read from S3."""


class ObjectGone(SourceError):
    """The announced version is no longer in S3."""

    disposition = Disposition.PERMANENT


class ObjectChanged(SourceError):
    """The key holds other bytes than those that were announced."""

    disposition = Disposition.PERMANENT


class ObjectCorrupt(SourceError):
    """The bytes that came are not those that S3 has a checksum of."""


class SourceDenied(SourceError):
    """The function's role may not read the object."""

    disposition = Disposition.PERMANENT


class SourceInterrupted(SourceError):
    """S3 stopped answering in the middle of the object."""


class PartnerError(DeliveryError):
    """Concerns the partner's server as a whole, not this object."""

    disposition = Disposition.PARTNER


class PartnerUnreachable(PartnerError):
    """No name, no route, no answer, or no SSH server behind the port."""


class HostKeyRefused(PartnerError):
    """The server's key is not a pinned one, or none is pinned."""


class LoginRefused(PartnerError):
    """The server does not accept the credentials."""


class TransferError(DeliveryError):
    """The conversation with the SFTP server failed."""


class ConnectionLost(TransferError):
    """The connection was cut, or the server was silent for too long."""


class ProtocolViolation(TransferError):
    """The server gave an answer that the protocol does not allow."""


class RequestRefused(TransferError):
    """The server answered a request with an error status.

    Attributes:
        code: The SSH_FX_* status code.
    """

    def __init__(self, reason: str, *, hint: str, code: int, disposition: Disposition) -> None:
        super().__init__(reason, hint=hint)
        self.code = code
        self.disposition = disposition


class DeadlineTooClose(DeliveryError):
    """The delivery was not started, because the invocation would end first."""
