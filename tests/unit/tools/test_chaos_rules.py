"""The chaos run with rules finds what breaks them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from chaos.environment import Recorded
from chaos.objects import Version
from chaos.reconciliation import Observations, reconcile
from chaos.records import Appearance, Renamed, Taken
from chaos.rules import data_only, violations

ONE, TWO = (Version(key=f"in/{name}.bin", number=1, size=64) for name in "ab")


def appeared(name: str, content: bytes) -> Renamed:
    sha256 = hashlib.sha256(content).hexdigest()
    file = Appearance(key=name, size=len(content), sha256=sha256, plain_sha256=sha256)
    return Renamed(file=file, temporary=f"{name}.partial")


def files_of(version: Version, number: int) -> list[Renamed]:
    name = f"{version.key.removesuffix('.bin')}~{number:06d}.bin"
    descriptor = f"{name.rpartition('/')[2]};{version.size};{version.sha256}"
    return [
        appeared(f"{name}.ctl", descriptor.encode()),
        appeared(name, version.body()),
        appeared(f"{name}.done", b""),
    ]


EVENTS = [*files_of(ONE, 1), *files_of(TWO, 2)]
GOOD = Observations(
    puts={"v1": ONE, "v2": TWO},
    events=EVENTS,
    seen=[event.file for event in EVENTS],
    direct_writes=[],
    standing=[event.file for event in EVENTS],
    temporaries=[],
    dead_lettered=[],
    ledger={
        (version.key, f"v{number}"): Recorded(
            state="DELIVERED", evidence="rename_ok", size=version.size, number=number
        )
        for number, version in ((1, ONE), (2, TWO))
    },
    waiting=0,
)


def with_numbers(*numbers: int | None) -> Observations:
    ledger = dict(GOOD.ledger)
    for key, number in zip(GOOD.ledger, numbers, strict=True):
        ledger[key] = replace(ledger[key], number=number)
    return replace(GOOD, ledger=ledger)


def test_good_run_breaks_no_rule_and_no_guarantee() -> None:
    assert violations(GOOD) == []
    assert reconcile(data_only(GOOD)).is_good


@pytest.mark.parametrize("numbers", [(1, 3), (2, 3), (1, 1)])
def test_gap_and_repetition_in_receipts_are_found(numbers: tuple[int, int]) -> None:
    assert violations(with_numbers(*numbers)) == [f"numbers of receipts are {list(numbers)}"]


def broken(*events: Renamed | Taken) -> list[str]:
    return violations(replace(GOOD, events=list(events)))


def test_numbers_in_another_order_are_found() -> None:
    assert "numbers appeared as [2, 1]" in broken(*files_of(TWO, 2), *files_of(ONE, 1))


def test_number_with_two_contents_is_found() -> None:
    assert "number 1 names two contents" in broken(*EVENTS, files_of(TWO, 1)[1])


def test_marker_before_the_data_is_found() -> None:
    descriptor, data, marker = files_of(ONE, 1)
    found = broken(descriptor, marker, data, *files_of(TWO, 2))
    assert found == ["the marker of in/a~000001.bin appeared before it"]


def test_data_before_its_descriptor_is_found() -> None:
    descriptor, data, marker = files_of(ONE, 1)
    found = broken(data, descriptor, marker, *files_of(TWO, 2))
    assert found == ["in/a~000001.bin appeared before its descriptor"]


def test_missing_marker_of_a_delivered_object_is_found() -> None:
    assert broken(*EVENTS[:-1]) == ["in/b~000002.bin.done is missing, or has another content"]


def test_descriptor_of_other_bytes_is_found() -> None:
    wrong = appeared("in/b~000002.bin.ctl", b"b~000002.bin;0;")
    assert broken(*EVENTS[:3], wrong, *EVENTS[4:]) == [
        "in/b~000002.bin.ctl is missing, or has another content"
    ]


def test_broken_rule_fails_the_run() -> None:
    result = reconcile(data_only(GOOD))
    result.broken_rules = ["numbers of receipts are [2]"]
    assert not result.is_good
    assert "rule broken: numbers of receipts are [2]" in result.table()
