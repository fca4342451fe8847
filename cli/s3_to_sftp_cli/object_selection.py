"""Which object versions a command is about, and whether their state allows what it does."""

import hashlib
import shlex
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote

from s3_to_sftp_cli.context import Context
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.layout import printable
from s3_to_sftp_cli.ledger import Record
from s3_to_sftp_cli.missing_object import left_out
from s3_to_sftp_cli.object_name import parse_object_name, typed_object, typed_pattern
from s3_to_sftp_cli.receipt_words import after_in_words
from s3_to_sftp_cli.sizes import count_text
from s3_to_sftp_cli.times import in_words, local_now, parse_past

IN_FLIGHT_STATES = ("WAITING", "SENDING", "STAGED", "COMMITTING")
_RESENDABLE = ("DELIVERED", "UNKNOWN", "CANCELLED", "SKIPPED")

_SEQUENCER_WIDTH = 64
"""Sequencers of one key are compared as text after zeros were added up to this width."""


def possible_buckets(context: Context, bucket: str | None) -> list[str]:
    """Return the buckets that an object can be in: the one that was named, or all that are watched.

    Raises:
        CliError: None was named, and the function's configuration names none.
    """
    buckets = [bucket] if bucket else context.delivery.buckets()
    if not buckets:
        raise CliError(
            "The function's configuration does not tell which buckets it watches.",
            hint="Name the bucket with --bucket.",
            code=ExitCode.USAGE,
        )
    return buckets


def versions_by_bucket(context: Context, buckets: Iterable[str], key: str) -> dict[str, list[Record]]:
    """Return the versions of an object, of each bucket in which the ledger has it."""
    return {each: versions for each in buckets if (versions := context.ledger.versions(each, key))}


def find_version(context: Context, key: str, *, bucket: str | None, version: str | None) -> Record:
    """Return a version of an object, by default the one that was seen last.

    Args:
        context: The delivery.
        key: Of the object, also as s3://bucket/key.
        bucket: Of the object; None: the one in which the key is.
        version: VersionId, or ETag where there are no versions; None: the latest.

    Raises:
        CliError: There is none, or the bucket is not clear.
    """
    bucket, key = parse_object_name(key, bucket)
    buckets = possible_buckets(context, bucket)
    found = versions_by_bucket(context, buckets, key)
    if not found:
        raise CliError(
            f"The ledger has no object {key!r} in {', '.join(buckets)}.",
            hint="Check the key (`s3-to-sftp receipts --key GLOB` looks for one). What the function has "
            "never seen: `s3-to-sftp backfill --prefix KEY --reason TEXT`."
            + (left_out(buckets[0], key) if context.delivery.rules else ""),
            code=ExitCode.NOT_FOUND,
        )
    if len(found) > 1:
        raise CliError(
            f"{key!r} is in several buckets: {', '.join(found)}.",
            hint="Name one with --bucket.",
            code=ExitCode.USAGE,
        )
    (versions,) = found.values()
    if version is None:
        return versions[0]
    for record in versions:
        if version in (record.version, record.etag):
            return record
    known = ", ".join(record.version or record.etag for record in versions[:5])
    raise CliError(
        f"The ledger has no version {version!r} of {key!r}; it has {known}.",
        hint="`s3-to-sftp receipts KEY` lists the versions.",
        code=ExitCode.NOT_FOUND,
    )


def require_resendable(context: Context, record: Record) -> None:
    """Refuse a version that the function would not send again.

    Raises:
        CliError: It is not delivered, or a newer one is.
    """
    if record.state not in _RESENDABLE:
        raise wrong_state(record, "it cannot be sent again")
    _require_in_s3(record)
    key_item = context.ledger.item(str(record.item["pk"]), "key") or {}
    own = str(record.item.get("sequencer") or _sequencer_of_key(record)).upper()
    committed = str(key_item.get("committed", ""))
    newer = [each for each in context.ledger.versions(record.bucket, record.key) if _is_newer(each, record)]
    is_older = bool(own and committed and own.ljust(_SEQUENCER_WIDTH, "0") < committed)
    if is_older or (not own and newer):
        raise CliError(
            f"A newer version of {record.key} was sent: this one would replace it at the partner.",
            hint="Resend the newer one (without --version), or put the older content again.",
            code=ExitCode.CONFLICT,
        )


