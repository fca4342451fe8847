"""Files beside the data: markers, checksums, and descriptors or manifests from a template."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from s3_to_sftp.remote_path import refusal
from s3_to_sftp.rules.invalid import InvalidRule, require_type
from s3_to_sftp.rules.samples import SAMPLE_NAME, sample_beside
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

    Values are written as they are. Nothing is escaped for CSV, XML or JSON, whose rules differ: where names
    may hold `;`, `&` or quotation marks, forbid them with the rule `allowed_names`. Names never hold control
    characters; values of metadata may.
    """

    name: str
    content: str = ""
    before: bool = False
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        name = check_template("companions", self.name, NAME_FIELDS)
        content = check_template("companions", self.content, CONTENT_FIELDS)
        require_type("before", self.before, bool, wanted="True or False")
        if self.encoding not in ENCODINGS:
            raise InvalidRule("encoding", f"must be one of {', '.join(ENCODINGS)}, got {self.encoding!r}")
        if not name.uses("name", "stem", "sequence"):
            raise InvalidRule(
                "companions",
                f"must have names that follow from the data, as '{{name}}.done' does, got {self.name!r}: "
                "the files of two objects would have the same name",
            )
        if self.name in {"{name}", "{stem}{ext}"}:
            raise InvalidRule("companions", f"must have another name than the data, got {self.name!r}")
        self._check_text(name, content)

    def _check_text(self, name: Template, content: Template) -> None:
        given = sample_beside(name, SAMPLE_NAME)
        if "/" in given:
            raise InvalidRule(
                "companions", f"must be in the directory of the data, got '/' in the name {self.name!r}"
            )
        if why := refusal(directory="any", key=given):
            raise InvalidRule("companions", f"must have names that a file can have, got {self.name!r}: {why}")
        try:
            "".join(literal for literal, _ in content.parts).encode(self.encoding)
        except UnicodeEncodeError as error:
            raise InvalidRule(
                "encoding",
                f"must be one that can write the content, got {self.encoding!r}: it has no "
                f"{error.object[error.start]!r}",
            ) from None

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
        # Two blanks: the hash of text mode, which is that of binary mode everywhere but on Windows. Only a
        # name with line ends would need a backslash in front of the line, and no name has any.
        return cls(name=name or f"{{name}}.{used}", content=f"{{{used}}}  {{name}}\n", before=before)

    @classmethod
    def document(cls, name: str, content: str, *, before: bool = False, encoding: str = "utf-8") -> Self:
        """Return a file whose content follows from the data: a descriptor, a manifest, a control file.

        Args:
            name: Template of its name, such as `{stem}.xml`.
            content: Template of its content, such as `{name};{bytes};{sha256}`. Line ends are as written, and
                values, too: nothing is escaped.
            before: Whether it gets its name before the data.
            encoding: Of the content.
        """
        require_type("content", content, str, wanted="a text with fields in braces")
        if not content:
            raise InvalidRule("content", "must not be empty, got '': an empty file is Companion.marker(...)")
        return cls(name=name, content=content, before=before, encoding=encoding)
