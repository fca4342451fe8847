"""Everything that can go wrong with a delivery, classified once, where the original exception is caught.

DeliveryError
├── ConfigurationError            an environment variable is missing or wrong
├── EventError                    a message that is not an S3 notification
├── CredentialsError              the secret cannot be read, or holds no usable login
├── RemotePathRefused             the key cannot become a safe remote path
│   ├── RuleRefused               the partner's rules give the object no name, or do not allow it
│   └── NameTaken                 the final name means the same file as that of another key
├── ObjectReadError               the object could not be read from S3
│   ├── ObjectGone                the announced version is no longer in S3
│   ├── ObjectChanged             the key holds other bytes than were announced
│   ├── ObjectCorrupt             the bytes do not match S3's checksum
│   ├── ObjectAccessDenied        the function's role may not read the object
│   ├── ObjectNotReadable         S3 does not return the object as it is: archived, or SSE-C
│   ├── KeyNotUsable              S3 cannot use the KMS key that the object is encrypted with
│   └── ObjectReadInterrupted     S3 stopped answering in the middle
├── PartnerError                  concerns the partner as a whole, not this object
│   ├── PartnerUnreachable        no name, no route, no answer, or no SSH server on the port
│   ├── HostKeyRefused            the server's key is not the pinned one
│   ├── DirectoryAmbiguous        a relative SSH_DIR has the name of the login's home directory
│   ├── DirectoryNameDiffers      a configured directory is missing, one of almost the same name is there
│   ├── LoginRefused              the server does not accept the credentials
│   │   ├── PasswordExpired       the server demands a new password
│   │   └── SecondFactorRequired  the server asks for a code
│   ├── TooManyConnections        the server accepts no more connections or sessions now
│   ├── SftpNotStarted            the login is accepted, but SFTP does not start
│   └── PartnerRefusesWrites      the server refuses different objects for the same reason
├── TransferError                 the conversation with the SFTP server failed
│   ├── ConnectionLost            cut, or silent for too long
│   │   └── RenameUnanswered      ... when the RENAME may have been sent
│   ├── ProtocolViolation         an answer that no SFTP server may give
│   ├── CheckpointLost            an unfinished file has fewer bytes than were acknowledged
│   ├── SizeMismatch              the server shows another size than was acknowledged
│   ├── ResumeNotSupported        one invocation is too short, and the file cannot be resumed
│   └── RequestRefused            the server answered a request with an error status
│       ├── ResumeRefused         the server did not let this file be resumed now
│       └── TargetNotAFile        the final name belongs to a directory, or to anything else but a file
├── TransformFailed               a file could not be encrypted or otherwise changed on its way
├── LedgerError                   the ledger cannot be read or written, or is corrupt
├── QueueError                    a message cannot be deferred, continued or dead-lettered, and stays
├── OutcomeUnknown                a RENAME was not answered, and nothing shows whether it happened
├── MovedAfterDelivery            it was moved or deleted after its delivery, and should be sent again
├── AfterDeliveryFailed           the object is delivered; what the rules want done with it in S3 is not
├── EarlierRenamePending          a RENAME of an earlier attempt may still happen and cannot be prevented
└── NoProgress                    several invocations in a row have sent nothing of it

What is no failure, but ends an attempt, too: `outcomes.py`.
"""

from enum import Enum
from typing import Self, TypeGuard

from s3_to_sftp.configured_by import in_words_of_author
from s3_to_sftp.untrusted_text import MOST_REASON_BYTES, cut


class Disposition(Enum):
    """What to do with the message of an object that was not delivered."""

    RETRY = "retry"
    """May work later without any action."""
    PERMANENT = "permanent"
    """Will fail again until a person changes something about this object or the configuration."""
    PARTNER = "partner"
    """Every other object would fail, too: the partner is down or has changed."""
    WAIT = "wait"
    """Nothing is wrong: it can be sent later, after a time that the error states."""
    CONTINUE = "continue"
    """A part of it is at the partner; the next invocation resumes there."""
    DONE = "done"
    """There is nothing left to do, now or later: the message can be deleted."""


