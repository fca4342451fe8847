"""What can be said about a regular expression without matching it: characters that no match can contain."""

import re

from s3_to_sftp.rules.invalid import InvalidRule

_LONGEST = 1000
_CLASS = r"\[\^?\]?(?:\\.|[^\]\\])*\]"
_ATOM = rf"(?:{_CLASS}|\\.|[^\\()\[\]|*+?{{}}^$])"
_COUNT = r"\{(?:[0-9]+|[0-9]*,[0-9]*)\}"
_MANY = r"(?:[*+]|\{[0-9]*,[0-9]*\})"
_TOKEN = re.compile(
    rf"(?P<group>\((?:\?:|\?P<\w+>)?(?!\?))|(?P<atom>{_ATOM})|(?P<rest>\)|\||[*+?]|{_COUNT}|[\^$])", re.DOTALL
)
_UNSURE = re.compile(r"\\[0-9NuUx]")
"""Numbered groups, and characters by number: what they stand for is not in the next character."""
_NO_CHARACTER = re.compile(r"\\[AbBZ]")
_ONE_CHARACTER = re.compile(rf"\\.|{_CLASS}", re.DOTALL)
_OPTIONAL = r"(?:[^()|*+?][?*])*"
_REPEATED_REPEAT = re.compile(rf"\((?:\?:|\?P<\w+>)?{_OPTIONAL}[^()|*+?]{_MANY}\??{_OPTIONAL}\){_MANY}")


def check_expression(rule: str, text: str) -> None:
    """Refuse what is no regular expression, or one that can take years for a name of 255 characters.

    Only the plainest of the latter are seen: what is repeated is nothing but a repeated character, and others
    that may be missing, as in `([A-Z]+_?)+`.

    Raises:
        InvalidRule: It cannot be used.
    """
    if len(text) > _LONGEST:
        raise InvalidRule(rule, f"must have at most {_LONGEST} characters, got {len(text)}")
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidRule(rule, f"must be a regular expression, got {text!r}: {error}") from None
    if _REPEATED_REPEAT.search(_ONE_CHARACTER.sub("x", text)):
        raise InvalidRule(
            rule,
            f"must not repeat a group that is only a repeated character, as (a+)+ and (a+_?)+ are, got "
            f"{text!r}: names that do not match could take years. Repeat it once, as in [a_]+",
        )


def can_contain(text: str, character: str) -> bool:
    """Return whether a match of the expression may contain the character; where it is not clear, it may.

    Args:
        text: A regular expression.
        character: One character.
    """
    flags = re.compile(text).flags
    atoms = _atoms(text)
    if atoms is None or flags & re.VERBOSE:
        return True
    return any(re.fullmatch(atom, character, flags) for atom in atoms)


def _atoms(text: str) -> list[str] | None:
    """Return the parts of the expression that stand for one character; None: it has others than are known."""
    atoms, place = list[str](), 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None or _UNSURE.search(found[0]):
            return None
        if found["atom"] and not _NO_CHARACTER.fullmatch(found["atom"]):
            atoms.append(found["atom"])
        place = found.end()
    return atoms
