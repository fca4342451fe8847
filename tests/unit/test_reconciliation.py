from __future__ import annotations

from dataclasses import replace

import pytest

from chaos.objects import Version
from chaos.partner import Appearance
from chaos.reconciliation import Observations, reconcile
from chaos.site import Event, Parked

OLD = Version(key="a", number=1, size=100)
NEW = Version(key="a", number=2, size=100)


def seen(version: Version) -> Appearance:
    return Appearance(key=version.key, size=version.size, sha256=version.sha256)


def parked(version: Version, reason: str) -> Parked:
    return Parked(event=Event(key=version.key, version_id=f"v{version.number}", body=""), reason=reason)


GOOD = Observations(
    puts={"v1": OLD, "v2": NEW},
    renames=[seen(OLD), seen(NEW)],
    seen=[seen(OLD), seen(NEW)],
    direct_writes=[],
    standing=[seen(NEW)],
    temporaries=[],
    parked=[],
    ledger={("a", "v1"): "DELIVERED", ("a", "v2"): "DELIVERED"},
    waiting=0,
)


def test_both_versions_delivered_in_order_is_good() -> None:
    result = reconcile(GOOD)
    assert result.is_good
    assert result.delivered == [OLD, NEW]


def test_a_version_that_a_newer_one_came_before_is_superseded() -> None:
    skipped = {("a", "v1"): "SUPERSEDED", ("a", "v2"): "DELIVERED"}
    result = reconcile(replace(GOOD, renames=[seen(NEW)], seen=[], ledger=skipped))
    assert result.is_good
    assert result.superseded == [OLD]


def test_a_version_renamed_twice_is_a_duplicate() -> None:
    assert reconcile(replace(GOOD, renames=[seen(OLD), seen(OLD), seen(NEW)])).duplicates == [OLD]


@pytest.mark.parametrize(
    ("broken", "where"),
    [
        (replace(GOOD, renames=[seen(OLD)], standing=[seen(OLD)]), "lost"),
        (replace(GOOD, seen=[replace(seen(NEW), size=50, sha256="half")]), "partial"),
        (replace(GOOD, direct_writes=["a"]), "partial"),
        (replace(GOOD, renames=[seen(NEW), seen(OLD)]), "backwards"),
        (replace(GOOD, standing=[seen(OLD)]), "outdated"),
        (replace(GOOD, parked=[parked(NEW, "")]), "unexplained"),
        (replace(GOOD, ledger={("a", "v2"): "DELIVERED"}), "misrecorded"),
        (replace(GOOD, renames=[seen(NEW)]), "misrecorded"),
        (replace(GOOD, waiting=1), "waiting"),
    ],
)
def test_a_guarantee_that_does_not_hold_is_named(broken: Observations, where: str) -> None:
    result = reconcile(broken)
    assert not result.is_good
    assert getattr(result, where)


def test_no_two_versions_have_the_same_bytes() -> None:
    assert OLD.body() != NEW.body()
    assert OLD.body() == Version(key="a", number=1, size=100).body()
