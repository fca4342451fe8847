"""S3, a partner with rules, and a ledger; see `delivery_environment`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.delivery.former_rules import FormerRules
from s3_to_sftp.remote_path import SourceDirectory
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.document import RulesDocument
from s3_to_sftp.rules.drops import Drops
from s3_to_sftp.rules.execution import RulesExecution
from s3_to_sftp.rules.partner_hours import PartnerHours
from s3_to_sftp.rules.rule_set import RuleSet
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.protocol import Request
from s3_to_sftp.state.ledger import Ledger
from s3_to_sftp.state.pause import DynamoPause
from s3_to_sftp.state.table import Table
from tests.support.delivery_environment import DeliveryEnvironment, is_rename

EVENT_TIME = 1_795_944_600
"""2026-11-29 09:30:00 UTC."""


class RulesEnvironment(DeliveryEnvironment):
    """A partner with rules.

    Attributes:
        rules: Of the partner; None: a deployment has removed all of them.
        sources: As they are configured.
        source_rules: The rules that sources have of their own, by the name that the source says.
        signing_key: Returns the key that a rule signs with.
    """

    def __init__(
        self,
        dynamodb: Any,
        rules: DeliveryRules,
        objects: dict[str, bytes] | None = None,
        *,
        sources: Sequence[SourceDirectory] = (),
    ) -> None:
        super().__init__(dynamodb, objects)
        self.rules: DeliveryRules | None = rules
        self.sources = sources
        self.source_rules: dict[str, DeliveryRules] = {}
        self.slept: list[float] = []
        self.signing_key: Callable[[str], Any] | None = None

    def ref(self, key: str = "a", sequencer: str | None = "0A") -> ObjectRef:
        return dataclasses.replace(super().ref(key, sequencer), event_time=EVENT_TIME)

    def function(
        self,
        name: str = "f",
        *,
        partner: SftpClient | None = None,
        max_connections: int = 1,
        has_ledger: bool = True,
        ledger: Ledger | None = None,
        table: Table | None = None,
        **more: Any,
    ) -> Delivery:
        ledger = ledger or self.ledger.function(name)
        partner = partner or self.env.client(max_connections)
        rules = self._rule_set()
        table = table or Table(self.ledger.dynamodb, self.ledger.table, clock=self.ledger.clock)
        options = {key: more[key] for key in ("unknown_outcome",) if key in more}
        execution = RulesExecution(
            rules,
            s3=self.s3,
            sftp=partner,
            ledger=ledger,
            table=table,
            pause=self.pause(table) if rules.has_timing else None,
            drops=self.drops(table) if rules.has_timing else None,
            new_token=self._new_token,
            now=self.ledger.clock,
            sleep=self.slept.append,
            signing_key=self.signing_key,
            **options,
        )
        has_rules = self.rules is not None or self.source_rules
        without = FormerRules(lambda: execution, directory="inbox", sources=self.sources)
        return super().function(
            name,
            partner=partner,
            max_connections=max_connections,
            ledger=ledger,
            execution=execution if has_rules else without,
            **more,
        )

    def pause(self, table: Table | None = None) -> DynamoPause:
        """Return what an invocation asks first."""
        clock = self.ledger.clock
        table = table or Table(self.ledger.dynamodb, self.ledger.table, clock=clock)
        hours = PartnerHours(self._rule_set(), self.drops(table), table, random=lambda: 0)
        return DynamoPause(table, timing=hours, clock=clock, random=lambda: 0)

    def _rule_set(self) -> RuleSet:
        document = RulesDocument(partner=self.rules, sources=self.source_rules)
        return RuleSet(document, directory="inbox", sources=self.sources)

    def drops(self, table: Table) -> Drops:
        """Return the drops of the partner."""
        return Drops(table, clock=self.ledger.clock, random=lambda: 0)

    @property
    def names_given(self) -> list[str]:
        """The final names, in the order in which RENAMEs gave them."""
        everything = [asked for connection in self.env.made for asked in connection.server.asked]
        return [asked.texts[-1] for asked in everything if is_rename(asked) or asked.kind == Request.RENAME]
