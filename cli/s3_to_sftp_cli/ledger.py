"""Reads the ledger: what became of each object version. Nothing here writes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from s3_to_sftp.state.items import KEY
from s3_to_sftp.state.key_item import IN_COMMIT

IN_FLIGHT = "IN_FLIGHT"
FINAL_STATES = ("FAILED", "UNKNOWN", "SUPERSEDED", "GONE", "SKIPPED", "CANCELLED")
_PREFIX = "object#"
_LONGEST_KEPT = timedelta(seconds=10**9, days=30)
"""`RECEIPTS_FOR_SECONDS` is no longer; DynamoDB removes within days what has expired."""
_MOST_READS = 5
"""Another one is needed each time that a record moves meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One object version in the ledger.

    Attributes:
        bucket: Of the object.
        key: Of the object.
        version: Its VersionId; empty in a bucket without versions.
        state: `WAITING`, `SENDING`, `STAGED`, `COMMITTING`, `DELIVERED`, `FAILED`, `SUPERSEDED`, `GONE`,
            `UNKNOWN`, `SKIPPED` or `CANCELLED`.
        attempts: Leases granted so far.
        remote_path: Final name at the partner, as far as it is known.
        reason: Why it is in this state.
        hint: What a person can do about it.
        error: Class of the last error.
        operation: What the server refused (`create`, `rename` ...), where it refused.
        sftp_status: The server's status, e.g. `PERMISSION_DENIED`.
        size: Bytes; None: not known.
        first_seen: When the function first saw it.
        changed: When it came into this state (those in flight: when they were first seen).
        next_try: When it is tried next; None: not known.
        owner: Request id of the invocation that sends it now, or did.
        lease_until: Until when that invocation may run.
        progress: Of an upload: `bytes`, `total` and `at` (seconds since 1970).
        receipt: Of the last delivery.
        earlier_receipts: Of those before; `at` (seconds since 1970) is when that delivery was.
        operator_actions: What operators did: `action`, `who`, `at` (seconds since 1970), `reason`.
        item: All attributes; `sk` is the sort key of the version, wherever its record is. What the ledger
            leaves out of `commit` and `temporaries`, since the item says it elsewhere, is written out.
        stored_as: Sort key of the item that holds the record: that of the key, or the version's own.
        was_sent_again: Whether this is an earlier delivery of a version that was sent again since.
        has_newer: Whether commands mean another version of the key unless this one is named.
    """

    bucket: str
    key: str
    version: str
    state: str
    attempts: int
    remote_path: str
    reason: str
    hint: str
    error: str
    operation: str
    sftp_status: str
    size: int | None
    first_seen: datetime | None
    changed: datetime | None
    next_try: float | None
    owner: str | None
    lease_until: float
    progress: Mapping[str, Any]
    receipt: Mapping[str, Any]
    earlier_receipts: tuple[Mapping[str, Any], ...]
    operator_actions: tuple[Mapping[str, Any], ...]
    item: Mapping[str, Any] = field(repr=False)
    stored_as: str = ""
    was_sent_again: bool = False
    has_newer: bool = False

    @property
    def identity(self) -> tuple[str, str, str]:
        """Bucket, key and sort key: the same wherever the record is."""
        return self.bucket, self.key, str(self.item["sk"])

    @property
    def etag(self) -> str:
        """Of the version; empty: not known."""
        sk = str(self.item["sk"])
        return sk.split("#")[1] if sk.startswith("etag#") else str(self.item.get("etag", ""))

    def is_being_sent(self, now: float) -> bool:
        """Return whether an invocation holds the lease at this time (seconds since 1970)."""
        return self.owner is not None and self.lease_until > now


class LedgerReader:
    """The ledger's table, with its index `by-status`.

    Args:
        client: A low-level DynamoDB client; needs `dynamodb:Query` on table and index, `dynamodb:GetItem`.
        table: Name of the table.
    """

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self.table = table

    def item(self, pk: str, sk: str) -> dict[str, Any] | None:
        """Return the attributes of an item; None: there is none.

        Raises:
            ClientError, BotoCoreError: The table refused, or did not answer.
        """
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        answer = self._client.get_item(TableName=self.table, Key=key, ConsistentRead=True)
        return _plain(answer["Item"]) if answer.get("Item") else None

    def versions(self, bucket: str, key: str) -> list[Record]:
        """Return all versions of an object, the one that was seen last first.

        Raises:
            ClientError, BotoCoreError: The table refused, or did not answer.
        """
        pk = f"{_PREFIX}{bucket}/{key}"
        found: dict[str, Record] = {}
        for _ in range(_MOST_READS):
            # A record moves in one transaction, but items are read one after the other. One that leaves the
            # key's item is seen there, since that is read first; one that enters it leaves `moved` behind.
            of_key = self.item(pk, KEY)
            if of_key is None:  # the first version has begun it, and it expires last
                break
            others = self._query(
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": pk}},
                ConsistentRead=True,
            )
            items = [of_key, *others]
            # One that moves meanwhile may be seen twice: what was read last counts.
            read = (_record(item, bucket=bucket) for item in items if _is_version(item))
            found |= {each.item["sk"]: each for each in read}
            if all(item["sk"] in found for item in items if "moved" in item):
                break
        records = list(found.values())
        records.sort(key=lambda each: str(each.item.get("first_seen", "")), reverse=True)
        return [replace(each, has_newer=place > 0) for place, each in enumerate(records)]

    def version(self, pk: str, sk: str) -> Record | None:
        """Return the version with these keys; None: the ledger has none.

        Raises:
            ClientError, BotoCoreError: The table refused, or did not answer.
        """
        bucket, _, key = pk.removeprefix(_PREFIX).partition("/")  # names of buckets have no slash
        return next((each for each in self.versions(bucket, key) if each.item["sk"] == sk), None)

    def listed_keys(self, status: str) -> list[str]:
        """Return the partition keys of the items in a partition of the index `by-status`, in order.

        Raises:
            ClientError, BotoCoreError: The table refused, or did not answer.
        """
        return sorted(str(item["pk"]) for item in self._query(**self._status_query(status)))

    def in_flight(self) -> Iterator[Record]:
        """Yield the versions that have no final state yet, the oldest first."""
        return self._by_status(IN_FLIGHT)

    def in_state(self, state: str, *, since: datetime | None = None) -> Iterator[Record]:
        """Yield the versions with a final state other than DELIVERED, the latest first."""
        return self._by_status(state, since=since, newest_first=True)

    def delivered(
        self, first: date, last: date, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Record]:
        """Yield what was delivered on these days (UTC, both included), in order.

        Args:
            first: The first day.
            last: The last day.
            since: Leave out what was delivered before.
            until: Leave out what was delivered at this time, or later.
        """
        for day in _days(first, last):
            for record in self._by_status(f"DELIVERED#{day.isoformat()}", since=since):
                if until is None or record.changed is None or record.changed < until:
                    yield record

    def sent_again(self, since: datetime, today: date) -> Iterator[Record]:
        """Yield versions that have earlier receipts and no longer the state of then.

        DynamoDB reads all of that time, and returns these.

        Args:
            since: Those that came into their state from then on, and those in flight.
            today: In UTC.
        """
        for day in _days(since.astimezone(UTC).date(), today):
            yield from self._by_status(f"DELIVERED#{day.isoformat()}", since=since, only_sent_again=True)
        for state in FINAL_STATES:
            yield from self._by_status(state, since=since, only_sent_again=True)
        yield from self._by_status(IN_FLIGHT, only_sent_again=True)

    def last_delivered(self, day: date) -> Record | None:
        """Return what was delivered last on this day (UTC); None: nothing was.

        Raises:
            ClientError, BotoCoreError: The table refused, or did not answer.
        """
        request = {**self._status_query(f"DELIVERED#{day.isoformat()}"), "Limit": 1}
        answer = self._client.query(**request, ScanIndexForward=False)
        records = [_record(_plain(item)) for item in answer["Items"]]
        return records[0] if records else None

    def count(self, status: str) -> int:
        """Return how many items are in a partition of the index `by-status`.

        Raises:
            ClientError, BotoCoreError: The table refused, or did not answer.
        """
        total = 0
        request: dict[str, Any] = {**self._status_query(status), "Select": "COUNT"}
        while True:
            answer = self._client.query(**request)
            total += int(answer["Count"])
            if not answer.get("LastEvaluatedKey"):
                return total
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def with_unfinished_action(self, days: Sequence[date], *, most: int) -> tuple[list[Record], bool]:
        """Return deliveries of these days with something left to do in S3, and whether these are all.

        Args:
            days: In UTC, in the order in which they are looked at.
            most: Items that DynamoDB reads at most; of each day the latest ones first.

        Raises:
            ClientError, BotoCoreError: The table refused, or did not answer.
        """
        found: list[Record] = []
        for day in days:
            request = self._status_query(f"DELIVERED#{day.isoformat()}")
            request["ExpressionAttributeNames"] |= {"#after": "after", "#state": "state"}
            request["ExpressionAttributeValues"] |= {":pending": {"S": "pending"}, ":copied": {"S": "copied"}}
            request |= {"FilterExpression": "#after.#state IN (:pending, :copied)", "ScanIndexForward": False}
            while True:
                if most <= 0:
                    return found, False
                answer = self._client.query(**request, Limit=most)
                most -= answer["ScannedCount"]
                found += [_record(item) for item in map(_plain, answer["Items"]) if _is_version(item)]
                if not answer.get("LastEvaluatedKey"):
                    break
                request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        return found, True

    def _by_status(
        self,
        status: str,
        *,
        since: datetime | None = None,
        newest_first: bool = False,
        only_sent_again: bool = False,
    ) -> Iterator[Record]:
        request = self._status_query(status, since=since)
        if only_sent_again:
            request["FilterExpression"] = "attribute_exists(earlier_receipts)"
        items = self._query(**request, ScanIndexForward=not newest_first)
        return (_record(item) for item in items if _is_version(item))

    def _status_query(self, status: str, *, since: datetime | None = None) -> dict[str, Any]:
        request: dict[str, Any] = {
            "TableName": self.table,
            "IndexName": "by-status",
            "KeyConditionExpression": "#s = :s",
            "ExpressionAttributeNames": {"#s": "status"},
            "ExpressionAttributeValues": {":s": {"S": status}},
        }
        if since is not None:
            request["KeyConditionExpression"] += " AND status_at >= :t"
            request["ExpressionAttributeValues"][":t"] = {"S": _instant(since)}
        return request

    def _query(self, **request: Any) -> Iterator[dict[str, Any]]:
        request.setdefault("TableName", self.table)
        while True:
            answer = self._client.query(**request)
            yield from (_plain(item) for item in answer["Items"])
            if not answer.get("LastEvaluatedKey"):
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _days(first: date, last: date) -> Iterator[date]:
    """Yield the days of which there may be something, both ends included: each of them is a request."""
    day = max(first, datetime.now(UTC).date() - _LONGEST_KEPT)
    while day <= last:
        yield day
        day += timedelta(days=1)


def _is_version(item: Mapping[str, Any]) -> bool:
    """Return whether an item holds the record of a version: that of its key, or one of its own."""
    is_key = item["sk"] == KEY and "version" in item
    is_own = str(item["sk"]).startswith(("version#", "etag#")) and "moved" not in item
    return (is_key or is_own) and str(item["pk"]).startswith(_PREFIX)


def _written_out(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item with what the ledger leaves out, and the sort key of its version."""
    commit = item.get("commit")
    if isinstance(commit, Mapping):
        left_out = {
            "remote_path": item.get("remote_path", ""),
            "rename_unanswered": True,
            "is_renamed": False,
        }
        item = {**item, "commit": {**left_out, **commit}}
    if item["sk"] != KEY:
        return item
    names = item.get("temporaries")
    if isinstance(names, Mapping) and isinstance(commit, Mapping) and IN_COMMIT in names:
        entry = {
            "version": item["version"],
            "sequencer": item.get("committed", ""),
            "server": f"{commit['user']}@{commit['host']}:{commit['port']}",
            "kind": "temporary",
            "rename_pending": True,
            **names[IN_COMMIT],
        }
        others = {name: each for name, each in names.items() if name != IN_COMMIT}
        item = {**item, "temporaries": {**others, commit["temporary"]: entry}}
    return {**item, "sk": item["version"]}


