"""A batch: each object has its own outcome, and an error that blocks all of them occurs once."""

from __future__ import annotations

import dataclasses
import hashlib
import posixpath
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from s3_to_sftp.delivery import batch
from s3_to_sftp.delivery.batch import deliver_all
from s3_to_sftp.delivery.deadline import SMALL_BYTES, Deadline, Invocation
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.errors import (
    ConnectionLost,
    HostKeyRefused,
    LedgerError,
    LoginRefused,
    ObjectCorrupt,
    ObjectGone,
    ObjectReadInterrupted,
    PartnerRefusesWrites,
    PartnerUnreachable,
    RemotePathRefused,
    RenameUnanswered,
    RequestRefused,
)
from s3_to_sftp.outcomes import AlreadyDelivered, AlreadyGone, CheckpointSaved, DeadlineTooClose, Superseded
from s3_to_sftp.s3.object_reader import SmallObject, read_whole
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp import open_files
from s3_to_sftp.sftp.protocol import Request, Status
from s3_to_sftp.sftp.upload_request import TransferTuning
from s3_to_sftp.state.ledger import Commit, Lease
from s3_to_sftp.state.receipt import Receipt
from tests.support.delivery_environment import DeliveryEnvironment, crc_of
from tests.support.ledger_environment import raising
from tests.support.memory_s3 import BUCKET, MemoryS3
from tests.support.scripted_server import Asked, refusing, silent_at, status
from tests.support.sending import at
from tests.support.sftp_environment import SOON, ProvenPool, SftpEnvironment, wait_for_streams

SMALL = bytes(range(256)) * 100
LARGE = bytes(range(256)) * (SMALL_BYTES // 256 + 1)
SIZES = {"small": SMALL, "large": LARGE}
Outcomes = dict[str, Receipt | Exception]
both_sizes = pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])


def delivery(
    s3: Any,
    env: SftpEnvironment,
    *,
    directory: str = "inbox",
    clock: Callable[[], float] = time.monotonic,
    **more: Any,
) -> Delivery:
    tokens = count(1)  # several threads may call this at a time, which a generator does not support
    client = env.client(**more)
    return Delivery(
        s3=s3, sftp=client, directory=directory, new_token=lambda: f"token{next(tokens)}", clock=clock
    )


def far_deadline() -> Deadline:
    return Deadline(lambda: 900.0)


def outcomes(deliveries: Delivery, *refs: ObjectRef, deadline: Deadline | None = None) -> Outcomes:
    return {
        ref.key: outcome
        for ref, outcome in deliver_all(deliveries, refs, Invocation(deadline or far_deadline()))
    }


def deliver(deliveries: Delivery, ref: ObjectRef) -> Receipt:
    """Deliver one object of a batch of one."""
    ((_, outcome),) = deliver_all(deliveries, [ref], Invocation(far_deadline()))
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def published_files(env: SftpEnvironment) -> dict[str, bytes]:
    """Return the files with final names."""
    return {path: bytes(data) for path, data in env.files.items() if not path.endswith(".part")}


def refuse_connection() -> None:
    raise PartnerUnreachable("no connection", hint="later")


# --- one object ---


@both_sizes
def test_receipt_describes_the_delivered_file(data: bytes) -> None:
    s3, env = MemoryS3({"a.csv": data}), SftpEnvironment()
    deliveries = delivery(s3, env, clock=iter([100.0, 107.5]).__next__)
    receipt = deliver(deliveries, s3.ref("a.csv"))
    assert env.files == {"inbox/a.csv": data}
    assert receipt.ref == s3.ref("a.csv")
    assert (receipt.remote_path, receipt.size) == ("inbox/a.csv", len(data))
    assert receipt.seconds == 7.5
    assert receipt.host_key_fingerprint == "SHA256:abc"
    assert receipt.checksum_algorithm == "CRC64NVME"
    assert receipt.streams == 1


@pytest.mark.parametrize("data", [b"123456789", b"123456789" + LARGE])
def test_receipt_has_the_checksum_of_the_content(data: bytes) -> None:
    s3 = MemoryS3({"a": data})
    receipt = deliver(delivery(s3, SftpEnvironment()), s3.ref("a"))
    content = read_whole(s3, s3.ref("a")).content
    assert (receipt.checksum_algorithm, receipt.checksum) == (content.checksum_algorithm, content.checksum)
    if len(data) == 9:
        assert receipt.checksum == "rosUhgp5mIg="


