"""Checks of what a partner assigns: ids, prefixes, names of feeds."""

import re

from s3_to_sftp.rules.invalid import InvalidRule, require_type


def require_match(argument: str, value: object, pattern: str, *, wanted: str) -> str:
    """Return a text that has this form as a whole.

    Args:
        argument: How errors name it.
        value: As it was passed in.
        pattern: Its form. It lets no brace through, since the text becomes a part of a template.
        wanted: The form in words.

    Raises:
        InvalidRule: It has another form, or is no text.
    """
    require_type(argument, value, str, wanted=wanted)
    if not re.fullmatch(pattern, str(value), re.ASCII):
        raise InvalidRule(argument, f"must be {wanted}, got {value!r}")
    return str(value)


def require_flag(argument: str, value: object) -> None:
    """Refuse what is neither True nor False.

    Raises:
        InvalidRule: It is something else.
    """
    require_type(argument, value, bool, wanted="True or False")
