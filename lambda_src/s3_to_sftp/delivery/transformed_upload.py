"""An object whose bytes are changed on their way, put under a temporary name: one pass, in one invocation."""

import contextlib
import hashlib
from collections.abc import Generator
from typing import Any

from s3_to_sftp.delivery.attempt import Attempt
from s3_to_sftp.delivery.deadline import Deadline
from s3_to_sftp.delivery.plan_execution import PlanExecution
from s3_to_sftp.delivery.publication import Publication
from s3_to_sftp.delivery.resumable_upload import ResumableUpload
from s3_to_sftp.delivery.upload_report import UploadReport
from s3_to_sftp.errors import ConnectionLost, RuleRefused
from s3_to_sftp.outcomes import DeadlineTooClose
from s3_to_sftp.s3.object_reader import ObjectReader
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.streamed_upload import upload_streamed
from s3_to_sftp.sftp.upload import Staged
from s3_to_sftp.state.ledger import Ledger, SentContent
from s3_to_sftp.stream_transform import BYTES_PER_SECOND, StreamTransform

_BLOCK_BYTES = 256 * 1024
_ALWAYS = "sha256"
"""Digest of what was sent that each receipt has."""
_WHOLE = 0.75
"""Share of an invocation that is enough to call it a whole one."""


class TransformedUpload:
    """Puts transformed objects under temporary names at one partner. Nothing of them can be resumed."""

    def __init__(
        self,
        *,
        s3: Any,
        sftp: SftpClient,
        ledger: Ledger,
        execution: PlanExecution,
        uploads: ResumableUpload,
        publication: Publication,
        sha256: bool,
    ) -> None:
        """Upload to one partner.

        Args:
            s3: boto3's S3 client.
            sftp: The partner's server.
            ledger: Told how far an upload is.
            execution: Has the transforms.
            uploads: Starts an object over.
            publication: Has the journal of names.
            sha256: Whether the SHA-256 of the object is wanted as well.
        """
        self._s3 = s3
        self._sftp = sftp
        self._ledger = ledger
        self._execution = execution
        self._uploads = uploads
        self._publication = publication
        self._sha256 = sha256

    def upload(self, attempt: Attempt, deadline: Deadline) -> tuple[ObjectReader, Staged]:
        """Write the transformed object under the temporary name.

        Returns:
            What was read, and what is at the partner, which is complete; `attempt.sent` says what it is.

        Raises:
            RuleRefused: One invocation is too short for it.
            DeadlineTooClose: This one is.
            DeliveryError: It cannot be done, or not now.
        """
        with UploadReport(self._ledger, attempt):
            try:
                return self._upload(attempt, deadline)
            except ConnectionLost:
                # An old connection may have died of its age; that says nothing about the partner.
                if attempt.progress.has_answered or not self._sftp.was_reused:
                    raise
            attempt.progress.has_answered = True
            self._uploads.start_over(attempt)
            return self._upload(attempt, deadline)

    def _upload(self, attempt: Attempt, deadline: Deadline) -> tuple[ObjectReader, Staged]:
        reader = attempt.progress.reader = ObjectReader(self._s3, attempt.lease.ref, sha256=self._sha256)
        _require_time(reader, deadline)
        hashes = {name: hashlib.new(name, usedforsecurity=False) for name in {*attempt.plan.digests, _ALWAYS}}

        def pieces(transform: StreamTransform) -> Generator[bytes, None, None]:
            for piece in _transformed(reader, transform, deadline):
                for each in hashes.values():
                    each.update(piece)
                yield piece

        with (
            contextlib.closing(self._execution.transform(attempt)) as transform,
            contextlib.closing(pieces(transform)) as source,
            self._uploads.noting_what_is_written(attempt),
        ):
            lease, journal = attempt.lease, self._publication.journal(attempt)
            staged = self._sftp.run(
                lambda session: upload_streamed(
                    session, source, temporary=lease.temporary, path=lease.remote_path, journal=journal
                )
            )
        attempt.sent = SentContent(
            transforms=attempt.plan.transforms,
            source_size=reader.size,
            digests={name: each.hexdigest() for name, each in hashes.items()},
            about=transform.about,
        )
        return reader, staged


def _transformed(
    reader: ObjectReader, transform: StreamTransform, deadline: Deadline
) -> Generator[bytes, None, None]:
    is_whole = deadline.is_fresh(_WHOLE)
    ranges = [(0, reader.size)] if reader.size else []
    with contextlib.closing(reader.blocks(iter(ranges), _BLOCK_BYTES, read_ahead=True)) as blocks:
        for _offset, block in blocks:
            if deadline.is_near():
                raise _out_of_time(reader, deadline, is_whole=is_whole)
            if piece := transform.feed(block):
                yield piece
    if rest := transform.finish():
        yield rest


def _require_time(reader: ObjectReader, deadline: Deadline) -> None:
    """Refuse, before a byte is sent, what takes longer than an invocation: nothing of it could be resumed.

    Raises:
        RuleRefused: It would take longer than a whole one.
        DeadlineTooClose: It would take longer than what is left of this one.
    """
    needed = reader.size / BYTES_PER_SECOND
    whole = deadline.seconds_of_work
    if needed > whole:
        raise _too_large(reader, f"about {int(whole * BYTES_PER_SECOND)} bytes ({whole:.0f} s at 10 MB/s)")
    if needed > deadline.seconds_left and not deadline.is_fresh(_WHOLE):
        raise _put_off(reader)


def _out_of_time(
    reader: ObjectReader, deadline: Deadline, *, is_whole: bool
) -> RuleRefused | DeadlineTooClose:
    if not is_whole:
        return _put_off(reader)
    return _too_large(reader, f"{reader.position} bytes, which is what {deadline.seconds_of_work:.0f} s took")


def _put_off(reader: ObjectReader) -> DeadlineTooClose:
    return DeadlineTooClose(
        f"{reader.ref} is transformed in one pass, for which too little of the invocation is left.",
        hint="It will be retried at once.",
        retry_after=0,
    )


def _too_large(reader: ObjectReader, possible: str) -> RuleRefused:
    return RuleRefused(
        "transforms",
        f"{reader.ref} has {reader.size} bytes. The rule 'transforms' needs one pass in one invocation, "
        f"which can do {possible}.",
        value=str(reader.size),
        hint="Send it in smaller pieces, or give the function more time, or more memory: it is faster then.",
    )
