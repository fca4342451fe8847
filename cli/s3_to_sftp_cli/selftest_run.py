"""A self-test: its object, and what was seen to happen."""

from dataclasses import dataclass, field

from s3_to_sftp_cli.ledger import Record

IN_WORDS = frozenset({"put", "file_removed", "after_delivery", "object_deleted", "copy_deleted"})
"""Steps that say themselves what happened."""


@dataclass(frozen=True)
class Step:
    """Something that was seen to happen.

    Attributes:
        seconds: Since the object was put.
        step: One of `IN_WORDS`, or a state of the ledger.
        text: More about it.
    """

    seconds: float
    step: str
    text: str


@dataclass
class Run:
    """A self-test.

    Attributes:
        bucket: Of the test object.
        key: Of the test object.
        version_id: Of the test object; empty without versions.
        steps: So far.
        record: What the ledger has of it; None: nothing.
        file_removed: Whether the partner's file is gone; None: it was not asked for.
        object_deleted: Whether the test object is gone.
        copy_deleted: Whether the copy is gone that the partner's rules have made of it; None: they made none.
    """

    bucket: str
    key: str
    version_id: str = ""
    steps: list[Step] = field(default_factory=list)
    record: Record | None = None
    file_removed: bool | None = None
    object_deleted: bool = False
    copy_deleted: bool | None = None

    @property
    def state(self) -> str:
        """As the ledger has it; empty: the function has not seen the object."""
        return self.record.state if self.record else ""
