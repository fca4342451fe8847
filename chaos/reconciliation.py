"""The reconciliation at the end: what was put against what the partner has seen."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from chaos.environment import DeadLettered, Recorded
from chaos.objects import Version
from chaos.records import Appearance, Renamed, Taken

_EVIDENCE = {"rename_ok", "seen_after_rename"}
"""Evidence that a receipt may have here: nothing may be assumed."""

_BESIDE_PRESCRIBED = re.compile(
    r"(-[0-9a-f]{6}-2)?(-([0-9a-f]{6}-)?(probe|resume|void|[0-9]+-old))?(?=\.partial$)"
)
"""What marks a name beside a temporary one whose form the partner's rules prescribe."""

_NOTHING = Recorded(state="nothing")


@dataclass(frozen=True, kw_only=True)
class Observations:
    """Everything that is known at the end.

    Attributes:
        puts: Version id in S3 -> version, in the order of the puts.
        events: Files that got a final name, and those that the partner itself lost, in order.
        seen: Files seen under a final name at any poll of the directory.
        direct_writes: Final names that were opened for writing.
        standing: Files under a final name at the end.
        temporaries: Temporary names that exist at the end.
        removed: Temporary names that the partner itself removed, or lost with its disk.
        brought_back: Temporary names that came back with an older state of its disk.
        dead_lettered: Messages in the dead-letter queue.
        ledger: Key and version id -> what is recorded.
        names: Names that may exist at the partner according to the ledger.
        waiting: Messages that are still in the queue.
    """

    puts: Mapping[str, Version]
    events: Sequence[Renamed | Taken]
    seen: Iterable[Appearance]
    direct_writes: Sequence[str]
    standing: Iterable[Appearance]
    temporaries: Sequence[str]
    removed: Collection[str] = ()
    brought_back: Collection[str] = ()
    dead_lettered: Sequence[DeadLettered]
    ledger: Mapping[tuple[str, str], Recorded]
    names: Collection[str] = ()
    waiting: int

    def recorded(self) -> dict[Version, Recorded]:
        """Returns what the ledger records of each version."""
        return {
            version: self.ledger.get((version.key, version_id), _NOTHING)
            for version_id, version in self.puts.items()
        }


