"""The crash matrix with rules: a number, a prescribed temporary name, and files beside the data.

The process is killed with SIGKILL at each step of the tables in crash_driver.py; its messages come back to a
process that knows of it only what is in the ledger.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pysequoia
import pytest

from local.cloud import LocalCloud
from s3_to_sftp.rules.after_delivery import AfterDelivery
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.document import FILE, PACKAGE, RulesDocument
from s3_to_sftp.rules.gzip_transform import Gzip
from s3_to_sftp.rules.open_pgp import OpenPgp
from s3_to_sftp.rules.sequence import Sequence
from tests.support.crash_driver import MOVE_STEPS, RULES_STEPS, WRITE_BYTES
from tests.support.crash_environment import INBOX, CrashEnvironment, CrashingFunction, crash_environment

COMPANIONS = (
    Companion.document("{stem}.xml", "{name};{bytes};{sha256}", before=True),
    Companion.checksum("sha256"),
    Companion.marker("{name}.done"),
)
NUMBERED = DeliveryRules(
    name="PAY_{sequence:04d}.csv", temporary="{name}.partial", sequence=Sequence(), companions=COMPANIONS
)
NAMED = DeliveryRules(name="{stem}.csv", temporary="{name}.partial", companions=COMPANIONS)
PARTNER = pysequoia.Tsk.generate("partner")
PACKED = replace(
    NUMBERED,
    transforms=(Gzip(level=1), OpenPgp(encrypt_to=[str(PARTNER.extract_certificate())])),
    after_delivery=AfterDelivery.tag({"delivered": "yes"}),
)
MOVED = DeliveryRules(after_delivery=AfterDelivery.move(prefix="delivered/"))
OBJECTS = {f"{name}.csv": os.urandom(2 * WRITE_BYTES + place) for place, name in enumerate("ab")}
AROUND = ("mid-write", "after the commit, before RENAME", "after RENAME, before the record")
"""Steps that a function without rules has, too."""
MATRIX = [
    *((NUMBERED, step) for step in (*AROUND, *RULES_STEPS)),
    *((PACKED, step) for step in (*AROUND, *RULES_STEPS)),
    *((NAMED, step) for step in RULES_STEPS if step.startswith("RENAME")),
]

Announce = Callable[[], CrashEnvironment]


@pytest.fixture
def rules(request: pytest.FixtureRequest) -> DeliveryRules:
    chosen: DeliveryRules = request.param
    return chosen


@pytest.fixture(scope="module")
def function(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrashingFunction]:
    # Of all rules, which come in a layer: to start it takes longer than a test.
    with CrashingFunction.started(cloud, tmp_path_factory.mktemp("function") / "log") as function:
        yield function


@pytest.fixture
def layer(rules: DeliveryRules, tmp_path: Path) -> Path:
    """The folder of a layer with the rules."""
    folder = tmp_path / "layer"
    (folder / PACKAGE).mkdir(parents=True)
    (folder / PACKAGE / FILE).write_text(document(rules).as_text(), encoding="utf-8")
    return folder


@pytest.fixture
def announce(
    cloud: LocalCloud, function: CrashingFunction, rules: DeliveryRules, layer: Path, root: Path
) -> Iterator[Announce]:
    """Announces the objects in an environment of its own."""
    with ExitStack() as stack:

        def announce() -> CrashEnvironment:
            env = stack.enter_context(
                crash_environment(
                    cloud, function, root, streams=1, rules=document(rules).digest, layer=str(layer)
                )
            )
            env.announce(OBJECTS)
            return env

        yield announce


def document(rules: DeliveryRules) -> RulesDocument:
    return RulesDocument(partner=rules, sources={})


def unpacked(rules: DeliveryRules, sent: bytes) -> bytes:
    """The bytes of an object, from what the partner has got of it."""
    if not rules.transforms:
        return sent
    return gzip.decompress(bytes(pysequoia.decrypt(sent, PARTNER.decryptor()).bytes))


def files_of(name: str, data: bytes) -> dict[str, bytes]:
    """What stands at the partner of one object, in the order in which it appears, given what was sent."""
    sha256 = hashlib.sha256(data).hexdigest()
    return {
        f"{INBOX}/{name.removesuffix('.csv')}.xml": f"{name};{len(data)};{sha256}".encode(),
        f"{INBOX}/{name}": data,
        f"{INBOX}/{name}.sha256": f"{sha256}  {name}\n".encode(),
        f"{INBOX}/{name}.done": b"",
    }


def assert_arrived_once(env: CrashEnvironment, rules: DeliveryRules) -> None:
    """Assert that each object has its files, each named once and in order, and that nothing else stands."""
    names = {key: env.receipt(key)["remote_path"]["S"].removeprefix(f"{INBOX}/") for key in OBJECTS}
    there = env.files()
    sent = {key: there[f"{INBOX}/{name}"] for key, name in names.items()}
    assert {key: unpacked(rules, data) for key, data in sent.items()} == OBJECTS
    each = {key: files_of(name, sent[key]) for key, name in names.items()}
    wanted = {path: data for files in each.values() for path, data in files.items()}
    assert set(there) == set(wanted)
    assert [path for path, data in wanted.items() if there[path] != data] == []
    arrivals = env.arrivals()
    assert arrivals == dict.fromkeys(wanted, 1)
    for files in each.values():
        assert [path for path in arrivals if path in files] == list(files)
    env.assert_recorded()


def id_of(value: DeliveryRules | str) -> str:
    if isinstance(value, str):
        return value
    return "packed" if value.transforms else "numbered" if value.sequence else "named"


@pytest.mark.parametrize(("rules", "step"), MATRIX, indirect=["rules"], ids=id_of)
def test_objects_and_the_files_beside_them_arrive_once_after_a_kill_at_any_step(
    step: str, rules: DeliveryRules, announce: Announce
) -> None:
    env = announce()
    env.invoke(dies=step)
    env.redeliver()
    assert_arrived_once(env, rules)
    if rules.sequence is not None:
        assert sorted(env.receipt(key)["sequence"]["N"] for key in OBJECTS) == ["1", "2"]


@pytest.mark.parametrize("are_removed", [False, True], ids=["same rules", "no rules"])
@pytest.mark.parametrize("step", MOVE_STEPS)
@pytest.mark.parametrize("rules", [MOVED], indirect=True, ids=["moved"])
def test_object_is_in_one_place_after_a_kill_at_any_step_of_its_move(
    step: str, announce: Announce, *, are_removed: bool
) -> None:
    env = announce()
    env.invoke(dies=step)
    if are_removed:
        env.remove_rules()
    env.redeliver()
    assert env.files() == {f"{INBOX}/{key}": data for key, data in OBJECTS.items()}
    there = env.objects()
    assert {key.removeprefix("delivered/"): data for key, data in there.items()} == OBJECTS
    assert len(there) == len(OBJECTS)
    moved = [key for key in there if key.startswith("delivered/")]
    assert len(moved) == len(OBJECTS) or (are_removed and moved)  # what was not delivered by then stays


@pytest.mark.parametrize("rules", [NUMBERED, PACKED, NAMED], indirect=True, ids=id_of)
def test_function_that_is_not_killed_needs_one_invocation(rules: DeliveryRules, announce: Announce) -> None:
    env = announce()
    assert env.invoke() == len(OBJECTS)
    assert env.invoke() == 0
    assert_arrived_once(env, rules)
