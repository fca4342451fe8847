"""Delivers to a real server by rules, with everything that a function has: ledger, S3, connections."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from local.sftp_server import RunningServer
from s3_to_sftp.delivery.deadline import Deadline, Invocation
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.document import RulesDocument
from s3_to_sftp.rules.execution import RulesExecution
from s3_to_sftp.rules.rule_set import RuleSet
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.state.table import Table
from tests.support.ledger_environment import LedgerEnvironment
from tests.support.memory_s3 import MemoryS3
from tests.support.partner import client_for


@dataclass(kw_only=True)
class RulesDelivery:
    """A function, started again for each object.

    Attributes:
        sftp: The partner.
        ledger: Remembers deliveries and numbers.
        now: Seconds since 1970, of the objects and of their delivery.
        directory: Remote directory of the server or source.
    """

    sftp: SftpClient
    ledger: LedgerEnvironment
    now: int
    directory: str = ""
    _s3: MemoryS3 = field(default_factory=MemoryS3)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def deliver(self, rules: DeliveryRules, key: str, data: bytes) -> None:
        """Put an object and deliver it.

        Raises:
            DeliveryError: It was not delivered.
        """
        number = next(self._numbers)
        self._s3.objects[key] = data
        ref = replace(self._s3.ref(key), event_time=self.now, sequencer=f"{number:04X}")
        name = f"function {number}"
        self._function(rules, name).deliver(
            ref, Invocation(Deadline(lambda: 900.0, clock=self.ledger.clock), name)
        )

    def _function(self, rules: DeliveryRules, name: str) -> Delivery:
        # As the function has them: read from the text that the construct wrote.
        written = RulesDocument(partner=rules, sources={}).as_text()
        ledger = self.ledger.function(name)
        execution = RulesExecution(
            RuleSet(RulesDocument.from_text(written), directory=self.directory, sources=()),
            s3=self._s3,
            sftp=self.sftp,
            ledger=ledger,
            table=Table(self.ledger.dynamodb, self.ledger.table, clock=self.ledger.clock),
            now=self.ledger.clock,
        )
        return Delivery(
            s3=self._s3, sftp=self.sftp, directory=self.directory, ledger=ledger, execution=execution
        )


@contextmanager
def rules_delivery(server: RunningServer, dynamodb: Any, *, now: int) -> Iterator[RulesDelivery]:
    """Has a connection to the server until the block ends; the table exists."""
    ledger = LedgerEnvironment(dynamodb)
    ledger.clock.now = float(now)
    sftp = client_for(server)
    try:
        yield RulesDelivery(sftp=sftp, ledger=ledger, now=now)
    finally:
        sftp.close()
