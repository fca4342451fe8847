"""Compression with gzip (RFC 1952): the same bytes for the same object, rules and version of zlib."""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from s3_to_sftp.errors import RuleRefused
from s3_to_sftp.rules.invalid import InvalidRule, require_range, require_type
from s3_to_sftp.rules.template import Template, check_template
from s3_to_sftp.rules.transformed_object import SigningKeySource, TransformedObject
from s3_to_sftp.stream_transform import StreamTransform

NAME_FIELDS = frozenset({"name", "stem", "ext"})
"""Of the object's key."""

_MAGIC, _DEFLATE, _FLAG_NAME, _UNKNOWN_SYSTEM = b"\x1f\x8b", 8, 8, 255
_BEST, _FASTEST = 9, 1
_LAST_TIME = 0xFFFF_FFFF


class GzipTime(StrEnum):
    """The modification time in the header."""

    NONE = "none"
    EVENT = "event"
    """When the object was put."""


@dataclass(frozen=True, kw_only=True)
class Gzip:
    """Compress the data with gzip. Its final name is what the rule `name` says: `name="{key}.gz"`.

    Attributes:
        level: 1 (fastest) to 9 (smallest).
        file_name: Template of the file name in the header, which `gunzip -N` gives the file. Fields:
            `{name}`, `{stem}` and `{ext}` of the key. By default none.
        time: The modification time in the header. By default none, which makes the bytes depend on the
            object's alone.
    """

    level: int = 6
    file_name: str = ""
    time: GzipTime = GzipTime.NONE

    def __post_init__(self) -> None:
        require_range("level", self.level, _FASTEST, _BEST)
        check_template("file_name", self.file_name, NAME_FIELDS)
        require_type("time", self.time, GzipTime, wanted="GzipTime.NONE or GzipTime.EVENT")
        literal = "".join(text for text, _ in Template(self.file_name).parts)
        if why := _complaint(literal):
            raise InvalidRule("file_name", f"must be one that a gzip header can hold, got {literal!r}: {why}")

    @property
    def uses_event_time(self) -> bool:
        """Whether it needs to know when the object was put."""
        return self.time is GzipTime.EVENT

    def described(self, item: TransformedObject) -> str:
        """Return what it does to the object, in words: the same words, the same header.

        Raises:
            RuleRefused: The header cannot hold the name.
        """
        name = self._name(item)
        named = f", file name {name!r} in the header" if name else ""
        timed = f", time {self._seconds(item)} in the header" if self.time is GzipTime.EVENT else ""
        return f"compress with gzip, level {self.level}{named}{timed}"

    def stream(self, item: TransformedObject, signing_key: SigningKeySource) -> StreamTransform:  # noqa: ARG002 - the protocol of rules
        """Return one pass over the object.

        Raises:
            RuleRefused: See `described`.
        """
        return _GzipStream(self.level, name=self._name(item), seconds=self._seconds(item))

    def _name(self, item: TransformedObject) -> str:
        name = Template(self.file_name).rendered({"name": item.name, "stem": item.stem, "ext": item.ext})
        if why := _complaint(name):
            raise RuleRefused(
                "transforms",
                f"The rule Gzip(file_name={self.file_name!r}) gives {item.name!r} the name {name!r}, which "
                f"a gzip header cannot hold: {why}.",
                value=name,
                hint="Put the object again under another key, or leave `file_name` out of the rule.",
            )
        return name

    def _seconds(self, item: TransformedObject) -> int:
        is_known = self.time is GzipTime.EVENT and 0 < item.event_time <= _LAST_TIME
        return item.event_time if is_known else 0


def _complaint(name: str) -> str:
    if "\0" in name:
        return "it has a NUL, which ends it"
    try:
        name.encode("latin-1")
    except UnicodeEncodeError as error:
        return f"RFC 1952 allows the characters of Latin-1, and {error.object[error.start]!r} is none of them"
    return ""


class _GzipStream:
    """One member: header, raw deflate, CRC-32 and size."""

    def __init__(self, level: int, *, name: str, seconds: int) -> None:
        extra = {_BEST: 2, _FASTEST: 4}.get(level, 0)
        flags = _FLAG_NAME if name else 0
        fixed = struct.pack("<BBIBB", _DEFLATE, flags, seconds, extra, _UNKNOWN_SYSTEM)
        self._header = _MAGIC + fixed + (name.encode("latin-1") + b"\0" if name else b"")
        self._deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._crc = self._size = 0

    @property
    def about(self) -> Mapping[str, str]:
        return {}

    def feed(self, data: bytes | memoryview) -> bytes:
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        header, self._header = self._header, b""
        return header + self._deflate.compress(data)

    def finish(self) -> bytes:
        trailer = struct.pack("<II", self._crc, self._size & 0xFFFF_FFFF)
        return self._header + self._deflate.flush() + trailer

    def close(self) -> None:
        """Hold nothing that must be given up."""
