"""Who lists a folder leaves out a file that goes meanwhile, and finds one that gets its final name.

The partner's servers do, and so do the tests that read the partner's disk.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import paramiko
import pytest

from local.twin_files import TwinFiles
from tests.support.faults.paramiko_folder import ParamikoFolder
from tests.support.measured_servers import SERVERS, stored
from tests.support.partner import contents_below

TEMPORARY = ".report.part"


def before_each(
    monkeypatch: pytest.MonkeyPatch, method: str, another_connection: Callable[[Path], object]
) -> None:
    """Let another connection do something with the temporary file just before it is looked at."""
    look = getattr(Path, method)

    def look_too_late(path: Path) -> object:
        if path.name == TEMPORARY:
            another_connection(path)
        return look(path)

    monkeypatch.setattr(Path, method, look_too_late)


def test_file_that_is_removed_after_it_was_listed_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.csv").write_bytes(b"complete")
    (tmp_path / TEMPORARY).write_bytes(b"half")
    before_each(monkeypatch, "read_bytes", Path.unlink)
    assert contents_below(tmp_path) == {"report.csv": b"complete"}


def test_file_that_is_renamed_after_it_was_listed_has_its_new_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / TEMPORARY).write_bytes(b"complete")
    before_each(monkeypatch, "read_bytes", lambda path: path.rename(tmp_path / "report.csv"))
    assert contents_below(tmp_path) == {"report.csv": b"complete"}


@pytest.mark.parametrize("kind", SERVERS)
def test_twin_leaves_out_what_is_gone_since_the_folder_was_opened(kind: str, tmp_path: Path) -> None:
    names = [f"{number:03}.csv" for number in range(250)]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    files = TwinFiles(stored(kind), tmp_path)
    handle = files.open_directory("/")
    for name in names[:-1]:
        (tmp_path / name).unlink()
    assert [name for name, _ in files.entries(handle)] == names[-1:]
    assert files.entries(handle) == []


def test_folder_of_paramiko_leaves_out_what_goes_while_it_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / TEMPORARY).write_bytes(b"half")
    (tmp_path / "report.csv").write_bytes(b"complete")
    before_each(monkeypatch, "lstat", Path.unlink)
    listed = ParamikoFolder(paramiko.ServerInterface(), root=tmp_path).list_folder("/")
    assert [each.filename for each in listed] == ["report.csv"]
