"""What DynamoDB charges for the writes of a delivery: docs/reference/what-it-costs.md has the figures."""

from __future__ import annotations

from typing import Any

import pytest

from s3_to_sftp.outcomes import AlreadyDelivered
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.sftp.temporary_names import temporary_path
from s3_to_sftp.state import items
from s3_to_sftp.state.ledger import Commit, Lease
from s3_to_sftp.state.receipt import Receipt
from tests.support.ledger_environment import LEASE_SECONDS, TABLE, LedgerEnvironment
from tests.support.write_units import MeteredClient, WriteUnits, index_units, size_of, units_of

OWNER = "8f507cfc-1f3c-4b8e-9d5b-0a4c3f0f2a11"
SERVER = ServerIdentity(
    host="sftp.partner-company.example",
    port=22,
    user="acme_prod",
    host_key="SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8",
)
KEY = "outbound/invoices/2026/11/29/invoice-2026-11-29-000012345.xml"
DELIVERED_BYTES = 924
"""Of the item of an object that is delivered."""


def put(sequencer: str = "0055AED6DCD90281E5", *, key: str = KEY) -> ObjectRef:
    """An object as a bucket with versions announces it."""
    return ObjectRef(
        bucket="acme-prod-outbound-files",
        key=key,
        version_id="3sL4kqtJlcpXroDTDmJ-rmSpXd3dIbrHY" + sequencer[-1],
        etag="d41d8cd98f00b204e9800998ecf8427e",
        sequencer=sequencer,
        size=4096,
        event_time=1_795_944_600,
    )


class Deliveries:
    """Deliveries whose writes are counted."""

    def __init__(self, env: LedgerEnvironment) -> None:
        self.env = env
        self.client = MeteredClient(env.dynamodb)
        self.ledger = env.function(OWNER, self.client)

    def acquire(self, ref: ObjectRef) -> Lease:
        path = f"inbox/{ref.key}"
        return self.ledger.acquire(
            ref,
            owner=OWNER,
            remote_path=path,
            temporary=temporary_path(path, token="0a1b2c3d4e5f6071"),
            until=self.env.clock.now + LEASE_SECONDS + 0.125,
            account=SERVER.account,
        )

    def commit(self, lease: Lease) -> None:
        commit = Commit(
            temporary=lease.temporary,
            remote_path=lease.remote_path,
            size=4096,
            modified=1_795_944_612,
            server=SERVER,
            checksum_algorithm="CRC64NVME",
            checksum="Y2xjbGMxMjM0NTY=",
            verified_by="full_object:CRC64NVME",
        )
        self.ledger.commit(lease, commit)

    def record(self, lease: Lease) -> None:
        lease.names.remove(lease.temporary)
        receipt = Receipt(
            ref=lease.ref,
            remote_path=lease.remote_path,
            size=4096,
            seconds=0.312,
            checksum_algorithm="CRC64NVME",
            checksum="Y2xjbGMxMjM0NTY=",
            verified_by="full_object:CRC64NVME",
            streams=1,
            host_key_fingerprint=SERVER.host_key,
            attempt=lease.attempt,
        )
        self.ledger.delivered(lease, receipt.as_item(request_id=OWNER))

    def deliver(self, ref: ObjectRef) -> WriteUnits:
        """Deliver the object; return what that has cost."""
        self.client.units = WriteUnits()
        lease = self.acquire(ref)
        self.commit(lease)
        self.record(lease)
        return self.client.units


@pytest.fixture
def deliveries(env: LedgerEnvironment) -> Deliveries:
    env.clock.now += 0.123456
    return Deliveries(env)


def test_a_new_object_takes_at_most_eight_units(deliveries: Deliveries) -> None:
    units = deliveries.deliver(put())
    assert (units.requests, units.reads, units.table, units.index) == (3, 0, 3, 4)
    assert units.sum <= 8


def test_record_of_a_delivered_object_has_the_size_on_the_pages(deliveries: Deliveries) -> None:
    ref = put()
    deliveries.deliver(ref)
    key = {"pk": {"S": items.partition_key(ref)}, "sk": {"S": items.KEY}}
    item = deliveries.client.get_item(TableName=TABLE, Key=key)["Item"]
    assert size_of(item) == DELIVERED_BYTES


def test_an_item_stays_below_1_kb_with_keys_of_ninety_characters(deliveries: Deliveries) -> None:
    key = f"outbound/invoices/2026/11/29/{'n' * 57}.xml"
    assert len(key) == 90
    units = deliveries.deliver(put(key=key))
    assert units.largest <= 1024
    assert units.sum <= 8


def test_a_key_that_was_delivered_before_takes_more(deliveries: Deliveries) -> None:
    """A refused write, and a transaction that moves the record of the version before: 1 + 2 x 2 + 3."""
    deliveries.deliver(put())
    units = deliveries.deliver(put("0055AED6DCD90281E6"))
    assert (units.requests, units.reads, units.table, units.index) == (4, 1, 7, 6)


def test_an_event_that_comes_again_takes_one_unit(deliveries: Deliveries) -> None:
    deliveries.deliver(put())
    deliveries.client.units = WriteUnits()
    with pytest.raises(AlreadyDelivered):
        deliveries.acquire(put())
    assert (deliveries.client.units.sum, deliveries.client.units.reads) == (1, 0)


# The rules of counting


def item(**attributes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return attributes


def test_size_of_an_item_is_that_of_names_and_values() -> None:
    assert size_of(item(name={"S": "Zürich"}, n={"N": "-1200.5"}, yes={"BOOL": True})) == 11 + 5 + 4
    assert size_of(item(m={"M": {"a": {"S": "bc"}}}, l={"L": [{"S": "x"}]})) == (1 + 3 + 4) + (1 + 3 + 2)


def test_a_unit_is_a_begun_kb_of_the_larger_item() -> None:
    whole = item(name={"S": "x" * 1020})
    assert (units_of({}), units_of(whole), units_of({}, item(names={"S": "x" * 1020}))) == (1, 1, 2)


def test_index_follows_the_item() -> None:
    listed = item(status={"S": "A"}, status_at={"S": "1"})
    elsewhere, changed = listed | item(status={"S": "B"}), listed | item(more={"S": "x"})
    assert index_units({}, {}) == index_units(listed, listed) == 0
    assert index_units({}, listed) == index_units(listed, {}) == index_units(listed, changed) == 1
    assert index_units(listed, elsewhere) == 2
