"""Which objects have to wait because of the partner's windows and rate: see `state.pause.Timing`."""

import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from s3_to_sftp.errors import LedgerError
from s3_to_sftp.outcomes import OnHold, WindowClosed
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.drops import Drops
from s3_to_sftp.rules.rule_set import RuleSet
from s3_to_sftp.rules.sequence_counter import holder_of, holders
from s3_to_sftp.rules.timing import FAR_AWAY_SECONDS, hours_in_words, hours_of
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.table import Table

_SPREAD_SECONDS = 60.0
"""What waits for the same window comes back within this time after it opens."""

_log = logging.getLogger(__name__)


class PartnerHours:
    """The windows and the rate of one partner.

    Args:
        rules: Of the partner.
        drops: Counts the files that it gets.
        table: The ledger's; only read.
        random: Returns a number from 0 up to, but not including, 1.
    """

    def __init__(
        self, rules: RuleSet, drops: Drops, table: Table, *, random: Callable[[], float] = random.random
    ) -> None:
        self._rules = rules
        self._drops = drops
        self._table = table
        self._random = random

    def waits(
        self, refs: Iterable[ObjectRef], now: float, *, is_released: bool
    ) -> Mapping[ObjectRef, Sequence[OnHold]]:
        """See `Timing`. One read if there is a rate, and one for each sequence if a window is closed."""
        waits: dict[ObjectRef, list[OnHold]] = {}
        rate: list[OnHold] | None = None
        with_number: set[tuple[str, str]] | None = None
        for ref in refs:
            rules = self._rules.of(ref).rules
            if rules is None:
                continue
            errors: list[OnHold] = [] if is_released else self._closed(ref, rules, now)
            if errors:
                with_number = self._holders() if with_number is None else with_number
                errors = [] if holder_of(ref) in with_number else errors
            if rules.max_drops is not None:
                rate = self._rate_reached(rules) if rate is None else rate
                errors += rate
            waits[ref] = errors
        return waits

    def _holders(self) -> set[tuple[str, str]]:
        """Return the versions that hold a number: all their bytes are at the partner, and others wait.

        The ledger may know that by the number alone, where a function has died before its commit.
        """
        try:
            return holders(self._table, self._rules.sequences)
        except LedgerError as trouble:
            _log.warning(
                "it is not known whether an object that waits for a window has a number: %s", trouble
            )
            return set()

    def _closed(self, ref: ObjectRef, rules: DeliveryRules, now: float) -> list[OnHold]:
        if not rules.windows and not rules.holidays:
            return []
        opens = hours_of(rules).opens_at(now)
        if opens == now:
            return []
        when = "and none opens within a year"
        if opens is not None:
            local = datetime.fromtimestamp(opens, UTC).astimezone(rules.zone)
            when = f"which opens at {local:%Y-%m-%d %H:%M} {rules.time_zone}"
        seconds = (now + FAR_AWAY_SECONDS if opens is None else opens) - now
        return [
            WindowClosed(
                f"{ref} waits for a window of {hours_in_words(rules)}, {when}.",
                hint="No action needed: it is delivered then. `s3-to-sftp resume --until TIME --reason TEXT` "
                "lets deliveries begin before.",
                retry_after=seconds + _SPREAD_SECONDS * self._random(),
            )
        ]

    def _rate_reached(self, rules: DeliveryRules) -> list[OnHold]:
        rate = rules.max_drops
        if rate is None:
            return []
        try:
            error = self._drops.wait(count=rate.count, period=rate.period)
        except LedgerError as trouble:  # decided when the file is about to get its name
            _log.warning("it is not known whether the partner may get a file now: %s", trouble)
            return []
        return [error] if error is not None else []
