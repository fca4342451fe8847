"""Files beside the data: markers, checksums, and descriptors or manifests from a template."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from s3_to_sftp.rules.invalid import InvalidRule, require_type
from s3_to_sftp.rules.template import Template, check_template

NAME_FIELDS = frozenset({"name", "stem", "ext", "sequence", "event_time", "delivery_time"})
"""In names of companions `name`, `stem` and `ext` are those of the data's final name."""
CONTENT_FIELDS = NAME_FIELDS | {
    "path", "bytes", "count", "sha256", "md5", "bucket", "key", "version", "metadata", "tag"
}  # fmt: skip
ENCODINGS = ("utf-8", "ascii", "latin-1", "utf-16")


class Checksum(StrEnum):
    """Algorithms of checksum files."""

    SHA256 = "sha256"
    MD5 = "md5"


@dataclass(frozen=True, kw_only=True)
class Companion:
    """A small file beside the data, with its own temporary name. Made by `marker`, `checksum` or `document`.

    Attributes:
        name: Template of its name. Fields: those of `NAME_FIELDS`.
        content: Template of its content. Fields: those of `CONTENT_FIELDS`; `count` is the number of data
            files, 1.
        before: Whether it gets its name before the data. By default after it.
        encoding: Of the content: one of `ENCODINGS`.
    """

    name: str
    content: str = ""
    before: bool = False
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        check_template("companions", self.name, NAME_FIELDS)
        check_template("companions", self.content, CONTENT_FIELDS)
        require_type("before", self.before, bool, wanted="True or False")
        if self.encoding not in ENCODINGS:
            raise InvalidRule("encoding", f"must be one of {', '.join(ENCODINGS)}, got {self.encoding!r}")
        if not Template(self.name).fields:
            raise InvalidRule(
                "companions",
                f"must have names that follow from the data, as '{{name}}.done' does, got {self.name!r}: "
                "the files of two objects would have the same name",
            )
        if self.name == "{name}":
            raise InvalidRule("companions", "must have another name than the data, got '{name}'")

    @classmethod
    def marker(cls, name: str, *, before: bool = False) -> Self:
        """Return an empty file that says that the data is complete (a semaphore).

        Args:
            name: Template of its name, such as `{name}.done`.
            before: Whether it gets its name before the data.
        """
        return cls(name=name, before=before)

    @classmethod
    def checksum(cls, algorithm: str, *, name: str = "", before: bool = False) -> Self:
        """Return a file with the checksum of the data, as `sha256sum` and `md5sum` write and check it.

        Args:
            algorithm: `sha256` or `md5`.
            name: Template of its name. By default `{name}.sha256` or `{name}.md5`.
            before: Whether it gets its name before the data.
        """
        try:
            used = Checksum(algorithm)
        except ValueError:
            known = ", ".join(Checksum)
            raise InvalidRule("checksum", f"must be one of {known}, got {algorithm!r}") from None
        # Two blanks: the hash of text mode, which is that of binary mode everywhere but on Windows.
        return cls(name=name or f"{{name}}.{used}", content=f"{{{used}}}  {{name}}\n", before=before)

    @classmethod
    def document(cls, name: str, content: str, *, before: bool = False, encoding: str = "utf-8") -> Self:
        """Return a file whose content follows from the data: a descriptor, a manifest, a control file.

        Args:
            name: Template of its name, such as `{stem}.xml`.
            content: Template of its content, such as `{name};{bytes};{sha256}`. Line ends are as written.
            before: Whether it gets its name before the data.
            encoding: Of the content.
        """
        if not content:
            raise InvalidRule("content", "must not be empty, got '': an empty file is Companion.marker(...)")
        return cls(name=name, content=content, before=before, encoding=encoding)
