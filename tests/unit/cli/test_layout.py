"""Lines for people: wrapped between parts, and safe to print."""

from __future__ import annotations

import pytest
from rich.text import Text

from s3_to_sftp_cli.layout import labelled, printable


@pytest.mark.parametrize("text", ["\x1b[2J", "a\rb", "a\u202eb", "a\u200bb", "\ud800"])
def test_text_of_others_has_nothing_that_a_terminal_acts_on(text: str) -> None:
    assert "\ufffd" in printable(text)
    assert printable(text).isprintable()


def test_text_that_can_be_shown_is_kept() -> None:
    assert printable("Übersicht  2026/ä.csv") == "Übersicht  2026/ä.csv"


def test_parts_stand_beside_each_other_where_they_fit() -> None:
    assert labelled("queue", ["one", "two"], width=80).plain == "queue     one     two"
    assert labelled("queue", ["one" * 10, "two" * 10], width=60).plain.splitlines() == [
        "queue     " + "one" * 10,
        "          " + "two" * 10,
    ]


def test_long_part_is_wrapped_and_a_command_is_not() -> None:
    words = " ".join(["word"] * 20)
    assert max(map(len, labelled("x", [words], width=50).plain.splitlines())) <= 50
    assert labelled("x", [Text(words, no_wrap=True)], width=50).plain == f"x         {words}"


def test_no_parts_are_an_empty_line() -> None:
    assert labelled("x", [], width=80).plain == "x"
