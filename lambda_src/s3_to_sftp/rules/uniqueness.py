"""Whether two objects can get the same name, as far as it follows from the templates."""

from s3_to_sftp.rules.template import TIMES, Field, Template
from s3_to_sftp.rules.times import has_fixed_length

_FOLDERS = frozenset({"folder", "relative_folder"})


def is_unique(name: str, companions: tuple[str, ...], *, keeps_case: bool) -> bool:
    """Return whether no two keys ever get the same name of a file; where it is not clear, they may.

    Args:
        name: Template of the data's name.
        companions: Templates of the names beside it.
        keeps_case: Whether letters stay as the key has them.
    """
    texts = [name, *companions]
    ends = [_end(text) for text in texts]
    # Two files of different objects may share a name unless their names end differently.
    apart = all(
        not one.endswith(other) and not other.endswith(one)
        for place, one in enumerate(ends)
        for other in ends[:place]
    )
    return (
        _tells_keys_apart(Template(name), keeps_case=keeps_case)
        and all(map(_has_whole_name, companions))
        and apart
    )


def _end(text: str) -> str:
    literal, field = (Template(text).parts or (("", None),))[-1]
    return literal if field is None else ""


def _has_whole_name(text: str) -> bool:
    fields = [field for field in Template(text).fields if not _has_fixed_length(field)]
    return fields == [Field("name")]


def _tells_keys_apart(template: Template, *, keeps_case: bool) -> bool:
    varying = [field for field in template.fields if not _has_fixed_length(field)]
    # `relative_key` is that of another key in another source; `version` may be "null".
    if varying == [Field("key")]:
        return keeps_case
    return _is_number_told_apart(template)


def _is_number_told_apart(template: Template) -> bool:
    """Return whether the number of the sequence can be read from the name: it is another one in each."""
    parts = list(template.parts)
    places = [place for place, (_, field) in enumerate(parts) if field and field.name == "sequence"]
    if len(places) != 1:
        return False
    before, between, behind = parts[: places[0]], parts[places[0]][0], parts[places[0] + 1 :]
    has_extension = behind == [("", Field("ext"))]
    if all(map(_is_fixed, before)):
        begins = bool(behind) and _is_no_digit(behind[0][0][:1])
        return begins or has_extension or all(map(_is_fixed, behind))
    if not (_is_no_digit(between[-1:]) or (not between and _is_folder(before))):
        return False
    if all(map(_is_fixed, behind)):
        return True
    # `{stem}_{sequence}{ext}`: what has no extension has a dot at most at its beginning, and so has a number.
    *directory, (literal, last) = before
    is_stem = last is not None and last.name == "stem" and not literal and _is_folder(directory)
    return has_extension and is_stem and not set("./") & set(between)


def _is_folder(parts: list[tuple[str, Field | None]]) -> bool:
    """Return whether a file name begins behind these parts."""
    match parts:
        case []:
            return True
        case [("", Field(name=name))]:
            return name in _FOLDERS
    return False


def _is_fixed(part: tuple[str, Field | None]) -> bool:
    return part[1] is None or _has_fixed_length(part[1])


def _has_fixed_length(field: Field) -> bool:
    return field.name in TIMES and has_fixed_length(field.form)


def _is_no_digit(character: str) -> bool:
    return bool(character) and not character.isdecimal()
