"""What is left to do with a version in S3 once its receipt is recorded, and its record in the ledger.

The receipt comes with `after`, an attribute of the version's item, in the state `pending`. The function that
has delivered the object does it; where that one has died or failed, the next one that gets the message does.

    pending ──copied (of a move: where the copy is)──► copied ──deleted──► done
       └──tagged, or deleted───────────────────────────────────────────────► done
       └──the version is no longer there─────────────────────────────────► gone
       └──the rules no longer want it, or nothing says which version it was──► kept

Deleting comes after the record of the copy: what is missing from S3 then was deleted by us.

The rules that hold now say what is done, but for a move that a changed rule meets halfway: it is finished as
it was begun, or there would be two copies.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
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
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.attributes import RawAttribute
from s3_to_sftp.state.items import ACTION_LEFT, KEY, VersionItem, partition_key, read_version, version_key
from s3_to_sftp.state.places import find_record
from s3_to_sftp.state.table import Table
from s3_to_sftp.state.update_expression import Change, Path, Put
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
        record = _Record(self._table, ref, attempts, self._now)
        begun = _begun_move(after)
        is_copied = after is not None and after.text("state") == "copied"
        wanted, planned = planned, _to_be_done(planned, begun, after)
        if planned is None:
            copy = f"; a copy may be at s3://{begun.bucket}/{begun.key}" if begun is not None else ""
            record.end("kept", {"reason": f"The rules no longer want it{copy}."})
            return
        if not identifies_version(ref):
            reason = "Neither the event nor the bucket says which version was delivered."
            _log.warning("%s is left in S3 as it is: %s", ref, reason)
            record.end("kept", {"reason": reason})
            return
        try:
            self._do(record, planned, after)
        except VersionGoneError as gone:
            _log.warning("%s is no longer in S3 (%s): nothing is left to do with it", ref, gone)
            record.end_if_pending(
                "gone", {"reason": f"It was no longer in S3, or another one had its key ({gone})."}
            )
        except CopyUnfinishedError as unfinished:
            raise _unfinished(ref, planned, unfinished) from None
        except DeliveryError:
            raise
        except Exception as error:  # noqa: BLE001 - botocore lets through what its parsers and urllib3 raise
            if is_copied and not _deletes(wanted) and _code(error) in _FORBIDDEN:
                where = f"a copy is at s3://{planned.bucket}/{planned.key}"
                record.end("kept", {"reason": f"The rules no longer allow its deletion; {where}."})
                return
            failed = _failed(ref, planned, error)
            record.note({"reason": failed.reason, "hint": failed.hint})
            raise failed from None

    def _do(self, record: "_Record", planned: PlannedAction, after: RawAttribute | None) -> None:
        ref = record.ref
        if planned.action == "tag":
            self._actions.tag(ref, dict(planned.tags))
        elif planned.action == "move":
            if not self._is_copied(planned, after) and not self._copy(record, planned, after):
                return
            self._delete_if_there(ref)
        else:
            self._delete_if_there(ref)
        record.end_as_done(planned)

    def _is_copied(self, planned: PlannedAction, after: RawAttribute | None) -> bool:
        return after is not None and after.text("state") == "copied" and _is_target(planned, after)

    def _copy(self, record: "_Record", planned: PlannedAction, after: RawAttribute | None) -> bool:
        """Copy it; return whether this function is the one that goes on."""
        ref, target = record.ref, {"bucket": planned.bucket, "key": planned.key}
        upload_id = after.text("upload_id") if after is not None and _is_target(planned, after) else ""
        about = self._actions.look_at(ref)
        if not upload_id and (upload_id := self._actions.begin_copy(ref, about, **target)):
            record.note({"upload_id": upload_id, **target})
        try:
            copied = self._actions.copy(ref, about, **target, upload_id=upload_id, is_over=self._is_over)
        except ClientError as error:
            if upload_id and error.response.get("Error", {}).get("Code") == "NoSuchUpload":
                record.note({"upload_id": ""})  # cleaned up meanwhile, or completed: begin again
            raise
        where = {**target, "version_id": copied.version_id, "etag": copied.etag}
        return record.move_on("copied", where)

    def _delete_if_there(self, ref: ObjectRef) -> None:
        try:
            self._actions.delete(ref)
        except VersionGoneError as gone:
            _log.info("%s was deleted before, or another object has its key (%s)", ref, gone)


class _Record:
    """`after` of one version, as long as nobody delivers the version again."""

    def __init__(self, table: Table, ref: ObjectRef, attempts: int, now: Callable[[], float]) -> None:
        self.ref = ref
        self._table = table
        self._attempts = attempts
        self._now = now

    def end(self, state: str, about: Mapping[str, Any]) -> None:
        """Record that nothing is left to do."""
        self.move_on(state, about)

    def end_as_done(self, planned: PlannedAction) -> None:
        """The same for an action that was done: perhaps another one than the record had."""
        about = {"action": planned.action, **({"tags": dict(planned.tags)} if planned.tags else {})}
        removed = () if planned.action == "move" else ("bucket", "key", "version_id", "etag")
        tags = () if planned.tags else ("tags",)
        self.move_on("done", about, removed=("reason", *removed, *tags))

    def end_if_pending(self, state: str, about: Mapping[str, Any]) -> None:
        """The same, unless another function has begun: what is missing then may have been moved by it."""
        self.move_on(state, about, expected="pending")

    def note(self, about: Mapping[str, Any]) -> None:
        """Record what people, or the next attempt, want to know. Never raises."""
        try:
            self._write({("after", name): value for name, value in about.items()})
        except DeliveryError as trouble:
            _log.warning("not recorded for %s: %s", self.ref, trouble)

    def move_on(
        self,
        state: str,
        about: Mapping[str, Any],
        *,
        removed: tuple[str, ...] = (),
        expected: str | tuple[str, ...] = ACTION_LEFT,
    ) -> bool:
        """Record the next state; return whether no other function has done so before."""
        put: Put = {("after", name): value for name, value in about.items()}
        put |= {("after", "state"): state, ("after", "at"): round(self._now(), 3)}
        return self._write(put, removed=(*removed, "hint", "upload_id"), expected=expected)

    def _write(
        self, put: Put, *, removed: tuple[str, ...] = (), expected: str | tuple[str, ...] = ACTION_LEFT
    ) -> bool:
        pk, version = partition_key(self.ref), version_key(self.ref)
        state: Mapping[Path, object] = {
            "state": "DELIVERED",
            "attempts": self._attempts,
            ("after", "state"): expected,
        }
        in_key_item = Change(
            pk=pk,
            sk=KEY,
            expected={"version": version, **state},
            put=put,
            remove=[("after", name) for name in removed],
        )
        refused = self._table.write(in_key_item)
        if refused and (refused[0] or {}).get("version") != {"S": version}:  # another one was leased since
            refused = self._table.write(replace(in_key_item, sk=version, expected=state))
        return not refused


def _is_target(planned: PlannedAction, after: RawAttribute) -> bool:
    return (after.text("bucket"), after.text("key")) == (planned.bucket, planned.key)


def _begun_move(after: RawAttribute | None) -> PlannedAction | None:
    """Return the move that the record is about; None: it is about none."""
    if after is None or after.text("action") != "move":
        return None
    return PlannedAction(action="move", bucket=after.text("bucket"), key=after.text("key"))


def _to_be_done(
    wanted: PlannedAction | None, begun: PlannedAction | None, after: RawAttribute | None
) -> PlannedAction | None:
    """Return what the rules want now, or the move that was begun: its copy is there, or may be."""
    if begun is None or after is None:
        return wanted
    if after.text("state") == "copied":
        return begun
    # One that has failed has a reason: a corrected target is used.
    is_other_target = wanted is not None and wanted.action == "move"
    return begun if is_other_target and not after.text("reason") else wanted


def _deletes(planned: PlannedAction | None) -> bool:
    return planned is not None and planned.action in {"move", "delete"}


def _code(error: Exception) -> str:
    answer: Mapping[str, Any] = error.response.get("Error", {}) if isinstance(error, ClientError) else {}
    return str(answer.get("Code", ""))


def _failed(ref: ObjectRef, planned: PlannedAction, error: Exception) -> AfterDeliveryFailed:
    answer: Mapping[str, Any] = error.response.get("Error", {}) if isinstance(error, ClientError) else {}
    code = _code(error)
    why = f"{code}: {quoted(answer.get('Message') or '')}" if code else quoted(error)
    target = f" to s3://{planned.bucket}/{planned.key}" if planned.bucket else ""
    failed = AfterDeliveryFailed(
        cut(
            f"{ref} is delivered, and its receipt is recorded, but it {_VERBS[planned.action]}{target} "
            f"afterwards, as the rule 'after_delivery' says: {why}.",
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
