"""What will happen to one object: names and order. Made before anything is sent; the delivery executes it.

`default_plan` makes it, or `rules.plan` where the partner has rules.
Importing this module costs nothing: it needs only the standard library.
"""

from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum


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
class PlannedAction:
    """What happens to the object in S3 once its receipt is recorded.

    Attributes:
        action: `tag`, `move` or `delete`.
        tags: Names and values, of `tag`.
        bucket: Where to, of `move`.
        key: The key there.
    """

    action: str
    tags: tuple[tuple[str, str], ...] = ()
    bucket: str = ""
    key: str = ""

    def as_item(self, *, is_proven: bool = True) -> dict[str, object]:
        """Return what the ledger keeps of it, from the receipt on.

        Args:
            is_proven: Whether something proves the delivery; what is only assumed changes nothing in S3.
        """
        target = {"bucket": self.bucket, "key": self.key} if self.bucket else {}
        tags = {"tags": dict(self.tags)} if self.tags else {}
        why = "Nothing proves the delivery: the RENAME was not answered."
        state = {"state": "pending"} if is_proven else {"state": "kept", "reason": why}
        return {"action": self.action, **state, **target, **tags}


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
        number: The number; None: it has none yet.
        digests: Algorithms of the checksums that the companions hold.
        transforms: What is done to the bytes on their way, in order, in words; none: they stay as they are.
        after: What happens to the object in S3 once the receipt is recorded; None: nothing.
    """

    file: PlannedFile
    companions: tuple[PlannedCompanion, ...] = ()
    if_exists: IfExists = IfExists.REPLACE
    claims_name: bool = False
    mode: int | None = None
    modified: int | None = None
    requires_attributes: bool = False
    sequence: str | None = None
    number: int | None = None
    digests: tuple[str, ...] = ()
    transforms: tuple[str, ...] = ()
    after: PlannedAction | None = None

    @property
    def number_in_names(self) -> str:
        """What tells whose number it is; empty: there is none in the names."""
        return f"{self.sequence} {self.number}" if self.number is not None else ""

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


def _directory(path: str) -> str:
    return path.rpartition("/")[0]


def default_plan(path: str) -> DeliveryPlan:
    """Return the plan of an object without rules."""
    return DeliveryPlan(file=PlannedFile(path=path))
