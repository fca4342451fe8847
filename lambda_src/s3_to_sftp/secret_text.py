"""The text of a secret: a JSON object with the fields of a login. No error ever shows its content."""

import json
from collections.abc import Mapping
from typing import Any

from s3_to_sftp.errors import CredentialsError
from s3_to_sftp.ssh.pasted_text import holds_private_key_file, without_mark


def fields_of(value: str | bytes | None, name: str) -> dict[str, Any]:
    """Return the fields of the secret with this name.

    Raises:
        CredentialsError: It is not a JSON object.
    """
    if value is None:
        raise unusable(name, "is empty")
    kind = "is binary, and" if isinstance(value, bytes) else "is"
    try:
        # The parser decodes bytes: UTF-8, UTF-16 and UTF-32, with or without a byte order mark.
        fields = json.loads(without_mark(value) if isinstance(value, str) else value)
    except (ValueError, RecursionError):
        # The parser's message is left out: it can quote the secret.
        if isinstance(value, str) and holds_private_key_file(value):
            raise unusable(name, "is a private key, not JSON: put it into the field 'private_key'") from None
        raise unusable(name, f"{kind} not JSON") from None
    if not isinstance(fields, dict):
        raise unusable(name, "is JSON, but not an object")
    return fields


def field_of(fields: Mapping[str, Any], key: str, name: str) -> str:
    """Return the text of a field, under any spelling of its name; empty where it is missing.

    Raises:
        CredentialsError: It is not text, or two spellings have different values.
    """
    given = {
        spelt: value
        for spelt, value in fields.items()
        if _folded(spelt) == _folded(key) and value is not None
    }
    for spelt, value in given.items():
        if not isinstance(value, str):
            raise unusable(name, f"has a {spelt!r} that is not text")
        if not _is_unicode(value):
            raise unusable(name, f"has a {spelt!r} that is not valid Unicode")
    values = {value for value in given.values() if value}
    if len(values) > 1:
        raise unusable(name, f"has different values in {' and '.join(map(repr, sorted(given)))}")
    found = str(values.pop()) if values else ""
    return found.strip() if key == "username" else found


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def unusable(name: str, what: str) -> CredentialsError:
    """Return the error for a secret that has something wrong."""
    return CredentialsError(
        f"The secret {name} {what}.",
        hint=(
            "Fill it: aws secretsmanager put-secret-value --secret-id "
            f"{name} --secret-string "
            '\'{"username": "...", "password": "...", "private_key": "...", "passphrase": "..."}\' '
            "(leave out what the partner does not use)."
        ),
    )
