"""Templates of names and of small texts: `{stem}_{event_time:%Y%m%d}{ext}`.

Written like `str.format`, but only fields of a fixed list are known, and each kind of value has its own form:
directives of strftime for times, `06d` for numbers, `.20` (at most so many characters) for text.
"""

import re
import string
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache

from s3_to_sftp.rules.invalid import InvalidRule, require_type
from s3_to_sftp.rules.object_tags import check_metadata, check_tag
from s3_to_sftp.rules.times import KNOWN, formatted, has_directive, unknown_directive

TIMES = frozenset({"event_time", "delivery_time"})
NUMBERS = frozenset({"sequence", "bytes", "count"})
MAPS = frozenset({"metadata", "tag"})
"""Fields with a name in brackets: `{tag[partner]}`."""
LISTS = frozenset({"part"})
"""Fields with a position in brackets: `{part[0]}`, `{part[-2]}`."""
_LONGEST_TEMPLATE = 16_384
_NUMBER_FORM = re.compile(r"(0?[1-9][0-9]?)?d?")
_SEQUENCE_FORM = re.compile(r"(0[1-9][0-9]?)?d?")
"""Without blanks in front, which names would begin with."""
_TEXT_FORM = re.compile(r"(\.[1-9][0-9]{0,2})?")
_INDEXED = re.compile(r"(?P<field>[a-z_0-9]+)(?:\[(?P<index>[^\[\]]+)\])?")


class MissingValue(Exception):
    """A field has no value for this object.

    Attributes:
        field: As it is written in the template, without braces.
    """

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class Pending:
    """Stands for a value that is not known yet: it is written as the name of its field."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __str__(self) -> str:
        return f"{{{self._name}}}"


@dataclass(frozen=True)
class Field:
    """A field of a template.

    Attributes:
        name: One of the known ones.
        index: What is in brackets; empty: nothing.
        form: What follows the colon.
    """

    name: str
    index: str = ""
    form: str = ""

    def __str__(self) -> str:
        return f"{self.name}[{self.index}]" if self.index else self.name


@dataclass(frozen=True)
class Template:
    """A text with fields in braces; `{{` and `}}` stand for braces.

    Attributes:
        text: As it is written.
    """

    text: str

    @cached_property
    def parts(self) -> tuple[tuple[str, Field | None], ...]:
        """The text in front of each field, and the field; None after the last text."""
        return _parts(self.text)

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The fields, in order."""
        return tuple(field for _, field in self.parts if field is not None)

    def uses(self, *names: str) -> bool:
        """Return whether it has one of these fields."""
        return any(field.name in names for field in self.fields)

    def names_of(self, field: str) -> list[str]:
        """Return what is in brackets behind each field of this name, such as the tags that are used."""
        return [each.index for each in self.fields if each.name == field]

    def rendered(self, values: Mapping[str, object]) -> str:
        """Return the text with the values in place of the fields; braces in values are no fields.

        Args:
            values: By field: text, a number, a time, or a map or a list of texts.

        Raises:
            MissingValue: A field has no value.
        """
        return "".join(
            literal + ("" if field is None else _value(field, values)) for literal, field in self.parts
        )


def check_template(rule: str, text: object, known: Set[str]) -> Template:
    """Return the template, checked.

    Args:
        rule: How errors name it.
        text: As it is written.
        known: The fields that it may have.

    Raises:
        InvalidRule: It is no template, has an unknown field, or a form that its field does not have.
    """
    require_type(rule, text, str, wanted="a text with fields in braces")
    template = Template(str(text))
    if len(template.text) > _LONGEST_TEMPLATE:
        raise InvalidRule(rule, f"must have at most {_LONGEST_TEMPLATE} characters, got {len(template.text)}")
    try:
        template.text.encode()
        fields = template.fields
    except ValueError as error:
        raise InvalidRule(rule, f"must be a text with fields in braces, got {text!r}: {error}") from None
    for field in fields:
        _check_field(rule, field, template.text, known)
    return template


@lru_cache(maxsize=1024)  # each plan of an object reads the same few templates
def _parts(text: str) -> tuple[tuple[str, Field | None], ...]:
    return tuple(_parsed(text))


def _parsed(text: str) -> Iterator[tuple[str, Field | None]]:
    for literal, name, form, conversion in string.Formatter().parse(text):
        if name is None:
            yield literal, None
            continue
        found = _INDEXED.fullmatch(name)
        if found is None or conversion:
            shown = name + (f"!{conversion}" if conversion else "")
            raise ValueError(f"'{{{shown}}}' is no field; braces that are text are written twice")
        yield literal, Field(found["field"], found["index"] or "", form or "")


def _check_field(rule: str, field: Field, text: str, known: Set[str]) -> None:
    listed = ", ".join(f"{{{name}}}" for name in sorted(known))
    if field.name not in known:
        raise InvalidRule(rule, f"has the unknown field {{{field}}}, got {text!r}: the fields are {listed}")
    has_index = field.name in MAPS | LISTS
    if has_index != bool(field.index):
        wanted = "a position as in {part[0]}" if field.name in LISTS else f"a name as in {{{field.name}[x]}}"
        wanted = wanted if has_index else "no brackets"
        raise InvalidRule(rule, f"must have {wanted} behind {field.name}, got {text!r}")
    if field.name == "tag":
        check_tag(rule, field.index)
    if field.name == "metadata":
        check_metadata(rule, field.index)
    if field.name in LISTS and not re.fullmatch(r"-?[0-9]{1,2}", field.index):
        raise InvalidRule(rule, f"must have a position in {{{field}}}, such as 0 or -1, got {text!r}")
    _check_form(rule, field, text)


def _check_form(rule: str, field: Field, text: str) -> None:
    if field.name in TIMES:
        if not has_directive(field.form) or re.search(r"[{}]", field.form):
            raise InvalidRule(
                rule, f"must say how to write {{{field}}}, as in {{{field}:%Y%m%d}}, got {text!r}"
            )
        if unknown := unknown_directive(field.form):
            raise InvalidRule(rule, f"has the unknown directive {unknown} in {text!r}: known are {KNOWN}")
    elif field.name in NUMBERS:
        form = _SEQUENCE_FORM if field.name == "sequence" else _NUMBER_FORM
        if not form.fullmatch(field.form):
            raise InvalidRule(
                rule, f"must write {{{field}}} as a whole number, as in {{{field}:06d}}, got {text!r}"
            )
    elif not _TEXT_FORM.fullmatch(field.form):
        raise InvalidRule(
            rule, f"must write {{{field}}} as it is, or cut as in {{{field}:.20}}, got {text!r}"
        )


def value_of(field: Field, values: Mapping[str, object]) -> object:
    """Return the value that a field stands for; None: there is none."""
    match value := values.get(field.name):
        case Mapping():
            return value.get(field.index)
        case list() | tuple():
            position = int(field.index)
            return value[position] if -len(value) <= position < len(value) else None
    return value


def _value(field: Field, values: Mapping[str, object]) -> str:
    match value := value_of(field, values):
        case None:
            raise MissingValue(str(field))
        case datetime():
            return formatted(value, field.form)
        case Pending():
            return str(value)
        case int():
            return format(value, field.form)
    text = str(value)
    return text[: int(field.form[1:])] if field.form else text
