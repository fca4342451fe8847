"""What was delivered, and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.ledger import SentContent


class Evidence(StrEnum):
    """What proves that a file has its final name."""

    CLOSE_OK = "close_ok"
    """It was written under its final name, and the server answered every WRITE and the CLOSE with OK."""

    RENAME_OK = "rename_ok"
    """The server answered the RENAME with OK."""
    SEEN_AFTER_RENAME = "seen_after_rename"
    """No answer came; later the final name had the size and modification time of the temporary file."""
    ASSUMED = "assumed"
    """No answer came, nothing can be seen, and the configuration counts this as delivered."""
    CONFIRMED = "confirmed"
    """No answer came, and an operator has said that the partner has the file."""


def sent_details(sent: SentContent) -> dict[str, Any]:
    """Return what a receipt says of bytes that were changed on their way."""
    return {
        "transforms": list(sent.transforms),
        "source_bytes": sent.source_size,
        **sent.about,
        **{f"sent_{name}": digest for name, digest in sorted(sent.digests.items())},
    }


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What was delivered.

    Attributes:
        ref: The object version.
        remote_path: Its final name at the partner.
        size: Bytes.
        seconds: From the start to the rename, within the last invocation.
        checksum_algorithm: CRC64NVME, CRC32C or CRC32.
        checksum: Of all bytes that were sent, in base64 as S3 writes it. Empty in a receipt that was written
            after a crash, for an object that is no longer in S3.
        verified_by: Which checksum of S3's was compared with the bytes, e.g. `full_object:CRC64NVME` or
            `composite:CRC32C/12`; `none` where none was. All values: docs/reference/ledger.md.
        evidence: What proves that the file has its final name.
        sha256: Of all bytes in hexadecimal, where it was requested and one invocation sent the object.
        streams: Connections, or channels of one, that carried it.
        host_key_fingerprint: Of the server that received it, `SHA256:...`.
        attempt: How many leases it needed, from 1 on.
        recovered: Whether an earlier invocation sent it, and ended before it could record that.
        details: What the partner's rules add: the number of a sequence, the files beside it.
    """

    ref: ObjectRef
    remote_path: str
    size: int
    seconds: float
    checksum_algorithm: str
    checksum: str
    verified_by: str = "none"
    evidence: Evidence = Evidence.RENAME_OK
    sha256: str | None = None
    streams: int
    host_key_fingerprint: str
    attempt: int = 1
    recovered: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_item(self, *, request_id: str) -> dict[str, Any]:
        """Return the receipt as the ledger keeps it.

        Args:
            request_id: Of the invocation, as in the log.
        """
        item = {
            "remote_path": self.remote_path,
            "bytes": self.size,
            "seconds": round(self.seconds, 3),
            "checksum_algorithm": self.checksum_algorithm,
            "checksum": self.checksum,
            "verified_by": self.verified_by,
            "evidence": self.evidence,
            "streams": self.streams,
            "host_key": self.host_key_fingerprint,
            "attempt": self.attempt,
            "recovered": self.recovered,
            "request_id": request_id,
            **self.details,
        }
        return {**item, "sha256": self.sha256} if self.sha256 else item
