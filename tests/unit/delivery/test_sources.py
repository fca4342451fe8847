"""Every event of an object is delivered, to the directory of its source."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from s3_to_sftp import handler
from s3_to_sftp.app import App
from s3_to_sftp.delivery.batch import deliver_all
from s3_to_sftp.delivery.deadline import Deadline, Invocation
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.errors import DirectoryNameDiffers, PartnerUnreachable
from s3_to_sftp.remote_path import SourceDirectory
from s3_to_sftp.s3.object_ref import ObjectRef
from tests.support.lambda_events import eventbridge_event, lambda_context, sqs_event
from tests.support.memory_s3 import BUCKET, MemoryS3
from tests.support.sftp_environment import SftpEnvironment

KEY = "a+b %41.csv"


class RecordingRunner:
    """Delivers nothing and records the requested objects."""

    def __init__(self) -> None:
        self.refs: list[ObjectRef] = []
        self.error: Exception | None = None

    def deliver(self, refs: Sequence[ObjectRef], deadline: Deadline) -> dict[ObjectRef, Exception]:
        self.refs += refs
        return dict.fromkeys(refs, self.error) if self.error else {}

    def flush(self) -> None:
        """Publish nothing."""


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> RecordingRunner:
    runner = RecordingRunner()
    fake: Any = runner
    function = App(runner=fake, disposition=None, publisher=fake)
    monkeypatch.setattr(handler, "_app", lambda: function)
    return runner


def test_queued_eventbridge_event_is_delivered(runner: RecordingRunner) -> None:
    body = json.dumps(eventbridge_event("bucket", KEY))
    assert handler.lambda_handler(sqs_event(m1=body), lambda_context()) == {"batchItemFailures": []}
    assert [ref.key for ref in runner.refs] == [KEY]


def test_direct_eventbridge_event_is_delivered(runner: RecordingRunner) -> None:
    assert handler.lambda_handler(eventbridge_event("bucket", KEY), lambda_context()) is None
    assert [ref.key for ref in runner.refs] == [KEY]


def test_failure_of_a_direct_eventbridge_event_raises(runner: RecordingRunner) -> None:
    runner.error = PartnerUnreachable("no answer.", hint="")
    with pytest.raises(PartnerUnreachable):
        handler.lambda_handler(eventbridge_event("bucket", KEY), lambda_context())


def test_object_is_delivered_to_the_directory_of_its_source() -> None:
    s3, env = MemoryS3({"in/a.csv": b"a", "out/b.csv": b"b"}), SftpEnvironment()
    delivery = Delivery(
        s3=s3,
        sftp=env.client(),
        directory="inbox",
        sources=[SourceDirectory(bucket=BUCKET, prefix="out/", directory="outbox")],
    )
    paths = [delivery.deliver(s3.ref(key)).remote_path for key in ("in/a.csv", "out/b.csv")]
    assert paths == ["inbox/in/a.csv", "outbox/out/b.csv"]
    assert {path for path in env.files if not path.endswith(".part")} == set(paths)


def test_directory_in_another_case_does_not_affect_the_directories_of_other_sources() -> None:
    s3, env = MemoryS3({"in/a.csv": b"a", "in/b.csv": b"b", "out/c.csv": b"c"}), SftpEnvironment()
    env.disk.directories.add("inbox")
    delivery = Delivery(
        s3=s3,
        sftp=env.client(directories=["Inbox", "outbox"]),
        directory="Inbox",
        sources=[SourceDirectory(bucket=BUCKET, prefix="out/", directory="outbox")],
    )
    refs = [s3.ref(key) for key in s3.objects]
    found = dict(deliver_all(delivery, refs, Invocation(Deadline(lambda: 900.0))))
    assert {type(outcome) for ref, outcome in found.items() if ref.key.startswith("in/")} == {
        DirectoryNameDiffers
    }
    assert {path for path in env.files if not path.endswith(".part")} == {"outbox/out/c.csv"}
