"""Whether two objects can get the same name, as far as it follows from the templates."""

from s3_to_sftp.rules.template import TIMES, Field, Template
from s3_to_sftp.rules.times import has_fixed_length


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
    # `relative_key` is that of another key in another source; `version` may be "null". A number of a sequence
    # is that of another object once rules name another sequence, or begin again.
    return varying == [Field("key")] and keeps_case


def _has_fixed_length(field: Field) -> bool:
    return field.name in TIMES and has_fixed_length(field.form)
