"""One version of one object, as its event names it."""

from dataclasses import dataclass, field

from s3_to_sftp.operator_request import OperatorRequest

_HADOOP_MARKER = "_$folder$"
"""Ends the keys that Hadoop and EMR write for directories."""

_SEQUENCER_WIDTH = 64  # S3's have 16 to 18 digits today


@dataclass(frozen=True, kw_only=True)
class ObjectRef:
    """One version of one object, as its event names it.

    Attributes:
        bucket: Bucket name.
        key: Decoded key.
        version_id: Set on versioned buckets.
        etag: Without quotes; `-N` at its end for multipart uploads.
        size: Bytes, where the event says so.
        sequencer: Orders the events of one key: hexadecimal, right-pad with zeros, compare as text.
        event_time: When the object was put, as the event says, in seconds since 1970; None: it does not say.
        resend: An operator has redriven the message after an unknown outcome: the partner has no file.
        operator: What an operator asked for with the message; None for an event of S3. Two messages about the
            same version, one of them an operator's, are two tasks.
    """

    bucket: str
    key: str
    version_id: str | None = None
    etag: str | None = None
    size: int | None = None
    sequencer: str | None = None
    event_time: int | None = field(default=None, compare=False)
    resend: bool = field(default=False, compare=False)
    operator: OperatorRequest | None = None

    @property
    def is_named_like_a_folder(self) -> bool:
        """Whether consoles and Hadoop use such a name for folder markers, which are empty objects."""
        return self.key.endswith(("/", _HADOOP_MARKER))

    @property
    def padded_sequencer(self) -> str:
        """The sequencer so that text compares as S3 orders the events of a key; empty where there is none."""
        # Direct notifications write capitals, the examples of EventBridge small letters.
        return (self.sequencer or "").upper().ljust(_SEQUENCER_WIDTH if self.sequencer else 0, "0")

    def __str__(self) -> str:
        version = f" (version {self.version_id})" if self.version_id else ""
        return f"s3://{self.bucket}/{self.key}{version}"