class DeliveryError(Exception):
    """An object was not delivered.

    Attributes:
        reason: What is wrong and what was received. Never holds a secret. 4,096 bytes at most, like the hint.
        hint: What a person can do next.
        disposition: What to do with the message.
        cause: Name of the cause in `diagnosis`; empty where it is not one of those.
        to_partner: What to write to the partner; empty where there is nothing that they can do.
    """

    disposition: Disposition = Disposition.RETRY
    cause: str = ""
    to_partner: str = ""

    def __init__(self, reason: str, *, hint: str) -> None:
        # Many reasons quote the server. One that is too long for the ledger's item would prevent FAILED.
        self.reason = cut(reason, MOST_REASON_BYTES)
        self.hint = cut(in_words_of_author(hint), MOST_REASON_BYTES)
        super().__init__(f"{self.reason} {self.hint}")

    def with_cause_of(self, other: "DeliveryError") -> Self:
        """Take over the cause of another error; return this one."""
        self.cause, self.to_partner = other.cause, other.to_partner
        return self


def is_partner_wide(error: object) -> TypeGuard[DeliveryError]:
    """Return whether an outcome is an error that every other object would meet, too."""
    return isinstance(error, DeliveryError) and error.disposition is Disposition.PARTNER


class ConfigurationError(DeliveryError):
    """An environment variable is missing or wrong."""

    disposition = Disposition.PERMANENT


class EventError(DeliveryError):
    """A message that is not an S3 notification."""

    disposition = Disposition.PERMANENT


class CredentialsError(DeliveryError):
    """The secret cannot be read, or does not hold a usable login."""

    # A person can fix the secret while the message waits.
    disposition = Disposition.PARTNER


class RemotePathRefused(DeliveryError):
    """The object's key cannot become a safe remote path."""

    disposition = Disposition.PERMANENT


class ObjectReadError(DeliveryError):
    """The object could not be read from S3."""


class ObjectGone(ObjectReadError):
    """The announced version is no longer in S3."""

    disposition = Disposition.PERMANENT


class ObjectChanged(ObjectReadError):
    """The key holds other bytes than those that were announced."""

    disposition = Disposition.PERMANENT


class ObjectCorrupt(ObjectReadError):
    """The received bytes do not match S3's checksum."""


class ObjectAccessDenied(ObjectReadError):
    """The function's role may not read the object."""

    disposition = Disposition.PERMANENT


class ObjectNotReadable(ObjectReadError):
    """S3 has the object but does not return it as it is: archived, or encrypted with a customer's key."""

    disposition = Disposition.PERMANENT


class KeyNotUsable(ObjectReadError):
    """S3 has the object but cannot use its KMS key: disabled, or about to be deleted."""


class ObjectReadInterrupted(ObjectReadError):
    """S3 stopped answering in the middle of the object."""


class PartnerError(DeliveryError):
    """Concerns the partner's server as a whole, not this object."""

    disposition = Disposition.PARTNER


class PartnerUnreachable(PartnerError):
    """No name, no route, no answer, or no SSH server on the port."""


class HostKeyRefused(PartnerError):
    """The server's key is not a pinned one, or none is pinned.

    Attributes:
        offered: The server's key, `type base64`.
        fingerprint: Of that key, `SHA256:...`.
    """

    def __init__(self, reason: str, *, hint: str, offered: str = "", fingerprint: str = "") -> None:
        super().__init__(reason, hint=hint)
        self.offered = offered
        self.fingerprint = fingerprint


class DirectoryAmbiguous(PartnerError):
    """A relative SSH_DIR is missing, and has the name of the login's home directory."""


class DirectoryNameDiffers(PartnerError):
    """A configured directory is missing, and one whose name differs only in case is there."""


class LoginRefused(PartnerError):
    """The server does not accept the credentials."""


class PasswordExpired(LoginRefused):
    """The server demands a new password before it accepts the login."""


class SecondFactorRequired(LoginRefused):
    """The server also asks for a code, which no function can know."""


class TooManyConnections(PartnerError):
    """The server accepts no more connections, logins or sessions at the moment."""


class SftpNotStarted(PartnerError):
    """The server accepts the login, but SFTP does not start."""


