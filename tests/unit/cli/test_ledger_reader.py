"""The command reads items one after the other, while functions move records between them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp_cli.ledger import LedgerReader
from tests.support.cli import BUCKET, CliEnvironment
from tests.support.ledger_environment import ref

KEY = "a.csv"


class Moving:
    """A DynamoDB client whose query reads one item after the other, with a write in between.

    Args:
        client: Of the table.
        item: Before this item (a number) of the first query the write happens.
        write: The write.
    """

    def __init__(self, client: Any, item: int, write: Callable[[], None]) -> None:
        self._client = client
        self._item = item
        self._write: Callable[[], None] | None = write

    def get_item(self, **request: Any) -> Any:
        return self._client.get_item(**request)

    def query(self, **request: Any) -> Any:
        before = self._client.query(**request)
        if self._write is None:
            return before
        self._write()
        self._write = None
        after = self._client.query(**request)
        keys = [item["sk"]["S"] for item in before["Items"]]
        last = ["", *keys][min(self._item, len(keys))]
        read = [item for item in before["Items"] if item["sk"]["S"] <= last]
        return {"Items": [*read, *(item for item in after["Items"] if item["sk"]["S"] > last)]}


@pytest.mark.parametrize("is_versioned", [True, False], ids=["versioned", "unversioned"])
@pytest.mark.parametrize("moves", ["in", "out", "out again"])
@pytest.mark.parametrize("item", range(4))
def test_record_that_moves_meanwhile_is_read(
    cli: CliEnvironment, item: int, moves: str, *, is_versioned: bool
) -> None:
    about = {} if is_versioned else {"version_id": None}
    first, second, third = (ref(sequencer, key=KEY, **about) for sequencer in ("0A", "0B", "0C"))
    ledger = cli.ledger.function()

    def lease(version: ObjectRef) -> None:
        ledger.release(cli.ledger.lease(version, ledger), reason="")

    lease(first)
    if moves != "out":
        lease(second)
    if moves == "out again":
        lease(first)
    known = {first} if moves == "out" else {first, second}
    client = cli.aws.client("dynamodb")
    moving = Moving(client, item, lambda: lease(first if moves == "in" else third))
    read = LedgerReader(moving, cli.ledger.table).versions(BUCKET, KEY)
    sequencers = [each.item["sequencer"] for each in read]
    assert {each.sequencer for each in known} <= {*sequencers}
    assert len(sequencers) == len({*sequencers})


class EmptyTable:
    """Answers queries of a DynamoDB client, and counts them."""

    count = 0

    def query(self, **_request: Any) -> Any:
        self.count += 1
        return {"Items": []}


def test_days_of_which_nothing_can_be_kept_are_not_queried() -> None:
    """A mistyped year must not send a request for each day since then."""
    client = EmptyTable()
    reader = LedgerReader(client, "Ledger")
    today = datetime.now(UTC).date()
    assert list(reader.delivered(date(1, 1, 1), today)) == []
    assert 11_574 <= client.count < 11_700
    before = client.count
    assert list(reader.delivered(date(1, 1, 1), date(1, 1, 31))) == []
    assert client.count == before
    assert list(reader.sent_again(datetime(1, 2, 1, tzinfo=UTC), today)) == []
    assert client.count - before < 11_700