def _require_in_s3(record: Record) -> None:
    """Refuse a version that was moved or deleted after its delivery.

    Raises:
        CliError: It was; the error says where it is, and how to send it nevertheless.
    """
    if not _is_taken_away(record):
        return
    after = record.item["after"]
    hint = "Put it again: it is a new version, and is delivered."
    if after.get("bucket"):
        version = f"?versionId={after['version_id']}" if after.get("version_id") else ""
        source = shlex.quote(f"{after['bucket']}/{quote(str(after['key']))}{version}")
        hint = (
            "Copy it back under its key, and it is delivered again: aws s3api copy-object --bucket "
            f"{shlex.quote(record.bucket)} --key {shlex.quote(record.key)} --copy-source {source}"
        )
    raise CliError(
        f"{record.key} is no longer there: it was {after_in_words(after)} after its delivery.",
        hint=hint,
        code=ExitCode.CONFLICT,
    )


def _is_taken_away(record: Record) -> bool:
    """Return whether the version was moved or deleted after its delivery, or may have been."""
    after = record.item.get("after")
    if not isinstance(after, Mapping) or record.state != "DELIVERED":
        return False
    return after.get("action") in {"move", "delete"} and after.get("state") in {"copied", "done"}


def _sequencer_of_key(record: Record) -> str:
    sk = str(record.item["sk"])
    return sk.split("#", 2)[2] if sk.startswith("etag#") else ""


def _is_newer(other: Record, than: Record) -> bool:
    return (
        other.state in {"DELIVERED", "COMMITTING", "UNKNOWN"}
        and other.first_seen is not None
        and than.first_seen is not None
        and other.first_seen > than.first_seen
    )


class DeliveredInPeriod:
    """What was delivered in a period: of each key the version that was delivered last in it.

    Attributes:
        count: Versions that are still to be sent.
        size: Their bytes.
        done_before: Versions that were sent with this id before.
        numbered: Of those that are still to be sent, the ones whose last receipt has a number of a sequence.
    """

    def __init__(self, context: Context, period: str, *, prefix: str, bucket: str | None, id_: str) -> None:
        self._ledger = context.ledger
        self._since, self._until = parse_period(period, now=local_now())
        self._prefix = prefix
        self._bucket = bucket
        self._id = id_
        # A short hash of each key: a million of them take about 150 MB.
        last: dict[bytes, str] = {}
        sizes: dict[bytes, int] = {}
        numbered: set[bytes] = set()
        self._taken_away = 0
        for record in self._all():
            if _is_taken_away(record):
                self._taken_away += 1
                continue
            last[_digest(record)] = str(record.item["sk"])
            sizes[_digest(record)] = -1 if was_done(record, id_) else record.size or 0
            (numbered.add if "sequence" in record.receipt else numbered.discard)(_digest(record))
        if self._taken_away:
            context.output.note(
                f"{count_text(self._taken_away, 'object')} of this time cannot be sent again: moved or "
                "deleted after the delivery. `s3-to-sftp receipts KEY` says where each is."
            )
        self._last = last
        self.count = sum(size >= 0 for size in sizes.values())
        self.size = sum(size for size in sizes.values() if size >= 0)
        self.done_before = len(sizes) - self.count
        self.numbered = sum(sizes[each] >= 0 for each in numbered)

    def __call__(self) -> Iterator[Record]:
        """Yield the versions that are still to be sent."""
        for record in self._all():
            if self._last.get(_digest(record)) == record.item["sk"] and not was_done(record, self._id):
                yield record

    def _all(self) -> Iterator[Record]:
        first, last = (time.astimezone(UTC).date() for time in (self._since, self._until))
        for record in self._ledger.delivered(first, last, since=self._since, until=self._until):
            if record.key.startswith(self._prefix) and self._bucket in (None, record.bucket):
                yield record


def was_done(record: Record, id_: str) -> bool:
    """Return whether the function has received the version with the request of this id."""
    return any(action.get("id") == id_ for action in record.operator_actions)


def _digest(record: Record) -> bytes:
    return hashlib.blake2b(str(record.item["pk"]).encode(), digest_size=12).digest()