class PartnerRefusesWrites(PartnerError):
    """The server accepts the login and refuses different objects for the same reason.

    Attributes:
        alike: What the refusals have in common: the request and the status code.
        objects: Short names of the objects that were refused.
    """

    def __init__(self, reason: str, *, hint: str, alike: str, objects: tuple[str, ...]) -> None:
        super().__init__(reason, hint=hint)
        self.alike = alike
        self.objects = objects


class TransferError(DeliveryError):
    """The conversation with the SFTP server failed.

    Attributes:
        received: What came in place of an answer, where that was something else.
        silent: Whether nothing came in time.
    """

    received: bytes = b""
    silent: bool = False


class ConnectionLost(TransferError):
    """The connection was cut, or the server was silent for too long."""


class RenameUnanswered(ConnectionLost):
    """The connection was lost after the file was complete: it may get its final name, or have it already."""


class ProtocolViolation(TransferError):
    """The server gave an answer that the protocol does not allow."""


class CheckpointLost(TransferError):
    """An unfinished file is gone, or has fewer bytes than were acknowledged."""


class SizeMismatch(TransferError):
    """Every write was acknowledged, and the server shows a file of another size."""


class ResumeNotSupported(TransferError):
    """One invocation cannot send all of a file, and it cannot be resumed, for the reason in the line."""

    disposition = Disposition.PERMANENT


class RequestRefused(TransferError):
    """The server answered a request with an error status.

    Attributes:
        code: The SSH_FX_* status code.
        request: Which request: `create`, `open`, `write`, `close`, `rename`, `remove`, `mkdir`, `stat`, ...
        answer: The sentence of the reason that quotes the server, where another one is in front of it.
    """

    answer: str = ""

    def __init__(
        self, reason: str, *, hint: str, code: int, disposition: Disposition, request: str = ""
    ) -> None:
        super().__init__(reason, hint=hint)
        self.code = code
        self.request = request
        self.disposition = disposition


class ResumeRefused(RequestRefused):
    """The server did not let a file be resumed; it may the next time."""


class RuleRefused(RemotePathRefused):
    """The partner's rules give the object no name, or one that they do not allow.

    Attributes:
        rule: The rule.
        value: What it was applied to.
    """

    def __init__(self, rule: str, reason: str, *, value: str, hint: str) -> None:
        super().__init__(reason, hint=hint)
        self.rule = rule
        self.value = value


class NameTaken(RemotePathRefused):
    """The final name means the same file as that of another key."""


class TargetNotAFile(RequestRefused):
    """The final name belongs to a directory, or to something else of the partner's that must not be moved."""


class TransformFailed(DeliveryError):
    """A file could not be encrypted, or otherwise changed on its way, for a cause outside its rules."""


class OutcomeUnknown(DeliveryError):
    """A RENAME was not answered, and nothing visible at the partner shows whether it happened."""

    disposition = Disposition.PERMANENT


class EarlierRenamePending(DeliveryError):
    """A RENAME of an earlier attempt may still happen, and the server does not let us prevent it."""


class LedgerError(DeliveryError):
    """The ledger cannot be read or written, or is corrupt."""

    def __init__(self, reason: str, *, hint: str, disposition: Disposition = Disposition.RETRY) -> None:
        super().__init__(reason, hint=hint)
        self.disposition = disposition


class QueueError(DeliveryError):
    """A message cannot be deferred, continued or dead-lettered: it stays in the queue as it is."""


class MovedAfterDelivery(DeliveryError):
    """An operator wants a version sent again that was moved or deleted after its delivery."""

    disposition = Disposition.PERMANENT


class AfterDeliveryFailed(DeliveryError):
    """The object is delivered, and its receipt recorded. What the rules want done with it in S3 is not.

    Attributes:
        receipt: Of the delivery; None: it was recorded by an earlier attempt.
        retry_after: Seconds; None: as for any error.
    """

    receipt: object = None
    retry_after: float | None = None


NOT_LET_IN = (PartnerError, CredentialsError)
"""Met before anything is written over a connection."""


class NoProgress(DeliveryError):
    """Several invocations in a row have sent nothing of the object."""

    disposition = Disposition.PERMANENT
