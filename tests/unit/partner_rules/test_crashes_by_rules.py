"""A function may be killed at any step: data and companions still arrive once, whole, in order, numbered."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable

import pytest

from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.gzip_transform import Gzip
from s3_to_sftp.rules.sequence import Sequence
from s3_to_sftp.rules.transformed_object import TransformedObject
from s3_to_sftp.s3.object_ref import ObjectRef
from tests.support.killable_function import KillableEnvironment, Landed

pytestmark = pytest.mark.usefixtures("_one_thread")

DESCRIPTOR = "<f n='{name}' b='{bytes}' s='{sha256}'/>"
COMPANIONS = (
    Companion.document("{stem}.xml", DESCRIPTOR, before=True),
    Companion.checksum("sha256"),
    Companion.marker("{name}.done"),
)
NUMBERED = DeliveryRules(
    name="PAY_{sequence:04d}.csv", temporary="{name}.partial", sequence=Sequence(), companions=COMPANIONS
)
NAMED = DeliveryRules(name="{stem}.csv", temporary="{name}.partial", companions=COMPANIONS)
RULES = {
    "numbered": NUMBERED,
    "named": NAMED,
    "default temporary names": dataclasses.replace(NAMED, temporary=None),
    "other directory": dataclasses.replace(NAMED, temporary="staging/{token}_{name}.partial"),
    "mode and time": dataclasses.replace(NUMBERED, mode=0o640, preserve_time=True),
    "refuse": dataclasses.replace(NUMBERED, if_exists=IfExists.REFUSE),
    "skip": dataclasses.replace(NAMED, if_exists=IfExists.SKIP),
    "gzip": dataclasses.replace(NUMBERED, transforms=(Gzip(),)),
    "gzip in another directory": dataclasses.replace(
        NAMED, transforms=(Gzip(),), temporary="staging/{token}_{name}.partial"
    ),
    "new name": dataclasses.replace(NAMED, if_exists=IfExists.NEW_NAME, temporary="{name}.{token}.partial"),
}
KEYS = ("a", "b")
EVERY = int(os.environ.get("CRASHES_EVERY", "3"))
"""Of the variations only so many steps are tried; a soak test sets 1."""

Announce = Callable[[KillableEnvironment], list[ObjectRef]]


def environment(rules: DeliveryRules, keys: tuple[str, ...] = KEYS) -> KillableEnvironment:
    env = KillableEnvironment(rules, {key: f"the bytes of {key}\n".encode() for key in keys})
    env.disk.directories.add("staging")
    return env


def large(env: KillableEnvironment) -> list[ObjectRef]:
    """Announce all objects without their sizes: they are sent as large ones are."""
    return [dataclasses.replace(ref, size=None) for ref in env.refs()]


def steps_of(rules: DeliveryRules, refs_of: Announce) -> int:
    env = environment(rules)
    return env.invoke(refs_of(env)).steps


def as_sent(rules: DeliveryRules, data: bytes) -> bytes:
    """What the partner gets of an object's bytes."""
    stands_for = TransformedObject(name="", event_time=0)
    for each in rules.transforms:
        stream = each.stream(stands_for, str)
        data = stream.feed(data) + stream.finish()
    return data


def companions_of(name: str, data: bytes) -> dict[str, bytes]:
    """What stands beside a file, in the order in which it appears."""
    sha256 = hashlib.sha256(data).hexdigest()
    return {
        f"inbox/{name.removesuffix('.csv')}.xml": f"<f n='{name}' b='{len(data)}' s='{sha256}'/>".encode(),
        f"inbox/{name}": data,
        f"inbox/{name}.sha256": f"{sha256}  {name}\n".encode(),
        f"inbox/{name}.done": b"",
    }


def assert_arrived_once(env: KillableEnvironment, refs: list[ObjectRef]) -> None:
    """Assert that each object has its files, given their names once, in order, and no other stands."""
    paths = {ref: receipt_path(env, ref) for ref in refs}
    wanted: dict[str, bytes] = {}
    for ref, path in paths.items():
        data = as_sent(env.rules, env.s3.objects[ref.key])
        files = companions_of(path.removeprefix("inbox/"), data)
        mine = [landed for landed in env.disk.landed if landed.path in files]
        assert mine == [Landed(*each) for each in files.items()], ref.key
        wanted |= files
    assert {path: bytes(data) for path, data in env.disk.files.items()} == wanted
    assert env.names_known() == set()
    if env.rules.sequence is not None:
        numbers = [path for path in env.disk.names_given if path.endswith(".csv")]
        assert numbers == [f"inbox/PAY_{number:04d}.csv" for number in range(1, len(refs) + 1)]
        assert sorted(paths.values()) == numbers
        assert "holder_pk" not in env.counter()


def receipt_path(env: KillableEnvironment, ref: ObjectRef) -> str:
    item = env.version_item(ref)
    assert item["state"] == {"S": "DELIVERED"}, (ref.key, item)
    return str(item["receipt"]["M"]["remote_path"]["S"])


@pytest.mark.parametrize("refs_of", [KillableEnvironment.refs, large], ids=["small", "large"])
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_objects_arrive_once_after_a_kill_at_any_step(rules: DeliveryRules, refs_of: Announce) -> None:
    every = 1 if rules in (NUMBERED, NAMED) and refs_of is KillableEnvironment.refs else EVERY
    for step in range(1, steps_of(rules, refs_of) + 1, every):
        env = environment(rules)
        refs = refs_of(env)
        assert env.invoke(refs, dies_at=step).is_dead
        env.settle(refs)
        assert_arrived_once(env, refs)


@pytest.mark.parametrize("rules", [NUMBERED, NAMED], ids=["numbered", "named"])
def test_objects_arrive_once_after_two_kills(rules: DeliveryRules) -> None:
    last = steps_of(rules, KillableEnvironment.refs)
    for step in range(1, last + 1, EVERY):
        env = environment(rules)
        refs = env.refs()
        env.invoke(refs, dies_at=step)
        env.invoke(refs, dies_at=1 + 17 * step % last)
        env.settle(refs)
        assert_arrived_once(env, refs)
