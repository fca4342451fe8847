"""What is left to do with a version in S3 once its receipt is recorded.

The receipt comes with `after`, an attribute of the version's item, in the state `pending`. The function that
has delivered the object does it; where that one has died or failed, the next one that gets the message does.

    pending ──copied (of a move: where the copy is)──► copied ──deleted──► done
       └──tagged, or deleted───────────────────────────────────────────────► done
       └──the version is no longer there─────────────────────────────────► gone
       └──the rules no longer want it, or nothing says which version it was──► kept

Deleting comes after the record of the copy: what is missing from S3 then was deleted by us.

The rules that hold now say what is done, but for a move: its record is there before its copy, so one that a
changed rule meets may have been copied. It is finished as it was begun, or there would be two copies, unless
S3 is known to have refused each attempt at it, or refuses it now.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from s3_to_sftp.delivery_plan import PlannedAction
from s3_to_sftp.errors import AfterDeliveryFailed, DeliveryError, Disposition
from s3_to_sftp.rules.after_actions import (
    AfterActions,
    CopyUnfinishedError,
    TooManyTagsError,
    VersionGoneError,
    identifies_version,
)
from s3_to_sftp.rules.after_record import AfterRecord, BegunMove
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.attributes import RawAttribute
from s3_to_sftp.state.items import VersionItem, partition_key, read_version, version_key
from s3_to_sftp.state.places import find_record
from s3_to_sftp.state.table import Table
from s3_to_sftp.untrusted_text import MOST_REASON_BYTES, cut, quoted

_log = logging.getLogger(__name__)

_VERBS = {"tag": "could not be tagged", "move": "could not be moved", "delete": "could not be deleted"}
_ALLOW = {
    "tag": "s3:GetObjectTagging and s3:PutObjectTagging, and those of versions",
    "move": "s3:PutObject and s3:PutObjectTagging on the target, s3:DeleteObject and s3:DeleteObjectVersion "
    "on the object, and the use of the KMS keys of both",
    "delete": "s3:DeleteObject and s3:DeleteObjectVersion",
}

_FORBIDDEN = ("AccessDenied", "403")
_NO_UPLOAD = "NoSuchUpload"
_NO_REFUSALS = (_NO_UPLOAD, "RequestTimeout", "SlowDown")
"""Codes with which a copy may be there, or be made in a moment, although their status is 4xx."""


class AfterExecution:
    """Does what is left to do with versions in S3.

    Args:
        s3: boto3's S3 client.
        table: Of the ledger.
        actions: By default those of `s3`.
        is_over: Returns whether the invocation is about to end. By default it is not.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        s3: Any,
        table: Table,
        *,
        actions: AfterActions | None = None,
        is_over: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._actions = actions or AfterActions(s3)
        self._table = table
        self._is_over = is_over
        self._now = now

    def version(self, ref: ObjectRef) -> VersionItem | None:
        """Return what the ledger has of the version.

        Raises:
            LedgerError: It cannot be read.
        """
        item = find_record(self._table, partition_key(ref), version_key(ref))
        return None if item is None else read_version(item)

    def run(
        self, ref: ObjectRef, planned: PlannedAction | None, *, attempts: int, after: RawAttribute | None
    ) -> None:
        """Do it.

        Args:
            ref: The version, whose receipt is recorded.
            planned: What the rules want now; None: no longer anything.
            attempts: Of the version's item, which nobody else has changed since.
            after: As an earlier attempt has left it; None: this one has delivered the version.

        Raises:
            AfterDeliveryFailed: It is not done.
            LedgerError: It could not be recorded.
        """
        record = AfterRecord(self._table, ref, attempts, after, now=self._now)
        begun = record.begun
        if begun is not None and begun.action != planned and identifies_version(ref):
            if self._is_finished(record, begun, instead_of=planned):
                return
            self._give_up(record, begun)
        if planned is None:
            record.end("kept", {"reason": "The rules no longer want it."})
            return
        if not identifies_version(ref):
            reason = "Neither the event nor the bucket says which version was delivered."
            _log.warning("%s is left in S3 as it is: %s", ref, reason)
            record.end("kept", {"reason": reason})
            return
        with self._recorded(record, planned):
            self._do(record, planned)

    @contextlib.contextmanager
    def _recorded(
        self, record: AfterRecord, planned: PlannedAction, *, is_former: bool = False
    ) -> Iterator[None]:
        """Record what the block finds out about the version.

        Raises:
            AfterDeliveryFailed: The block has failed otherwise.
        """
        ref = record.ref
        try:
            yield
        except VersionGoneError as gone:
            _log.warning("%s is no longer in S3 (%s): nothing is left to do with it", ref, gone)
            self._is_aborted(record, planned)
            record.end_if_pending(
                "gone", {"reason": f"It was no longer in S3, or another one had its key ({gone})."}
            )
        except CopyUnfinishedError as unfinished:
            raise _unfinished(ref, planned, unfinished) from None
        except DeliveryError:
            raise
        except Exception as error:  # noqa: BLE001 - botocore lets through what its parsers and urllib3 raise
            failed = _failed(ref, planned, error, is_former=is_former)
            is_sure = planned.action == "move" and record.knows_copies and _is_refusal(error)
            refused = {"refused": _code(error)} if is_sure else {}
            record.note({"reason": failed.reason, "hint": failed.hint, **refused})
            raise failed from None

    def _is_finished(
        self, record: AfterRecord, begun: BegunMove, *, instead_of: PlannedAction | None
    ) -> bool:
        """Finish a move that the rules no longer want; return whether that is the end of it.

        Its copy may be there. Otherwise S3 has refused to make one, or does so now.

        Raises:
            AfterDeliveryFailed: It is not done.
            LedgerError: It could not be recorded.
        """
        if begun.is_refused:
            return False
        move = begun.action
        with self._recorded(record, move, is_former=True):
            if not begun.is_copied:
                try:
                    if not self._copy(record, move):
                        return True
                except ClientError as error:
                    if not _is_refusal(error):
                        raise
                    _log.warning("%s is not moved as former rules say: %s", record.ref, _code(error))
                    return False
            try:
                self._delete_if_there(record.ref)
            except ClientError as error:
                if _deletes(instead_of) or _code(error) not in _FORBIDDEN:
                    raise
                where = f"a copy is at {_place(move)}"
                record.end("kept", {"reason": f"The rules no longer allow its deletion; {where}."})
                return True
            record.end_as_done(move)
        return True

    def _give_up(self, record: AfterRecord, begun: BegunMove) -> None:
        """Let go of a move that the rules no longer want, and that S3 does not let be finished."""
        parts = f" (parts of the upload {record.upload_id})" if record.upload_id else ""
        if self._is_aborted(record, begun.action):
            parts = ""
        if parts or not begun.is_refused:
            record.note_other_copy(f"{_place(begun.action)}{parts}")
        record.upload_id = ""

    def _do(self, record: AfterRecord, planned: PlannedAction) -> None:
        if planned.action == "tag":
            self._actions.tag(record.ref, dict(planned.tags))
        elif planned.action == "move":
            if not self._is_copied(record, planned):
                return
            self._delete_if_there(record.ref)
        else:
            self._delete_if_there(record.ref)
        record.end_as_done(planned)

    def _is_copied(self, record: AfterRecord, planned: PlannedAction) -> bool:
        """Make the copy where there is none; return whether this function is the one that goes on."""
        begun = record.begun
        if begun is not None and begun.is_copied and begun.action == planned:
            return True
        is_announced = record.announces(planned) or record.announce(planned)
        return is_announced and self._copy(record, planned)

    def _copy(self, record: AfterRecord, planned: PlannedAction) -> bool:
        """Copy it; return whether this function is the one that goes on."""
        ref, target = record.ref, {"bucket": planned.bucket, "key": planned.key}
        about = self._actions.look_at(ref)
        if not record.upload_id and (upload_id := self._actions.begin_copy(ref, about, **target)):
            self._note_upload(record, planned, upload_id)
        try:
            copied = self._actions.copy(
                ref, about, **target, upload_id=record.upload_id, is_over=self._is_over
            )
        except ClientError as error:
            if record.upload_id and _code(error) == _NO_UPLOAD:  # cleaned up meanwhile, or completed
                record.forget_upload()
            raise
        where = {**target, "version_id": copied.version_id, "etag": copied.etag}
        return record.move_on("copied", where)

    def _note_upload(self, record: AfterRecord, planned: PlannedAction, upload_id: str) -> None:
        """Record an upload that was begun, or abort it: one that nobody knows of is never completed.

        Raises:
            CopyUnfinishedError: Another function has begun one.
            LedgerError: It could not be recorded.
        """
        try:
            is_only_one = record.note_upload(upload_id)
        except DeliveryError:
            self._abort(record.ref, planned, upload_id)
            raise
        if not is_only_one:
            self._abort(record.ref, planned, upload_id)
            raise CopyUnfinishedError("another function copies it")

    def _is_aborted(self, record: AfterRecord, move: PlannedAction) -> bool:
        """Abort the upload that the record has; return whether no parts are left."""
        if record.upload_id and not self._abort(record.ref, move, record.upload_id):
            return False
        if record.upload_id:
            record.forget_upload()
        return True

    def _abort(self, ref: ObjectRef, move: PlannedAction, upload_id: str) -> bool:
        """Remove the parts of a copy that is given up; return whether they are gone. Never raises."""
        try:
            self._actions.abort_copy(bucket=move.bucket, key=move.key, upload_id=upload_id)
        except Exception as error:  # noqa: BLE001 - as above; a lifecycle rule of the bucket removes them
            _log.warning(
                "parts of a copy of %s stay at %s (upload %s) until a lifecycle rule of the bucket aborts "
                "incomplete multipart uploads: %s",
                ref,
                _place(move),
                upload_id,
                quoted(error),
            )
            return False
        return True

    def _delete_if_there(self, ref: ObjectRef) -> None:
        try:
            self._actions.delete(ref)
        except VersionGoneError as gone:
            _log.info("%s was deleted before, or another object has its key (%s)", ref, gone)


