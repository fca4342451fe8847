"""Asks a server what it does, with small files of our own that are removed at the end: `MeasuredServer`.

A refusal is a fact here, not an error. Only what a delivery could ask for is asked, one request at a time,
and no extension that the server does not offer: some hang up on that.
"""

import posixpath
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from s3_to_sftp.doctor.asker import Asker
from s3_to_sftp.doctor.checklist import Finding
from s3_to_sftp.doctor.write_probe import NAME_PREFIX
from s3_to_sftp.measured_server import LONGEST_NAME, MOST_OPEN_FILES, OK, MeasuredServer
from s3_to_sftp.sftp.protocol import FSYNC, POSIX_RENAME, FileAttributes
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.upload import create

_MODE, _OTHER_MODE = 0o640, 0o604
_TIME = 1_000_000_000
_PERMISSIONS = 0o777
_SHORTEST_NAME = 40
"""Characters: our test files' names have as many."""


class Measurement:
    """Measures one session.

    Args:
        session: To the partner.
    """

    def __init__(self, session: SftpSession) -> None:
        self._asker = Asker(session)
        self._answers = self._asker.answers
        self._session = session
        self._base = ""

    @property
    def left(self) -> list[str]:
        """Names that could not be removed."""
        return self._asker.left

    def run(self, directories: Sequence[str], seen: MeasuredServer) -> MeasuredServer:
        """Return what was seen before the login together with what is measured now.

        The first directory that takes a file is measured; the others are only asked for a file.

        Raises:
            DeliveryError: The server is lost.
        """
        writable = {directory: self._can_create(directory) for directory in directories}
        measured = replace(
            seen,
            sftp_version=self._session.version,
            extensions=self._session.extensions,
            limits=self._limits(),
            writable=writable,
        )
        chosen = next((directory for directory, can in writable.items() if can), None)
        if chosen is None:
            return replace(measured, answers=dict(self._answers))
        try:
            return self._measure(chosen, measured)
        finally:
            self._asker.clean_up()

    def _can_create(self, directory: str) -> bool:
        name = posixpath.join(directory, f"{NAME_PREFIX}{secrets.token_hex(4)}.txt")
        self._asker.note(name)
        code, handle = self._asker.done(create(self._session, name))
        if handle is not None:
            self._asker.close(handle, name)
        if self._answers.get("create") != OK:
            self._answers["create"] = code
        self._asker.clean_up()
        return code == OK

    def _measure(self, directory: str, measured: MeasuredServer) -> MeasuredServer:
        self._base = posixpath.join(directory, f"{NAME_PREFIX}{secrets.token_hex(4)}")
        self._measure_files()
        takes_mode, takes_time = self._measure_attributes()
        self._measure_renames()
        self._measure_directories()
        return replace(
            measured,
            takes_mode=takes_mode,
            takes_time=takes_time,
            open_files=self._measure_open_files(),
            longest_name=self._measure_names(),
            ignores_case=self._measure_case(),
            keeps_second_handle=self._measure_handles(),
            answers=dict(self._answers),
        )

    def _measure_files(self) -> None:
        session, name, missing = self._session, self._name("a"), self._name("none")
        self._asker.put(name)
        self._asker.ask_open("create_existing", session.create_exclusively(name), name)
        self._asker.ask_open("list_file", session.open_directory(name), name)
        self._asker.ask_open("open_missing", session.open_reading(missing), missing)
        self._asker.ask_open("open_missing_for_writing", session.open_existing(missing), missing)
        self._asker.remove(missing)  # there are servers that make it
        self._answers["open_reading"], reading = self._asker.asked(session.open_reading(name))
        if reading is not None:
            self._asker.ask("read", session.read(reading, 0, 1, path=name))
            self._asker.close(reading, name)
        self._asker.ask("stat", session.stat(name))
        self._asker.ask("stat_missing", session.stat(missing))
        if FSYNC in session.extensions:
            _, handle = self._asker.asked(session.open_existing(name))
            if handle is not None:
                self._asker.ask("fsync", session.sync(handle, path=name))
                self._asker.close(handle, name)

    def _measure_attributes(self) -> tuple[bool | None, bool | None]:
        name = self._name("a")
        before = self._asker.shown(name)
        mode = _MODE if before is None or _bits(before) != _MODE else _OTHER_MODE
        self._asker.ask("set_mode", self._session.set_attributes(name, mode=mode, mtime=None))
        self._asker.ask("set_time", self._session.set_attributes(name, mode=None, mtime=_TIME))
        missing = self._name("none")
        self._asker.ask("set_mode_missing", self._session.set_attributes(missing, mode=mode, mtime=None))
        after = self._asker.shown(name)
        if after is None:
            return None, None
        bits = _bits(after)
        return None if bits is None else bits == mode, None if after.mtime is None else after.mtime == _TIME

    def _measure_renames(self) -> None:
        session, one, two, free = self._session, self._name("a"), self._name("b"), self._name("c")
        self._asker.ask("rename", session.rename_without_replacing(one, two))
        self._asker.remove(one)
        self._asker.ask("rename_missing", session.rename_without_replacing(one, free))
        self._asker.put(two)
        self._asker.put(one)
        self._asker.ask("rename_over_existing", session.rename_without_replacing(one, two))
        if POSIX_RENAME in session.extensions:
            self._asker.put(two)
            self._asker.put(one)
            self._asker.ask("posix_rename_over_existing", session.rename(one, two))
            self._asker.remove(one)
            self._asker.ask("posix_rename_missing", session.rename(one, free))
            self._asker.put(one)
            self._asker.note(free)
            self._asker.ask("posix_rename", session.rename(one, free))
            self._asker.remove(one)
            self._asker.remove(free)
        self._asker.put(two)
        self._asker.ask("remove", session.remove(two))
        self._asker.ask("remove_missing", session.remove(self._name("none")))

    def _measure_directories(self) -> None:
        session, one, directory = self._session, self._name("a"), f"{self._base}-d"
        self._asker.ask_open("list_missing", session.open_directory(self._name("none")), directory)
        self._asker.ask("make_directory", session.make_directory(directory))
        if self._answers["make_directory"] != OK:
            return
        self._asker.ask("make_existing_directory", session.make_directory(directory))
        self._asker.put(one)
        inside = posixpath.join(directory, posixpath.basename(one))
        self._asker.ask("rename_across_directories", session.rename_without_replacing(one, inside))
        self._asker.asked(session.remove(inside))
        if POSIX_RENAME in session.extensions:
            self._asker.put(one)
            self._asker.ask("posix_rename_across_directories", session.rename(one, inside))
            self._asker.asked(session.remove(inside))
        self._asker.ask("remove_directory", session.remove_directory(directory))
        if self._answers["remove_directory"] != OK:
            self.left.append(directory)

    def _measure_open_files(self) -> int:
        opened: list[tuple[bytes, str]] = []
        for number in range(MOST_OPEN_FILES):
            name = self._name(f"n{number}")
            code, handle = self._asker.asked(self._session.create(name))
            if handle is None:
                self._answers["open_one_more"] = code
                break
            opened.append((handle, name))
        for handle, name in opened:
            self._asker.close(handle, name)
        return len(opened)

    def _measure_names(self) -> int:
        too_long = self._create_of(LONGEST_NAME + 1)
        self._answers["create_too_long"] = too_long
        low, high = _SHORTEST_NAME, LONGEST_NAME
        if self._create_of(high) == OK:
            return high
        while high - low > 1:  # `low` is accepted, `high` is not
            middle = (low + high) // 2
            code = self._create_of(middle)
            if code == OK:
                low = middle
            else:
                high, self._answers["create_too_long"] = middle, code
        return low

    def _create_of(self, length: int) -> int:
        """Create a file whose name has so many characters; return the status code."""
        directory, name = posixpath.split(f"{self._base}-")
        return self._asker.put(posixpath.join(directory, f"{name:x<{length}}"))

    def _measure_case(self) -> bool | None:
        name = self._name("case")
        self._asker.put(name)
        if self._asker.shown(name) is None:
            return None
        directory, base = posixpath.split(name)
        return self._asker.shown(posixpath.join(directory, base.upper())) is not None

    def _measure_handles(self) -> bool | None:
        """Return whether two handles write into one file, as parallel streams do."""
        session, name = self._session, self._name("h")
        _, first = self._asker.asked(session.create(name))
        if first is None:
            return None
        self._asker.asked(session.write(first, 1, b"b", path=name))
        code, second = self._asker.asked(session.open_existing(name))
        if second is not None:
            code, _ = self._asker.asked(session.write(second, 0, b"a", path=name))
            self._asker.close(second, name)
        self._asker.close(first, name)
        if code != OK:
            return False
        _, reading = self._asker.asked(session.open_reading(name))
        if reading is None:
            return None
        code, content = self._asker.asked(session.read(reading, 0, 3, path=name))
        self._asker.close(reading, name)
        return bool(content == b"ab") if code == OK else None

    def _limits(self) -> tuple[int, int, int, int] | None:
        return self._session.wait_for(self._session.limits()) if self._session.states_limits else None

    def _name(self, suffix: str) -> str:
        return f"{self._base}-{suffix}.txt"


def described_measurement(measured: MeasuredServer, *, left: Sequence[str]) -> Finding:
    """Return in short what was measured; a warning where nothing could be, or test files stay."""
    words = [
        f"{measured.open_files} open files at a time",
        f"names of {measured.longest_name} characters",
        "mode and time are kept"
        if measured.takes_mode and measured.takes_time
        else "attributes are not kept",
    ]
    if True not in measured.writable.values():
        return Finding(
            text="measured what the server shows",
            warning=f"no file could be created (status {measured.answer('create')})",
            advice="Ask the partner for the right to write, and measure again.",
        )
    if left:
        return Finding(
            text=", ".join(words),
            warning=f"these test files stay: {', '.join(left)}",
            advice="Ask the partner to remove them.",
        )
    return Finding(text=", ".join(words))


def utc_now() -> str:
    """Return the present time as a measurement holds it."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _bits(shown: FileAttributes) -> int | None:
    return None if shown.permissions is None else shown.permissions & _PERMISSIONS
