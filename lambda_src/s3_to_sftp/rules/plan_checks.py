"""What is wrong with the names of one object."""

import posixpath
import re
from collections.abc import Sequence
from typing import Protocol

from s3_to_sftp.delivery_plan import PlannedFile
from s3_to_sftp.errors import RuleRefused
from s3_to_sftp.remote_path import refusal
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.name_checks import ADDED_BYTES, MOST_NAME_BYTES, repeated, temporary_bytes
from s3_to_sftp.rules.template import Field, Template

_MOST_BYTES = 1024
"""Of a path below the directory: as many as a key may have."""


class _Item(Protocol):
    @property
    def key(self) -> str: ...

    @property
    def directory(self) -> str: ...


def check_field(key: str, field: Field, value: object) -> None:
    """Refuse a value that would add directories, or leave one: it is text of others.

    Raises:
        RuleRefused: It would.
    """
    if isinstance(value, str) and re.search(r"[/\\]", value):
        raise RuleRefused(
            "name",
            f"The field {{{field}}} of the rule 'name' is {value!r} for {key!r}: it holds '/' or '\\', "
            "and would lead to another directory.",
            value=value,
            hint=f"Put the object again with another {field}, or leave the field out of the rule.",
        )


def check_name(rules: DeliveryRules, item: _Item, path: str) -> None:
    """Refuse a path below the directory that is none, or whose file name the rules do not allow.

    Raises:
        RuleRefused: It is refused.
    """
    why = refusal(directory=item.directory, key=path)
    if not why and len(path.encode()) > _MOST_BYTES:
        why = f"it is longer than {_MOST_BYTES} bytes"
    if why:
        raise RuleRefused(
            "name",
            f"The rules give {item.key!r} the name {path!r}, which cannot become a remote path: {why}.",
            value=path,
            hint="Put the object again under another key, or change the rule 'name'.",
        )
    name = path.rpartition("/")[2]
    if rules.max_name_length is not None and len(name) > rules.max_name_length:
        raise RuleRefused(
            "max_name_length",
            f"The name {name!r} of {item.key!r} has {len(name)} characters, and the rule 'max_name_length' "
            f"allows {rules.max_name_length}.",
            value=name,
            hint="Put the object again under a shorter key, or cut a field of the rule 'name', as in "
            "{stem:.20}.",
        )
    if rules.allowed_names is not None and not re.fullmatch(rules.allowed_names, name):
        raise RuleRefused(
            "allowed_names",
            f"The name {name!r} of {item.key!r} does not match the rule 'allowed_names', "
            f"{rules.allowed_names!r}.",
            value=name,
            hint="Put the object again under a key whose name matches, or change the rule 'name' or "
            "'allowed_names'."
            + (" If its number has too many digits, the sequence has outgrown it." if rules.sequence else ""),
        )


def check_files(key: str, paths: Sequence[str]) -> None:
    """Refuse names of companions that are none, or those of another file of the object.

    Args:
        key: Of the object.
        paths: Of the data and of its companions.

    Raises:
        RuleRefused: A name is refused.
    """
    for path in paths[1:]:
        name = posixpath.basename(path)
        if why := refusal(directory="any", key=name):
            raise RuleRefused(
                "companions",
                f"The rule 'companions' gives {key!r} a file {name!r}, which is no file name: {why}.",
                value=name,
                hint="Put the object again under another key, or change the rule 'companions'.",
            )
    if twice := repeated(paths):
        raise RuleRefused(
            "companions",
            f"The rules give two files of {key!r} the name {twice!r}, or names that differ only in case.",
            value=twice,
            hint="Put the object again under another key, or change a name in the rule 'companions'.",
        )


def check_temporary(rules: DeliveryRules, key: str, files: Sequence[PlannedFile]) -> None:
    """Refuse temporary names that are too long, or that other files have or could have.

    Raises:
        RuleRefused: One is refused.
    """
    if rules.temporary is None or rules.is_direct:
        return
    if twice := repeated([*(file.path for file in files), *(file.temporary for file in files)]):
        _refuse(twice, f"gives a file of {key!r} the name {twice!r}, which another file of it has")
    looks_temporary = _pattern(Template(rules.temporary))
    for file in files:
        directory, name = posixpath.split(file.temporary)
        most = MOST_NAME_BYTES - ADDED_BYTES
        if temporary_bytes(name) > most:
            _refuse(name, f"gives {key!r} the name {name!r}, which is longer than {most} bytes")
        final = posixpath.basename(file.path)
        if looks_temporary and directory == posixpath.dirname(file.path) and looks_temporary.fullmatch(final):
            why = f"gives temporary files names like {final!r}, which would be the final one of {key!r}"
            _refuse(final, f"{why}: an upload could replace it")


def _refuse(value: str, why: str) -> None:
    raise RuleRefused(
        "temporary",
        f"The rule 'temporary' {why}.",
        value=value,
        hint="Put the object again under another key, or change the rule 'temporary'.",
    )


def _pattern(template: Template) -> "re.Pattern[str] | None":
    """Return what temporary names look like; None: with a token, no other file has such a name."""
    if template.uses("token"):
        return None
    text = ""
    for literal, field in template.parts:
        text += re.escape(literal.rpartition("/")[2])
        if field is not None:
            text += ".*" if field.form else {"ext": r"(?:\.[^.]*)?"}.get(field.name, ".+")
    return re.compile(text, re.DOTALL | re.IGNORECASE)
