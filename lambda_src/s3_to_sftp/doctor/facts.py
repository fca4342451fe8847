"""What of a report is worth remembering: the values that mean something when they change.

Left out is what changes without a meaning: the banner (it may have a date), the order of lists, the lists of
algorithms of which the negotiated one is compared anyway, and how long anything took.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from s3_to_sftp.doctor.report import Outcome
from s3_to_sftp.sftp.protocol import LIMITS, POSIX_RENAME
from s3_to_sftp.untrusted_text import cut, quoted

OFFERED_KEYS, ADDRESSES = "host keys", "addresses"

NOT_TRIED = "not tried"
"""State of a login that was refused before."""

_MOST_VALUE_BYTES = 256
_MOST_VALUES = 32
_STAGES = (30, 10, 3, 1)
"""Days before the end of a certificate: at each a person is told once."""

_LONGEST_SECONDS = 253_402_300_799
"""The year 9999. A certificate without an end has a later one."""

_EXTENSIONS = {
    POSIX_RENAME: (
        f"The server no longer replaces files in one step ({POSIX_RENAME} is gone).",
        f"The server now replaces files in one step ({POSIX_RENAME}).",
    ),
    LIMITS: (
        f"The server no longer tells its limits ({LIMITS} is gone): files are sent in smaller pieces.",
        f"The server now tells its limits ({LIMITS}).",
    ),
}
"""Those that a delivery makes use of -> the sentences that one is gone, or there."""

_SENTENCES = {
    "version": "The version of the server changed from {old!r} to {new!r}.",
    "key exchange": "The key exchange changed from {old} to {new}.",
    "cipher": "The cipher changed from {old} to {new}.",
    "host key": "The server shows another host key that is accepted, {new}, and not {old}.",
    "methods": "The methods of login changed from {old!r} to {new!r}.",
    "sftp": "The version of SFTP changed from {old} to {new}.",
    "home": "The login starts in another directory, {new!r}, and not in {old!r}.",
}


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Something that has one value at a time.

    Attributes:
        name: What it is.
        value: As text, of bounded length.
        sentence: About a change, with the fields `{old}` and `{new}`.
        at_first: Whether the value is news even where nothing was known before.
    """

    name: str
    value: str
    sentence: str
    at_first: bool = False


def facts_of(profile: Mapping[str, Any], *, host_key_is_accepted: bool, now: float) -> Iterator[Fact]:
    """Return what the profile of a report says; nothing about what it could not find out.

    Args:
        profile: Of the report.
        host_key_is_accepted: Whether the check of the host key was passed.
        now: Seconds since 1970.
    """
    key, sftp = profile.get("host_key") or {}, profile.get("sftp") or {}
    values = {
        "version": profile.get("version"),
        "key exchange": profile.get("key_exchange"),
        "cipher": profile.get("cipher"),
        "host key": f"{key.get('fingerprint')} ({key.get('type')})" if key and host_key_is_accepted else None,
        "methods": ", ".join(sorted(profile.get("methods") or ())),
        "sftp": str(sftp["version"]) if sftp else None,
        "home": profile.get("home"),
    }
    for name, value in values.items():
        if value:
            yield Fact(name=name, value=cut(str(value), _MOST_VALUE_BYTES), sentence=_SENTENCES[name])
    if sftp:
        yield from _extensions(sftp.get("extensions") or {})
    yield from _ending("The certificate of our key", profile.get("certificate_until"), now)
    yield from _ending("The certificate of the host key", profile.get("host_certificate_until"), now)


def offered_keys(profile: Mapping[str, Any]) -> dict[str, str]:
    """Return the host keys that the server listed: fingerprint -> type. Empty: it lists none."""
    listed = sorted((profile.get("host_keys") or {}).items())[:_MOST_VALUES]
    return {str(shown): quoted(kind, most=80) for kind, shown in listed}


def addresses(profile: Mapping[str, Any]) -> list[str]:
    """Return the addresses of the server's name."""
    return sorted(map(str, profile.get("addresses") or ()))[:_MOST_VALUES]


def states_of(checks: list[Mapping[str, Any]]) -> dict[str, str]:
    """Return the state of each check that has one: empty where it was passed, otherwise what is wrong."""
    states = {}
    for check in checks:
        outcome, name = Outcome(check["outcome"]), check["name"]
        if outcome is Outcome.FAILED:
            states[name] = cut(check["cause"] or check["error"] or "failed", _MOST_VALUE_BYTES)
        elif outcome is Outcome.NOT_TRIED and check["advice"]:  # for a reason of its own
            states[name] = NOT_TRIED
        elif outcome is Outcome.WARNING and name == "directory":
            states[name] = "warning"
        elif outcome is not Outcome.NOT_TRIED:
            states[name] = ""
    return states


def _extensions(offered: Mapping[str, Any]) -> Iterator[Fact]:
    for name, sentences in _EXTENSIONS.items():
        is_there = name in offered
        yield Fact(name=name, value="yes" if is_there else "no", sentence=sentences[is_there])


def _ending(what: str, until: float | None, now: float) -> Iterator[Fact]:
    """Tell that a certificate ends, once at each stage. The value names both: a new one starts anew."""
    if until is None or until >= _LONGEST_SECONDS:
        return
    days = max(int((until - now) // 86_400), 0)
    if stage := min((each for each in _STAGES if days <= each), default=None):
        ends = f"{datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC"
        sentence = f"{what} ends in {days} days, at {ends}."
        yield Fact(name=what, value=f"{ends}, {stage} days", sentence=sentence, at_first=True)