def _record(item: dict[str, Any], *, bucket: str | None = None) -> Record:
    stored_as = str(item["sk"])
    item = _written_out(item)
    named = str(item["pk"]).removeprefix(_PREFIX)
    # Names of buckets have no slash.
    bucket = bucket or named.partition("/")[0]
    receipt = item.get("receipt") or {}
    size = item.get("size", receipt.get("bytes"))
    return Record(
        bucket=bucket,
        key=named.removeprefix(f"{bucket}/"),
        version=str(item["sk"]).removeprefix("version#") if str(item["sk"]).startswith("version#") else "",
        state=str(item.get("state", "")),
        attempts=int(item.get("attempts", 0)),
        remote_path=str(receipt.get("remote_path") or item.get("remote_path") or ""),
        reason=str(item.get("reason", "")),
        hint=str(item.get("hint", "")),
        error=str(item.get("error", "")),
        operation=str(item.get("operation", "")),
        sftp_status=str(item.get("sftp_status", "")),
        size=None if size is None else int(size),
        first_seen=_time(item.get("first_seen")),
        changed=_time(item.get("status_at")),
        next_try=None if item.get("next_try") is None else float(item["next_try"]),
        owner=item.get("owner"),
        lease_until=float(item.get("lease_until") or 0),
        progress=item.get("progress") or {},
        receipt=receipt,
        earlier_receipts=tuple(item.get("earlier_receipts") or ()),
        operator_actions=tuple(item.get("operator_actions") or ()),
        item=item,
        stored_as=stored_as,
    )


def _time(text: Any) -> datetime | None:
    return datetime.fromisoformat(str(text)) if text else None


def _instant(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    deserialize = TypeDeserializer().deserialize
    return {name: _number(deserialize(value)) for name, value in item.items()}


def _number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {name: _number(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_number(each) for each in value]
    return value
