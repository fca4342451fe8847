"""Rules as a JSON document: what the construct writes, and the function reads."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any, get_args, get_type_hints

from s3_to_sftp.rules.after_delivery import AfterDelivery
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.filter import Filter
from s3_to_sftp.rules.gzip_transform import Gzip
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.open_pgp import OpenPgp
from s3_to_sftp.rules.sequence import Sequence

PACKAGE, FILE = "s3_to_sftp_partner_rules", "rules.json"
"""Where the document is below a directory of `sys.path`."""
_FORMAT = 1
_KINDS: Mapping[str, Any] = {
    kind.__name__: kind for kind in (AfterDelivery, Companion, DeliveryRules, Filter, Gzip, OpenPgp, Sequence)
}
"""What a document may hold: data classes whose attributes are values, other rules, or lists of them."""


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
                partner=None if partner is None else _rules_from_json(partner),
                sources={name: _rules_from_json(rules) for name, rules in written["sources"].items()},
            )
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"it is not laid out as rules are: {error}") from None


def _as_json(rule: Any) -> dict[str, Any]:
    """Return what is not as by default, and what kind of rule it is."""
    given = {
        each.name: getattr(rule, each.name)
        for each in fields(rule)
        if each.compare and getattr(rule, each.name) != _default_of(each)
    }
    return {"is": type(rule).__name__, **{name: _plain(value) for name, value in given.items()}}


def _default_of(field: "Field[Any]") -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return _as_json(value)
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _rules_from_json(written: Mapping[str, Any]) -> DeliveryRules:
    rules = _from_json(written)
    if not isinstance(rules, DeliveryRules):
        raise TypeError(f"{rules!r} are no rules of a partner")
    return rules


def _from_json(written: Mapping[str, Any]) -> Any:
    given = dict(written)
    kind = _KINDS[given.pop("is")]
    hints = get_type_hints(kind)
    return kind(**{name: _rule_of(value, hints[name]) for name, value in given.items()})


def _rule_of(value: Any, hint: Any) -> Any:
    """Return the value as the attribute's type has it: texts are what their enumeration calls them."""
    if isinstance(value, list):
        element = (*get_args(hint), Any)[0]
        return tuple(_rule_of(each, element) for each in value)
    if isinstance(value, dict):
        return _from_json(value)
    kinds = [each for each in (hint, *get_args(hint)) if isinstance(each, type) and issubclass(each, StrEnum)]
    return kinds[0](value) if kinds else value
