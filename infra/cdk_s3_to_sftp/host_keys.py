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

_HASHED_HOST = re.compile(r"(?m)^[ \t]*\|1(?:\|[A-Za-z0-9+/]{27}=){2}(?=[ \t])")
"""The host name of a line that `HashKnownHosts` has hashed (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""

_LONG_BASE64 = re.compile(r"(?:SHA256:)?[A-Za-z0-9+/]{24,}={0,2}")


def checked_keys(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the keys as `type base64`, without what known_hosts and ssh-keyscan write around them.

    Args:
        texts: One key each, or lines of known_hosts or ssh-keyscan.

    Raises:
        InvalidArgument: A line has no valid key; the message says what is wrong with it.
    """
    return tuple(key for text in texts for key in _keys_in(text))


def _keys_in(text: str) -> list[str]:
    if is_token(text):
        return [text]
    # A blank text is a mistake. Comment lines are what ssh-keyscan prints before each key.
    lines = [line for line in text.splitlines() if line.strip()] or [text]
    return [_checked_key(line) for line in lines if not line.lstrip().startswith("#")]


def _checked_key(text: str) -> str:
    words = text.split()
    if words[:1] == [AUTHORITY]:
        if len(words) < 4:
            raise InvalidArgument(
                "host_keys", f"must be '{AUTHORITY} patterns type base64', got {_short(text.strip())!r}"
            )
        return " ".join([*words[:2], _checked_key(" ".join(words[2:4]))])
    if words and words[0].startswith("@"):
        raise InvalidArgument(
            "host_keys", f"must be keys to trust, got a line with the marker {words[0]!r}: remove it"
        )
    where = next((index for index, word in enumerate(words) if word in _FIELDS_OF_KEY_TYPE), None)
    if where is None:
        raise InvalidArgument("host_keys", _why_not_a_key(text.strip()))
    key = words[where : where + 2]
    if len(key) < 2:
        raise InvalidArgument("host_keys", f"must be of the form 'type base64', got only the type {key[0]!r}")
    _check_base64(*key)
    return " ".join(key)


def _why_not_a_key(text: str) -> str:
    if text.startswith(("SHA256:", "MD5:")):
        return f"must be whole public keys, got the fingerprint {text!r}: print the keys with 'ssh-keyscan'"
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
    return any(not _is_public(word) for word in _LONG_BASE64.findall(_HASHED_HOST.sub("", text)))


def _is_public(word: str) -> bool:
    if word.startswith("SHA256:"):
        return True
    try:
        begin = base64.b64decode(word[:24])
    except binascii.Error:
        return False
    return begin[:3] == b"\0\0\0" and begin[4:].startswith((b"ssh-", b"ecdsa-", b"sk-"))


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
