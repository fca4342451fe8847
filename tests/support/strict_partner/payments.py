"""The documents of processors and banks."""

from __future__ import annotations

import posixpath
import string
from collections.abc import Sequence
from typing import ClassVar

from tests.support.strict_partner.document import Arrival, Document

DIGITS = set(string.digits)


def split_name(name: str) -> tuple[str, str]:
    """Return a name's stem, and its extension with the dot."""
    return posixpath.splitext(name)


class Worldpay(Document):
    """Account Updater: NAME.prg, mode 664, then NAME.asc."""

    most_characters: ClassVar[int] = 128

    def is_temporary(self, name: str) -> bool:
        return name.endswith(".prg")

    def written(self, path: str) -> str:
        name = posixpath.basename(path)
        if " " in name:
            return f"{name!r} has a space"
        if not name.endswith(".prg"):
            return f"{name} is uploaded without the extension .prg"
        return self.placed(path)

    def renamed(self, old: str, new: str) -> str:
        if new.count(".prg"):
            return f"{new} still has .prg in its name"
        return "" if split_name(old)[0] == split_name(new)[0] else f"{new} has another name than {old}"

    def arrived(self, file: Arrival, earlier: Sequence[Arrival]) -> str:
        if not file.name.endswith(".asc"):
            return f"{file.name} has not the extension .asc"
        if len(file.name) > self.most_characters:
            return f"{file.name} has more than {self.most_characters} characters"
        return "" if file.mode == 0o664 else f"{file.name} has the mode {file.mode:o}, not 664"


class Valitor(Document):
    """Clearing: YMMDD, three digits, `.otf`; `.partial` behind it while it is uploaded."""

    def __init__(self, *, today: str, test: bool = False) -> None:
        self._today = today  # its last digit of the year, month and day
        self._test = test

    def is_temporary(self, name: str) -> bool:
        return name.endswith(".partial")

    def written(self, path: str) -> str:
        name = posixpath.basename(path)
        return self.placed(path) if self.is_temporary(name) else f"{name} is uploaded without .partial"

    def renamed(self, old: str, new: str) -> str:
        return "" if old == f"{new}.partial" else f"{old} becomes {new}, not the same without .partial"

    def arrived(self, file: Arrival, earlier: Sequence[Arrival]) -> str:
        stem, ext = split_name(file.name)
        if ext != ".otf":
            return f"{file.name} has not the extension .otf"
        if len(stem) != 8 or set(stem) - DIGITS:
            return f"{file.name} is not a date YMMDD and three digits"
        if not stem.startswith(self._today):
            return f"{file.name} is not of today, {self._today}"
        if (stem[5] == "9") != self._test:
            return f"{file.name} has an id of the other environment"
        return f"{file.name} was there already" if file.replaces else ""


class Adyen(Document):
    """Batch files: PLATFORM_NUMBER_TYPE.csv, and the number is the last one plus one."""

    def __init__(self, *, platform: str, types: Sequence[str], next_number: int = 1) -> None:
        self._platform = platform
        self._types = types
        self._first = next_number

    def arrived(self, file: Arrival, earlier: Sequence[Arrival]) -> str:
        stem, ext = split_name(file.name)
        if ext != ".csv":
            return f"{file.name} has not the extension .csv"
        parts = stem.split("_")
        if len(parts) != 3 or set(parts[1]) - DIGITS:
            return f"{file.name} is not PLATFORM_NUMBER_TYPE.csv"
        platform, number, kind = parts
        if platform != self._platform:
            return f"{platform} is an unknown platform"
        if kind not in self._types:
            return f"{kind} is an unknown file type"
        if number != str(int(number)):
            return f"{number} is not written as a number"
        expected = self._first + len(earlier)
        if int(number) < expected:
            return f"number {number} was used already"
        return "" if int(number) == expected else f"number {number} leaves a gap: {expected} is next"


class PayGears(Document):
    """ACH: YYYY_MM_DD_#.csv, where # is a digit or a capital letter; an accepted file stays."""

    def arrived(self, file: Arrival, earlier: Sequence[Arrival]) -> str:
        stem, ext = split_name(file.name)
        if ext != ".csv":
            return f"{file.name} has not the extension .csv"
        parts = stem.split("_")
        if [len(part) for part in parts] != [4, 2, 2, 1]:
            return f"{file.name} is not YYYY_MM_DD_#.csv"
        if set("".join(parts[:3])) - DIGITS or parts[3] not in string.digits + string.ascii_uppercase:
            return f"{file.name} has a character that is not allowed"
        return f"{file.name} was accepted already" if file.replaces else ""


class Bcb(Document):
    """Bulk payments: into /input of an Azure Blob Storage, never the same file twice."""

    inbox: ClassVar[str] = "/input"
    directories: ClassVar[tuple[str, ...]] = ("/output", "/archive")
    can_set_attributes: ClassVar[bool] = False
    writes_in_order: ClassVar[bool] = True

    def written(self, path: str) -> str:
        directory, name = posixpath.split(path)
        if directory in self.directories and self.is_temporary(name):
            return ""  # Azure takes it there; its RENAME fails
        return super().written(path)

    def renamed(self, old: str, new: str) -> str:
        same = posixpath.dirname(old) == posixpath.dirname(new)
        return "" if same else f"{old} cannot be renamed to another directory"

    def arrived(self, file: Arrival, earlier: Sequence[Arrival]) -> str:
        if file.replaces:
            return f"{file.name} is a duplicate"
        if any(file.data == other.data for other in earlier):
            return f"the payments in {file.name} are duplicates"
        return "" if b"<CstmrCdtTrfInitn>" in file.data else f"{file.name} is not pain.001"
