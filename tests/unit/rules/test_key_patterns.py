"""A key that patterns leave is found, and none is said to be left only where there is none."""

from __future__ import annotations

import itertools
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_sftp.rules import key_patterns
from s3_to_sftp.rules.key_patterns import beginning, ending, has_open_bracket, pattern_of, shortest_key

PATTERNS = st.lists(st.sampled_from(["*", "?", "a", "b", "/", "[ab]", "[!a]", "[!a-b]", "[b-a]"]), max_size=5)
TEXTS = st.text("ab/", max_size=3)


def is_left(key: str, prefixes: list[str], suffixes: list[str], exclude: list[str]) -> bool:
    return (
        key.startswith(tuple(prefixes))
        and key.endswith(tuple(suffixes))
        and not any(fnmatchcase(key, pattern) for pattern in exclude)
    )


def found(prefixes: list[str], suffixes: list[str], exclude: list[str]) -> str | None:
    required = [[beginning(each) for each in prefixes], [ending(each) for each in suffixes]]
    return shortest_key(required, [pattern_of(each) for each in exclude])


@given(
    st.lists(TEXTS, min_size=1, max_size=2),
    st.lists(TEXTS, min_size=1, max_size=2),
    st.lists(PATTERNS.map("".join), max_size=3),
)
def test_key_is_left_if_and_only_if_one_is_found(
    prefixes: list[str], suffixes: list[str], exclude: list[str]
) -> None:
    key = found(prefixes, suffixes, exclude)
    if key:
        assert is_left(key, prefixes, suffixes, exclude)
        assert not key.startswith("/")
        assert not key.endswith("/")
    if key is None:
        for length in range(1, 5):
            for each in map("".join, itertools.product("abz/", repeat=length)):
                is_file = not (each.startswith("/") or each.endswith("/"))
                assert not (is_file and is_left(each, prefixes, suffixes, exclude)), each


@given(PATTERNS.map("".join), TEXTS)
def test_key_that_has_a_pattern_is_found_if_there_is_one(pattern: str, prefix: str) -> None:
    key = shortest_key([[beginning(prefix)], [pattern_of(pattern)]], [])
    if key:
        assert key.startswith(prefix)
        assert fnmatchcase(key, pattern)
    if key is None:
        for each in (e for n in range(1, 5) for e in map("".join, itertools.product("abz/", repeat=n))):
            is_file = not (each.startswith("/") or each.endswith("/"))
            assert not (is_file and each.startswith(prefix) and fnmatchcase(each, pattern)), each


@pytest.mark.parametrize(
    ("pattern", "key"),
    [("[]a]", "]"), ("[!]a]", "b"), ("[]", "[]"), ("[!]", "[!]"), ("[a", "[a"), ("a]", "a]"), ("[[]", "[")],
)
def test_brackets_are_read_as_fnmatch_reads_them(pattern: str, key: str) -> None:
    assert fnmatchcase(key, pattern)
    assert shortest_key([[pattern_of(pattern)], [pattern_of(key.replace("[", "[[]"))]], []) == key


@pytest.mark.parametrize(
    ("pattern", "is_open"),
    [("[a", True), ("a[", True), ("[!]", True), ("[]", True), ("[[]", False), ("[a]", False)],
)
def test_open_bracket_is_known(pattern: str, *, is_open: bool) -> None:
    assert has_open_bracket(pattern) is is_open


def test_key_that_is_too_long_is_none() -> None:
    assert found(["a" * 600], ["b" * 424], []) == "a" * 600 + "b" * 424
    assert found(["a" * 600], ["b" * 425], []) is None


def test_what_takes_too_long_is_not_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_patterns, "_MOST_STATES", 3)
    assert found(["ab"], [""], []) == "ab"
    assert found(["abcdef"], [""], []) == ""
