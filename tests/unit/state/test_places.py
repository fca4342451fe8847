"""The record of a version is in the item of its key, or in one of its own: in one of them, and whole."""

from __future__ import annotations

from typing import Any

import pytest

from s3_to_sftp.errors import LedgerError
from s3_to_sftp.outcomes import AlreadyDelivered, CircuitOpen, LeaseHeld, Superseded
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.attributes import Item
from s3_to_sftp.state.items import KEY, partition_key, read_version, version_key
from s3_to_sftp.state.key_item import IN_COMMIT
from s3_to_sftp.state.places import find_record
from s3_to_sftp.state.remote_names import NameKind, RemoteName
from s3_to_sftp.state.table import Table
from tests.support.ledger_environment import (
    TABLE,
    FaultyClient,
    LedgerEnvironment,
    commit_of,
    ref,
)

OLD, NEW, UNORDERED = ref("0A"), ref("0B"), ref(None)
OF_ITEM = {"pk", "sk", "revision", "version", "write_id", "moved"}
OF_KEY = {"committed", "committed_path", "modified", "temporaries", "leftovers"}


def record(env: LedgerEnvironment, version: ObjectRef) -> Item:
    """What belongs to the version, wherever it is."""
    return {name: value for name, value in env.item(version).items() if name not in OF_ITEM | OF_KEY}


def own_item(env: LedgerEnvironment, version: ObjectRef) -> Item:
    key = {"pk": {"S": partition_key(version)}, "sk": {"S": version_key(version)}}
    item: Item = env.dynamodb.get_item(TableName=TABLE, Key=key).get("Item", {})
    return item


def statuses(env: LedgerEnvironment) -> list[tuple[str, str]]:
    """What the index lists: version and status."""
    items = env.dynamodb.scan(TableName=TABLE, IndexName="by-status")["Items"]
    return sorted((item.get("version", item["sk"])["S"], item["status"]["S"]) for item in items)


# Moves


def test_first_version_of_a_key_has_no_item_of_its_own(env: LedgerEnvironment) -> None:
    env.deliver(OLD)
    assert env.key_item(OLD)["version"] == {"S": "version#v0A"}
    assert own_item(env, OLD) == {}


def test_record_moves_out_when_another_version_is_leased(env: LedgerEnvironment) -> None:
    env.deliver(OLD)
    before = record(env, OLD)
    env.clock.now += 60
    env.lease(NEW)
    assert record(env, OLD) == before
    assert own_item(env, OLD)["sk"] == {"S": "version#v0A"}
    assert statuses(env) == [("version#v0A", "DELIVERED#2026-11-23"), ("version#v0B", "IN_FLIGHT")]
    kept = OF_KEY | OF_ITEM | {"owner", "lease_until", "attempts", "state", "status", "status_at"}
    assert set(env.key_item(NEW)) - kept == {"remote_path", "first_seen", "etag", "sequencer", "expires"}


def test_record_moves_back_when_its_version_is_leased_again(env: LedgerEnvironment) -> None:
    ledger = env.function()
    first = env.lease(OLD, ledger)
    ledger.release(first, reason="cut")
    ledger.release(env.lease(NEW, ledger), reason="cut, too")
    before = record(env, NEW)
    again = env.lease(OLD, ledger)
    assert (again.attempt, env.item(OLD)["reason"]) == (2, {"S": "cut"})
    assert set(own_item(env, OLD)) == {"pk", "sk", "revision", "expires", "moved"}
    assert record(env, NEW) == before
    assert statuses(env) == [
        ("leftovers", "LEFTOVERS"), ("version#v0A", "IN_FLIGHT"), ("version#v0B", "IN_FLIGHT"),
    ]  # fmt: skip
    ledger.release(again, reason="cut")
    assert env.lease(NEW, ledger).attempt == 2
    assert "moved" not in own_item(env, OLD)


def test_redelivered_message_of_a_version_that_has_moved_out_is_recognised(env: LedgerEnvironment) -> None:
    for version in (OLD, UNORDERED, NEW):
        env.deliver(version)
    before = [dict(env.item(version)) for version in (OLD, UNORDERED, NEW)]
    for version in (OLD, UNORDERED, NEW):
        with pytest.raises(AlreadyDelivered):
            env.lease(version)
    assert [dict(env.item(version)) for version in (OLD, UNORDERED, NEW)] == before


def test_late_event_of_an_older_version_has_an_item_of_its_own(
    env: LedgerEnvironment,
) -> None:
    env.deliver(NEW)
    before = record(env, NEW)
    with pytest.raises(Superseded):
        env.lease(OLD)
    assert own_item(env, OLD)["state"] == {"S": "SUPERSEDED"}
    assert {**record(env, NEW), "expires": None} == {**before, "expires": None}


def test_version_that_waits_behind_another_one_has_an_item_of_its_own(env: LedgerEnvironment) -> None:
    lease = env.lease(OLD)
    with pytest.raises(LeaseHeld) as held:
        env.lease(NEW)
    env.function().note_deferred(NEW, held.value, next_try=env.clock.now + 60, was_tried=False)
    assert own_item(env, NEW)["state"] == {"S": "WAITING"}
    env.function().note_names(lease)  # its lease is as it was
    env.function().release(lease, reason="r")
    assert env.lease(NEW).attempt == 1
    assert own_item(env, NEW)["moved"] == {"BOOL": True}