def parse_period(text: str, *, now: datetime) -> tuple[datetime, datetime]:
    """Return begin and end of a period, written FROM..TO; without TO it ends now. A day as TO is included.

    Raises:
        CliError: It cannot be read, begins in the future, ends before it begins, or is empty.
    """
    begin, dots, end = text.partition("..")
    if not dots or not begin:
        raise CliError(
            f"{text!r} is not a period.",
            hint="Write FROM..TO, e.g. 2026-11-22..2026-11-28, 06:00..08:30, or 2h.. (until now).",
            code=ExitCode.USAGE,
        )
    since = parse_past(begin, now=now)
    until = parse_past(end, now=now) if end else now
    if end and _is_day(end):
        until = min(until + timedelta(days=1), now)
    if until <= since:
        if f"{since:%Y-%m-%d %H:%M}" == f"{until:%Y-%m-%d %H:%M}":
            raise CliError(
                f"The period is empty: it begins and ends at {since:%Y-%m-%d %H:%M}.",
                hint="Write an earlier time first, and a later one as its end.",
                code=ExitCode.USAGE,
            )
        raise CliError(
            f"The period ends before it begins: {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M}.",
            hint="Write the earlier time first.",
            code=ExitCode.USAGE,
        )
    return since, until


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text.strip())
    except ValueError:
        return False
    return True


class WaitingVersions:
    """What can be tried now, in bounded memory.

    Attributes:
        count: Versions.
        size: Their bytes, as far as they are known.
        done_before: Versions that the function has received with this id; those of all that wait, or the one.
        one: The version that was named; None: all that wait are meant.
    """

    def __init__(
        self,
        context: Context,
        key: str | None,
        *,
        bucket: str | None,
        version: str | None,
        now: float,
        id_: str,
    ) -> None:
        """Look at the ledger.

        Args:
            context: The delivery.
            key: One object; None: all that wait.
            bucket: Of the objects; None: any.
            version: Of the one object; None: the latest.
            now: Seconds since 1970.
            id_: Of the request: what was tried with it is left out.

        Raises:
            CliError: The named object does not wait.
        """
        self._ledger = context.ledger
        self._bucket = bucket
        self._now = now
        self._id = id_
        self.one: Record | None = None
        if key is not None:
            self.one = find_version(context, key, bucket=bucket, version=version)
            if not was_done(self.one, id_):
                if self.one.state not in IN_FLIGHT_STATES:
                    raise wrong_state(self.one, "it does not wait for an attempt")
                require_not_being_sent(self.one, now=now)
        self.count = self.size = self.done_before = 0
        for record in self._all():
            if was_done(record, id_):
                self.done_before += 1
            else:
                self.count += 1
                self.size += record.size or 0

    def __call__(self) -> Iterator[Record]:
        """Yield them, the oldest first."""
        return (record for record in self._all() if not was_done(record, self._id))

    def _all(self) -> Iterator[Record]:
        if self.one is not None:
            yield self.one
            return
        for record in self._ledger.in_flight():
            if not record.is_being_sent(self._now) and self._bucket in (None, record.bucket):
                yield record


def require_not_being_sent(record: Record, *, now: float) -> None:
    """Refuse a version of which an invocation holds the lease at this time (seconds since 1970).

    Raises:
        CliError: One does.
    """
    if record.is_being_sent(now):
        raise CliError(
            f"{record.key} is being sent now, by {record.owner}.",
            hint=f"Wait until that is over, in {in_words(record.lease_until - now)} at the latest "
            "(`s3-to-sftp status` shows how far it is).",
            code=ExitCode.CONFLICT,
        )


def wrong_state(record: Record, but: str) -> CliError:
    """Return the error for a version whose state does not allow a command.

    Args:
        record: The version.
        but: What is not possible.
    """
    named, key = printable(record.key), typed_object(record)
    hints = {
        "DELIVERED": f"`s3-to-sftp resend {key} --reason TEXT` sends it again.",
        "FAILED": f"It is dead-lettered: `s3-to-sftp redrive --key {typed_pattern(record)}` sends it back to "
        "the queue.",
        "UNKNOWN": f"Ask the partner whether it has arrived, then `s3-to-sftp confirm {key} --reason TEXT` "
        f"or `s3-to-sftp resend {key} --reason TEXT`.",
        "CANCELLED": f"`s3-to-sftp resend {key} --reason TEXT` sends it after all.",
        "SKIPPED": "The rules say not to send it then; "
        f"`s3-to-sftp resend {key} --reason TEXT` tries it again.",
        "GONE": "It was deleted from the bucket before it was sent: put it again.",
        "SUPERSEDED": "A newer version of the key was sent instead.",
    }
    hint = hints.get(record.state, f"It is waiting for its delivery; `s3-to-sftp retry {key}` tries it now.")
    reason = f" ({record.reason})" if record.reason else ""
    return CliError(f"{named} is {record.state}{reason}: {but}.", hint=hint, code=ExitCode.CONFLICT)
