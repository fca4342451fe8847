"""One object from S3 to its final name: the order of things, and which failures are tried again at once."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from s3_to_sftp.delivery import Delivery
from s3_to_sftp.errors import (
    ConnectionLost,
    ObjectGone,
    PartnerUnreachable,
    RemotePathRefused,
    RequestRefused,
)
from s3_to_sftp.events import ObjectRef
from s3_to_sftp.sftp.protocol import Request
from tests.memory_s3 import BUCKET, MemoryS3
from tests.unit.scripted_server import ScriptedServer, refusing, silent_at

DATA = bytes(range(256)) * 1024


@dataclass
class FakeWarmConnection:
    """Hands out sessions with the servers in turn."""

    servers: list[ScriptedServer]
    reused: bool = False
    given: int = 0
    uses: int = 0
    host_key_fingerprint: str = "SHA256:abc"
    sessions: list[Any] = field(default_factory=list)

    def get(self) -> Any:
        if self.given:
            self.reused = False
        server = self.servers[self.given]
        self.given += 1
        self.session = server.session()
        return self

    def used(self) -> None:
        self.uses += 1


def delivery(s3: Any, connection: FakeWarmConnection, *, directory: str = "inbox") -> Delivery:
    tokens = (f"token{number}" for number in count(1))
    return Delivery(
        s3=s3,
        connection=connection,  # type: ignore[arg-type] # has what is used of it
        directory=directory,
        new_token=lambda: next(tokens),
        clock=iter([100.0, 107.5]).__next__,
    )


@pytest.fixture
def s3() -> MemoryS3:
    return MemoryS3({"a.csv": DATA})


def test_receipt_says_what_was_delivered(s3: MemoryS3) -> None:
    server = ScriptedServer()
    receipt = delivery(s3, FakeWarmConnection([server])).deliver(s3.ref("a.csv"))
    assert server.files == {"inbox/a.csv": DATA}
    assert receipt.ref == s3.ref("a.csv")
    assert (receipt.remote_path, receipt.size) == ("inbox/a.csv", len(DATA))
    assert receipt.seconds == 7.5
    assert receipt.host_key_fingerprint == "SHA256:abc"


def test_use_is_told_to_the_warm_connection_after_success_only(s3: MemoryS3) -> None:
    good = FakeWarmConnection([ScriptedServer()])
    delivery(s3, good).deliver(s3.ref("a.csv"))
    bad = FakeWarmConnection([ScriptedServer(refusing(Request.WRITE))])
    with pytest.raises(RequestRefused):
        delivery(s3, bad).deliver(s3.ref("a.csv"))
    assert (good.uses, bad.uses) == (1, 0)


def test_nobody_connects_for_an_object_that_is_gone(s3: MemoryS3) -> None:
    connection = FakeWarmConnection([ScriptedServer()])
    with pytest.raises(ObjectGone):
        delivery(s3, connection).deliver(ObjectRef(bucket=BUCKET, key="gone"))
    assert connection.given == 0


def test_nobody_reads_an_object_that_has_no_remote_path(s3: MemoryS3) -> None:
    with pytest.raises(RemotePathRefused):
        delivery(s3, FakeWarmConnection([])).deliver(ObjectRef(bucket=BUCKET, key="../a"))
    assert s3.requests == []


def test_reused_connection_that_is_lost_is_tried_once_more_on_a_new_one(s3: MemoryS3) -> None:
    old, new = ScriptedServer(silent_at(Request.WRITE)), ScriptedServer()
    connection = FakeWarmConnection([old, new], reused=True)
    delivery(s3, connection).deliver(s3.ref("a.csv"))
    assert new.files == {"inbox/a.csv": DATA}
    assert "inbox/a.csv" not in old.files


def test_second_loss_is_the_end(s3: MemoryS3) -> None:
    servers = [ScriptedServer(silent_at(Request.WRITE)) for _ in range(3)]
    connection = FakeWarmConnection(servers, reused=True)
    with pytest.raises(ConnectionLost):
        delivery(s3, connection).deliver(s3.ref("a.csv"))
    assert connection.given == 2


def test_new_connection_that_is_lost_is_not_tried_again_at_once(s3: MemoryS3) -> None:
    connection = FakeWarmConnection([ScriptedServer(silent_at(Request.WRITE)), ScriptedServer()])
    with pytest.raises(ConnectionLost):
        delivery(s3, connection).deliver(s3.ref("a.csv"))
    assert connection.given == 1


def test_refusal_on_a_reused_connection_is_not_tried_again_at_once(s3: MemoryS3) -> None:
    connection = FakeWarmConnection([ScriptedServer(refusing(Request.WRITE)), ScriptedServer()], reused=True)
    with pytest.raises(RequestRefused):
        delivery(s3, connection).deliver(s3.ref("a.csv"))
    assert connection.given == 1


def test_attempts_never_share_a_temporary_file(s3: MemoryS3) -> None:
    old, new = ScriptedServer(silent_at(Request.WRITE)), ScriptedServer()
    for server in (old, new):
        server.directories.add("inbox")
    delivery(s3, FakeWarmConnection([old, new], reused=True)).deliver(s3.ref("a.csv"))
    ((one,), (two,)) = (*old.paths(Request.OPEN), *new.paths(Request.OPEN))
    assert one != two
    assert posixpath.dirname(one) == posixpath.dirname(two) == "inbox"


@pytest.mark.parametrize(
    ("servers", "error"),
    [([ScriptedServer()], None), ([ScriptedServer(refusing(Request.OPEN))], RequestRefused)],
)
def test_body_is_closed_in_any_case(
    servers: list[ScriptedServer], error: type[Exception] | None, s3: MemoryS3
) -> None:
    if error:
        with pytest.raises(error):
            delivery(s3, FakeWarmConnection(servers)).deliver(s3.ref("a.csv"))
    else:
        delivery(s3, FakeWarmConnection(servers)).deliver(s3.ref("a.csv"))
    assert all(body.closed for body in s3.bodies)


def test_body_is_closed_when_the_partner_is_down(s3: MemoryS3) -> None:
    class Down(FakeWarmConnection):
        def get(self) -> Any:
            raise PartnerUnreachable("down.", hint="")

    with pytest.raises(PartnerUnreachable):
        delivery(s3, Down([])).deliver(s3.ref("a.csv"))
    assert all(body.closed for body in s3.bodies)


def test_object_that_ends_too_early_gets_no_final_name(s3: MemoryS3) -> None:
    server = ScriptedServer()

    class Longer(MemoryS3):
        def get_object(self, **request: Any) -> dict[str, Any]:
            answer = super().get_object(**request)
            return {**answer, "ContentLength": answer["ContentLength"] + 1}

    with pytest.raises(Exception, match=r"s3://bucket/a\.csv"):
        delivery(Longer(s3.objects), FakeWarmConnection([server])).deliver(s3.ref("a.csv"))
    assert server.files == {}
