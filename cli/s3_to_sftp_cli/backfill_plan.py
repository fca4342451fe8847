"""What a backfill sends: stored objects that are watched, and that the ledger has not delivered."""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from s3_to_sftp_cli.delivery import WatchedSource
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.files_to_write import require_writable
from s3_to_sftp_cli.ledger import LedgerReader, Record
from s3_to_sftp_cli.object_selection import IN_FLIGHT_STATES
from s3_to_sftp_cli.stored_objects import Position, StoredObject

_LOOKUPS_AT_A_TIME = 10
"""As many connections as a client of boto3 keeps."""

_CHUNK = 200
"""Objects that are looked up before the next ones are listed."""

_NEVER = {"UNKNOWN", "CANCELLED", "SKIPPED"}
"""States in which a person has to decide first: `confirm` or `resend`."""

_SETTLED = {"SUPERSEDED", "GONE"}
"""States that a version does not leave; other content of the same ETag may."""


_FAILED = "failed"
"""What failed is sent again, and counted."""


class Plan(AbstractContextManager["Plan"]):
    """The objects that are to be sent, in a temporary file: their number has no limit.

    Attributes:
        count: How many.
        size: Their bytes.
        failed_before: Those of them that the ledger has as FAILED.
        skipped: What is not sent, and how many: `delivered`, `in_flight`, `operator` (a person has to
            decide), `settled` (superseded or gone), `not_watched`, `filtered` (the partner's rules leave it
            out), `folder_marker`, `older` (put before the time that is asked for), `before` (the marker of
            an earlier run).
    """

    def __init__(
        self,
        ledger: LedgerReader,
        sources: tuple[WatchedSource, ...],
        *,
        prefix: str = "",
        since: datetime | None = None,
        after: Position | None = None,
        is_filtered: Callable[[StoredObject], bool] = lambda _stored: False,
    ) -> None:
        """Begin with nothing.

        Args:
            ledger: Of the delivery.
            sources: What is watched.
            prefix: Keys with this prefix only.
            since: What was put at this time or later only.
            after: What comes after this in the list only.
            is_filtered: Returns whether the partner's rules leave an object out. By default they do not.
        """
        self._ledger = ledger
        self._sources = sources
        self._prefix = prefix
        self._since = since
        self._after = after
        self._is_filtered = is_filtered
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n")  # noqa: SIM115 - see __exit__
        self.count = self.size = self.failed_before = 0
        self.skipped: Counter[str] = Counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the file."""
        self._file.close()

    def add_all(self, stored: Iterable[StoredObject], on_progress: Callable[[int], None]) -> None:
        """Add those of the objects that are to be sent; needs `dynamodb:Query`.

        Args:
            stored: As they are listed.
            on_progress: Is told how many were looked at.

        Raises:
            ClientError, BotoCoreError: The ledger refused, or did not answer.
        """
        iterator, seen = iter(stored), 0
        with ThreadPoolExecutor(_LOOKUPS_AT_A_TIME) as executor:
            while chunk := list(islice(iterator, _CHUNK)):
                wanted = [each for each in chunk if self._is_wanted(each)]
                for each, why in zip(wanted, executor.map(self._known_as, wanted), strict=True):
                    if why in (None, _FAILED):
                        self._add(each)
                        self.failed_before += why == _FAILED
                    else:
                        self.skipped[why] += 1
                seen += len(chunk)
                on_progress(seen)

    def objects(self) -> Iterator[StoredObject]:
        """Yield what is to be sent, in the order of the list."""
        self._file.seek(0)
        for line in self._file:
            fields = json.loads(line)
            yield StoredObject(**{**fields, "modified": None, "position": tuple(fields["position"])})

    def _add(self, stored: StoredObject) -> None:
        fields = {name: value for name, value in vars(stored).items() if name != "modified"}
        self._file.write(json.dumps(fields) + "\n")
        self.count += 1
        self.size += stored.size

    def _is_wanted(self, stored: StoredObject) -> bool:
        why = self._unwanted(stored)
        if why is not None:
            self.skipped[why] += 1
        return why is None

    def _unwanted(self, stored: StoredObject) -> str | None:
        if self._after is not None and _order(stored.position) <= _order(self._after):
            return "before"
        if not stored.key.startswith(self._prefix) or not any(
            source.watches(stored.bucket, stored.key) for source in self._sources
        ):
            return "not_watched"
        if stored.is_folder_marker:
            return "folder_marker"
        if self._since is not None and stored.modified is not None and stored.modified < self._since:
            return "older"
        return "filtered" if self._is_filtered(stored) else None

    def _known_as(self, stored: StoredObject) -> str | None:
        """Return why the ledger's items speak against sending it, or `failed`; None: they do not."""
        records = self._ledger.versions(stored.bucket, stored.key)
        same = {record.state for record in records if _is_same(record, stored)}
        if "DELIVERED" in same:
            return "delivered"
        if same & set(IN_FLIGHT_STATES):
            return "in_flight"
        if same & _NEVER:
            return "operator"
        if stored.version_id and same & _SETTLED:
            return "settled"
        return _FAILED if "FAILED" in same else None


class Marker:
    """A small file that says how far a backfill has come, so that it can be continued.

    Args:
        path: Of the file; None: nothing is remembered.
        about: What the backfill is about: another one does not continue there.
    """

    def __init__(self, path: Path | None, about: dict[str, Any]) -> None:
        self._path = path
        self._about = about

    def read(self) -> Position | None:
        """Return where the last run has stopped; None: there was none, or it was finished.

        Raises:
            CliError: The file belongs to another backfill, or cannot be read, or not be written later.
        """
        if self._path is None:
            return None
        try:
            written = json.loads(self._path.read_text(encoding="utf-8"))
            number, place = written["position"]
            about = written["about"]
        except FileNotFoundError:
            require_writable(self._path, "--state")
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CliError(
                f"{self._path} does not say how far a backfill has come ({type(error).__name__}).",
                hint="Name another file with --state, or remove this one.",
                code=ExitCode.USAGE,
            ) from None
        if about != self._about:
            raise CliError(
                f"{self._path} belongs to another backfill: {json.dumps(about)}.",
                hint="Repeat the command with the same options, or name another file with --state.",
                code=ExitCode.USAGE,
            )
        return number, place

    def write(self, position: Position) -> None:
        """Remember that everything up to here is in the queue.

        Raises:
            CliError: The file cannot be written.
        """
        if self._path is None:
            return
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            new.write_text(json.dumps({"about": self._about, "position": position}), encoding="utf-8")
            new.replace(self._path)
        except OSError as error:
            raise CliError(
                f"{self._path} cannot be written: {error.strerror}.", hint="Name another file with --state."
            ) from None

    def remove(self) -> None:
        """Forget it: the backfill is finished."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _is_same(record: Record, stored: StoredObject) -> bool:
    """Return whether an item of the ledger is about this version.

    Without a VersionId an ETag has to do: the same content that was put again counts as the same.
    """
    if stored.version_id:
        return record.version == stored.version_id
    etag = str(record.item["sk"]).split("#")[1] if not record.version else ""
    return bool(stored.etag) and etag == stored.etag


def _order(position: Position) -> tuple[int, bytes, int]:
    """Return what positions are compared by; S3 lists keys by their bytes."""
    number, place = position
    return (number, place.encode(), 0) if isinstance(place, str) else (number, b"", place)