@dataclass(kw_only=True)
class Reconciliation:
    """The outcome of everything that was put.

    When every guarantee holds, all lists are empty except the first five, `overtaken`, and `temporaries`.

    Attributes:
        put: All versions.
        delivered: Complete under their final name.
        superseded: Not delivered, because a newer version of their key was, or is held.
        held: Outcome unknown, and recorded as unknown: only the partner can tell whether they arrived.
        dead_lettered: In the dead-letter queue, with the reason.
        duplicates: Got their final name more than once.
        partial: Seen under a final name without being a version of that key, or written there directly.
        backwards: Got their final name when a newer version had it.
        false_receipts: Delivered according to the ledger, but the server never saw them complete under the
            final name, or the receipt lacks its evidence.
        decidable: Held although the partner has lost nothing of them.
        unexplained: In the dead-letter queue, or held, without a reason.
        outdated: Keys whose newest version was neither delivered last nor dead-lettered or held with a
            reason. What the partner lost afterwards does not count.
        broken_rules: What breaks the partner's rules, where it has some.
        lost: Found nowhere.
        overtaken: Got their final name, but the function ended before it recorded that, and a newer version
            was faster than the next try: the ledger says superseded.
        misrecorded: The server saw them get their final name, and the ledger says something else.
        temporaries: Temporary names left at the partner.
        untracked: Those that the ledger does not know, unless they came back with an older disk.
        waiting: Messages that are still in the queue.
    """

    put: list[Version] = field(default_factory=list)
    delivered: list[Version] = field(default_factory=list)
    superseded: list[Version] = field(default_factory=list)
    held: list[Version] = field(default_factory=list)
    dead_lettered: dict[Version, str] = field(default_factory=dict)
    duplicates: list[Version] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    backwards: list[str] = field(default_factory=list)
    false_receipts: list[str] = field(default_factory=list)
    decidable: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)
    broken_rules: list[str] = field(default_factory=list)
    lost: list[Version] = field(default_factory=list)
    overtaken: list[Version] = field(default_factory=list)
    misrecorded: list[str] = field(default_factory=list)
    temporaries: list[str] = field(default_factory=list)
    untracked: list[str] = field(default_factory=list)
    waiting: int = 0

    @property
    def is_good(self) -> bool:
        """Whether every guarantee held."""
        return not any(self._broken().values()) and not self.waiting

    def violations(self) -> list[str]:
        """Returns every violation of a guarantee."""
        return [str(one) for these in self._broken().values() for one in these]

    def table(self) -> str:
        """Formats the figures, and below them every violation by name."""
        rows: list[tuple[str, int]] = [
            ("versions put", len(self.put)),
            ("  of keys", len({version.key for version in self.put})),
            ("delivered", len(self.delivered)),
            ("  byte-identical", len(self.delivered)),
            ("superseded by a newer version", len(self.superseded)),
            ("delivered, but recorded superseded", len(self.overtaken)),
            ("outcome unknown, held", len(self.held)),
            ("held, though decidable", len(self.decidable)),
            ("dead-lettered, with a reason", len(self.dead_lettered)),
            ("dead-lettered, without a reason", len(self.unexplained)),
            ("duplicates at the partner", len(self.duplicates)),
            ("partial files ever visible", len(self.partial)),
            ("older version over newer", len(self.backwards)),
            ("false receipts", len(self.false_receipts)),
            ("keys without their newest version", len(self.outdated)),
            ("ledger contradicts server", len(self.misrecorded)),
            ("temporary files left behind", len(self.temporaries)),
            ("names not in the ledger", len(self.untracked)),
            ("messages still in the queue", self.waiting),
            ("partner's rules broken", len(self.broken_rules)),
            ("lost", len(self.lost)),
        ]
        return "\n".join(f"{name:<36}{number:>6}" for name, number in rows) + self._names()

    def _broken(self) -> dict[str, Sequence[object]]:
        return {
            "partial": self.partial,
            "older version over newer": self.backwards,
            "false receipt": self.false_receipts,
            "held, though decidable": self.decidable,
            "dead-lettered without a reason": self.unexplained,
            "newest version missing": self.outdated,
            "ledger contradicts server": self.misrecorded,
            "name not in the ledger": self.untracked,
            "rule broken": self.broken_rules,
            "lost": self.lost,
        }

    def _names(self) -> str:
        named: dict[str, Sequence[object]] = {
            "duplicate": self.duplicates,
            "outcome unknown, held": self.held,
            "left behind": self.temporaries,
            **self._broken(),
        }
        lines = [f"{what}: {one}" for what, these in named.items() for one in these]
        lines += [f"dead-lettered: {reason} ({number} of them)" for reason, number in self._reasons().items()]
        return "".join(f"\n{line}" for line in lines)

    def _reasons(self) -> Counter[str]:
        """Counts reasons, with keys removed so that equal ones are grouped."""
        return Counter(
            reason.replace(repr(version.key), "...") for version, reason in self.dead_lettered.items()
        )


def reconcile(known: Observations) -> Reconciliation:
    """Compares what was put with what the partner has seen, and both with the ledger."""
    result = Reconciliation(
        put=list(known.puts.values()), temporaries=list(known.temporaries), waiting=known.waiting
    )
    versions = {(version.key, version.sha256): version for version in result.put}
    appeared = _appearances(known, versions, result)
    _read_dead_lettered(known, result)
    _check_held(known, result)
    newest_done: defaultdict[str, int] = defaultdict(int)
    for version in (*appeared, *result.held):
        newest_done[version.key] = max(newest_done[version.key], version.number)
    for version in result.put:
        if version in appeared:
            result.delivered.append(version)
        elif version in result.held:
            continue
        elif newest_done[version.key] > version.number:
            result.superseded.append(version)
        elif version not in result.dead_lettered:
            result.lost.append(version)
    result.duplicates = [version for version, times in appeared.items() if times > 1]
    _check_newest(known, versions, result)
    _check_ledger(known, appeared, result)
    result.untracked = [name for name in known.temporaries if not _is_known(name, known)]
    return result


def _appearances(
    known: Observations, versions: Mapping[tuple[str, str], Version], result: Reconciliation
) -> Counter[Version]:
    """Counts how often each version got its final name. Any other file under a final name is partial."""
    renames = [event for event in known.events if isinstance(event, Renamed)]
    result.partial += [f"{key}: opened for writing" for key in known.direct_writes]
    for one in (*(event.file for event in renames), *known.seen):
        if (one.key, one.sha256) not in versions:
            result.partial.append(f"{one.key}: {one.size} bytes")
    times: Counter[Version] = Counter()
    newest: dict[str, Version] = {}
    for event in renames:
        version = versions.get((event.file.key, event.file.sha256))
        if version is None:
            continue
        times[version] += not event.puts_back
        before = newest.setdefault(version.key, version)
        if before.number > version.number:
            result.backwards.append(f"{version} over {before}" + ", by a delayed RENAME" * event.late)
        else:
            newest[version.key] = version
    return +times


