"""Names of a sample object: what is wrong with all names of a rule is seen before there is one."""

import posixpath
from collections.abc import Mapping
from datetime import UTC, datetime

from s3_to_sftp.rules.template import LISTS, MAPS, TIMES, Field, Template
from s3_to_sftp.rules.times import literals

_STEM, _EXT = "%", ".%"
"""As short as can be, and hardly in a template: `{stem}.csv` has the name of an object only by mistake."""
SAMPLE_NAME = _STEM + _EXT
_FOLDERS = ("folder", "relative_folder")
_KEYS = ("key", "relative_key")
LONGEST_NUMBER = str(10**15)
"""The highest first number of a sequence."""
_MAY_BE_EMPTY = frozenset({"ext", "metadata", "tag", "folder", "relative_folder", "part"})
_DAYS = ((2024, 1, 1), (2024, 2, 29), (2025, 7, 15), (2026, 10, 31), (2027, 12, 30), (2028, 12, 31))
_TIMES = ((0, 0, 0), (9, 5, 7), (23, 59, 59))


def sample(template: Template, *, at: datetime | None = None, number: int = 1) -> str:
    """Return a name that the template gives to an object of the name `SAMPLE_NAME`.

    Args:
        template: Of a name.
        at: Time of event and delivery; by default any.
        number: Of the sequence.
    """
    values: dict[str, object] = {}
    values |= dict.fromkeys(("stem", "version", "token"), _STEM) | dict.fromkeys(_KEYS, SAMPLE_NAME)
    values |= dict.fromkeys(_FOLDERS, f"{_STEM}/") | {"name": SAMPLE_NAME, "ext": _EXT, "sequence": number}
    values |= dict.fromkeys(TIMES, at or datetime(2024, 1, 1, tzinfo=UTC))
    values |= {name: {field.index: _STEM for field in template.fields if field.name == name} for name in MAPS}
    values |= dict.fromkeys(LISTS, [SAMPLE_NAME] * 100)
    return template.rendered(values)


def sample_beside(template: Template, name: str) -> str:
    """Return the name that the template of a companion or of a temporary name gives beside a file."""
    stem, ext = posixpath.splitext(name)
    at = datetime(2024, 1, 1, tzinfo=UTC)
    known: Mapping[str, object] = {"name": name, "stem": stem, "ext": ext, "token": "{token}", "sequence": 1}
    return template.rendered({**known, "event_time": at, "delivery_time": at})


def names_without_texts(template: Template, start: int) -> list[str]:
    """Return some file names of a template that depend only on times and number; none: they do not."""
    parts, is_whole = _last_parts(template)
    if not is_whole or any(field and field.name not in {*TIMES, "sequence"} for _, field in parts):
        return []
    return [
        sample(template, at=datetime(*day, *time, tzinfo=UTC), number=number).rpartition("/")[2]
        for day in _DAYS
        for time in _TIMES
        for number in (start, start + 1)
    ]


def always_in_file_names(template: Template) -> str:
    """Return the characters that all file names of the template have, besides those of the object."""
    return "".join(
        literal + (literals(field.form) if field and field.name in TIMES else "")
        for literal, field in _last_parts(template)[0]
    )


def least_length(template: Template, start: int) -> int:
    """Return how many characters all file names of the template have at least."""
    return sum(len(literal) + _least(field, start) for literal, field in _last_parts(template)[0])


def most_length(template: Template) -> int | None:
    """Return how many characters a file name of the template has at most; None: any number."""
    parts, is_whole = _last_parts(template)
    lengths = [0 if field is None else _most(field) for _, field in parts]
    if not is_whole or None in lengths:
        return None
    return sum(len(literal) for literal, _ in parts) + sum(filter(None, lengths))


def _most(field: Field) -> int | None:
    if field.name in TIMES or field.name == "sequence":
        number = int(LONGEST_NUMBER)
        texts = (sample(Template(f"{{{field}:{field.form}}}"), number=n) for n in (1, number))
        return max(map(len, texts))
    return int(field.form[1:]) if field.form else None


def _least(field: Field | None, start: int) -> int:
    if field is None or field.name in _MAY_BE_EMPTY:
        return 0
    is_text = field.name not in {*TIMES, "sequence"}
    return 1 if is_text else len(sample(Template(f"{{{field}:{field.form}}}"), number=start))


def _last_parts(template: Template) -> tuple[list[tuple[str, Field | None]], bool]:
    """Return the parts that are in the file name of every object, and whether nothing else is."""
    found: list[tuple[str, Field | None]] = []
    for literal, field in reversed(template.parts):
        if field and field.name in _KEYS:
            return [("", field), *found], False
        if field and (field.name in _FOLDERS or "/" in field.form):
            return found, field.name in _FOLDERS and (not literal or literal.endswith("/"))
        _, slash, last = literal.rpartition("/")
        found.insert(0, (last, field))
        if slash:
            return found, True
    return found, True
