"""Lines for people: a label, and parts beside each other as far as the terminal is wide."""

import shlex
import textwrap
from collections.abc import Iterable

from rich.text import Text

LABEL = 10
"""Columns of the label."""

_GAP = 5
_LEAST = 40
"""Columns that are used at least, however narrow the terminal is."""


def printable(text: object) -> str:
    """Return text from others with a mark for each character that a terminal would act on or not show."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in str(text))


def typed(text: object) -> str:
    """Return text from others as it is typed in a shell, within a command that is shown."""
    words = str(text)
    if words.isprintable():
        return shlex.quote(words)
    # As bash, zsh and POSIX.1-2024 read it: nothing in it acts on a terminal.
    return "$'" + "".join(map(_escaped, words)) + "'"


def _escaped(letter: str) -> str:
    if letter in "\\'":
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    return "".join(f"\\{byte:03o}" for byte in letter.encode(errors="replace"))


def labelled(
    label: str, parts: Iterable[str | Text], *, width: int, gap: int = _GAP, label_width: int = LABEL
) -> Text:
    """Return a label and its parts, wrapped between parts, and within one that is too long.

    Args:
        label: Shorter than `label_width`.
        parts: Each one is kept together where it fits into a line, and always where its `no_wrap` is set.
        width: Columns of the terminal.
        gap: Blanks between parts.
        label_width: Columns of the label, and of the indentation below.
    """
    room = max(width, _LEAST) - label_width
    lines: list[Text] = []
    for part in parts:
        for number, line in enumerate(_wrapped(part, room)):
            fits = bool(lines) and not number and lines[-1].cell_len + gap + line.cell_len <= room
            if fits:
                lines[-1].append(" " * gap).append_text(line)
            else:
                lines.append(line)
    result = Text()
    for number, line in enumerate(lines or [Text()]):
        result.append("\n" if number else "")
        result.append(" " * label_width if number else f"{label:<{label_width}}")
        result.append_text(line)
    result.rstrip()
    return result


def wrapped(text: str, *, width: int) -> Text:
    """Return text in lines that the terminal does not break within a word."""
    return labelled("", [printable(text)], width=width, label_width=0)


def headline(function: str, target: str, *, width: int) -> Text:
    """Return which delivery it is about, in two lines where one does not hold it."""
    parts = [Text(printable(function), no_wrap=True), Text(printable(f"→ {target}"), no_wrap=True)]
    return labelled("", parts, width=width, label_width=0, gap=1)


def _wrapped(part: str | Text, room: int) -> list[Text]:
    text = part if isinstance(part, Text) else Text(part)
    if text.no_wrap or text.cell_len <= room:
        return [text.copy()]
    # Long words, such as keys, are kept whole: people copy them.
    lines = textwrap.wrap(text.plain, room, break_long_words=False, break_on_hyphens=False)
    return [Text(line, style=text.style) for line in lines]
