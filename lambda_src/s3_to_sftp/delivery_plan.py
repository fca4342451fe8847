"""What will happen to one object: names and order. Made before anything is sent; the delivery executes it.

`default_plan` makes it, or `rules.plan` where the partner has rules.
Importing this module costs nothing: it needs only the standard library.
"""

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class IfExists(StrEnum):
    """What to do if something has the final name already, other than a file of an earlier attempt."""

    REPLACE = "replace"
    """A regular file is replaced."""
    REFUSE = "refuse"
    """The object is dead-lettered, and the error says what stands there."""
    SKIP = "skip"
    """The object is not delivered, and recorded as skipped."""
    NEW_NAME = "new_name"
    """A number is added to the name, as in `a-2.csv`."""


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


@dataclass(frozen=True, kw_only=True)
class PlannedFile:
    """A file that gets a name at the partner.

    Attributes:
        path: The final name. It has `{sequence}` in it as long as the object has no number: the plan with the
            number in its facts has the name to use. (Keys may hold this text as well.)
        temporary: The name until then, with `{token}` where a name of an attempt has one that no other file
            has; equal to `path`: the file is written under its final name, in which `{token}` stands for
            itself; empty: a random, hidden name beside it.
    """

    path: str
    temporary: str = ""

    @property
    def is_direct(self) -> bool:
        """Whether the file is written under its final name."""
        return self.temporary == self.path

    @property
    def is_in_place(self) -> bool:
        """Whether it is written in the directory of its final name."""
        return not self.temporary or _directory(self.temporary) == _directory(self.path)


@dataclass(frozen=True, kw_only=True)
class PlannedCompanion(PlannedFile):
    """A small file beside the data.

    Attributes:
        id: Names its record in the ledger.
        is_before: Whether it gets its final name before the data; by default after it.
        content: Its bytes; None: they depend on facts that are not known yet.
    """

    id: str
    is_before: bool = False
    content: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class DeliveryPlan:
    """Everything that will happen to one object, in order.

    Attributes:
        file: The data.
        companions: Files beside it, in the order in which they get their names: those before the data first.
        if_exists: What to do if something has one of the final names.
        claims_name: Whether another key could get one of the final names, those of companions included: then
            the first one keeps it.
        mode: Permission bits of all files; None: as the server sets them.
        modified: Modification time of the data, in seconds since 1970; None: as the server sets it.
        requires_attributes: Whether an object is not delivered if the server refuses mode or time.
        sequence: Name of the sequence that the object gets a number of; None: it gets none.
        digests: Algorithms of the checksums that the companions hold.
    """

    file: PlannedFile
    companions: tuple[PlannedCompanion, ...] = ()
    if_exists: IfExists = IfExists.REPLACE
    claims_name: bool = False
    mode: int | None = None
    modified: int | None = None
    requires_attributes: bool = False
    sequence: str | None = None
    digests: tuple[str, ...] = ()

    @property
    def must_be_prepared(self) -> bool:
        """Whether something must be done before the first byte is written."""
        return self.claims_name or self.file.is_direct or not self.file.is_in_place

    @property
    def must_be_completed(self) -> bool:
        """Whether something must be done once the data has its final name."""
        return bool(self.companions) or self.sequence is not None

    @property
    def paths(self) -> tuple[str, ...]:
        """The final names of all files."""
        return self.file.path, *(companion.path for companion in self.companions)

    @property
    def given_again(self) -> Set[str]:
        """Temporary names that later versions of the key get, too: a number is in no other name."""
        files = () if self.sequence is not None else (self.file, *self.companions)
        names = (file.temporary for file in files if not file.is_direct)
        return {name for name in names if name and "{token}" not in name}

    @property
    def companions_before(self) -> tuple[PlannedCompanion, ...]:
        """Those that get their names before the data."""
        return tuple(each for each in self.companions if each.is_before)

    @property
    def companions_after(self) -> tuple[PlannedCompanion, ...]:
        """Those that get their names after the data."""
        return tuple(each for each in self.companions if not each.is_before)

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON values, for people and programs."""
        return {
            "remote_path": self.file.path,
            "temporary": self.file.temporary or "a random, hidden name in the same directory",
            "if_exists": str(self.if_exists),
            "mode": None if self.mode is None else f"{self.mode:03o}",
            "modified": self.modified,
            "sequence": self.sequence,
            "steps": self.steps(),
        }

    def steps(self) -> list[str]:
        """Return what happens, one sentence for each step, in order."""
        return [
            *self._upload(),
            *(f"put {each.path!r} ({_sized(each)})" for each in self.companions_before),
            f"give the data its final name {self.file.path!r}, {_EXISTING[self.if_exists]}",
            *(f"put {each.path!r} ({_sized(each)})" for each in self.companions_after),
            "record the receipt",
        ]

    def _upload(self) -> list[str]:
        where = f"as {self.file.temporary!r}" if self.file.temporary else "under a random, hidden name"
        if self.file.is_direct:
            where = "under the final name: the partner can see a part of it"
        attributes = [] if self.mode is None else [f"mode {self.mode:03o}"]
        attributes += [] if self.modified is None else ["the time of the object"]
        taken = self.sequence is not None
        return [
            f"upload the data {where}",
            *([f"set {' and '.join(attributes)}"] if attributes else []),
            *([f"take the next number of the sequence {self.sequence!r}"] if taken else []),
        ]


def _directory(path: str) -> str:
    return path.rpartition("/")[0]


_EXISTING = {
    IfExists.REPLACE: "replacing a file that has it",
    IfExists.REFUSE: "unless something has it: then the object is dead-lettered",
    IfExists.SKIP: "unless something has it: then the object is skipped",
    IfExists.NEW_NAME: "or one with a number if something has it",
}


def _sized(companion: PlannedCompanion) -> str:
    size = None if companion.content is None else len(companion.content)
    if size is None:
        return "its content follows from the data"
    return "empty" if not size else f"{size} byte{'s' if size > 1 else ''}"


def default_plan(path: str) -> DeliveryPlan:
    """Return the plan of an object without rules."""
    return DeliveryPlan(file=PlannedFile(path=path))
