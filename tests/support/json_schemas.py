"""Schemas as tests apply them: consumers ignore what they do not know, and we must not send it."""

from __future__ import annotations

from typing import Any


def draft_2020_12() -> Any:
    """Return the validator. Importing it takes more than a second, for the grammars of its formats."""
    import jsonschema  # type: ignore[import-untyped]  # ships no types

    return jsonschema.Draft202012Validator


def without_additional_properties(schema: Any) -> Any:
    """Return a schema that accepts only fields which it names, or allows explicitly, however deep."""
    if isinstance(schema, list):
        return [without_additional_properties(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: without_additional_properties(part) for name, part in schema.items()}
    return {"additionalProperties": False, **parts} if "properties" in schema else parts
