"""Whether prefixes, suffixes and patterns of a filter leave keys, and whether each of them does something."""

import itertools
from collections.abc import Sequence
from fnmatch import fnmatchcase

from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.key_patterns import (
    LONGEST_KEY,
    Pattern,
    beginning,
    ending,
    has_open_bracket,
    pattern_of,
    shortest_key,
)

_PREFIXES, _SUFFIXES, _EXCLUDE = "only.prefixes", "only.suffixes", "only.exclude"


def check_keys(prefixes: Sequence[str], suffixes: Sequence[str], exclude: Sequence[str]) -> None:
    """Refuse a filter by which no key is delivered, or a part of which can never matter.

    Args:
        prefixes: Of which keys have one; empty: any.
        suffixes: Of which keys have one; empty: any.
        exclude: Patterns that keys do not have.

    Raises:
        InvalidRule: It does not leave any key, a prefix or suffix has no key left, or no key has a pattern.
    """
    _check_lengths(prefixes, suffixes)
    for text in exclude:
        _check_pattern(text, prefixes, suffixes)
    if not exclude:
        return
    if not _leaves_keys(prefixes, suffixes, exclude):
        raise InvalidRule(_EXCLUDE, f"must leave some keys, got {list(exclude)}: no object could match")
    for prefix in prefixes:
        if not _leaves_keys([prefix], suffixes, exclude):
            raise _left_out(_PREFIXES, "prefix", prefix, exclude)
    for suffix in suffixes:
        if not _leaves_keys(prefixes, [suffix], exclude):
            raise _left_out(_SUFFIXES, "suffix", suffix, exclude)


def _left_out(rule: str, kind: str, text: str, exclude: Sequence[str]) -> InvalidRule:
    return InvalidRule(
        rule,
        f"must not have {text!r}, of which 'exclude' leaves no key, got {list(exclude)}: remove the "
        f"{kind}, or "
        "change the patterns",
    )


def left_of_source(
    prefixes: Sequence[str], suffixes: Sequence[str], exclude: Sequence[str], *, prefix: str, suffix: str
) -> str:
    """Return why the filter leaves no key of a source with this prefix and suffix; empty: it leaves some."""
    source = [[beginning(prefix)], [ending(suffix)]]
    if shortest_key([*source, *_ends(prefixes, suffixes)], list(map(pattern_of, exclude))) is not None:
        return ""
    where = f"'{prefix}*{suffix}'"
    if shortest_key([*source, *_ends(prefixes, suffixes)], []) is None:
        return f"no key of at most {LONGEST_KEY} bytes has its prefixes and suffixes and those of {where}"
    for text in exclude:
        if shortest_key([*source, *_ends(prefixes, suffixes)], [pattern_of(text)]) is None:
            return f"the pattern {text!r} excludes everything in the source, {where}"
    listed = ", ".join(map(repr, exclude))
    return f"the patterns {listed} exclude everything in the source, {where}"


def _ends(prefixes: Sequence[str], suffixes: Sequence[str]) -> list[list[Pattern]]:
    begins, ends = [beginning(each) for each in prefixes], [ending(each) for each in suffixes]
    return [group for group in (begins, ends) if group]


def _leaves_keys(prefixes: Sequence[str], suffixes: Sequence[str], exclude: Sequence[str]) -> bool:
    for prefix, suffix in itertools.product(prefixes or [""], suffixes or [""]):  # most often that is enough
        key = f"{prefix}a{suffix}"
        if len(key.encode()) <= LONGEST_KEY and not any(fnmatchcase(key, each) for each in exclude):
            return True
    return shortest_key(_ends(prefixes, suffixes), list(map(pattern_of, exclude))) is not None


def _check_lengths(prefixes: Sequence[str], suffixes: Sequence[str]) -> None:
    for rule, texts in ((_PREFIXES, prefixes), (_SUFFIXES, suffixes)):
        for text in texts:
            if len(text.encode(errors="replace")) > LONGEST_KEY:
                raise InvalidRule(
                    rule,
                    f"must let keys of at most {LONGEST_KEY} bytes through, got {len(text)} characters that "
                    f"begin with {text[:40]!r}: no key is so long",
                )
    longest = max(map(len, prefixes), default=0) + max(map(len, suffixes), default=0)
    if 4 * longest > LONGEST_KEY and not _leaves_keys(
        prefixes, suffixes, ()
    ):  # a character has 4 bytes at most
        raise InvalidRule(
            _PREFIXES,
            f"must go with the suffixes in keys of at most {LONGEST_KEY} bytes, got only longer ones: no "
            f"object "
            "could match",
        )


def _check_pattern(text: str, prefixes: Sequence[str], suffixes: Sequence[str]) -> None:
    if has_open_bracket(text):
        raise InvalidRule(
            _EXCLUDE, f"must close each bracket, got {text!r}: write '[' itself as '[[]', a set as in '[ab]'"
        )
    if shortest_key([[pattern_of(text)]], []) is None:
        raise InvalidRule(
            _EXCLUDE, f"must have patterns that a key can have, got {text[:60]!r}, which none has: remove it"
        )
    ends, wider = _ends(prefixes, suffixes), f"*/{text}"
    if text.startswith("*") or not ends:
        return
    if shortest_key([*ends, [pattern_of(text)]], []) is None and shortest_key(
        [*ends, [pattern_of(wider)]], []
    ):
        raise InvalidRule(
            _EXCLUDE,
            f"must have patterns of whole keys, got {text!r}, which no key has that 'prefixes' and "
            f"'suffixes' "
            f"let through: write it as {wider!r}, or remove it",
        )
