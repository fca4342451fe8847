"""What a partner's server showed in one measurement: the file of `s3-to-sftp doctor --save partner.json`.

The doctor writes it, `SftpServer(profile=...)` refuses rules that contradict it, and the local SFTP server
can answer as it says. It holds nothing of the login. Not to be mixed up with `profiles`, which are rules that
documents of partners fix. This module imports nothing of the function: the construct reads the file, too.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

FORMAT = "s3-to-sftp measured server"
VERSION = 1
"""Of the file. Another one cannot be read: measure again."""

OK = 0
"""SSH_FX_OK."""

MOST_OPEN_FILES = 20
"""That are tried at a time: more than a delivery needs, and few enough not to be taken for an attack."""

LONGEST_NAME = 255
"""Characters that are tried: what file systems take."""

ANSWERS = (
    "create",
    "create_existing",
    "create_too_long",
    "open_missing",
    "open_missing_for_writing",
    "open_reading",
    "read",
    "open_one_more",
    "stat",
    "stat_missing",
    "set_mode",
    "set_mode_missing",
    "set_time",
    "fsync",
    "rename",
    "rename_missing",
    "rename_over_existing",
    "rename_across_directories",
    "posix_rename",
    "posix_rename_missing",
    "posix_rename_over_existing",
    "posix_rename_across_directories",
    "make_directory",
    "make_existing_directory",
    "remove_directory",
    "list_missing",
    "list_file",
    "remove",
    "remove_missing",
)
"""What was asked for. `create_existing` is exclusive; `rename` is that of version 3, `posix_rename` OpenSSH's
extension; `open_one_more` is the first file that was refused because too many were open."""


@dataclass(frozen=True, kw_only=True)
class MeasuredServer:
    """What a server showed.

    Attributes:
        host: Name or address.
        port: TCP port.
        measured_at: When, in UTC, as `2026-11-29T14:30:00Z`.
        identification: Its version line.
        algorithms: `key exchange`, `host keys`, `ciphers`, `MACs`, `compression` -> names that it offered.
        signatures: Of keys that it takes at the login; empty: it does not say.
        host_keys: Public keys, each `type base64`: those that it lists, or the one that it showed.
        sftp_version: As it answered.
        extensions: Name -> version or data.
        limits: Bytes of a packet, of a READ and of a WRITE, and open files (`limits@openssh.com`; 0: it does
            not say); None: it tells no limits.
        answers: Names of `ANSWERS` -> status code of SFTP, 0 for OK; None: not tried.
        takes_mode: Whether a mode that was set is shown afterwards; None: it shows none.
        takes_time: The same for a modification time.
        open_files: How many it accepted at a time, of `MOST_OPEN_FILES`.
        longest_name: Characters of a name that it accepted, `LONGEST_NAME` at most.
        ignores_case: Whether a name in capitals finds a file in small letters; None: it shows no files.
        keeps_second_handle: Whether what two handles write into one file stays together; None: not known.
        writable: Remote directory as configured, empty for that of the login -> whether it takes files.
    """

    host: str
    port: int
    measured_at: str
    identification: str
    algorithms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    signatures: tuple[str, ...] = ()
    host_keys: tuple[str, ...] = ()
    sftp_version: int = 3
    extensions: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[int, int, int, int] | None = None
    answers: Mapping[str, int | None] = field(default_factory=dict)
    takes_mode: bool | None = None
    takes_time: bool | None = None
    open_files: int = MOST_OPEN_FILES
    longest_name: int = LONGEST_NAME
    ignores_case: bool | None = None
    keeps_second_handle: bool | None = None
    writable: Mapping[str, bool] = field(default_factory=dict)

    @property
    def server(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    def answer(self, name: str) -> int | None:
        """Return the status code for what was asked; None: not tried."""
        return self.answers.get(name)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values, always in the same order."""
        values = {**asdict(self), "answers": {name: self.answer(name) for name in ANSWERS}}
        for name in ("extensions", "writable"):
            values[name] = dict(sorted(values[name].items()))
        lists = {name: list(each) if isinstance(each, tuple) else each for name, each in values.items()}
        lists["algorithms"] = {kind: list(names) for kind, names in self.algorithms.items()}
        return {"format": FORMAT, "version": VERSION, **lists}

    def as_text(self) -> str:
        """Return the file."""
        return json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_text(cls, text: str) -> "MeasuredServer":
        """Read the file.

        Raises:
            ValueError: It is no such file, or of another version. The message is a part of a sentence.
        """
        try:
            written = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"no JSON ({error})") from None
        return cls.from_json(written)

    @classmethod
    def from_json(cls, written: Any) -> "MeasuredServer":
        """Read the JSON values.

        Raises:
            ValueError: They are no such file, or of another version. The message is a part of a sentence.
        """
        if not isinstance(written, dict) or written.get("format") != FORMAT:
            raise ValueError("another kind of file")
        if written.get("version") != VERSION:
            raise ValueError(f"a file of version {written.get('version')!r}, and {VERSION} is known")
        names = {each.name for each in fields(cls)}
        if unknown := sorted(written.keys() - names - {"format", "version"}):
            raise ValueError(f"a file with the unknown field {unknown[0]!r}")
        try:
            return cls(**{name: _READ[name](written[name]) for name in names})
        except KeyError as error:
            raise ValueError(f"a file without the field {error}") from None
        except TypeError as error:
            raise ValueError(f"a file with a wrong value: {error}") from None


def _of(kind: type) -> Any:
    def read(value: Any) -> Any:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise TypeError(f"{value!r} is not of type {kind.__name__}")
        return value

    return read


def _maybe(read: Any) -> Any:
    return lambda value: None if value is None else read(value)


def _tuple(read: Any) -> Any:
    return lambda value: tuple(read(each) for each in _of(list)(value))


def _map(read: Any) -> Any:
    return lambda value: {_of(str)(name): read(each) for name, each in _of(dict)(value).items()}


def _limits(value: Any) -> Any:
    limits = _tuple(_of(int))(value)
    if len(limits) != 4:
        raise TypeError(f"{value!r} is not four numbers")
    return limits


_READ: dict[str, Any] = {
    "host": _of(str),
    "port": _of(int),
    "measured_at": _of(str),
    "identification": _of(str),
    "algorithms": _map(_tuple(_of(str))),
    "signatures": _tuple(_of(str)),
    "host_keys": _tuple(_of(str)),
    "sftp_version": _of(int),
    "extensions": _map(_of(str)),
    "limits": _maybe(_limits),
    "answers": _map(_maybe(_of(int))),
    "takes_mode": _maybe(_of(bool)),
    "takes_time": _maybe(_of(bool)),
    "open_files": _of(int),
    "longest_name": _of(int),
    "ignores_case": _maybe(_of(bool)),
    "keeps_second_handle": _maybe(_of(bool)),
    "writable": _map(_of(bool)),
}
