"""Whether there is a key at all that has some patterns and not others: the shortest one is looked for."""

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

LONGEST_KEY = 1024
"""Bytes in UTF-8 (Amazon S3 User Guide, "Naming Amazon S3 objects")."""

_MOST_STATES = 3000
"""Patterns for which more would have to be looked at are taken as they are."""
_PART = re.compile(r"\*|\?|\[!?+\]?+[^\]]*+\]|.", re.DOTALL)
"""As `fnmatch` reads a pattern: a bracket that is not closed stands for itself."""
_USUAL = "a0Z-_. é中"
"""One of these is in no pattern that anybody writes, and stands for all such characters."""

Pattern = tuple[str, ...]
"""Parts of a pattern: `*`, `?`, a set in brackets, or a character, as `[x]` where it would be another."""
_State = tuple[frozenset[int], ...]
"""For each pattern the places in it that the characters so far may have led to."""


def pattern_of(text: str) -> Pattern:
    """Return the parts of a pattern of `fnmatch`."""
    return tuple("[[]" if part == "[" else part for part in _PART.findall(text))


def beginning(prefix: str) -> Pattern:
    """Return the pattern of keys with this prefix."""
    return (*_literal(prefix), "*")


def ending(suffix: str) -> Pattern:
    """Return the pattern of keys with this suffix."""
    return ("*", *_literal(suffix))


def has_open_bracket(text: str) -> bool:
    """Return whether a bracket is not closed, and would stand for itself."""
    return "[" in _PART.findall(text)


def shortest_key(required: Sequence[Sequence[Pattern]], forbidden: Sequence[Pattern]) -> str | None:
    """Return a key for a file that has one pattern of each group, and none of the forbidden ones.

    Args:
        required: Groups of patterns, none of which is empty.
        forbidden: Patterns that the key must not have.

    Returns:
        The key; empty: that would take too long to find out; None: there is none. A key does not begin or end
        with '/', and has at most 1024 bytes.
    """
    patterns = [*itertools.chain.from_iterable(required), *forbidden]
    characters = _characters(patterns)
    start: _State = tuple(_from(frozenset({0}), each) for each in patterns)
    seen, now = set[_State](), [("", start)]  # not the start: '/' may follow a character, but not begin a key
    while now:
        following: list[tuple[str, _State]] = []
        for key, state in now:
            for character in characters:
                if not key and character == "/":
                    continue
                after = tuple(
                    _step(places, each, character) for places, each in zip(state, patterns, strict=True)
                )
                longer = key + character
                if character != "/" and _is_wanted(after, required, forbidden):
                    return longer if len(longer.encode()) <= LONGEST_KEY else None
                if after in seen or _is_hopeless(after, required, forbidden):
                    continue
                if len(seen) >= _MOST_STATES:
                    return ""
                seen.add(after)
                following.append((longer, after))
        now = following
    return None


def _literal(text: str) -> Pattern:
    return tuple(f"[{each}]" if each in "*?[" else each for each in text)


def _from(places: frozenset[int], pattern: Pattern) -> frozenset[int]:
    """Add the places behind each `*`, which may stand for nothing."""
    found = set(places)
    for place in places:
        while place < len(pattern) and pattern[place] == "*":
            place += 1
            found.add(place)
    return frozenset(found)


@functools.lru_cache(maxsize=4096)
def _step(places: frozenset[int], pattern: Pattern, character: str) -> frozenset[int]:
    after = {
        place if pattern[place] == "*" else place + 1
        for place in places
        if place < len(pattern) and _has(pattern[place], character)
    }
    return _from(frozenset(after), pattern)


def _has(part: str, character: str) -> bool:
    return fnmatchcase(character, part) if len(part) > 1 else part in {"*", "?", character}


def _groups(
    state: _State, required: Sequence[Sequence[Pattern]]
) -> Iterator[list[tuple[frozenset[int], Pattern]]]:
    places = iter(state)
    for group in required:
        yield [(next(places), pattern) for pattern in group]


def _of_forbidden(state: _State, forbidden: Sequence[Pattern]) -> list[tuple[frozenset[int], Pattern]]:
    return list(zip(state[len(state) - len(forbidden) :], forbidden, strict=True))


def _is_wanted(state: _State, required: Sequence[Sequence[Pattern]], forbidden: Sequence[Pattern]) -> bool:
    return all(
        any(len(pattern) in places for places, pattern in group) for group in _groups(state, required)
    ) and not any(len(pattern) in places for places, pattern in _of_forbidden(state, forbidden))


def _is_hopeless(state: _State, required: Sequence[Sequence[Pattern]], forbidden: Sequence[Pattern]) -> bool:
    """Return whether no longer key can be wanted: a group cannot be had, or all have a forbidden one."""
    return any(not any(places for places, _ in group) for group in _groups(state, required)) or any(
        len(pattern) in places and pattern[-1:] == ("*",)
        for places, pattern in _of_forbidden(state, forbidden)
    )


def _characters(patterns: Sequence[Pattern]) -> list[str]:
    """Return characters of which each other one is like: no pattern tells them apart."""
    named = {each for pattern in patterns for part in pattern for each in part.strip("[]!") or part}
    ends = {each for pattern in patterns for part in pattern if len(part) > 1 for each in part}
    beside = {near for each in ends for step in (1, -1) if (near := _near(each, step))}
    return sorted(each for each in {*named, *beside, *_USUAL, "/"} if _is_plain(each))


def _near(character: str, step: int) -> str:
    """Return the next character that is in names; empty: there is none."""
    number = ord(character) + step
    while 0 < number < 0x10FFFF and not _is_plain(chr(number)):
        number += step
    return chr(number) if 0 < number < 0x10FFFF else ""


def _is_plain(character: str) -> bool:
    return unicodedata.category(character)[0] != "C"
