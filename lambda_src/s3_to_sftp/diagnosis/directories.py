"""A configured directory that is missing, and that must not be made."""

import unicodedata
from collections.abc import Iterable

from s3_to_sftp.diagnosis.cause import Cause

OTHER_CASE = Cause(
    name="directory-other-case",
    sign="STAT of the directory says no, and READDIR of its parent shows a name that differs only in case, "
    "in the form of its accents (Unicode) or in blanks at its ends.",
    summary="The directory {directory!r} is missing at {server}, and {exists} exists.",
    advice="Correct SSH_DIR, or ask the partner which directory is meant. It was not made: the partner would "
    "not look there. It will be retried.",
    to_partner="We are to deliver to the directory {directory} on {server}, which does not exist; {exists} "
    "does. Which one is right?",
)
AMBIGUOUS = Cause(
    name="directory-is-start-directory",
    sign="A relative directory is missing, and the login starts in a directory of this name (REALPATH).",
    summary="The remote directory {directory!r} is missing at {server}, and the login starts in {home!r}: it "
    "would be made as {inside!r}.",
    advice="Leave SSH_DIR empty, or write the whole path: {home!r}, or {inside!r} if that is really meant.",
    to_partner="The login of our user on {server} starts in {home}. Are we to deliver there, or to {inside}?",
)


def variants_of(name: str, siblings: Iterable[str]) -> list[str]:
    """Return the siblings that a person would take for the name; none where it is among them.

    Args:
        name: Of a directory, without its path.
        siblings: What stands beside it.
    """
    there = set(siblings)
    return [] if name in there else sorted(each for each in there if _folded(each) == _folded(name))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).strip()
