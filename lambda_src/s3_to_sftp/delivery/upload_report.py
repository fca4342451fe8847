"""How far the upload of a large object is, written down for people now and then."""

import logging
import threading

from s3_to_sftp.delivery.attempt import Attempt
from s3_to_sftp.errors import DeliveryError
from s3_to_sftp.state.ledger import Ledger

_log = logging.getLogger(__name__)

FIRST_SECONDS = 10.0
EVERY_SECONDS = 20.0

_JOIN_SECONDS = 1.0
"""The end of an upload waits this long for a write under way. A later one changes nothing: the state is
another one, or the lease has ended."""


class UploadReport:
    """Writes the progress of one upload to the ledger, in a thread of its own, while its block runs.

    Nothing that happens here can fail a delivery, or slow it down: the thread reads a counter that is there
    anyway.
    """

    def __init__(
        self,
        ledger: Ledger,
        attempt: Attempt,
        *,
        first: float = FIRST_SECONDS,
        every: float = EVERY_SECONDS,
    ) -> None:
        """Prepare the report.

        Args:
            ledger: Where to.
            attempt: Its lease may change meanwhile, and `progress.reader` may be another one.
            first: Seconds until the first write.
            every: Seconds between two writes.
        """
        self._ledger = ledger
        self._attempt = attempt
        self._first = first
        self._every = every
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "UploadReport":
        """Start, where there is a ledger."""
        if self._ledger.is_persistent:
            self._thread = threading.Thread(target=self._run, name="upload report", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """End the thread."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        pause = self._first
        while not self._is_over.wait(pause):
            pause = self._every
            try:
                self._write()
            except DeliveryError as error:
                _log.warning("progress of %s not recorded: %s", self._attempt.lease.ref, error)
            except Exception:  # noqa: BLE001 - a defect of the report costs the report
                _log.exception("progress of %s not recorded", self._attempt.lease.ref)
                return

    def _write(self) -> None:
        reader = self._attempt.progress.reader
        if reader is not None:
            self._ledger.note_progress(self._attempt.lease, sent=reader.position, total=reader.size)
