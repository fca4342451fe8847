"""The chaos run classifies what the servers, the ledger and the queues show, and names broken guarantees."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaos.environment import DeadLettered, Event, Recorded
from chaos.objects import Version
from chaos.reconciliation import Observations, reconcile
from chaos.records import Appearance, Renamed, Taken

OLD = Version(key="a", number=1, size=100)
NEW = Version(key="a", number=2, size=100)


def seen(version: Version) -> Appearance:
    return Appearance(key=version.key, size=version.size, sha256=version.sha256, plain_sha256=version.sha256)


def renamed(version: Version, *, temporary: str | None = None, late: bool = False) -> Renamed:
    return Renamed(file=seen(version), temporary=temporary or f".{version.number}.part", late=late)


def put_back(version: Version) -> Renamed:
    return renamed(version, temporary=f".{version.number}.part.1.old")


def taken(version: Version) -> Taken:
    return Taken(file=seen(version))


def dead_lettered(version: Version, reason: str) -> DeadLettered:
    return DeadLettered(event=Event(key=version.key, version_id=f"v{version.number}", body=""), reason=reason)


def receipt(evidence: str = "rename_ok", *, size: int = 100) -> Recorded:
    return Recorded(state="DELIVERED", evidence=evidence, size=size)


def held(version: Version) -> Recorded:
    return Recorded(state="UNKNOWN", temporary=f".{version.number}.part")


SUPERSEDED = Recorded(state="SUPERSEDED")

GOOD = Observations(
    puts={"v1": OLD, "v2": NEW},
    events=[renamed(OLD), renamed(NEW)],
    seen=[seen(OLD), seen(NEW)],
    direct_writes=[],
    standing=[seen(NEW)],
    temporaries=[],
    dead_lettered=[],
    ledger={("a", "v1"): receipt(), ("a", "v2"): receipt("seen_after_rename")},
    waiting=0,
)
SWEPT_WITHOUT_AN_ANSWER = replace(
    GOOD,
    events=[renamed(OLD)],
    seen=[seen(OLD)],
    standing=[seen(OLD)],
    removed={".2.part"},
    dead_lettered=[dead_lettered(NEW, "OutcomeUnknown ask the partner")],
    ledger={("a", "v1"): receipt(), ("a", "v2"): held(NEW)},
)


def test_versions_delivered_in_order_are_good() -> None:
    result = reconcile(GOOD)
    assert result.is_good
    assert result.delivered == [OLD, NEW]


def test_older_version_after_a_newer_one_is_superseded() -> None:
    skipped = {("a", "v1"): SUPERSEDED, ("a", "v2"): receipt()}
    result = reconcile(replace(GOOD, events=[renamed(NEW)], seen=[], ledger=skipped))
    assert result.is_good
    assert result.superseded == [OLD]


def test_version_renamed_twice_is_a_duplicate() -> None:
    assert reconcile(replace(GOOD, events=[renamed(OLD), renamed(OLD), renamed(NEW)])).duplicates == [OLD]


def test_restored_file_is_no_duplicate() -> None:
    assert not reconcile(replace(GOOD, events=[renamed(OLD), put_back(OLD), renamed(NEW)])).duplicates


def test_file_lost_by_the_partner_after_the_rename_is_good() -> None:
    result = reconcile(replace(GOOD, events=[renamed(OLD), renamed(NEW), taken(NEW)], standing=[]))
    assert result.is_good
    assert result.delivered == [OLD, NEW]


def test_older_file_restored_with_the_disk_and_lost_again_is_good() -> None:
    events = [renamed(OLD), renamed(NEW), taken(NEW), taken(OLD)]
    assert reconcile(replace(GOOD, events=events, standing=[])).is_good


def test_temporary_file_removed_before_an_unanswered_rename_is_held() -> None:
    result = reconcile(SWEPT_WITHOUT_AN_ANSWER)
    assert result.is_good
    assert (result.held, result.delivered, result.lost) == ([NEW], [OLD], [])


def test_file_lost_after_an_unanswered_rename_is_held() -> None:
    events = [renamed(OLD), renamed(NEW), taken(NEW)]
    result = reconcile(replace(SWEPT_WITHOUT_AN_ANSWER, events=events, removed=(), standing=[]))
    assert result.is_good
    assert result.held == [NEW]


def test_version_older_than_a_held_one_is_superseded() -> None:
    ledger = {("a", "v1"): SUPERSEDED, ("a", "v2"): held(NEW)}
    result = reconcile(replace(SWEPT_WITHOUT_AN_ANSWER, events=[], seen=[], standing=[], ledger=ledger))
    assert result.is_good
    assert result.superseded == [OLD]


@pytest.mark.parametrize("name", [".9.part", ".9-2.part", ".9-probe.part", ".9.part.void", ".9.part.1.old"])
def test_temporary_file_in_the_ledger_is_allowed(name: str) -> None:
    known = {".9.part.1.old" if name.endswith(".old") else ".9.part"}
    result = reconcile(replace(GOOD, temporaries=[name], names=known))
    assert result.is_good
    assert result.temporaries == [name]


def test_temporary_file_restored_with_the_disk_is_allowed() -> None:
    assert reconcile(replace(GOOD, temporaries=[".9.part"], brought_back={".9.part"})).is_good


@pytest.mark.parametrize(
    ("broken", "where"),
    [
        (replace(GOOD, events=[renamed(OLD)], standing=[seen(OLD)]), "lost"),
        (replace(GOOD, events=[renamed(OLD), taken(OLD)], standing=[]), "lost"),
        (replace(GOOD, events=[renamed(OLD), renamed(NEW), taken(OLD)], standing=[]), "outdated"),
        (replace(GOOD, seen=[replace(seen(NEW), size=50, sha256="half")]), "partial"),
        (replace(GOOD, direct_writes=["a"]), "partial"),
        (replace(GOOD, events=[renamed(NEW), renamed(OLD)]), "backwards"),
        (replace(GOOD, events=[renamed(NEW), renamed(OLD, late=True)]), "backwards"),
        (replace(GOOD, events=[renamed(OLD), renamed(NEW), put_back(OLD)]), "backwards"),
        (replace(GOOD, standing=[seen(OLD)]), "outdated"),
        (replace(GOOD, dead_lettered=[dead_lettered(NEW, "")]), "unexplained"),
        (replace(GOOD, ledger={("a", "v2"): receipt()}), "misrecorded"),
        (replace(GOOD, events=[renamed(NEW)]), "false_receipts"),
        (replace(GOOD, ledger={**GOOD.ledger, ("a", "v2"): receipt("assumed")}), "false_receipts"),
        (replace(GOOD, ledger={**GOOD.ledger, ("a", "v2"): receipt(size=50)}), "false_receipts"),
        (replace(SWEPT_WITHOUT_AN_ANSWER, removed=()), "decidable"),
        (replace(SWEPT_WITHOUT_AN_ANSWER, dead_lettered=[]), "unexplained"),
        (replace(GOOD, temporaries=[".9.part"], names={".8.part"}), "untracked"),
        (replace(GOOD, temporaries=[".9.part.1.old"], names={".9.part"}), "untracked"),
        (replace(GOOD, waiting=1), "waiting"),
    ],
)
def test_broken_guarantee_is_named(broken: Observations, where: str) -> None:
    result = reconcile(broken)
    assert not result.is_good
    assert getattr(result, where)


def test_versions_have_different_content() -> None:
    assert OLD.body() != NEW.body()
    assert OLD.body() == Version(key="a", number=1, size=100).body()
