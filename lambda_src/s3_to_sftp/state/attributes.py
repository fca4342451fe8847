"""Attribute values of DynamoDB: written from plain values, and checked when they are read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from s3_to_sftp.errors import Disposition, LedgerError

_E = TypeVar("_E", bound=StrEnum)

Item = Mapping[str, Mapping[str, Any]]
"""An item as the low-level client returns it: `{"state": {"S": "SENDING"}}`."""


@dataclass(frozen=True)
class RawAttribute:
    """A value as DynamoDB returned it, to be written back as it is.

    Attributes:
        value: For example `{"S": "text"}`.
    """

    value: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return a text of the map that it is; empty where there is none."""
        entry = self.value.get("M", {}).get(name, {})
        return str(entry.get("S", "")) if isinstance(entry, Mapping) else ""

    def with_number(self, name: str, number: float) -> "RawAttribute":
        """Return the map that it is with one more entry; what is no map stays as it is."""
        if not isinstance(self.value.get("M"), Mapping):
            return self
        return RawAttribute({"M": {**self.value["M"], name: to_attribute(number)}})

    def number(self, name: str) -> float:
        """Return a number of the map that it is; 0 where there is none."""
        entry = self.value.get("M", {}).get(name, {})
        try:
            return float(entry["N"])
        except (TypeError, KeyError, ValueError):
            return 0


def to_attribute(value: object) -> dict[str, Any]:
    """Return a value in the form that the low-level client takes.

    boto3 has a serializer of its own, but that one refuses floats.

    Raises:
        TypeError: DynamoDB has no type for it.
    """
    match value:
        case None:
            return {"NULL": True}
        case RawAttribute():
            return dict(value.value)
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": repr(value)}
        case str():
            return {"S": str(value)}
        case Mapping():
            return {"M": {name: to_attribute(part) for name, part in value.items()}}
        case list() | tuple():
            return {"L": [to_attribute(part) for part in value]}
    raise TypeError(f"the table stores text, numbers, maps and lists, got {type(value).__name__}")


class Fields:
    """Reads typed attributes of an item, or of a map in it.

    Every method raises a `LedgerError` that names the item when the attribute cannot be one that we wrote.

    Args:
        item: As DynamoDB returned it.
        name: How errors name it; by default its keys.
        hint: What a person can do about a corrupt item.
    """

    def __init__(
        self,
        item: Item,
        name: str = "",
        *,
        hint: str = "Look at the item; fix or delete it, then redrive the message.",
    ) -> None:
        self._item = item
        self._name = name or " / ".join(
            str(item.get(part, {}).get("S", f"no {part}")) for part in ("pk", "sk")
        )
        self._hint = hint

    def text(self, name: str) -> str:
        """Return a text."""
        value = self._value(name, "S")
        if not isinstance(value, str):
            raise self._corrupt(name, "text")
        return value

    def optional_text(self, name: str) -> str | None:
        """Return a text, or None where the attribute is missing."""
        return self.text(name) if name in self._item else None

    def number(self, name: str) -> float:
        """Return a number."""
        try:
            return float(self._value(name, "N"))
        except (TypeError, ValueError):
            raise self._corrupt(name, "a number") from None

    def integer(self, name: str) -> int:
        """Return a whole number that is not negative."""
        try:  # through `int` alone: a CRC of 64 bits would not survive a float
            value = int(self._value(name, "N"))
        except (TypeError, ValueError):
            raise self._corrupt(name, "a whole number") from None
        if value < 0:
            raise self._corrupt(name, "a whole number from 0 on")
        return value

    def optional_integer(self, name: str) -> int | None:
        """Return a whole number that is not negative, or None where the attribute is NULL."""
        return None if self._value(name, "NULL") else self.integer(name)

    def flag(self, name: str) -> bool:
        """Return true or false."""
        value = self._value(name, "BOOL")
        if not isinstance(value, bool):
            raise self._corrupt(name, "true or false")
        return value

    def optional_flag(self, name: str, *, otherwise: bool) -> bool:
        """Return true or false, or something else where the attribute is missing."""
        return self.flag(name) if name in self._item else otherwise

    def one_of(self, name: str, known: type[_E]) -> _E:
        """Return a member of the enumeration."""
        try:
            return known(self.text(name))
        except ValueError:
            raise self._corrupt(name, f"one of {', '.join(known)}") from None

    def map(self, name: str) -> "Fields":
        """Return the fields of a map."""
        value = self._value(name, "M")
        if not isinstance(value, Mapping):
            raise self._corrupt(name, "a map")
        return Fields(value, f"{self._name} / {name}", hint=self._hint)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        values = self._value(name, "L")
        if not isinstance(values, list) or not all(isinstance(value.get("S"), str) for value in values):
            raise self._corrupt(name, "a list of texts")
        return tuple(value["S"] for value in values)

    def raw_list(self, name: str) -> tuple[RawAttribute, ...]:
        """Return the values of a list as they are, or nothing where the attribute is missing."""
        if name not in self._item:
            return ()
        values = self._value(name, "L")
        if not isinstance(values, list) or not all(isinstance(value, Mapping) for value in values):
            raise self._corrupt(name, "a list")
        return tuple(RawAttribute(value) for value in values)

    def raw(self, name: str) -> RawAttribute | None:
        """Return a value as it is, or None where the attribute is missing."""
        return RawAttribute(self._item[name]) if name in self._item else None

    def optional_map(self, name: str) -> "Fields | None":
        """Return the fields of a map, or None where the attribute is missing."""
        return self.map(name) if name in self._item else None

    def integers(self) -> dict[str, int]:
        """Return all fields, each a whole number that is not negative."""
        return {name: self.integer(name) for name in self._item}

    def all_texts(self) -> dict[str, str]:
        """Return all fields, each a text."""
        return {name: self.text(name) for name in self._item}

    def names(self) -> tuple[str, ...]:
        """Return the names of all fields."""
        return tuple(self._item)

    def maps_in(self, name: str) -> "tuple[Fields, ...]":
        """Return a list of maps."""
        values = self._value(name, "L")
        if not isinstance(values, list) or not all(isinstance(each.get("M"), Mapping) for each in values):
            raise self._corrupt(name, "a list of maps")
        return tuple(Fields(each["M"], f"{self._name} / {name}", hint=self._hint) for each in values)

    def maps(self) -> "Iterable[tuple[str, Fields]]":
        """Return all fields, each a map."""
        return ((name, self.map(name)) for name in self._item)

    def _value(self, name: str, kind: str) -> Any:
        return self._item.get(name, {}).get(kind)

    def _corrupt(self, name: str, wanted: str) -> LedgerError:
        return LedgerError(
            f"The ledger's item {self._name} is corrupt: "
            f"{name!r} should be {wanted}, is {self._item.get(name)!r}.",
            hint=self._hint,
            disposition=Disposition.PERMANENT,
        )
