"""The ledger works with the DynamoDB of the local AWS as with that of the unit tests."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Iterator
from typing import Any

import pytest

from local.cloud import start_cloud
from local.processes import CannotRun
from s3_to_sftp.errors import LedgerError, PartnerUnreachable
from s3_to_sftp.known_server import KnownServer
from s3_to_sftp.outcomes import AlreadyDelivered, LeaseHeld, Superseded
from s3_to_sftp.state.breaker_item import BREAKER, breaker_key, read_breaker
from s3_to_sftp.state.dynamodb_circuit_breaker import DynamoCircuitBreaker
from s3_to_sftp.state.known_server import known_server_attributes, known_server_keys, read_known_server
from s3_to_sftp.state.ledger import Checkpoint
from s3_to_sftp.state.remote_names import NameKind, RemoteName
from s3_to_sftp.state.table import Table
from tests.support.ledger_environment import (
    DAY,
    TABLE,
    LedgerEnvironment,
    NamedLedger,
    commit_of,
    ref,
)

OLD, NEW = ref("0A"), ref("0B")


@pytest.fixture(scope="module")
def dynamodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if platform.system() != "Linux":
        pytest.skip(f"the local AWS runs Linux wheels, this is {platform.system()}")
    try:
        with start_cloud(tmp_path_factory.mktemp("cloud")) as cloud:
            yield cloud.client("dynamodb")
    except CannotRun as error:
        pytest.skip(f"the local AWS cannot be started: {error}")


@pytest.fixture
def env(ledger_table: Any) -> LedgerEnvironment:
    return LedgerEnvironment(ledger_table)


def test_version_is_delivered_from_lease_to_receipt(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.commit(lease, commit_of(lease))
    lease.names.remove(lease.temporary)
    ledger.delivered(lease, {"bytes": 1, "seconds": 0.5})
    with pytest.raises(AlreadyDelivered):
        env.lease(NEW)
    (item,) = env.with_status(f"DELIVERED#{DAY}")
    assert item["receipt"] == {"M": {"bytes": {"N": "1"}, "seconds": {"N": "0.5"}}}
    assert env.names(NEW) == set()


def test_refused_write_returns_the_existing_items(env: LedgerEnvironment) -> None:
    env.lease(OLD)
    with pytest.raises(LeaseHeld):
        env.lease(NEW)
    env.all_leases_expire()
    env.deliver(NEW)
    with pytest.raises(Superseded):
        env.lease(OLD)
    assert [item["sk"]["S"] for item in env.with_status("SUPERSEDED")] == ["version#v0A"]


def test_records_move_between_the_item_of_the_key_and_their_own(env: LedgerEnvironment) -> None:
    ledger = env.function()
    for version in (OLD, NEW, OLD):
        ledger.release(env.lease(version, ledger), reason=f"{version.sequencer} was cut")
    assert [env.item(version)["attempts"]["N"] for version in (OLD, NEW)] == ["2", "1"]
    assert env.item(NEW)["reason"] == {"S": "0B was cut"}
    assert sorted(item["sk"]["S"] for item in env.with_status("IN_FLIGHT")) == ["version#v0A", "version#v0B"]


def test_commit_and_checkpoint_are_read_back(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(OLD, ledger)
    checkpoint = Checkpoint(
        temporary=lease.temporary, offset=5, algorithm="CRC32", crc=2**64 - 1, rounds_without_progress=0
    )
    ledger.checkpoint(lease, checkpoint)
    resumed = env.lease(OLD, ledger)
    assert resumed.checkpoint == checkpoint
    fresh = ledger.start_over(resumed, temporary="out/.fresh")
    ledger.commit(fresh, commit_of(fresh))
    env.all_leases_expire()
    again = env.lease(OLD, ledger)
    assert (again.commit, set(again.names)) == (commit_of(fresh), {lease.temporary, "out/.fresh"})
    ledger.stage(again, commit_of(fresh, rename_unanswered=False), reason="refused")
    assert env.lease(OLD).commit == commit_of(fresh, rename_unanswered=False)


def test_leftover_name_is_listed_until_it_is_removed(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    aside = "out/.a'{}.[0] \u00fc.old"  # names of files are no names of attributes
    lease.names.put(aside, RemoteName(version="version#v0B", sequencer="", kind=NameKind.ASIDE))
    ledger.note_names(lease)
    lease.names.remove(lease.temporary)
    ledger.release(lease, reason="r")
    (item,) = env.with_status("LEFTOVERS")
    assert set(item["temporaries"]["M"]) == env.names(NEW) == {aside}
    again = env.lease(NEW, ledger)
    again.names.remove(aside)
    again.names.remove(again.temporary)
    ledger.release(again, reason="r")
    assert env.with_status("LEFTOVERS") == []


def test_lost_lease_and_missing_table_are_different_errors(env: LedgerEnvironment, dynamodb: Any) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    env.all_leases_expire()
    env.lease(NEW)
    with pytest.raises(LedgerError, match="is lost"):
        ledger.commit(dataclasses.replace(lease, until=lease.until + 9999), commit_of(lease))
    elsewhere = NamedLedger("f", dynamodb, "other", receipts_for_seconds=1)
    with pytest.raises(LedgerError, match="'other' does not exist"):
        env.lease(NEW, elsewhere)


def test_what_is_known_of_a_server_is_read_in_one_request_with_the_breaker(ledger_table: Any) -> None:
    table = Table(ledger_table, TABLE)
    shown = KnownServer(host_key="SHA256:abc", version="SSH-2.0-x", extensions=("a",), round_trip=0.1)
    breaker_keys, known_keys = (breaker_key("partner:22"), BREAKER), known_server_keys("partner:22", "acme")
    assert table.read_both(breaker_keys, known_keys) == (None, None)
    breaker = DynamoCircuitBreaker(ledger_table, TABLE, "partner:22")
    breaker.admit(configuration="c", until=0)
    breaker.failed(PartnerUnreachable("away.", hint=""), configuration="c")
    assert table.put(*known_keys, known_server_attributes(shown, at=1.5, revision=1), expected_revision=0)
    state, known = table.read_both(breaker_keys, known_keys)
    assert state is not None
    assert read_breaker(state).failures == 1
    assert known is not None
    assert read_known_server(known) == shown
    assert not table.put(*known_keys, known_server_attributes(shown, at=2, revision=1), expected_revision=0)
