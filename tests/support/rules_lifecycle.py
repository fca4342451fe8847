"""Objects from their event to what becomes of them in S3; see `killable_function`.

A function asks what it asks in an invocation: whether objects are wanted, whether they have to wait. OpenPGP
happens in this process, a thousand times faster than in its own; each encryption gives other bytes of the
same length, which is the hardest case for whoever compares files by their size.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pysequoia
import pytest

from s3_to_sftp.errors import DeliveryError, Disposition
from s3_to_sftp.outcomes import Filtered, NothingToSend
from s3_to_sftp.rules import open_pgp_stream
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.gzip_transform import Gzip
from s3_to_sftp.rules.open_pgp import OpenPgp
from s3_to_sftp.rules.open_pgp_keys import fingerprint_of
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.hold import HOLD_PK, HOLD_SK, Hold, hold_attributes
from s3_to_sftp.state.items import ACTION_LEFT, partition_key, version_key
from tests.support.killable_function import KillableEnvironment, Killed, Life
from tests.support.versioned_s3 import VersionedS3

FIRST_KEY, SECOND_KEY = (str(pysequoia.Tsk.generate(name).extract_certificate()) for name in ("one", "two"))
"""Of the partner, before and after it has changed its key."""
_MAGIC = b"sealed:"
_nonces = itertools.count(1)


class SealedStream:
    """Stands in for `OpenPgpStream`: what it gives can be opened, and shows every byte that is missing."""

    def __init__(self, rule: OpenPgp, **_options: Any) -> None:
        self._head = _MAGIC + fingerprint_of(rule.encrypt_to[0]).encode() + next(_nonces).to_bytes(8, "big")
        self._data = b""

    @property
    def about(self) -> Mapping[str, str]:
        return {}

    def feed(self, data: bytes | memoryview) -> bytes:
        self._data += data
        return b""

    def finish(self) -> bytes:
        body = self._head + _mixed(self._head, self._data)
        return body + hashlib.sha256(body).digest()

    def close(self) -> None:
        """Holds nothing."""


def seal_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rules with OpenPGP use `SealedStream`."""
    monkeypatch.setattr(open_pgp_stream, "OpenPgpStream", SealedStream)


def opened(sent: bytes) -> bytes:
    """Return what the partner reads.

    Raises:
        ValueError: It is no whole message.
    """
    if sent.startswith(_MAGIC):
        body, digest = sent[:-32], sent[-32:]
        if hashlib.sha256(body).digest() != digest:
            raise ValueError("it is no whole message")
        head = len(_MAGIC) + 40 + 8
        sent = _mixed(body[:head], body[head:])
    return gzip.decompress(sent) if sent.startswith(b"\x1f\x8b") else sent


def _mixed(head: bytes, data: bytes) -> bytes:
    stream = hashlib.shake_256(head).digest(len(data))
    return bytes(one ^ other for one, other in zip(data, stream, strict=True))


@dataclass(frozen=True)
class Put:
    """A version as it was put."""

    ref: ObjectRef
    data: bytes


