"""Normalises pasted PEM text into the form that a library reads."""

import base64
import binascii
import re
import textwrap
from dataclasses import dataclass

# One search each, with a bounded way back: what is pasted may be long, and be no key.
_BEGIN = re.compile(r"-{2,5}\s*BEGIN\s+(?P<label>(?:[A-Z0-9]{1,20}\s+){0,3}?PRIVATE\s+KEY)\s*-{2,5}")
_END = re.compile(r"-{2,5}\s*END\s+(?P<label>(?:[A-Z0-9]{1,20}\s+){0,3}?PRIVATE\s+KEY)\s*-{2,5}")
_FIRST_LINE = re.compile(r"-{2,5}\s*BEGIN\s+(?P<label>[A-Z0-9 ]{1,80}?)\s*-{2,5}")
# The header of the older form, RFC 1421: it must be followed by an empty line.
_HEADER = re.compile(
    r"\s*Proc-Type:\s*4,\s*ENCRYPTED\s+DEK-Info:\s*(?P<cipher>[A-Z0-9-]+),\s*(?P<iv>[0-9A-Fa-f]+)\s"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_WIDTH = 64

_OPENSSH = b"openssh-key-v1\0"
_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_CIPHERS_OF_PBES2 = (bytes.fromhex("06096086480165030401"), bytes.fromhex("06082a864886f70d0307"))
"""Object identifiers: the beginning of those of AES (NIST), and Triple DES in CBC mode (RFC 8018)."""


@dataclass(frozen=True)
class Pem:
    """A private key in PEM.

    Attributes:
        label: Such as `OPENSSH PRIVATE KEY`.
        dek_info: Cipher and initialisation vector of the older form; empty where it has none.
        encoded: The base64 of the content, in one line.
        content: What it holds.
    """

    label: str
    dek_info: str
    encoded: str
    content: bytes

    @property
    def is_openssh(self) -> bool:
        """Whether it has OpenSSH's own form."""
        return self.content.startswith(_OPENSSH)

    @property
    def text(self) -> bytes:
        """The key as each library reads it."""
        header = f"Proc-Type: 4,ENCRYPTED\nDEK-Info: {self.dek_info}\n\n" if self.dek_info else ""
        lines = "\n".join(textwrap.wrap(self.encoded, _WIDTH))
        return f"-----BEGIN {self.label}-----\n{header}{lines}\n-----END {self.label}-----\n".encode()

    @property
    def unsupported_cipher(self) -> str:
        """The cipher that the key is encrypted with, where the library cannot open it; else empty."""
        if self.is_openssh:
            cipher = _text(self._openssh_fields[:1])
            return "" if cipher in _OPENSSH_CIPHERS else cipher
        if self.dek_info:
            cipher = self.dek_info.split(",", 1)[0]
            return "" if cipher in _DEK_CIPHERS else cipher
        if _PBES2 in self.content[:64] and not any(
            known in self.content[:256] for known in _CIPHERS_OF_PBES2
        ):
            return "another cipher of PKCS#8 than AES and Triple DES"
        return ""

    @property
    def rounds(self) -> int:
        """Rounds of OpenSSH's key derivation: what opening the key costs. 0 for another form, or without."""
        options = self._openssh_fields[2:3]
        salt_and_rounds = _fields(options[0]) if options else []
        return int.from_bytes(options[0][-4:], "big") if salt_and_rounds else 0

    @property
    def _openssh_fields(self) -> list[bytes]:
        """Cipher, key derivation and its options."""
        return _fields(self.content[len(_OPENSSH) :])[:3] if self.is_openssh else []


_OPENSSH_CIPHERS = {"", "none", "aes256-ctr", "aes256-cbc", "aes256-gcm@openssh.com"}
_DEK_CIPHERS = {"AES-128-CBC", "AES-192-CBC", "AES-256-CBC", "DES-EDE3-CBC"}


def private_key_in(text: str) -> Pem | None:
    """Return the first private key in the text, whatever stands around it; None: there is no whole one.

    Args:
        text: With plain hyphens. White space inside the key does not matter.
    """
    begin = _BEGIN.search(text)
    end = _END.search(text, begin.end()) if begin else None
    if begin is None or end is None or begin["label"].split() != end["label"].split():
        return None
    content = text[begin.end() : end.start()]
    header = _HEADER.match(content)
    encoded = "".join(content[header.end() if header else 0 :].split())
    dek_info = f"{header['cipher']},{header['iv']}" if header else ""
    return Pem(" ".join(begin["label"].split()), dek_info, encoded, _decoded(encoded))


def label_of(text: str) -> str:
    """Return the label of the first PEM line in the text; empty: there is none."""
    first = _FIRST_LINE.search(text)
    return first["label"] if first else ""


def _decoded(encoded: str) -> bytes:
    """Return the content; nothing where the base64 is damaged."""
    if not _BASE64.fullmatch(encoded):
        return b""
    try:
        return base64.b64decode(encoded)
    except binascii.Error:
        return b""


def _fields(blob: bytes) -> list[bytes]:
    """Return the length-prefixed fields; what is cut off at the end is left out."""
    found = []
    while len(blob) >= 4:
        end = 4 + int.from_bytes(blob[:4], "big")
        if end > len(blob):
            break
        found.append(blob[4:end])
        blob = blob[end:]
    return found


def _text(fields: list[bytes]) -> str:
    """Return the first one as text that can be shown."""
    name = fields[0].decode("ascii", "replace") if fields else ""
    return name if len(name) <= 64 and name.isprintable() else "an unknown cipher"
