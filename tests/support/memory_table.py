"""The ledger's table without DynamoDB: a hundred times faster, with the same semantics for the ledger."""

from __future__ import annotations

import copy
from typing import Any

from s3_to_sftp.state.attributes import Item, to_attribute
from s3_to_sftp.state.table import Table
from s3_to_sftp.state.update_expression import Change, Path
from tests.support.ledger_environment import TABLE


class MemoryTable(Table):
    """Items in a dictionary, by partition key and sort key."""

    def __init__(self) -> None:
        super().__init__(None, TABLE, kept_for_seconds=0, clock=lambda: 0)
        self.items: dict[tuple[str, str], dict[str, Any]] = {}

    def read(self, pk: str, sk: str) -> Item | None:
        return copy.deepcopy(self.items.get((pk, sk)))

    def write(self, *changes: Change) -> dict[int, Item | None]:
        refused: dict[int, Item | None] = {
            position: self.items.get((change.pk, change.sk))
            for position, change in enumerate(changes)
            if not all(self._holds(change, name, value) for name, value in change.expected.items())
        }
        if not refused:
            for change in changes:
                self._make(change)
        return refused

    def put(self, pk: str, sk: str, attributes: Item, *, expected_revision: int) -> bool:
        there = self.items.get((pk, sk))
        if expected_revision != (int(there["revision"]["N"]) if there else 0):
            return False
        self.items[pk, sk] = {
            "pk": to_attribute(pk),
            "sk": to_attribute(sk),
            **copy.deepcopy(dict(attributes)),
        }
        return True

    def _holds(self, change: Change, path: Path, value: object) -> bool:
        item = self.items.get((change.pk, change.sk), {})
        if isinstance(path, tuple):
            item, path = item.get(path[0], {}).get("M", {}), path[1]
        allowed = value if isinstance(value, tuple) else (value,)
        return any(item.get(path) == (None if one is None else to_attribute(one)) for one in allowed)

    def _make(self, change: Change) -> None:
        fresh = {"pk": to_attribute(change.pk), "sk": to_attribute(change.sk), "revision": to_attribute(0)}
        item = self.items.setdefault((change.pk, change.sk), fresh)
        item["revision"] = to_attribute(int(item["revision"]["N"]) + 1)
        for path, value in change.put.items():
            place, name = _place(item, path)
            place[name] = to_attribute(value)
        for path in set(change.remove):
            place, name = _place(item, path)
            place.pop(name, None)


def _place(item: dict[str, Any], path: Path) -> tuple[dict[str, Any], str]:
    return (item, path) if isinstance(path, str) else (item[path[0]]["M"], path[1])
