"""Every name that a delivery may use at the partner besides the final one, derived from one temporary name.

The ledger keeps the temporary name. The code that removes leftovers of an attempt derives the others from
it.
"""

import functools
import hashlib
import posixpath
import re

_SUFFIX = ".part"
_SECOND = "2"
_DIGEST_CHARACTERS = 6
_OURS = re.compile(
    r"\.[0-9a-f]{8}-[0-9a-z]+(?P<probe>-2|-probe|-resume)?\.part(?P<end>\.void|\.[0-9]+\.old)?", re.ASCII
)


def temporary_path(path: str, *, token: str) -> str:
    """Return the name under which the bytes arrive before they are renamed to `path`.

    It is in the same directory (a rename across file systems would copy), is hidden from most listings, and
    has a bounded length however long the final name is.

    Args:
        path: The final path.
        token: Makes the name unique among attempts: two attempts at one object must never share a
            file, or one could rename what the other has just truncated.
    """
    directory, name = posixpath.split(path)
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return posixpath.join(directory, f".{digest}-{token}{_SUFFIX}")


def another_name(temporary: str) -> str:
    """Return the temporary name of a second try within an attempt.

    Handles of the parallel streams may still be open at the server, and an object store puts what they wrote
    under the old name when they are closed: no place for the file that is about to get its final name.
    """
    return _derived(_without_second(temporary), _SECOND)


def probe_name(temporary: str) -> str:
    """Return the name of what shows whether several streams may write one file."""
    return _derived(_without_second(temporary), "probe")


def resume_probe_name(temporary: str) -> str:
    """Return the name of what shows whether files can be resumed.

    Another one: a further stream that was called off may still be busy with the probe of several streams.
    """
    return _derived(_without_second(temporary), "resume")


def void_name(temporary: str) -> str:
    """Return the name under which a file is that may be neither published nor removed."""
    return f"{temporary}.void" if _is_hidden(temporary) else _beside(temporary, "void")


def aside_name(temporary: str, attempt: int, *, path: str = "") -> str:
    """Return where a file of the partner's is moved while it is replaced; no two attempts share the name.

    Args:
        temporary: Of the file that replaces it.
        attempt: Of the delivery.
        path: The final name, beside which it stays; by default in the directory of `temporary`.
    """
    if _is_hidden(temporary):
        return f"{temporary}.{attempt}.old"
    directory = posixpath.dirname(temporary)
    beside = posixpath.dirname(path) if path else directory
    if beside != directory or temporary == path:  # its own form may be one that the partner collects there
        digest = hashlib.sha256(temporary.encode()).hexdigest()[:16]
        return posixpath.join(beside, f".{digest[:8]}-{digest[8:]}{_SUFFIX}.{attempt}.old")
    return _beside(temporary, f"{attempt}-old")


def with_marker(temporary: str, marker: str) -> str:
    """Return another name of the same form: a partner who ignores `*.partial` ignores it, too."""
    stem, ext = posixpath.splitext(temporary)
    return f"{stem}-{marker}{ext}"


@functools.lru_cache(maxsize=256)
@functools.lru_cache(maxsize=16)  # each WRITE of a large file asks
def described(path: str) -> str:
    """Return how reasons and hints call a file: names of ours by their role, others in quotation marks.

    Ours are random. With them no two reasons would be the same, and alike failures could not be counted
    together. The ledger and the log have the names.
    """
    directory, name = posixpath.split(path)
    ours = _OURS.fullmatch(name)
    if ours is None:
        return repr(path)
    where = f"in {directory!r}" if directory else "where the login starts"
    if (ours["end"] or "").endswith(".old"):
        return f"the old file moved aside {where}"
    if ours["probe"] in {"-probe", "-resume"}:
        return f"a test file {where}"
    return f"the temporary file {where}"


def names_of_attempt(temporary: str) -> tuple[str, ...]:
    """Return the names of ours that an attempt may have used, given the one that the ledger has."""
    return temporary, *(name(temporary) for name in (another_name, probe_name, resume_probe_name, void_name))


def _derived(first: str, marker: str) -> str:
    """Return another name that belongs to a first one, and to no other object.

    Where the partner prescribes the form, `a.csv` and `a-2.csv` have `a.part` and `a-2.part`, and may be sent
    at the same time.
    """
    return with_marker(first, marker if _is_hidden(first) else f"{_digest(first)}-{marker}")


def _beside(temporary: str, marker: str) -> str:
    """Return another name that belongs to a first or a second one, which has a digest already."""
    is_second = _without_second(temporary) != temporary
    return with_marker(temporary, marker) if is_second else _derived(temporary, marker)


def _without_second(temporary: str) -> str:
    """Return the first name of an attempt, also from that of its second try."""
    stem, ext = posixpath.splitext(temporary)
    if _is_hidden(temporary):
        return stem.removesuffix(f"-{_SECOND}") + ext
    first = stem[: -(len(_SECOND) + _DIGEST_CHARACTERS + 2)] + ext
    return first if temporary == _derived(first, _SECOND) else temporary


def _digest(first: str) -> str:
    return hashlib.sha256(posixpath.basename(first).encode()).hexdigest()[:_DIGEST_CHARACTERS]


def _is_hidden(temporary: str) -> bool:
    return _OURS.fullmatch(posixpath.basename(temporary)) is not None
