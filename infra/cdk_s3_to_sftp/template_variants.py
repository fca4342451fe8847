"""Combines several templates into one with conditions: Fn::If where they differ."""

from collections.abc import Iterable, Mapping
from typing import Any

_NO_VALUE = {"Ref": "AWS::NoValue"}
_ABSENT = object()


def combine(base: Mapping[str, Any], variants: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Combine templates of one stack.

    A resource that a variant lacks gets the condition `Not<condition>`, which the template must define, too.

    Args:
        base: The template if no condition is true. It has every resource of every variant.
        variants: Condition -> the template if it is true.

    Raises:
        ValueError: Two variants change the same value, or one changes something that cannot have a condition.
    """
    combined = dict(base)
    combined["Resources"] = {
        name: _resource(name, resource, {at: each["Resources"].get(name) for at, each in variants.items()})
        for name, resource in base["Resources"].items()
    }
    combined["Outputs"] = {
        name: _choose(name, output, {at: each["Outputs"][name] for at, each in variants.items()})
        for name, output in base["Outputs"].items()
    }
    for condition, variant in variants.items():
        if more := variant["Resources"].keys() - base["Resources"].keys():
            raise ValueError(f"{condition} has resources that the base does not have: {sorted(more)}")
    return combined


def _resource(name: str, base: dict[str, Any], variants: dict[str, dict[str, Any] | None]) -> dict[str, Any]:
    absent = [condition for condition, each in variants.items() if each is None]
    others = {condition: each for condition, each in variants.items() if each is not None}
    for condition, each in others.items():
        if changed := [key for key in _keys([base, each]) if _differs(key, base, each)]:
            raise ValueError(f"{condition} changes {', '.join(changed)} of {name}: no condition can")
    properties = _choose(
        name, base.get("Properties", {}), {at: each.get("Properties", {}) for at, each in others.items()}
    )
    resource = {**base, "Properties": properties}
    if not absent:
        return resource
    (condition,) = absent
    return {**resource, "Condition": f"Not{condition}"}


def _differs(key: str, base: dict[str, Any], variant: dict[str, Any]) -> bool:
    # Metadata cannot have conditions: the suppressions of the base apply to all variants.
    return key not in {"Properties", "Metadata"} and base.get(key) != variant.get(key)


def _choose(path: str, base: Any, variants: dict[str, Any]) -> Any:
    changed = {condition: each for condition, each in variants.items() if each != base}
    if not changed:
        return base
    alternatives = [base, *changed.values()]
    if all(_is_structure(each) for each in alternatives):
        return {
            key: _choose(
                f"{path}.{key}",
                base.get(key, _ABSENT),
                {condition: each.get(key, _ABSENT) for condition, each in changed.items()},
            )
            for key in _keys(alternatives)
        }
    if all(isinstance(each, list) and len(each) == len(base) for each in alternatives):
        return [
            _choose(f"{path}.{at}", item, {condition: each[at] for condition, each in changed.items()})
            for at, item in enumerate(base)
        ]
    if len(changed) > 1:
        raise ValueError(f"{' and '.join(changed)} change {path}: only one of them can")
    ((condition, value),) = changed.items()
    return {"Fn::If": [condition, _or_none(value), _or_none(base)]}


def _is_structure(value: Any) -> bool:
    """Return whether its keys may differ one by one, unlike those of intrinsic functions."""
    return isinstance(value, dict) and not any(key == "Ref" or key.startswith("Fn::") for key in value)


def _keys(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for each in mappings for key in each))


def _or_none(value: Any) -> Any:
    return _NO_VALUE if value is _ABSENT else value
