"""The documents of partners that take reports, feeds and claims."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from tests.support.strict_partner.document import Arrival, Document


class Ddex(Document):
    """Sales reports: the report, then an empty file with its name but for the counter, and `.ctrl`."""

    def __init__(self, *, recipient: str, sender: str, service: str) -> None:
        self._head = ["DSR", recipient, sender, service]

    def arrived(self, file: Arrival, earlier: Sequence[Arrival]) -> str:
        stem, ext = posixpath.splitext(file.name)
        names = [other.name for other in earlier]
        if ext == ".ctrl":
            return self._semaphore(file, stem, names)
        if ext != ".tsv":
            return f"{file.name} is neither .tsv nor .ctrl"
        parts = stem.split("_")
        if len(parts) != 8 or parts[:4] != self._head or " " in stem:
            return f"{file.name} has not the eight parts of a report's name"
        if not re.fullmatch(r"\d{4}-\d\d", parts[4]) or not re.fullmatch("[A-Z]{2}", parts[5]):
            return f"{file.name} has a wrong period or territory"
        if parts[6] != "1of1" or not re.fullmatch(r"\d{8}T\d{6}", parts[7]):
            return f"{file.name} has a wrong counter or time"
        return ""

    def _semaphore(self, file: Arrival, stem: str, names: Sequence[str]) -> str:
        if file.data:
            return f"{file.name} is not empty"
        if stem not in map(self._without_counter, names):
            return f"{file.name} announces a report that is not there"
        return ""

    def _without_counter(self, name: str) -> str:
        parts = posixpath.splitext(name)[0].split("_")
        return "_".join(part for place, part in enumerate(parts) if place != 6)

    def missing(self, arrivals: Sequence[Arrival]) -> str:
        stems = {posixpath.splitext(file.name)[0] for file in arrivals if file.name.endswith(".ctrl")}
        reports = [file.name for file in arrivals if file.name.endswith(".tsv")]
        late = [name for name in reports if self._without_counter(name) not in stems]
        return f"{late[0]} has no semaphore" if late else ""


class Google(Document):
    """Feeds: a descriptor lists the data files, which come after it; no name is used twice."""

    ending: ClassVar[str] = ".filesetdesc.json"

    def __init__(self, *, feeds: Sequence[str]) -> None:
        self._feeds = feeds

    def arrived(self, file: Arrival, earlier: Sequence[Arrival]) -> str:
        names = [other.name for other in earlier]
        if file.name in names:
            return f"{file.name} was used already"
        if file.name.endswith(self.ending):
            return self._descriptor(file, names)
        if not file.name.endswith(".json"):
            return f"{file.name} has not the extension .json"
        listed = [name for other in earlier for name in self._listed(other)]
        return "" if file.name in listed else f"no descriptor lists {file.name}"

    def _descriptor(self, file: Arrival, names: Sequence[str]) -> str:
        try:
            text: dict[str, Any] = json.loads(file.data)
        except ValueError:
            return f"{file.name} is not JSON"
        if set(text) != {"generation_timestamp", "name", "data_file"}:
            return f"{file.name} has other fields than a descriptor"
        if not isinstance(text["generation_timestamp"], int) or text["generation_timestamp"] < 1_500_000_000:
            return f"{file.name} has no time in seconds"
        if text["name"] not in self._feeds:
            return f"{text['name']} is an unknown feed"
        return "" if text["data_file"] else f"{file.name} lists no file"

    def _listed(self, file: Arrival) -> list[str]:
        return list(json.loads(file.data)["data_file"]) if file.name.endswith(self.ending) else []

    def missing(self, arrivals: Sequence[Arrival]) -> str:
        names = [file.name for file in arrivals]
        absent = [name for file in arrivals for name in self._listed(file) if name not in names]
        return f"{absent[0]} is listed, and did not come" if absent else ""


class WashingtonHca(Document):
    """Claims: `.dat` into HIPAA_Inbound of the tree for tests or for production."""

    inbox: ClassVar[str] = "/PROD/HIPAA_Inbound"
    directories: ClassVar[tuple[str, ...]] = (
        "/PROD/HIPAA_Ack", "/PROD/HIPAA_Error", "/TEST/HIPAA_Inbound", "/TEST/HIPAA_Ack", "/TEST/HIPAA_Error",
    )  # fmt: skip

    def __init__(self, *, trading_partner: str) -> None:
        self._id = trading_partner

    def arrived(self, file: Arrival, earlier: Sequence[Arrival]) -> str:
        if not file.name.endswith(".dat"):
            return f"{file.name} is no .dat file"
        kind, partner, rest = [*file.name.split("."), "", ""][:3]
        if kind != "HIPAA" or partner != self._id:
            return f"{file.name} is not of the trading partner {self._id}"
        time, _, original = rest.partition("_")
        if len(time) != 12 or not time.isdigit() or not 1 <= int(time[:2]) <= 12:
            return f"{file.name} has no time MMDDYYYYHHMM"
        return "" if original else f"{file.name} has no original name"


class WashingtonHcaTest(WashingtonHca):
    """The same, for tests."""

    inbox: ClassVar[str] = "/TEST/HIPAA_Inbound"
    directories: ClassVar[tuple[str, ...]] = ("/PROD/HIPAA_Inbound", "/TEST/HIPAA_Ack")
