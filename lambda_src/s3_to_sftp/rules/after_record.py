"""What the ledger has of the action with a delivered version in S3: the attribute `after` of its record."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from s3_to_sftp.delivery_plan import PlannedAction
from s3_to_sftp.errors import DeliveryError
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.attributes import RawAttribute
from s3_to_sftp.state.items import ACTION_LEFT, KEY, partition_key, version_key
from s3_to_sftp.state.table import Table
from s3_to_sftp.state.update_expression import Change, Path, Put

_log = logging.getLogger(__name__)

_OF_COPY = ("bucket", "key", "version_id", "etag")


@dataclass(frozen=True, kw_only=True)
class BegunMove:
    """A move that is recorded, and may have been begun.

    Attributes:
        action: The move.
        is_copied: Whether its copy is recorded.
        is_refused: Whether S3 has refused each attempt: then there surely is no copy.
        upload_id: Of a copy in parts that is unfinished, or whose end is not recorded; empty: of none.
    """

    action: PlannedAction
    is_copied: bool
    is_refused: bool
    upload_id: str


def begun_move(after: RawAttribute | None) -> BegunMove | None:
    """Return the move that the record is about; None: it is about none."""
    if after is None or after.text("action") != "move" or after.text("state") not in ACTION_LEFT:
        return None
    is_copied = after.text("state") == "copied"
    return BegunMove(
        action=PlannedAction(action="move", bucket=after.text("bucket"), key=after.text("key")),
        is_copied=is_copied,
        is_refused=not is_copied and bool(after.text("refused")),
        upload_id=after.text("upload_id"),
    )


class AfterRecord:
    """`after` of one version, as long as nobody delivers the version again.

    Args:
        table: Of the ledger.
        ref: The version.
        attempts: Of the version's item.
        after: As an earlier attempt has left it; None: this attempt has recorded it with the receipt.
        now: Seconds since 1970.

    Attributes:
        ref: The version.
        begun: The move that an earlier attempt may have begun; None: there is none.
        upload_id: Of the copy in parts that this record is about; empty: of none.
        knows_copies: Whether no earlier attempt can have made a copy that is not recorded.
    """

    def __init__(
        self,
        table: Table,
        ref: ObjectRef,
        attempts: int,
        after: RawAttribute | None,
        *,
        now: Callable[[], float],
    ) -> None:
        self.ref = ref
        self.begun = begun_move(after)
        self.upload_id = self.begun.upload_id if self.begun is not None else ""
        self.knows_copies = after is None or (self.begun is not None and self.begun.is_refused)
        self._is_new = after is None
        self._table = table
        self._attempts = attempts
        self._now = now
        self._other_copy = ""

    def announces(self, move: PlannedAction) -> bool:
        """Return whether it says that there may be a copy: nobody forgets one that is made from now on."""
        begun = self.begun
        return self._is_new or (begun is not None and begun.action == move and not begun.is_refused)

    def note_other_copy(self, place: str) -> None:
        """Note where a move that is given up may have made a copy: the next write records it."""
        self._other_copy = place

    def end(self, state: str, about: Mapping[str, Any]) -> None:
        """Record that nothing is left to do."""
        self.move_on(state, about)

    def end_as_done(self, planned: PlannedAction) -> None:
        """The same for an action that was done: perhaps another one than the record had."""
        about = {"action": planned.action, **({"tags": dict(planned.tags)} if planned.tags else {})}
        removed = () if planned.action == "move" else _OF_COPY
        tags = () if planned.tags else ("tags",)
        self.move_on("done", about, removed=("reason", *removed, *tags))

    def end_if_pending(self, state: str, about: Mapping[str, Any]) -> None:
        """The same, unless another function has begun: what is missing then may have been moved by it."""
        self.move_on(state, about, expected="pending")

    def announce(self, move: PlannedAction) -> bool:
        """Record a move before its copy is made; return whether it is still to be done.

        Raises:
            LedgerError: It could not be recorded.
        """
        self.knows_copies = True
        if self.begun is not None and self.begun.action == move:
            return self._write({}, removed=("refused",))
        self.upload_id = ""
        put: Put = {("after", "action"): "move", ("after", "bucket"): move.bucket, ("after", "key"): move.key}
        others = ("tags", "version_id", "etag", "reason", "hint", "refused", "upload_id")
        return self._write(put, removed=others)

    def note_upload(self, upload_id: str) -> bool:
        """Record the upload of a copy in parts before the first one; return whether there was no other one.

        Raises:
            LedgerError: It could not be recorded.
        """
        is_only_one = self._write({("after", "upload_id"): upload_id}, unless="upload_id")
        self.upload_id = upload_id if is_only_one else ""
        return is_only_one

    def forget_upload(self) -> None:
        """Record that the upload is no more. Never raises."""
        self.upload_id = ""
        self.note({}, removed=("upload_id",))

    def note(self, about: Mapping[str, Any], *, removed: tuple[str, ...] = ()) -> None:
        """Record what people, or the next attempt, want to know. Never raises."""
        try:
            self._write({("after", name): value for name, value in about.items()}, removed=removed)
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
        self.knows_copies = False
        return self._write(put, removed=(*removed, "hint", "refused", "upload_id"), expected=expected)

    def _write(
        self,
        put: Put,
        *,
        removed: tuple[str, ...] = (),
        expected: str | tuple[str, ...] = ACTION_LEFT,
        unless: str = "",
    ) -> bool:
        pk, version = partition_key(self.ref), version_key(self.ref)
        if self._other_copy:
            put = {**put, ("after", "other_copy"): self._other_copy}
        state: Mapping[Path, object] = {
            "state": "DELIVERED",
            "attempts": self._attempts,
            ("after", "state"): expected,
            **({("after", unless): None} if unless else {}),
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
