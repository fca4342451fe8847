"""A conditional change of one item, and the update expression that makes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from s3_to_sftp.state.attributes import to_attribute

Path = str | tuple[str, str]
"""An attribute, or an entry of a map."""

Put = dict[Path, object]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What to change in one item, on condition that it is as expected.

    Attributes:
        pk: Partition key.
        sk: Sort key.
        expected: What these attributes must hold: a value, one of several (tuple), nothing (None).
        put: New values of attributes, or of entries of maps that exist.
        remove: Attributes, or entries of maps, to remove.
        is_permanent: Whether DynamoDB never deletes the item.
    """

    pk: str
    sk: str
    expected: Mapping[Path, object]
    put: Mapping[Path, object] = field(default_factory=dict)
    remove: Sequence[Path] = ()
    is_permanent: bool = False


def update_of(change: Change, *, expires: int | None) -> dict[str, Any]:
    """Return an update, alone or of a transaction, without the table's name. It also counts the revision.

    Args:
        change: What to change.
        expires: When DynamoDB may delete the item, in seconds since 1970; None leaves that as it is.
    """
    text = _Expression()
    put: dict[Path, object] = dict(change.put)
    if expires is not None and not change.is_permanent:
        put["expires"] = expires
    sets = [f"{text.name(path)} = {text.value(value)}" for path, value in put.items()]
    revision = text.name("revision")
    sets.append(f"{revision} = if_not_exists({revision}, {text.value(0)}) + {text.value(1)}")
    removes = [text.name(path) for path in dict.fromkeys(change.remove)]
    condition = " AND ".join(text.comparison(name, value) for name, value in change.expected.items())
    return {
        "Key": {"pk": to_attribute(change.pk), "sk": to_attribute(change.sk)},
        **({"ConditionExpression": condition} if condition else {}),
        "UpdateExpression": f"SET {', '.join(sets)}" + (f" REMOVE {', '.join(removes)}" if removes else ""),
        "ExpressionAttributeNames": text.names,
        "ExpressionAttributeValues": text.values,
        **({"ReturnValuesOnConditionCheckFailure": "ALL_OLD"} if condition else {}),
    }


class _Expression:
    """Collects the aliases of an update: many plain words, such as `temporary`, are reserved in DynamoDB."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, dict[str, Any]] = {}
        self._aliases: dict[str, str] = {}

    def name(self, path: Path) -> str:
        parts = (path,) if isinstance(path, str) else path
        return ".".join(self._alias(part) for part in parts)

    def value(self, value: object) -> str:
        alias = f":v{len(self.values)}"
        self.values[alias] = to_attribute(value)
        return alias

    def comparison(self, name: Path, value: object) -> str:
        if value is None:
            return f"attribute_not_exists({self.name(name)})"
        if isinstance(value, tuple):
            return f"{self.name(name)} IN ({', '.join(self.value(one) for one in value)})"
        return f"{self.name(name)} = {self.value(value)}"

    def _alias(self, name: str) -> str:
        alias = self._aliases.setdefault(name, f"#n{len(self._aliases)}")
        self.names[alias] = name
        return alias
