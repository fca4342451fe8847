"""What Amazon S3 takes as tags and metadata of an object: no other is ever found, or can be written."""

import re
import unicodedata
from collections.abc import Sequence

from s3_to_sftp.rules.invalid import InvalidRule

MOST_TAGS = 10
"""Of one object (Amazon S3 User Guide, "Categorizing your objects using tags")."""
_LONGEST_NAME, _LONGEST_VALUE = 128, 256
"""In UTF-16, in which S3 counts (the same page)."""
_MARKS = "+-=._:/@"
_MOST_METADATA = 2048
"""Bytes of all metadata, names included (Amazon S3 User Guide, "Working with object metadata")."""
_HEADER = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+")
"""A name of an HTTP header (RFC 9110, section 5.1)."""
_METADATA = "x-amz-meta-"


def check_tag(rule: str, name: str, value: str = "") -> None:
    """Refuse a tag that no object of S3 can have.

    Raises:
        InvalidRule: None can; the message says which limit of S3 it does not keep.
    """
    if not 1 <= _length(name) <= _LONGEST_NAME or name.startswith("aws:"):
        raise InvalidRule(
            rule,
            f"must have names of 1-{_LONGEST_NAME} characters without 'aws:' in front, which S3 keeps for "
            f"itself, got {name!r}",
        )
    if _length(value) > _LONGEST_VALUE:
        raise InvalidRule(rule, f"must have values of at most {_LONGEST_VALUE} characters, got {value!r}")
    if other := next((each for each in name + value if not _is_allowed(each)), ""):
        where = f"{name!r}: {value!r}" if value else repr(name)
        raise InvalidRule(
            rule, f"must consist of letters, digits, blanks and + - = . _ : / @, got {other!r} in {where}"
        )


def check_number_of_tags(rule: str, names: Sequence[str], *, why: str = "") -> None:
    """Refuse more tags than one object can have.

    Raises:
        InvalidRule: There are more.
    """
    if len(names) > MOST_TAGS:
        raise InvalidRule(
            rule, f"must be at most {MOST_TAGS}{why}, which is what S3 allows of one object, got {len(names)}"
        )


def check_metadata(rule: str, name: str) -> None:
    """Refuse the name of metadata that no object of S3 can have.

    Raises:
        InvalidRule: None can.
    """
    if name.lower().startswith(_METADATA):
        raise InvalidRule(
            rule, f"must have names of metadata without '{_METADATA}' in front, got {name!r}: leave it out"
        )
    if not _HEADER.fullmatch(name) or len(name) > _MOST_METADATA:
        raise InvalidRule(
            rule,
            f"must have names of metadata that can be the name of an HTTP header, of at most "
            f"{_MOST_METADATA} ASCII characters without blanks, got {name[:40]!r}",
        )


def _length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _is_allowed(character: str) -> bool:
    return character in _MARKS or unicodedata.category(character)[0] in "LZN"
