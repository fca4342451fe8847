"""Each profile, the partner that it is for, what is sent, and what that partner must not accept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from s3_to_sftp.rules.delivery_rules import DeliveryRules
from tests.support.plan_client import Change, as_planned
from tests.support.strict_partner import Document


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """A delivery that differs from what the profile says in one thing.

    Attributes:
        complaint: Regular expression for what the partner says.
        rules: Rules with other values.
        replaced: Other rules altogether.
        plan: Another change, of the plan.
        key: Another key.
        data: Other bytes.
        number: Another number.
        again: Whether the first object was delivered as it should be before.
        tail_first: Whether bytes are written out of order.
        directory: Another remote directory.
        at_end_of_day: Whether no step is refused, since the partner waits for what is missing.
    """

    complaint: str
    rules: Mapping[str, Any] = field(default_factory=dict)
    replaced: DeliveryRules | None = None
    plan: Change = as_planned
    key: str = ""
    data: bytes | None = None
    number: int | None = None
    again: bool = False
    tail_first: bool = False
    directory: str = ""
    at_end_of_day: bool = False


@dataclass(frozen=True, kw_only=True)
class Case:
    """A profile.

    Attributes:
        document: Makes what its partner checks.
        rules: What the profile returns.
        sent: Keys and bytes of objects.
        names: Names of the files that arrive, in order.
        mutations: What the partner refuses, by a name.
        directory: Remote directory of the server or source.
    """

    document: Callable[[], Document]
    rules: DeliveryRules
    sent: Mapping[str, bytes]
    names: tuple[str, ...]
    mutations: Mapping[str, Mutation]
    directory: str = ""
