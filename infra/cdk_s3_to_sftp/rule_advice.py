"""Which changes of rules can be advised: those that the rules allow, and that help."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.invalid import InvalidRule

_MOST = 2
"""So many changes are advised: a choice of more helps nobody."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """A change of rules.

    Attributes:
        text: What to do, in the imperative and without a full stop.
        changes: Names of rules -> their new values.
    """

    text: str
    changes: Mapping[str, Any]


def joined_advice(
    rules: DeliveryRules,
    *advice: Advice,
    is_wrong: Callable[[DeliveryRules], bool],
    otherwise: str = "",
) -> str:
    """Return what to do, as a part of a sentence: what would be refused in its turn is left out.

    Args:
        rules: As they are.
        advice: The best one first.
        is_wrong: Returns whether changed rules are no better.
        otherwise: What can always be done, in front of the rest.
    """
    helps = [each.text for each in advice if _helps(rules, each, is_wrong)][:_MOST]
    return ", or ".join([otherwise, *helps] if otherwise else helps)


def _helps(rules: DeliveryRules, advice: Advice, is_wrong: Callable[[DeliveryRules], bool]) -> bool:
    try:
        return not is_wrong(replace(rules, **advice.changes))
    except InvalidRule:
        return False
