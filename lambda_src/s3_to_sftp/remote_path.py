"""From object key to remote path: one key, one path, never outside the configured directory."""

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass

from s3_to_sftp.errors import RemotePathRefused

_MAX_NAME_BYTES = 255  # NAME_MAX of every common file system

# C0, DEL and C1: terminals and logs act on them. U+2028 and U+2029 break lines in some of them.
_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]")
# Embeddings, overrides and isolates: `gnp.exe` would be shown as `exe.png`. The marks that Arabic and Hebrew
# names hold (U+061C, U+200E, U+200F) reorder nothing by themselves.
_REORDERING = re.compile("[\\u202a-\\u202e\\u2066-\\u2069]")


@dataclass(frozen=True, kw_only=True)
class SourceDirectory:
    """Where the objects of one source go.

    Attributes:
        bucket: The bucket's name.
        prefix: Of their keys; empty: any.
        suffix: Of their keys; empty: any.
        directory: Remote directory; empty: that of the delivery.
        rules: Name of its own rules in the document; empty: it has those of the partner.
        former: Whether it is no longer watched: only waiting messages name its objects.
    """

    bucket: str
    prefix: str = ""
    suffix: str = ""
    directory: str = ""
    rules: str = ""
    former: bool = False

    def holds(self, bucket: str, key: str) -> bool:
        """Return whether the object comes from there."""
        return bucket == self.bucket and key.startswith(self.prefix) and key.endswith(self.suffix)


def directory_of(bucket: str, key: str, sources: Sequence[SourceDirectory], *, otherwise: str) -> str:
    """Return the directory of the source that names the object most closely: the longest prefix wins.

    Args:
        bucket: The object's bucket.
        key: Its decoded key.
        sources: As they are configured.
        otherwise: The directory of sources without their own, and of objects of no source.
    """
    source = source_of(bucket, key, sources)
    return (source.directory if source else "") or otherwise


def source_of(bucket: str, key: str, sources: Sequence[SourceDirectory]) -> SourceDirectory | None:
    """Return the source that names the object most closely: the longest prefix wins. None: there is none."""
    holding = [source for source in sources if source.holds(bucket, key)]
    return max(holding, key=lambda source: (len(source.prefix), len(source.suffix)), default=None)


def remote_path(*, directory: str, key: str) -> str:
    """Return where the object belongs: the directory, then the key with its own directories.

    Two different keys never map to one path: what cannot be mapped is refused, not rewritten.

    Args:
        directory: Remote directory, absolute or relative to the login's; empty for the login's own.
        key: The decoded object key.

    Raises:
        RemotePathRefused: The key would leave the directory, or is no file name there.
    """
    if why := refusal(directory=directory, key=key):
        raise RemotePathRefused(
            f"The key {key!r} cannot become a remote path: {why}.",
            hint="Put the object again under another key.",
        )
    return joined(directory=directory, name=key)


def joined(*, directory: str, name: str) -> str:
    """Return the path of a name that is known to be possible there."""
    return posixpath.join(directory.rstrip("/") or "/", name) if directory else name


def refusal(*, directory: str, key: str) -> str:
    """Return why a key, or a name that rules give, cannot become a remote path; empty: it can."""
    if why := next(filter(None, map(_refusal_of_name, key.split("/"))), ""):
        return why
    if ".." in key.replace("\\", "/").split("/"):
        return "on a Windows server, where '\\' separates names, it would leave the remote directory"
    first, slash, _ = key.partition("/")
    if not directory and slash and first.startswith("~"):
        return f"a server that expands {first!r} to a home would leave the directory of the login"
    return ""


def _refusal_of_name(name: str) -> str:
    if name in {".", ".."}:
        return f"{name!r} as a directory would leave the remote directory"
    if not name:
        return "'/' at an end or '//' makes an empty name, which would collide with another key"
    if _CONTROL.search(name):
        return "it holds a control character"
    if _REORDERING.search(name):
        return "it holds a character that reorders text, and would be shown as another name"
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    return f"a name in it is longer than {_MAX_NAME_BYTES} bytes" if len(encoded) > _MAX_NAME_BYTES else ""


def never_delivered(*, prefix: str = "", suffix: str = "") -> str:
    """Return why no key with this prefix and suffix can be delivered; empty: some can.

    Args:
        prefix: How the keys begin.
        suffix: How they end.
    """
    begun, ended = prefix.split("/"), suffix.split("/")
    if begun[0] == "" and len(begun) > 1:
        return f"the prefix {prefix!r} begins with '/', which keys do not: leave it out"
    if ended[-1] == "" and len(ended) > 1:
        return f"keys with the suffix {suffix!r} are directories"
    # The last name of a prefix, and the first of a suffix, are only parts of names.
    for name in (*begun[:-1], *ended[1:]):
        if name in {"", ".", ".."} or not _is_short(name):
            return f"{prefix + '*' + suffix!r} has a name that no file or directory can have, {name[:40]!r}"
    if _CONTROL.search(prefix + suffix) or _REORDERING.search(prefix + suffix):
        return f"{prefix + '*' + suffix!r} holds a control character"
    return ""


def _is_short(name: str) -> bool:
    try:
        return len(name.encode()) <= _MAX_NAME_BYTES
    except UnicodeEncodeError:
        return False


def home_in(directory: str) -> str:
    """Return why a directory with '~' leads elsewhere than it says; empty: it has none in front."""
    if not directory.startswith("~"):
        return ""
    return (
        f"SFTP does not know '~', and {directory!r} would be a directory of this name: write the whole path, "
        "or one that begins where the login starts"
    )
