"""The counting at the end: what was put, against what the partner has seen."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from chaos.objects import Version
from chaos.partner import Appearance
from chaos.site import Parked


@dataclass(frozen=True, kw_only=True)
class Observations:
    """All that is known when it is over.

    Attributes:
        puts: Id of the version in S3 -> version, in the order of putting.
        renames: What got a final name, in order, as the server recorded it.
        seen: What stood under a final name at any look into the folder.
        direct_writes: Final names that were opened for writing.
        standing: What stands there in the end.
        temporaries: Temporary names that stand there in the end.
        parked: What the dead-letter queue holds.
        ledger: Key and id of a version -> state.
        waiting: Messages that are still in the queue.
    """

    puts: Mapping[str, Version]
    renames: Sequence[Appearance]
    seen: Iterable[Appearance]
    direct_writes: Sequence[str]
    standing: Iterable[Appearance]
    temporaries: Sequence[str]
    parked: Sequence[Parked]
    ledger: Mapping[tuple[str, str], str]
    waiting: int


@dataclass(kw_only=True)
class Reconciliation:
    """What became of everything that was put.

    When all is well every list is empty, but for the first four and the overtaken.

    Attributes:
        put: All versions.
        delivered: Stood under their final name, whole.
        superseded: Did not, because a newer version of their key did.
        parked: Are in the dead-letter queue, with why.
        duplicates: Got their final name more than once.
        partial: Stood under a final name without being a version of that key, or were written there.
        backwards: Got their final name when a newer version had it.
        unexplained: Are in the dead-letter queue, and nobody said why.
        outdated: Keys whose newest version does not stand at the partner, and is not parked with a reason.
        lost: Are nowhere.
        overtaken: Got their final name, but the function ended before it could write that down, and a newer
            version was faster than the next try: the ledger says superseded.
        misrecorded: The ledger says something else than the server saw.
        temporaries: Are left at the partner.
        waiting: Messages that are not settled.
    """

    put: list[Version] = field(default_factory=list)
    delivered: list[Version] = field(default_factory=list)
    superseded: list[Version] = field(default_factory=list)
    parked: dict[Version, str] = field(default_factory=dict)
    duplicates: list[Version] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    backwards: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)
    lost: list[Version] = field(default_factory=list)
    overtaken: list[Version] = field(default_factory=list)
    misrecorded: list[str] = field(default_factory=list)
    temporaries: list[str] = field(default_factory=list)
    waiting: int = 0

    @property
    def is_good(self) -> bool:
        """Whether every guarantee held."""
        broken = (self.lost, self.partial, self.backwards, self.unexplained, self.outdated, self.misrecorded)
        return not any(broken) and not self.waiting

    def table(self) -> str:
        """The figures, and below them everything that has a name and should not be there."""
        rows: list[tuple[str, int]] = [
            ("versions put", len(self.put)),
            ("  of keys", len({version.key for version in self.put})),
            ("delivered", len(self.delivered)),
            ("  byte-identical", len(self.delivered)),
            ("superseded by a newer version", len(self.superseded)),
            ("delivered, but recorded superseded", len(self.overtaken)),
            ("parked, with a reason", len(self.parked)),
            ("parked, without one", len(self.unexplained)),
            ("duplicates at the partner", len(self.duplicates)),
            ("partial files ever visible", len(self.partial)),
            ("older over newer", len(self.backwards)),
            ("keys without their newest version", len(self.outdated)),
            ("ledger against server", len(self.misrecorded)),
            ("temporary files left behind", len(self.temporaries)),
            ("messages not settled", self.waiting),
            ("lost", len(self.lost)),
        ]
        return "\n".join(f"{name:<36}{number:>6}" for name, number in rows) + self._names()

    def _names(self) -> str:
        named: dict[str, Iterable[object]] = {
            "duplicate": self.duplicates,
            "partial": self.partial,
            "older over newer": self.backwards,
            "parked without a reason": self.unexplained,
            "newest version missing": self.outdated,
            "ledger against server": self.misrecorded,
            "left behind": self.temporaries,
            "lost": self.lost,
        }
        lines = [f"{what}: {one}" for what, these in named.items() for one in these]
        lines += [f"parked: {reason} ({number} of them)" for reason, number in self._reasons().items()]
        return "".join(f"\n{line}" for line in lines)

    def _reasons(self) -> Counter[str]:
        """Reasons without the keys in them, so that like ones fall together."""
        return Counter(reason.replace(repr(version.key), "...") for version, reason in self.parked.items())


def reconcile(known: Observations) -> Reconciliation:
    """Compares what was put with what the partner has seen; of the function's own word only the ledger."""
    result = Reconciliation(
        put=list(known.puts.values()), temporaries=list(known.temporaries), waiting=known.waiting
    )
    versions = {(version.key, version.sha256): version for version in result.put}
    appeared = _appearances(known, versions, result)
    newest_seen: defaultdict[str, int] = defaultdict(int)
    for version in appeared:
        newest_seen[version.key] = max(newest_seen[version.key], version.number)
    _read_parked(known, result)
    for version in result.put:
        if version in appeared:
            result.delivered.append(version)
        elif newest_seen[version.key] > version.number:
            result.superseded.append(version)
        elif version not in result.parked:
            result.lost.append(version)
    result.duplicates = [version for version, times in appeared.items() if times > 1]
    _check_newest(known, versions, result)
    _check_ledger(known, appeared, result)
    return result


def _appearances(
    known: Observations, versions: Mapping[tuple[str, str], Version], result: Reconciliation
) -> Counter[Version]:
    """How often each version got its final name. What did and is no version, is partial."""
    result.partial += [f"{key}: opened for writing" for key in known.direct_writes]
    for one in (*known.renames, *known.seen):
        if (one.key, one.sha256) not in versions:
            result.partial.append(f"{one.key}: {one.size} bytes")
    times: Counter[Version] = Counter()
    newest: dict[str, Version] = {}
    for one in known.renames:
        version = versions.get((one.key, one.sha256))
        if version is None:
            continue
        times[version] += 1
        before = newest.setdefault(version.key, version)
        if before.number > version.number:
            result.backwards.append(f"{version} over {before}")
        else:
            newest[version.key] = version
    return times


def _read_parked(known: Observations, result: Reconciliation) -> None:
    for one in known.parked:
        version = known.puts[one.event.version_id]
        if one.reason:
            result.parked[version] = one.reason
        else:
            result.unexplained.append(str(version))


def _check_newest(
    known: Observations, versions: Mapping[tuple[str, str], Version], result: Reconciliation
) -> None:
    newest = {version.key: version for version in result.put}
    standing = {one.key: versions.get((one.key, one.sha256)) for one in known.standing}
    result.outdated = [
        str(version)
        for key, version in newest.items()
        # That a good key is parked has a reason, but a partner that came back is none.
        if standing.get(key) != version and (version.deliverable or version not in result.parked)
    ]


def _check_ledger(known: Observations, appeared: Mapping[Version, int], result: Reconciliation) -> None:
    for version_id, version in known.puts.items():
        state = known.ledger.get((version.key, version_id), "nothing")
        if version in appeared and state == "SUPERSEDED" and version not in _last_of_their_keys(appeared):
            result.overtaken.append(version)
        elif (state == "DELIVERED") != (version in appeared):
            saw = "saw it" if version in appeared else "did not see it"
            result.misrecorded.append(f"{version}: the ledger says {state}, the server {saw}")


def _last_of_their_keys(appeared: Iterable[Version]) -> set[Version]:
    newest = {version.key: version for version in sorted(appeared, key=lambda version: version.number)}
    return set(newest.values())