class LifecycleEnvironment(KillableEnvironment):
    """A partner with rules, and a bucket.

    Attributes:
        bucket: S3.
        versions: All that were put, in this order.
        messages: Versions whose message is in the queue.
        dead: Those whose message was dead-lettered.
        held: What an operator has set last.
    """

    def __init__(self, rules: DeliveryRules, *, is_versioned: bool) -> None:
        super().__init__(rules, {})
        self.bucket = VersionedS3(lambda what, work: self.life.step(what, work), is_versioned=is_versioned)
        self.s3 = self.bucket
        self.disk.directories.add("staging")
        self.versions: list[Put] = []
        self.messages: list[ObjectRef] = []
        self.dead: list[ObjectRef] = []
        self.held = Hold(since=0, until=0)
        self._has_waited: set[ObjectRef] = set()

    def put(self, key: str, size: int, *, tells_size: bool = True) -> None:
        """Put an object of which no other one has the bytes; the queue gets its message.

        Args:
            key: Its key.
            size: Its bytes, besides the few that tell it from others.
            tells_size: Whether its event does; otherwise it is sent as large objects are.
        """
        number = len(self.versions)
        data = f"{number}:{key}:".encode() + bytes(65 + (number + i) % 26 for i in range(size))
        ref = self.bucket.put(key, data, event_time=int(self.ledger.clock.now))
        ref = ref if tells_size else replace(ref, size=None)
        self.versions.append(Put(ref, data))
        self.messages.append(ref)

    def live(self, life: Life, refs: Sequence[ObjectRef], **more: Any) -> Life:
        """Let a new function take these messages now."""
        self.life = life
        self.messages += [ref for ref in refs if ref not in self.messages]  # a second one counts as much
        self.dead = [ref for ref in self.dead if ref not in refs]
        earlier = self.outcomes
        self.outcomes = {}
        try:
            left_out = self._left_out(refs)
        except Killed:
            return life
        self.outcomes |= left_out
        super().live(life, [ref for ref in refs if ref not in left_out], **more)
        for ref in refs:
            self._dispose(ref)
        self.outcomes = {**earlier, **self.outcomes}
        return life

    def _left_out(self, refs: Sequence[ObjectRef]) -> dict[ObjectRef, DeliveryError]:
        function = self.living_function()
        unwanted: dict[ObjectRef, DeliveryError] = function.not_wanted(refs)
        for ref, error in unwanted.items():
            if isinstance(error, Filtered) and ref in self._has_waited:
                with contextlib.suppress(NothingToSend):
                    function.give_up(ref, error)
        return {
            **self.pause(self.ledger.memory).held([ref for ref in refs if ref not in unwanted]),
            **unwanted,
        }

    def _dispose(self, ref: ObjectRef) -> None:
        """Do with its message what the queue does."""
        outcome = self.outcomes.get(ref)
        if outcome is None:  # killed before it was known: it comes back
            return
        disposition = outcome.disposition if isinstance(outcome, DeliveryError) else Disposition.DONE
        if disposition in (Disposition.DONE, Disposition.PERMANENT):
            self.messages.remove(ref)
        else:
            self._has_waited.add(ref)
        if disposition is Disposition.PERMANENT:
            self.dead.append(ref)

    def redrive(self) -> None:
        """Put back what was dead-lettered, but for what a person has to ask the partner about."""
        for ref in list(self.dead):
            if self.state_of(ref) != "UNKNOWN":
                self.dead.remove(ref)
                self.messages.append(ref)

    def hold(self, **about: Any) -> None:
        """Pause deliveries, or open windows, as an operator does."""
        keys = {"pk": {"S": HOLD_PK}, "sk": {"S": HOLD_SK}}
        self.held = Hold(since=self.ledger.clock.now, **about)
        self.ledger.memory.items[HOLD_PK, HOLD_SK] = {**keys, **hold_attributes(self.held)}

    def state_of(self, ref: ObjectRef) -> str:
        return str(self.version_item(ref).get("state", {}).get("S", ""))

    def receipt_of(self, ref: ObjectRef) -> dict[str, Any]:
        fields = self.version_item(ref)["receipt"]["M"]
        return {name: next(iter(value.values())) for name, value in fields.items()}

    def action_of(self, ref: ObjectRef) -> str:
        """How far what happens to the object in S3 is; empty: nothing happens to it."""
        after = self.version_item(ref).get("after")
        return str(after["M"]["state"]["S"]) if after else ""

    def has_action_left(self, ref: ObjectRef) -> bool:
        return self.action_of(ref) in ACTION_LEFT

    @property
    def number_waits_for_a_person(self) -> bool:
        """Whether the partner may know the last number, and its version cannot be sent any more."""
        held = self.counter().get("holder_pk")
        versions = [put.ref for put in self.versions if held == {"S": partition_key(put.ref)}]
        return any(self.state_of(ref) in ("SUPERSEDED", "GONE") for ref in versions if self._holds(ref))

    def _holds(self, ref: ObjectRef) -> bool:
        return self.counter()["holder_sk"] == {"S": version_key(ref)}

    def put_with(self, data: bytes) -> Put:
        """Return the version that has these bytes."""
        found = [version for version in self.versions if version.data == data]
        assert len(found) == 1, f"{data!r} is no version"
        return found[0]


def sealed(*, to: str = FIRST_KEY) -> tuple[Gzip | OpenPgp, ...]:
    """Compress, then encrypt."""
    return (Gzip(), OpenPgp(encrypt_to=[to]))
