"""The value of SSH_HOST_KEY: public keys as people paste them."""

import base64
import binascii
import re

from s3_to_sftp.diagnosis.host_key import PIN_IS_NO_KEY
from s3_to_sftp.errors import ConfigurationError
from s3_to_sftp.ssh.pasted_text import names_key_type, without_mark
from s3_to_sftp.untrusted_text import quoted

# Keys are separated by commas or newlines; the list of host patterns of an authority has commas of its own.
_HOSTS = re.compile(r"(?m)^[ \t]*[^\s,@]+(?:,[^\s,]+)+(?=[ \t]+[a-z][a-z0-9@.-]*[ \t]+AAAA)")
_HOST_KEY = re.compile(r"[ \t]*(?:@\S+[ \t]+\S+[ \t]+)?[^,\n]+")
_BLOB = re.compile("AAAA[A-Za-z0-9+/]*=*")
_KEY_TYPE = re.compile("[a-z][a-z0-9@.-]*")


def pinned_host_keys(text: str) -> tuple[str, ...]:
    """Return the pinned keys, each `type base64`, without what ssh-keyscan and known_hosts write around them.

    A line with a marker, such as `@cert-authority`, is kept as it is.

    Raises:
        ConfigurationError: A line holds no public key.
    """
    pasted = without_mark(text).replace("\\n", "\n").replace('"', " ").replace("'", " ")
    # Older ssh-keyscan writes `host,address type base64`.
    pasted = _HOSTS.sub("", "\n".join(pasted.splitlines()))
    lines = [line.strip() for line in _HOST_KEY.findall(pasted)]
    return tuple(
        _host_key(line, number)
        for number, line in enumerate(lines, start=1)
        if line and not line.startswith("#")
    )


def _host_key(line: str, number: int) -> str:
    words = line.split()
    if line.startswith("@") and (len(words) < 4 or words[0] in {"@", "@revoked"}):
        raise ConfigurationError(
            "SSH_HOST_KEY must hold lines of the form '@cert-authority HOSTS ssh-ed25519 AAAA...': line "
            f"{number} is not one.",
            hint="Paste the whole line that the partner has given for known_hosts.",
        )
    place = next((at for at, word in enumerate(words) if _BLOB.fullmatch(word)), 0)
    is_key = place > 0 and _KEY_TYPE.fullmatch(words[place - 1]) and names_key_type(words[place])
    problem = _problem(words[place - 1], words[place]) if is_key else _why_not_a_key(words)
    if problem:
        # The error does not show the line: what is no public key may be part of a private one.
        raise PIN_IS_NO_KEY.error(ConfigurationError, number=number, problem=problem)
    return line if line.startswith("@") else " ".join(words[place - 1 : place + 1])


def _why_not_a_key(words: list[str]) -> str:
    is_fingerprint = any(word.startswith(("SHA256:", "MD5:")) for word in words)
    return "is a fingerprint, with which no server can be verified" if is_fingerprint else "is not one"


def _problem(key_type: str, encoded: str) -> str:
    """Return what is wrong with a public key (RFC 4253, section 6.6); empty: nothing."""
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return "is cut off, or altered"
    fields = []
    while blob:
        end = 4 + int.from_bytes(blob[:4], "big")
        if end > len(blob):
            return "is cut off: its end is missing"
        fields.append(blob[4:end])
        blob = blob[end:]
    inside = fields[0].decode("ascii", "replace")
    return "" if inside == key_type else f"begins with {key_type} and is a key of type {quoted(inside)}"
