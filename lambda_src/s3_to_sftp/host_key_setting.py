"""The value of SSH_HOST_KEY: public keys as people paste them."""

import re

from s3_to_sftp.errors import ConfigurationError
from s3_to_sftp.ssh.pasted_text import names_key_type, without_mark

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
    if not is_key:
        # The error does not show the line: what is no public key may be part of a private one.
        raise ConfigurationError(
            "SSH_HOST_KEY must hold public keys of the form 'ssh-ed25519 AAAA...': "
            f"line {number} is not one.",
            hint="Print the server's keys with 'ssh-keyscan -p PORT HOST' and paste them.",
        )
    return line if line.startswith("@") else " ".join(words[place - 1 : place + 1])
