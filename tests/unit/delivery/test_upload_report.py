"""How far an upload is can be read in the ledger while it runs, and costs the upload nothing."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from s3_to_sftp.delivery.attempt import Attempt
from s3_to_sftp.delivery.upload_report import UploadReport
from s3_to_sftp.delivery_plan import default_plan
from s3_to_sftp.errors import LedgerError
from s3_to_sftp.state.ledger import Lease
from s3_to_sftp.state.no_ledger import NoLedger
from tests.support.delivery_environment import DeliveryEnvironment
from tests.unit.delivery.test_delivery import DATA


@pytest.fixture
def harness(ledger_table: Any) -> DeliveryEnvironment:
    return DeliveryEnvironment(ledger_table, {"a": DATA, "small": b"news"})


class Reports(NoLedger):
    """Notes the progress that is recorded."""

    is_persistent = True

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble = trouble
        self.noted: list[tuple[int, int]] = []
        self.twice = threading.Event()

    def note_progress(self, lease: Lease, *, sent: int, total: int) -> None:
        self.noted.append((sent, total))
        if len(self.noted) == 2:
            self.twice.set()
        if self.trouble:
            raise self.trouble


class Reader:
    position, size = 3, 9


def attempt(harness: DeliveryEnvironment, *, reads: bool = True) -> Attempt:
    started = Attempt(harness.ledger.lease(harness.ref()), 0, default_plan("a"))
    started.progress.reader = Reader() if reads else None  # type: ignore[assignment] # all that is read of it
    return started


@pytest.mark.parametrize("trouble", [None, LedgerError("busy.", hint="")])
def test_progress_is_recorded_again_and_again_whatever_the_ledger_says(
    harness: DeliveryEnvironment, trouble: Exception | None
) -> None:
    ledger = Reports(trouble)
    with UploadReport(ledger, attempt(harness), first=0.001, every=0.001):
        assert ledger.twice.wait(30)
    assert ledger.noted[:2] == [(3, 9), (3, 9)]


def test_a_defect_of_the_report_ends_it_and_nothing_else(
    harness: DeliveryEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Reports(ZeroDivisionError())
    with UploadReport(ledger, attempt(harness), first=0, every=0) as report:
        assert report._thread is not None
        report._thread.join(30)
    assert len(ledger.noted) == 1
    assert "progress of s3://bucket/a not recorded" in caplog.text


def test_no_thread_outlives_the_upload(harness: DeliveryEnvironment) -> None:
    with UploadReport(Reports(), attempt(harness)) as report:
        assert report._thread is not None
        assert report._thread.is_alive()
    assert not report._thread.is_alive()


def test_nothing_is_recorded_before_the_object_is_open(harness: DeliveryEnvironment) -> None:
    ledger = Reports()
    UploadReport(ledger, attempt(harness, reads=False))._write()
    assert ledger.noted == []


def test_no_thread_is_started_without_a_ledger(harness: DeliveryEnvironment) -> None:
    with UploadReport(NoLedger(), attempt(harness)) as report:
        assert report._thread is None


def test_an_upload_counts_what_it_sends(harness: DeliveryEnvironment) -> None:
    function = harness.function()
    started = function._admission.begin(
        harness.ledger.lease(harness.ref(), remote_path="inbox/a", temporary="inbox/.t")
    )
    function._uploads.upload(started, harness.deadline())
    assert started.progress.reader is not None
    assert started.progress.reader.position == len(DATA)