def _read_dead_lettered(known: Observations, result: Reconciliation) -> None:
    for one in known.dead_lettered:
        version = known.puts[one.event.version_id]
        if one.reason:
            result.dead_lettered[version] = one.reason
        else:
            result.unexplained.append(str(version))


def _check_held(known: Observations, result: Reconciliation) -> None:
    """A held version must be dead-lettered, and the partner must have lost the evidence itself."""
    vanished = _vanished(known.events)
    for version, recorded in known.recorded().items():
        if recorded.state != "UNKNOWN":
            continue
        result.held.append(version)
        if version not in result.dead_lettered:
            result.unexplained.append(f"{version}: held, but not dead-lettered")
        if recorded.temporary not in known.removed and recorded.temporary not in vanished:
            result.decidable.append(f"{version}: the partner lost nothing of {recorded.temporary!r}")


def _vanished(events: Sequence[Renamed | Taken]) -> set[str]:
    """Returns temporary names of files that the partner lost after they got their final name."""
    vanished = set()
    names: dict[Appearance, str] = {}
    for event in events:
        if isinstance(event, Renamed):
            names[event.file] = event.temporary
        elif event.file in names:
            vanished.add(names[event.file])
    return vanished


def _check_newest(
    known: Observations, versions: Mapping[tuple[str, str], Version], result: Reconciliation
) -> None:
    newest = {version.key: version for version in result.put}
    standing = {one.key: versions.get((one.key, one.sha256)) for one in known.standing}
    taken = _taken_since_last_rename(known.events)
    for key, version in newest.items():
        taken_by_partner = version.sha256 in taken.get(key, ())
        # A deliverable key may be dead-lettered with a reason, but not after the partner came back.
        excused = version in result.held or (version in result.dead_lettered and not version.deliverable)
        if standing.get(key) != version and not taken_by_partner and not excused:
            result.outdated.append(str(version))


def _taken_since_last_rename(events: Sequence[Renamed | Taken]) -> dict[str, set[str]]:
    """Returns the SHA-256 of every file of each key that the partner lost, older backups included."""
    taken: dict[str, set[str]] = {}
    for event in events:
        if isinstance(event, Renamed):
            taken[event.file.key] = set()
        else:
            taken.setdefault(event.file.key, set()).add(event.file.sha256)
    return taken


def _check_ledger(known: Observations, appeared: Mapping[Version, int], result: Reconciliation) -> None:
    last = _last_of_their_keys(appeared)
    for version, recorded in known.recorded().items():
        if recorded.state == "DELIVERED":
            if fault := _fault_of_receipt(version, recorded, appeared):
                result.false_receipts.append(f"{version}: {fault}")
        elif version not in appeared or version in result.held:
            continue
        elif recorded.state == "SUPERSEDED" and version not in last:
            result.overtaken.append(version)
        else:
            result.misrecorded.append(f"{version}: the ledger says {recorded.state}, the server saw it")


def _fault_of_receipt(version: Version, recorded: Recorded, appeared: Mapping[Version, int]) -> str:
    if version not in appeared:
        return f"{recorded.evidence or 'no evidence'}, and the server did not see it"
    if recorded.evidence not in _EVIDENCE:
        return f"its evidence is {recorded.evidence!r}"
    if recorded.size != version.size:
        return f"its receipt says {recorded.size} bytes of {version.size}"
    return ""


def _last_of_their_keys(appeared: Iterable[Version]) -> set[Version]:
    newest = {version.key: version for version in sorted(appeared, key=lambda version: version.number)}
    return set(newest.values())


def _is_known(name: str, known: Observations) -> bool:
    """Returns whether the ledger knows it. Names of auxiliary files contain that of the temporary file."""
    own = _BESIDE_PRESCRIBED.sub("", name.removesuffix(".void"))
    stem = own.removesuffix(".part").removesuffix("-2").removesuffix("-probe").removesuffix("-resume")
    return name in known.brought_back or not {name, own, f"{stem}.part"}.isdisjoint(known.names)
