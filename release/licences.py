"""Which licences may be shipped, and the texts that have to come with them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

from license_expression import (  # type: ignore[import-untyped] # has no stubs here
    AND,
    OR,
    ExpressionError,
    LicenseSymbol,
    LicenseWithExceptionSymbol,
    get_spdx_licensing,
)

from release.components import Component

ALLOWED = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "ISC",
        "MIT",
        "MIT-0",
        "PSF-2.0",
        "Python-2.0",
        "Unicode-3.0",
        "Unlicense",
        "Zlib",
        # paramiko: shipped as source, and so can be exchanged, which is what its licence asks for.
        "LGPL-2.1-only",
        "LGPL-2.1-or-later",
        # Sequoia, inside pysequoia, whose source and build are public.
        "LGPL-2.0-or-later",
    }
)
"""SPDX identifiers. A new one is a decision: read the licence, then add it here with the reason."""

_SEPARATOR = "-" * 78


def refused(components: Iterable[Component]) -> list[str]:
    """Return a sentence for each library, and each that is compiled into one, that may not be shipped."""
    return [
        f"{name} {each.version} has the licence {each.licence or '(none stated)'}, which is not in "
        "release/licences.py. Read it, and add it there, or ship something else."
        for name, each in _with_what_is_inside(components)
        if not is_allowed(each.licence)
    ]


@functools.cache
def is_allowed(expression: str) -> bool:
    """Return whether one may ship what has this licence: one of an OR, all of an AND."""
    try:
        parsed = _licensing().parse(expression, validate=True)
    except ExpressionError:
        return False
    return parsed is not None and _holds(parsed)


def texts(components: Iterable[Component]) -> str:
    """Return one text with the licences and notices of the libraries, which most of them ask for."""
    return "\n".join(_text(components))


def without_text(components: Iterable[Component]) -> list[str]:
    """Return the names of libraries that bring no text of their licence."""
    return [each.name for each in components if not each.texts]


@functools.cache
def _licensing() -> Any:
    """Return what knows all licences of SPDX: half a second to make."""
    return get_spdx_licensing()


def _with_what_is_inside(components: Iterable[Component]) -> Iterator[tuple[str, Component]]:
    for each in components:
        yield each.name, each
        yield from ((f"{part.name} (in {each.name})", part) for part in each.inside)


def _holds(parsed: object) -> bool:
    if isinstance(parsed, OR):
        return any(_holds(each) for each in parsed.args)
    if isinstance(parsed, AND):
        return all(_holds(each) for each in parsed.args)
    if isinstance(parsed, LicenseWithExceptionSymbol | LicenseSymbol):
        return parsed.render("{symbol.key}") in ALLOWED
    return False


def _text(components: Iterable[Component]) -> Iterator[str]:
    yield "Licences and notices of the libraries that are shipped with the function.\n"
    for each in components:
        yield _SEPARATOR
        yield f"{each.name} {each.version}: {each.licence}"
        for name, text in each.texts.items():
            yield f"\n{name}\n\n{text.strip()}\n"