def _place(move: PlannedAction) -> str:
    return f"s3://{move.bucket}/{move.key}"


def _deletes(planned: PlannedAction | None) -> bool:
    return planned is not None and planned.action in {"move", "delete"}


def _code(error: Exception) -> str:
    answer: Mapping[str, Any] = error.response.get("Error", {}) if isinstance(error, ClientError) else {}
    return str(answer.get("Code", ""))


def _is_refusal(error: Exception) -> bool:
    """Return whether S3 has said that it has not done what it was asked for, and will not do it."""
    if not isinstance(error, ClientError):
        return False
    status, code = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0), _code(error)
    return 400 <= status < 500 and code not in _NO_REFUSALS and "Throttl" not in code


def _failed(
    ref: ObjectRef, planned: PlannedAction, error: Exception, *, is_former: bool
) -> AfterDeliveryFailed:
    answer: Mapping[str, Any] = error.response.get("Error", {}) if isinstance(error, ClientError) else {}
    code = _code(error)
    why = f"{code}: {quoted(answer.get('Message') or '')}" if code else quoted(error)
    target = f" to s3://{planned.bucket}/{planned.key}" if planned.bucket else ""
    says = "said when that was begun" if is_former else "says"
    failed = AfterDeliveryFailed(
        cut(
            f"{ref} is delivered, and its receipt is recorded, but it {_VERBS[planned.action]}{target} "
            f"afterwards, as the rule 'after_delivery' {says}: {why}.",
            MOST_REASON_BYTES,
        ),
        hint=f"{_advice(planned, code, error)} Then redrive the message: the file is not sent again.",
    )
    if isinstance(error, TooManyTagsError):
        failed.disposition = Disposition.PERMANENT
    return failed


def _unfinished(
    ref: ObjectRef, planned: PlannedAction, unfinished: CopyUnfinishedError
) -> AfterDeliveryFailed:
    error = AfterDeliveryFailed(
        f"{ref} is delivered, and its copy to s3://{planned.bucket}/{planned.key} is unfinished: "
        f"{unfinished}.",
        hint="No action needed: the next invocation continues it.",
    )
    error.disposition, error.retry_after = Disposition.WAIT, 0
    return error


def _advice(planned: PlannedAction, code: str, error: Exception) -> str:
    if isinstance(error, TooManyTagsError):
        return "Remove tags from the object, or from the rule."
    if code in _FORBIDDEN:
        return (
            f"Allow the function's role {_ALLOW[planned.action]}; where AWS's message names another policy "
            "(of the bucket, an SCP, Object Lock), change that one."
        )
    if code == "NoSuchBucket":
        return f"Create the bucket {planned.bucket!r}, or change the rule." if planned.bucket else ""
    return "Correct what the answer names, or change the rule."
