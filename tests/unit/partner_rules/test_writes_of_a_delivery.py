"""What DynamoDB charges for the writes of whole deliveries: decision 10 has the figures."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

from s3_to_sftp.errors import RequestRefused
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.sequence import Sequence
from s3_to_sftp.sftp.protocol import Status
from tests.support.delivery_environment import DeliveryEnvironment, is_rename
from tests.support.rules_environment import RulesEnvironment
from tests.support.scripted_server import Asked, status
from tests.support.write_units import MeteredClient, WriteUnits

KEY = "outbound/invoices/2026/11/29/invoice-2026-11-29-000012345.xml"
FIRST, SECOND = "0055AED6DCD90281E5", "0055AED6DCD90281E6"
OTHER = KEY.replace("5.xml", "6.xml")
OBJECTS = {KEY: bytes(4096), OTHER: bytes(4096)}


class Metered:
    """Deliveries whose writes are counted."""

    def __init__(self, env: DeliveryEnvironment, client: MeteredClient) -> None:
        self.env = env
        self._client = client
        self.all: list[WriteUnits] = []

    def deliver(self, sequencer: str = FIRST, *, key: str = KEY, renames: bool = True) -> WriteUnits:
        """Deliver an object with a new function; return what its writes have cost."""
        self.env.env.scripts = {} if renames else {0: _refuses}
        self._client.units = WriteUnits()
        version = f"3sL4kqtJlcpXroDTDmJ-rmSpXd3dIbrH{sequencer[-1]}"
        ref = dataclasses.replace(self.env.ref(key, sequencer), version_id=version)
        try:
            self.env.deliver(ref, name="8f507cfc-1f3c-4b8e-9d5b-0a4c3f0f2a11")
        finally:
            self.all.append(self._client.units)
        return self._client.units


def _refuses(asked: Asked) -> bytes | None:
    return status(asked, Status.PERMISSION_DENIED) if is_rename(asked) else None


def by_default(dynamodb: Any) -> Metered:
    client = MeteredClient(dynamodb)
    return Metered(DeliveryEnvironment(client, OBJECTS), client)


def by_rules(dynamodb: Any, **rules: Any) -> Metered:
    client = MeteredClient(dynamodb)
    return Metered(RulesEnvironment(client, DeliveryRules(**rules), OBJECTS), client)


def test_ordinary_object(ledger_table: Any) -> None:
    units = by_default(ledger_table).deliver()
    assert (units.requests, units.table, units.index) == (3, 3, 4)


def test_key_that_is_overwritten(ledger_table: Any) -> None:
    metered = by_default(ledger_table)
    metered.deliver()
    units = metered.deliver(SECOND)
    assert (units.requests, units.table, units.index) == (4, 7, 6)


def test_retried_object(ledger_table: Any) -> None:
    """Its RENAME was refused; the second attempt is a new function."""
    metered = by_default(ledger_table)
    with contextlib.suppress(RequestRefused):
        metered.deliver(renames=False)
    metered.deliver()
    assert [units.sum for units in metered.all] == [13, 20]


def test_object_that_rules_name(ledger_table: Any) -> None:
    assert by_rules(ledger_table, name="{stem}_{event_time:%Y%m%d}{ext}").deliver().sum == 12


def test_object_with_a_companion(ledger_table: Any) -> None:
    assert by_rules(ledger_table, companions=[Companion.marker("{name}.done")]).deliver().sum == 21


def test_object_with_a_number_and_a_companion(ledger_table: Any) -> None:
    metered = by_rules(
        ledger_table,
        name="PAY_{sequence:04d}.xml",
        sequence=Sequence(),
        companions=[Companion.marker("{name}.done")],
    )
    metered.deliver(key=OTHER)  # it begins the sequence
    assert metered.deliver().sum == 28
