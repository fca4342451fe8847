"""What a plan depends on besides the rules and the event."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

_LAST_SECOND = 253_402_127_999
"""Of 29 December 9999: one that has a local time in every time zone."""
_FIRST_OF_JSON = ' {"delivery_time": '
"""Its keys are sorted. What identifies the rules may have blanks."""


@dataclass(frozen=True, kw_only=True)
class PlanFacts:
    """What a plan depends on besides the rules and the event. Recorded with the lease, kept through retries.

    Attributes:
        rules: Identifies rules and directory that the plan was made with.
        delivery_time: When the object was first planned, in seconds since 1970.
        event_time: When the object was put, in seconds since 1970.
        metadata: Those values of the object's metadata that the rules use.
        tags: Those tags of the object that the rules use.
        sequence: The object's number; None: it has none yet.
        name: The path below the directory that was chosen where the planned one was taken, such as
            `in/a-2.csv`; empty: none was.
        size: Bytes; None: not known yet.
        digests: Of the object's bytes in hexadecimal, by algorithm, as far as they are known.
    """

    rules: str = ""
    delivery_time: int = 0
    event_time: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    sequence: int | None = None
    name: str = ""
    size: int | None = None
    digests: Mapping[str, str] = field(default_factory=dict)

    def as_text(self) -> str:
        """Return the facts as the ledger keeps them: what identifies the rules, a blank, and JSON."""
        values = {
            key: dict(value) if isinstance(value, Mapping) else value for key, value in vars(self).items()
        }
        return f"{self.rules} {json.dumps(values, sort_keys=True)}"

    @classmethod
    def from_text(cls, text: str) -> "PlanFacts":
        """Read what `as_text` has written.

        Raises:
            ValueError: It was not written by this class.
        """
        start = text.find(_FIRST_OF_JSON)
        if start < 0:
            raise ValueError("it has no facts in JSON")
        try:
            facts = cls(**json.loads(text[start + 1 :]))
        except (TypeError, RecursionError) as error:
            raise ValueError(str(error)) from None
        if facts.rules != text[:start] or not facts._has_right_types():
            raise ValueError("its facts are not of the kinds that they have")
        return facts

    def _has_right_types(self) -> bool:
        texts = self.rules, self.name
        maps = self.metadata, self.tags, self.digests
        numbers = [number for number in (self.sequence, self.size) if number is not None]
        return (
            all(isinstance(text, str) for text in texts)
            and all(map(_is_map_of_texts, maps))
            and all(_is_number(number, 2**63) for number in numbers)
            and all(_is_number(time, _LAST_SECOND) for time in (self.event_time, self.delivery_time))
        )


def _is_map_of_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _is_number(value: object, last: int) -> bool:
    return type(value) is int and 0 <= value <= last
