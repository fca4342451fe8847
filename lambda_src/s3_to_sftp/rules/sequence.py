"""Gapless numbers: one for each delivered object, none skipped, none used twice."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from s3_to_sftp.rules.invalid import InvalidRule, require_range

_HIGHEST = 10**15
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Reset(StrEnum):
    """When a sequence begins again."""

    NEVER = "never"
    DAY = "day"
    YEAR = "year"


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """The numbers that the field `{sequence}` of a name stands for.

    A number is taken when the object's bytes are at the partner, and kept by the object until it is delivered
    or cancelled. Until then no other object gets one: objects are delivered one after the other.

    Attributes:
        start: The first number.
        reset: When it begins again at `start`, in the time zone of the rules. By default never.
        name: Rules with the same name share the numbers. By default all rules of a partner do.
    """

    start: int = 1
    reset: Reset = Reset.NEVER
    name: str = "default"

    def __post_init__(self) -> None:
        require_range("start", self.start, 0, _HIGHEST)
        if not isinstance(self.reset, Reset):
            raise InvalidRule("reset", f"must be one of Reset.NEVER, DAY, YEAR, got {self.reset!r}")
        if not (isinstance(self.name, str) and _NAME.fullmatch(self.name)):
            raise InvalidRule(
                "sequence", f"must have a name of up to 64 letters, digits and '._-', got {self.name!r}"
            )

        if not self.name[0].isalnum():  # it is typed in commands, where '-' begins an option
            raise InvalidRule(
                "sequence", f"must have a name that begins with a letter or digit, got {self.name!r}"
            )

    def period(self, at: datetime) -> str:
        """Return what distinguishes this day, or year, from the others; empty: they are not distinguished.

        Args:
            at: The `delivery_time` of the object in the time zone of the rules, which is the one in its name.
                With another time a number of the new day could get the name of the day before.
        """
        return {Reset.NEVER: "", Reset.DAY: at.date().isoformat(), Reset.YEAR: f"{at.year:04d}"}[self.reset]
