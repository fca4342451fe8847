"""Text that others wrote, made fit to be quoted: decoded, cleaned, without secrets, cut to a stated length.

Errors go to the ledger, to events, to the dead-letter queue, to the circuit breaker and to logs. Each has a
size limit, and what is too large for one would not be recorded at all. So a reason has its length from the
moment it is made, and what a server says is cut before it becomes a part of a reason.
"""

import base64
import html
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote

MOST_QUOTED_CHARACTERS = 400
"""Of what a server, a library or a service said, within a reason of ours."""

MOST_REASON_BYTES = 4096
"""Of a reason or a hint, in UTF-8. Two remote paths of 1,024 bytes fit, and what was said."""

_SECRET = "[secret]"  # noqa: S105 - stands where a secret was
_MOST_SECRETS = 16
_SHORTEST_ANYWHERE = 4
"""Characters. A shorter secret would be found in the middle of most words: only whole words are taken out."""

# Compiled when they are needed: a cold start has no use for them.
_PRIVATE_KEY = r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)"
# C0 and C1 controls, separators of lines, bidirectional controls, what has no width, and no characters.
_NOT_SHOWN = (
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff"
    "\ud800-\udfff\ufffd\ufffe\uffff]+"
)
# SQS takes the characters of XML 1.0; others are InvalidMessageContents (SendMessage).
_NOT_IN_XML = "[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]"

_secrets: dict[str, None] = {}


def never_show(*secrets: str) -> None:
    """Take these out of all that is quoted from now on: a server may repeat the password that it was sent."""
    # What surrounds it is cut off by many who repeat it.
    for secret in filter(str.strip, [*secrets, *map(str.strip, secrets)]):
        _secrets.pop(secret, None)
        _secrets[secret] = None
    while len(_secrets) > _MOST_SECRETS:
        del _secrets[next(iter(_secrets))]


def decoded(raw: bytes) -> str:
    """Decode what may be UTF-8 or any other encoding, without secrets and without ever failing."""
    for secret in _longest_first():
        for encoding in ("utf-8", "latin-1", "utf-16-le", "utf-16-be"):
            encoded = secret.encode(encoding, "ignore")
            if len(secret) >= _SHORTEST_ANYWHERE and len(encoded) >= len(secret):
                raw = raw.replace(encoded, _SECRET.encode())
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def quoted(text: object, *, most: int = MOST_QUOTED_CHARACTERS) -> str:
    """Return what others said as one short line: no secrets, no control characters, "..." where it is cut.

    Args:
        text: What was said; bytes are decoded, an exception says what it is called if it says nothing else.
        most: Characters.
    """
    if isinstance(text, bytes | bytearray):
        text = decoded(bytes(text))
    said = str(text) or (type(text).__name__ if isinstance(text, BaseException) else "")
    shown = re.sub(_NOT_SHOWN, lambda run: " " if run[0].isspace() else "\ufffd", without_secrets(said))
    shown = re.sub(r"\s+", " ", shown).strip()
    return shown if len(shown) <= most else shown[: max(most - 3, 0)] + "..."


def without_secrets(text: str) -> str:
    """Return the text with a mark in the place of each secret and of each private key."""
    text = re.sub(_PRIVATE_KEY, _SECRET, text)
    for find in _patterns():
        text = find(text)
    return text


def cut(text: str, most_bytes: int) -> str:
    """Return the text in characters that SQS takes, its UTF-8 form no longer than that, "..." where cut."""
    clean = re.sub(_NOT_IN_XML, "\ufffd", text[: max(most_bytes, 0) + 1]).encode()
    if len(clean) <= most_bytes:
        return clean.decode()
    return clean[: max(most_bytes - 3, 0)].decode(errors="ignore") + "..."[: max(most_bytes, 0)]


def _longest_first() -> list[str]:
    return sorted(_secrets, key=len, reverse=True)


def _patterns() -> Iterator[Callable[[str], str]]:
    for secret in _longest_first():
        # Also as it looks in a `repr`, and where its UTF-8 was read as Latin-1.
        looks = {secret, repr(secret)[1:-1], secret.encode(errors="replace").decode("latin-1")}
        looks |= {html.escape(secret), quote(secret, safe="", errors="replace")}
        looks |= {base64.b64encode(secret.encode(errors="replace")).decode().rstrip("=")}
        for look in sorted(looks, key=len, reverse=True):
            if len(look) >= _SHORTEST_ANYWHERE:
                anywhere = re.compile(re.escape(look), re.IGNORECASE)
                yield lambda text, anywhere=anywhere: anywhere.sub(_SECRET, text)  # type: ignore[misc] # bound now
            else:
                word = rf"(?<!\w){re.escape(look)}(?!\w)"
                yield lambda text, word=word: re.sub(word, _SECRET, text)  # type: ignore[misc] # bound now
