"""Templates: what is no field is refused when it is written, and values stay text."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_sftp.rules.expression import can_contain
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.template import MissingValue, Template, check_template

KNOWN = frozenset({"key", "stem", "ext", "part", "metadata", "tag", "event_time", "sequence", "bytes"})
PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "{",
                "}",
                "{{",
                "}}",
                "{stem",
                "stem}",
                "[",
                "]",
                ":",
                "!",
                "!r",
                "%Y",
                "%",
                ".3",
                "06d",
                "part",
                "{}",
            ]
        ),
        st.text(max_size=4),
    ),
    max_size=8,
).map("".join)


@given(PIECES)
def test_any_text_is_a_template_or_an_invalid_rule(text: str) -> None:
    try:
        template = check_template("name", text, KNOWN)
    except InvalidRule:
        return
    assert {field.name for field in template.fields} <= KNOWN


@given(st.text(alphabet="ab{}_.", max_size=20), st.text(max_size=20))
def test_text_and_values_are_rendered_as_they_are(literal: str, value: str) -> None:
    escaped = literal.replace("{", "{{").replace("}", "}}")
    assert Template(f"{escaped}{{stem}}{escaped}").rendered({"stem": value}) == literal + value + literal


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{stem:{ext}}", "must write {stem} as it is, or cut as in {stem:.20}"),
        ("{stem!r}", "'{stem!r}' is no field"),
        ("{stem.__class__}", "'{stem.__class__}' is no field"),
        ("{metadata[x].__class__}", "'{metadata[x].__class__}' is no field"),
        ("{metadata[x][y]}", "'{metadata[x][y]}' is no field"),
        ("{metadata}", "must have a name as in {metadata[x]} behind metadata"),
        ("{metadata[]}", "no field"),
        ("{part[999]}", "must have a position in {part[999]}, such as 0 or -1"),
        ("{part[x]}", "must have a position in {part[x]}"),
        ("{part}", "must have a position as in {part[0]} behind part"),
        ("{stem[0]}", "must have no brackets behind stem"),
        ("{}", "'{}' is no field"),
        ("{0}", "has the unknown field {0}"),
        ("{ stem }", "no field"),
        ("{Stem}", "no field"),
        ("{__class__}", "unknown field {__class__}"),
        ("{stem", "expected '}'"),
        ("stem}", "Single '}'"),
        ("{stem:.0}", "or cut as in {stem:.20}"),
        ("{stem:.1000}", "or cut as in {stem:.20}"),
        ("{stem:>20}", "or cut as in {stem:.20}"),
        ("{stem:.20\n}", "or cut as in {stem:.20}"),
        ("{sequence:6d}", "must write {sequence} as a whole number, as in {sequence:06d}"),
        ("{sequence:+d}", "must write {sequence} as a whole number"),
        ("{sequence:,}", "must write {sequence} as a whole number"),
        ("{sequence:x}", "must write {sequence} as a whole number"),
        ("{sequence:0999d}", "must write {sequence} as a whole number"),
        ("{sequence:\u0660\u0666d}", "must write {sequence} as a whole number"),
        ("{event_time}", "must say how to write {event_time}, as in {event_time:%Y%m%d}"),
        ("{event_time:}", "must say how to write {event_time}"),
        ("{event_time:today}", "must say how to write {event_time}"),
        ("{event_time:%%}", "must say how to write {event_time}"),
        ("{event_time:{ext}}", "must say how to write {event_time}"),
        ("{event_time:%Y{ext}}", "must say how to write {event_time}"),
        ("{event_time:%Y%B}", "has the unknown directive %B"),
        ("{event_time:%Y%}", "has the unknown directive %"),
        ("{event_time:%-d}", "has the unknown directive %-"),
        ("\ud800{stem}", "surrogates not allowed"),
        ("a" * 16_385, "must have at most 16384 characters, got 16385"),
    ],
)
def test_what_is_no_field_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InvalidRule, match=re.escape(sentence)) as caught:
        check_template("name", text, KNOWN)
    assert caught.value.rule == "name"
    assert "got" in str(caught.value) or "in '" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{sequence}", "42"),
        ("{sequence:d}", "42"),
        ("{sequence:06d}", "000042"),
        ("{sequence:06}", "000042"),
        ("{bytes:6d}|", "    42|"),
        ("{part[0]}{part[-1]}", "ac"),
        ("{tag[a b:c]}", "x"),
        ("{stem:.2}", "äö"),
        ("{stem:.99}", "äöü"),
        ("{{stem}}", "{stem}"),
        ("{event_time:%H:%M}", "05:06"),
        ("{event_time:%%%Y}", "%2024"),
    ],
)
def test_fields_are_written_in_their_form(text: str, rendered: str) -> None:
    values = {
        "sequence": 42,
        "bytes": 42,
        "part": ["a", "b", "c"],
        "tag": {"a b:c": "x"},
        "stem": "äöü",
        "event_time": datetime(2024, 3, 4, 5, 6, tzinfo=UTC),
    }
    assert check_template("name", text, KNOWN).rendered(values) == rendered


def test_missing_value_is_named_as_it_is_written() -> None:
    for text in ("{part[3]}", "{part[-4]}", "{metadata[y]}", "{stem}"):
        with pytest.raises(MissingValue) as caught:
            Template(text).rendered({"part": ["a", "b", "c"], "metadata": {"x": ""}})
        assert f"{{{caught.value.field}}}" == text


EXPRESSIONS = [
    r"[A-Z0-9_]{1,40}\.CSV",
    r"(?:a|b)+c?",
    r"(?P<x>[^a-y]\d)*",
    r"a{2,3}{",
    r"\w+\.\S",
    r"[]x]+",
    r"[^]x]",
    r"x{}",
    r"\x41+",
    r"(?i)abc",
    r"(?x) a b # c",
    r"a(?=b).",
    r"(a)\1",
    r"[\]\\-]+",
    r"\bab\b",
    r"[a-\x7f]",
    r"^ab$",
    r".",
    r"(?i:ab)c",
    r"a{,2}b",
    r"[[a]+",
    r"\\x",
    r"\Aab\Z",
    r"(?:ab){2}|\Z",
]


@pytest.mark.filterwarnings("ignore:Possible nested set")
@given(st.data())
def test_no_character_of_a_match_is_called_impossible(data: st.DataObject) -> None:
    expression = data.draw(st.sampled_from(EXPRESSIONS))
    match = data.draw(st.from_regex(expression, fullmatch=True))
    assert all(can_contain(expression, character) for character in match)


@pytest.mark.parametrize(
    ("expression", "character"),
    [
        (r"[A-Z0-9_]{1,40}\.CSV", "-"),
        (r"[A-Z0-9_]{1,40}\.CSV", "c"),
        (r"\d+", "1a"[1]),
        (r"(?:[a-z]+_)*x", "."),
        (r"[^-]+", "-"),
        (r"^ab$", "$"),
        (r"\bab\b", "\b"),
        (r".+", "\n"),
    ],
)
def test_impossible_character_is_seen(expression: str, character: str) -> None:
    assert not can_contain(expression, character)
