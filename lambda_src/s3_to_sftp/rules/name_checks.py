"""What is wrong with all names that rules give, whatever the object is."""

import re
from collections.abc import Callable, Sequence

from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.remote_path import refusal
from s3_to_sftp.rules.expression import can_contain
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.samples import (
    always_in_file_names,
    least_length,
    names_without_texts,
    sample,
    sample_beside,
)
from s3_to_sftp.rules.template import TIMES, Template

FINAL_NAME = "{name}"
"""As `temporary`: the file is written under its final name."""
MOST_NAME_BYTES = 255
"""NAME_MAX of every common file system."""
TOKEN, TOKEN_BYTES = "{token}", 32
"""In temporary names; each attempt has another one of at most so many bytes."""
ADDED_BYTES = 36
"""Of what is added to a temporary name for probes, second tries, and files that must not be published.

At most 17 for a name beside one whose RENAME may still happen, 9 for a second try, then 10 for a file that is
moved aside.
"""
_FINAL_IN_PARTS = "{stem}{ext}"
_DISTINGUISHING = frozenset(
    {"key", "relative_key", "name", "stem", "part", "metadata", "tag", "version", "sequence"}
)
_MAY_HOLD_DIRECTORIES = frozenset({"key", "relative_key", "folder", "relative_folder"})


def check_names(
    text: str, *, cased: Callable[[str], str], longest: int | None, allowed: str | None, start: int
) -> None:
    """Refuse a template of names that gives no object a name of its own that is allowed.

    Args:
        text: The template.
        cased: Gives file names their case.
        longest: The most characters of a file name.
        allowed: Regular expression that file names must match.
        start: First number of the sequence.

    Raises:
        InvalidRule: It gives none.
    """
    template = Template(text)
    if not template.uses(*_DISTINGUISHING):
        raise InvalidRule(
            "name",
            f"must have a field that tells two objects apart, such as {{stem}} or {{sequence}}, got "
            f"{text!r}: two objects would have the same name",
        )
    if text.startswith(("~", " ")) or text.endswith(" "):
        raise InvalidRule(
            "name", f"must begin and end with what is to be seen, and without '~' in front, got {text!r}"
        )
    if text.startswith("/") or text.endswith("/"):
        raise InvalidRule(
            "name", f"must be a path below the remote directory without '/' at its ends, got {text!r}"
        )
    if why := refusal(directory="any", key=sample(template)):
        raise InvalidRule("name", f"must give names that can be remote paths, got {text!r}: {why}")
    if longest is not None and (least := least_length(template, start)) > longest:
        raise InvalidRule(
            "max_name_length", f"must be at least {least} with the name {text!r}, got {longest}: no name fits"
        )
    if allowed is not None and "/" in re.sub(r"\[[^\]]*\]", "", allowed):
        raise InvalidRule(
            "allowed_names",
            f"must match file names, which have no '/', got {allowed!r}: leave directories out",
        )
    if allowed is not None:
        _check_some_name_is_allowed(template, cased, allowed, start)


def _check_some_name_is_allowed(
    template: Template, cased: Callable[[str], str], allowed: str, start: int
) -> None:
    for character in dict.fromkeys(cased(always_in_file_names(template))):
        if not can_contain(allowed, character):
            raise InvalidRule(
                "allowed_names",
                f"must match names of the rule 'name', got {allowed!r}: no name with {character!r} matches, "
                f"and all names of {template.text!r} have it",
            )
    names = [cased(name) for name in names_without_texts(template, start)]
    if names and not any(re.fullmatch(allowed, name) for name in names):
        raise InvalidRule(
            "allowed_names",
            f"must match names of the rule 'name', got {allowed!r}: names of {template.text!r} do not, as "
            f"{names[0]!r}",
        )


def check_number(text: str, temporary: str | None) -> None:
    """Refuse a template with the number of the sequence where it is needed before it is known.

    Raises:
        InvalidRule: It is in the directory, or files have their final name from the beginning.
    """
    is_behind = False
    for literal, field in Template(text).parts:
        has_slash = field and (
            field.name in _MAY_HOLD_DIRECTORIES or (field.name in TIMES and "/" in field.form)
        )
        if is_behind and ("/" in literal or has_slash):
            raise InvalidRule(
                "name",
                f"must have {{sequence}} in the file name, got {text!r}: the directory must be known before "
                "the number is",
            )
        is_behind = is_behind or bool(field and field.name == "sequence")
    if temporary in (FINAL_NAME, _FINAL_IN_PARTS):
        raise InvalidRule(
            "temporary",
            "must be another name than the final one with {sequence} in the name, got "
            f"{temporary!r}: the number is taken when the bytes are at the partner",
        )


