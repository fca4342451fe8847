"""The crash matrix: a function that is killed at any step is followed by one right file, and by one only.

Every step of a delivery is a line of the tables in crash_driver.py. The process is killed there with SIGKILL;
its messages come back to a process that knows nothing of it but what is in the ledger.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.cloud import LocalCloud, start_cloud
from local.processes import CannotRun
from s3_to_sftp.sftp.protocol import POSIX_RENAME
from tests.faults.sftp_server import without_extensions
from tests.integration.crash_driver import PAUSING_STEPS, PROBING_STEPS, REPLACING_STEPS, STEPS, WRITE_BYTES
from tests.integration.crash_site import CrashingFunction, CrashSite, crash_site

SMALL = os.urandom(2 * WRITE_BYTES + 1)
LARGE = os.urandom(24 * WRITE_BYTES + 1)


@dataclass(frozen=True, kw_only=True)
class Shipment:
    """What is delivered, and how.

    Attributes:
        objects: Key -> bytes; all are announced in one batch.
        lanes: Connections that carry a large one.
        pause_after: WRITEs after which a first invocation ends; None: one suffices.
    """

    objects: dict[str, bytes]
    lanes: int = 1
    pause_after: int | None = None


SHIPMENTS = {
    "one small object": Shipment(objects={"a.csv": SMALL}),
    "a batch of small objects": Shipment(objects={f"{name}.csv": SMALL[ord(name) :] for name in "abc"}),
    "a large object": Shipment(objects={"a.bin": LARGE}),
    "a large object over lanes": Shipment(objects={"a.bin": LARGE}, lanes=3),
    "a continuation": Shipment(objects={"a.bin": LARGE}, pause_after=9),
    "a continuation over lanes": Shipment(objects={"a.bin": LARGE}, lanes=3, pause_after=9),
}
CONTINUATIONS = [name for name, shipment in SHIPMENTS.items() if shipment.pause_after]

Announce = Callable[..., CrashSite]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with ExitStack() as stack:
        try:
            cloud = stack.enter_context(start_cloud(tmp_path_factory.mktemp("cloud")))
        except CannotRun as error:
            pytest.skip(f"there is no local AWS: {error}")
        yield cloud


@pytest.fixture(scope="module")
def function(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrashingFunction]:
    with CrashingFunction.started(cloud, tmp_path_factory.mktemp("function") / "log") as function:
        yield function


@pytest.fixture
def announce(cloud: LocalCloud, function: CrashingFunction, root: Path) -> Iterator[Announce]:
    """Announces a shipment at a site of its own, where nothing half is ever seen."""
    with ExitStack() as stack:

        def announce(shipment: str, *, over_old_files: bool = False) -> CrashSite:
            site = stack.enter_context(crash_site(cloud, function, root, lanes=SHIPMENTS[shipment].lanes))
            site.announce(SHIPMENTS[shipment].objects)
            if over_old_files:
                site.put_old_files()
            stack.enter_context(site.nothing_half_is_seen())
            return site

        yield announce


def pause(site: CrashSite, shipment: str, *, dies: str = "") -> None:
    """Let a first invocation carry as much as it has time for, where one does not suffice."""
    pause_after = SHIPMENTS[shipment].pause_after
    if pause_after is not None:
        assert site.invoke(pause_after=pause_after, dies=dies) == 1


@pytest.mark.parametrize("shipment", SHIPMENTS)
def test_function_that_lives_delivers_as_the_others_are_supposed_to(
    shipment: str, announce: Announce
) -> None:
    # Without this the matrix could pass with other lanes, or without continuations.
    site = announce(shipment)
    pause(site, shipment)
    assert site.invoke() == len(SHIPMENTS[shipment].objects)
    assert site.invoke() == 0
    site.insist_on_delivery()
    for key in SHIPMENTS[shipment].objects:
        assert site.receipt(key)["lanes"] == {"N": str(SHIPMENTS[shipment].lanes)}
        assert site.receipt(key)["attempt"] == {"N": "2" if shipment in CONTINUATIONS else "1"}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("shipment", SHIPMENTS)
def test_killed_function_is_followed_by_one_right_file(shipment: str, step: str, announce: Announce) -> None:
    site = announce(shipment)
    pause(site, shipment)
    site.invoke(dies=step)
    site.redeliver()
    site.insist_on_delivery()


@pytest.mark.parametrize("step", PAUSING_STEPS)
@pytest.mark.parametrize("shipment", CONTINUATIONS)
def test_function_that_is_killed_while_it_pauses_is_followed_by_one_right_file(
    shipment: str, step: str, announce: Announce
) -> None:
    site = announce(shipment)
    pause(site, shipment, dies=step)
    site.redeliver()
    site.insist_on_delivery()


@pytest.mark.parametrize("step", PROBING_STEPS)
def test_function_that_is_killed_while_it_probes_for_lanes_leaves_nothing_there(
    step: str, announce: Announce
) -> None:
    site = announce("a large object over lanes")
    site.invoke(dies=step)
    site.redeliver()
    site.insist_on_delivery()


@pytest.mark.parametrize("step", ["after OPEN", "before CLOSE"])
def test_function_that_is_killed_while_it_probes_for_continuations_leaves_nothing_there(
    step: str, announce: Announce
) -> None:
    # With so little time, the first file that is opened is the probe's.
    site = announce("a large object")
    site.invoke(dies=step, seconds=0.1)
    site.redeliver()
    site.insist_on_delivery()


@pytest.mark.parametrize("step", REPLACING_STEPS)
@pytest.mark.parametrize("shipment", ["one small object", "a large object"])
def test_function_that_is_killed_while_it_replaces_a_file_is_followed_by_one_right_file(
    shipment: str, step: str, announce: Announce
) -> None:
    with without_extensions(POSIX_RENAME):
        site = announce(shipment, over_old_files=True)
        site.invoke(dies=step)
        site.redeliver()
    site.insist_on_delivery()


@pytest.mark.parametrize("step", ["mid-write", "after the commit, before RENAME"])
@pytest.mark.parametrize("shipment", ["a batch of small objects", "a continuation over lanes"])
def test_function_that_is_killed_twice_is_followed_by_one_right_file(
    shipment: str, step: str, announce: Announce
) -> None:
    site = announce(shipment)
    pause(site, shipment)
    site.invoke(dies="mid-write")
    site.invoke(dies=step)
    site.redeliver()
    site.insist_on_delivery()


@pytest.mark.parametrize("step", ["after the record", "before the acknowledgement"])
@pytest.mark.parametrize("shipment", ["one small object", "a continuation over lanes"])
def test_partner_is_not_even_called_for_what_is_recorded(
    shipment: str, step: str, announce: Announce
) -> None:
    site = announce(shipment)
    pause(site, shipment)
    site.invoke(dies=step)
    before = site.connections()
    site.redeliver()
    assert site.connections() == before
