"""What is in the files beside the data."""

from collections.abc import Mapping

from s3_to_sftp.errors import RuleRefused
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.template import MissingValue, Pending, Template

_MOST_BYTES = 256 * 1024
_OF_NAME = {"name", "stem", "ext", "path"}


def content_of(companion: Companion, path: str, values: Mapping[str, object]) -> bytes | None:
    """Return the content of a companion; None: it depends on what is not known yet.

    Args:
        companion: As the rules have it.
        path: Of the data, for errors.
        values: By field.

    Raises:
        RuleRefused: It cannot be written.
    """
    template = Template(companion.content)
    try:
        text = template.rendered(values)
    except MissingValue as missing:
        raise RuleRefused(
            "companions",
            f"The content of {companion.name!r} needs {{{missing.field}}}, which the object of {path!r} does "
            "not have.",
            value=missing.field,
            hint=f"Put the object again with a {missing.field}, or change the rule 'companions'.",
        ) from None
    try:
        content = text.encode(companion.encoding)
    except UnicodeEncodeError as error:
        raise RuleRefused(
            "companions",
            f"The content of {companion.name!r} for {path!r} cannot be written in {companion.encoding}, "
            f"which has no {error.object[error.start]!r}.",
            value=companion.encoding,
            hint="Change 'encoding' of the rule 'companions', or the name of the object.",
        ) from None
    if len(content) > _MOST_BYTES:
        raise RuleRefused(
            "companions",
            f"The content of {companion.name!r} for {path!r} has {len(content)} bytes, and at most "
            f"{_MOST_BYTES} are allowed.",
            value=companion.name,
            hint="Shorten the content in the rule 'companions'.",
        )
    used = {field.name for field in template.fields}
    if used & _OF_NAME:
        used.add("sequence")  # it may be in the name
    return None if any(isinstance(values.get(name), Pending) for name in used) else content
