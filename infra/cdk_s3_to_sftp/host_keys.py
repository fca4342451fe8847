"""Public host keys of a server, as a user pastes them."""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence

from cdk_s3_to_sftp.arguments import InvalidArgument, check_no_private_key, is_token

AUTHORITY = "@cert-authority"
"""Marks the key of a certificate authority for host keys, as in known_hosts."""

_FIELDS_OF_KEY_TYPE = {
    "ssh-ed25519": 2,
    "ssh-rsa": 3,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
}
"""Key type -> number of length-prefixed fields in its base64 part, including the type (RFC 4253, 5656,
8709)."""

_LONG_BASE64 = re.compile(r"(?:SHA256:)?[A-Za-z0-9+/]{24,}={0,2}")


def checked_key(text: str) -> str:
    """Return the key as `type base64`.

    Raises:
        InvalidArgument: It is not a valid key; the message names the part of a pasted line to remove.
    """
    if is_token(text):
        return text
    words = text.split()
    if words[:1] == [AUTHORITY]:
        if len(words) < 4:
            raise InvalidArgument(
                "host_keys", f"must be '{AUTHORITY} patterns type base64', got {_short(text.strip())!r}"
            )
        return " ".join([*words[:2], checked_key(" ".join(words[2:4]))])
    where = next((index for index, word in enumerate(words) if word in _FIELDS_OF_KEY_TYPE), None)
    if where is None:
        raise InvalidArgument("host_keys", _why_not_a_key(text.strip()))
    if where > 0 or len(words) > 2:
        raise InvalidArgument("host_keys", _what_to_cut(words, where))
    if len(words) < 2:
        raise InvalidArgument(
            "host_keys", f"must be of the form 'type base64', got only the type {words[0]!r}"
        )
    _check_base64(*words)
    return " ".join(words)


def _why_not_a_key(text: str) -> str:
    if text.startswith(("SHA256:", "MD5:")):
        return f"must be whole public keys, got the fingerprint {text!r}: print the keys with 'ssh-keyscan'"
    if text.startswith("#"):
        return f"must be public keys, got a comment line of ssh-keyscan: remove {text!r}"
    if text.startswith("AAAA"):
        return f"must begin with the type of the key, such as ssh-ed25519, got {_short(text)!r}"
    known = ", ".join(_FIELDS_OF_KEY_TYPE)
    return f"must be public keys of the form 'ssh-ed25519 AAAA...' (types: {known}), got {_short(text)!r}"


def is_private(text: str) -> bool:
    """Return whether it is a private key, or may be a line of one: then no message may show it.

    A public key begins with the name of its type. Private parts do not, although they may begin with AAAA,
    too.
    """
    if is_token(text):
        return False
    try:
        check_no_private_key("host_keys", text)
    except InvalidArgument:
        return True
    return any(not _is_public(word) for word in _LONG_BASE64.findall(text))


def _is_public(word: str) -> bool:
    if word.startswith("SHA256:"):
        return True
    try:
        begin = base64.b64decode(word[:24])
    except binascii.Error:
        return False
    return begin[:3] == b"\0\0\0" and begin[4:].startswith((b"ssh-", b"ecdsa-", b"sk-"))


def _what_to_cut(words: Sequence[str], where: int) -> str:
    before, behind = " ".join(words[:where]), " ".join(words[where + 2 :])
    cuts = [f"the host name {before!r} before"] if before else []
    cuts += [f"the comment {behind!r} after"] if behind else []
    return f"must be type and key only: remove {' and '.join(cuts)} {_short(' '.join(words[where:]))!r}"


def _check_base64(key_type: str, encoded: str) -> None:
    pasted = _short(f"{key_type} {encoded}")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise InvalidArgument(
            "host_keys", f"must be complete keys: the base64 of {pasted!r} cannot be decoded ({error})"
        ) from None
    fields = list(_fields(blob))
    if not fields or fields[0] != key_type.encode():
        inside = fields[0].decode("ascii", "replace") if fields else "nothing readable"
        raise InvalidArgument(
            "host_keys", f"must be unaltered: {pasted!r} begins with {key_type}, but contains {inside}"
        )
    if len(fields) != _FIELDS_OF_KEY_TYPE[key_type]:
        raise InvalidArgument("host_keys", f"must be complete keys: the end of {pasted!r} is missing")


def _fields(blob: bytes) -> Iterator[bytes]:
    """Yield the length-prefixed fields of an SSH key, except a truncated one at the end."""
    while len(blob) >= 4:
        end = 4 + int.from_bytes(blob[:4], "big")
        if end > len(blob):
            return
        yield blob[4:end]
        blob = blob[end:]


def _short(text: str) -> str:
    """Return enough of a key to recognise it."""
    return text if len(text) <= 48 else f"{text[:32]}...{text[-12:]}"
