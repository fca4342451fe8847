"""How long the names can be that rules give: final ones, those of companions, and temporary ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s3_to_sftp.rules.name_checks import ADDED_BYTES, MOST_NAME_BYTES, one_extension
from s3_to_sftp.rules.samples import LONGEST_NUMBER, most_length, sample
from s3_to_sftp.rules.template import TIMES, Field, Template

if TYPE_CHECKING:
    from s3_to_sftp.rules.delivery_rules import DeliveryRules

LONGEST_HIDDEN = 42
"""Of the names that are given without `temporary`: 31, and what tells tests and old files apart.

A test compares it with `sftp/temporary_names.py`, which the construct does not import."""
_TOKEN_CHARACTERS = 16
"""Of what is random in a temporary name (`Delivery`)."""


@dataclass(frozen=True, kw_only=True)
class LongestName:
    """The longest name that a template can give.

    Attributes:
        rule: That has the template.
        template: As it is written; empty: a hidden, random name.
        length: Characters, with those that are added while a file is written.
        added: How many of them are.
    """

    rule: str
    template: str
    length: int
    added: int = 0


def longest_data_name(rules: "DeliveryRules") -> int:
    """Return how many characters a file name of data has at most."""
    return min(rules.max_name_length or MOST_NAME_BYTES, most_length(Template(rules.name)) or MOST_NAME_BYTES)


def names_beside(rules: "DeliveryRules", longest: int) -> Iterator[LongestName]:
    """Yield the longest names of companions and of temporary files.

    Args:
        rules: Of the partner.
        longest: Characters of the longest file name of data.
    """
    ext = one_extension(rules.name)
    lengths = [longest]
    for companion in rules.companions:
        length = _longest(Template(companion.name), longest, ext)
        lengths.append(length)
        yield LongestName(rule="companions", template=companion.name, length=length)
    if rules.is_direct:
        return
    if rules.temporary is None:
        yield LongestName(rule="temporary", template="", length=LONGEST_HIDDEN)
        return
    for number, length in enumerate(lengths):
        of_file = _longest(Template(rules.temporary), length, ext if number == 0 else "")
        yield LongestName(
            rule="temporary", template=rules.temporary, length=of_file + ADDED_BYTES, added=ADDED_BYTES
        )


def _longest(template: Template, name: int, ext: str) -> int:
    """Return the characters of the longest name that a template gives beside, or in place of, a name.

    Args:
        template: Of a companion, or of a temporary name.
        name: Characters of the other name.
        ext: Its extension; empty: it may have any. Then it is longest with none, or with nothing else.
    """
    extensions = [len(ext)] if ext else [0, max(name - 1, 0)]
    return max(_with(template, name, each) for each in extensions)


def _with(template: Template, name: int, ext: int) -> int:
    known = {"name": name, "stem": name - ext, "ext": ext, "token": _TOKEN_CHARACTERS}
    return sum(
        len(literal.rpartition("/")[2]) + (_of_field(field, known) if field else 0)
        for literal, field in template.parts
    )


def _of_field(field: Field, known: dict[str, int]) -> int:
    if field.name in TIMES:
        return len(sample(Template(f"{{{field}:{field.form}}}")))
    if field.name == "sequence":
        return max(len(LONGEST_NUMBER), len(sample(Template(f"{{{field}:{field.form}}}"))))
    return min(known[field.name], int(field.form[1:]) if field.form else known[field.name])