def test_small_object_is_read_in_one_request_and_large_one_in_ranges() -> None:
    s3 = MemoryS3({"limit": bytes(SMALL_BYTES), "above": bytes(SMALL_BYTES + 1)})
    deliveries = delivery(s3, SftpEnvironment())
    deliver(deliveries, s3.ref("limit"))
    assert s3.heads == []
    deliver(deliveries, s3.ref("above"))
    assert [request["Key"] for request in s3.heads] == ["above"]


def test_object_of_unknown_size_is_read_in_ranges() -> None:
    s3, env = MemoryS3({"a": SMALL, "empty": b""}), SftpEnvironment()
    for key in s3.objects:
        deliver(delivery(s3, env), dataclasses.replace(s3.ref(key), size=None))
    assert len(s3.heads) == 2
    assert published_files(env) == {"inbox/a": SMALL, "inbox/empty": b""}


@pytest.mark.parametrize("size", [None, 10, SMALL_BYTES + 1])
def test_missing_object_opens_no_connection(size: int | None) -> None:
    env = SftpEnvironment()
    with pytest.raises(ObjectGone):
        deliver(delivery(MemoryS3(), env), ObjectRef(bucket=BUCKET, key="gone", size=size))
    assert env.made == []


@pytest.mark.parametrize("size", [None, 10, SMALL_BYTES + 1])
def test_object_without_a_valid_remote_path_is_not_read(size: int | None) -> None:
    s3 = MemoryS3()
    with pytest.raises(RemotePathRefused):
        deliver(delivery(s3, SftpEnvironment()), ObjectRef(bucket=BUCKET, key="../a", size=size))
    assert s3.requests == s3.heads == []


@both_sizes
def test_s3_body_is_closed_on_success_and_failure(data: bytes) -> None:
    for env in (
        SftpEnvironment(),
        SftpEnvironment(scripts={0: refusing(Request.OPEN)}),
        SftpEnvironment(scripts={0: refusing(Request.WRITE)}),
        SftpEnvironment(before_connect={0: refuse_connection}),
    ):
        s3 = MemoryS3({"a": data})
        outcomes(delivery(s3, env), s3.ref("a"))
        for reader in threading.enumerate():
            if reader.name == "s3-reader":
                reader.join()
        assert all(body.closed for body in s3.bodies)


def test_corrupt_large_object_gets_no_final_name() -> None:
    fields = {"ChecksumType": "FULL_OBJECT", "ChecksumCRC32": "AAAAAA=="}
    s3, env = MemoryS3({"a": LARGE}, checksums={"a": fields}), SftpEnvironment()
    with pytest.raises(ObjectCorrupt):
        deliver(delivery(s3, env), s3.ref("a"))
    assert env.files == {}


def test_corrupt_small_object_is_not_sent() -> None:
    fields = {"ChecksumType": "FULL_OBJECT", "ChecksumCRC32": "AAAAAA=="}
    s3, env = MemoryS3({"a": SMALL}, checksums={"a": fields}), SftpEnvironment()
    with pytest.raises(ObjectCorrupt):
        deliver(delivery(s3, env), s3.ref("a"))
    assert env.made == []


@both_sizes
def test_truncated_object_gets_no_final_name(data: bytes) -> None:
    class Longer(MemoryS3):
        def get_object(self, **request: Any) -> dict[str, Any]:
            answer = super().get_object(**request)
            return {**answer, "ContentLength": answer["ContentLength"] + 1}

        def head_object(self, **request: Any) -> dict[str, Any]:
            answer = super().head_object(**request)
            return {**answer, "ContentLength": answer["ContentLength"] + 1}

    s3, env = Longer({"a": data}), SftpEnvironment()
    with pytest.raises(ObjectReadInterrupted, match="s3://bucket/a"):
        deliver(delivery(s3, env), s3.ref("a"))
    assert env.files == {}


# --- lost connections ---


def with_used_connection(data: bytes) -> tuple[MemoryS3, SftpEnvironment, Delivery]:
    """Return a delivery whose connection has already been used."""
    s3, env = MemoryS3({"a": data, "before": b"x"}), SftpEnvironment()
    deliveries = delivery(s3, env)
    deliver(deliveries, s3.ref("before"))
    return s3, env, deliveries


