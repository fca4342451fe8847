"""A ledger's table as the construct makes it, functions that use it, and a clock that tests set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.state.attributes import Item
from s3_to_sftp.state.dynamodb_ledger import DynamoLedger
from s3_to_sftp.state.items import KEY, partition_key, version_key
from s3_to_sftp.state.key_item import read_key
from s3_to_sftp.state.ledger import Commit, Lease, Ledger

TABLE = "ledger"
START = 1_795_392_000.0  # 2026-11-23
DAY = "2026-11-23"
LEASE_SECONDS = 900.0
RECEIPTS_FOR = 400 * 86_400
SERVER = ServerIdentity(host="sftp.example", port=22, user="us", host_key="SHA256:one")


def record_in(items: Mapping[tuple[str, str], Item], version: ObjectRef) -> Item | None:
    """The item that holds the record of a version: that of its key, or its own; None: there is none."""
    pk, sk = partition_key(version), version_key(version)
    key, own = items.get((pk, KEY)), items.get((pk, sk))
    if key is not None and key.get("version") == {"S": sk}:
        return key
    return own if own and "moved" not in own else None


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def create_table(client: Any, name: str = TABLE) -> None:
    attributes = ("pk", "sk", "status", "status_at")
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in attributes],
        KeySchema=_keys("pk", "sk"),
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-status",
                "KeySchema": _keys("status", "status_at"),
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )


def _keys(partition: str, sort: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": sort, "KeyType": "RANGE"},
    ]


def ref(sequencer: str | None = "0A", *, key: str = "in/a.csv", **about: Any) -> ObjectRef:
    """One version of an object; its version id follows from the sequencer."""
    return ObjectRef(
        bucket=about.pop("bucket", "bucket"),
        key=key,
        version_id=about.pop("version_id", f"v{sequencer}"),
        etag=about.pop("etag", "e"),
        sequencer=sequencer,
        **about,
    )


def commit_of(lease: Lease, **about: Any) -> Commit:
    """A complete file under the name of the lease."""
    return Commit(
        temporary=about.pop("temporary", lease.temporary),
        remote_path=about.pop("remote_path", lease.remote_path),
        size=about.pop("size", 7),
        modified=about.pop("modified", 1_000),
        server=about.pop("server", SERVER),
        **about,
    )


class NamedLedger(DynamoLedger):
    """That of one function, whose name the leases have."""

    def __init__(self, name: str, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.name = name

    def acquire(self, ref: ObjectRef, *, owner: str = "", **about: Any) -> Lease:
        """Take the version, by default in the name of the function."""
        return super().acquire(ref, owner=owner or self.name, **about)


class LedgerEnvironment:
    """The table, the time, and as many functions as a test wants."""

    def __init__(self, client: Any, table: str = TABLE) -> None:
        self.dynamodb = client
        self.table = table
        self.clock = Clock()
        self.pauses: list[float] = []
        self._temporaries = 0

    def function(self, name: str = "f", client: Any = None) -> DynamoLedger:
        """The ledger as one function sees it."""
        return NamedLedger(
            name,
            client or self.dynamodb,
            self.table,
            receipts_for_seconds=RECEIPTS_FOR,
            clock=self.clock,
            sleep=self.pauses.append,
        )

    def lease(self, version: ObjectRef, ledger: Ledger | None = None, **about: Any) -> Lease:
        """A lease under a temporary name of its own."""
        self._temporaries += 1
        arguments = {
            "remote_path": f"out/{version.key}",
            "temporary": f"out/.{self._temporaries}.part",
            "until": self.clock.now + LEASE_SECONDS,
            **about,
        }
        return (ledger or self.function()).acquire(version, **arguments)

    def deliver(self, version: ObjectRef) -> Lease:
        ledger = self.function()
        lease = self.lease(version, ledger)
        ledger.commit(lease, commit_of(lease))
        lease.names.remove(lease.temporary)  # it has its final name
        ledger.delivered(lease, {"bytes": 1})
        return lease

    def all_leases_expire(self) -> None:
        self.clock.now += LEASE_SECONDS

    def item(self, version: ObjectRef) -> Item:
        """The item that holds the record of the version; empty: there is none."""
        there = {(partition_key(version), sk): self._item(version, sk) for sk in (KEY, version_key(version))}
        return record_in(there, version) or {}

    def key_item(self, version: ObjectRef) -> Item:
        return self._item(version, KEY)

    def delete(self, version: ObjectRef, sk: str) -> None:
        key = {"pk": {"S": partition_key(version)}, "sk": {"S": sk}}
        self.dynamodb.delete_item(TableName=self.table, Key=key)

    def names(self, version: ObjectRef) -> set[str]:
        """What the ledger takes to stand at the partner."""
        return set(read_key(self.key_item(version)).names)

    def state(self, version: ObjectRef) -> str:
        return str(self.item(version)["state"]["S"])

    def write(self, version: ObjectRef, name: str, value: Mapping[str, Any] | None, *, sk: str = "") -> None:
        """What a person can do to an item: set one attribute, or remove it."""
        item = dict(self._item(version, sk) if sk else self.item(version))
        item.pop(name, None)
        self.dynamodb.put_item(TableName=self.table, Item={**item, **({name: value} if value else {})})

    def with_status(self, status: str) -> list[Item]:
        """What the index answers, oldest first.

        `sk` is the sort key of the version whose record an item holds, wherever that is.
        """
        answer = self.dynamodb.query(
            TableName=self.table,
            IndexName="by-status",
            KeyConditionExpression="#status = :status",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":status": {"S": status}},
        )
        return [{**item, "sk": item.get("version", item["sk"])} for item in answer["Items"]]

    def _item(self, version: ObjectRef, sk: str) -> Item:
        key = {"pk": {"S": partition_key(version)}, "sk": {"S": sk}}
        answer = self.dynamodb.get_item(TableName=self.table, Key=key, ConsistentRead=True)
        return dict(answer.get("Item", {}))


class FaultyClient:
    """A DynamoDB client that meets faults, one per write, in this order; None is none.

    A fault is called before the write, and may raise. A lost answer follows one that was made.
    """

    def __init__(self, client: Any, faults: list[Callable[[], None] | None] | None = None) -> None:
        self._client = client
        self.faults = faults or []
        self.lost_answers: list[Exception] = []
        self.writes = 0
        self.reads = 0

    def get_item(self, **request: Any) -> Any:
        self.reads += 1
        return self._client.get_item(**request)

    def update_item(self, **request: Any) -> Any:
        return self._write(self._client.update_item, request)

    def transact_write_items(self, **request: Any) -> Any:
        return self._write(self._client.transact_write_items, request)

    def _write(self, write: Callable[..., Any], request: Any) -> Any:
        self.writes += 1
        if self.faults and (fault := self.faults.pop(0)) is not None:
            fault()
        answer = write(**request)
        if self.lost_answers:
            raise self.lost_answers.pop(0)
        return answer


def raising(error: Exception) -> Callable[[], None]:
    def fault() -> None:
        raise error

    return fault


def refused(code: str, *reasons: str) -> ClientError:
    """What botocore raises for an error answer of DynamoDB."""
    answer: dict[str, Any] = {"Error": {"Code": code, "Message": f"AWS says {code}"}}
    if reasons:
        answer["CancellationReasons"] = [{"Code": reason} for reason in reasons]
    return ClientError(answer, "TransactWriteItems")  # type: ignore[arg-type] # the stubs want every field
