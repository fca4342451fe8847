"""Counts what DynamoDB charges for writes, by the rules that AWS publishes.

- Sizes: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
- A unit for each begun KB, of the larger of the item before and after an update; two in a transaction; a
  condition that fails costs the item that is there:
  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
- An index: a write to enter, change or leave it, two where its key changes:
  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from s3_to_sftp.state.attributes import Item

INDEX_KEYS = ("status", "status_at")
"""Of `by-status`, which projects all attributes."""

Key = tuple[str, str]


def size_of(item: Item) -> int:
    """Bytes of an item."""
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _size(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            digits = content.lstrip("-").replace(".", "").strip("0")
            return math.ceil(len(digits) / 2) + 1
        case "BOOL" | "NULL":
            return 1
        case "L":
            return 3 + sum(1 + _size(each) for each in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _size(each) for name, each in content.items())
    raise AssertionError(kind)


def units_of(*items: Item) -> int:
    """Write units of the largest of these items; one where there is none."""
    return max(1, *(math.ceil(size_of(item) / 1024) for item in items))


def index_units(before: Item, after: Item) -> int:
    """Write units of the index for a change of an item."""
    was, now = ({name: item[name] for name in INDEX_KEYS if name in item} for item in (before, after))
    leaves, enters = len(was) == len(INDEX_KEYS), len(now) == len(INDEX_KEYS)
    if leaves and enters and was == now:
        return units_of(before, after) if before != after else 0
    return (units_of(before) if leaves else 0) + (units_of(after) if enters else 0)


@dataclass
class WriteUnits:
    """What was consumed.

    Attributes:
        table: Units of the table.
        index: Units of the index.
        requests: How many writes were asked for.
        reads: How many items were read.
        largest: Bytes of the largest item that was written.
    """

    table: int = 0
    index: int = 0
    requests: int = 0
    reads: int = 0
    largest: int = 0
    sizes: list[int] = field(default_factory=list)

    @property
    def sum(self) -> int:
        return self.table + self.index


class MeteredClient:
    """A DynamoDB client that counts; for one thread.

    Attributes:
        units: So far.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.units = WriteUnits()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_item(self, **request: Any) -> Any:
        self.units.reads += 1
        return self._client.get_item(**request)

    def put_item(self, **request: Any) -> Any:
        key = {name: request["Item"][name] for name in ("pk", "sk")}
        with self._counted([key], request["TableName"], factor=1):
            return self._client.put_item(**request)

    def update_item(self, **request: Any) -> Any:
        with self._counted([request["Key"]], request["TableName"], factor=1):
            return self._client.update_item(**request)

    def transact_write_items(self, **request: Any) -> Any:
        updates = [each["Update"] for each in request["TransactItems"]]
        with self._counted([each["Key"] for each in updates], updates[0]["TableName"], factor=2):
            return self._client.transact_write_items(**request)

    @contextmanager
    def _counted(self, keys: list[Any], table: str, *, factor: int) -> Iterator[None]:
        self.units.requests += 1
        before = [self._item(table, key) for key in keys]
        try:
            yield
        except ClientError:
            self.units.table += factor * sum(units_of(item) for item in before)
            raise
        after = [self._item(table, key) for key in keys]
        for was, now in zip(before, after, strict=True):
            self.units.table += factor * units_of(was, now)
            self.units.index += index_units(was, now)
            self.units.sizes.append(max(size_of(was), size_of(now)))
        self.units.largest = max(self.units.sizes)

    def _item(self, table: str, key: Any) -> Item:
        answer = self._client.get_item(TableName=table, Key=key, ConsistentRead=True)
        item: Item = answer.get("Item", {})
        return item
