"""Compares a report with what is remembered of the server, and says what has changed, a sentence each.

A name may lead to several servers that differ, and DNS may rotate through many addresses. So values are
remembered for a month after they were shown last, and only one that is not remembered is a change: what goes
to and fro is told once. What has had too many values in this time is no longer told.

Checks have no such memory: each time that one which worked fails, a person should know.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from s3_to_sftp.doctor.facts import (
    ADDRESSES,
    NOT_TRIED,
    OFFERED_KEYS,
    Fact,
    addresses,
    facts_of,
    offered_keys,
    states_of,
)
from s3_to_sftp.state.partner_profile import PartnerProfile, Seen
from s3_to_sftp.untrusted_text import cut
from s3_to_sftp.utc_time import utc_text

_REMEMBERED_SECONDS = 30 * 86_400
_MOST_REMEMBERED = 8
"""Values of a fact."""

_TOO_MANY = 6
"""Values of a fact within the time that they are remembered: it changes by itself."""

_MOST_IN_SET = 64
_TOO_MANY_ADDRESSES = 24
_MOST_SENTENCE_BYTES = 1000
_GONE = "gone: "
"""In front of a pinned key that the server does not list."""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What is different from before.

    Attributes:
        changes: What the server shows, a sentence each.
        failures: What worked before and fails now, a sentence each.
    """

    changes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


def compare(
    report: Mapping[str, Any],
    before: PartnerProfile | None,
    *,
    pinned: tuple[str, ...] | None,
    now: float,
) -> tuple[Changes, PartnerProfile]:
    """Compare a report with what is remembered.

    Args:
        report: As `Report.as_json` returns it.
        before: What is remembered; None: nothing yet, and so nothing has changed.
        pinned: Fingerprints of the pinned host keys; None: any key may be signed by a pinned authority.
        now: Seconds since 1970.

    Returns:
        What is different, and what is to be remembered in place of `before`.
    """
    comparison = _Comparison(before, pinned, now)
    profile = report["profile"]
    states = states_of(report["checks"])
    is_accepted = states.get("host key") == ""
    facts = facts_of(profile, host_key_is_accepted=is_accepted, now=now)
    changes = [text for fact in facts for text in comparison.fact(fact)]
    changes += comparison.host_keys(offered_keys(profile))
    changes += comparison.addresses(report["server"], addresses(profile))
    failures = comparison.failures(states, {check["name"]: check["text"] for check in report["checks"]})
    told = Changes(
        changes=tuple(cut(text, _MOST_SENTENCE_BYTES) for text in changes),
        failures=tuple(cut(text, _MOST_SENTENCE_BYTES) for text in failures),
    )
    return told, comparison.remembered(states)


class _Comparison:
    def __init__(self, before: PartnerProfile | None, pinned: tuple[str, ...] | None, now: float) -> None:
        self._is_first = before is None
        self._before = before or PartnerProfile(at=now)
        self._pinned = pinned
        self._now = now
        self._seen = dict(self._before.seen)

    def fact(self, fact: Fact) -> Iterator[str]:
        """Remember a value; return the sentence about it, if it is a change."""
        known = self._known(fact.name)
        self._remember(fact.name, known, [fact.value], most=_MOST_REMEMBERED)
        if any(each.value == fact.value for each in known):
            return
        if not known and not fact.at_first:
            return
        if len(known) >= _TOO_MANY and not fact.at_first:
            return
        sentence = fact.sentence
        if not fact.at_first:
            sentence = sentence.format(old=known[0].value, new=fact.value)
        yield sentence + (_TOLD_NO_MORE if len(known) + 1 == _TOO_MANY and not fact.at_first else "")

    def host_keys(self, offered: Mapping[str, str]) -> Iterator[str]:
        """Remember the host keys that the server lists; return sentences about those that came and went."""
        if not offered or self._pinned is None:
            return
        known = self._known(OFFERED_KEYS)
        values = {each.value for each in known}
        gone = [key for key in self._pinned if key in values and key not in offered]
        self._remember(OFFERED_KEYS, known, [*offered, *(_GONE + key for key in gone)], most=_MOST_IN_SET)
        if not known:
            return
        for key, kind in offered.items():
            if key not in values and key not in self._pinned:
                yield (
                    f"The host key {key} ({kind}) is offered beside the pinned one. Before the partner "
                    "replaces that, verify this one out of band and pin it, too."
                )
        for key in gone:
            if _GONE + key not in values:
                yield f"The pinned host key {key} is no longer offered."

    def addresses(self, server: str, found: list[str]) -> Iterator[str]:
        """Remember the addresses; return a sentence if none of them was there before.

        One that is left out or added is none: DNS often answers with a part of many.
        """
        if not found:
            return
        known = self._known(ADDRESSES)
        self._remember(ADDRESSES, known, found, most=_MOST_IN_SET)
        if not known or len(known) >= _TOO_MANY_ADDRESSES or {each.value for each in known} & set(found):
            return
        old = sorted(each.value for each in known if each.at == known[0].at)
        yield f"The addresses of {server} changed from {', '.join(old)} to {', '.join(found)}."

    def failures(self, states: Mapping[str, str], texts: Mapping[str, str]) -> Iterator[str]:
        """Return a sentence about each check that fails, and did not fail like that before."""
        if self._is_first:
            return
        for name, state in states.items():
            before = self._before.checks.get(name, "")
            if state and state != before and not (state == NOT_TRIED and before):
                worked_at = self._before.worked_at.get(name)
                since = f" (it worked at {utc_text(worked_at)})" if worked_at is not None else ""
                yield f"{name} failed at {utc_text(self._now)}{since}: {texts[name]}"

    def remembered(self, states: Mapping[str, str]) -> PartnerProfile:
        """Return what is to be remembered. A login that was not tried is as it was."""
        checks = dict(self._before.checks)
        for name, state in states.items():
            checks[name] = checks.get(name) or state if state == NOT_TRIED else state
        passed = {name: self._now for name, state in states.items() if not state}
        return PartnerProfile(
            at=self._now,
            seen=self._seen,
            checks=checks,
            worked_at={**self._before.worked_at, **passed},
            revision=self._before.revision + 1,
        )

    def _known(self, name: str) -> tuple[Seen, ...]:
        """Return the values that are remembered, the newest first: of the last month, and the last one."""
        values = self._seen.get(name, ())
        newest = max((each.at for each in values), default=0)
        oldest = min(self._now - _REMEMBERED_SECONDS, newest)
        return tuple(each for each in values if each.at >= oldest)

    def _remember(self, name: str, known: tuple[Seen, ...], values: list[str], *, most: int) -> None:
        shown = [Seen(value=value, at=self._now) for value in values]
        rest = [each for each in known if each.value not in values]
        self._seen[name] = tuple([*shown, *rest][:most])


_TOLD_NO_MORE = " It changes often: further values are not told until it has kept one for a month."
