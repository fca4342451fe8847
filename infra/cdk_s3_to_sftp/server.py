"""The partner's server, as users of the construct describe it."""

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass

import aws_cdk as cdk

from cdk_s3_to_sftp.arguments import InvalidArgument

_FIELDS_OF_KEY_TYPE = {
    "ssh-ed25519": 2,
    "ssh-rsa": 3,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
}
"""Key type -> number of length-prefixed fields in its base64 part, with the type (RFC 4253, 5656, 8709)."""

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


@dataclass(frozen=True)
class SftpServer:
    """Where to deliver, and how to recognise the server. Checked when it is made; Tokens pass.

    Attributes:
        host: Name or address, such as `sftp.partner.example`.
        port: TCP port. By default 22.
        directory: Remote directory for all objects; an object's key is its path below. By default the
            directory that the login starts in.
        host_keys: Public host keys in the form that known_hosts has them (`ssh-ed25519 AAAA...`). The
            function talks only to a server that proves to own one of them. Several: for a server that changes
            its key, or a farm behind one name.

    Raises:
        InvalidArgument: A value cannot be right; the message says why and what to write instead.
    """

    host: str
    _: KW_ONLY
    port: int = 22
    directory: str | None = None
    host_keys: Sequence[str] = ()

    def __post_init__(self) -> None:
        _check_host(self.host)
        _check_port(self.port)
        _check_directory(self.directory)
        self._check_keys_given()
        object.__setattr__(self, "host_keys", tuple(_checked_key(key) for key in self.host_keys))

    def _check_keys_given(self) -> None:
        if isinstance(self.host_keys, str):
            raise InvalidArgument("host_keys", "must be a list of keys, got one string: put it in [brackets]")
        if not self.host_keys:
            known = not (_is_token(self.host) or _is_token(self.port))
            scan = f"ssh-keyscan -p {self.port} {self.host}" if known else "ssh-keyscan -p PORT HOST"
            raise InvalidArgument(
                "host_keys",
                "must hold at least one public key of the server, got none: without it nobody can tell the "
                f"partner from an impostor. Print the keys with '{scan}', take type and key (the second and "
                "third word of a line), and compare the fingerprint ('ssh-keygen -lf FILE') with the partner",
            )


def _is_token(value: object) -> bool:
    return bool(cdk.Token.is_unresolved(value))


def _check_host(host: str) -> None:
    if _is_token(host) or _NAME.fullmatch(host) or _is_address(host):
        return
    raise InvalidArgument(
        "host",
        "must be a bare name or address such as sftp.partner.example "
        f"(no sftp://, no user@, no :port, no path), got {host!r}",
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _check_port(port: int) -> None:
    if not _is_token(port) and not 1 <= port <= 65535:
        raise InvalidArgument("port", f"must be 1-65535, got {port}")


def _check_directory(directory: str | None) -> None:
    if directory is None or _is_token(directory):
        return
    if not directory.strip() or not directory.isprintable():
        raise InvalidArgument(
            "directory",
            "must be a remote path such as /inbox (leave it out for the directory that the login starts in), "
            f"got {directory!r}",
        )


def _checked_key(text: str) -> str:
    """The key as `type base64`.

    Raises:
        InvalidArgument: With the part of a pasted line that must be cut.
    """
    if _is_token(text):
        return text
    words = text.split()
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
    if "PRIVATE KEY" in text:  # never echo it
        return "must be public keys, got a private key: paste the public one, 'ssh-ed25519 AAAA...'"
    if text.startswith(("SHA256:", "MD5:")):
        return f"must be whole public keys, got the fingerprint {text!r}: print the keys with 'ssh-keyscan'"
    if text.startswith("#"):
        return f"must be public keys, got a comment line of ssh-keyscan: cut {text!r}"
    if text.startswith("AAAA"):
        return f"must begin with the type of the key, such as ssh-ed25519, got {_short(text)!r}"
    known = ", ".join(_FIELDS_OF_KEY_TYPE)
    return f"must be public keys of the form 'ssh-ed25519 AAAA...' (types: {known}), got {_short(text)!r}"


def _what_to_cut(words: Sequence[str], where: int) -> str:
    before, behind = " ".join(words[:where]), " ".join(words[where + 2 :])
    cuts = [f"the host name {before!r} in front"] if before else []
    cuts += [f"the comment {behind!r} behind"] if behind else []
    return f"must hold type and key alone: cut {' and '.join(cuts)} of {_short(' '.join(words[where:]))!r}"


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
            "host_keys", f"must be unaltered: {pasted!r} says {key_type} in front, but holds {inside}"
        )
    if len(fields) != _FIELDS_OF_KEY_TYPE[key_type]:
        raise InvalidArgument("host_keys", f"must be complete keys: the end of {pasted!r} is missing")


def _fields(blob: bytes) -> Iterator[bytes]:
    """The length-prefixed fields of an SSH key; what is cut off at the end is left out."""
    while len(blob) >= 4:
        end = 4 + int.from_bytes(blob[:4], "big")
        if end > len(blob):
            return
        yield blob[4:end]
        blob = blob[end:]


def _short(text: str) -> str:
    """Enough of a key to recognise it."""
    return text if len(text) <= 48 else f"{text[:32]}...{text[-12:]}"
