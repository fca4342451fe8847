"""What a JSON schema says of the fields of a document, a line each.

Such as `json status: partner (always null or object)`, `json status: next (always array of object)`, or
`json receipts: receipt.sha256 (sometimes string)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_ALWAYS, _SOMETIMES, _OR = "always ", "sometimes ", " or "
_TYPES = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}


def fields(title: str, schema: Schema, *, root: Schema) -> Iterator[str]:
    """Yield the lines about the fields of an object, also below alternatives and references.

    Args:
        title: What the lines begin with.
        schema: That of the object.
        root: Where references are looked up.
    """
    yield from _below([schema], root, f"{title}: ")


def name_of(line: str) -> str:
    """Return the line without what it says of the value."""
    return line.partition(" (")[0]


def breaks(before: str, now: str) -> bool:
    """Return whether programs may miss the field, or meet a type of value that they have never met."""
    old, new = (each.removeprefix(name_of(each)).strip(" ()") for each in (before, now))
    types = [set(each.removeprefix(_ALWAYS).removeprefix(_SOMETIMES).split(_OR)) for each in (old, new)]
    return (old.startswith(_ALWAYS) and not new.startswith(_ALWAYS)) or not types[1] <= types[0]


def line(name: str, types: Iterable[str], *, always: bool) -> str:
    """Return the line about a field."""
    return f"{name} ({_ALWAYS if always else _SOMETIMES}{_OR.join(sorted(types))})"


def type_of(value: object) -> str:
    """Return what JSON calls the type of a value."""
    return _TYPES.get(type(value), "object")


def _below(schemas: Iterable[Schema], root: Schema, path: str) -> Iterator[str]:
    objects = [each for each in _alternatives(schemas, root) if "properties" in each]
    for name in sorted({name for each in objects for name in each["properties"]}):
        values = [each["properties"][name] for each in objects if name in each["properties"]]
        always = all(name in each.get("required", ()) for each in objects)
        yield line(f"{path}{name}", _types(values, root), always=always)
        yield from _below(values, root, f"{path}{name}.")
        yield from _below(_items(values, root), root, f"{path}{name}[].")


def _alternatives(schemas: Iterable[Schema], root: Schema) -> Iterator[Schema]:
    """Yield what a value may be, each without `oneOf` and references."""
    for each in schemas:
        if "$ref" in each:
            yield from _alternatives([_found(each["$ref"], root)], root)
        elif among := [*each.get("oneOf", ()), *each.get("anyOf", ())]:
            yield from _alternatives(among, root)
        else:
            yield each


def _found(reference: str, root: Schema) -> Schema:
    place: Any = root
    for step in reference.removeprefix("#/").split("/"):
        place = place[int(step) if isinstance(place, list) else step]
    found: Schema = place
    return found


def _items(schemas: Iterable[Schema], root: Schema) -> list[Schema]:
    return [each["items"] for each in _alternatives(schemas, root) if "items" in each]


def _types(schemas: Iterable[Schema], root: Schema) -> set[str]:
    return {name for each in _alternatives(schemas, root) for name in _types_of(each, root)}


def _types_of(schema: Schema, root: Schema) -> Iterator[str]:
    named = schema.get("type", [])
    types = {named} if isinstance(named, str) else set(named)
    values = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
    types |= {type_of(each) for each in values}
    for each in types or {"anything"}:
        items = _types(_items([schema], root), root) if each == "array" else None
        yield f"array of {'/'.join(sorted(items))}" if items else each
