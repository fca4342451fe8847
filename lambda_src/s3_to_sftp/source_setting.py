"""The value of SSH_SOURCES: the sources that have a directory or rules of their own, and others."""

import json
from collections.abc import Mapping

from s3_to_sftp.errors import ConfigurationError
from s3_to_sftp.remote_path import SourceDirectory, home_in, never_delivered
from s3_to_sftp.untrusted_text import quoted


def configured_sources(text: str, *, rules: str | None) -> tuple[SourceDirectory, ...]:
    """Return the sources.

    Args:
        text: Of the variable; empty: none.
        rules: Value of SSH_RULES, which a source with its own rules needs; None: it is not set.

    Raises:
        ConfigurationError: The text is no list of sources, or one of them cannot be right.
    """
    try:
        sources = tuple(_source(source) for source in json.loads(text.strip() or "[]"))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigurationError(
            'SSH_SOURCES must be a JSON list of {"bucket": ..., "prefix": ..., "suffix": ..., "directory": '
            '..., "rules": ...}, all but the bucket where they are needed, got '
            f"{quoted(text)!r} ({quoted(error)}).",
            hint="Set it in the function's configuration.",
        ) from None
    named = next((source.rules for source in sources if source.rules), "")
    if named and rules is None:
        # Without its rules the partner would get the object under another name.
        raise ConfigurationError(
            f"SSH_SOURCES has a source with the rules {quoted(named)!r}, but SSH_RULES is not set.",
            hint="Deploy again: the construct sets both.",
        )
    return sources


def checked_directory(name: str, directory: str) -> str:
    """Return the remote directory, unless it begins with '~'.

    Args:
        name: Of the variable.
        directory: What it says.

    Raises:
        ConfigurationError: It does.
    """
    if why := home_in(directory):
        raise ConfigurationError(f"{name}: {why}.", hint="Set it in the function's configuration.")
    return directory


def _source(fields: Mapping[str, object]) -> SourceDirectory:
    former = fields.get("former", False)
    if not isinstance(former, bool):
        raise TypeError(f"{former!r} is neither true nor false")
    texts = _texts({name: value for name, value in fields.items() if name != "former"})
    source = SourceDirectory(**texts, former=former)
    checked_directory("SSH_SOURCES", source.directory)
    if why := never_delivered(prefix=source.prefix, suffix=source.suffix):
        raise ConfigurationError(
            f"SSH_SOURCES has a source of which no object can be delivered: {why}.",
            hint="Set it in the function's configuration.",
        )
    return source


def _texts(source: Mapping[str, object]) -> dict[str, str]:
    if other := [value for value in source.values() if not isinstance(value, str)]:
        raise TypeError(f"{other[0]!r} is not text")
    return {name: str(value) for name, value in source.items()}