@pytest.mark.parametrize("write", ["note_deferred", "record_outcome"])
def test_record_that_moves_meanwhile_is_not_made_twice(env: LedgerEnvironment, write: str) -> None:
    """Between the look at the key's item and the write, another function leases the version itself."""
    env.deliver(UNORDERED)

    def leases() -> None:
        env.lease(NEW, env.function("faster"))

    ledger = env.function(client=FaultyClient(env.dynamodb, [None, leases]))
    if write == "note_deferred":
        waits = CircuitOpen("r", hint="h", retry_after=1)
        ledger.note_deferred(NEW, waits, next_try=1, was_tried=False)
    else:
        with pytest.raises(LeaseHeld):
            ledger.record_outcome(NEW, state="FAILED", reason="r", hint="h")
    assert (own_item(env, NEW), env.state(NEW)) == ({}, "SENDING")


def test_version_that_is_leased_meanwhile_by_another_function_is_refused(env: LedgerEnvironment) -> None:
    env.deliver(OLD)
    faults: list[Any] = [None, lambda: env.lease(UNORDERED, env.function("faster")) and None]
    with pytest.raises(LeaseHeld, match="by faster"):
        env.lease(NEW, env.function(client=FaultyClient(env.dynamodb, faults)))
    assert env.item(NEW) == {}


def test_operators_change_of_a_record_outside_is_not_lost_when_it_moves_in(env: LedgerEnvironment) -> None:
    ledger = env.function()
    ledger.release(env.lease(UNORDERED, ledger), reason="r")
    env.deliver(OLD)

    def cancels() -> None:
        item = own_item(env, UNORDERED)
        revision = {"N": str(int(item["revision"]["N"]) + 1)}
        env.dynamodb.put_item(
            TableName=TABLE, Item={**item, "state": {"S": "CANCELLED"}, "revision": revision}
        )

    client = FaultyClient(env.dynamodb, [None, cancels])
    with pytest.raises(Exception, match="was cancelled"):
        env.lease(UNORDERED, env.function(client=client))
    assert env.state(UNORDERED) == "CANCELLED"


def test_record_that_dynamodb_should_have_deleted_stops_no_newer_version(env: LedgerEnvironment) -> None:
    """DynamoDB deletes what has expired in any order, within days."""
    env.deliver(OLD)
    env.deliver(NEW)
    env.delete(OLD, KEY)
    env.deliver(OLD)
    assert env.lease(NEW).attempt == 1
    assert env.state(OLD) == "DELIVERED"


# Finding


def test_record_is_found_where_it_is(env: LedgerEnvironment) -> None:
    table = Table(env.dynamodb, TABLE)
    assert find_record(table, partition_key(OLD), version_key(OLD)) is None
    env.deliver(OLD)
    env.deliver(NEW)
    for version in (OLD, NEW):
        found = find_record(table, partition_key(version), version_key(version))
        assert found == env.item(version)
        assert found is not None
        assert read_version(found).stored_as == found["sk"]["S"]
    assert find_record(table, partition_key(OLD), version_key(UNORDERED)) is None


class MovingClient:
    """Lets a record move into the key's item after that was read."""

    def __init__(self, env: LedgerEnvironment, *, moves: bool) -> None:
        self._env = env
        self._moves = moves

    def get_item(self, **request: Any) -> Any:
        answer = self._env.dynamodb.get_item(**request)
        if request["Key"]["sk"]["S"] == KEY and self._moves:
            self._moves = False
            self._env.lease(UNORDERED)
        return answer


def test_record_that_moves_between_two_reads_is_found(env: LedgerEnvironment) -> None:
    ledger = env.function()
    ledger.release(env.lease(UNORDERED, ledger), reason="r")
    env.deliver(OLD)
    table = Table(MovingClient(env, moves=True), TABLE)
    found = find_record(table, partition_key(UNORDERED), version_key(UNORDERED))
    assert found == env.key_item(UNORDERED)


def test_record_that_is_never_where_it_should_be_is_an_error_that_passes(env: LedgerEnvironment) -> None:
    env.deliver(OLD)
    item = {"pk": {"S": partition_key(OLD)}, "sk": {"S": version_key(NEW)}, "moved": {"BOOL": True}}
    env.dynamodb.put_item(TableName=TABLE, Item=item)
    with pytest.raises(LedgerError, match="was not found"):
        find_record(Table(env.dynamodb, TABLE), partition_key(OLD), version_key(NEW))


# Names that a commit tells


def test_commit_tells_its_temporary_name_and_nothing_is_lost(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger, account="us@sftp.example:22")
    commit = commit_of(lease)
    ledger.commit(lease, commit)
    assert set(env.key_item(NEW)["temporaries"]["M"]) == {IN_COMMIT}
    env.all_leases_expire()
    again = env.lease(ref("0C"))
    assert again.names.get(lease.temporary) == lease.names.get(lease.temporary)
    assert set(env.key_item(NEW)["temporaries"]["M"]) == {lease.temporary, again.temporary}
    assert read_version(env.item(NEW)).commit == commit


@pytest.mark.parametrize(
    "about",
    [{"sequencer": ""}, {"kind": NameKind.FINAL}, {"version": "version#other"}],
    ids=["no sequencer", "final", "of another version"],
)
def test_name_that_a_commit_does_not_tell_is_written_out(env: LedgerEnvironment, about: Any) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    known = {"version": "version#v0B", "sequencer": NEW.padded_sequencer, "since": 5, **about}
    lease.names.put(lease.temporary, RemoteName(**known))
    ledger.commit(lease, commit_of(lease))
    assert set(env.key_item(NEW)["temporaries"]["M"]) == {lease.temporary}
    env.all_leases_expire()
    assert env.lease(ref("0C")).names.get(lease.temporary) == lease.names.get(lease.temporary)
