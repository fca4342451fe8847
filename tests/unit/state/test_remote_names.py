"""Every file that may exist at the server is in the ledger until it is known to be gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from s3_to_sftp.errors import Disposition, LedgerError
from s3_to_sftp.state.items import KEY, LEFTOVERS_LIST
from s3_to_sftp.state.ledger import Checkpoint, Lease, Ledger
from s3_to_sftp.state.remote_names import NameKind, RemoteName, RemoteNames
from tests.support.ledger_environment import (
    SERVER,
    START,
    LedgerEnvironment,
    commit_of,
    ref,
)

OLD, NEW = ref("0A"), ref("0B")
ENTRY = RemoteName(version="version#v0B", sequencer=NEW.padded_sequencer, since=int(START))
ASIDE = RemoteName(
    version="version#v0B", sequencer="", server="us@sftp.example:22", kind=NameKind.ASIDE, rename_pending=True
)


# The names of a lease


def test_names_are_the_given_ones_and_the_added_ones() -> None:
    names = RemoteNames({"a": ENTRY})
    names.put("b", ASIDE)
    assert (list(names), len(names), "b" in names, "c" in names) == (["a", "b"], 2, True, False)
    assert (names.get("b"), names.get("c")) == (ASIDE, None)
    assert dict(names.items()) == {"a": ENTRY, "b": ASIDE}


def test_resolved_rename_keeps_the_name_without_a_pending_rename() -> None:
    names = RemoteNames({"a": ASIDE, "b": ASIDE})
    names.rename_resolved("a")
    names.rename_resolved("b", kind=NameKind.BLOCKER)
    names.rename_resolved("c")
    assert {name: (entry.kind, entry.rename_pending) for name, entry in names.items()} == {
        "a": (NameKind.ASIDE, False),
        "b": (NameKind.BLOCKER, False),
    }


def test_names_can_be_removed_during_iteration() -> None:
    names = RemoteNames({"a": ENTRY, "b": ENTRY})
    for name in names:
        names.remove(name)
    names.put("a", ENTRY)
    for name, entry in names.items():
        names.put(f"{name}2", entry)
        names.remove(name)
    names.remove("a2")
    assert len(names) == 0


# Names in the ledger


def checkpoint_of(lease: Lease) -> Checkpoint:
    return Checkpoint(
        temporary=lease.temporary, offset=5, algorithm="CRC32", crc=1, rounds_without_progress=0, etag="e"
    )


def fail(ledger: Ledger, lease: Lease) -> None:
    ledger.record_outcome(lease.ref, state="FAILED", reason="r", hint="h", lease=lease)


EVERY_WRITE = pytest.mark.parametrize(
    "write",
    [
        lambda ledger, lease: ledger.note_names(lease),
        lambda ledger, lease: ledger.start_over(lease, temporary="out/.fresh"),
        lambda ledger, lease: ledger.commit(lease, commit_of(lease)),
        lambda ledger, lease: ledger.stage(lease, commit_of(lease), reason="r"),
        lambda ledger, lease: ledger.checkpoint(lease, checkpoint_of(lease)),
        lambda ledger, lease: ledger.release(lease, reason="r"),
        fail,
        lambda ledger, lease: [
            ledger.commit(lease, commit_of(lease)),
            lease.names.remove("gone"),
            lease.names.put("kept", ASIDE),
            ledger.delivered(lease, {}),
        ],
    ],
    ids=[
        "note_names",
        "start_over",
        "commit",
        "stage",
        "checkpoint",
        "release",
        "record_outcome",
        "delivered",
    ],
)


@EVERY_WRITE
def test_every_write_includes_the_changed_names(
    env: LedgerEnvironment, write: Callable[[Ledger, Lease], object]
) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    for name in ("gone", "kept"):
        lease.names.put(name, ENTRY)
    ledger.note_names(lease)
    lease.names.remove("gone")
    lease.names.put("kept", ASIDE)
    lease.names.put("new", ENTRY)
    write(ledger, lease)
    env.all_leases_expire()
    names = env.lease(NEW if env.state(NEW) != "DELIVERED" else ref("0C")).names
    assert "gone" not in names
    assert (names.get("kept"), names.get("new")) == (ASIDE, ENTRY)


def test_temporary_name_is_recorded_with_the_lease(env: LedgerEnvironment) -> None:
    lease = env.lease(NEW)
    assert env.names(NEW) == {lease.temporary}
    assert lease.names.get(lease.temporary) == ENTRY


def test_restart_records_the_new_temporary_name(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.start_over(lease, temporary="out/.fresh")
    assert env.names(NEW) == {lease.temporary, "out/.fresh"}


def test_commit_records_the_account_and_the_pending_rename_of_the_name(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.commit(lease, commit_of(lease))
    env.all_leases_expire()
    entry = env.lease(NEW).names.get(lease.temporary)
    assert entry is not None
    assert (entry.server, entry.rename_pending, entry.kind) == (SERVER.account, True, NameKind.TEMPORARY)


def test_commit_records_the_second_temporary_name(
    env: LedgerEnvironment,
) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.commit(lease, commit_of(lease, temporary="out/.second"))
    assert env.names(NEW) == {lease.temporary, "out/.second"}


def test_names_of_a_dead_attempt_are_known_to_every_version_of_the_key(env: LedgerEnvironment) -> None:
    temporaries = []
    for version in (NEW, OLD, ref(None)):
        lease = env.lease(version)
        temporaries.append(lease.temporary)
        assert list(lease.names) == temporaries
        env.all_leases_expire()
    assert env.names(NEW) == set(temporaries)


def test_terminal_state_keeps_names_that_were_not_removed(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.commit(lease, commit_of(lease))
    ledger.delivered(lease, {})
    assert env.names(NEW) == {lease.temporary}


def test_resumed_and_staged_files_keep_their_name(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.checkpoint(lease, checkpoint_of(lease))
    lease = env.lease(NEW, ledger)
    ledger.commit(lease, commit_of(lease))
    ledger.stage(lease, commit_of(lease, rename_unanswered=False), reason="r")
    env.lease(NEW, ledger)
    assert env.names(NEW) == {lease.temporary}


def test_names_of_a_failed_write_are_in_the_next_one(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    lease.names.put("new", ENTRY)
    version = env.key_item(NEW)["version"]
    env.write(NEW, "version", {"S": "version#other"}, sk=KEY)
    with pytest.raises(LedgerError):
        ledger.note_names(lease)
    env.write(NEW, "version", version, sk=KEY)
    ledger.release(lease, reason="r")
    assert env.names(NEW) == {lease.temporary, "new"}


# Accounts


def test_name_has_its_account_before_the_login(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger, account="us@one:22")
    ledger.start_over(lease, temporary="out/.fresh")
    assert {entry.server for _, entry in lease.names.items()} == {"us@one:22"}
    env.all_leases_expire()
    again = env.lease(NEW, account="us@two:22")
    accounts = {name: entry.server for name, entry in again.names.items()}
    assert accounts == {
        lease.temporary: "us@one:22",
        "out/.fresh": "us@one:22",
        again.temporary: "us@two:22",
    }


@pytest.mark.parametrize(
    ("then", "now", "resumes"),
    [("a@b:1", "a@b:1", True), ("a@b:1", "a@c:1", False), ("", "a@b:1", True), ("a@b:1", "", True)],
)
def test_checkpoint_is_resumed_only_at_its_own_account(
    env: LedgerEnvironment,
    then: str,
    now: str,
    resumes: bool,  # noqa: FBT001 - pytest names the argument
) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger, account=then)
    ledger.checkpoint(lease, checkpoint_of(lease))
    again = env.lease(NEW, account=now)
    assert again.checkpoint == (checkpoint_of(lease) if resumes else None)
    assert (again.temporary == lease.temporary) == resumes
    assert lease.temporary in again.names


# History


@pytest.mark.parametrize("before", [OLD, NEW, ref(None)], ids=["older", "same", "unordered"])
def test_names_of_any_version_count_as_history(env: LedgerEnvironment, before: Any) -> None:
    assert not env.lease(before).has_history
    env.all_leases_expire()
    assert env.lease(NEW).has_history


@pytest.mark.parametrize("left", ["checkpoint", "commit"])
def test_checkpoint_or_commit_counts_as_history(env: LedgerEnvironment, left: str) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    if left == "commit":
        ledger.commit(lease, commit_of(lease))
        ledger.release(lease, reason="r")
    else:
        ledger.checkpoint(lease, checkpoint_of(lease))
    assert env.lease(NEW).has_history


def test_key_without_names_has_no_history(env: LedgerEnvironment) -> None:
    env.deliver(OLD)
    assert not env.lease(NEW).has_history


# The status index


@pytest.mark.parametrize(
    "end",
    [
        lambda ledger, lease: ledger.release(lease, reason="r"),
        lambda ledger, lease: ledger.stage(lease, commit_of(lease), reason="r"),
        lambda ledger, lease: ledger.checkpoint(lease, checkpoint_of(lease)),
        fail,
        lambda ledger, lease: [ledger.commit(lease, commit_of(lease)), ledger.delivered(lease, {})],
    ],
    ids=["release", "stage", "checkpoint", "record_outcome", "delivered"],
)
def test_key_with_names_is_listed_as_leftovers(
    env: LedgerEnvironment, end: Callable[[Ledger, Lease], object]
) -> None:
    ledger = env.function()
    lease = env.lease(OLD, ledger)
    end(ledger, lease)
    (item,) = env.with_status("LEFTOVERS")
    assert (item["sk"]["S"], set(item["temporaries"]["M"])) == (LEFTOVERS_LIST, {lease.temporary})
    again = env.lease(NEW, ledger)
    for name in again.names:
        again.names.remove(name)
    ledger.release(again, reason="r")
    assert env.with_status("LEFTOVERS") == []
    assert "leftovers" not in env.key_item(NEW)


def test_key_without_names_is_not_listed_as_leftovers(env: LedgerEnvironment) -> None:
    env.deliver(NEW)
    assert env.with_status("LEFTOVERS") == []


# Bounds


def test_more_than_500_names_are_refused_and_all_are_kept(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(OLD, ledger)
    for number in range(499):
        lease.names.put(f"out/.old{number}.part", ENTRY)
    ledger.release(lease, reason="r")
    before = env.item(OLD), env.key_item(OLD)
    assert len(env.names(OLD)) == 500
    for version in (OLD, NEW):
        with pytest.raises(LedgerError, match="500 files of earlier deliveries") as raised:
            env.lease(version)
        assert raised.value.disposition is Disposition.PERMANENT
        assert "'temporaries'" in raised.value.hint
    assert (env.item(OLD), env.key_item(OLD)) == before
    assert env.item(NEW) == {}


def test_fewer_names_are_refused_where_an_item_could_not_hold_more(env: LedgerEnvironment) -> None:
    # Docs of DynamoDB, "Constraints": an item has at most 400 KB, names and values of attributes counted in
    # UTF-8.
    folder = "out/" + 60 * "ordner-für-2026/"
    ledger = env.function()
    lease = env.lease(OLD, ledger)
    for number in range(200):
        lease.names.put(f"{folder}.old{number}.part", ENTRY)
    ledger.release(lease, reason="r")
    with pytest.raises(LedgerError, match="201 files of earlier deliveries") as raised:
        env.lease(NEW)
    assert raised.value.disposition is Disposition.PERMANENT


class ExpressionLimitClient:
    """Refuses expressions of more than 4 KB, as DynamoDB does and moto does not."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def update_item(self, **request: Any) -> Any:
        assert len(request["UpdateExpression"]) <= 4_096
        return self._client.update_item(**request)

    def transact_write_items(self, **request: Any) -> Any:
        for item in request["TransactItems"]:
            assert len(item["Update"]["UpdateExpression"]) <= 4_096
        return self._client.transact_write_items(**request)


