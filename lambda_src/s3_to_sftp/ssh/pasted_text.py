"""Text that a person pasted: what is invisible is removed, and a private key is recognised wherever it is."""

import base64
import binascii
import re

_BYTE_ORDER_MARK = "\ufeff"

# Word processors and chats turn hyphens into dashes, and blanks into some that do not break.
_DASHES = "[\u2010-\u2015\u2212]"
_INVISIBLE = "[\u200b-\u200d\u2060\ufeff]"

# Of a private key: the first line of PEM and of ssh.com's form, PuTTY's fields, and in base64 the beginning
# of OpenSSH's form, of a PEM file and of a PuTTY file.
_PRIVATE = re.compile(
    r"-{2,5}\s*(?:BEGIN|END)\s[A-Z0-9\s]{0,40}PRIVATE\s*KEY|PuTTY-User-Key-File|Private-(?:Lines|MAC):"
    "|b3BlbnNzaC1rZXk|LS0tLS1CRUdJTi|UHVUVFktVXNlci1L"
)

_WRAPPED = re.compile(r"(?:LS0tLS1CRUdJTi|UHVUVFktVXNlci1L)[A-Za-z0-9+/=\s]*")


def cleaned(text: str) -> str:
    r"""Return the text with real line breaks and plain hyphens, without invisible characters.

    Line breaks may have become `\n` or `\r\n` as text, or carriage returns alone. A file that was pasted in
    base64 is decoded.
    """
    text = re.sub(_INVISIBLE, "", text)
    text = re.sub(r"\\r\\n|\\n|\\r|\r\n|\r", "\n", text)
    text = re.sub(_DASHES, "-", text).replace("\u00a0", " ").strip()
    return _unwrapped(text) if _WRAPPED.fullmatch(text) else text


def _unwrapped(text: str) -> str:
    try:
        inside = base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return text
    return cleaned(inside)


def names_key_type(base64_text: str) -> bool:
    """Return whether base64 begins as a public key does: with the length and the name of its type.

    Private parts of a key begin with zeros in some forms, too, and must not be taken for one.
    """
    try:
        blob = base64.b64decode(base64_text[:40] + "=" * (-len(base64_text[:40]) % 4))
    except (binascii.Error, ValueError):
        return False
    return blob[:3] == b"\0\0\0" and blob[4:].startswith((b"ssh-", b"ecdsa-", b"sk-"))


def without_mark(text: str) -> str:
    """Return the text without the byte order mark that Windows programs put in front."""
    return text.removeprefix(_BYTE_ORDER_MARK)


def holds_private_key_file(text: str) -> bool:
    """Return whether the text is a private key, by what only those hold."""
    return bool(_PRIVATE.search(cleaned(text)))