def check_temporary(text: str, *, name: str, if_exists: IfExists) -> None:
    """Refuse a template of temporary names that two files could share, or that can be no path.

    Args:
        text: The template.
        name: That of final names.
        if_exists: What to do if something has the final name.

    Raises:
        InvalidRule: It cannot be used.
    """
    template = Template(text)
    whole = {field.name for field in template.fields if not field.form}
    if not whole & {"name", "stem", "token"}:
        raise InvalidRule(
            "temporary",
            f"must follow from the final name, as '{{name}}.partial' does, got {text!r}: two objects would "
            "have the same temporary name",
        )
    if not whole & {"name", "token"} and not ("ext" in whole or one_extension(name)):
        raise InvalidRule(
            "temporary",
            f"must have {{name}} or {{token}}, got {text!r}: files whose names differ only in their "
            "extension would have the same temporary name. Or let the rule 'name' end in one extension, as "
            "'{stem}.csv' does",
        )
    if if_exists is IfExists.NEW_NAME and "token" not in whole:
        raise InvalidRule(
            "temporary",
            f"must have {{token}} with if_exists NEW_NAME, got {text!r}: two objects with the same name "
            "would have the same temporary name",
        )
    if text == _FINAL_IN_PARTS and Template(name).uses("sequence"):  # by its short name it is refused, too
        check_number(name, text)
    _check_path(template)
    if "/" in text and "token" not in whole:
        raise InvalidRule(
            "temporary",
            f"must have {{token}} if it has a directory, got {text!r}: files of several directories, or of "
            "several deployments, would meet there under the same name. Write "
            f"{_with_token(text)!r}",
        )


def _with_token(text: str) -> str:
    directory, _, name = text.rpartition("/")
    return f"{directory}/{{token}}_{name}"


def _check_path(template: Template) -> None:
    text = template.text
    if text == _FINAL_IN_PARTS:
        raise InvalidRule("temporary", f"must be '{{name}}' to write under the final name, got {text!r}")
    if text.startswith("~") or text.endswith("/"):
        raise InvalidRule(
            "temporary", f"must be a name, or a path without '~' and '/' at its end, got {text!r}"
        )
    directory = text.rpartition("/")[0]
    if "{" in directory:
        raise InvalidRule(
            "temporary",
            f"must have its fields in the file name, got {text!r}: the directory must be a fixed one",
        )
    if why := refusal(directory="any", key=sample(template).removeprefix("/")):
        raise InvalidRule("temporary", f"must give names that can be remote paths, got {text!r}: {why}")


def check_files(name: str, companions: Sequence[str], temporary: str | None) -> None:
    """Refuse rules by which two files of one object share a name.

    Args:
        name: Template of the data's name.
        companions: Those of the names beside it.
        temporary: That of temporary names; None: they are random.

    Raises:
        InvalidRule: Two do.
    """
    if twice := repeated(companions):
        raise InvalidRule(
            "companions",
            f"must have different names, got {twice!r} twice, where upper and lower case count as the same",
        )
    data = sample(Template(name)).rpartition("/")[2]
    finals = [data, *(sample_beside(Template(each), data) for each in companions)]
    if repeated(finals):
        raise InvalidRule(
            "companions",
            f"must have other names than the data and each other, got {', '.join(map(repr, companions))} "
            f"beside {name!r}: two files of an object would have the same name",
        )
    _check_lengths(companions, finals[1:], beside=name)
    if temporary is None or temporary == FINAL_NAME:
        return
    names = [sample_beside(Template(temporary), each) for each in finals]
    used = [*names, *(finals if "/" not in temporary else ())]
    if repeated(used):
        raise InvalidRule(
            "temporary",
            f"must give each file of an object its own name, which is no final one, got {temporary!r}: two "
            f"files beside {name!r} would have the same name",
        )
    shortest = max(map(temporary_bytes, names))
    if shortest > MOST_NAME_BYTES - ADDED_BYTES:
        raise InvalidRule(
            "temporary",
            f"must leave {ADDED_BYTES} bytes of {MOST_NAME_BYTES} for what is added while a file is written, "
            f"got {temporary!r}: the shortest name has {shortest} bytes",
        )


def temporary_bytes(path: str) -> int:
    """Return the length of a temporary name whose token is not known yet."""
    name = path.rpartition("/")[2]
    return len(name.encode()) + name.count(TOKEN) * (TOKEN_BYTES - len(TOKEN))


def _check_lengths(companions: Sequence[str], names: Sequence[str], *, beside: str) -> None:
    for companion, name in zip(companions, names, strict=True):
        if len(name.encode()) > MOST_NAME_BYTES:
            raise InvalidRule(
                "companions",
                f"must have names of at most {MOST_NAME_BYTES} bytes, got {companion!r} beside {beside!r}: "
                f"the "
                f"shortest one has {len(name.encode())}",
            )


def repeated(names: Sequence[str]) -> str:
    """Return a name that occurs twice, also as one that differs only in case: Windows knows no difference."""
    folded = [name.casefold() for name in names]
    return next((name for name in names if folded.count(name.casefold()) > 1), "")


def one_extension(name: str) -> str:
    """Return the extension that all names of the template have; empty: it may be any, or none."""
    last, field = Template(name).parts[-1]
    dot = last.rfind(".")
    return last[dot:] if field is None and dot >= 0 and "/" not in last else ""