@both_sizes
@pytest.mark.parametrize("step", [Request.OPEN, Request.WRITE, Request.CLOSE])
def test_lost_reused_connection_is_replaced_once(data: bytes, step: Request) -> None:
    s3, env, deliveries = with_used_connection(data)
    env.connection(0).server.forget()
    env.connection(0).server.script = silent_at(step)
    receipt = deliver(deliveries, s3.ref("a"))
    assert published_files(env) == {"inbox/a": data, "inbox/before": b"x"}
    assert env.tried[0] == 2
    assert receipt.size == len(data)


@both_sizes
def test_second_lost_connection_fails_the_delivery(data: bytes) -> None:
    s3, env, deliveries = with_used_connection(data)
    env.scripts[0] = silent_at(Request.WRITE)
    env.connection(0).server.forget()
    env.connection(0).server.script = silent_at(Request.WRITE)
    with pytest.raises(ConnectionLost):
        deliver(deliveries, s3.ref("a"))
    assert env.tried[0] == 2


@both_sizes
def test_lost_new_connection_is_not_replaced(data: bytes) -> None:
    s3, env = MemoryS3({"a": data}), SftpEnvironment(scripts={0: silent_at(Request.WRITE)})
    with pytest.raises(ConnectionLost):
        deliver(delivery(s3, env), s3.ref("a"))
    assert env.tried[0] == 1


@both_sizes
def test_refusal_on_a_reused_connection_is_not_retried_on_a_new_one(data: bytes) -> None:
    s3, env, deliveries = with_used_connection(data)
    env.connection(0).server.script = refusing(Request.WRITE)
    with pytest.raises(RequestRefused):
        deliver(deliveries, s3.ref("a"))
    assert env.tried[0] == 1


def test_each_attempt_has_its_own_temporary_name() -> None:
    s3, env, deliveries = with_used_connection(LARGE)
    env.connection(0).server.forget()
    env.connection(0).server.script = silent_at(Request.WRITE)
    deliver(deliveries, s3.ref("a"))
    old, new = (connection.server.paths(Request.OPEN)[-1][0] for connection in env.made)
    assert old != new
    assert posixpath.dirname(old) == posixpath.dirname(new) == "inbox"


# --- a batch ---


def objects_in_s3(*keys: str, **objects: bytes) -> tuple[MemoryS3, list[ObjectRef]]:
    s3 = MemoryS3({**{key: key.encode() for key in keys}, **objects})
    return s3, [s3.ref(key) for key in s3.objects]


def test_small_objects_share_round_trips() -> None:
    s3, refs = objects_in_s3(*"abcdef")
    env = SftpEnvironment()
    deliveries = delivery(s3, env)
    outcomes(deliveries, *refs)
    env.connection(0).server.forget()
    assert all(isinstance(outcome, Receipt) for outcome in outcomes(deliveries, *refs).values())
    assert len(env.connection(0).server.turns) == 3
    assert published_files(env) == {f"inbox/{key}": key.encode() for key in "abcdef"}


