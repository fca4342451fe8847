"""Rules as a JSON document: what the construct writes, and the function reads."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import Case, DeliveryRules
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.sequence import Reset, Sequence

PACKAGE, FILE = "s3_to_sftp_partner_rules", "rules.json"
"""Where the document is below a directory of `sys.path`."""
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class RulesDocument:
    """All rules of a partner.

    Attributes:
        partner: Of objects whose source has none of its own; None: they have none.
        sources: Of sources with their own, by a name that `SSH_SOURCES` has, too.
    """

    partner: DeliveryRules | None
    sources: Mapping[str, DeliveryRules]

    def __post_init__(self) -> None:
        """Refuse rules that would count the same sequence in two ways.

        Raises:
            InvalidRule: They do.
        """
        first: dict[str, DeliveryRules] = {}
        for rules in filter(None, (self.partner, *self.sources.values())):
            if rules.sequence is None:
                continue
            other = first.setdefault(rules.sequence.name, rules)
            if other.sequence != rules.sequence or other.time_zone != rules.time_zone:
                raise InvalidRule(
                    "sequence",
                    "must be the same in all rules of a partner that share its numbers, got "
                    f"{rules.sequence} in {rules.time_zone} and {other.sequence} in {other.time_zone}: "
                    "numbers would repeat. Give one of them a name=",
                )

    @property
    def sequences(self) -> tuple[str, ...]:
        """The names of all sequences."""
        rules = filter(None, (self.partner, *self.sources.values()))
        return tuple(sorted({each.sequence.name for each in rules if each.sequence is not None}))

    def as_text(self) -> str:
        """Return the document: the same text for the same rules."""
        return json.dumps(
            {
                "format": _FORMAT,
                "partner": None if self.partner is None else _as_json(self.partner),
                "sources": {name: _as_json(rules) for name, rules in self.sources.items()},
            },
            sort_keys=True,
            indent=1,
        )

    @property
    def digest(self) -> str:
        """What identifies the document, in the environment variable SSH_RULES."""
        return hashlib.sha256(self.as_text().encode()).hexdigest()[:32]

    @classmethod
    def from_text(cls, text: str) -> "RulesDocument":
        """Read a document.

        Raises:
            ValueError: It is none, or of another version of this code. `InvalidRule`: a rule is wrong.
        """
        try:
            written = json.loads(text)
            if written["format"] != _FORMAT:
                raise ValueError(f"its format is {written['format']!r}, known is {_FORMAT}")
            if unknown := set(written) - {"format", "partner", "sources"}:
                raise ValueError(f"it has the unknown part {min(unknown)!r}")
            partner = written["partner"]
            return cls(
                partner=None if partner is None else _from_json(partner),
                sources={name: _from_json(rules) for name, rules in written["sources"].items()},
            )
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"it is not laid out as rules are: {error}") from None


def _as_json(rules: DeliveryRules) -> dict[str, Any]:
    """Return what is not as by default."""
    default = DeliveryRules()
    given = {
        each.name: getattr(rules, each.name)
        for each in fields(DeliveryRules)
        if each.compare and getattr(rules, each.name) != getattr(default, each.name)
    }
    if rules.sequence is not None:
        given["sequence"] = vars(rules.sequence)
    if rules.companions:
        given["companions"] = [vars(companion) for companion in rules.companions]
    return given


def _from_json(written: Mapping[str, Any]) -> DeliveryRules:
    given = dict(written)
    for name, kind in (("case", Case), ("if_exists", IfExists)):
        if name in given:
            given[name] = kind(given[name])
    if sequence := given.get("sequence"):
        given["sequence"] = Sequence(**{**sequence, "reset": Reset(sequence["reset"])})
    given["companions"] = tuple(Companion(**each) for each in given.get("companions", ()))
    return DeliveryRules(**given)
