"""Which licences may be shipped."""

from __future__ import annotations

from typing import Any

import pytest

from release.components import Component
from release.licences import is_allowed, refused, texts, without_text


def library(name: str = "thing", **arguments: Any) -> Component:
    given: dict[str, Any] = {
        "name": name,
        "version": "1.0",
        "purl": f"pkg:pypi/{name}@1.0",
        "licence": "MIT",
        "texts": {"LICENSE": "Permission is hereby granted."},
        "requires": frozenset(),
        "inside": (),
        **arguments,
    }
    return Component(**given)


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", True),
        ("Apache-2.0 OR GPL-2.0-only", True),
        ("Apache-2.0 AND GPL-2.0-only", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("LGPL-2.1", True),
        ("AGPL-3.0-only", False),
        ("BSD", False),
        ("Dual License", False),
        ("", False),
    ],
)
def test_licence_is_allowed_when_one_may_choose_an_allowed_one(expression: str, *, allowed: bool) -> None:
    assert is_allowed(expression) is allowed


def test_refusal_names_library_version_and_licence() -> None:
    (sentence,) = refused([library(), library("other", licence="AGPL-3.0-only")])
    assert sentence.startswith(
        "other 1.0 has the licence AGPL-3.0-only, which is not in release/licences.py."
    )


def test_what_is_compiled_into_a_library_counts() -> None:
    part = library("part", licence="")
    (sentence,) = refused([library(inside=(part,))])
    assert sentence.startswith("part (in thing) 1.0 has the licence (none stated)")


def test_texts_of_all_libraries_are_in_one() -> None:
    text = texts([library(), library("other", texts={"NOTICE": "Copyright somebody"})])
    assert "thing 1.0: MIT\n\nLICENSE\n\nPermission is hereby granted.\n" in text
    assert "other 1.0: MIT\n\nNOTICE\n\nCopyright somebody\n" in text
    assert without_text([library(), library("bare", texts={})]) == ["bare"]