def test_large_object_is_sent_over_parallel_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s3_to_sftp.sftp.client.ConnectionPool", ProvenPool)
    both_write = threading.Barrier(2)
    env = SftpEnvironment(
        scripts={number: at(Request.WRITE, 1, lambda: both_write.wait(SOON)) for number in range(2)},
        tuning=TransferTuning(min_bytes_per_stream=len(LARGE) // 2, last_segment_bytes=128 * 1024),
    )
    s3 = MemoryS3({"a": LARGE})
    receipt = deliver(delivery(s3, env, max_connections=2), s3.ref("a"))
    wait_for_streams()
    assert env.files == {"inbox/a": LARGE}
    assert receipt.streams == 2


def test_batch_of_small_and_large_objects_is_delivered() -> None:
    s3, refs = objects_in_s3("a", "b", big=LARGE, bigger=LARGE + b"x")
    env = SftpEnvironment()
    found = outcomes(delivery(s3, env), *refs)
    assert {key: type(outcome) for key, outcome in found.items()} == dict.fromkeys(s3.objects, Receipt)
    assert published_files(env) == {f"inbox/{key}": data for key, data in s3.objects.items()}
    assert env.tried[0] == 1


def test_every_object_has_one_outcome() -> None:
    s3, refs = objects_in_s3("a", "b", "c", big=LARGE)
    del s3.objects["b"]
    wrong = ObjectRef(bucket=BUCKET, key="../x", size=1)
    env = SftpEnvironment(scripts={0: refusing(Request.WRITE, number=1)})
    found = list(deliver_all(delivery(s3, env, directory=""), [*refs, wrong], Invocation(far_deadline())))
    assert sorted(ref.key for ref, _ in found) == ["../x", "a", "b", "big", "c"]
    types = {ref.key: type(outcome) for ref, outcome in found}
    assert types["b"] is ObjectGone
    assert types["../x"] is RemotePathRefused
    assert types["big"] is Receipt
    assert sorted((types["a"].__name__, types["c"].__name__)) == ["Receipt", "RequestRefused"]


@pytest.mark.parametrize("sizes", ["small", "large", "mixed"])
@pytest.mark.parametrize("arrival", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_versions_of_one_key_are_delivered_in_sequencer_order(arrival: tuple[int, ...], sizes: str) -> None:
    data = {"small": SMALL, "large": LARGE}.get(sizes)
    versions = [b"%d" % number + (data or (SMALL, LARGE)[number % 2]) for number in range(3)]

    class Versioned(MemoryS3):
        def _object(self, request: dict[str, Any]) -> bytes:
            return versions[int(request["VersionId"])]

    # The shorter one is padded with zeros on the right, and compared as text, ignoring case.
    sequencers = ["0055AED6DCD90281E4FF", "0055aed6dcd90281e5", "0055AED6DCD90281E501"]
    refs = [
        ObjectRef(
            bucket=BUCKET,
            key="a",
            version_id=str(number),
            sequencer=sequencers[number],
            size=len(versions[number]),
        )
        for number in range(3)
    ]
    env = SftpEnvironment()
    deliveries = delivery(Versioned(), env)
    found = list(deliver_all(deliveries, [refs[number] for number in arrival], Invocation(far_deadline())))
    assert [ref.version_id for ref, _ in found] == ["0", "1", "2"]
    assert published_files(env) == {"inbox/a": versions[2]}


def test_duplicate_event_without_a_ledger_is_delivered_twice() -> None:
    s3, (ref,) = objects_in_s3("a")
    env = SftpEnvironment()
    found = list(deliver_all(delivery(s3, env), [ref, ref], Invocation(far_deadline())))
    assert [type(outcome) for _, outcome in found] == [Receipt, Receipt]
    assert published_files(env) == {"inbox/a": b"a"}


def test_unreadable_object_does_not_fail_the_others() -> None:
    s3, refs = objects_in_s3(*"abcdef")
    for key in "ace":
        del s3.objects[key]
    env = SftpEnvironment()
    found = outcomes(delivery(s3, env), *refs)
    assert {key for key, outcome in found.items() if isinstance(outcome, ObjectGone)} == set("ace")
    assert published_files(env) == {f"inbox/{key}": key.encode() for key in "bdf"}


def test_unexpected_error_is_the_outcome_of_its_object(monkeypatch: pytest.MonkeyPatch) -> None:
    def surprising(s3: Any, ref: ObjectRef, **options: Any) -> SmallObject:
        if ref.key == "b":
            raise ZeroDivisionError
        return read_whole(s3, ref, **options)

    monkeypatch.setattr("s3_to_sftp.delivery.delivery.read_whole", surprising)
    s3 = MemoryS3({"a": SMALL, "b": SMALL, "c": LARGE})
    found = outcomes(delivery(s3, SftpEnvironment()), *(s3.ref(key) for key in "abc"))
    assert isinstance(found["b"], ZeroDivisionError)
    assert isinstance(found["a"], Receipt)
    assert isinstance(found["c"], Receipt)


def test_unreachable_server_is_contacted_once_per_batch() -> None:
    s3, env = (
        MemoryS3({"a": LARGE, "b": SMALL, "c": LARGE, "d": SMALL}),
        SftpEnvironment(before_connect={0: refuse_connection}),
    )
    found = outcomes(delivery(s3, env), *(s3.ref(key) for key in "abcd"))
    assert [type(found[key]) for key in "abcd"] == [PartnerUnreachable] * 4
    assert env.tried[0] == 1


def test_objects_are_not_read_while_the_server_is_unreachable() -> None:
    s3, refs = objects_in_s3(*(f"{number:03}" for number in range(200)))
    found = outcomes(delivery(s3, SftpEnvironment(before_connect={0: refuse_connection})), *refs)
    assert {type(outcome) for outcome in found.values()} == {PartnerUnreachable}
    assert len(s3.requests) <= 2 * batch._THREADS


def is_rename(asked: Asked) -> bool:
    return asked.kind == Request.EXTENDED and asked.texts[0].startswith("posix-rename")


@pytest.mark.parametrize("request_name", ["create", "rename"])
def test_batch_stops_when_the_server_refuses_every_file(request_name: str) -> None:
    def read_only(asked: Asked) -> bytes | None:
        refused = is_rename(asked) if request_name == "rename" else asked.kind == Request.OPEN
        return status(asked, 3) if refused else None

    s3, refs = objects_in_s3(*(f"{number:03}" for number in range(300)))
    env = SftpEnvironment(scripts={0: read_only})
    env.disk.directories.add("inbox")
    found = outcomes(delivery(s3, env), *refs)
    assert len(found) == 300
    by_type = {
        kind: [each for each in found.values() if type(each) is kind]
        for kind in set(map(type, found.values()))
    }
    assert set(by_type) == {RequestRefused, PartnerRefusesWrites}
    assert 3 <= len(by_type[RequestRefused]) <= 64
    assert len(set(map(id, by_type[PartnerRefusesWrites]))) == 1, "all share one error"
    assert len(env.connection(0).server.paths(Request.OPEN)) <= 64
    assert len(s3.requests) <= 64 + 2 * batch._THREADS


@pytest.mark.parametrize("request_name", ["create", "rename"])
@pytest.mark.parametrize("bad", [range(3), range(10), range(60, 70), range(197, 200), range(0, 200, 7)])
def test_refused_objects_do_not_block_accepted_ones(bad: range, request_name: str) -> None:
    def locked(asked: Asked) -> bytes | None:
        if request_name == "rename":
            refused = is_rename(asked) and "/locked/" in asked.texts[2]
        else:
            refused = asked.kind == Request.OPEN and asked.texts[0].startswith("inbox/locked/")
        return status(asked, 3) if refused else None

    keys = [f"locked/{number}" if number in bad else f"open/{number}" for number in range(200)]
    s3, refs = objects_in_s3(*keys)
    env = SftpEnvironment(scripts={0: locked})
    env.disk.directories |= {"inbox", "inbox/locked", "inbox/open"}
    found = outcomes(delivery(s3, env), *refs)
    assert {key: type(found[key]) for key in keys} == {
        key: RequestRefused if key.startswith("locked/") else Receipt for key in keys
    }


def test_batch_of_large_objects_stops_after_three_equal_refusals() -> None:
    s3 = MemoryS3(dict.fromkeys("abcdef", LARGE))
    env = SftpEnvironment(scripts={0: refusing(Request.OPEN, Status.PERMISSION_DENIED)})
    found = outcomes(delivery(s3, env), *(s3.ref(key) for key in "abcdef"))
    assert [type(found[key]) for key in "abcdef"] == [RequestRefused] * 3 + [PartnerRefusesWrites] * 3


def test_leases_of_skipped_objects_are_released(
    harness: DeliveryEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_files, "FILES_AT_A_TIME", 4)
    keys = [f"{number:02}" for number in range(20)]
    harness.s3.objects.update({key: key.encode() for key in keys})
    harness.env.scripts[0] = refusing(Request.OPEN, Status.PERMISSION_DENIED)
    refs = [harness.ref(key) for key in keys]
    found = outcomes(harness.function(), *refs, deadline=harness.deadline())
    assert set(outcome_types(found).values()) == {RequestRefused, PartnerRefusesWrites}
    assert not any(harness.has_lease(ref) for ref in refs)
    harness.env.scripts.clear()
    harness.env.connection(0).server.script = lambda _asked: None
    assert set(outcome_types(outcomes(harness.function(), *refs, deadline=harness.deadline())).values()) == {
        Receipt
    }


def test_lost_connection_is_the_outcome_of_each_unfinished_object() -> None:
    def dies(asked: Asked) -> bytes | None:
        return b"" if asked.kind == Request.EXTENDED and asked.number > 3 else None

    s3, refs = objects_in_s3(*"abcd")
    env = SftpEnvironment(scripts={0: dies})
    found = outcomes(delivery(s3, env), *refs)
    assert sorted(type(outcome).__name__ for outcome in found.values()) == [
        "ConnectionLost",
        "ConnectionLost",
        "Receipt",
        "Receipt",
    ]
    for key, outcome in found.items():
        if isinstance(outcome, Receipt):
            assert published_files(env)[f"inbox/{key}"] == key.encode()


def test_number_of_objects_read_ahead_is_bounded() -> None:
    s3, refs = objects_in_s3(*(f"{number:03}" for number in range(200)))
    read_before_the_first_answer: list[int] = []

    def note(asked: Asked) -> bytes | None:
        if asked.kind == Request.OPEN and not read_before_the_first_answer:
            read_before_the_first_answer.append(len(s3.requests))
        return None

    env = SftpEnvironment(scripts={0: note})
    found = outcomes(delivery(s3, env), *refs)
    assert {type(outcome) for outcome in found.values()} == {Receipt}
    assert read_before_the_first_answer[0] <= 64 + 2 * batch._THREADS


def test_refused_directory_does_not_affect_other_directories() -> None:
    def read_only(asked: Asked) -> bytes | None:
        refused = asked.kind == Request.OPEN and asked.texts[0].startswith("inbox/closed/")
        return status(asked, 3) if refused else None

    s3, refs = objects_in_s3("closed/a", "open/b")
    env = SftpEnvironment(scripts={0: read_only})
    found = outcomes(delivery(s3, env), *refs)
    assert isinstance(found["closed/a"], RequestRefused)
    assert isinstance(found["open/b"], Receipt)


# --- with a ledger ---


@pytest.fixture
def harness(ledger_table: Any) -> DeliveryEnvironment:
    return DeliveryEnvironment(ledger_table, {"a": b"A", "b": b"B", "big": LARGE})


def refs_of(harness: DeliveryEnvironment) -> list[ObjectRef]:
    return [harness.ref(key) for key in harness.s3.objects]


def outcome_types(found: Outcomes) -> dict[str, type]:
    return {key: type(outcome) for key, outcome in found.items()}


def deliver_batch(harness: DeliveryEnvironment, *refs: ObjectRef, name: str = "f", **more: Any) -> Outcomes:
    return outcomes(harness.function(name, **more), *refs, deadline=harness.deadline())


def test_ledger_stores_the_receipt_of_every_object_of_a_batch(harness: DeliveryEnvironment) -> None:
    refs = refs_of(harness)
    found = deliver_batch(harness, *refs, name="request-7")
    assert set(outcome_types(found).values()) == {Receipt}
    for ref in refs:
        assert harness.state(ref) == "DELIVERED"
        assert not harness.has_lease(ref)
        item = harness.item(ref)["receipt"]["M"]
        assert item["checksum"] == {"S": crc_of(harness.s3.objects[ref.key])}
        assert item["request_id"] == {"S": "request-7"}


def test_batch_of_duplicates_opens_no_connection(harness: DeliveryEnvironment) -> None:
    deliver_batch(harness, *refs_of(harness))
    tried = dict(harness.env.tried)
    found = deliver_batch(harness, *refs_of(harness))
    assert set(outcome_types(found).values()) == {AlreadyDelivered}
    assert harness.env.tried == tried


def test_duplicate_event_in_a_batch_is_delivered_once(harness: DeliveryEnvironment) -> None:
    ref = harness.ref()
    found = list(deliver_all(harness.function(), [ref, ref], harness.invocation()))
    assert [type(outcome) for _, outcome in found] == [Receipt, AlreadyDelivered]


def test_deleted_and_overwritten_objects_are_recorded(harness: DeliveryEnvironment) -> None:
    refs = refs_of(harness)
    harness.s3.objects["a"] = b"newer"
    del harness.s3.objects["b"], harness.s3.objects["big"]
    assert outcome_types(deliver_batch(harness, *refs)) == {
        "a": Superseded,
        "b": AlreadyGone,
        "big": AlreadyGone,
    }
    assert [harness.state(ref) for ref in refs] == ["SUPERSEDED", "GONE", "GONE"]
    assert not any(harness.has_lease(ref) for ref in refs)
    assert harness.env.made == []


@pytest.mark.parametrize("blocking", [LoginRefused, HostKeyRefused, PartnerUnreachable])
def test_error_that_blocks_all_deliveries_occurs_once_and_releases_all_leases(
    blocking: Callable[..., Exception], harness: DeliveryEnvironment
) -> None:
    harness.s3.objects.update(old=b"O", bigger=LARGE + b"x")
    refs = refs_of(harness)
    harness.dies_after(harness.ref("old"))
    harness.env.before_connect[0] = raising(blocking("no.", hint=""))
    found = deliver_batch(harness, *refs)
    assert set(outcome_types(found).values()) == {blocking}
    assert len(found) == 5
    assert harness.env.tried == {0: 1}
    assert not any(harness.has_lease(ref) for ref in refs if harness.item(ref))
    del harness.env.before_connect[0]
    assert set(outcome_types(deliver_batch(harness, *refs)).values()) == {Receipt}


def test_error_that_blocks_all_deliveries_is_not_repeated_for_a_later_version(
    harness: DeliveryEnvironment,
) -> None:
    harness.env.before_connect[0] = raising(LoginRefused("no.", hint=""))
    refs = [harness.ref("a", "0A"), harness.ref("a", "0B")]
    found = list(deliver_all(harness.function(), refs, harness.invocation()))
    assert [type(outcome) for _, outcome in found] == [LoginRefused, LoginRefused]
    assert harness.env.tried == {0: 1}


def test_leftovers_of_an_earlier_attempt_at_a_small_object_are_removed(
    harness: DeliveryEnvironment,
) -> None:
    left = harness.dies_after(harness.ref("a"))
    found = deliver_batch(harness, harness.ref("a"), harness.ref("b"))
    assert outcome_types(found) == {"a": Receipt, "b": Receipt}
    assert left not in harness.env.files
    assert harness.whole == {"inbox/a": b"A", "inbox/b": b"B"}


def test_failed_commit_prevents_the_rename(
    harness: DeliveryEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = harness.ledger.function()
    commit = ledger.commit

    def busy_for_a(lease: Lease, file: Commit) -> None:
        if lease.ref.key == "a":
            raise LedgerError("busy.", hint="")
        commit(lease, file)

    monkeypatch.setattr(ledger, "commit", busy_for_a)
    found = outcomes(harness.function(ledger=ledger), *refs_of(harness), deadline=harness.deadline())
    assert outcome_types(found) == {"a": LedgerError, "b": Receipt, "big": Receipt}
    assert set(harness.whole) == {"inbox/b", "inbox/big"}
    assert not harness.has_lease(harness.ref("a"))
    assert outcome_types(deliver_batch(harness, harness.ref("a"))) == {"a": Receipt}
    assert harness.partial == []


def test_files_are_renamed_only_after_the_commit(
    harness: DeliveryEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = harness.ledger.function()
    commit = ledger.commit
    there_at_commit: dict[str, bool] = {}

    def noting(lease: Lease, file: Commit) -> None:
        there_at_commit[lease.ref.key] = lease.remote_path in harness.env.files
        commit(lease, file)

    monkeypatch.setattr(ledger, "commit", noting)
    outcomes(harness.function(ledger=ledger), *refs_of(harness), deadline=harness.deadline())
    assert there_at_commit == {"a": False, "b": False, "big": False}


@pytest.mark.parametrize("done", [True, False])
def test_connection_lost_during_the_rename_causes_no_second_upload(
    done: bool,  # noqa: FBT001 - a parameter
    harness: DeliveryEnvironment,
) -> None:
    harness.s3.objects["before"] = b"x"
    function = harness.function()
    outcomes(function, harness.ref("before"), deadline=harness.deadline())
    harness.env.connection(0).server.script = harness.cut_at_rename(done=done)
    small = [harness.ref("a"), harness.ref("b")]
    found = outcomes(function, *small, deadline=harness.deadline())
    assert set(outcome_types(found).values()) == {RenameUnanswered}
    assert harness.env.tried[0] == 1
    assert not any(harness.has_lease(ref) for ref in small)
    sent = harness.written
    found = deliver_batch(harness, *small)
    assert [outcome.recovered for outcome in found.values() if isinstance(outcome, Receipt)] == [True, True]
    assert harness.written == sent
    assert harness.whole == {"inbox/before": b"x", "inbox/a": b"A", "inbox/b": b"B"}
    assert harness.partial == []


def test_next_attempt_renames_the_second_temporary_name_of_a_small_file(
    harness: DeliveryEnvironment,
) -> None:
    """A reused connection is lost in the middle of a file, and the next one during the rename."""
    harness.s3.objects["before"] = b"x"
    function, ref = harness.function(), harness.ref("a")
    outcomes(function, harness.ref("before"), deadline=harness.deadline())
    harness.env.connection(0).server.forget()
    harness.env.connection(0).server.script = silent_at(Request.WRITE)
    harness.env.scripts[0] = harness.cut_at_rename(done=False)
    assert outcome_types(outcomes(function, ref, deadline=harness.deadline())) == {"a": RenameUnanswered}
    del harness.env.scripts[0]
    sent = harness.written
    assert outcome_types(deliver_batch(harness, ref)) == {"a": Receipt}
    assert harness.written == sent
    assert harness.env.files == {"inbox/before": b"x", "inbox/a": b"A"}


@pytest.mark.parametrize("is_reused", [True, False])
def test_temporary_name_is_forgotten_only_if_nothing_was_written(
    is_reused: bool,  # noqa: FBT001 - a parameter
    harness: DeliveryEnvironment,
) -> None:
    harness.s3.objects["before"] = b"x"
    function, ref = harness.function(), harness.ref("a")
    if is_reused:
        outcomes(function, harness.ref("before"), deadline=harness.deadline())
        harness.env.connection(0).server.forget()
        harness.env.connection(0).server.script = silent_at(Request.CLOSE)
    harness.env.before_connect[0] = refuse_connection
    assert outcome_types(outcomes(function, ref, deadline=harness.deadline())) == {"a": PartnerUnreachable}
    left = set(harness.partial)
    assert bool(left) == is_reused
    assert harness.temporaries(ref) == left
    harness.env.before_connect.clear()
    assert outcome_types(deliver_batch(harness, ref)) == {"a": Receipt}
    assert harness.partial == []
    assert harness.temporaries(ref) == set()


@pytest.mark.parametrize("asked_for", [True, False])
def test_sha256_of_small_objects_is_in_their_receipts_on_request(
    asked_for: bool,  # noqa: FBT001 - a parameter
    harness: DeliveryEnvironment,
) -> None:
    (receipt,) = deliver_batch(harness, harness.ref("a"), sha256=asked_for).values()
    assert isinstance(receipt, Receipt)
    assert receipt.sha256 == (hashlib.sha256(b"A").hexdigest() if asked_for else None)
    assert ("sha256" in harness.item(harness.ref("a"))["receipt"]["M"]) is asked_for


def test_large_object_is_deferred_when_the_deadline_is_too_close(harness: DeliveryEnvironment) -> None:
    harness.s3.objects["bigger"] = LARGE + b"x"
    harness.env.max_write = 16 * 1024
    refs = [harness.ref("big"), harness.ref("bigger")]
    found = outcomes(harness.function(), *refs, deadline=harness.deadline(budget=1))
    assert outcome_types(found) == {"big": CheckpointSaved, "bigger": DeadlineTooClose}
    assert harness.item(refs[1]) == {}


def test_small_objects_are_deferred_when_the_deadline_is_too_close(harness: DeliveryEnvironment) -> None:
    deadline = harness.deadline(budget=0)
    found = outcomes(harness.function(), harness.ref("a"), harness.ref("b"), deadline=deadline)
    assert outcome_types(found) == {"a": DeadlineTooClose, "b": DeadlineTooClose}
    assert harness.s3.requests == []
    assert harness.item(harness.ref("a")) == {}


def test_unreadable_ledger_is_the_outcome_of_each_object_and_opens_no_connection(
    harness: DeliveryEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any, **__: Any) -> None:
        raise LedgerError("busy.", hint="")

    ledger = harness.ledger.function()
    monkeypatch.setattr(ledger, "acquire", busy)
    found = outcomes(harness.function(ledger=ledger), *refs_of(harness), deadline=harness.deadline())
    assert outcome_types(found) == dict.fromkeys(("a", "b", "big"), LedgerError)
    assert harness.env.made == []
