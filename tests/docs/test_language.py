"""No tracked text has a word that the glossary replaces."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
GLOSSARY = REPOSITORY / "docs" / "glossary.md"
SECTION = "## Words we do not use, and what instead\n"

FOLDERS = (
    ".github", "bench", "chaos", "cli", "docs", "examples", "fuzz", "infra", "lambda_src", "local", "release",
    "tests",
)  # fmt: skip
SUFFIXES = {".json", ".md", ".py", ".toml", ".yml"}
EXCEPT = (
    "bench/results/",
    "docs/bench/",
    "docs/glossary.md",
    "CHANGELOG.md",
    "tests/docs/",
)
"""What the tools write, and what names the old words on purpose."""

ALLOWED = {
    "lanes": {
        # Argon2's own parameter (RFC 9106, section 3.1).
        "lambda_src/s3_to_sftp/ssh/putty_key.py",
        "tests/support/putty_keys.py",
        "tests/unit/ssh/test_private_key.py",
    },
}


def replaced_words(page: str) -> list[str]:
    """The first column of the glossary's second table."""
    table = page.partition(SECTION)[2]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return [word for row in rows for word in re.findall("`([^`]+)`", row)]


def pattern(word: str) -> re.Pattern[str]:
    """The word by itself, also where a phrase goes on in the next line of a comment."""
    is_name = word != word.lower() or "_" in word
    ending = r"\w*" if word.endswith("*") else r"(?![A-Za-z])"
    parts = [re.escape(part) for part in word.rstrip("*").split()]
    phrase = r'[\s#"|]+'.join(parts)
    before = r"(?<![A-Za-z_])" if is_name else r"(?<![A-Za-z])"
    return re.compile(before + phrase + ending, re.NOFLAG if is_name else re.IGNORECASE)


WORDS = replaced_words(GLOSSARY.read_text())


def tracked() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (path for path in (REPOSITORY / folder).rglob("*") if path.suffix in SUFFIXES)
    yield from (path for path in REPOSITORY.iterdir() if path.suffix in SUFFIXES or path.name == "Makefile")


@functools.cache
def texts() -> dict[str, str]:
    named = {path.relative_to(REPOSITORY).as_posix(): path for path in tracked()}
    return {
        name: path.read_text()
        for name, path in named.items()
        if not name.startswith(EXCEPT) and not {"node_modules", "cdk.out", "__pycache__"} & set(path.parts)
    }


@pytest.mark.parametrize("word", WORDS)
def test_word_is_not_used(word: str) -> None:
    found = [
        f"{name}:{text.count(chr(10), 0, hit.start()) + 1}"
        for name, text in sorted(texts().items())
        if name not in ALLOWED.get(word, set())
        for hit in pattern(word).finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("word", "text", "is_found"),
    [
        ("mend*", "who mends it", True),
        ("mend*", "recommended", False),
        ("in vain", "tried in\n    # vain", True),
        ("any more", "any\nmore", True),
        ("lanes", "planes", False),
        ("Parked", "parked", False),
        ("make_known", "def make_known(", True),
    ],
)
def test_words_are_found_by_themselves(word: str, text: str, *, is_found: bool) -> None:
    assert bool(pattern(word).search(text)) is is_found


def test_glossary_has_the_words() -> None:
    assert {"left in peace", "mend*", "lanes"} <= set(WORDS)
    assert len(texts()) > 300
