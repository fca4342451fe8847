"""Host keys as an operator compares them: fingerprints that are typed, pinned, or offered by the server."""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice

from s3_to_sftp.errors import ConfigurationError
from s3_to_sftp.host_key_setting import pinned_host_keys
from s3_to_sftp.state.attributes import Item
from s3_to_sftp_cli.delivery import DeployedDelivery
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.ledger import LedgerReader, Record

_DIGEST = "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]"
"""A SHA256 in Base64: 256 bits end within the 43rd character, whose last two bits are 0."""

_FINGERPRINT = re.compile(rf"SHA256:({_DIGEST})=?")
_OFFERED = re.compile(r"It offers '([^']*)' \((SHA256:[A-Za-z0-9+/]{43})\)")
_MD5 = re.compile(r"(?i)(?:md5:)?(?:[0-9a-f]{2}:){15}[0-9a-f]{2}|(?:md5:)?[0-9a-f]{32}")
_HEXADECIMAL = re.compile(r"(?i)(?:sha256:)?((?:[0-9a-f]{2}:?){31}[0-9a-f]{2})")
_WITHOUT_PREFIX = re.compile(f"{_DIGEST}=?")
_KEY = re.compile(r"(?:\S+\s+)?(AAAA[A-Za-z0-9+/]+={0,2})(?:\s.*)?")

_MOST_RECORDS = 1000
"""Objects whose last error is looked at, of each state."""


@dataclass(frozen=True, kw_only=True)
class PinnedKey:
    """A host key of the function's configuration.

    Attributes:
        kind: `ssh-ed25519` ..., with `@cert-authority` before it for one that signs host keys.
        fingerprint: `SHA256:...`; empty: the line is no key.
    """

    kind: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class OfferedKey:
    """The key that the server showed when the function last refused it.

    Attributes:
        line: `type base64`, ready to pin.
        fingerprint: `SHA256:...`.
    """

    line: str
    fingerprint: str


def parse_fingerprint(text: str, *, server: str) -> str:
    """Return the fingerprint in the form that ssh-keygen prints: `SHA256:` and 43 characters.

    Args:
        text: As it was typed.
        server: `-p PORT HOST`, for the hints.

    Raises:
        CliError: It is another form; the hint says how to convert it.
    """
    given = text.strip()
    if found := _FINGERPRINT.fullmatch(given):
        return f"SHA256:{found[1]}"
    ask = (
        f"Ask the partner for the SHA256 fingerprint. `ssh-keyscan {server} | ssh-keygen -lf -` prints what "
        "the server shows here, to compare."
    )
    if found := _HEXADECIMAL.fullmatch(given):
        shown = _base64_of(bytes.fromhex(found[1].replace(":", "")))
        raise _malformed("a SHA256 fingerprint in hexadecimal", f"The same in the usual form: {shown}")
    if _MD5.fullmatch(given):
        raise _malformed("an MD5 fingerprint, and MD5 is broken", ask)
    if found := _KEY.fullmatch(given):
        try:
            shown = _base64_of(sha256(base64.b64decode(found[1], validate=True)).digest())
        except ValueError:
            shown = ""
        if shown:
            raise _malformed("a key", f"Its fingerprint, to be compared with the partner's: {shown}")
    if _WITHOUT_PREFIX.fullmatch(given):
        raise _malformed(
            "a fingerprint without its algorithm", f"If it is SHA256, write SHA256:{given.rstrip('=')}"
        )
    raise _malformed(
        "no SHA256 fingerprint", f"It is SHA256: and 43 characters, of which the last is one of 16. {ask}"
    )


def pinned_keys(delivery: DeployedDelivery) -> tuple[PinnedKey, ...]:
    """Return the keys that the function's configuration pins."""
    try:
        lines = pinned_host_keys("\n".join(delivery.host_keys))
    except ConfigurationError:
        lines = delivery.host_keys
    return tuple(_pinned(line) for line in lines)


def pinned_lines(delivery: DeployedDelivery) -> tuple[str, ...]:
    """Return the pinned keys as they are configured."""
    try:
        return pinned_host_keys("\n".join(delivery.host_keys))
    except ConfigurationError:
        return delivery.host_keys


def last_offered(breaker: Item | None, ledger: LedgerReader) -> OfferedKey | None:
    """Return the key that the server showed last, as the circuit breaker or a refused object tells it.

    Raises:
        ClientError, BotoCoreError: The table refused, or did not answer.
    """
    if breaker is not None and breaker.get("error", {}).get("S") == "HostKeyRefused":
        texts = (str(breaker.get(name, {}).get("S", "")) for name in ("hint", "reason"))
        if found := _offered_in(texts):
            return found
    for records in (ledger.in_flight(), ledger.in_state("FAILED")):
        if found := _offered_in(_words_of(islice(records, _MOST_RECORDS))):
            return found
    return None


def _words_of(records: Iterable[Record]) -> Iterable[str]:
    for record in records:
        yield record.hint
        yield record.reason


def _offered_in(texts: Iterable[str]) -> OfferedKey | None:
    for text in texts:
        if found := _OFFERED.search(text):
            return OfferedKey(line=found[1], fingerprint=found[2])
    return None


def _pinned(line: str) -> PinnedKey:
    words = line.split()
    place = next((at for at, word in enumerate(words) if word.startswith("AAAA")), len(words))
    kind = " ".join(
        word for word in (words[0] if line.startswith("@") else "", *words[place - 1 : place]) if word
    )
    try:
        blob = base64.b64decode(words[place], validate=True)
    except (ValueError, IndexError):
        return PinnedKey(kind="a line that is not a key", fingerprint="")
    return PinnedKey(kind=kind, fingerprint=_base64_of(sha256(blob).digest()))


def _base64_of(digest: bytes) -> str:
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _malformed(what: str, hint: str) -> CliError:
    # What was typed is not repeated: it may be anything that was in the clipboard.
    return CliError(f"The fingerprint that was given is {what}.", hint=hint, code=ExitCode.USAGE)
