"""Text from others, made safe to quote: decoded, cleaned, without secrets, cut to a stated length.

Errors go to the ledger, to events, to the dead-letter queue, to the circuit breaker and to logs. Each has a
size limit, and would not record a text that is too large. So a reason is bounded from the moment it is made,
and text of a server is truncated before it becomes part of a reason.
"""

import base64
import functools
import html
import json
import re
from urllib.parse import quote, quote_plus

MOST_QUOTED_CHARACTERS = 400
"""Limit of a quotation of a server, a library or a service within a reason of ours."""

MOST_REASON_BYTES = 4096
"""Limit of a reason or a hint, in UTF-8. Two remote paths of 1,024 bytes and a quotation fit."""

_SECRET = "[secret]"  # noqa: S105 - replaces a secret
_MOST_SECRETS = 16
_SHORTEST_ANYWHERE = 4
"""Characters. A shorter secret would occur within most words: it is removed only as a whole word."""
_SHORT_WORD, _LONGEST_WORD = 8, 16
"""Letters. A secret of so few may be a word of our sentences; so may a longer one in plain case."""
_LONGEST_NUMBER = 5
"""Digits of a port."""
_KEPT_BYTES = 4096
"""Of what a server says. A text of so many may end within a secret."""

# Compiled when they are needed: a cold start does not use them.
_PRIVATE_KEY = (
    r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
    r".*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|$)"
)
# C0 and C1 controls, line separators, bidirectional controls, zero-width characters, and noncharacters.
_NOT_SHOWN = (
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff"
    "\ud800-\udfff\ufffd\ufffe\uffff]+"
)
# What may stand in the place of a blank: it is folded into one.
_BLANKS = rf"[\s{_NOT_SHOWN[1:]}"
# SQS accepts the characters of XML 1.0; others are InvalidMessageContents (SendMessage).
_NOT_IN_XML = "[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]"

_secrets: dict[str, None] = {}


def never_show(*secrets: str) -> None:
    """Remove these from everything quoted from now on: a server may repeat the password that it was sent."""
    # Many servers strip the surrounding blanks when they repeat it.
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
    """Return text from others as one short line: no secrets, no control characters, "..." where it is cut.

    Args:
        text: The text; bytes are decoded, an exception without a message is quoted by its class name.
        most: Limit, in characters.
    """
    may_be_cut = isinstance(text, bytes | bytearray) and len(text) >= _KEPT_BYTES
    if isinstance(text, bytes | bytearray):
        text = decoded(bytes(text))
    said = str(text) or (type(text).__name__ if isinstance(text, BaseException) else "")
    shown = one_line(without_secrets(said))
    if may_be_cut:
        shown = _without_part_at_end(shown)
    return shown if len(shown) <= most else shown[: max(most - 3, 0)] + "..."


def one_line(text: str) -> str:
    """Return the text without control characters, and with every run of blanks as one blank."""
    shown = re.sub(_NOT_SHOWN, lambda run: " " if run[0].isspace() else "\ufffd", text)
    return _folded(shown)


def without_secrets(text: str, *, ours: bool = False) -> str:
    """Return the text with a marker instead of each secret and each private key.

    Args:
        text: From others.
        ours: Whether the sentences are ours, and what they quote is clean. Then a secret that looks like a
            word stays: with the password `right`, markers in our own advice would garble it, and tell what
            the password is.
    """
    text = re.sub(_PRIVATE_KEY, _SECRET, text)
    pattern = _pattern(tuple(_secrets), with_words=not ours)
    return pattern.sub(_SECRET, text) if pattern else text


def cut(text: str, most_bytes: int) -> str:
    """Return the text in characters that SQS accepts, cut to this many bytes of UTF-8, "..." where cut."""
    clean = re.sub(_NOT_IN_XML, "\ufffd", text[: max(most_bytes, 0) + 1]).encode()
    if len(clean) <= most_bytes:
        return clean.decode()
    return clean[: max(most_bytes - 3, 0)].decode(errors="ignore") + "..."[: max(most_bytes, 0)]


def _longest_first() -> list[str]:
    return sorted(_secrets, key=len, reverse=True)


def _without_part_at_end(text: str) -> str:
    """Return one line without the beginning of a secret that it ends with."""
    for secret in map(one_line, _longest_first()):
        for length in range(min(len(secret), len(text)), _SHORTEST_ANYWHERE - 1, -1):
            if text.endswith(secret[:length].rstrip()):
                return text[: -len(secret[:length].rstrip())] + _SECRET
    return text


def _is_like_a_word(look: str) -> bool:
    if look.isalpha():
        is_plain = look.islower() or look.isupper() or look.istitle()
        return len(look) <= (_LONGEST_WORD if is_plain else _SHORT_WORD)
    return len(look) < _SHORTEST_ANYWHERE or (look.isdigit() and len(look) <= _LONGEST_NUMBER)


@functools.lru_cache(maxsize=4)
def _pattern(secrets: tuple[str, ...], *, with_words: bool) -> "re.Pattern[str] | None":
    """Return what finds these secrets, the longest first; None: there is nothing to find.

    Compiled once for a set of secrets: a quotation would take milliseconds otherwise.
    """
    looks = {look for secret in secrets for look in _looks(secret)}
    found = [look for look in looks if with_words or not _is_like_a_word(look)]
    parts = map(_expression, sorted(found, key=lambda look: (-len(look), look)))
    return re.compile("|".join(parts)) if found else None


def _expression(look: str) -> str:
    # A server may wrap it: its blanks are folded after this, and would be those of the secret again.
    expression = _BLANKS.join(map(re.escape, look.split()))
    is_long = len(look) >= _SHORTEST_ANYWHERE
    return f"(?i:{expression})" if is_long else rf"(?<!\w){expression}(?!\w)"


def _looks(secret: str) -> set[str]:
    """Return the secret in each form in which a server may repeat it, with single blanks."""
    looks = set[str]()
    for each in {secret, _folded(secret)}:
        # Also as it looks in a `repr`, and where its UTF-8 was read as Latin-1.
        looks |= {each, repr(each)[1:-1], each.encode(errors="replace").decode("latin-1")}
        looks |= {html.escape(each), quote_plus(each, errors="replace")}
        looks |= {quote(each, safe=safe, errors="replace") for safe in ("", "/")}
        in_json = json.dumps(each)[1:-1]
        looks |= {in_json, in_json.replace("/", "\\/")}  # the latter of PHP
        looks |= {base64.b64encode(each.encode(errors="replace")).decode().rstrip("=")}
    return set(filter(None, map(_folded, looks)))


def _folded(text: str) -> str:
    return " ".join(text.split())
