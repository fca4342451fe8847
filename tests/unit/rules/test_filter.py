"""Which objects a filter lets through, and which filters are refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.document import RulesDocument
from s3_to_sftp.rules.filter import Filter, never_matches
from s3_to_sftp.rules.invalid import InvalidRule

WRONG: list[tuple[Callable[[], Filter], str]] = [
    (lambda: Filter(), "only must say which objects are delivered, got Filter"),
    (lambda: Filter(min_bytes=2, max_bytes=1), "only.min_bytes must not be more than max_bytes, got 2 and 1"),
    (lambda: Filter(min_bytes=-1), "only.min_bytes must be 0-"),
    (lambda: Filter(max_bytes=True), "only.max_bytes must be a number of bytes, got True"),
    (lambda: Filter(min_bytes=2**60), "only.min_bytes must be 0-54975581388800"),
    (
        lambda: Filter(min_age=timedelta(days=2), max_age=timedelta(days=1)),
        "only.max_age must be at least 60 s more than min_age, got 86400 s and 172800 s",
    ),
    (lambda: Filter(min_age=0), "only.min_age must be from 1 s"),
    (lambda: Filter(max_age="1d"), "only.max_age must be seconds, or a timedelta"),  # type: ignore[arg-type] # wrong
    (lambda: Filter(prefixes="a/"), "only.prefixes must be a list of texts"),
    (lambda: Filter(prefixes=[""]), "only.prefixes must not have an empty text"),
    (lambda: Filter(prefixes=["/a/"]), "only.prefixes must not begin with '/', which keys do not"),
    (lambda: Filter(prefixes=["year%3D2026/"]), "only.prefixes must be written as keys are, not URL-encoded"),
    (lambda: Filter(prefixes=["a/*"]), "only.prefixes must not contain '*'"),
    (lambda: Filter(prefixes=["a/", "a/"]), "only.prefixes must not have a text twice"),
    (lambda: Filter(suffixes=[".d/"]), "only.suffixes must not end with '/': such keys are directories"),
    (lambda: Filter(exclude=["/tmp/*"]), "only.exclude must not begin with '/'"),
    (lambda: Filter(exclude=["a%20b*"]), "only.exclude must be written as keys are"),
    (lambda: Filter(exclude=["*"]), "only.exclude must leave some keys"),
    (lambda: Filter(exclude=["**"]), "only.exclude must leave some keys"),
    (lambda: Filter(suffixes=[".csv"], exclude=["*.csv"]), "only.exclude must leave some keys"),
    (lambda: Filter(prefixes=["a/b/", "a/c/"], exclude=["a/*"]), "only.exclude must leave some keys"),
    (lambda: Filter(prefixes=["\ud800"]), "only.prefixes must be valid Unicode, which keys are, got"),
    (lambda: Filter(exclude=["?*"]), "only.exclude must leave some keys, got .*: no object could match"),
    (lambda: Filter(exclude=["*[!/]"]), "only.exclude must leave some keys"),
    (lambda: Filter(exclude=["[!a]*", "a*"]), "only.exclude must leave some keys"),
    (lambda: Filter(suffixes=[".csv"], exclude=["*.*"]), "only.exclude must leave some keys"),
    (lambda: Filter(prefixes=["a/", "b/"], exclude=["a/?*", "b*"]), "only.exclude must leave some keys"),
    (
        lambda: Filter(prefixes=["a/", "b/"], exclude=["a/*"]),
        r"only.prefixes must not have 'a/', of which 'exclude' leaves no key, got \['a/\*'\]: remove the "
        r"prefix",
    ),
    (
        lambda: Filter(suffixes=[".csv", ".tmp"], exclude=["*.t?p"]),
        r"only.suffixes must not have '.tmp', of which 'exclude' leaves no key, got \['\*.t\?p'\]: remove "
        r"the su",
    ),
    (
        lambda: Filter(prefixes=["out/"], exclude=["tmp/*"]),
        r"only.exclude must have patterns of whole keys, got 'tmp/\*', which no key has that 'prefixes' and "
        r"'suffixes' let through: write it as '\*/tmp/\*', or remove it",
    ),
    (
        lambda: Filter(exclude=["[z-a]*"]),
        "only.exclude must have patterns that a key can have, got '.z-a.*', w",
    ),
    (lambda: Filter(exclude=["x" * 1025]), "only.exclude must have patterns that a key can have, got 'xxx"),
    (lambda: Filter(exclude=["/"]), "only.exclude must not begin with '/'"),
    (
        lambda: Filter(exclude=["[old]_*", "a[bc"]),
        r"only.exclude must close each bracket, got 'a\[bc': write",
    ),
    (lambda: Filter(prefixes=["a" * 1025]), "only.prefixes must let keys of at most 1024 bytes through, got"),
    (
        lambda: Filter(prefixes=["a" * 600], suffixes=["b" * 600]),
        "only.prefixes must go with the suffixes in keys of at most 1024 bytes",
    ),
    (lambda: Filter(suffixes=["b" * 1025]), "only.suffixes must let keys of at most 1024 bytes through, got"),
    (
        lambda: Filter(min_age=600, max_age=600),
        "only.max_age must be at least 60 s more than min_age, got 600 s and 600 s: what has waited for "
        "min_age",
    ),
    (lambda: Filter(min_age=600, max_age=659), "only.max_age must be at least 60 s more than min_age"),
    (lambda: Filter(max_age=59), "only.max_age must be at least 60 s, got 59 s: an object is seldom "),
    (lambda: Filter(tags={"": "x"}), "only.tags must have names of 1-128 characters without 'aws:' in front"),
    (lambda: Filter(tags={"a" * 129: "x"}), "only.tags must have names of 1-128 characters"),
    (lambda: Filter(tags={"aws:x": "x"}), "only.tags must have names of 1-128 characters without 'aws:'"),
    (lambda: Filter(tags={"a": "x" * 257}), "only.tags must have values of at most 256 characters"),
    (
        lambda: Filter(tags={"a": "draft*"}),
        r"only.tags must consist of letters, .* got '\*' in 'a': 'draft\*'",
    ),
    (lambda: Filter(tags={"a\n": "x"}), "only.tags must consist of letters, digits, blanks"),
    (
        lambda: Filter(tags=(("a", "x"), ("a", "y"))),
        "only.tags must have one value for each name, which an object has only once, got 'a' twice",
    ),
    (lambda: Filter(tags={"a": 1}), "only.tags must be values by name"),  # type: ignore[dict-item] # wrong on purpose
    (lambda: Filter(tags={str(n): "" for n in range(11)}), "only.tags must be at most 10"),
]


@pytest.mark.parametrize(("make", "sentence"), WRONG)
def test_wrong_value_has_its_sentence(make: Callable[[], Filter], sentence: str) -> None:
    with pytest.raises(InvalidRule, match=f"^{sentence}"):
        make()


@pytest.mark.parametrize(
    "only",
    [
        {"min_bytes": 10, "max_bytes": 10},
        {"min_age": 600, "max_age": 660},
        {"max_age": 60},
        {"exclude": ["?"]},
        {"exclude": ["[!a]*"]},
        {"prefixes": ["out/"], "exclude": ["out/tmp/*", "*.tmp"]},
        {"prefixes": ["out/", "in/"], "exclude": ["out/?"]},
        {"suffixes": [".csv"], "exclude": ["*.tmp"]},
        {"tags": {"Größe 1": "", "a+b-c=d.e_f:g/h@i": "٣"}},
    ],
)
def test_what_some_objects_match_is_taken(only: dict[str, Any]) -> None:
    Filter(**only)


def test_rules_take_nothing_but_a_filter() -> None:
    with pytest.raises(InvalidRule, match=r"^only must be a Filter\(...\), got '\*.csv'"):
        DeliveryRules(only="*.csv")  # type: ignore[arg-type] # wrong on purpose


def test_filter_is_read_as_it_was_written() -> None:
    rule = Filter(
        min_bytes=1,
        max_bytes=2,
        min_age=timedelta(minutes=5),
        max_age=3600,
        prefixes=["a/", "b/"],
        suffixes=[".csv"],
        exclude=["*/tmp/*"],
        tags={"b": "2", "a": "1"},
    )
    document = RulesDocument(partner=DeliveryRules(only=rule), sources={})
    assert RulesDocument.from_text(document.as_text()) == document
    assert document.partner is not None
    assert document.partner.tags_used == ("a", "b")


@pytest.mark.parametrize(
    ("rule", "key", "why"),
    [
        (Filter(prefixes=["a/", "b/"]), "b/x", ""),
        (Filter(prefixes=["a/", "b/"]), "c/x", "its key has none of the prefixes 'a/', 'b/'"),
        (Filter(suffixes=[".csv", ".xml"]), "x.xml", ""),
        (Filter(suffixes=[".csv", ".xml"]), "x.XML", "its key has none of the suffixes '.csv', '.xml'"),
        (Filter(exclude=["*.tmp", "old/*"]), "a/x.csv", ""),
        (Filter(exclude=["*.tmp", "old/*"]), "a/b/x.tmp", "its key matches '*.tmp' of 'exclude'"),
        (Filter(exclude=["*.tmp", "old/*"]), "old/a/b", "its key matches 'old/*' of 'exclude'"),
        (Filter(exclude=["*.TMP"]), "x.tmp", ""),
        (Filter(exclude=["x?[ab]"]), "x1b", "its key matches 'x?[ab]' of 'exclude'"),
    ],
)
def test_key_decides(rule: Filter, key: str, why: str) -> None:
    assert rule.refusal_of_key(key) == why


@pytest.mark.parametrize(("size", "is_wanted"), [(0, False), (1, True), (9, True), (10, False)])
def test_both_ends_of_the_sizes_are_wanted(size: int, *, is_wanted: bool) -> None:
    assert (Filter(min_bytes=1, max_bytes=9).refusal_of_size(size) == "") is is_wanted


def test_tags_must_have_the_values() -> None:
    rule = Filter(tags={"state": "approved"})
    assert rule.refusal_of_tags({"state": "approved", "other": "x"}) == ""
    assert rule.refusal_of_tags({"state": "draft"}) == "its tag 'state' is 'draft', and must be 'approved'"
    assert rule.refusal_of_tags({}) == "its tag 'state' is missing, and must be 'approved'"


def test_age_is_waited_for_or_over() -> None:
    rule = Filter(min_age=60, max_age=timedelta(minutes=2))
    assert [rule.wait(age) for age in (-5, 0, 59, 60, 61)] == [65, 60, 1, 0, 0]
    assert rule.refusal_of_age(120) == ""
    assert rule.refusal_of_age(121) == "it was put 121 s ago, and 'max_age' is 120 s"


@pytest.mark.parametrize(
    ("rule", "prefix", "suffix", "why"),
    [
        (Filter(prefixes=["in/a/"]), "in/", "", ""),
        (Filter(prefixes=["in"]), "in/", "", ""),
        (Filter(prefixes=["out/"]), "in/", "", "none of the prefixes 'out/' goes with the source's prefix"),
        (Filter(suffixes=[".gz"]), "", ".csv.gz", ""),
        (Filter(suffixes=[".xml"]), "", ".csv", "none of the suffixes '.xml' goes with the source's suffix"),
        (Filter(exclude=["in/*"]), "in/", "", "the pattern 'in/*' excludes everything in the source, 'in/*'"),
        (Filter(exclude=["in/x/*"]), "in/", "", ""),
        (
            Filter(exclude=["in/?*"]),
            "in/",
            "",
            "the pattern 'in/?*' excludes everything in the source, 'in/*'",
        ),
        (
            Filter(exclude=["in/[!a]*", "*/a*"]),
            "in/",
            "",
            "the patterns 'in/[!a]*', '*/a*' exclude everything in the source, 'in/*'",
        ),
        (
            Filter(prefixes=["a" * 600]),
            "",
            "b" * 600,
            "no key of at most 1024 bytes has its prefixes and suffixes and those of '*bbb",
        ),
        (Filter(min_bytes=1), "in/", ".csv", ""),
    ],
)
def test_filter_that_matches_nothing_of_a_source_is_known(
    rule: Filter, prefix: str, suffix: str, why: str
) -> None:
    found = never_matches(rule, prefix=prefix, suffix=suffix)
    assert found.startswith(why)
    assert bool(found) == bool(why)