def test_any_number_of_names_can_be_written_and_removed_at_once(env: LedgerEnvironment) -> None:
    ledger = env.function(client=ExpressionLimitClient(env.dynamodb))
    lease = env.lease(OLD, ledger)
    written = set()
    for count in (1, 49, 50, 51, 300):
        for number in range(count):
            name = f"out/.{count}-{number}.part"
            lease.names.put(name, ENTRY)
            written.add(name)
        ledger.note_names(lease)
        assert env.names(OLD) == {lease.temporary, *written}
    for count in (1, 49, 50, 51, 300):
        for number in range(count):
            lease.names.remove(f"out/.{count}-{number}.part")
            written.discard(f"out/.{count}-{number}.part")
        ledger.note_names(lease)
        assert env.names(OLD) == {lease.temporary, *written}
    ledger.release(lease, reason="r")


def test_exactly_500_names_are_accepted(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(OLD, ledger)
    for number in range(498):
        lease.names.put(f"out/.old{number}.part", ENTRY)
    ledger.release(lease, reason="r")
    assert len(env.lease(NEW).names) == 500


def test_emptied_map_of_names_unblocks_the_key(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(OLD, ledger)
    for number in range(499):
        lease.names.put(f"out/.old{number}.part", ENTRY)
    ledger.release(lease, reason="r")
    env.write(OLD, "temporaries", {"M": {}}, sk=KEY)
    again = env.lease(NEW)
    assert set(again.names) == {again.temporary}
